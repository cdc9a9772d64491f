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
	closed chan struct{} // closed when nothing is read or written any more
	done   chan struct{} // closed at the end
	ready  atomic.Bool   // opened, and not refused
	quiet  atomic.Bool   // the end has begun

	// the reader's alone
	dec    decoder
	buf    []byte
	from   int // what of buf has not been used
	to     int
	parser parser
	fresh  bool // buf has what was read before the reader began

	sink     *inBatch // where the answers to a POST go; else nil. It does not change
	gate     gate
	inFlight inFlight
	under    tally // calls of the peer that have not ended
	feeds    tally // goroutines that make the values of sequences
	out      outbox
	pending  pending
	seqs     producers
	progress progresses
	objects  objects

	ignored atomic.Int64 // answers to calls that nobody made

	mu      sync.Mutex // guards the following
	closing bool       // by whom begin said so
	reason  error
	err     error
}

// A transport carries bytes. Read is the reader's, all else anybody's.
type transport interface {
	// TryWrite writes what can be written without waiting.
	TryWrite(p []byte) (int, error)
	// Write writes all of p and may wait; close ends it.
	Write(p []byte) error
	framing() Framing
	// stop lets the reader come to its end, soon. It does not wait. It is called
	// at most once, by whoever has begun the end, unless that is the reader.
	stop(c *Conn)
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
	s := newService(hub, opts, Barrier)
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
	if c.open(s.opts.Context, s.opts.User, &hubwire.Request{}) == nil {
		go t.run(c) // likewise
	}
	return c
}

func (s *service) conn(t transport) *Conn {
	c := &Conn{svc: s, opts: s.opts, t: t, opened: make(chan struct{}), closed: make(chan struct{}), done: make(chan struct{})}
	c.parser.lenient, c.parser.v1, c.parser.packed = s.opts.Lenient, s.opts.Version1, s.opts.Notation != JSON
	c.dec = decoder{framing: t.framing(), max: s.opts.MaxMessage}
	c.gate.conn, c.out.conn, c.seqs.conn = c, c, c
	c.gate.on = s.opts.Order == Barrier
	c.pending.last = s.opts.lastID
	return c
}

// errGoexit is the refusal of a Connect that left with runtime.Goexit.
var errGoexit = errors.New("jsonrpc: Connect did not return")

// open enters the hub, which runs Connect.
func (c *Conn) open(ctx context.Context, u *hubwire.User, req *hubwire.Request) (err error) {
	err = errGoexit
	defer func() {
		if err != nil {
			c.mu.Lock()
			c.closing, c.err = true, fmt.Errorf("jsonrpc: refused: %w", err)
			c.mu.Unlock()
			close(c.opened)
			c.refused(err)
		}
	}()
	req.Wire, req.Protocol = "jsonrpc", c.opts.Notation.String()
	req.Transport, req.Remote = c.t.name()
	port, err := c.enter(context.WithValue(ctx, connKey{}, c), u, req)
	c.mu.Lock()
	c.port = port
	closing := c.closing
	c.mu.Unlock()
	if err != nil {
		return err
	}
	switch c.opts.Order {
	case Barrier, Unordered:
		port.Places(c.opts.MaxCalls)
	case Serial:
		port.Places(1)
	}
	if _, ok := c.t.(passer); ok {
		port.Turns()
	}
	c.ready.Store(true)
	close(c.opened)
	if closing { // in Connect
		port.Unblock()
		c.t.stop(c)
	}
	return nil
}

func (c *Conn) enter(ctx context.Context, u *hubwire.User, req *hubwire.Request) (*hubwire.Port, error) {
	if c.sink != nil {
		return c.svc.hub.OpenOnce(ctx, (*link)(c), newID(), u, req)
	}
	return c.svc.hub.Open(ctx, (*link)(c), newID(), u, req)
}

type connKey struct{}

// From is the connection whose call a handler's ctx is of, to call its peer; nil
// where the call came another way. The peer of an ordinary hub's handler is better
// asked with a hubwire.ClientMethod: that is so on every wire.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// A passer is a transport whose reading can be given to another goroutine.
type passer interface{ pass(c *Conn) }

// A refuser is a transport that tells its peer of a refusal itself, and ends the
// connection with drop.
type refuser interface{ refused(c *Conn, err error) }

// refused ends a connection that the hub did not take.
func (c *Conn) refused(err error) {
	c.quiet.Store(true)
	c.pending.fail(c.Err())
	if r, ok := c.t.(refuser); ok {
		r.refused(c, err)
		return
	}
	c.drop()
}

// A link is a Conn as the hub sees it.
type link Conn

// Framing is how messages are written.
func (l *link) Framing() wire.Framing { return formatOf(l.svc.d, l.t.framing()) }

// TryWrite writes what can be written without waiting.
func (l *link) TryWrite(p []byte) (int, error) { return l.t.TryWrite(p) }

// Write writes all of p.
func (l *link) Write(p []byte) error { return l.t.Write(p) }

// Pass gives the reading to another goroutine.
func (l *link) Pass() { l.t.(passer).pass((*Conn)(l)) }

// Close ends the connection.
func (l *link) Close(reason error, _ bool) { (*Conn)(l).shut(reason) }

// begin begins the end, and reports whether nobody had.
func (c *Conn) begin(reason error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.closing, c.reason = true, reason
	c.quiet.Store(true)
	return true
}

// shut begins the end; the transport, or its reader, does the rest.
func (c *Conn) shut(reason error) {
	if !c.begin(reason) {
		c.under.give()
		return
	}
	c.mu.Lock()
	port := c.port
	c.mu.Unlock()
	if port == nil {
		if c.opts.Framing == Sniff {
			c.t.stop(c)
		}
		return // open sees it
	}
	port.Unblock()
	c.t.stop(c)
}

// Time that a peer has.
const (
	// flushTime is how long it may take to read the last words.
	flushTime = time.Second
	// settleTime is how long, once it has said all that it wants to say, its calls
	// may go on without one of them coming to its end; settleMax bounds all of it.
	settleTime = time.Second
	settleMax  = 30 * time.Second
	// feedTime is how long the sequences that we make are awaited.
	feedTime = 5 * time.Second
)

// finish is called by the reader of a stream, once, last. err is how reading
// ended: nil or io.EOF in good order.
func (c *Conn) finish(err error) {
	left := c.begin(nil) && (err == nil || err == io.EOF)
	c.mu.Lock()
	cause := c.reason
	if c.err == nil {
		switch _, lost := errors.AsType[*frameError](err); {
		case cause != nil:
			c.err = cause
		case lost:
			c.err, cause = err, err
		case err != nil && err != io.EOF:
			c.err = fmt.Errorf("jsonrpc: read: %w", err)
		}
	}
	c.mu.Unlock()
	if c.port == nil { // Sniff
		close(c.opened)
		c.pending.fail(hubwire.ErrClosed)
		c.drop()
		return
	}
	c.halt(left)
	// What came before the end has its answers; a queue that was given up holds
	// nobody up.
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	_ = c.port.Flush(ctx) // a peer that does not read loses it
	cancel()
	c.t.close()
	close(c.closed)
	c.port.End(cause)
	c.ended()
}

// ended is the very last.
func (c *Conn) ended() {
	c.feeds.settle(feedTime, feedTime)
	close(c.done)
}

// halt ends what the connection itself waits for, and where the peer has left in
// good order lets the calls that it made before come to their end: the answers
// may still be read (half a socket, a process whose input has ended), and what
// was told in them, or in notifications, was meant.
func (c *Conn) halt(left bool) {
	c.quiet.Store(true)
	c.pending.fail(hubwire.ErrClosed)
	c.seqs.end()
	c.port.Kick()
	if left {
		c.under.settle(settleTime, settleMax)
	}
	c.port.Unblock()
}

// drop ends a connection that the hub does not know.
func (c *Conn) drop() {
	c.t.close()
	close(c.closed)
	close(c.done)
}

// Done is closed when the connection has ended, and all calls of its peer and all
// sequences of ours with it, or when those have ignored their end for 5 s.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says how the connection ended: nil if in good order. It is nil before.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection: what was sent before goes out, own calls fail, and
// the contexts of the peer's calls end. It waits until nothing is read or written
// any more, but not for the handlers, so that one may call it; Done waits for
// those too.
func (c *Conn) Close() error {
	<-c.opening()
	if c.ready.Load() {
		c.out.flush()
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		_ = c.port.Flush(ctx) // as in finish
		cancel()
	}
	c.shut(nil)
	<-c.closed
	return nil
}

// CloseWrite ends our output behind what was sent before, where the stream can do
// so: TCP and Unix sockets, a Pipe, a process. The peer sees the end of its input;
// what it still says is read, answers to our calls too, and what we would say is
// dropped. Other transports give errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	t, ok := c.t.(*stream)
	if !ok {
		return fmt.Errorf("jsonrpc: close the output: %w", errors.ErrUnsupported)
	}
	if err := c.wait(context.Background()); err != nil {
		return err
	}
	c.out.flush()
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = c.port.Flush(ctx) // as in finish
	return t.closeWrite()
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

// A tally counts calls.
type tally struct {
	n     atomic.Int64
	watch atomic.Bool // somebody settles

	mu   sync.Mutex    // guards the following
	wake chan struct{} // closed when one has ended
	gone bool          // nobody shall settle any more
}

func (t *tally) begin() { t.n.Add(1) }

func (t *tally) end() {
	t.n.Add(-1)
	if t.watch.Load() {
		t.wakes(false)
	}
}

// give ends settle.
func (t *tally) give() { t.wakes(true) }

func (t *tally) wakes(gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = t.gone || gone
	if t.wake != nil {
		close(t.wake)
		t.wake = nil
	}
}

// settle waits until all have ended; until for step none has; at most for all.
func (t *tally) settle(step, all time.Duration) {
	t.watch.Store(true)
	end := time.Now().Add(all)
	timer := time.NewTimer(step)
	defer timer.Stop()
	for last := t.n.Load(); ; {
		t.mu.Lock()
		n := t.n.Load()
		if n == 0 || t.gone {
			t.mu.Unlock()
			return
		}
		if t.wake == nil {
			t.wake = make(chan struct{})
		}
		wake := t.wake
		t.mu.Unlock()
		if n < last {
			timer.Reset(min(step, time.Until(end)))
			last = n
		}
		select {
		case <-wake:
		case <-timer.C:
			return
		}
	}
}
