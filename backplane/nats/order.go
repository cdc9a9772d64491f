package nats

import (
	"strconv"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/nats-io/nats.go"
)

// take takes what came for an entry. It is called by the one goroutine that
// delivers.
func (e *end) take(x *entry, m *nats.Msg) error {
	if len(m.Data) == 0 && m.Header != nil && m.Header.Get("Status") == "503" {
		e.nobody(strings.TrimPrefix(m.Subject, e.head+e.inbox(e.me)))
		return nil
	}
	if x.kind == forQuery {
		e.mu.Lock()
		if what, by, ok := e.x.answer(); ok && e.s != nil {
			f := frame{kind: frameElect, what: what, by: by}
			_ = e.s.nc.Publish(m.Reply, f.append(nil)) // an error is the session's
		}
		e.unlock()
		return nil
	}
	var f frame
	if err := f.parse(m.Data); err != nil {
		return err
	}
	switch {
	case x.kind == forAddress && (f.kind == frameDirect || f.kind == frameAsk):
		if f.kind == frameAsk && m.Reply != "" {
			e.got(m.Reply)
		}
		if f.kind == frameAsk && len(f.body) == 0 {
			return nil
		}
		msg, err := hubwire.ParseMessage(f.body)
		e.mu.Lock()
		gone := x.gone
		e.unlock()
		if err == nil && !gone {
			e.in.Message(x.addr, msg)
		}
		return err
	case x.kind == forAddress && f.kind == frameEvent:
		return e.event(x, &f)
	case x.kind == forOrder && f.kind == frameRequest:
		e.request(&f)
		return nil
	case x.kind == forInbox && f.kind == frameGot:
		e.nonceOf(strings.TrimPrefix(m.Subject, e.head+e.inbox(e.me)), nil, errAgain)
		return nil
	case x.kind == forInbox && f.kind >= frameAck, x.kind == forElection && f.kind == frameElect:
		e.control(&f)
		return nil
	}
	return errFrame
}

// event delivers an event that has its place, unless a later term is known.
func (e *end) event(x *entry, f *frame) error {
	msg, err := hubwire.ParseMessage(f.body)
	if err != nil {
		return err
	}
	gap, own := false, f.sender == e.me
	e.mu.Lock()
	if x.gone {
		e.unlock()
		return nil
	}
	if f.by.less(e.x.fence) {
		// Others may have had it before what this node has had since.
		if own {
			e.ownLocked(f, errGone)
		}
		e.unlock()
		e.in.Gap(x.addr)
		return nil
	}
	if e.x.fence.less(f.by) {
		e.hearLocked(&frame{kind: frameElect, what: electAlive, by: f.by})
	}
	if x.by == f.by && x.last != 0 {
		if f.seq <= x.last {
			e.unlock()
			return nil // twice
		}
		gap = f.prev != 0 && f.prev != x.last
	}
	x.by, x.last = f.by, f.seq
	e.unlock()
	if gap {
		e.in.Gap(x.addr)
	}
	e.in.Message(x.addr, msg)
	if own {
		e.mu.Lock()
		e.ownLocked(f, nil)
		e.unlock()
	}
	return nil
}

// ownLocked takes the outcome of an event of this node from the event itself.
func (e *end) ownLocked(f *frame, err error) {
	if f.by.id != e.me {
		e.asked.one(f.nonce, err)
		return
	}
	if err != nil {
		e.here.one(f.nonce, err)
	}
	e.here.upTo(f.nonce, nil, nil) // NATS has taken what this node published before it
	if e.marked == 0 && !e.here.empty() && e.entries[e.here.newest().token] == nil {
		e.markLocked()
	}
}

// request gives a place to an event of another node.
func (e *end) request(f *frame) {
	e.mu.Lock()
	defer e.unlock()
	if e.s == nil {
		return
	}
	if e.x.phase != phaseLeading || f.by != e.x.mine || e.refuses || e.x.stale(time.Now()) {
		e.tellLocked(e.inbox(f.sender)+"r", &frame{kind: frameRefuse, by: f.by, nonce: f.nonce})
		return
	}
	last := e.peers[f.sender]
	if f.nonce <= last {
		return // twice
	}
	if f.before != 0 && f.before != last {
		// A request was lost on its way here. Acks tell of all up to one, so
		// there can be none in this term any more.
		e.refuses = true
		e.tellLocked(e.inbox(f.sender)+"r", &frame{kind: frameRefuse, by: f.by, nonce: f.nonce})
		e.due = map[uint64]uint64{}
		e.x.stepDown(time.Now())
		return
	}
	e.peers[f.sender] = f.nonce
	if f.token != "" {
		if err := e.eventLocked(f.token, f.sender, f.nonce, f.body); err != nil {
			e.s.fail(err)
			return
		}
	}
	if f.ack {
		if len(e.due) == 0 {
			e.s.acks = append(e.s.acks, e)
		}
		if e.due[f.sender] = f.nonce; len(e.due) >= ackBatch {
			e.flushLocked()
		}
	}
}

// eventLocked publishes an event in its place: this node leads.
func (e *end) eventLocked(t string, sender, nonce uint64, body []byte) error {
	e.seq++
	prev, ok := e.last[0][t]
	if !ok {
		prev = e.last[1][t]
	}
	if len(e.last[0]) >= lastPlaces {
		e.last[1], e.last[0] = e.last[0], map[string]uint64{}
	}
	e.last[0][t] = e.seq
	f := frame{kind: frameEvent, by: e.x.mine, seq: e.seq, prev: prev, sender: sender, nonce: nonce, body: body}
	e.buf = f.append(e.buf[:0])
	return e.s.nc.Publish(e.head+t, e.buf)
}

// flushLocked sends the acks that are due.
func (e *end) flushLocked() {
	for id, nonce := range e.due {
		e.tellLocked(e.inbox(id)+"a", &frame{kind: frameAck, by: e.x.mine, nonce: nonce})
		delete(e.due, id)
	}
}

// nobody takes NATS's word that nobody was subscribed for what this node asked
// with that name behind its inbox.
func (e *end) nobody(name string) {
	if name == "q" {
		e.mu.Lock()
		e.x.nobody(time.Now())
		e.unlock()
		return
	}
	e.nonceOf(name, hubwire.ErrNoReceiver, hubwire.ErrNoReceiver)
}

// nonceOf ends what the name of an answer stands for: itself, or its probe.
func (e *end) nonceOf(name string, itself, itsProbe error) {
	name, probed := strings.CutSuffix(name, probe)
	nonce, err := strconv.ParseUint(name, 36, 64)
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.unlock()
	if probed {
		itself = itsProbe
	}
	if _, ok := e.told.one(nonce, itself); ok || probed || itself == nil {
		return
	}
	if _, ok := e.here.one(nonce, itself); ok {
		return
	}
	if by, ok := e.asked.one(nonce, errAgain); ok {
		e.x.gone(by, time.Now())
	}
}

// got tells the sender of a frameAsk that it has come.
func (e *end) got(reply string) {
	e.mu.Lock()
	defer e.unlock()
	if e.s != nil {
		_ = e.s.nc.Publish(reply, []byte{frameGot}) // an error is the session's
	}
}

// control takes answers, marks and what concerns the election.
func (e *end) control(f *frame) {
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	if e.s == nil || !e.begun || e.closed && f.kind == frameElect {
		return
	}
	switch f.kind {
	case frameAck:
		e.asked.upTo(f.nonce, nil, func(w *wait) bool { return w.by == f.by })
	case frameRefuse:
		if by, ok := e.asked.one(f.nonce, errAgain); ok {
			e.x.gone(by, now)
		}
	case frameMark:
		e.here.upTo(f.nonce, nil, nil)
		if e.settle != 0 && f.nonce >= e.settle {
			e.settle = 0
			e.asked.upTo(f.nonce, errGone, func(w *wait) bool { return w.by != e.x.lead })
		}
		if f.nonce >= e.marked {
			if e.marked = 0; !e.here.empty() {
				e.markLocked()
			}
		}
		if e.probing != 0 && f.nonce >= e.probing {
			e.probing = 0
			e.x.probed(now)
		}
	case frameElect:
		if f.what == electYield && e.peers != nil {
			delete(e.peers, f.by.id)
		}
		e.hearLocked(f)
	}
}

// hearLocked tells the election, and goes on with whom it finds.
func (e *end) hearLocked(f *frame) {
	lead := e.x.lead
	e.x.hear(f, time.Now())
	if e.x.lead != lead && e.x.lead != (stamp{}) && e.x.phase == phaseRest {
		e.foundLocked()
	}
}
