package hubwire

import (
	"context"
	"sync"
	"time"

	"github.com/hubwire/hubwire/wire"
)

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
	if q.resume != nil {
		return c.takeResumableLocked(s), false, 0, 0
	}
	if it := q.items[q.head]; it.b.class == event && !it.b.own && it.from == 0 && int(it.to) == len(it.b.recs) &&
		(q.head+1 == len(q.items) || it.b.size >= writeSize/2) {
		b := it.b
		q.items[q.head] = item{}
		q.head++
		q.popped()
		return b.frame(c.framingLocked()), true, len(b.recs), b.size
	}
	s.buf, s.recs = s.buf[:0], s.recs[:0]
	first := q.head
	for q.head < len(q.items) && bytes < writeSize {
		it := &q.items[q.head]
		if it.b.class == control {
			if len(s.recs) > 0 {
				s.buf = c.framingLocked().Append(s.buf, s.recs)
				s.recs = s.recs[:0]
			}
			s.buf = append(s.buf, it.b.raw...)
			q.controls--
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
		s.buf = c.framingLocked().Append(s.buf, s.recs)
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
	if q.draining || q.mute() || !q.ready() {
		return
	}
	s := scratches.Get().(*scratch)
	for q.ready() && !q.draining && !q.mute() {
		p, shared, msgs, bytes := c.takeLocked(s)
		c.writeLocked(p, shared, msgs, bytes)
	}
	s.free()
}

// ready reports whether something waits that may be written now.
func (q *queue) ready() bool {
	if q.resume != nil {
		return q.resume.ready(q)
	}
	return q.head < len(q.items)
}

// writeLocked writes p, or what the link takes of it. Unless p is shared, what
// is left is copied.
func (c *Conn) writeLocked(p []byte, shared bool, msgs, bytes int) {
	n, err := c.link.TryWrite(p)
	switch {
	case err != nil:
		c.lostLocked()
	case n == len(p):
		c.accountLocked(msgs, bytes)
	default:
		p = p[n:]
		if !shared {
			p = append([]byte(nil), p...)
		}
		q := &c.q
		q.rest = &rest{p, msgs, bytes}
		q.draining = true
		if n == 0 && q.overfull && !c.trimLocked() {
			return
		}
		if c.overLocked() {
			c.flags.set(isOver)
		}
		go c.drain(c.link, q.gen) // ends when nothing waits, or the link is closed
	}
}

// trimLocked applies the queue's bounds to what came before it was known that
// the client is behind. It reports whether the connection goes on.
func (c *Conn) trimLocked() bool {
	if c.hub.opts.Queue.Full == Disconnect {
		c.q.rest, c.q.draining = nil, false // of which the link has taken nothing
		c.slowLocked()
		return false
	}
	for !c.fitsLocked(0, 0) && c.dropOldestLocked() {
	}
	return true
}

// lostLocked ends a connection whose link failed, or waits for its next link.
func (c *Conn) lostLocked() {
	c.endDue = true
	if c.q.resume != nil {
		c.endLost = true
		c.detachLocked()
		return
	}
	c.discardLocked()
}

// send puts one record behind what waits for the connection and writes it,
// where nothing is in front of it. rec is not kept.
func (c *Conn) send(rec []byte, key string, cl class) {
	if c.shard().busy.Load() {
		c.sendInLine(rec, key, cl)
		return
	}
	q := &c.q
	c.mu.Lock()
	defer c.unlock()
	if q.closed && (cl != control || !q.last) {
		return
	}
	// The answers to one read leave in one write: while calls wait, the reader
	// writes at the end of its turn, or a goroutine of its own, which runs as soon
	// as a processor is free.
	later := cl == result && c.calls.waiting.Load() > 0
	if q.head == len(q.items) && !q.draining && !later && q.resume == nil {
		s := scratches.Get().(*scratch)
		p := rec
		if cl != control {
			q.msgs++
			q.bytes += len(rec)
			s.recs = append(s.recs[:0], wire.Record{Bytes: rec})
			s.buf = c.framingLocked().Append(s.buf[:0], s.recs)
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
	case q.draining || later && q.flushing:
	case later:
		if c.flags.has(isInTurn) {
			c.flags.set(isUnflushed)
			if c.flags.has(isInTurn) || !c.flags.clear(isUnflushed) {
				return // whoever ends the turn will see it
			}
		}
		q.flushing = true
		go c.flush() // ends when what waits is written or left to drain
	default:
		c.flushLocked()
	}
}

// sendInLine puts one record behind what waits in the line.
//
//go:noinline
func (c *Conn) sendInLine(rec []byte, key string, cl class) {
	c.lined.Add(linedOne + int64(len(rec)))
	c.shard().append(entry{op: opOne, class: cl, conn: c, rec: append([]byte(nil), rec...), key: key}, len(rec))
}

func (c *Conn) flush() {
	c.mu.Lock()
	c.q.flushing = false
	c.flushLocked()
	c.unlock()
}

// waitMessages is how many messages may wait before those wait that can: the
// other half of the queue is for events to many, which cannot.
func (h *Hub) waitMessages() int { return max(1, h.opts.Queue.Messages/2) }

// waitBytes is the same in bytes, for events to one connection.
func (h *Hub) waitBytes() int { return max(h.itemRoom, h.opts.Queue.Bytes/2) }

// wait returns when the connection has less than limit bytes waiting, in its
// queue and in line.
func (c *Conn) wait(ctx context.Context, limit int) error {
	if c.shard().busy.Load() {
		if err := c.shard().wait(ctx); err != nil {
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
		lined := c.lined.Load()
		msgs, bytes := q.msgs+int(lined/linedOne), q.bytes+int(lined%linedOne)
		if bytes == 0 || bytes < limit && msgs < c.hub.waitMessages() {
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
func (c *Conn) drain(link wire.Link, gen int32) {
	s := scratches.Get().(*scratch)
	defer s.free()
	stall := time.AfterFunc(c.hub.opts.Queue.Stall, func() { c.stalled(gen) })
	defer stall.Stop()
	for {
		c.mu.Lock()
		q := &c.q
		if q.gen != gen { // a new link, which has its own goroutine where it needs one
			c.unlock()
			return
		}
		if q.rest == nil && !q.mute() && q.ready() {
			p, _, msgs, bytes := c.takeLocked(s)
			q.rest = &rest{p, msgs, bytes}
		}
		if q.rest == nil || q.mute() {
			q.draining = false
			c.unlock()
			return
		}
		p := q.rest.p
		c.unlock()
		for len(p) > 0 {
			// In pieces, so that a client that is slow but alive is not stalled.
			n := min(len(p), 16<<10)
			stall.Reset(c.hub.opts.Queue.Stall)
			if err := link.Write(p[:n]); err != nil {
				c.mu.Lock()
				if q.gen == gen {
					q.draining = false
					switch {
					case !q.closed:
						c.lostLocked()
					case q.last:
						c.discardLocked()
					}
				}
				c.unlock()
				return
			}
			p = p[n:]
		}
		stall.Stop()
		c.mu.Lock()
		if !q.mute() && q.gen == gen {
			done := q.rest
			q.rest = nil
			c.accountLocked(done.msgs, done.bytes)
		}
		c.unlock()
	}
}

// stalled is called when a write made no progress for Queue.Stall.
func (c *Conn) stalled(gen int32) {
	c.mu.Lock()
	defer c.unlock()
	if !c.q.draining || c.q.gen != gen {
		return
	}
	if !c.q.closed {
		c.slowLocked()
	}
	c.q.rest, c.q.last = nil, false // nothing gets through
}
