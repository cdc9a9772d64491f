package nats

import (
	"math/rand/v2"
	"time"
)

const (
	beatEvery  = time.Second            // how often the node that leads says so
	leaseWait  = 5 * time.Second        // how long it may be silent
	leaseSelf  = 3 * time.Second        // how long it goes on without hearing itself
	claimWait  = 2 * time.Second        // how long a claim may take, and others hold back for one
	resignWait = time.Second            // how long others leave it to the successor
	claimDelay = 20 * time.Millisecond  // not all at once
	askEvery   = 500 * time.Millisecond // how often a node that knows of nobody asks
	asks       = 4                      // how often without any answer before it claims
	farWait    = 300 * time.Millisecond // how long objections may be on their way in a cluster
)

type phase uint8

const (
	phaseRest     phase = iota // it follows, or waits
	phaseClaiming              // its claim is on its way
	phaseProbing               // it has seen its own claim, and waits for a mark that it has sent since
	phaseProbed                // that has come; others that claim have to yield
	phaseLeading
)

// An election finds the one node that gives the order. It keeps no two leaders
// apart for good, which needs no more than the fence: whoever has seen a higher
// stamp takes nothing of a lower one, so two who lead cost gaps, never two orders.
//
// That two lead happens where a leader is silent alone. Else: who claims says so
// to all, waits until it hears itself, and then for a mark that it sends after
// that. Of two who claim at least one has seen the other's claim by then, since
// NATS gave it to all before it took the mark; the lower yields, and a claim that
// has become a lead answers with electAlive. Who comes later asks first, and is
// answered by who leads and who claims. That is so on one server; in a cluster
// a claim may be answered by another server's node, for which there is farWait.
//
// It is a machine without a clock or a lock of its own: the end calls it.
type election struct {
	me    uint64
	send  func(what byte, s stamp, to uint64)
	mark  func()                      // publishes a mark, after which probed is called
	ask   func()                      // asks who leads or claims: they answer, or nobody is called
	stand func(now bool)              // this node answers such questions from now on, or no longer
	leads func(now bool)              // this node leads from now on, or no longer
	lost  func(s stamp, planned bool) // s leads no longer, and nobody is known who does
	far   func() bool                 // whether there may be other servers

	phase  phase
	mine   stamp // what this node claims or leads by
	lead   stamp // who leads; zero: not known
	fence  stamp // the highest that ever led
	rivals map[uint64]time.Time

	heard time.Time // of the leader, or of oneself as one
	beat  time.Time // when it said last that it leads, or asked last
	until time.Time // a claim's end
	after time.Time // when it may lead at the earliest
	next  time.Time // when to claim; zero: ask
	asked int
}

// begin is called when there is a connection anew.
func (x *election) begin(now time.Time) {
	x.phase, x.lead, x.rivals, x.next, x.asked = phaseRest, stamp{}, map[uint64]time.Time{}, time.Time{}, 0
	x.query(now)
}

func (x *election) query(now time.Time) {
	x.beat = now
	x.asked++
	x.ask()
}

// nobody says that a question found no leader.
func (x *election) nobody(now time.Time) {
	if x.phase == phaseRest && x.lead == (stamp{}) && x.next.IsZero() {
		x.claim(now)
	}
}

// gone says that a request found no leader with this stamp.
func (x *election) gone(s stamp, now time.Time) {
	if s == x.lead && s != (stamp{}) && x.phase == phaseRest {
		x.lead = stamp{}
		x.next = now.Add(rand.N(claimDelay))
		x.lost(s, false)
	}
}

func (x *election) claim(now time.Time) {
	if x.phase == phaseRest {
		x.stand(true)
	}
	x.phase, x.until, x.next = phaseClaiming, now.Add(claimWait), time.Time{}
	// Of the clock, so that a node that knows nothing is not below those that do.
	x.mine = stamp{max(uint64(now.UnixMilli()), x.fence.term+1), x.me}
	x.send(electClaim, x.mine, 0)
}

// probed says that the mark has come back.
func (x *election) probed(now time.Time) {
	if x.phase == phaseProbing {
		if x.phase, x.after = phaseProbed, now; x.far() {
			x.after = now.Add(farWait)
		}
		x.tryLead(now)
	}
}

func (x *election) tryLead(now time.Time) {
	for id, since := range x.rivals {
		if now.Sub(since) > claimWait {
			delete(x.rivals, id)
		}
	}
	if x.phase != phaseProbed || len(x.rivals) > 0 || now.Before(x.after) {
		return
	}
	x.phase, x.lead, x.fence, x.heard, x.beat = phaseLeading, x.mine, x.mine, now, now
	x.leads(true)
	x.send(electAlive, x.mine, 0)
}

// hear takes what came on the hub's election subject, its own words too, and
// the answers to its questions.
func (x *election) hear(f *frame, now time.Time) {
	s := f.by
	if s.id == x.me {
		switch {
		case f.what == electClaim && x.phase == phaseClaiming && s == x.mine:
			x.phase = phaseProbing
			x.mark()
		case f.what == electAlive && x.phase == phaseLeading && s == x.mine:
			x.heard = now
		}
		return
	}
	switch f.what {
	case electAlive:
		delete(x.rivals, s.id)
		x.alive(s, now)
	case electClaim:
		if x.phase == phaseLeading {
			x.send(electAlive, x.mine, 0)
			return
		}
		if s.less(x.fence) && x.lead == (stamp{}) {
			x.send(electFence, x.fence, 0) // or nobody who knows it would follow
			return
		}
		x.rivals[s.id] = now
		switch {
		case x.phase == phaseRest:
			if x.lead == (stamp{}) {
				x.next = now.Add(claimWait + rand.N(claimWait))
			}
		case x.mine.less(s):
			x.rest()
			x.next = now.Add(claimWait + rand.N(claimWait))
			x.send(electYield, x.mine, 0)
		}
	case electYield:
		delete(x.rivals, s.id)
		x.tryLead(now)
	case electFence:
		if x.fence.less(s) {
			x.fence = s
		}
		switch {
		case x.phase == phaseLeading && x.mine.less(s):
			x.stepDown(now)
		case x.phase == phaseLeading:
		case x.phase != phaseRest && x.mine.less(s):
			x.claim(now)
		case x.phase == phaseRest && x.lead.less(s):
			x.gone(x.lead, now)
		}
	case electResign:
		delete(x.rivals, s.id)
		if s != x.lead {
			return
		}
		x.lead = stamp{}
		x.lost(s, true)
		switch f.to {
		case x.me:
			x.claim(now)
		case 0:
			x.next = now.Add(rand.N(claimDelay))
		default:
			x.next = now.Add(resignWait + rand.N(resignWait))
		}
	}
}

func (x *election) alive(s stamp, now time.Time) {
	if s.less(x.fence) {
		if x.phase == phaseLeading {
			x.send(electAlive, x.mine, 0)
		}
		return
	}
	x.rest()
	if s != x.lead && x.lead != (stamp{}) {
		x.lost(x.lead, false)
	}
	x.lead, x.fence, x.heard, x.next, x.asked = s, s, now, time.Time{}, 0
}

// tick is called some times a second.
func (x *election) tick(now time.Time) {
	switch {
	case x.phase == phaseLeading:
		if now.Sub(x.heard) > leaseSelf {
			x.stepDown(now)
		} else if now.Sub(x.beat) >= beatEvery {
			x.beat = now
			x.send(electAlive, x.mine, 0)
		}
	case x.phase != phaseRest:
		x.tryLead(now)
		if x.phase != phaseLeading && now.After(x.until) {
			x.claim(now)
		}
	case x.lead != (stamp{}):
		if now.Sub(x.heard) > leaseWait {
			x.next = now.Add(rand.N(10 * claimDelay))
			x.lost(x.lead, false)
			x.lead = stamp{}
		}
	case !x.next.IsZero():
		if now.After(x.next) {
			x.claim(now)
		}
	case now.Sub(x.beat) >= askEvery:
		if x.asked >= asks {
			x.claim(now)
		} else {
			x.query(now)
		}
	}
}

// stale reports whether a leader has not heard itself for so long that others
// may have taken over; it then leads no longer.
func (x *election) stale(now time.Time) bool {
	if x.phase == phaseLeading && now.Sub(x.heard) > leaseSelf {
		x.stepDown(now)
		return true
	}
	return false
}

func (x *election) stepDown(now time.Time) {
	x.rest()
	x.lead, x.next, x.asked = stamp{}, time.Time{}, 0
	x.lost(x.mine, false)
	x.query(now)
}

// resign ends the lead in favour of another, if one is known.
func (x *election) resign(to uint64, now time.Time) {
	if x.phase != phaseLeading {
		return
	}
	x.send(electResign, x.mine, to)
	x.rest()
	x.lead, x.next = stamp{}, now.Add(resignWait+rand.N(resignWait))
	x.lost(x.mine, true)
}

// rest ends what the node claims or leads.
func (x *election) rest() {
	if x.phase == phaseLeading {
		x.leads(false)
	}
	if x.phase != phaseRest {
		x.stand(false)
	}
	x.phase = phaseRest
}

// answer is what a node says that stands.
func (x *election) answer() (what byte, s stamp, ok bool) {
	switch x.phase {
	case phaseRest:
		return 0, stamp{}, false
	case phaseLeading:
		return electAlive, x.mine, true
	}
	return electClaim, x.mine, true
}
