package hubwire

import (
	"sync"
	"sync/atomic"
	"time"
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
	places    bool      // the wire has said how many
	spawned   bool      // a worker is on its way to its call
	drains    bool      // Drain waits for room
	turns     bool      // of Port.Turns
	slot      *turnSlot // the reader runs a call, and has not given up reading
	input     int       // bytes of input that waiting calls and uploads hold
	held      int       // bytes that calls hold which run without a place
	active    *Call     // those that run: a list, in no order
	streams   map[string]*Call
	unary     int32 // calls that run and are no streams
	retires   bool  // no new calls: the hub shuts down
	ended     bool
	roomy     bool          // the connection can be resumed: more input may wait
	unblocked bool          // Wait does not wait any more
	moved     chan struct{} // closed when nothing runs any more, and when there is room for input; nil where nobody waits
}

// ordinary reports whether the call takes a place.
func (c *Call) ordinary() bool { return !c.in.Stream && len(c.in.Uploads) == 0 }

func (t *calls) addLocked(c *Call) {
	if c.next = t.active; c.next != nil {
		c.next.prev = c
	}
	t.active = c
}

// awaitLocked returns what is closed when something has moved.
func (t *calls) awaitLocked() <-chan struct{} {
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	return t.moved
}

func (t *calls) movedLocked() {
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// doneLocked notes that the call has ended.
func (t *calls) doneLocked(c *Call) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		t.active = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
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
	}
	c.ctx.call = nil
	if t.active == nil {
		t.movedLocked()
	}
}

func (t *calls) freeLocked(n int) {
	t.input -= n
	if t.drains || t.input < t.maxInput() {
		t.movedLocked()
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
	for c := t.active; c != nil; c = c.next {
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

// stopCalls cancels what runs and drops what waits.
func (c *Conn) stopCalls(cause error) {
	t := &c.calls
	t.mu.Lock()
	t.ended = true
	t.eachLocked(func(call *Call) { call.ctx.cancel(cause) })
	dropped := t.head
	t.head, t.tail = nil, nil
	t.waiting.Store(0)
	t.movedLocked()
	t.mu.Unlock()
	for call := dropped; call != nil; call = call.next {
		closeAll(call.in.Uploads) // they may give back what they hold
	}
}

// waitCalls waits until no call runs, at most d, and says whether that is so.
func (c *Conn) waitCalls(d time.Duration) bool {
	t := &c.calls
	t.mu.Lock()
	if t.active == nil {
		t.mu.Unlock()
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for t.active != nil {
		moved := t.awaitLocked()
		t.mu.Unlock()
		select {
		case <-moved:
		case <-timer.C:
			return false
		}
		t.mu.Lock()
	}
	t.mu.Unlock()
	return true
}

// running names the calls that run.
func (c *Conn) running() (names []string) {
	t := &c.calls
	t.mu.Lock()
	defer t.mu.Unlock()
	t.eachLocked(func(call *Call) { names = append(names, call.in.Name) })
	return names
}
