package hubwire

import (
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// A reader runs the ordinary calls of its connection itself: a quick handler
// then costs no switch to another goroutine, which is most of what a call costs
// beside its two system calls. A handler that waits must not keep the reader
// from reading (D 15), so another goroutine takes the reading over: when the
// handler asks for its context's end, when it waits in the hub, and else when it
// has run for a moment.

// turnTick is how often the hub looks for turns that last; one is given up
// after one to two of these.
const turnTick = 2 * time.Millisecond

// turnRest is after how many ticks without a turn the hub stops looking.
const turnRest = 50

// turns are the turns that run and have not been given up. There are few: one
// for each processor, unless handlers wait.
type turns struct {
	watched atomic.Bool   // the goroutine that looks runs
	stop    chan struct{} // closed when the last connection has gone; guarded by Hub.mu
	slots   [64]turnSlot
}

type turnSlot struct {
	conn atomic.Pointer[Conn]
	seq  atomic.Uint32
	_    [64 - 12]byte // a cache line each
}

// take enters a turn; nil where there is no room.
func (h *Hub) takeTurn(c *Conn) *turnSlot {
	t := &h.turns
	for i := range 4 {
		s := &t.slots[(int(c.turnHint)+i)%len(t.slots)]
		if s.conn.Load() == nil && s.conn.CompareAndSwap(nil, c) {
			s.seq.Add(1)
			if !t.watched.Load() && t.watched.CompareAndSwap(false, true) {
				go h.watchTurns() // ends when there was no turn for a while, or there is no connection
			}
			return s
		}
	}
	return nil
}

func (h *Hub) watchTurns() {
	t := &h.turns
	h.mu.Lock()
	if len(h.conns) == 0 {
		t.watched.Store(false)
		h.mu.Unlock()
		return
	}
	stop := make(chan struct{})
	t.stop = stop
	h.mu.Unlock()
	tick := time.NewTicker(turnTick)
	defer tick.Stop()
	var seen [len(t.slots)]uint32
	for rest := 0; rest < turnRest; {
		select {
		case <-tick.C:
			rest++
		case <-stop:
			rest = turnRest
		}
		for i := range t.slots {
			c := t.slots[i].conn.Load()
			if c == nil {
				continue
			}
			rest = 0
			seq := t.slots[i].seq.Load()
			if seq == seen[i] {
				c.passTurn(seq)
			}
			seen[i] = seq
		}
	}
	t.watched.Store(false)
	for i := range t.slots { // one that was taken just before is watched all the same
		if t.slots[i].conn.Load() != nil && t.watched.CompareAndSwap(false, true) {
			go h.watchTurns() // as this one, which ends here
			return
		}
	}
}

// passTurn gives the reading to another goroutine, if this one is in a turn. A
// seq that is not zero names the turn.
func (c *Conn) passTurn(seq uint32) {
	t := &c.calls
	t.mu.Lock()
	s := t.slot
	if s == nil || seq != 0 && s.seq.Load() != seq {
		t.mu.Unlock()
		return
	}
	t.slot = nil
	s.conn.Store(nil)
	// Under the lock: when Turn sees that the reading was given away, it has been.
	c.link.(wire.Passer).Pass() // whose link is not swapped
	c.flags.clear(isInTurn)
	c.spawnLocked() // where there is another place, for what waits behind this call
	t.mu.Unlock()
	if c.flags.clear(isUnflushed) {
		c.flush()
	}
}

// Turns says that the reader will call Turn before it waits for input: calls
// that Start could start at once are left to it. The connection's link has to be
// a [wire.Passer] and no [wire.Resumable].
func (p *Port) Turns() {
	c := p.c()
	t := &c.calls
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.places && c.hub.opts.ParallelCalls > 1 {
		return // calls that may run beside each other shall
	}
	t.turns = true
}

// Turn runs the ordinary calls that wait, on the reader's own goroutine. It
// reports false when pass was called meanwhile: then another goroutine is the
// reader, and the caller must not read any more.
func (p *Port) Turn() (mine bool) {
	c := p.c()
	t := &c.calls
	if t.waiting.Load() == 0 {
		return true
	}
	t.mu.Lock()
	if t.spawned || !t.turns || !c.startableLocked() {
		t.mu.Unlock()
		return true
	}
	if t.head.ordinary() {
		t.slot = c.hub.takeTurn(c)
	}
	slot := t.slot
	if slot == nil {
		c.spawnLocked()
		t.mu.Unlock()
		return true
	}
	seq := slot.seq.Load() // the slot may be taken again once the turn is given up
	c.flags.set(isInTurn)

	done := false
	defer func() {
		if !done { // runtime.Goexit in a handler: the reader goes with it
			c.passTurn(0)
		}
	}()
	c.workLocked()
	done = true

	if mine = t.slot == slot && slot.seq.Load() == seq; mine {
		t.slot = nil
		slot.conn.Store(nil)
		c.flags.clear(isInTurn)
	}
	over := t.retires && t.retiredLocked()
	t.mu.Unlock()
	if c.flags.has(isUnflushed) && c.flags.clear(isUnflushed) {
		c.flush()
	}
	if over {
		c.close(ErrShutdown, true)
	}
	return mine
}

// Kick starts what was left to Turn, for a reader that ends instead.
func (p *Port) Kick() { p.c().pump() }
