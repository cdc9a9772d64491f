package hubwire

import (
	"context"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// A Port is the wire's end of a Conn: what a wire calls, and applications do
// not. Start, Wait and End are for the wire's reader alone; all other methods
// may be called from any goroutine, and none of those blocks but Item.
type Port Conn

func (p *Port) c() *Conn { return (*Conn)(p) }

// Conn is the connection.
func (p *Port) Conn() *Conn { return p.c() }

// Headers reports whether the hub wants Call.Headers.
func (p *Port) Headers() bool { return p.c().hub.opts.TraceIn != nil }

// Places lets n ordinary calls of this connection run at a time, whatever
// Options.ParallelCalls says. The wire calls it before the first Start and before
// Turns. A reader that runs calls itself (Turn) then passes the reading on like
// any, and calls that wait behind the one that lasts start beside it.
func (p *Port) Places(n int) {
	t := &p.c().calls
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free, t.places = int32(n), true
}

// Release gives the place of the call that ctx comes from to the next, if it is one
// of this connection: a handler is about to wait for what the wire asked its
// client. ClientMethod.Call does so by itself.
func (p *Port) Release(ctx context.Context) {
	if x := callOf(ctx); x != nil && x.conn == p.c() {
		x.release()
	}
}

// Flush returns when nothing waits to be written to the connection. ctx bounds
// the waiting.
func (p *Port) Flush(ctx context.Context) error { return p.c().wait(ctx, 0) }

// Start starts a call, or keeps it until its turn comes. It returns at once.
// The call, and all it refers to, is the hub's from now on.
func (p *Port) Start(in *wire.Call) { p.StartIn(new(Call), in) }

// StartIn is Start in memory of the wire's: call is zero, and the hub's from now
// on. A wire that makes both in one object saves an allocation.
func (p *Port) StartIn(call *Call, in *wire.Call) {
	c := p.c()
	h := c.hub.handlers[in.Name]
	if h == nil {
		h = c.hub.lookup(in.Name)
	}
	c.start(call, in, h)
}

// StartWith is StartIn for a handler that the hub does not have by name: a method
// of an object that one end of a connection has lent to the other. The hub's
// filters wrap it as they wrap its own.
func (p *Port) StartWith(call *Call, in *wire.Call, h Handler) {
	c := p.c()
	h = h.Use(c.hub.opts.Filters...)
	c.start(call, in, &h)
}

// start starts a call of a handler; nil is none.
func (c *Conn) start(call *Call, in *wire.Call, handler *Handler) {
	h := c.hub
	t := &c.calls
	call.conn, call.in, call.h = c, in, handler
	if call.h != nil {
		call.kind = call.h.kind
	}
	call.ctx = &callCtx{base: c.base, conn: c, call: call}
	if in.Headers != nil && h.opts.TraceIn != nil {
		_ = h.safely(c, "TraceIn", func() error {
			if ctx := h.opts.TraceIn(call.ctx.base, in.Headers); ctx != nil {
				call.ctx.base = ctx
			}
			return nil
		})
	}
	h.count("calls", c.req.Wire, 1)
	t.mu.Lock()
	if t.ended || t.retires || t.held >= maxHeld || in.Stream && in.ID != "" && t.streams[in.ID] != nil {
		c.refuseLocked(call)
		return
	}
	if in.Stream && in.ID != "" {
		if t.streams == nil {
			t.streams = map[string]*Call{}
		}
		t.streams[in.ID] = call
	}
	t.input += in.Size
	c.startLocked(call)
	t.mu.Unlock()
}

// refuseLocked answers a call that cannot start, and unlocks.
func (c *Conn) refuseLocked(call *Call) {
	t, in := &c.calls, call.in
	var fault *wire.Fault
	switch {
	case t.ended:
	case t.retires:
		fault = &wire.Fault{Kind: wire.Failed, Name: call.name(), Err: Errorf(CodeUnavailable, "%v", ErrShutdown)}
	case in.Stream && in.ID != "" && t.streams[in.ID] != nil:
		fault = &wire.Fault{Kind: wire.IDInUse, Name: call.name()}
	default:
		fault = &wire.Fault{Kind: wire.Failed, Name: call.name(), Err: errTooMany}
	}
	t.mu.Unlock()
	closeAll(in.Uploads)
	if fault == nil {
		return
	}
	c.hub.count("errors", fault.Kind.String(), 1)
	if in.Reply != nil {
		in.Reply.Done(nil, fault)
	}
}

// Cancel ends the context of the call with that id, whether it runs or waits.
func (p *Port) Cancel(id string) {
	if id == "" {
		return // calls without an id cannot be cancelled
	}
	t := &p.c().calls
	t.mu.Lock()
	defer t.mu.Unlock()
	if call := t.streams[id]; call != nil {
		call.ctx.cancel(context.Canceled)
		return
	}
	t.eachLocked(func(call *Call) {
		if call.in.ID == id {
			call.ctx.cancel(context.Canceled)
		}
	})
	for call := t.head; call != nil; call = call.next {
		if call.in.ID == id {
			call.ctx.cancel(context.Canceled)
		}
	}
}

// CancelCall ends the context of a call that StartIn was, or will be, given.
func (p *Port) CancelCall(call *Call) { call.ctx.cancel(context.Canceled) }

// Put sends one record, a result, behind what waits. rec is not kept.
func (p *Port) Put(rec []byte) { p.c().send(rec, "", result) }

// Item sends one record, an item of a stream, when less than 64 KiB wait for
// the connection. ctx bounds the waiting and nothing else. rec is not kept.
func (p *Port) Item(ctx context.Context, rec []byte) error {
	c := p.c()
	if err := c.wait(ctx, c.hub.itemRoom); err != nil {
		return err
	}
	c.send(rec, "", result)
	return nil
}

// Control sends a frame of the wire's own, as it is, between the records: a
// ping, an acknowledgement, the last words. It works after End too, until the
// link is closed; see Mute. frame is not kept.
func (p *Port) Control(frame []byte) { p.c().send(frame, "", control) }

// Mute reports whether nothing that Control sends gets through any more: the link
// has failed, or stands still. After a Close with ErrSlow it mostly does not: what
// waited is dropped, and the last words leave behind what was already under way.
// How long that may take is the wire's to bound.
func (p *Port) Mute() bool {
	c := p.c()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.q.mute() || c.q.resume != nil && c.q.resume.detached
}

// Hold counts n bytes of input that the wire keeps itself (items of uploads);
// Free gives them back.
func (p *Port) Hold(n int) {
	t := &p.c().calls
	t.mu.Lock()
	t.input += n
	t.mu.Unlock()
}

// Free gives back what Hold counted.
func (p *Port) Free(n int) {
	t := &p.c().calls
	t.mu.Lock()
	t.freeLocked(n)
	t.mu.Unlock()
}

// Full reports whether 64 KiB of input wait, or more: whether Wait would wait,
// unless the connection can be resumed.
func (p *Port) Full() bool {
	t := &p.c().calls
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.input >= maxInput && !t.ended
}

// Wait returns when less than 64 KiB of input wait (less than 1 MiB, where the
// connection can be resumed: its acknowledgements come the same way), or the
// connection has been closed by the hub. The reader calls it before it reads on.
func (p *Port) Wait() {
	t := &p.c().calls
	for {
		t.mu.Lock()
		if t.input < t.maxInput() || t.ended || t.unblocked {
			t.mu.Unlock()
			return
		}
		moved := t.awaitLocked()
		t.mu.Unlock()
		<-moved
	}
}

// Unblock makes Wait return from now on: the wire's link is closed, and its
// reader has to notice.
func (p *Port) Unblock() {
	t := &p.c().calls
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unblocked = true
	t.movedLocked()
}

// Drain lets the calls that wait start, for a client that has left behind them:
// only their order and the places keep them back now. It returns when all have
// started; when one keeps the next waiting for 5 s; after 30 s. What still waits
// then is dropped by End.
func (p *Port) Drain() {
	c := p.c()
	t := &c.calls
	if t.waiting.Load() == 0 {
		return
	}
	late := time.NewTimer(disconnectWait)
	defer late.Stop()
	end := time.Now().Add(maxDrain)
	t.mu.Lock()
	t.drains = true
	c.spawnLocked()
	for last := t.waiting.Load(); t.head != nil; {
		if n := t.waiting.Load(); n != last {
			last = n
			late.Reset(min(disconnectWait, time.Until(end)))
		}
		moved := t.awaitLocked()
		t.mu.Unlock()
		select {
		case <-moved: // one has started, or gives input back
		case <-late.C:
			c.hub.log.Info("hubwire: calls of a client that has left are dropped", "hub", c.hub.opts.Name, "conn", c.id, "calls", t.waiting.Load())
			return
		}
		t.mu.Lock()
	}
	t.mu.Unlock()
}

// maxDrain bounds Drain.
const maxDrain = 30 * time.Second

// disconnectWait is how long the calls of a connection that has ended are
// awaited (D 17).
const disconnectWait = 5 * time.Second

// End ends the connection: its memberships go, the contexts of its calls are
// cancelled, and Disconnect runs after the last of them. The wire's reader
// calls it once, last; Control still works.
func (p *Port) End(cause error) {
	c := p.c()
	if !c.gone() {
		return
	}
	c.hub.log.Debug("hubwire: connection ended", "hub", c.hub.opts.Name, "conn", c.id, "err", cause)
	c.stopCalls(context.Canceled)
	c.cancel()
	if !c.waitCalls(disconnectWait) {
		c.hub.log.Error("hubwire: calls ignore the end of their context", "hub", c.hub.opts.Name, "conn", c.id, "calls", c.running())
	}
	defer c.hub.remove(c) // also when Disconnect leaves with runtime.Goexit
	if c.flags.has(isAsking) && c.hub.opts.Disconnect != nil {
		c.hub.safely(c, "Disconnect", func() error {
			c.hub.opts.Disconnect(c.base, c, cause)
			return nil
		})
	}
}
