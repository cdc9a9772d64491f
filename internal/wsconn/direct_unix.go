//go:build unix

package wsconn

import (
	"io"
	"net"
	"syscall"
)

// descriptor is the descriptor of nc, if it may be used beside nc: of a plain
// socket that no wrapper watches.
func descriptor(nc net.Conn) (fd int, ok bool) {
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

// tryWrite is write(2) on a descriptor that does not block. It may write a part
// of p, or nothing.
func tryWrite(fd int, p []byte) (int, error) {
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

func shutdown(fd int)      { syscall.Shutdown(fd, syscall.SHUT_RDWR) }
func shutdownWrite(fd int) { syscall.Shutdown(fd, syscall.SHUT_WR) }

// readable reads when there may be something to read. It is called by RawConn's
// Read, parks (false) with no buffer, and runs nothing of anybody else's: a
// Close would wait for it.
func (c *Conn) readable(fd uintptr) bool {
	if c.buf == nil {
		c.buf = buffers.Get().(*buffer)
	}
	for {
		n, err := syscall.Read(int(fd), c.buf[:])
		switch e, _ := err.(syscall.Errno); {
		case err == nil:
			c.n = n
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			c.drop()
			return false
		default:
			c.n = -int(e)
		}
		return true
	}
}

// park waits for input and reads it.
func (c *Conn) park(raw syscall.RawConn, ready func(uintptr) bool) ([]byte, error) {
	if err := raw.Read(ready); err != nil {
		return nil, err
	}
	switch {
	case c.n > 0:
		return c.buf[:c.n], nil
	case c.n == 0:
		return nil, io.EOF
	}
	return nil, syscall.Errno(-c.n)
}
