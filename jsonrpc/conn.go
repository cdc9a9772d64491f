package jsonrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A Conn is one end of a JSON-RPC connection: it answers calls of its peer with
// the handlers of a hub, and calls the peer itself.
//
// All methods may be called at the same time. A Conn owns the goroutine that
// reads; it has ended when Done is closed. Nothing in it waits for a peer without
// bound: what is not read, answered or asked for is limited, and holds back the
// peer that made it.
type Conn struct {
	svc  *service
	opts *Options
	t    transport
	port *hubwire.Port // set before opened is closed

	opened chan struct{} // closed when the hub has taken the connection, or refused it
	done   chan struct{} // closed at the end
	ready  atomic.Bool   // opened, and not refused

	// the reader's alone
	dec    decoder
	buf    []byte
	from   int // what of buf has not been used
	to     int
	parser parser
	fresh  bool // buf has what was read before the reader began

	gate     gate
	inFlight inFlight
	out      outbox
	pending  pending
	seqs     producers

	ignored atomic.Int64 // answers to calls that nobody made

	mu      sync.Mutex // guards the following
	closing bool
	reason  error
	err     error
}

// A transport carries bytes. Read is the reader's, all else anybody's.
type transport interface {
	// TryWrite writes what can be written without waiting.
	TryWrite(p []byte) (int, error)
	// Write writes all of p and may wait; close ends it.
	Write(p []byte) error
	// run reads until the end, and then calls Conn.finish, or gives the reading on.
	run(c *Conn)
	framing() Framing
	// stop lets the reader come to its end, soon. It does not wait.
	stop(c *Conn, fault bool)
	// close lets the transport go; called once, last.
	close()
	// name is Request.Transport, and the peer's address.
	name() (transport, remote string)
}

// NewConn makes one end of a connection over a stream of bytes: a net.Conn, the
// pipes of a process. The hub answers; nil is one of
// opts.Handlers alone. The handlers' Conn is this connection: what they send and
// ask goes to the peer. A refusal in Connect ends the connection; Err says so.
//
// It panics with a sentence for every rule that opts breaks.
func NewConn(rwc io.ReadWriteCloser, hub *hubwire.Hub, opts *Options) *Conn {
	s := newService(hub, opts)
	return s.serve(rwc)
}

// serve makes a connection of a stream of bytes and starts it.
func (s *service) serve(rwc io.ReadWriteCloser) *Conn {
	t := newStream(rwc, s.opts.Framing)
	c := s.conn(t)
	if t.format == Sniff {
		go t.run(c) // ends with the connection
		return c
	}
	if c.open(s.opts.Context, s.opts.User, nil) == nil {
		go t.run(c) // likewise
	}
	return c
}

func (s *service) conn(t transport) *Conn {
	c := &Conn{svc: s, opts: s.opts, t: t, opened: make(chan struct{}), done: make(chan struct{})}
	c.parser.lenient, c.parser.v1 = s.opts.Lenient, s.opts.Version1
	c.dec = decoder{framing: t.framing(), max: s.opts.MaxMessage}
	c.gate.conn, c.out.conn, c.seqs.conn = c, c, c
	c.gate.on = s.opts.Order == Barrier
	return c
}

// open enters the hub, which runs Connect.
func (c *Conn) open(ctx context.Context, u *hubwire.User, req *hubwire.Request) error {
	if req == nil {
		req = &hubwire.Request{}
	}
	req.Wire, req.Protocol = "jsonrpc", "json"
	req.Transport, req.Remote = c.t.name()
	port, err := c.svc.hub.Open(ctx, (*link)(c), newID(), u, req)
	c.mu.Lock()
	c.port = port
	closing := c.closing
	c.mu.Unlock()
	if err != nil {
		c.mu.Lock()
		c.closing, c.err = true, fmt.Errorf("jsonrpc: refused: %w", err)
		c.mu.Unlock()
		close(c.opened)
		c.refused()
		return err
	}
	switch c.opts.Order {
	case Barrier, Unordered:
		port.Places(c.opts.MaxCalls)
	case Serial:
		port.Places(1)
	}
	if p, ok := c.t.(passer); ok {
		port.Turns(func() { p.pass(c) })
	}
	c.ready.Store(true)
	close(c.opened)
	if closing { // in Connect
		port.Unblock()
		c.t.stop(c, false)
	}
	return nil
}

// A passer is a transport whose reading can be given to another goroutine.
type passer interface{ pass(c *Conn) }

// refused ends a connection that the hub did not take.
func (c *Conn) refused() {
	c.t.stop(c, false)
	c.pending.fail(c.Err())
	c.t.close()
	close(c.done)
}

// A link is a Conn as the hub sees it.
type link Conn

// Framing is how messages are written.
func (l *link) Framing() wire.Framing { return formatOf(l.svc.d, l.t.framing()) }

// TryWrite writes what can be written without waiting.
func (l *link) TryWrite(p []byte) (int, error) { return l.t.TryWrite(p) }

// Write writes all of p.
func (l *link) Write(p []byte) error { return l.t.Write(p) }

// Close ends the connection.
func (l *link) Close(reason error, _ bool) { (*Conn)(l).shut(reason, false) }

// shut begins the end; the reader does the rest.
func (c *Conn) shut(reason error, fault bool) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing, c.reason = true, reason
	port := c.port
	c.mu.Unlock()
	if port == nil {
		if c.opts.Framing == Sniff {
			c.t.stop(c, fault)
		}
		return // open sees it
	}
	port.Unblock()
	c.t.stop(c, fault)
}

// flushTime is how long a peer may take to read the last words.
const flushTime = time.Second

// finish is called by the reader, once, last. err is how reading ended: nil or
// io.EOF in good order.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	c.closing = true
	cause := c.reason
	_, lost := errors.AsType[*frameError](err)
	if c.err == nil {
		switch {
		case cause != nil:
			c.err = cause
		case lost:
			c.err, cause = err, err
		case err != nil && err != io.EOF:
			c.err = fmt.Errorf("jsonrpc: read: %w", err)
		}
	}
	c.mu.Unlock()
	c.pending.fail(hubwire.ErrClosed)
	c.seqs.end()
	if c.port != nil {
		c.port.Kick()
		c.port.Unblock()
		c.port.End(cause)
		if cause == nil || lost { // what came before a fault has its answers
			ctx, cancel := context.WithTimeout(context.Background(), flushTime)
			_ = c.port.Flush(ctx) // a peer that does not read loses it
			cancel()
		}
	} else {
		close(c.opened)
	}
	c.t.close()
	close(c.done)
}

// Done is closed when the connection has ended and all its calls with it.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says how the connection ended: nil if in good order. It is nil before.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection: own calls fail, those of the peer are cancelled, and
// what was written is sent. It waits for the end, so a handler must not call it
// (hubwire.Conn.Abort is for that).
func (c *Conn) Close() error {
	<-c.opening()
	if c.ready.Load() {
		c.out.flush()
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		_ = c.port.Flush(ctx) // as in finish
		cancel()
	}
	c.shut(nil, false)
	<-c.done
	return nil
}

// opening is what Close waits for: a connection that is not open yet can be
// closed all the same.
func (c *Conn) opening() <-chan struct{} {
	if c.opts.Framing == Sniff {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return c.opened
}

// Hub is the connection as the hub's handlers see it: what can be sent to, asked,
// and put into groups. Nil where the hub refused it.
func (c *Conn) Hub() *hubwire.Conn {
	<-c.opened
	if !c.ready.Load() {
		return nil
	}
	return c.port.Conn()
}

// Ignored counts the answers that came to calls that nobody had made.
func (c *Conn) Ignored() int64 { return c.ignored.Load() }
