package hubwire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// A Hub is a table of handlers and the connections that they serve, on any
// number of wires.
//
// All methods may be called at the same time; Handle only before the first
// mount. A hub without work owns no goroutine.
type Hub struct {
	opts     Options
	log      *slog.Logger
	itemRoom int
	shards   []*shard
	all      *target

	handlers map[string]*Handler // by name; unchanged once frozen
	folded   map[string]*Handler // by name in lower case
	frozen   atomic.Bool

	questions atomic.Uint64 // ids of questions to clients
	opened    atomic.Uint32 // connections that ever were
	asks      asks

	inUse atomic.Pointer[[]wire.Protocol] // protocols of the connections there are

	mu        sync.RWMutex // guards the following
	exposed   []wire.Protocol
	protocols map[wire.Protocol]int // connections by protocol
	conns     map[string]*Conn
	codings   []*coding
	once      int // how many of conns live as long as one call
	closing   bool
	emptied   chan struct{} // closed when the last connection has ended; nil before Shutdown

	targets sync.RWMutex // guards the following
	groups  map[string]*target
	users   map[string]*target

	remote *remote // nil without a backplane

	turns turns
}

// New makes a hub. A nil opts means the defaults. It panics with a sentence for
// every rule that opts breaks.
func New(opts *Options) *Hub {
	h := &Hub{
		opts:      opts.withDefaults(),
		handlers:  map[string]*Handler{},
		folded:    map[string]*Handler{},
		protocols: map[wire.Protocol]int{},
		conns:     map[string]*Conn{},
		groups:    map[string]*target{},
		users:     map[string]*target{},
	}
	if bad := h.opts.check(); len(bad) > 0 {
		panic("hubwire: options: " + strings.Join(bad, "; "))
	}
	h.log = h.opts.Logger
	h.itemRoom = min(itemRoom, h.opts.Queue.Bytes)
	// One shard for every four processors: few logs gather best (D 22).
	for i := range max(1, min(16, runtime.GOMAXPROCS(0)/4)) {
		h.shards = append(h.shards, &shard{index: i})
	}
	h.all = h.newTarget(toAll, "")
	h.inUse.Store(new([]wire.Protocol))
	if h.opts.Backplane != nil {
		h.remote = newRemote(h)
	}
	return h
}

func (h *Hub) newTarget(kind targetKind, name string) *target {
	return &target{kind: kind, name: name, parts: make([]part, len(h.shards))}
}

// Handle adds handlers. It panics when two have the same name, or names that
// differ only in case, and after the first mount.
func (h *Hub) Handle(handlers ...Handler) {
	if h.frozen.Load() {
		panic("hubwire: Handle after the hub was mounted")
	}
	for _, x := range handlers {
		if x.invoke == nil {
			panic("hubwire: Handle of a Handler that no With made")
		}
		key := strings.ToLower(x.name)
		if old := h.folded[key]; old != nil {
			if old.name != x.name {
				panic(fmt.Sprintf("hubwire: %s and %s differ only in case, at %s and %s", old.name, x.name, old.place, x.place))
			}
			panic(fmt.Sprintf("hubwire: %s is handled twice, at %s and %s", x.name, old.place, x.place))
		}
		x = x.Use(h.opts.Filters...)
		h.handlers[x.name], h.folded[key] = &x, &x
	}
}

// Handlers is the table of handlers, sorted by name, for wires that describe
// it.
func (h *Hub) Handlers() []Handler {
	out := make([]Handler, 0, len(h.handlers))
	for _, x := range h.handlers {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Handler) int { return strings.Compare(a.name, b.name) })
	return out
}

// lookup finds a handler whatever the case of the name, as ASP.NET Core does.
func (h *Hub) lookup(name string) *Handler {
	if len(name) > 1<<10 {
		return nil
	}
	return h.folded[strings.ToLower(name)]
}

// Options is a copy of the hub's options, with the defaults filled in.
func (h *Hub) Options() Options { return h.opts }

// Expose says which protocols connections may have, so that events for other
// nodes are encoded in them too. Mounts call it; the table of handlers is
// complete by then.
func (h *Hub) Expose(ps ...wire.Protocol) {
	h.frozen.Store(true)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range ps {
		if !slices.Contains(h.exposed, p) {
			h.exposed = append(slices.Clip(h.exposed), p)
		}
	}
}

// Open makes a connection of a link and runs Connect. It returns when Connect
// has; a Greeting, and events behind it, may be written before. Where it returns an error the connection
// is refused: the Port, if there is one, takes the wire's last words alone.
// id is the public id, chosen by the wire, u may be nil, r must not.
func (h *Hub) Open(ctx context.Context, l wire.Link, id string, u *User, r *Request) (*Port, error) {
	return h.open(ctx, l, id, u, r, false)
}

// OpenOnce is Open for a call that comes without a connection (D 9): its
// connection lives as long as the call, is in no target and in no list, takes no
// place of Options.MaxConnections, cannot join groups and cannot be asked.
// Connect and Disconnect run, so that a refusal in Connect cannot be walked
// around. Nothing is written to l; it is told when to end. The wire calls Start
// once and, after the Reply's Done, End.
func (h *Hub) OpenOnce(ctx context.Context, l wire.Link, id string, u *User, r *Request) (*Port, error) {
	return h.open(ctx, l, id, u, r, true)
}

func (h *Hub) open(ctx context.Context, l wire.Link, id string, u *User, r *Request, once bool) (*Port, error) {
	if u == nil {
		u = anonymous
	}
	c := &Conn{hub: h, link: l, id: id, user: u, req: r, once: once}
	c.coding.Store(h.codingOf(l.Framing()))
	c.place = uint8(shardOf(id, len(h.shards)))
	c.base = valuesOf(ctx)
	c.calls.free = int32(h.opts.ParallelCalls)
	if l, ok := l.(wire.Resumable); ok {
		c.keep(l.Unacked())
	}
	if l, ok := l.(wire.Greeter); ok {
		c.greet(l.Greeting())
	}
	c.turnHint = uint8(h.opened.Add(1))
	if err := h.insert(c); err != nil {
		return nil, err
	}
	// The request may have been answered, which ends its context: what follows has
	// bounds of its own.
	if err := h.enter(context.WithoutCancel(ctx), c); err != nil {
		c.gone()
		h.remove(c)
		return nil, err
	}
	c.flush()
	exits, err := true, error(&panicError{errGoexit})
	defer func() {
		if err == nil {
			return
		}
		if exits { // runtime.Goexit, which takes the wire's goroutine with it
			l.Close(err, true)
		}
		h.count("refused", "connect", 1)
		h.log.Info("hubwire: connection refused", "hub", h.opts.Name, "conn", id, "err", err)
		c.gone()
		c.stopCalls(context.Canceled)
		c.cancel()
		h.remove(c)
	}()
	err = h.connect(c)
	if exits = false; err == nil {
		c.flags.set(isAsking)
	}
	return (*Port)(c), err
}

func shardOf(id string, n int) int {
	if n == 1 {
		return 0
	}
	var x uint32 = 2166136261 // FNV-1a
	for i := range len(id) {
		x = (x ^ uint32(id[i])) * 16777619
	}
	return int(x % uint32(n))
}

// insert registers the connection; its protocol is in use from now on.
func (h *Hub) insert(c *Conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closing:
		h.count("refused", "closed", 1)
		return ErrClosed
	case h.opts.MaxConnections > 0 && !c.once && len(h.conns)-h.once >= h.opts.MaxConnections:
		h.count("refused", "full", 1)
		return ErrFull
	case h.conns[c.id] != nil:
		return fmt.Errorf("hubwire: connection id %q is taken", c.id)
	}
	h.conns[c.id] = c
	if c.once {
		h.once++
		return nil
	}
	h.useLocked(c.protocol(), 1)
	h.count("connections", c.req.Wire, 1)
	return nil
}

// useLocked counts the connections of a protocol.
func (h *Hub) useLocked(p wire.Protocol, n int) {
	was := h.protocols[p]
	h.protocols[p] = was + n
	if was != 0 && was+n != 0 {
		return
	}
	ps := slices.Clone(*h.inUse.Load())
	if was == 0 {
		ps = append(ps, p)
	} else {
		ps = slices.DeleteFunc(ps, func(q wire.Protocol) bool { return q == p })
		delete(h.protocols, p)
	}
	h.inUse.Store(&ps)
}

// enter puts the connection into All and its user's connections.
func (h *Hub) enter(ctx context.Context, c *Conn) error {
	if c.once {
		return nil
	}
	if r := h.remote; r != nil && r.down() && !r.local() {
		return r.awaitUp(ctx, time.Time{}) // at once: the client may come back
	}
	if err := h.subscribe(ctx, toConn, c.id); err != nil {
		return err
	}
	c.state.Lock()
	c.all, _ = h.all.add(c)
	if c.user.ID != "" {
		c.own = h.add(c, toUser, c.user.ID)
	}
	c.state.Unlock()
	if c.own != nil {
		return h.subscribe(ctx, toUser, c.user.ID)
	}
	return nil
}

// connect runs Connect inside the hub's filters.
func (h *Hub) connect(c *Conn) error {
	if h.opts.Connect == nil {
		return nil
	}
	call := &Call{conn: c, kind: wire.Connect, ctx: &callCtx{base: c.base}}
	invoke := wrap(func(ctx context.Context, call *Call) error { return h.opts.Connect(ctx, c) }, h.opts.Filters)
	defer call.ctx.cancel(nil)
	return h.safely(c, "Connect", func() error { return invoke(call.ctx, call) })
}

// safely runs user code; a panic becomes an error.
func (h *Hub) safely(c *Conn, what string, fn func() error) (err error) {
	done := false
	defer func() {
		if !done {
			v := recover()
			err = &panicError{v}
			h.log.Error("hubwire: "+what+" panics", "hub", h.opts.Name, "conn", c.id, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	err = fn()
	done = true
	return err
}

// remove forgets a connection that has ended.
func (h *Hub) remove(c *Conn) {
	if !c.once {
		h.unsubscribe(toConn, c.id)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[c.id] != c {
		return
	}
	delete(h.conns, c.id)
	if c.once {
		h.once--
	} else {
		h.useLocked(c.protocol(), -1)
		h.count("connections", c.req.Wire, -1)
	}
	if len(h.conns) == 0 && h.turns.stop != nil {
		close(h.turns.stop)
		h.turns.stop = nil
	}
	if len(h.conns) == 0 && h.emptied != nil {
		close(h.emptied)
		h.emptied = nil
	}
}

func (h *Hub) conn(id string) *Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if c := h.conns[id]; c != nil && !c.once {
		return c
	}
	return nil
}

// Connections are the connections of this node, in no order: a snapshot. Those
// that live as long as one call are not among them.
func (h *Hub) Connections() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range h.snapshot() {
			if !c.once && !yield(c) {
				return
			}
		}
	}
}

func (h *Hub) snapshot() []*Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	cs := make([]*Conn, 0, len(h.conns))
	for _, c := range h.conns {
		cs = append(cs, c)
	}
	return cs
}

// Join makes a connection, on any node, a member of groups. An unknown
// connection is no error.
func (h *Hub) Join(ctx context.Context, connID string, groups ...string) error {
	if c := h.conn(connID); c != nil {
		if err := c.Join(ctx, groups...); !errors.Is(err, ErrClosed) {
			return err
		}
		return nil
	}
	return h.moveRemote(ctx, true, connID, groups)
}

// Leave ends memberships of a connection, on any node. An unknown connection is
// no error.
func (h *Hub) Leave(ctx context.Context, connID string, groups ...string) error {
	if c := h.conn(connID); c != nil {
		return c.Leave(ctx, groups...)
	}
	return h.moveRemote(ctx, false, connID, groups)
}

func (h *Hub) table(kind targetKind) map[string]*target {
	if kind == toUser {
		return h.users
	}
	return h.groups
}

func (h *Hub) target(kind targetKind, name string) *target {
	if kind == toAll {
		return h.all
	}
	h.targets.RLock()
	defer h.targets.RUnlock()
	return h.table(kind)[name]
}

// add makes c a member of a group or a user.
func (h *Hub) add(c *Conn, kind targetKind, name string) *membership {
	for {
		h.targets.Lock()
		t := h.table(kind)[name]
		if t == nil {
			t = h.newTarget(kind, name)
			h.table(kind)[name] = t
		}
		h.targets.Unlock()
		if m, ok := t.add(c); ok {
			return m
		}
		h.forget(t)
	}
}

// drop ends a membership, and reports whether it was the last on this node.
func (h *Hub) drop(m *membership) (last bool) {
	if !m.target.drop(m) {
		return false
	}
	h.forget(m.target)
	return true
}

func (h *Hub) forget(t *target) {
	h.targets.Lock()
	defer h.targets.Unlock()
	if tab := h.table(t.kind); tab[t.name] == t {
		delete(tab, t.name)
	}
}

// deliver sends to all, groups or users.
func (h *Hub) deliver(ctx context.Context, kind targetKind, names, except []string, m *message) error {
	if h.remote != nil {
		return h.remote.deliver(ctx, kind, names, except, m)
	}
	return h.deliverHere(ctx, kind, names, except, m)
}

// deliverHere sends to the connections of this node.
func (h *Hub) deliverHere(ctx context.Context, kind targetKind, names, except []string, m *message) error {
	ev, err := h.encode(m)
	if err != nil {
		return err
	}
	h.count("events", targetKinds[kind], 1)
	if len(ev.recs) == 0 {
		return h.closedErr()
	}
	skip := h.resolve(except)
	for _, name := range names {
		if t := h.target(kind, name); t != nil {
			for {
				ok, err := t.putWaiting(ctx, h, ev, skip)
				if err != nil {
					return err
				}
				if ok {
					break
				}
				if ev, err = h.encode(m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (h *Hub) closedErr() error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closing && len(h.conns) == 0 {
		return ErrClosed
	}
	return nil
}

func (h *Hub) resolve(ids []string) (cs []*Conn) {
	if len(ids) == 0 {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, id := range ids {
		if c := h.conns[id]; c != nil {
			cs = append(cs, c)
		}
	}
	return cs
}

// deliverConn sends to one connection by its id, without waiting for it.
func (h *Hub) deliverConn(ctx context.Context, id string, m *message) error {
	c := h.conn(id)
	if c == nil {
		if h.remote != nil {
			return h.remote.deliver(ctx, toConn, []string{id}, nil, m)
		}
		return h.closedErr()
	}
	s := scratches.Get().(*scratch)
	defer s.free()
	buf, err := encodeFor(s.buf[:0], c.protocol(), m, "")
	if err != nil {
		return err
	}
	s.buf = buf
	if err := c.shard().wait(ctx); err != nil {
		return err
	}
	h.count("events", targetKinds[toConn], 1)
	c.send(buf, m.key, event)
	return nil
}

func (h *Hub) count(name, label string, n int) {
	if h.opts.Metrics != nil {
		h.opts.Metrics.Add(name, label, int64(n))
	}
}
