package hubwire

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

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

func newOwn() *batch { return ownBatches.Get().(*batch) }

func (b *batch) add(rec wire.Record) {
	at := len(b.buf)
	b.buf = append(b.buf, rec.Bytes...)
	b.recs = append(b.recs, wire.Record{Bytes: b.buf[at:len(b.buf):len(b.buf)], At: rec.At})
	b.size += len(rec.Bytes)
}

// free gives an own batch back. Large ones are left to the collector.
func (b *batch) free() {
	if !b.own || cap(b.buf) > 16<<10 || cap(b.recs) > 256 {
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
	result               // never dropped; calls are held back while too many wait
	control              // a frame of the wire: uncounted, never dropped
)

// An item is a part of a batch that waits for one connection.
type item struct {
	b        *batch
	from, to int32
	class    class
}

// A queue is what waits for one connection. It is guarded by Conn.mu.
type queue struct {
	items  []item
	head   int
	inline [2]item // so that an idle connection needs no other memory

	msgs, bytes int    // counted records that wait or are being written
	rest        []byte // what the link did not take of a write
	restMsgs    int
	restBytes   int
	draining    bool // the drain goroutine runs
	flushing    bool // a flush goroutine is on its way
	touched     bool // in the list of phase 2
	closed      bool // nothing more is taken

	room chan struct{} // closed when there is room; nil where nobody waits
}

func (q *queue) empty() bool { return q.head == len(q.items) && q.rest == nil }

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

// unlock unlocks c.mu and then does what must not be done under it.
func (c *Conn) unlock() {
	pump, end, cause := c.pumpDue, c.endDue, c.endCause
	c.pumpDue, c.endDue, c.endCause = false, false, nil
	c.mu.Unlock()
	if end {
		c.link.Close(cause, true)
	}
	if pump {
		c.pump()
	}
}

// accountLocked notes that counted records have left the queue.
func (c *Conn) accountLocked(msgs, bytes int) {
	q := &c.q
	q.msgs -= msgs
	q.bytes -= bytes
	if q.room != nil && q.bytes < c.hub.itemRoom && q.msgs < c.hub.opts.Queue.Messages {
		close(q.room)
		q.room = nil
	}
	if c.over.Load() && !c.overLocked() {
		c.over.Store(false)
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
	if q.draining {
		c.hub.count("queued_bytes", "", len(rec.Bytes))
	}
	if key != "" {
		rec.Bytes = append([]byte(nil), rec.Bytes...)
		q.push(item{&batch{recs: []wire.Record{rec}, keys: []string{key}, size: len(rec.Bytes)}, 0, 1, cl})
		return
	}
	if n := len(q.items); n > q.head {
		if it := &q.items[n-1]; it.b.own && it.class == cl {
			it.b.add(rec)
			it.to++
			return
		}
	}
	b := newOwn()
	b.add(rec)
	q.push(item{b, 0, 1, cl})
}

// admitLocked takes records of a shared batch, or does what the policy says.
// It reports whether they were taken.
func (c *Conn) admitLocked(b *batch, from, to int) bool {
	q := &c.q
	if q.closed {
		return false
	}
	n, size := to-from, b.bytes(from, to)
	if q.draining {
		if b.keys != nil {
			c.replaceLocked(b, from, to)
		}
		if !c.roomLocked(n, size) {
			return false
		}
		c.hub.count("queued_bytes", "", size)
	}
	q.msgs += n
	q.bytes += size
	q.push(item{b, int32(from), int32(to), event})
	return true
}

// roomLocked makes room for events of a client that is behind, as the policy
// says, and reports whether there is.
func (c *Conn) roomLocked(n, size int) bool {
	q, limit := &c.q, &c.hub.opts.Queue
	if q.msgs+n <= limit.Messages && (q.bytes == 0 || q.bytes+size <= limit.Bytes) {
		return true
	}
	if limit.Full == Disconnect {
		c.slowLocked()
		return false
	}
	if !c.dropLocked(q.msgs+n-limit.Messages, q.bytes+size-limit.Bytes) {
		c.hub.count("drops", "full", n)
		return false
	}
	return true
}

// oneLocked takes one record, copied, or a control frame.
func (c *Conn) oneLocked(rec []byte, key string, cl class) {
	q := &c.q
	if q.closed {
		return
	}
	switch cl {
	case control:
		q.push(item{&batch{raw: append([]byte(nil), rec...)}, 0, 0, control})
		return
	case event:
		if q.draining {
			if key != "" {
				c.dropKeyLocked(key)
			}
			if !c.roomLocked(1, len(rec)) {
				return
			}
		}
	}
	c.putLocked(wire.Record{Bytes: rec}, key, cl)
	if c.overLocked() {
		c.over.Store(true)
	}
}

// replaceLocked drops waiting events that have the key of one of b's records.
func (c *Conn) replaceLocked(b *batch, from, to int) {
	for i := from; i < to; i++ {
		if key := b.keys[i]; key != "" {
			c.dropKeyLocked(key)
		}
	}
}

func (c *Conn) dropKeyLocked(key string) {
	q := &c.q
	for i := q.head; i < len(q.items); i++ {
		it := &q.items[i]
		if it.b.keys == nil {
			continue
		}
		for k := it.from; k < it.to; k++ {
			if it.b.keys[k] != key {
				continue
			}
			c.droppedLocked(1, len(it.b.recs[k].Bytes), "latest")
			after := item{it.b, k + 1, it.to, it.class}
			it.to = k
			switch {
			case it.from == it.to && after.from == after.to:
				copy(q.items[i:], q.items[i+1:])
				q.items[len(q.items)-1] = item{}
				q.items = q.items[:len(q.items)-1]
			case it.from == it.to:
				*it = after
			case after.from < after.to:
				q.items = append(q.items, item{})
				copy(q.items[i+2:], q.items[i+1:])
				q.items[i+1] = after
			}
			return // at most one waits under a key
		}
	}
}

func (c *Conn) droppedLocked(msgs, bytes int, reason string) {
	c.hub.count("drops", reason, msgs)
	c.hub.count("queued_bytes", "", -bytes)
	c.accountLocked(msgs, bytes)
}

// dropLocked drops the oldest events until msgs messages and bytes bytes are
// gone, and reports whether that was possible.
func (c *Conn) dropLocked(msgs, bytes int) bool {
	q := &c.q
	for i := q.head; i < len(q.items) && (msgs > 0 || bytes > 0); i++ {
		it := &q.items[i]
		if it.class != event {
			continue
		}
		for it.from < it.to && (msgs > 0 || bytes > 0) {
			n := len(it.b.recs[it.from].Bytes)
			it.from++
			msgs--
			bytes -= n
			c.droppedLocked(1, n, "full")
		}
	}
	for q.head < len(q.items) && q.items[q.head].class != control && q.items[q.head].from == q.items[q.head].to {
		q.items[q.head].b.free()
		q.items[q.head] = item{}
		q.head++
	}
	q.popped()
	return msgs <= 0 && (bytes <= 0 || q.bytes == 0)
}

// slowLocked ends a connection that is too slow.
func (c *Conn) slowLocked() {
	c.hub.count("closes", "slow", 1)
	c.discardLocked()
	c.endDue, c.endCause = true, ErrSlow
}

// discardLocked drops all that waits, for good.
func (c *Conn) discardLocked() {
	q := &c.q
	q.closed = true
	if q.draining {
		c.hub.count("queued_bytes", "", -q.bytes)
	}
	q.items, q.head, q.rest = nil, 0, nil
	q.msgs, q.bytes = 0, 0
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	c.pumpDue = c.pumpDue || c.over.Load()
	c.over.Store(false)
}

// A scratch is what a write is put together in.
type scratch struct {
	buf  []byte
	recs []wire.Record
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 4<<10)} }}

func (s *scratch) free() {
	if cap(s.buf) > 128<<10 || cap(s.recs) > 1<<10 {
		return
	}
	clear(s.recs[:cap(s.recs)])
	s.buf, s.recs = s.buf[:0], s.recs[:0]
	scratches.Put(s)
}

// writeSize is how much one write gathers: enough to make the system call
// cheap for each byte, little enough for a slow client to show progress.
const writeSize = 64 << 10

// takeLocked takes what waits, up to writeSize or one record, and frames it.
// The bytes are those of a shared frame where one batch is all that waits, else
// s.buf.
func (c *Conn) takeLocked(s *scratch) (p []byte, shared bool, msgs, bytes int) {
	q := &c.q
	if it := q.items[q.head]; it.class == event && !it.b.own && it.from == 0 && int(it.to) == len(it.b.recs) &&
		(q.head+1 == len(q.items) || it.b.size >= writeSize/2) {
		b := it.b
		q.items[q.head] = item{}
		q.head++
		q.popped()
		return b.frame(c.framing), true, len(b.recs), b.size
	}
	s.buf, s.recs = s.buf[:0], s.recs[:0]
	first := q.head
	for q.head < len(q.items) && bytes < writeSize {
		it := &q.items[q.head]
		if it.class == control {
			if len(s.recs) > 0 {
				s.buf = c.framing.Append(s.buf, s.recs)
				s.recs = s.recs[:0]
			}
			s.buf = append(s.buf, it.b.raw...)
			q.head++
			continue
		}
		for it.from < it.to && bytes < writeSize {
			r := it.b.recs[it.from]
			s.recs = append(s.recs, r)
			it.from++
			msgs++
			bytes += len(r.Bytes)
		}
		if it.from == it.to {
			q.head++
		}
	}
	if len(s.recs) > 0 {
		s.buf = c.framing.Append(s.buf, s.recs)
	}
	for i := first; i < q.head; i++ {
		q.items[i].b.free()
		q.items[i] = item{}
	}
	q.popped()
	return s.buf, false, msgs, bytes
}

// flushLocked writes what waits, as far as the link takes it. What it does not
// take is left to the drain goroutine.
func (c *Conn) flushLocked() {
	q := &c.q
	if q.draining || q.closed || q.head == len(q.items) {
		return
	}
	s := scratches.Get().(*scratch)
	for q.head < len(q.items) && !q.draining {
		p, shared, msgs, bytes := c.takeLocked(s)
		c.writeLocked(p, shared, msgs, bytes)
		if q.closed {
			break
		}
	}
	s.free()
}

// writeLocked writes p, or what the link takes of it. Unless p is shared, what
// is left is copied.
func (c *Conn) writeLocked(p []byte, shared bool, msgs, bytes int) {
	n, err := c.link.TryWrite(p)
	switch {
	case err != nil:
		c.lostLocked(err)
	case n == len(p):
		c.accountLocked(msgs, bytes)
	default:
		p = p[n:]
		if !shared {
			p = append([]byte(nil), p...)
		}
		q := &c.q
		q.rest, q.restMsgs, q.restBytes = p, msgs, bytes
		q.draining = true
		c.hub.count("queued_bytes", "", q.bytes)
		go c.drain() // ends when nothing waits, or the link is closed
	}
}

// lostLocked ends a connection whose link failed.
func (c *Conn) lostLocked(err error) {
	c.discardLocked()
	c.hub.log.Debug("hubwire: connection lost", "conn", c.id, "err", err)
	c.endDue = true
}

// send puts one record behind what waits for the connection and writes it,
// where nothing is in front of it. rec is not kept.
func (c *Conn) send(rec []byte, key string, cl class) {
	if c.shard.busy.Load() {
		c.shard.append(entry{op: opOne, class: cl, conn: c, rec: append([]byte(nil), rec...), key: key}, len(rec))
		return
	}
	q := &c.q
	c.mu.Lock()
	defer c.unlock()
	if q.closed {
		return
	}
	// The answers to one read leave in one write: while calls wait, a goroutine
	// of its own writes, which runs as soon as a processor is free.
	later := cl == result && c.calls.waiting.Load() > 0
	if q.head == len(q.items) && !q.draining && !later {
		s := scratches.Get().(*scratch)
		p := rec
		if cl != control {
			q.msgs++
			q.bytes += len(rec)
			s.recs = append(s.recs[:0], wire.Record{Bytes: rec})
			s.buf = c.framing.Append(s.buf[:0], s.recs)
			p = s.buf
			c.writeLocked(p, false, 1, len(rec))
		} else {
			c.writeLocked(p, false, 0, 0)
		}
		s.free()
		return
	}
	c.oneLocked(rec, key, cl)
	switch {
	case q.draining || q.flushing:
	case later:
		q.flushing = true
		go c.flush() // ends when what waits is written or left to drain
	default:
		c.flushLocked()
	}
}

func (c *Conn) flush() {
	c.mu.Lock()
	c.q.flushing = false
	c.flushLocked()
	c.unlock()
}

// wait returns when there is room for an item, or for size bytes of an event:
// when the connection has less than limit waiting.
func (c *Conn) wait(ctx context.Context, limit int) error {
	if c.shard.busy.Load() {
		if err := c.shard.wait(ctx); err != nil {
			return err
		}
	}
	for {
		c.mu.Lock()
		q := &c.q
		if q.closed {
			c.mu.Unlock()
			return ErrClosed
		}
		if q.bytes == 0 || q.bytes < limit && q.msgs < c.hub.opts.Queue.Messages {
			c.mu.Unlock()
			return nil
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain writes what waits for a connection that cannot take it at once.
func (c *Conn) drain() {
	s := scratches.Get().(*scratch)
	defer s.free()
	stall := time.AfterFunc(c.hub.opts.Queue.Stall, c.stalled)
	defer stall.Stop()
	for {
		c.mu.Lock()
		q := &c.q
		if q.rest == nil && !q.closed && q.head < len(q.items) {
			q.rest, _, q.restMsgs, q.restBytes = c.takeLocked(s)
		}
		if q.rest == nil || q.closed {
			q.draining = false
			c.unlock()
			return
		}
		p := q.rest
		c.mu.Unlock()
		for len(p) > 0 {
			// In pieces, so that a client that is slow but alive is not stalled.
			n := min(len(p), 16<<10)
			stall.Reset(c.hub.opts.Queue.Stall)
			if err := c.link.Write(p[:n]); err != nil {
				c.mu.Lock()
				if !q.closed {
					c.lostLocked(err)
				}
				q.draining = false
				c.unlock()
				return
			}
			p = p[n:]
		}
		stall.Stop()
		c.mu.Lock()
		if !q.closed {
			q.rest = nil
			c.hub.count("queued_bytes", "", -q.restBytes)
			c.accountLocked(q.restMsgs, q.restBytes)
		}
		c.unlock()
	}
}

// stalled is called when a write made no progress for Queue.Stall.
func (c *Conn) stalled() {
	c.mu.Lock()
	defer c.unlock()
	if c.q.draining && !c.q.closed {
		c.slowLocked()
	}
}
