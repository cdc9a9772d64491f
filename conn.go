package hubwire

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hubwire/hubwire/wire"
)

// A Conn is the hub's end of one connection.
//
// All methods may be called at the same time, and after the connection has
// ended too. The wire owns the goroutine that reads; a Conn owns one that runs
// its ordinary calls while there are any, one for each stream, and one that
// writes while the client is behind. All have ended when Disconnect is called
// (but for calls that ignore their context, see Options.Disconnect). A Conn
// whose queue is full is closed with ErrSlow: a slow client never makes another
// one wait.
type Conn struct {
	// What a delivery touches stands together.
	mu      sync.Mutex // guards q and what is due
	link    wire.Link
	coding  atomic.Pointer[coding] // of link; written under mu
	hub     *Hub
	q       queue
	lined   atomic.Int64 // what is in line for this connection alone: bytes, and linedOne for each record
	flags   flags
	pumpDue bool
	endDue  bool
	endSlow bool // the reason is ErrSlow
	endLost bool // the reason is wire.ErrLost

	id    string
	user  *User
	req   *Request
	base  context.Context // values
	calls calls

	place    uint8 // the index of its shard
	turnHint uint8 // where in Hub.turns to look for room first
	once     bool  // lives as long as one call (D 9)
	ended    bool  // guarded by state, as aborted
	aborted  bool

	state  sync.Mutex // guards the following
	ctx    *callCtx   // made on first use: most connections have no need
	all    *membership
	own    *membership // of the user
	groups map[string]*membership
	values map[any]any
	asks   map[string]*ask // questions to this client
}

const linedOne = 1 << 40

// flags are what is known of a connection without its locks.
type flags struct{ bits atomic.Uint32 }

const (
	isOver      uint32 = 1 << iota // so much waits that no call may start; set under mu
	isInTurn                       // the reader runs calls
	isUnflushed                    // answers are left to the end of the turn
	isAsking                       // Connect has returned: the client can be asked
	isCounted                      // the end of the connection was counted, or was not the hub's
)

func (f *flags) has(bit uint32) bool { return f.bits.Load()&bit != 0 }

// set and clear report whether the flag was set before.
func (f *flags) set(bit uint32) bool   { return f.bits.Or(bit)&bit != 0 }
func (f *flags) clear(bit uint32) bool { return f.bits.And(^bit)&bit != 0 }

// A coding is how records for a connection are made and framed. Connections
// share it.
type coding struct {
	wire.Framing
	protocol wire.Protocol
}

// codingOf is the coding of a framing.
func (h *Hub) codingOf(f wire.Framing) *coding {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.codings {
		if x.Framing == f {
			return x
		}
	}
	x := &coding{f, f.Protocol()}
	if len(h.codings) < maxCodings {
		h.codings = append(h.codings, x)
	}
	return x
}

// maxCodings is how many codings are shared; there are a few for each wire.
const maxCodings = 32

// shard is whose line the connection is in.
func (c *Conn) shard() *shard { return c.hub.shards[c.place] }

// protocol is the connection's, for good.
func (c *Conn) protocol() wire.Protocol { return c.coding.Load().protocol }

// framingLocked is that of the link that the connection has now.
func (c *Conn) framingLocked() wire.Framing { return c.coding.Load().Framing }

// ID is the public id of the connection: what Hub.Conn and Except take.
func (c *Conn) ID() string { return c.id }

// Hub is the hub that the connection belongs to, so that one list of handlers
// serves many hubs.
func (c *Conn) Hub() *Hub { return c.hub }

// User is who connected; never nil.
func (c *Conn) User() *User { return c.user }

// Request is what is kept of the request that made the connection; never nil.
func (c *Conn) Request() *Request { return c.req }

// Context ends with the connection. It carries the values of the connecting
// request's context.
func (c *Conn) Context() context.Context {
	c.state.Lock()
	defer c.state.Unlock()
	if c.ctx == nil {
		c.ctx = &callCtx{base: c.base}
		if c.ended {
			c.ctx.cancel(context.Canceled)
		}
	}
	return c.ctx
}

// cancel ends what Context returns.
func (c *Conn) cancel() {
	c.state.Lock()
	ctx := c.ctx
	c.state.Unlock()
	if ctx != nil {
		ctx.cancel(context.Canceled)
	}
}

// Abort closes the connection; the client is told not to reconnect.
func (c *Conn) Abort() {
	c.state.Lock()
	first := !c.aborted
	c.aborted = true
	c.state.Unlock()
	if first {
		if !c.once {
			c.closes("abort")
		}
		c.close(nil, false)
	}
}

// closes counts the end of the connection by the hub, once.
func (c *Conn) closes(reason string) {
	if !c.flags.set(isCounted) {
		c.hub.count("closes", reason, 1)
	}
}

// close closes the link that the connection has now.
func (c *Conn) close(reason error, reconnect bool) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	l.Close(reason, reconnect)
}

// LogValue makes a Conn a short log attribute.
func (c *Conn) LogValue() slog.Value { return slog.StringValue(c.id) }

func (c *Conn) deliver(ctx context.Context, m *message) error {
	if c.once {
		return nil // in no target (D 9)
	}
	s := scratches.Get().(*scratch)
	defer s.free()
	buf, err := encodeFor(s.buf[:0], c.protocol(), m, "")
	if err != nil {
		return err
	}
	s.buf = buf
	if err := c.wait(ctx, c.hub.waitBytes()); err != nil {
		if err == ErrClosed {
			return nil // a connection that has gone is no error (D 20)
		}
		return err
	}
	c.hub.count("events", targetKinds[toConn], 1)
	c.send(buf, m.key, waited)
	return nil
}

// Join makes c a member of groups, for the sends that follow. Joining twice is
// joining once. Memberships end with the connection.
func (c *Conn) Join(ctx context.Context, groups ...string) error {
	if c.once {
		return Errorf(CodeUnimplemented, "hubwire: a call without a connection cannot join a group")
	}
	for _, name := range groups {
		if err := c.shard().wait(ctx); err != nil {
			return err
		}
		if err := c.join(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) join(ctx context.Context, name string) error {
	c.state.Lock()
	if c.ended {
		c.state.Unlock()
		return ErrClosed
	}
	if c.groups[name] != nil {
		c.state.Unlock()
		return c.hub.subscribe(ctx, toGroup, name) // which may still be under way
	}
	if c.groups == nil {
		c.groups = map[string]*membership{}
	}
	c.groups[name] = c.hub.add(c, toGroup, name)
	c.state.Unlock()
	if err := c.hub.subscribe(ctx, toGroup, name); err != nil {
		c.leave(name)
		return err
	}
	return nil
}

// Leave ends memberships, for the sends that follow. Leaving a group twice, or
// one that was not joined, is no error.
func (c *Conn) Leave(ctx context.Context, groups ...string) error {
	for _, name := range groups {
		if err := c.shard().wait(ctx); err != nil {
			return err
		}
		c.leave(name)
	}
	return nil
}

func (c *Conn) leave(name string) {
	c.state.Lock()
	m := c.groups[name]
	delete(c.groups, name)
	last := m != nil && c.hub.drop(m)
	c.state.Unlock()
	if last {
		c.hub.unsubscribe(toGroup, name)
	}
}

// A Key names a value that belongs to a connection. Keys of different types
// are different keys.
//
//	const room hubwire.Key[string] = "room"
//	room.Set(c, "lobby")
type Key[T any] string

// Get is the value, and whether there is one.
func (k Key[T]) Get(c *Conn) (T, bool) {
	c.state.Lock()
	defer c.state.Unlock()
	v, ok := c.values[k].(T)
	return v, ok
}

// Set sets the value.
func (k Key[T]) Set(c *Conn, v T) {
	c.state.Lock()
	defer c.state.Unlock()
	if c.values == nil {
		c.values = map[any]any{}
	}
	c.values[k] = v
}

// Delete removes the value.
func (k Key[T]) Delete(c *Conn) {
	c.state.Lock()
	defer c.state.Unlock()
	delete(c.values, k)
}

// gone ends the memberships and fails the questions: nothing is sent to the
// connection any more.
func (c *Conn) gone() (first bool) {
	c.state.Lock()
	if c.ended {
		c.state.Unlock()
		return false
	}
	c.ended = true
	c.flags.set(isCounted)
	groups, own, asks := c.groups, c.own, c.asks
	c.groups, c.asks = nil, nil
	var empty []string
	for name, m := range groups {
		if c.hub.drop(m) {
			empty = append(empty, name)
		}
	}
	lastOfUser := own != nil && c.hub.drop(own)
	if c.all != nil {
		c.all.target.drop(c.all)
	}
	c.state.Unlock()
	if n := len(groups); n > 0 && c.hub.log.Enabled(context.Background(), slog.LevelDebug) {
		c.hub.log.Debug("hubwire: memberships end with their connection: a client that comes back has to join again, in Connect for example", "hub", c.hub.opts.Name, "conn", c.id, "groups", n)
	}
	for _, a := range asks {
		a.fail(errLeft(c.id))
	}
	if len(empty) > 0 {
		c.hub.unsubscribe(toGroup, empty...)
	}
	if lastOfUser {
		c.hub.unsubscribe(toUser, c.user.ID)
	}
	return true
}
