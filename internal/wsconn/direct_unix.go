//go:build unix

package wsconn

import (
	"io"
	"syscall"
)

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
			c.n = int32(n)
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			c.drop()
			return false
		default:
			c.n = -int32(e)
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
