package nats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/nats-io/nats.go"
)

const (
	outcomeWait = 5 * time.Second // how long a publish waits for its outcome, or for who gives the order
	lastPlaces  = 1 << 16         // of how many subjects the node that leads knows the last place, twice
	ackBatch    = 256
)

var (
	errAgain    = errors.New("nats: it was not given a place")
	errNoLeader = errors.New("nats: no node gives the order")
	errSlow     = errors.New("nats: this node was too slow, and messages were dropped")
	errGone     = fmt.Errorf("%w: nats: the node that gave the order has gone", hubwire.ErrUnconfirmed)
)

// An end is one hub's. All is under mu; what the inbox is told is told after.
type end struct {
	b    *Backplane
	hub  string
	head string // of its subjects
	in   hubwire.Inbox
	me   uint64

	mu      sync.Mutex // guards the following
	s       *session   // nil while there is none
	begun   bool       // the election in this session
	ready   bool       // subscribed to everything, and known to the node that leads
	was     bool       // it was ready before
	closed  bool
	entries map[string]*entry
	own     [4]*entry // election, inbox; while it leads: requests, questions
	x       election
	changed chan struct{} // closed when a leader is known or ready changes
	todo    []func()

	nonce   uint64
	here    waits  // confirmed by what comes back to this node
	asked   waits  // confirmed by the node that leads
	told    waits  // confirmed by the node that has the connection
	before  uint64 // nonce of the last request of this term
	marked  uint64 // nonce of the mark that is under way; 0: none
	probing uint64 // nonce of the mark that the election waits for
	joining uint64 // nonce of what ready waits for; 0: nothing
	joined  time.Time
	settle  uint64 // nonce of the mark behind which requests of earlier terms are given up
	planned bool   // the last leader took its leave
	buf     []byte

	// of the node that leads
	seq     uint64
	last    [2]map[string]uint64 // the last place of a subject; of two generations
	peers   map[uint64]uint64    // the last nonce of each node
	due     map[uint64]uint64    // acks that are to be sent
	refuses bool                 // it has lost a request
}

// An entry is one subscription.
type entry struct {
	end     *end
	kind    byte
	addr    hubwire.Address
	token   string
	subject string
	sub     *nats.Subscription // nil: not any more, or not yet
	gone    bool

	by   stamp  // of the last event, while its place is known
	last uint64 // its place; 0: not known
}

// Kinds of entries: addresses, and the places of end.own.
const (
	forElection = iota
	forInbox
	forOrder
	forQuery
	forAddress
)

func newEnd(b *Backplane, hub string, in hubwire.Inbox) *end {
	e := &end{
		b: b, hub: hub, head: b.prefix + "." + nameToken(hub) + ".", in: in, me: newID(),
		entries: map[string]*entry{}, changed: make(chan struct{}),
	}
	e.x = election{
		me: e.me, rivals: map[uint64]time.Time{},
		send: func(what byte, s stamp, to uint64) {
			e.tellLocked("e", &frame{kind: frameElect, what: what, by: s, to: to})
		},
		mark:  func() { e.probing = e.markLocked() },
		ask:   func() { e.askLocked() },
		stand: func(now bool) { e.ownsLocked(forQuery, "q", now) },
		leads: e.leadsLocked,
		lost:  e.lostLocked,
		far:   b.link.clustered,
	}
	return e
}

// unlock ends the lock and tells the inbox what there is to tell.
func (e *end) unlock() {
	todo := e.todo
	e.todo = nil
	e.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

// tellLocked publishes a frame without a message.
func (e *end) tellLocked(token string, f *frame) {
	if e.s == nil {
		return
	}
	e.buf = f.append(e.buf[:0])
	_ = e.s.nc.Publish(e.head+token, e.buf) // an error is the session's, which ends
}

func (e *end) inbox(id uint64) string { return "i." + idToken(id) + "." }

// reply is the subject on which NATS says that nobody is subscribed.
func (e *end) reply(nonce uint64) string {
	return e.head + e.inbox(e.me) + strconv.FormatUint(nonce, 36)
}

func (e *end) askLocked() {
	if e.s != nil {
		_ = e.s.nc.PublishRequest(e.head+"q", e.head+e.inbox(e.me)+"q", []byte("?"))
	}
}

// markLocked publishes a mark, which comes back after all that came of what was
// published before it. It returns the mark's nonce.
func (e *end) markLocked() uint64 {
	e.nonce++
	e.marked = e.nonce
	e.tellLocked(e.inbox(e.me)+"m", &frame{kind: frameMark, nonce: e.nonce})
	return e.nonce
}

func (e *end) changeLocked() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// attach subscribes everything on a new session: what a node cannot do without
// first.
func (e *end) attach(s *session) (n int, err error) {
	e.mu.Lock()
	defer e.unlock()
	if e.s == s || e.closed {
		return 0, nil
	}
	e.s, e.begun = s, false
	for i, t := range [...]string{forElection: "e", forInbox: e.inbox(e.me) + ">"} {
		x := &entry{end: e, kind: byte(i), token: t, subject: e.head + t}
		e.own[i] = x
		if err := s.subscribe(x); err != nil {
			return 0, err
		}
	}
	for _, kind := range ranks {
		for _, x := range e.entries {
			if x.addr.Kind != kind {
				continue
			}
			x.by, x.last = stamp{}, 0
			if err := s.subscribe(x); err != nil {
				return 0, err
			}
		}
	}
	return len(e.entries), nil
}

// ranks is the order in which addresses are subscribed again.
var ranks = [...]hubwire.AddressKind{
	hubwire.AddressAll, hubwire.AddressNode, hubwire.AddressNodes,
	hubwire.AddressGroup, hubwire.AddressUser, hubwire.AddressConn,
}

// begin looks for the node that leads, once NATS has the subscriptions.
func (e *end) begin(s *session) {
	e.mu.Lock()
	defer e.unlock()
	if e.s == s && !e.begun {
		e.begun = true
		e.x.begin(time.Now())
	}
}

// detach forgets the session. Who waits is told that the outcome is not known.
func (e *end) detach(s *session, err error) {
	e.mu.Lock()
	ready, other := e.ready, e.s != s
	e.mu.Unlock()
	if other {
		return
	}
	if ready {
		e.in.State(false, err) // first: who finds ready false knows of the outage
	}
	e.mu.Lock()
	defer e.unlock()
	e.peers, e.due, e.last = nil, nil, [2]map[string]uint64{}
	e.s, e.ready, e.joining, e.marked, e.probing, e.settle = nil, false, 0, 0, 0, 0
	e.x.phase, e.x.lead = phaseRest, stamp{}
	e.own = [4]*entry{}
	for _, x := range e.entries {
		x.sub = nil
	}
	e.failLocked(fmt.Errorf("%w: %w", hubwire.ErrUnconfirmed, err))
	e.changeLocked()
}

func (e *end) failLocked(err error) {
	e.here.upTo(math.MaxUint64, err, nil)
	e.asked.upTo(math.MaxUint64, err, nil)
	e.told.upTo(math.MaxUint64, err, nil)
}

// ownsLocked subscribes to one of the subjects that are not addresses, or ends
// that.
func (e *end) ownsLocked(i int, t string, now bool) {
	if !now {
		e.s.unsubscribe(e.own[i])
		e.own[i] = nil
		return
	}
	e.own[i] = &entry{end: e, kind: byte(i), token: t, subject: e.head + t}
	if err := e.s.subscribe(e.own[i]); err != nil {
		e.s.fail(err)
	}
}

// leadsLocked is called by the election.
func (e *end) leadsLocked(now bool) {
	e.flushLocked()
	e.ownsLocked(forOrder, "o."+idToken(e.me), now)
	if !now {
		e.peers, e.due, e.last = nil, nil, [2]map[string]uint64{}
		return
	}
	e.seq, e.refuses = 0, false
	e.peers, e.due, e.last = map[uint64]uint64{}, map[uint64]uint64{}, [2]map[string]uint64{{}, {}}
	e.foundLocked()
}

// lostLocked is called by the election: nobody is known to lead.
func (e *end) lostLocked(by stamp, planned bool) {
	e.before, e.planned = 0, planned
	if planned {
		// Events and acks of a node come before its leave, so what it has not told
		// of by then has no place, and gets none.
		e.asked.upTo(math.MaxUint64, errGone, func(w *wait) bool { return w.by == by && w.blind })
		e.asked.upTo(math.MaxUint64, errAgain, func(w *wait) bool { return w.by == by })
	}
}

// foundLocked goes on with whom the election has found.
func (e *end) foundLocked() {
	e.before = 0
	if !e.planned && e.ready {
		// What the one before gave a place may not have come to all, and what was
		// asked of it not to it.
		lead := e.x.lead
		e.asked.upTo(math.MaxUint64, errGone, func(w *wait) bool { return w.by == lead })
		e.todo = append(e.todo, func() { e.in.Gap() })
		e.settle = e.markLocked()
	}
	e.planned = false
	if !e.ready {
		e.joinLocked()
	}
	e.changeLocked()
}

// joinLocked asks for a sign that all subscriptions are known to the node that
// leads, after which the hub is up.
func (e *end) joinLocked() {
	e.joined = time.Now()
	then := func(err error) {
		if e.joining = 0; err != nil || e.ready || e.s == nil {
			return // the tick tries again
		}
		e.ready = true
		gap := e.was
		e.was = true
		e.changeLocked()
		e.todo = append(e.todo, func() {
			if gap {
				e.in.Gap()
			}
			e.in.State(true, nil)
		})
	}
	e.joining = e.barrierLocked(wait{then: then})
}

// barrierLocked asks the node that leads for an ack, behind which it knows of
// what was subscribed before.
func (e *end) barrierLocked(w wait) uint64 {
	if e.x.phase == phaseLeading {
		e.hereLocked(w, e.markLocked())
	} else if err := e.requestLocked(w, "", nil); err != nil {
		e.s.fail(err)
	}
	return e.nonce
}

func (e *end) hereLocked(w wait, nonce uint64) {
	w.nonce, w.at = nonce, time.Now()
	e.here.add(w)
}

// tick is called some times a second.
func (e *end) tick(now time.Time) {
	e.mu.Lock()
	defer e.unlock()
	if e.s == nil || !e.begun || e.closed {
		return
	}
	lead := e.x.lead
	e.x.tick(now)
	e.flushLocked()
	old := fmt.Errorf("%w: nats: no outcome in %v", hubwire.ErrUnconfirmed, outcomeWait)
	e.here.old(now.Add(-outcomeWait), old)
	e.asked.old(now.Add(-outcomeWait), old)
	e.told.old(now.Add(-outcomeWait), old)
	e.told.each(func(w *wait) {
		if now.Sub(w.at) > tickEvery {
			e.probeLocked(w)
		}
	})
	if e.here.empty() {
		e.marked = 0
	} else if e.marked == 0 {
		e.markLocked()
	}
	if !e.ready && e.x.lead != (stamp{}) && e.x.lead == lead && (e.joining == 0 || now.Sub(e.joined) > time.Second) {
		e.joinLocked()
	}
}

// slow says that messages for this node were dropped.
func (e *end) slow() {
	e.mu.Lock()
	e.failLocked(fmt.Errorf("%w: %w", hubwire.ErrUnconfirmed, errSlow))
	e.marked = 0
	for _, x := range e.entries {
		x.last = 0
	}
	e.unlock()
	e.in.Gap()
}

// publish sends a message and waits until NATS has it.
func (e *end) publish(ctx context.Context, to hubwire.Address, m *hubwire.Message) error {
	t, ordered := token(to)
	if t == "" {
		return errAddress
	}
	body := bufPool.Get().(*[]byte)
	defer bufPool.Put(body)
	*body = m.Append((*body)[:0])
	asks := to.Kind == hubwire.AddressConn && m.ID != "" && m.Kind != hubwire.MessageForget
	return e.sure(ctx, sending{t, ordered, asks, *body})
}

// A sending is what a publish sends. Without a token it is a barrier.
type sending struct {
	token   string
	ordered bool
	asks    bool // somebody waits for what comes of it, so it must not be lost without a word
	body    []byte
}

var bufPool = sync.Pool{New: func() any { return new([]byte) }}

// pauses are how long a subscription is given to come around a cluster before
// nobody is subscribed.
var pauses = [...]time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond}

// sure sends until it has an outcome.
func (e *end) sure(ctx context.Context, p sending) error {
	var deadline time.Time
	for tries := 0; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		w := wait{token: p.token, done: outcomes.Get().(chan error)}
		changed, err := e.start(w, p)
		switch {
		case err != nil:
			return err
		case changed != nil:
			outcomes.Put(w.done)
			if deadline.IsZero() {
				deadline = time.Now().Add(outcomeWait)
			}
			if err := await(ctx, changed, time.Until(deadline)); err != nil {
				return err
			}
			continue
		}
		select {
		case err = <-w.done:
			outcomes.Put(w.done)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", hubwire.ErrUnconfirmed, ctx.Err())
		}
		switch {
		case err == errAgain:
		case err == hubwire.ErrNoReceiver && tries < len(pauses) && e.b.link.clustered():
			if err := await(ctx, nil, pauses[tries]); err != errNoLeader {
				return err
			}
			tries++
		default:
			return err
		}
	}
}

// await waits for a change.
func await(ctx context.Context, changed chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errNoLeader
	}
}

// start sends once; changed is set where it has to wait for a leader first.
func (e *end) start(w wait, p sending) (changed chan struct{}, err error) {
	e.mu.Lock()
	defer e.unlock()
	if !e.ready {
		return nil, hubwire.ErrDown
	}
	if limit := int(e.s.nc.MaxPayload()); len(p.body)+len(p.token)+headRoom > limit {
		return nil, fmt.Errorf("nats: publish: a message of %d bytes is more than the server's max_payload of %d allows", len(p.body), limit)
	}
	switch {
	case p.token == "" && !p.ordered:
		e.hereLocked(w, e.markLocked())
	case !p.ordered:
		err = e.directLocked(w, p)
	case e.x.phase == phaseLeading && !e.x.stale(time.Now()):
		err = e.placeLocked(w, p.token, p.body)
	case e.x.lead == (stamp{}):
		return e.changed, nil
	default:
		err = e.requestLocked(w, p.token, p.body)
	}
	if err != nil {
		// Nobody knows how much of it has left.
		e.s.fail(err)
		return nil, fmt.Errorf("%w: nats: publish: %w", hubwire.ErrUnconfirmed, err)
	}
	return nil, nil
}

// directLocked sends to one connection or node.
func (e *end) directLocked(w wait, p sending) error {
	e.nonce++
	w.nonce, w.at = e.nonce, time.Now()
	f := frame{kind: frameDirect, body: p.body}
	if p.asks {
		f.kind = frameAsk
	}
	e.buf = f.append(e.buf[:0])
	if err := e.s.nc.PublishRequest(e.head+p.token, e.reply(w.nonce), e.buf); err != nil {
		return err
	}
	if p.asks {
		e.told.add(w)
		return nil
	}
	e.here.add(w)
	if e.marked == 0 {
		e.markLocked()
	}
	return nil
}

// probeLocked finds out what became of a frameAsk: if the connection's node has
// the probe, which came after it, but has not told that it has the other, that is
// lost; NATS takes messages for connections that leave at that moment, or that one
// of its servers has not heard of yet, and drops them.
func (e *end) probeLocked(w *wait) {
	f := frame{kind: frameAsk}
	e.buf = f.append(e.buf[:0])
	_ = e.s.nc.PublishRequest(e.head+w.token, e.reply(w.nonce)+probe, e.buf) // an error is the session's
}

// probe is behind the nonce of a wait.
const probe = ".p"

// placeLocked gives an event of this node its place.
func (e *end) placeLocked(w wait, t string, body []byte) error {
	if t == "" {
		e.hereLocked(w, e.markLocked())
		return nil
	}
	e.nonce++
	nonce := e.nonce
	if err := e.eventLocked(t, e.me, nonce, body); err != nil {
		return err
	}
	e.hereLocked(w, nonce)
	if e.marked == 0 && e.entries[t] == nil {
		e.markLocked() // else the event itself comes back
	}
	return nil
}

// requestLocked asks the node that leads for a place.
func (e *end) requestLocked(w wait, t string, body []byte) error {
	e.nonce++
	lead := e.x.lead
	f := frame{kind: frameRequest, by: lead, sender: e.me, nonce: e.nonce, before: e.before, ack: e.entries[t] == nil, token: t, body: body}
	e.buf = f.append(e.buf[:0])
	if err := e.s.nc.PublishRequest(e.head+"o."+idToken(lead.id), e.reply(f.nonce), e.buf); err != nil {
		return err
	}
	e.before = f.nonce
	w.nonce, w.at, w.by = f.nonce, time.Now(), lead
	e.asked.add(w)
	return nil
}

// subscribe adds addresses, which are subscribed again after every outage.
func (e *end) subscribe(ctx context.Context, addrs []hubwire.Address) error {
	var fresh []hubwire.Address
	order := false
	e.mu.Lock()
	if !e.ready {
		e.mu.Unlock()
		return hubwire.ErrDown
	}
	for _, a := range addrs {
		t, ordered := token(a)
		if t == "" {
			e.mu.Unlock()
			return errAddress
		}
		order = order || ordered
		if e.entries[t] != nil {
			continue
		}
		x := &entry{end: e, kind: forAddress, addr: a, token: t, subject: e.head + t}
		if err := e.s.subscribe(x); err != nil {
			e.s.fail(err)
			e.mu.Unlock()
			e.unsubscribe(fresh)
			return fmt.Errorf("%w: nats: subscribe: %w", hubwire.ErrDown, err)
		}
		e.entries[t] = x
		fresh = append(fresh, a)
	}
	e.mu.Unlock()
	err := e.sure(ctx, sending{ordered: order})
	if err != nil {
		e.unsubscribe(fresh)
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%w: nats: subscribe: %w", hubwire.ErrDown, err)
	}
	return nil
}

func (e *end) unsubscribe(addrs []hubwire.Address) {
	e.mu.Lock()
	defer e.unlock()
	for _, a := range addrs {
		t, _ := token(a)
		x := e.entries[t]
		if x == nil {
			continue
		}
		delete(e.entries, t)
		x.gone = true
		if e.s == nil {
			continue
		}
		e.s.unsubscribe(x)
		// Who waits for an event that comes back waits for a sign instead.
		if e.here.blind(t) && e.marked == 0 {
			e.markLocked()
		}
		if e.asked.blind(t) && e.x.phase == phaseRest && e.x.lead != (stamp{}) {
			e.barrierLocked(wait{then: func(error) {}})
		}
	}
}

// close takes leave of the other nodes, and returns when nothing is delivered
// any more.
func (e *end) close(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	for _, x := range e.entries {
		x.gone = true
		if e.s != nil {
			e.s.unsubscribe(x)
		}
	}
	if e.s == nil {
		e.endLocked()
		e.unlock()
		return
	}
	if e.x.phase == phaseLeading {
		e.resignLocked()
	} else {
		e.x.rest()
		e.x.send(electYield, stamp{0, e.me}, 0)
	}
	// Requests that are on their way are refused until this comes back.
	w := wait{done: make(chan error, 1)}
	e.hereLocked(w, e.markLocked())
	e.unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.unlock()
	if e.s != nil {
		for _, x := range e.own {
			e.s.unsubscribe(x)
		}
	}
	e.endLocked()
}

func (e *end) endLocked() {
	e.s, e.ready, e.entries, e.own = nil, false, map[string]*entry{}, [4]*entry{}
	e.failLocked(fmt.Errorf("%w: nats: closed", hubwire.ErrUnconfirmed))
	e.changeLocked()
}

// flush sends the acks that are due.
func (e *end) flush() {
	e.mu.Lock()
	e.flushLocked()
	e.unlock()
}

func (e *end) resignLocked() {
	to := uint64(0)
	for id := range e.peers {
		if id != e.me {
			to = id
			break
		}
	}
	e.flushLocked()
	e.x.resign(to, time.Now())
}
