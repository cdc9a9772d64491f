//go:build !unix

package wsconn

import (
	"errors"
	"net"
	"syscall"
)

// Without Unix there is no direct path: newConn never chooses it, so none of
// the others is called.

func descriptor(net.Conn) (int, bool) { return -1, false }

func tryWrite(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func shutdown(int)      {}
func shutdownWrite(int) {}

func (c *Conn) readable(uintptr) bool { return true }

func (c *Conn) park(syscall.RawConn, func(uintptr) bool) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
