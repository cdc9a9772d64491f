//go:build unix

package rawconn

import (
	"io"
	"net"
	"syscall"
)

// Descriptor is the descriptor of nc, if it may be used beside nc: of a plain
// socket that no wrapper watches.
func Descriptor(nc net.Conn) (fd int, ok bool) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return -1, false
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, false
	}
	err = raw.Control(func(u uintptr) { fd = int(u) })
	return fd, err == nil
}

// TryWrite is write(2) on a descriptor that does not block. It may write a part
// of p, or nothing.
func TryWrite(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// Shutdown ends both directions of a descriptor.
func Shutdown(fd int) { _ = syscall.Shutdown(fd, syscall.SHUT_RDWR) }

// ShutdownWrite ends its output.
func ShutdownWrite(fd int) { _ = syscall.Shutdown(fd, syscall.SHUT_WR) }

// await waits until the peer has ended its output, without a buffer. What it
// sends is thrown away, up to limit bytes.
func await(raw syscall.RawConn, limit int) error {
	var result error
	err := raw.Read(func(fd uintptr) bool {
		var b [64]byte
		for {
			n, err := syscall.Read(int(fd), b[:])
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				return false
			case err != nil:
				result = err
				return true
			case n == 0:
				result = io.EOF
				return true
			}
			if limit -= n; limit < 0 {
				result = errTalks
				return true
			}
		}
	})
	if err != nil {
		return err
	}
	return result
}
