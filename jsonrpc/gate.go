package jsonrpc

import (
	"sync"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// A gate keeps the order of a Barrier: while a notification runs, what came
// behind it waits here.
type gate struct {
	conn *Conn
	on   bool

	mu      sync.Mutex // guards the following
	head    *inCall
	tail    *inCall
	busy    bool // a notification runs
	pumping bool // somebody starts calls
}

// start starts a call, or keeps it. The reader calls it.
func (g *gate) start(k *inCall) {
	if !g.on {
		k.begin()
		return
	}
	g.mu.Lock()
	if g.tail != nil {
		g.tail.next = k
	} else {
		g.head = k
	}
	g.tail = k
	if g.busy || g.pumping {
		g.conn.port.Hold(k.Size)
		k.held = true
		g.conn.inFlight.hold(k)
		g.mu.Unlock()
		return
	}
	g.pumpLocked()
	g.mu.Unlock()
}

// pumpLocked starts what may start, one after the other. The hub may answer a
// call at once, so mu is not held meanwhile.
func (g *gate) pumpLocked() (started bool) {
	g.pumping = true
	for g.head != nil && !g.busy {
		k := g.head
		if g.head = k.next; g.head == nil {
			g.tail = nil
		}
		k.next = nil
		g.busy = k.note
		g.mu.Unlock()
		k.begin()
		started = true
		if k.held {
			g.conn.port.Free(k.Size)
			if g.conn.inFlight.begin(k) {
				g.conn.port.CancelCall(&k.state)
			}
		}
		g.mu.Lock()
	}
	g.pumping = false
	return started
}

// begin gives the call to the hub.
func (k *inCall) begin() {
	if h := k.method.handler; h != nil {
		k.conn.port.StartWith(&k.state, &k.Call, *h)
		return
	}
	k.conn.port.StartIn(&k.state, &k.Call)
}

// done is called when a notification has ended.
func (g *gate) done() {
	if !g.on {
		return
	}
	g.mu.Lock()
	g.busy = false
	started := !g.pumping && g.pumpLocked()
	g.mu.Unlock()
	if started {
		g.conn.port.Kick() // the reader may wait for input
	}
}

// inFlight are the requests of the peer that have not been answered, by id.
type inFlight struct {
	mu     sync.Mutex // guards the following
	number map[int64]*inCall
	text   map[string]*inCall
}

// How inFlight knows a call.
const (
	unkept uint8 = iota // null: there may be many
	byNumber
	byText
)

// add adds a call, unless its id is in use.
func (f *inFlight) add(k *inCall) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var old bool
	if n, ok := jsonwire.Int64(k.to.id); ok && (n != 0 || len(k.to.id) == 1) {
		if f.number == nil {
			f.number = map[int64]*inCall{}
		}
		k.num, k.key = n, byNumber
		if _, old = f.number[n]; !old {
			f.number[n] = k
		}
	} else {
		if f.text == nil {
			f.text = map[string]*inCall{}
		}
		k.key = byText
		if _, old = f.text[string(k.to.id)]; !old {
			f.text[string(k.to.id)] = k
		} else if string(k.to.id) == "null" {
			k.key, old = unkept, false
		}
	}
	if old {
		k.key = unkept
	}
	return !old
}

// hold says that the hub does not have the call yet.
func (f *inFlight) hold(k *inCall) {
	f.mu.Lock()
	k.waits = true
	f.mu.Unlock()
}

// begin says that the hub has it, and reports whether the peer has cancelled it
// meanwhile.
func (f *inFlight) begin(k *inCall) (cancelled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k.waits = false
	return k.gone
}

// remove forgets a call and reports whether the peer has cancelled it.
func (f *inFlight) remove(k *inCall) (cancelled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch k.key {
	case byNumber:
		delete(f.number, k.num)
	case byText:
		delete(f.text, string(k.to.id))
	}
	k.key = unkept
	return k.gone
}

// cancel cancels the call with that id. The id of another type is another id.
func (f *inFlight) cancel(c *Conn, id []byte) {
	f.mu.Lock()
	k := f.text[string(id)]
	if n, ok := jsonwire.Int64(id); ok && k == nil {
		k = f.number[n]
	}
	begun := false
	if k != nil {
		k.gone, begun = true, !k.waits
	}
	f.mu.Unlock()
	if begun {
		c.port.CancelCall(&k.state)
	}
}
