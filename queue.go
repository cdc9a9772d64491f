package hubwire

import (
	"sync"
	"sync/atomic"

	"github.com/hubwire/hubwire/wire"
)

// A batch is a run of records of one protocol that the members of a target get
// together. It is shared by reference and never changes, unless own is set:
// then it belongs to one connection's queue and grows there.
type batch struct {
	recs   []wire.Record
	keys   []string // by record, "" where none; nil where no record has a key
	size   int      // bytes of all records
	raw    []byte   // a control frame instead of records
	class  class
	own    bool
	buf    []byte // the bytes of an own batch
	framed atomic.Pointer[framed]
}

// framed is the whole batch in one framing, made on first use.
type framed struct {
	framing wire.Framing
	bytes   []byte
	next    *framed
}

func (b *batch) frame(f wire.Framing) []byte {
	head := b.framed.Load()
	for x := head; x != nil; x = x.next {
		if x.framing == f {
			return x.bytes
		}
	}
	// Two may frame the same batch at once; either result is good.
	x := &framed{framing: f, bytes: f.Append(make([]byte, 0, b.size+16), b.recs), next: head}
	b.framed.CompareAndSwap(head, x)
	return x.bytes
}

func (b *batch) bytes(from, to int) int {
	if from == 0 && to == len(b.recs) {
		return b.size
	}
	n := 0
	for _, r := range b.recs[from:to] {
		n += len(r.Bytes)
	}
	return n
}

var ownBatches = sync.Pool{New: func() any { return &batch{own: true} }}

func newOwn(cl class) *batch {
	b := ownBatches.Get().(*batch)
	b.class = cl
	return b
}

func (b *batch) add(rec wire.Record) {
	at := len(b.buf)
	b.buf = append(b.buf, rec.Bytes...)
	b.recs = append(b.recs, wire.Record{Bytes: b.buf[at:len(b.buf):len(b.buf)], At: rec.At})
	b.size += len(rec.Bytes)
}

// An own batch has room for so much; a connection that is behind has many, each
// of which is gone when it was written.
const (
	ownBytes = 16 << 10
	ownRecs  = 256
)

// takes reports whether an own batch has room for another record.
func (b *batch) takes(n int) bool {
	return b.own && len(b.recs) < ownRecs && len(b.buf)+n <= ownBytes
}

// free gives an own batch back. Large ones are left to the collector.
func (b *batch) free() {
	if !b.own || cap(b.buf) > ownBytes || cap(b.recs) > ownRecs {
		return
	}
	clear(b.recs)
	b.recs, b.buf, b.size = b.recs[:0], b.buf[:0], 0
	ownBatches.Put(b)
}

// A class says what may happen to a record that waits.
type class uint8

const (
	event   class = iota // bounded by the queue's policy
	waited               // an event whose sender has waited for room: never refused
	result               // never dropped; calls are held back while too many wait
	control              // a frame of the wire: uncounted, never dropped
)

// An item is a part of a batch that waits for one connection.
type item struct {
	b        *batch
	from, to int32
}

// A queue is what waits for one connection. It is guarded by Conn.mu.
type queue struct {
	items  []item
	head   int
	inline [2]item // so that an idle connection needs no other memory

	msgs, bytes int   // counted records that wait or are being written
	gauge       int   // what of bytes is in the counter queued_bytes
	controls    int32 // control frames among items
	gen         int32 // counts the links
	rest        *rest // what the link did not take of a write; nil: nothing
	overfull    bool  // more came than may wait, before the client was behind
	draining    bool  // the drain goroutine runs
	flushing    bool  // a flush goroutine is on its way
	touched     bool  // in the list of phase 2
	closed      bool  // no records are taken any more
	last        bool  // closed, but control frames may still leave: the wire's last words

	room chan struct{} // closed when there is room; nil where nobody waits

	resume *resume // nil without stateful reconnect
}

// A rest is a write, or a part of one, that the link has not taken.
type rest struct {
	p           []byte
	msgs, bytes int // counted records in it
}

// unaccounted is a rest that counts nothing any more.
func unaccounted(r *rest) *rest { return &rest{p: r.p} }

// mute reports whether nothing may be written any more.
func (q *queue) mute() bool { return q.closed && !q.last }

// behind reports whether the client is behind: then the bounds apply.
func (q *queue) behind() bool { return q.draining || q.resume != nil && q.resume.behind() }

func (q *queue) push(it item) {
	if q.items == nil {
		q.items = q.inline[:0]
	}
	q.items = append(q.items, it)
}

// popped drops the items before head and gives their memory back.
func (q *queue) popped() {
	if q.head < len(q.items) {
		if q.head > 32 && q.head > len(q.items)/2 {
			n := copy(q.items, q.items[q.head:])
			clear(q.items[n:])
			q.items, q.head = q.items[:n], 0
		}
		return
	}
	clear(q.items)
	q.items, q.head = q.inline[:0], 0
}

// greet puts a frame in front of all else. It is called before the connection is
// visible.
func (c *Conn) greet(frame []byte) {
	if len(frame) > 0 {
		c.q.push(item{&batch{raw: frame, class: control}, 0, 0})
		c.q.controls++
	}
}

// unlock unlocks c.mu and then does what must not be done under it.
func (c *Conn) unlock() {
	pump, end, slow, lost, link := c.pumpDue, c.endDue, c.endSlow, c.endLost, c.link
	c.pumpDue, c.endDue, c.endSlow, c.endLost = false, false, false, false
	if c.hub.opts.Metrics != nil {
		c.gaugeLocked()
	}
	c.mu.Unlock()
	if end {
		var cause error
		switch {
		case slow:
			cause = ErrSlow
		case lost:
			cause = wire.ErrLost
		}
		link.Close(cause, true)
	}
	if pump {
		c.pump()
	}
}

// gaugeLocked brings queued_bytes up to date: what waits for a client that is
// behind.
func (c *Conn) gaugeLocked() {
	now := 0
	if c.q.behind() {
		now = c.q.bytes
	}
	if now != c.q.gauge {
		c.hub.count("queued_bytes", "", now-c.q.gauge)
		c.q.gauge = now
	}
}

// accountLocked notes that counted records have left the queue.
func (c *Conn) accountLocked(msgs, bytes int) {
	q := &c.q
	q.msgs -= msgs
	q.bytes -= bytes
	q.overfull = q.overfull && q.msgs > 0
	if q.room != nil && q.bytes < c.hub.itemRoom && q.msgs < c.hub.waitMessages() {
		close(q.room)
		q.room = nil
	}
	if c.flags.has(isOver) && !c.overLocked() {
		c.flags.clear(isOver)
		c.pumpDue = true
	}
}

// overLocked reports whether so much waits that no call may start: results are
// always taken, so this is what bounds them.
func (c *Conn) overLocked() bool {
	return c.q.bytes > c.hub.opts.Queue.Bytes || c.q.msgs > c.hub.opts.Queue.Messages
}

// putLocked appends one record, copied, to the connection's own batch.
func (c *Conn) putLocked(rec wire.Record, key string, cl class) {
	q := &c.q
	q.msgs++
	q.bytes += len(rec.Bytes)
	if key != "" {
		rec.Bytes = append([]byte(nil), rec.Bytes...)
		q.push(item{&batch{recs: []wire.Record{rec}, keys: []string{key}, size: len(rec.Bytes), class: cl}, 0, 1})
		return
	}
	if n := len(q.items); n > q.head {
		if it := &q.items[n-1]; it.b.class == cl && it.b.takes(len(rec.Bytes)) {
			it.b.add(rec)
			it.to++
			return
		}
	}
	b := newOwn(cl)
	b.add(rec)
	q.push(item{b, 0, 1})
}

// discardLocked drops all that waits, for good.
func (c *Conn) discardLocked() {
	q := &c.q
	q.closed, q.last = true, false
	q.items, q.head, q.rest, q.resume, q.overfull = nil, 0, nil, nil, false
	q.msgs, q.bytes, q.controls = 0, 0, 0
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	c.pumpDue = c.flags.clear(isOver) || c.pumpDue
}
