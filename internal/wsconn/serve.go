package wsconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// A buffer holds what one read brings. A connection has one only while there is
// input.
type buffer [4096]byte

var (
	buffers  = sync.Pool{New: func() any { return new(buffer) }}
	controls = sync.Pool{New: func() any { return new([2 + maxControl]byte) }} // a control frame to write
)

// drop gives the buffer back.
func (c *Conn) drop() {
	if c.buf != nil {
		buffers.Put(c.buf)
		c.buf = nil
	}
}

// ErrPassed is returned by a Serve whose connection Pass gave to another.
var ErrPassed = errors.New("wsconn: another goroutine reads")

// Pass lets another goroutine call Serve and go on reading, while the Serve that
// runs now is still in its handler's Idle. That Serve touches the connection no
// more: it returns ErrPassed when Idle returns, or vanishes with its goroutine.
// Pass may be called once for each Serve, from any goroutine; the new Serve must
// come after it.
func (c *Conn) Pass() { c.owner.Add(1) }

// Serve reads until the connection ends, and then closes it. It runs on a
// goroutine of its own, started after the HTTP handler has returned or just
// before, and returns
//
//   - nil after a closing handshake, whoever began it, and when the peer goes
//     after CloseSent without one; whatever valid code the peer sends is clean,
//     and is answered with 1000;
//   - a *CloseError after the peer broke a rule: a close frame with the error's
//     code has been given to h, and Serve has waited for its way out;
//   - the error of h.Data or h.Idle; if a close frame was sent before, after
//     the closing handshake, else at once;
//   - an error that is net.ErrClosed after Abort, io.ErrUnexpectedEOF after an
//     end without a close frame, os.ErrDeadlineExceeded if the closing
//     handshake was not completed within CloseTimeout, or that of the socket.
//
// After a closing handshake Serve waits up to a second for the peer to close its
// end; h knows of the closing before, by the close frame that Control gets, or
// because it sent one. A panic of h passes through and closes the connection.
func (c *Conn) Serve(h Handler) error {
	owner := c.owner.Load()
	defer func() {
		if c.owner.Load() == owner {
			c.close()
		}
	}()
	var (
		raw   syscall.RawConn
		ready func(uintptr) bool
		held  []byte
	)
	if c.direct {
		var err error
		if raw, err = c.nc.(syscall.Conn).SyscallConn(); err != nil {
			return fmt.Errorf("wsconn: read: %w", err)
		}
		ready = c.readable // made once: it is an allocation
	} else {
		held = make([]byte, 512)
	}
	var result error // what Serve returns once the closing is over
	for {
		p, err := c.read(raw, ready, held)
		if err != nil || c.has(aborted) {
			return c.ended(result, err)
		}
		if c.has(finished) {
			continue // discarded until the end of input
		}
		v, err := c.consume(h, p)
		if v == nothing {
			v, err = c.idle(h)
		}
		if c.owner.Load() != owner {
			return ErrPassed
		}
		if v == nothing {
			continue
		}
		if result == nil {
			result = err // the first cause is what counts
		}
		if v == refused && !c.has(closing) {
			return result
		}
		if v == refused {
			continue
		}
		if !c.has(closing | aborted) {
			// What came before the end may have answers that wait for Idle.
			if err := h.Idle(); err != nil && result == nil {
				result = err
			}
		}
		c.finish(h, err)
	}
}

// A verdict is what comes of one read's bytes.
type verdict uint8

const (
	nothing  verdict = iota // go on
	goodbye                 // the peer's close frame has come
	nonsense                // the peer broke a rule; the error is a *CloseError
	refused                 // the Handler returned the error
)

// finish answers the peer's close frame (cause is nil), or nonsense, with ours,
// unless that has been sent before.
func (c *Conn) finish(h Handler, cause error) {
	code := CloseNormal
	if e, ok := cause.(*CloseError); ok {
		code = e.Code
	}
	c.mu.Lock()
	begun := c.beginLocked()
	c.setLocked(finished)
	half := c.overLocked()
	c.mu.Unlock()
	if half {
		c.halfClose()
	}
	if begun {
		f := controls.Get().(*[2 + maxControl]byte)
		h.Control(AppendClose(f[:0], code, ""))
		controls.Put(f)
	}
}

// ended is what Serve returns when no more can be read.
func (c *Conn) ended(result, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.has(lingering) {
		c.mu.Lock()
		c.setLocked(timedOut)
		c.mu.Unlock()
	}
	switch {
	case result != nil:
		return result
	case c.has(aborted):
		return fmt.Errorf("wsconn: aborted: %w", net.ErrClosed)
	case c.has(timedOut):
		return fmt.Errorf("wsconn: close: %w", err)
	case c.has(closing):
		return nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("wsconn: read: %w", err)
}

// read returns the next bytes of input, valid until the next read, and waits
// for them. On the ordinary path it waits with held.
func (c *Conn) read(raw syscall.RawConn, ready func(uintptr) bool, held []byte) ([]byte, error) {
	if c.early != nil {
		p := *c.early
		c.early = nil
		return p, nil
	}
	if raw != nil {
		return c.park(raw, ready)
	}
	p := held
	if c.n > 0 && int(c.n) >= len(held) { // the last read filled what it got: there is more
		if c.buf == nil {
			c.buf = buffers.Get().(*buffer)
		}
		p = c.buf[:]
	} else {
		c.drop()
	}
	n, err := c.nc.Read(p)
	if c.n = int32(n); n < len(p) {
		c.n = 0
	}
	if n > 0 {
		return p[:n], nil
	}
	return nil, err
}
