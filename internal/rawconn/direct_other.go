//go:build !unix

package rawconn

import (
	"errors"
	"net"
	"syscall"
)

// Without Unix there is no direct path: Descriptor finds none, so none of the
// others is called.

// Descriptor finds none.
func Descriptor(net.Conn) (int, bool) { return -1, false }

// TryWrite is not called.
func TryWrite(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// Shutdown is not called.
func Shutdown(int) {}

// ShutdownWrite is not called.
func ShutdownWrite(int) {}

func await(syscall.RawConn, int) error { return errors.ErrUnsupported }
