//go:build !unix

package redis_test

import "syscall"

// There is no redis-server where there are no such signals.
const (
	sigStop = syscall.SIGKILL
	sigCont = syscall.SIGKILL
)
