package wsconn

import (
	"fmt"
	"net"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// TryWrite writes what the kernel takes now and returns how much that was; it
// never waits. Where writing cannot be done without waiting (TLS, not a socket,
// not Unix) it writes nothing and returns 0 and no error: the rest is Write's.
// After Abort, after the close frame and after the end of Serve it fails with
// net.ErrClosed. It does not allocate, and costs little beside write(2).
func (c *Conn) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	switch {
	case c.has(sent | aborted | closed):
		c.mu.Unlock()
		return 0, errClosed
	case c.fd < 0 || len(p) == 0:
		c.mu.Unlock()
		return 0, nil
	}
	n, err := rawconn.TryWrite(int(c.fd), p)
	c.behind = n < len(p)
	c.wroteLocked(p[:n])
	c.overLocked()
	c.mu.Unlock()
	if err != nil {
		return n, errWrite(err)
	}
	return n, nil
}

//go:noinline
func errWrite(err error) error { return fmt.Errorf("wsconn: write: %w", err) }

var errClosed = fmt.Errorf("wsconn: write: %w", net.ErrClosed)

// Write writes all of p, and waits while the kernel does not take it. Abort and
// the end of Serve end it. p is not kept.
func (c *Conn) Write(p []byte) error {
	c.mu.Lock()
	if c.has(sent | aborted | closed) {
		c.mu.Unlock()
		return errClosed
	}
	c.behind = len(p) > 0
	c.mu.Unlock()
	for len(p) > 0 {
		n, err := c.nc.Write(p)
		c.mu.Lock()
		c.behind = err != nil
		c.wroteLocked(p[:n])
		half := c.overLocked()
		// The pong that waited for its predecessors to leave.
		p = nil
		if c.owed != nil && c.pongs == 0 && c.out.between() && !c.has(closing) {
			p, c.owed = *c.owed, nil
			c.pongs++
			c.behind = true
		}
		c.mu.Unlock()
		if half {
			c.halfClose()
		}
		if err != nil {
			return errWrite(err)
		}
	}
	return nil
}

// outgoing follows the frames that leave, to know when the close frame and the
// pongs are out. The zero value is between two frames.
type outgoing struct {
	left uint64 // bytes of payload to come
	step uint8
	more uint8 // bytes of length to come
	op   byte
}

// Steps of outgoing.
const (
	atOpcode uint8 = iota
	atLength
	atExtended
	atPayload
)

func (o *outgoing) between() bool { return o.step == atOpcode }

// wroteLocked is told of all bytes that left, in order. A small frame costs it
// about 2 ns.
func (c *Conn) wroteLocked(p []byte) {
	o := &c.out
	for len(p) > 0 {
		if o.between() && len(p) >= 4 && p[1] < 127 {
			size := 2 + int(p[1])
			if p[1] == 126 {
				size = 4 + int(p[2])<<8 + int(p[3])
			}
			if size <= len(p) { // the usual case: a whole frame
				c.leftLocked(p[0] & 0x0f)
				p = p[size:]
				continue
			}
		}
		switch o.step {
		case atOpcode:
			o.op, o.step = p[0]&0x0f, atLength
			p = p[1:]
			continue
		case atLength:
			o.left, o.step = uint64(p[0]), atPayload
			switch p[0] {
			case 126:
				o.left, o.more, o.step = 0, 2, atExtended
			case 127:
				o.left, o.more, o.step = 0, 8, atExtended
			}
			p = p[1:]
		case atExtended:
			o.left = o.left<<8 | uint64(p[0])
			if o.more--; o.more == 0 {
				o.step = atPayload
			}
			p = p[1:]
		case atPayload:
			n := min(o.left, uint64(len(p)))
			o.left -= n
			p = p[n:]
		}
		if o.step == atPayload && o.left == 0 {
			o.step = atOpcode
			c.leftLocked(o.op)
		}
	}
}

// leftLocked is told that a whole frame has left.
func (c *Conn) leftLocked(op byte) {
	switch op {
	case OpClose:
		c.beginLocked()
		c.setLocked(sent)
	case OpPong:
		c.pongs = max(c.pongs, 1) - 1
	}
}
