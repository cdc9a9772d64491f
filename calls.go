package hubwire

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// calls are the calls of one connection: those that wait, in the order of
// arrival, and those that run. Ordinary calls take one of ParallelCalls places;
// streams and calls with uploads start in the same order but take none.
type calls struct {
	waiting atomic.Int32  // calls that wait; read without mu
	begins  atomic.Uint32 // the number of the call that may begin now
	soon    atomic.Uint32 // the number of the call that may begin at any moment
	parked  atomic.Int32  // how many wait for that without spinning

	mu        sync.Mutex               // guards the following
	taken     uint32                   // calls that were taken so far
	parks     map[uint32]chan struct{} // of the parked, by number
	head      *Call
	tail      *Call
	free      int32     // places
	spawned   bool      // a worker is on its way to its call
	pass      func()    // of Port.Turns
	slot      *turnSlot // the reader runs a call, and has not given up reading
	input     int       // bytes of input that waiting calls and uploads hold
	held      int       // bytes that calls hold which run without a place
	active    map[*Call]struct{}
	one       *Call // the only active call, so that most connections need no map
	streams   map[string]*Call
	unary     int32 // calls that run and are no streams
	retires   bool  // no new calls: the hub shuts down
	ended     bool
	roomy     bool          // the connection can be resumed: more input may wait
	unblocked bool          // Wait does not wait any more
	idle      chan struct{} // closed when nothing is active; nil where nobody waits
	room      chan struct{} // closed when there is room for input; nil likewise
}

// ordinary reports whether the call takes a place.
func (c *Call) ordinary() bool { return !c.in.Stream && len(c.in.Uploads) == 0 }

func (t *calls) addLocked(c *Call) {
	if t.one == nil && len(t.active) == 0 {
		t.one = c
		return
	}
	if t.active == nil {
		t.active = map[*Call]struct{}{}
	}
	if t.one != nil {
		t.active[t.one] = struct{}{}
		t.one = nil
	}
	t.active[c] = struct{}{}
}

func (t *calls) busyLocked() bool { return t.one != nil || len(t.active) > 0 }

// doneLocked notes that the call has ended.
func (t *calls) doneLocked(c *Call) {
	if t.one == c {
		t.one = nil
	} else {
		delete(t.active, c)
		if len(t.active) == 0 {
			t.active = nil
		}
	}
	if c.in.Stream && c.in.ID != "" && t.streams[c.in.ID] == c {
		delete(t.streams, c.in.ID)
	}
	if !c.in.Stream {
		t.unary--
	}
	if !c.ordinary() || c.released {
		t.held -= c.in.Size + callCost
	} else {
		t.free++
		c.released = true // for those who still have its context
	}
	if !t.busyLocked() && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

func (t *calls) freeLocked(n int) {
	t.input -= n
	if t.room != nil && t.input < t.maxInput() {
		close(t.room)
		t.room = nil
	}
}

// maxInput is how much input may wait before the reader does.
func (t *calls) maxInput() int {
	if t.roomy {
		return maxResumableInput
	}
	return maxInput
}

func (t *calls) eachLocked(f func(*Call)) {
	if t.one != nil {
		f(t.one)
	}
	for c := range t.active {
		f(c)
	}
}

// maxHeld bounds what the calls of one connection hold that run without a
// place: streams, uploads, and those that wait for their client's answer. Above
// it new calls are refused. callCost is what a call takes beside its input.
const (
	maxHeld  = 4 << 20
	callCost = 256
)

var errTooMany = Errorf(CodeResourceExhausted, "Too many calls are running on this connection.")

// startLocked puts a call behind those that wait and starts what can start.
func (c *Conn) startLocked(call *Call) {
	t := &c.calls
	if t.tail == nil {
		t.head = call
	} else {
		t.tail.next = call
	}
	t.tail = call
	t.waiting.Add(1)
	if t.pass == nil || t.slot != nil {
		c.spawnLocked()
	}
}

// spawnLocked starts a worker where the call that waits in front may start. One
// at a time is on its way; it starts the next when its call may begin.
func (c *Conn) spawnLocked() {
	t := &c.calls
	if t.spawned || !c.startableLocked() {
		return
	}
	t.spawned = true
	go c.work() // ends with its call, and those that wait behind it
}

// startableLocked reports whether the call that waits in front may start.
func (c *Conn) startableLocked() bool {
	t := &c.calls
	if t.head == nil || t.ended {
		return false
	}
	return !t.head.ordinary() || t.free > 0 && !c.over.Load()
}

// nextLocked takes the call that waits in front, if it may start.
func (c *Conn) nextLocked() *Call {
	t := &c.calls
	if !c.startableLocked() {
		return nil
	}
	call := t.head
	if call.ordinary() {
		t.free--
	} else {
		t.held += call.in.Size + callCost
	}
	t.freeLocked(call.in.Size)
	if t.head = call.next; t.head == nil {
		t.tail = nil
	}
	call.next = nil
	t.addLocked(call)
	if !call.in.Stream {
		t.unary++
	}
	t.waiting.Add(-1)
	call.number = t.taken
	t.taken++
	return call
}

// await waits until the call that came before has begun, that is, until its
// handler or its first filter is about to run. So handlers begin in the order in
// which the calls came, also where several run at a time. Mostly it has begun
// already, or will in no time.
func (c *Call) await() {
	t := &c.conn.calls
	for i := 0; t.begins.Load() != c.number; i++ {
		if i < 50 || t.soon.Load() == c.number {
			runtime.Gosched()
			continue
		}
		i = 0
		t.mu.Lock()
		if t.parks == nil {
			t.parks = map[uint32]chan struct{}{}
		}
		wake := make(chan struct{})
		t.parks[c.number] = wake
		t.parked.Add(1)
		t.mu.Unlock()
		if t.soon.Load() != c.number { // else nobody may have seen us
			<-wake // closed by begin of the call before
		}
		t.mu.Lock()
		delete(t.parks, c.number)
		t.parked.Add(-1)
		t.mu.Unlock()
	}
	if t.waiting.Load() > 0 {
		c.conn.pump()
	}
}

// begin lets the next call begin. Waking takes a while and may run the next on
// another processor, so it comes first: nothing must stand between the last
// store and the handler.
func (c *Call) begin() {
	if c.begun {
		return
	}
	c.begun = true
	t := &c.conn.calls
	next := c.number + 1
	t.soon.Store(next)
	if t.parked.Load() > 0 {
		t.mu.Lock()
		if wake := t.parks[next]; wake != nil {
			close(wake)
			delete(t.parks, next)
		}
		t.mu.Unlock()
	}
	t.begins.Store(next)
}

// pump starts what can start.
func (c *Conn) pump() {
	c.calls.mu.Lock()
	c.spawnLocked()
	c.calls.mu.Unlock()
}

// work takes a call, runs it, and then those that wait.
func (c *Conn) work() {
	t := &c.calls
	t.mu.Lock()
	t.spawned = false
	for {
		if t.slot != nil && t.head != nil && !t.head.ordinary() {
			c.spawnLocked() // a stream lasts, and is not for the reader
			break
		}
		call := c.nextLocked()
		if call == nil {
			break
		}
		t.mu.Unlock()
		c.run(call)
		t.mu.Lock()
		t.doneLocked(call)
	}
	over := t.retires && t.retiredLocked()
	t.mu.Unlock()
	if over {
		c.close(ErrShutdown, true)
	}
}

// exit does what is left to do when the goroutine of a call ends with
// runtime.Goexit, as that of a handler which gives up a test does.
func (c *Conn) exit(call *Call) {
	t := &c.calls
	t.mu.Lock()
	t.doneLocked(call)
	c.spawnLocked()
	over := t.retires && t.retiredLocked()
	t.mu.Unlock()
	if over {
		c.close(ErrShutdown, true)
	}
}

// retiredLocked reports whether all calls that came before retire have ended,
// streams aside: those end with the connection.
func (t *calls) retiredLocked() bool { return t.unary == 0 && t.head == nil }

// retire takes no new calls and closes the connection once those that it has
// are done.
func (c *Conn) retire() {
	t := &c.calls
	t.mu.Lock()
	t.retires = true
	over := t.retiredLocked()
	t.mu.Unlock()
	if over {
		c.close(ErrShutdown, true)
	}
}

// release gives the call's place back while it waits for its client. It does so
// once; the call goes on without one.
func (c *Call) release() {
	if c.in == nil || !c.ordinary() {
		return
	}
	t := &c.conn.calls
	t.mu.Lock()
	if c.released {
		t.mu.Unlock()
		return
	}
	c.released = true
	t.free++
	t.held += c.in.Size + callCost
	t.mu.Unlock()
	c.conn.pump()
}

// run runs one call and sends its outcome.
func (c *Conn) run(call *Call) {
	const (
		runs = iota
		replies
		done
	)
	at := runs
	defer func() {
		switch at {
		case done:
			return
		case runs:
			c.finish(call, &wire.Fault{Kind: wire.Failed, Name: call.name(), Err: &panicError{errGoexit}})
		case replies:
			call.ctx.cancel(nil)
		}
		c.exit(call)
	}()
	call.await()
	fault := c.invoke(call)
	at = replies
	c.finish(call, fault)
	at = done
}

// errGoexit stands for what runtime.Goexit does not say.
var errGoexit = errors.New("runtime.Goexit")

// finish sends the outcome of a call and ends it.
func (c *Conn) finish(call *Call, fault *wire.Fault) {
	call.begin() // where no handler did
	if fault != nil {
		c.hub.count("errors", fault.Kind.String(), 1)
		c.logFault(call, fault)
	}
	closeAll(call.in.Uploads)
	if r := call.in.Reply; r != nil {
		c.reply(call, r, fault)
	}
	call.ctx.cancel(nil)
}

// reply sends the outcome. Encoding may run user code, which may panic.
func (c *Conn) reply(call *Call, r wire.Reply, fault *wire.Fault) {
	done := false
	defer func() {
		if v := recover(); v != nil || !done {
			c.hub.log.Error("hubwire: result panics", "hub", c.hub.opts.Name, "conn", c.id, "call", call.in.Name, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			c.close(&panicError{v}, true)
		}
	}()
	if fault != nil {
		r.Done(nil, fault)
	} else {
		r.Done(call.result, nil)
	}
	done = true
}

// invoke runs the handler inside its filters. A panic ends this call alone, and
// so does a Goexit, which goes on in run.
func (c *Conn) invoke(call *Call) (fault *wire.Fault) {
	done := false
	defer func() {
		if done {
			return
		}
		v := recover()
		if v == nil {
			v = errGoexit
		}
		c.hub.log.Error("hubwire: handler panics", "hub", c.hub.opts.Name, "conn", c.id, "call", call.name(), "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		fault = &wire.Fault{Kind: wire.Failed, Name: call.name(), Err: &panicError{v}}
	}()
	if call.h == nil {
		done = true
		return &wire.Fault{Kind: wire.UnknownMethod, Name: call.in.Name}
	}
	if call.h.filtered {
		call.begin()
	}
	err := call.h.invoke(&call.ctx, call)
	done = true
	if err == nil {
		// A filter that does not call next skips binding: the mode is checked
		// all the same, or a stream would be answered with a result.
		if !call.bound && call.h.kind.Streams() != call.in.Stream {
			_, err = call.Input()
		}
		if err == nil {
			return nil
		}
	}
	if f, ok := err.(*wire.Fault); ok {
		return f
	}
	if errors.Is(err, ErrUnauthorized) {
		return &wire.Fault{Kind: wire.Unauthorized, Name: call.h.name, Err: err}
	}
	return &wire.Fault{Kind: wire.Failed, Name: call.h.name, Err: err}
}

func (c *Conn) logFault(call *Call, f *wire.Fault) {
	if _, isPanic := errors.AsType[*panicError](f.Err); isPanic {
		return // logged with its stack
	}
	err := f.Err
	if b, ok := errors.AsType[*bindError](err); ok {
		err = b.reason
	}
	if err == nil {
		err = f
	}
	if call.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		c.hub.log.Debug("hubwire: call cancelled", "hub", c.hub.opts.Name, "conn", c.id, "call", f.Name)
		return
	}
	if f.Kind == wire.Failed || f.Kind == wire.StreamFailed {
		if _, public := errors.AsType[*Error](err); !public {
			c.hub.log.Error("hubwire: call failed", "hub", c.hub.opts.Name, "conn", c.id, "call", f.Name, "err", err)
			return
		}
	}
	c.hub.log.Debug("hubwire: call refused", "hub", c.hub.opts.Name, "conn", c.id, "call", f.Name, "err", err)
}

// stopCalls cancels what runs and drops what waits.
func (c *Conn) stopCalls(cause error) {
	t := &c.calls
	t.mu.Lock()
	t.ended = true
	t.eachLocked(func(call *Call) { call.ctx.cancel(cause) })
	dropped := t.head
	t.head, t.tail = nil, nil
	t.waiting.Store(0)
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
	t.mu.Unlock()
	for call := dropped; call != nil; call = call.next {
		closeAll(call.in.Uploads) // they may give back what they hold
	}
}

func closeAll(ups []wire.Source) {
	for _, up := range ups {
		up.Close()
	}
}

// waitCalls waits until no call runs, at most d, and says whether that is so.
func (c *Conn) waitCalls(d time.Duration) bool {
	t := &c.calls
	t.mu.Lock()
	if !t.busyLocked() {
		t.mu.Unlock()
		return true
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}

// running names the calls that run.
func (c *Conn) running() (names []string) {
	t := &c.calls
	t.mu.Lock()
	defer t.mu.Unlock()
	t.eachLocked(func(call *Call) { names = append(names, call.in.Name) })
	return names
}
