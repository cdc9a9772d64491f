package rawconn

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Conn is a connection that was taken over to be written to.
//
// One goroutine runs Serve, which must be called exactly once, after an Abort
// too: it alone closes the socket, so that its descriptor cannot mean another
// connection while somebody writes. All other methods may be called by any
// goroutine at any time; bytes written by TryWrite and Write at the same time
// would mix, so those two take turns.
type Conn struct {
	nc     net.Conn
	direct bool // reads and writes go by the descriptor

	mu      sync.Mutex // guards the following
	fd      int32      // while it may be written to; -1: ordinary path, or no more
	aborted bool
	ended   bool // End was called
	closed  bool
	behind  bool // the peer has not taken what was written
}

// Time that a peer has.
const (
	// lastTime is how long it may take to read what was written before the end.
	lastTime = 5 * time.Second
	// linger is how long it may take to notice the end.
	linger = time.Second
)

// maxTalk is how much a peer may send that has nothing to say any more, such as
// a request behind the one that was taken over.
const maxTalk = 64 << 10

var errTalks = errors.New("rawconn: the peer sends what nobody reads")

// New makes a Conn of a connection that Take returned.
func New(nc net.Conn) *Conn {
	c := &Conn{nc: nc, fd: -1}
	if fd, ok := Descriptor(nc); ok {
		c.fd, c.direct = int32(fd), true
	}
	return c
}

// Serve waits until the peer has left or the connection was ended, and closes
// it. A peer that leaves by itself is io.EOF.
func (c *Conn) Serve() error {
	defer c.close()
	err := c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.aborted:
		return fmt.Errorf("rawconn: aborted: %w", net.ErrClosed)
	case c.ended:
		return nil
	}
	return err
}

func (c *Conn) wait() error {
	if c.direct {
		raw, err := c.nc.(syscall.Conn).SyscallConn()
		if err != nil {
			return err
		}
		return await(raw, maxTalk)
	}
	b := make([]byte, 64)
	for left := maxTalk; left >= 0; {
		n, err := c.nc.Read(b)
		if err != nil {
			return err
		}
		left -= n
	}
	return errTalks
}

// TryWrite writes what the kernel takes now and returns how much that was; it
// never waits. On the ordinary path it writes nothing and returns 0 and no error:
// the rest is Write's. After Abort, End and the end of Serve it fails with
// net.ErrClosed. It does not allocate.
func (c *Conn) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 || c.ended {
		return 0, c.unwritableLocked()
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := TryWrite(int(c.fd), p)
	c.behind = n < len(p)
	if err != nil {
		return n, fmt.Errorf("rawconn: write: %w", err)
	}
	return n, nil
}

func (c *Conn) unwritableLocked() error {
	if c.aborted || c.ended || c.closed {
		return fmt.Errorf("rawconn: write: %w", net.ErrClosed)
	}
	return nil
}

// Write writes all of p, and waits while the kernel does not take it. Abort and
// the end of Serve end it. p is not kept.
func (c *Conn) Write(p []byte) error {
	c.mu.Lock()
	err := c.unwritableLocked()
	c.behind = err == nil && len(p) > 0
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err = c.nc.Write(p); err != nil {
		return fmt.Errorf("rawconn: write: %w", err)
	}
	c.mu.Lock()
	c.behind = false
	c.mu.Unlock()
	return nil
}

// Leave gives the peer lastTime to read what waits to be written to it; then
// Serve ends.
func (c *Conn) Leave() { _ = c.nc.SetReadDeadline(time.Now().Add(lastTime)) }

// End is called when all has been written: the output ends, and Serve with the
// peer's, or a moment later.
func (c *Conn) End() {
	c.mu.Lock()
	again := c.ended || c.aborted || c.closed
	c.ended = true
	if !again && c.fd >= 0 {
		ShutdownWrite(int(c.fd))
	}
	c.mu.Unlock()
	if again {
		return
	}
	wait := linger
	if !c.direct {
		// TLS says goodbye, which may wait, but not here for long: what it writes
		// is little.
		_ = c.nc.SetWriteDeadline(time.Now().Add(linger))
		if h, ok := c.nc.(interface{ CloseWrite() error }); !ok || h.CloseWrite() != nil {
			wait = 0 // where output cannot end alone the peer waits for all of it
		}
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(wait))
}

// Abort ends the connection without a word: Serve ends, and with it every Write.
// It does not wait, and may be called more than once.
func (c *Conn) Abort() {
	c.mu.Lock()
	again := c.aborted || c.closed
	c.aborted = true
	reset := c.behind
	if c.fd >= 0 {
		Shutdown(int(c.fd))
		c.fd = -1
	}
	c.mu.Unlock()
	if !c.direct && !again {
		CloseBeneath(c.nc, reset) // a net.Conn is closed safely by anyone
	}
}

// close closes the socket. Only Serve calls it, last.
func (c *Conn) close() {
	c.mu.Lock()
	reset := c.behind
	c.closed = true
	c.fd = -1
	c.mu.Unlock()
	if reset {
		CloseBeneath(c.nc, true)
	}
	c.nc.Close()
}
