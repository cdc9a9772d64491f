package hubwire

import (
	"context"
	"sync"
)

// A Target is who an Event goes to: an Audience, users, connections.
type Target interface {
	Hub() *Hub
	deliver(ctx context.Context, m *message) error
}

// A Peer is one connection, here or on another node: it can be sent to and
// asked.
type Peer interface {
	Target
	ask(ctx context.Context, name string, lay *layout, in, into any) error
}

// A message is an event on its way: what it says, before it is encoded.
type message struct {
	name string
	lay  *layout
	v    any
	key  string // of Latest
}

func sendEvent(ctx context.Context, to Target, name string, lay *layout, v any) error {
	return to.deliver(ctx, &message{name: name, lay: lay, v: v})
}

// Latest is to, but that for a client that is behind the event replaces the one
// that waits under the same key. Others get every event. Use it for what is
// only worth knowing as it is now: cursors, prices, progress.
func Latest(to Target, key string) Target {
	return latest{to, key}
}

type latest struct {
	Target
	key string
}

func (l latest) deliver(ctx context.Context, m *message) error {
	m.key = l.key
	return l.Target.deliver(ctx, m)
}

type targetKind uint8

const (
	toAll targetKind = iota
	toGroup
	toUser
	toConn
)

var targetKinds = [...]string{"all", "group", "user", "conn"}

// An Audience is all connections of a hub, or those of groups.
type Audience struct {
	hub    *Hub
	kind   targetKind
	names  []string
	except []string
}

// Hub is the hub of the audience.
func (a Audience) Hub() *Hub { return a.hub }

// Except is the audience without the connections ids.
func (a Audience) Except(connIDs ...string) Audience {
	a.except = append(append([]string(nil), a.except...), connIDs...)
	return a
}

func (a Audience) deliver(ctx context.Context, m *message) error {
	return a.hub.deliver(ctx, a.kind, a.names, a.except, m)
}

// All is every connection of the hub, on every node.
func (h *Hub) All() Audience { return Audience{hub: h, kind: toAll, names: allNames} }

var allNames = []string{""}

// Group is the members of the groups, on every node. A member of two of them
// gets an event twice, as in ASP.NET Core.
func (h *Hub) Group(names ...string) Audience {
	return Audience{hub: h, kind: toGroup, names: names}
}

type userTarget struct {
	hub *Hub
	ids []string
}

// User is all connections of the users, on every node. A user named twice gets
// an event once.
func (h *Hub) User(ids ...string) Target { return userTarget{h, distinct(ids)} }

func (t userTarget) Hub() *Hub { return t.hub }

func (t userTarget) deliver(ctx context.Context, m *message) error {
	return t.hub.deliver(ctx, toUser, t.ids, nil, m)
}

type connsTarget struct {
	hub *Hub
	ids []string
}

// Conns is the connections with these ids, on any node. A connection named
// twice gets an event once. It waits for none of them; see Conn.
func (h *Hub) Conns(ids ...string) Target { return connsTarget{h, distinct(ids)} }

// distinct is names without repetitions, in order; names itself where it has
// none.
func distinct(names []string) []string {
	if len(names) < 2 {
		return names
	}
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		seen[n] = true
	}
	if len(seen) == len(names) {
		return names
	}
	var out []string
	for _, n := range names {
		if seen[n] {
			out = append(out, n)
			delete(seen, n)
		}
	}
	return out
}

func (t connsTarget) Hub() *Hub { return t.hub }

func (t connsTarget) deliver(ctx context.Context, m *message) error {
	for _, id := range t.ids {
		if err := t.hub.deliverConn(ctx, id, m); err != nil {
			return err
		}
	}
	return nil
}

type peer struct {
	hub *Hub
	id  string
}

// Conn is the connection with this id, on any node. Whether it exists shows
// when it is asked; a Send to nobody is no error.
func (h *Hub) Conn(id string) Peer { return peer{h, id} }

func (p peer) Hub() *Hub { return p.hub }

func (p peer) deliver(ctx context.Context, m *message) error { return p.hub.deliverConn(ctx, p.id, m) }

func (p peer) ask(ctx context.Context, name string, lay *layout, in, into any) error {
	if c := p.hub.conn(p.id); c != nil {
		return c.ask(ctx, name, lay, in, into)
	}
	return p.hub.askRemote(ctx, p.id, name, lay, in, into)
}

// Others is every connection of the hub but c.
func (c *Conn) Others() Audience { return c.hub.All().Except(c.id) }

// OthersIn is the members of the groups but c.
func (c *Conn) OthersIn(groups ...string) Audience { return c.hub.Group(groups...).Except(c.id) }

// A target is who has the same name: all connections, a group, a user. Its
// members are spread over the shards; those of a shard are its worker's.
type target struct {
	kind targetKind
	name string

	mu    sync.Mutex // held while a send is put into the lines: one order for all members
	parts []part
	n     int  // members, as of the last entry in the lines
	dead  bool // replaced: the last member has left
}

type part struct {
	n int // members of the shard, as of the last entry; guarded by target.mu

	// of the shard's worker alone
	members []*Conn
	slots   []*membership
}

// A membership is one connection's place in a target.
type membership struct {
	conn   *Conn
	target *target
	slot   int // of the shard's worker alone
}

func (p *part) insert(m *membership) {
	m.slot = len(p.members)
	p.members = append(p.members, m.conn)
	p.slots = append(p.slots, m)
}

func (p *part) remove(m *membership) {
	n := len(p.members) - 1
	p.members[m.slot], p.slots[m.slot] = p.members[n], p.slots[n]
	p.slots[m.slot].slot = m.slot
	p.members[n], p.slots[n] = nil, nil
	p.members, p.slots = p.members[:n], p.slots[:n]
	if cap(p.members) > 64 && n < cap(p.members)/4 {
		p.members = append(make([]*Conn, 0, 2*n), p.members...)
		p.slots = append(make([]*membership, 0, 2*n), p.slots...)
	}
}

// wait returns when the lines have room.
func (t *target) wait(ctx context.Context, h *Hub) error {
	for _, s := range h.shards {
		if s.busy.Load() {
			if err := s.wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// fullLocked reports whether a line that the target needs is full: many may have
// waited for the same room.
func (t *target) fullLocked(h *Hub) bool {
	for i := range t.parts {
		if t.parts[i].n > 0 && h.shards[i].full() {
			return true
		}
	}
	return false
}

// putWaiting waits for room and puts the event in line; its result is that of
// put.
func (t *target) putWaiting(ctx context.Context, h *Hub, ev *encoded, skip []*Conn) (bool, error) {
	for {
		if err := t.wait(ctx, h); err != nil {
			return false, err
		}
		t.mu.Lock()
		if full := t.fullLocked(h); !full {
			ok := t.putLocked(h, ev, skip)
			t.mu.Unlock()
			return ok, nil
		}
		t.mu.Unlock()
	}
}

func (t *target) put(h *Hub, ev *encoded, skip []*Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.putLocked(h, ev, skip)
}

// putLocked puts the event in line for every shard with members. It reports
// false where the protocols in use have changed since the event was encoded: a
// member may have come meanwhile whose protocol it lacks.
func (t *target) putLocked(h *Hub, ev *encoded, skip []*Conn) bool {
	if ev.ps != h.inUse.Load() {
		return false
	}
	size := ev.size()
	for i := range t.parts {
		if t.parts[i].n > 0 {
			h.shards[i].append(entry{op: opSend, to: t, ev: ev, skip: skip}, size)
		}
	}
	return true
}

// add puts the connection's entry in line. It reports false where the target is
// dead and must be looked up again.
func (t *target) add(c *Conn) (*membership, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead {
		return nil, false
	}
	m := &membership{conn: c, target: t}
	t.n++
	t.parts[c.shard().index].n++
	c.shard().append(entry{op: opJoin, m: m}, memberSize)
	return m, true
}

// drop puts the end of the membership in line, and reports whether it was the
// last: then the target is dead.
func (t *target) drop(m *membership) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	s := m.conn.shard()
	t.parts[s.index].n--
	s.append(entry{op: opLeave, m: m}, memberSize)
	if t.n == 0 && t.kind != toAll {
		t.dead = true
	}
	return t.dead
}

// membersHere are the connections of a target on this node, in no order: those
// that what is sent now would go to.
func (h *Hub) membersHere(kind targetKind, name string) (all []*Conn) {
	t := h.target(kind, name)
	if t == nil {
		return nil
	}
	var mu sync.Mutex // guards all
	var wait sync.WaitGroup
	t.mu.Lock()
	for i := range t.parts {
		if t.parts[i].n > 0 {
			wait.Add(1)
			h.shards[i].append(entry{op: opRead, to: t, read: func(cs []*Conn) {
				mu.Lock()
				all = append(all, cs...)
				mu.Unlock()
				wait.Done()
			}}, memberSize)
		}
	}
	t.mu.Unlock()
	wait.Wait() // for a worker's phase 1
	return all
}

// memberSize is what a join or leave counts in the line.
const memberSize = 64
