package hubwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Times of the fleet.
const (
	beatEvery = 5 * time.Second  // how often a node says that it is there
	lease     = 15 * time.Second // after what silence the others take it for dead
	// settleWait is how long a node that has come waits for one that knows all the
	// others, before it takes those that it has heard of for all.
	settleWait = time.Second
	byeWait    = time.Second
)

// A fleet is what a hub knows of its other nodes.
//
// Nodes speak at AddressNodes, where all see one order. A node that comes says
// so, and the others answer; who has been there for a while answers with the list
// of all. From then on it knows every node whose hello precedes its own question
// in that order, which is every node that has connections. A node that is silent
// for the length of a lease is taken for dead.
type fleet struct {
	mu      sync.Mutex // guards the following
	known   map[string]*knownNode
	asked   map[string]*asking
	timer   *time.Timer   // the next beat; nil before the first hello and after the end
	settled chan struct{} // closed once all nodes are known
	over    bool
	deaf    bool // during an outage: nobody is heard, so nobody is silent
}

// A knownNode is another node.
type knownNode struct {
	until time.Time // of its lease
}

// An asking is a question to all nodes.
type asking struct {
	want map[string]bool // who has not answered; nil: the question is not in line yet
	got  map[string]*note
	done chan struct{} // closed when all have answered
}

func (f *fleet) init() {
	f.known, f.asked, f.settled = map[string]*knownNode{}, map[string]*asking{}, make(chan struct{})
}

// settleLocked notes that all nodes are known.
func (f *fleet) settleLocked() {
	select {
	case <-f.settled:
	default:
		close(f.settled)
	}
}

// greetNodes says hello for the first time.
func (r *remote) greetNodes() {
	f := &r.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.timer != nil {
		return
	}
	f.timer = time.AfterFunc(beatEvery, r.beat) // ends with leaveNodes
	time.AfterFunc(settleWait, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.settleLocked()
	})
	r.tellNodes(noteHello)
}

// nodesAgain takes the nodes up again after an outage: what they said meanwhile
// was not heard.
func (r *remote) nodesAgain() {
	f := &r.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf = false
	if f.over || f.timer == nil {
		return
	}
	for _, k := range f.known {
		k.until = time.Now().Add(lease)
	}
	r.tellNodes(noteHello)
}

// tellNodes tells all nodes that this one is there.
func (r *remote) tellNodes(op noteOp) {
	r.job(func(ctx context.Context) { r.publishNote(ctx, r.address(AddressNodes, ""), "", r.state(op)) })
}

// state is a note with what others need to know of this node.
func (r *remote) state(op noteOp) *note { return &note{op: op} }

// publishNote publishes without waiting for the end of an outage.
func (r *remote) publishNote(ctx context.Context, to Address, id string, n *note) {
	if r.down() {
		return
	}
	if err := r.bp.Publish(ctx, to, r.noteMessage(id, n)); err != nil && !errors.Is(err, ErrNoReceiver) {
		r.h.log.Debug("hubwire: other nodes were not told", "hub", r.h.opts.Name, "err", err)
	}
}

func (r *remote) noteMessage(id string, n *note) *Message {
	return &Message{Kind: MessageNode, ID: id, Node: r.node, Blobs: []Blob{{Bytes: n.append(nil)}}}
}

// beat is called every beatEvery.
func (r *remote) beat() {
	f := &r.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.timer.Reset(beatEvery)
	if f.deaf {
		return
	}
	for name, k := range f.known {
		if f.deadLocked(k) {
			r.h.log.Info("hubwire: a node is silent and taken for dead", "hub", r.h.opts.Name, "node", name)
			f.forgetLocked(name)
		}
	}
	r.tellNodes(noteBeat)
}

func (f *fleet) deadLocked(k *knownNode) bool { return !f.deaf && time.Now().After(k.until) }

// deafen says that an outage has begun.
func (f *fleet) deafen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf = true
}

func (f *fleet) forgetLocked(name string) {
	delete(f.known, name)
	for _, a := range f.asked {
		a.heardLocked(name)
	}
}

// leaveNodes says goodbye, so that nobody has to wait for the end of a lease.
func (r *remote) leaveNodes(ctx context.Context) {
	f := &r.fleet
	f.mu.Lock()
	here := f.timer != nil && !f.over
	f.over = true
	if here {
		f.timer.Stop()
	}
	f.mu.Unlock()
	if here {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeWait)
		defer cancel()
		r.publishNote(ctx, r.address(AddressNodes, ""), "", &note{op: noteBye})
	}
}

// note takes what a node says. It does not block.
func (r *remote) note(m *Message) {
	if len(m.Blobs) == 0 {
		return
	}
	n, err := parseNote(m.Blobs[0].Bytes)
	if err != nil {
		r.h.log.Info("hubwire: what another node says cannot be read", "hub", r.h.opts.Name, "node", m.Node, "err", err)
		return
	}
	f := &r.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Node == r.node {
		if n.op == noteAsk {
			f.inLineLocked(m.ID)
		}
		return
	}
	if n.op == noteBye {
		f.forgetLocked(m.Node)
		return
	}
	r.heardLocked(m.Node)
	switch n.op {
	case noteHello:
		r.welcomeLocked(m.Node)
	case noteHere:
		for _, name := range n.names {
			if name != r.node && f.known[name] == nil && len(f.known) < maxNodes {
				f.known[name] = &knownNode{until: time.Now().Add(lease)}
			}
		}
		if n.settled {
			f.settleLocked()
		}
	case noteAsk:
		r.job(func(ctx context.Context) {
			if tell := r.h.answer(ctx, n, m.Except); tell != nil {
				r.publishNote(ctx, r.address(AddressNode, m.Node), m.ID, tell)
			}
		})
	case noteTell:
		if a := f.asked[m.ID]; a != nil {
			a.got[m.Node] = n
			a.heardLocked(m.Node)
		}
	}
}

// maxNodes bounds what others can make a node remember.
const maxNodes = 100_000

// heardLocked renews a node's lease.
func (r *remote) heardLocked(name string) {
	f := &r.fleet
	k := f.known[name]
	if k == nil {
		if len(f.known) >= maxNodes {
			return
		}
		k = &knownNode{}
		f.known[name] = k
	}
	k.until = time.Now().Add(lease)
}

// welcomeLocked answers a hello. The two nodes whose names come first send the
// list of all, which is long where there are many.
func (r *remote) welcomeLocked(name string) {
	f := &r.fleet
	here := r.state(noteHere)
	before := 0
	for other := range f.known {
		if other < r.node && other != name {
			before++
		}
	}
	if before < 2 {
		for other := range f.known {
			here.names = append(here.names, other)
		}
		select {
		case <-f.settled:
			here.settled = true
		default:
		}
	}
	r.job(func(ctx context.Context) { r.publishNote(ctx, r.address(AddressNode, name), "", here) })
}

// inLineLocked says that a question of this node is in line: it is the live nodes
// that answer it.
func (f *fleet) inLineLocked(id string) {
	a := f.asked[id]
	if a == nil || a.want != nil {
		return
	}
	a.want = map[string]bool{}
	for name, k := range f.known {
		if a.got[name] == nil && !f.deadLocked(k) {
			a.want[name] = true
		}
	}
	if len(a.want) == 0 {
		close(a.done)
	}
}

// heardLocked says that there is no need to wait for a node any more.
func (a *asking) heardLocked(name string) {
	if a.want[name] {
		if delete(a.want, name); len(a.want) == 0 {
			close(a.done)
		}
	}
}

// askNodes asks all other nodes and waits for their answers. During an outage
// that Outage.Local bridges there is nobody to ask.
func (r *remote) askNodes(ctx context.Context, n *note, except []string) (map[string]*note, error) {
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	if r.local() {
		return nil, nil
	}
	f := &r.fleet
	select {
	case <-f.settled:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	id := r.id()
	a := &asking{got: map[string]*note{}, done: make(chan struct{})}
	f.mu.Lock()
	over := f.over
	f.asked[id] = a
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.asked, id)
		f.mu.Unlock()
	}()
	if over {
		return nil, ErrClosed
	}
	m := r.noteMessage(id, n)
	m.Except = except
	if err := r.send(ctx, r.address(AddressNodes, ""), m); err != nil && !errors.Is(err, ErrNoReceiver) {
		return nil, err
	}
	timer := time.NewTimer(echoWait)
	defer timer.Stop()
	select {
	case <-a.done:
		return a.got, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnconfirmed, ctx.Err())
	case <-timer.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	silent := "this node has not heard its own question"
	for name := range a.want {
		silent = "node " + name + " has not answered"
	}
	return nil, fmt.Errorf("%w: %s", ErrUnconfirmed, silent)
}

// Nodes are the names of the nodes that this one knows to be alive, itself
// included, sorted: one alone without a backplane, and nodes of ASP.NET Core are
// not among them. A name is new with every New.
func (h *Hub) Nodes() []string {
	r := h.remote
	if r == nil {
		return []string{""}
	}
	names := []string{r.node}
	r.fleet.mu.Lock()
	for name, k := range r.fleet.known {
		if !r.fleet.deadLocked(k) {
			names = append(names, name)
		}
	}
	r.fleet.mu.Unlock()
	slices.Sort(names)
	return names
}
