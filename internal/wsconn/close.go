package wsconn

import (
	"time"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// CloseSent tells that the caller has written a close frame, with whatever code,
// or has queued it as the last thing to be written. From now on what the peer
// sends is read and discarded, and Serve ends with the peer's close frame, with
// the end of input, or after CloseTimeout. Later calls change nothing.
//
// It may be called before the frame is written, or behind. Without it the
// closing begins when the frame has left whole; the frames that Control gets
// need no call.
func (c *Conn) CloseSent(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginLocked()
}

// beginLocked begins the closing and reports whether it had not begun.
func (c *Conn) beginLocked() bool {
	if c.has(closing | closed) {
		return false
	}
	c.setLocked(closing)
	c.owed = nil
	c.nc.SetReadDeadline(time.Now().Add(CloseTimeout))
	return true
}

// overLocked ends our output once the closing handshake is over, and lets the
// reader wait for the peer to do the same. On the ordinary path the caller must
// do the former, without mu, if it gets true: it may wait.
func (c *Conn) overLocked() (half bool) {
	if !c.has(sent) || !c.has(finished) || c.has(lingering|aborted|closed) {
		return false
	}
	c.setLocked(lingering)
	c.nc.SetReadDeadline(time.Now().Add(linger))
	if c.fd >= 0 {
		rawconn.ShutdownWrite(int(c.fd))
	}
	return !c.direct
}

// halfClose ends our output on the ordinary path. Where output cannot end alone
// there is no reset either, so the reader need not wait.
func (c *Conn) halfClose() {
	if h, ok := c.nc.(interface{ CloseWrite() error }); !ok || h.CloseWrite() != nil {
		c.nc.SetReadDeadline(past)
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Abort ends the connection without a word: Serve ends, and with it every
// Write. It does not wait, and may be called more than once. A peer that has not
// taken all that was written is reset. The socket is closed by Serve's goroutine
// alone, so that its descriptor cannot mean another connection while somebody
// writes.
func (c *Conn) Abort() {
	c.mu.Lock()
	again := c.has(aborted | closed)
	c.setLocked(aborted)
	reset := c.undeliveredLocked()
	if c.fd >= 0 {
		rawconn.Shutdown(int(c.fd))
		c.fd = -1
	}
	c.mu.Unlock()
	if !c.direct && !again {
		// A net.Conn is closed safely by anyone.
		rawconn.CloseBeneath(c.nc, reset)
	}
}

// undeliveredLocked reports whether the peer does not read. Then the connection
// ends with a reset, lest the kernel go on offering what it holds for minutes.
func (c *Conn) undeliveredLocked() bool {
	return c.has(aborted) && c.behind || c.has(closing) && !c.has(sent) || c.has(timedOut)
}

// close closes the socket. Only Serve calls it, last.
func (c *Conn) close() {
	c.mu.Lock()
	reset := c.undeliveredLocked()
	c.setLocked(closed)
	c.fd = -1
	c.owed = nil
	c.mu.Unlock()
	if reset {
		rawconn.CloseBeneath(c.nc, reset)
	}
	c.nc.Close()
	c.drop()
}

// Retire closes a connection to which nobody writes any more, but for a Write
// that may be stuck: with a close frame where one can be written at once, else
// like Abort. It waits a second at most, on the ordinary path alone.
func (c *Conn) Retire(code int) {
	var b [2 + maxControl]byte
	frame := AppendClose(b[:0], code, "")
	c.mu.Lock()
	c.beginLocked()
	clean := !c.behind && c.out.between() && !c.has(sent|aborted|closed)
	if clean && c.fd >= 0 {
		n, err := rawconn.TryWrite(int(c.fd), frame)
		c.wroteLocked(frame[:n])
		c.overLocked()
		clean = err == nil && n == len(frame)
	}
	c.mu.Unlock()
	if clean && !c.direct {
		_ = c.nc.SetWriteDeadline(time.Now().Add(linger))
		clean = c.Write(frame) == nil
	}
	if !clean {
		c.Abort()
	}
}
