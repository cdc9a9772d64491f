package grpchub

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// A conn is a connection of Connect or Subscribe, and its wire.Link.
//
// The goroutine of the call reads, and stays until the connection has ended. It
// goes through these phases: joining (Hub.Open runs Connect; what the hub sends
// is kept until the Welcome is written), open, and closing, where one goroutine
// says the last words and ends the Port. Whoever wants to end a connection that
// is joining leaves word for the reader.
type conn struct {
	ticker.Slot
	srv     *server
	s       *grpcwire.Stream
	raw     grpcwire.Raw
	proto   *protocol
	framing wire.Framing
	hub     *hubwire.Hub
	hubOpts hubwire.Options
	id      string
	token   string
	bidi    bool
	port    *hubwire.Port // set while joining, unchanged then

	keepAlive, timeout time.Duration
	pinged             int64        // when we pinged; the ticker's alone
	seen               atomic.Int64 // when the client was heard
	armed              atomic.Bool  // the client has pinged
	waits              atomic.Bool  // the reader waits for room: the client's clock stands still

	starting sync.Mutex // held while a call is started: the reader's, and those of Invoke

	open    atomic.Bool
	mu      sync.Mutex // guards the following
	phase   phase
	wanted  *ending // what waits for the reader, while joining
	early   []byte  // what the hub sent before the Welcome
	entered chan struct{}

	out  follower // of whoever writes
	said chan struct{}
	told sync.Once // closes said
	quit atomic.Bool

	done   chan struct{} // closed when the call may return
	status error         // with this; set before

	running atomic.Int32 // calls that have not been answered
	idle    chan struct{}

	up      sync.Mutex // guards the following
	uploads map[string]*upload
	kept    int // bytes of upload items that are not counted as waiting input
}

type phase uint8

const (
	joining phase = iota
	opened
	closing
)

// An ending says how a connection ends.
type ending struct {
	reason    string
	reconnect bool
	status    error // nil is OK
	cause     error // for Disconnect
	silent    bool  // nothing can be said
}

func (s *server) newConn(st *grpcwire.Stream, hello *hubpb.Hello, bidi bool) (*conn, error) {
	if hello == nil {
		return nil, fail(hubwire.CodeInvalidArgument, "The first frame must be a Hello.")
	}
	h, bad := s.hub(hello.Hub)
	if bad != nil {
		return nil, bad
	}
	p := protocolOf(hello.Encoding, !bidi)
	if p == nil {
		return nil, fail(hubwire.CodeInvalidArgument, "There is no such encoding.")
	}
	c := &conn{
		srv: s, s: st, proto: p, framing: framing{p}, hub: h, hubOpts: h.Options(), id: random(), token: random(), bidi: bidi,
		keepAlive: s.opts.KeepAlive, timeout: s.opts.ClientTimeout,
		entered: make(chan struct{}), said: make(chan struct{}), done: make(chan struct{}), idle: make(chan struct{}, 1),
	}
	if st.JSON() {
		c.framing = jsonFraming{p}
	}
	if d := time.Duration(hello.KeepaliveMs) * time.Millisecond; d > 0 {
		c.keepAlive = max(time.Second, min(d, c.keepAlive))
	}
	if d := time.Duration(hello.TimeoutMs) * time.Millisecond; d > 0 {
		c.timeout = max(time.Second, min(d, c.timeout))
	}
	return c, nil
}

// connect serves Connect.
func (s *server) connect(st *grpcwire.Stream) error {
	late := time.AfterFunc(s.opts.HelloTimeout, func() { st.Cut(fail(hubwire.CodeInvalidArgument, "There was no Hello in time.")) })
	var first hubpb.ClientFrame
	err := st.Recv(&first)
	if !late.Stop() || err != nil {
		if err == nil || errors.Is(err, io.EOF) {
			err = fail(hubwire.CodeInvalidArgument, "There was no Hello.")
		}
		return err
	}
	c, err := s.newConn(st, first.GetHello(), true)
	if err != nil {
		return err
	}
	return c.serve(first.GetHello().Query, nil, c.read)
}

// subscribe serves Subscribe.
func (s *server) subscribe(st *grpcwire.Stream) error {
	var r hubpb.SubscribeRequest
	if err := st.Recv(&r); err != nil {
		return err
	}
	c, err := s.newConn(st, r.Hello, false)
	if err != nil {
		return err
	}
	return c.serve(r.Hello.Query, r.Groups, func() {
		select {
		case <-c.done:
		case <-st.Context().Done():
			c.end(&ending{silent: true})
		}
	})
}

// serve is the life of a connection.
func (c *conn) serve(query map[string]string, groups []string, read func()) error {
	ctx := c.s.Context()
	raw, err := c.s.Raw()
	if err != nil {
		return err
	}
	c.raw = raw
	transport := "Connect"
	if !c.bidi {
		transport = "Subscribe"
	}
	c.port, err = c.hub.Open(ctx, c, c.id, hubwire.UserFrom(ctx), c.srv.request(c.s, transport, c.proto, query))
	if err != nil {
		close(c.entered)
		return refusal(err)
	}
	defer func() { // also when the reader panics, which would be a fault of this package
		c.end(&ending{silent: true})
		<-c.done
	}()
	unblock := context.AfterFunc(ctx, c.port.Unblock)
	defer unblock()
	var refused error
	for _, g := range groups {
		if refused = c.join(ctx, g); refused != nil {
			break
		}
	}
	c.srv.add(c) // before the client can know its token
	if e := c.enter(refused); e != nil {
		c.end(e)
	} else {
		c.pinged = c.srv.ticks.Now()
		c.heard()
		c.srv.ticks.Add(c)
		c.s.Notify(c.leaves)
		read()
	}
	c.end(&ending{silent: true})
	<-c.done
	return c.status
}

// join takes the connection into a group that its client asked for.
func (c *conn) join(ctx context.Context, group string) error {
	if c.srv.opts.Join == nil {
		return fail(hubwire.CodePermissionDenied, "Groups cannot be chosen by clients.")
	}
	if err := c.srv.opts.Join(ctx, c.port.Conn(), group); err != nil {
		return refusal(err)
	}
	return c.port.Conn().Join(ctx, group)
}

// enter opens the connection: the Welcome, then what the hub has sent. It gives
// how the connection is to end instead.
func (c *conn) enter(refused error) *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = opened
	if refused != nil {
		close(c.entered)
		return &ending{status: refused, silent: true}
	}
	user := c.port.Conn().User().ID
	welcome := framed(c.framing, &hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Welcome{Welcome: &hubpb.Welcome{
		ConnectionId: c.id, UserId: valid(user), ConnectionToken: c.token, KeepaliveMs: ms(c.keepAlive), TimeoutMs: ms(c.timeout), MaxMessageBytes: uint32(c.srv.opts.MaxMessage),
	}}})
	// Both fit into what the stream takes without waiting.
	_, err := c.raw.TryWrite(append(welcome, c.early...))
	c.out.next(welcome)
	if c.out.next(c.early) {
		c.told.Do(func() { close(c.said) })
	}
	c.early = nil
	c.open.Store(true)
	close(c.entered)
	if err != nil {
		return &ending{silent: true}
	}
	return c.wanted
}

// maxEarly is how much the hub may send before the Welcome without waiting.
const maxEarly = 16 << 10

// Framing implements wire.Link.
func (c *conn) Framing() wire.Framing { return c.framing }

// TryWrite implements wire.Link.
func (c *conn) TryWrite(p []byte) (int, error) {
	if !c.open.Load() {
		c.mu.Lock()
		if !c.open.Load() {
			n := min(len(p), maxEarly-len(c.early))
			c.early = append(c.early, p[:n]...)
			c.mu.Unlock()
			return n, nil
		}
		c.mu.Unlock()
	}
	n, err := c.raw.TryWrite(p)
	c.wrote(p[:n])
	return n, err
}

// Write implements wire.Link.
func (c *conn) Write(p []byte) error {
	if !c.open.Load() {
		select {
		case <-c.entered:
		case <-c.s.Context().Done():
		}
		if !c.open.Load() {
			return hubwire.ErrClosed
		}
	}
	if err := c.raw.Write(p); err != nil {
		return err
	}
	c.wrote(p)
	return nil
}

func (c *conn) wrote(p []byte) {
	if c.out.next(p) {
		c.told.Do(func() { close(c.said) })
	}
}

// Close implements wire.Link.
func (c *conn) Close(reason error, reconnect bool) {
	switch {
	case reason == nil:
		c.endAside(&ending{reconnect: reconnect})
	case errors.Is(reason, wire.ErrLost):
		c.endAside(&ending{silent: true})
	case errors.Is(reason, hubwire.ErrShutdown), errors.Is(reason, hubwire.ErrClosed):
		c.endAside(&ending{reason: "The server shuts down.", reconnect: true, status: fail(hubwire.CodeUnavailable, "The server shuts down.")})
	case errors.Is(reason, hubwire.ErrSlow):
		slow := fail(hubwire.CodeResourceExhausted, "The client is too slow.")
		c.endWith(&ending{silent: true, status: slow, cause: reason}, func() { c.s.Cut(slow) })
	default:
		c.endAside(&ending{reason: valid(reason.Error()), reconnect: reconnect, status: fail(hubwire.CodeUnavailable, "The hub has closed the connection."), cause: reason})
	}
}

// leaves is told when the server shuts down, the connection is old or the user's
// credentials end.
func (c *conn) leaves(why error) {
	text := ""
	if st, ok := why.(*grpcwire.Status); ok {
		text = st.Message
	}
	c.endAside(&ending{reason: text, reconnect: true, status: why})
}

// end ends the connection. It is the reader's.
func (c *conn) end(e *ending) {
	if c.begin(e) {
		c.finish(e)
	}
}

// endAside is end for all others, who must not wait.
func (c *conn) endAside(e *ending) { c.endWith(e, nil) }

// endWith is endAside. cut, where it is not nil, ends a stream that must not wait for
// its peer, also where another end counts; it comes when this one is known.
func (c *conn) endWith(e *ending, cut func()) {
	begun := c.begin(e)
	if cut != nil {
		cut()
	}
	if begun {
		go c.finish(e) // ends with the Port, which waits a few seconds for calls at most; the reader waits for it
	}
}

// begin starts the last phase and reports whether it had not begun.
func (c *conn) begin(e *ending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.phase {
	case closing:
		return false
	case joining:
		if c.wanted == nil {
			c.wanted = e
		}
		return false
	}
	c.phase = closing
	return true
}

// lastWait is how long a client may take for the last words.
const lastWait = 5 * time.Second

// finish says the last words, ends the Port and lets the call return.
func (c *conn) finish(e *ending) {
	c.srv.ticks.Remove(c)
	c.srv.forget(c)
	if e.silent {
		c.quit.Store(true)
	} else {
		c.port.Control(framed(c.framing, &hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Close{Close: &hubpb.Close{Reason: e.reason, Reconnect: e.reconnect}}}))
		c.quit.Store(true)
		timer := time.NewTimer(lastWait)
		select {
		case <-c.said:
		case <-timer.C:
			c.raw.Abort()
		case <-c.s.Context().Done():
		}
		timer.Stop()
	}
	c.endUploads()
	c.port.Unblock()
	c.port.End(e.cause)
	c.status = e.status
	close(c.done)
	c.s.StopReading()
}

// heard notes that the client has sent something.
func (c *conn) heard() {
	if now := c.srv.ticks.Now(); c.seen.Load() != now {
		c.seen.Store(now)
	}
}

// Tick pings, and ends a connection whose client has fallen silent.
func (c *conn) Tick(now int64) {
	if now-c.pinged >= seconds(c.keepAlive) {
		c.pinged = now
		if !c.quit.Load() {
			c.port.Control(c.framedPing())
		}
	}
	if c.armed.Load() && !c.waits.Load() && now-c.seen.Load() > seconds(c.timeout) {
		c.endAside(&ending{reason: "The client was silent for too long.", reconnect: true, status: fail(hubwire.CodeUnavailable, "The client was silent for too long.")})
	}
}

func (c *conn) framedPing() []byte {
	return framed(c.framing, &hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Ping{Ping: &hubpb.Ping{}}})
}

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
