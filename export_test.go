package hubwire

import "github.com/hubwire/hubwire/wire"

// SetShards gives a hub without connections n shards: machines with few
// processors have only one.
func (h *Hub) SetShards(n int) {
	h.shards = nil
	for i := range n {
		h.shards = append(h.shards, &shard{index: i})
	}
	h.all = h.newTarget(toAll, "")
}

// QueueMemory is how many bytes of its own a connection's queue keeps, and how
// many messages and bytes wait in it.
func QueueMemory(c *Conn) (kept, msgs, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept = cap(c.q.items) * 24
	for _, it := range c.q.items[c.q.head:] {
		if it.b.own {
			kept += cap(it.b.buf)
		}
	}
	return kept, c.q.msgs, c.q.bytes
}

// Inputs are the bytes of input that a connection's calls wait with, and those
// that its calls without a place hold.
func Inputs(c *Conn) (waiting, held int) {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	return c.calls.input, c.calls.held
}

// Tables are how many groups and users a hub knows, and how many questions wait.
func Tables(h *Hub) (groups, users, asks int) {
	h.targets.RLock()
	defer h.targets.RUnlock()
	h.asks.mu.Lock()
	defer h.asks.mu.Unlock()
	return len(h.groups), len(h.users), len(h.asks.byID)
}

// AdmitAround is what a connection takes of a run of sends of which it is left
// out of some: src are the sends that have a record in its protocol, out those
// that it is not to get.
func AdmitAround(src, out []int32) (got []int) {
	h := New(nil)
	c := &Conn{hub: h}
	b := &batch{}
	for range src {
		b.recs = append(b.recs, wire.Record{Bytes: []byte("x")})
		b.size++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admitAroundLocked(&runBatch{b: b, src: src}, out)
	for _, it := range c.q.items {
		for i := it.from; i < it.to; i++ {
			got = append(got, int(src[i]))
		}
	}
	if c.q.msgs != len(got) || c.q.bytes != len(got) {
		panic("not counted as taken")
	}
	return got
}

// Note is a note with these names.
func Note(names ...string) []byte {
	return (&note{op: noteTell, more: true, n: 1 << 40, user: "u", after: "a", names: names}).append(nil)
}

// NoteAgain reads a note and writes it again.
func NoteAgain(b []byte) ([]byte, bool) {
	n, err := parseNote(b)
	if err != nil {
		return nil, false
	}
	return n.append(nil), true
}
