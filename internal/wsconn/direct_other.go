//go:build !unix

package wsconn

import (
	"errors"
	"syscall"
)

// Without Unix there is no direct path: newConn never chooses it, so none of
// the others is called.

func (c *Conn) readable(uintptr) bool { return true }

func (c *Conn) park(syscall.RawConn, func(uintptr) bool) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
