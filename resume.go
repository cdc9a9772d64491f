package hubwire

import (
	"github.com/hubwire/hubwire/wire"
)

// A resume is what a connection keeps so that it lives on over a new link
// (stateful reconnect): the records that the client has not acknowledged. A
// record gets its number when it leaves the queue for the link, so what the
// queue's policy drops was never numbered. Guarded by Conn.mu.
type resume struct {
	limit    int           // bytes unacknowledged above which records wait in the queue
	sent     []wire.Record // unacknowledged, in order
	bytes    int           // of sent
	first    uint64        // the number of sent[0]; the first ever is 1
	next     int           // what of sent is still to be written to this link
	hello    []byte        // goes before anything else on this link
	detached bool          // no link at present
}

func (r *resume) full() bool { return r.bytes > r.limit }

func (r *resume) behind() bool { return r.detached || r.full() }

func (r *resume) ready(q *queue) bool {
	switch {
	case r.detached:
		return false
	case r.hello != nil || r.next < len(r.sent) || q.controls > 0:
		return true
	}
	return q.head < len(q.items) && !r.full()
}

// keep keeps what is sent until it is acknowledged, so that Swap can go on with
// another link. Above limit bytes unacknowledged, records wait in the queue;
// control frames do not. It is called before the connection is visible.
func (c *Conn) keep(limit int) {
	if limit > 0 {
		c.q.resume = &resume{limit: limit, first: 1}
		c.calls.roomy = true
	}
}

// maxResumableInput is how much input may wait before the reader of a connection
// that can be resumed stops: behind what waits come the acknowledgements, for
// which what waits may be waiting. A wire that acknowledges nothing while
// Port.Full never gets there: the client stops at its own limit.
const maxResumableInput = 1 << 20

// Final ends what Link.Unacked began: nothing more is kept, and the connection
// ends with its link. What waited for acknowledgements leaves.
func (p *Port) Final() {
	c := p.c()
	c.mu.Lock()
	defer c.unlock()
	q, r := &c.q, c.q.resume
	if r == nil {
		return
	}
	q.resume = nil
	if r.detached {
		return // nothing can leave
	}
	var again []item
	if r.hello != nil {
		again = append(again, item{&batch{raw: r.hello, class: control}, 0, 0})
		q.controls++
	}
	if left := r.sent[r.next:]; len(left) > 0 {
		b := &batch{recs: left, class: result}
		for _, rec := range left {
			b.size += len(rec.Bytes)
		}
		q.msgs += len(left)
		q.bytes += b.size
		again = append(again, item{b, 0, int32(len(left))})
	}
	if again != nil {
		q.items, q.head = append(again, q.items[q.head:]...), 0
	}
	c.flushLocked()
}

// Unacked reports whether so much waits for the client's acknowledgement that
// records wait too.
func (p *Port) Unacked() bool {
	c := p.c()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.q.resume != nil && c.q.resume.full()
}

// Detach says that the link is lost. What is sent meanwhile waits, within the
// queue's bounds.
func (p *Port) Detach() {
	c := p.c()
	c.mu.Lock()
	defer c.unlock()
	if c.q.resume != nil && !c.q.closed {
		c.detachLocked()
	}
}

func (c *Conn) detachLocked() {
	q := &c.q
	q.resume.detached = true
	q.rest = nil
	q.draining = false
	q.gen++
}

// Acked drops what the client has acknowledged: the records up to number n. A
// number beyond what was sent means the last that was.
func (p *Port) Acked(n uint64) {
	c := p.c()
	c.mu.Lock()
	defer c.unlock()
	r := c.q.resume
	if r == nil || n < r.first {
		return
	}
	k := int(min(n-r.first+1, uint64(len(r.sent))))
	for i := range k {
		r.bytes -= len(r.sent[i].Bytes)
		r.sent[i] = wire.Record{}
	}
	if r.sent = r.sent[k:]; len(r.sent) == 0 {
		r.sent = nil
	}
	r.first += uint64(k)
	r.next = max(0, r.next-k)
	c.flushLocked()
}

// Swap goes on with another link: first what hello returns for the number of
// the first record that was not acknowledged (the next one where all were), as
// it is; then those records again, then what waited. It fails with ErrClosed
// where the connection has ended or cannot be resumed.
func (p *Port) Swap(l wire.Link, hello func(first uint64) []byte) error {
	c := p.c()
	c.mu.Lock()
	defer c.unlock()
	q := &c.q
	if q.closed || q.resume == nil {
		return ErrClosed
	}
	c.detachLocked()
	c.link = l
	c.coding.Store(c.hub.codingOf(l.Framing()))
	r := q.resume
	r.detached, r.next, r.hello = false, 0, hello(r.first)
	c.flushLocked()
	return nil
}

// takeResumableLocked is takeLocked of a connection that can be resumed.
func (c *Conn) takeResumableLocked(s *scratch) []byte {
	q, r := &c.q, c.q.resume
	s.recs = s.recs[:0]
	s.buf = append(s.buf[:0], r.hello...)
	r.hello = nil
	size := 0
	for r.next < len(r.sent) && size < writeSize {
		rec := r.sent[r.next]
		r.next++
		size += len(rec.Bytes)
		s.recs = append(s.recs, rec)
	}
	waits := r.next < len(r.sent) // records wait; control frames pass them
	kept := q.items[q.head:q.head]
	msgs, bytes := 0, 0
	for _, it := range q.items[q.head:] {
		if it.b.class == control {
			if len(s.recs) > 0 {
				s.buf = c.framingLocked().Append(s.buf, s.recs)
				s.recs = s.recs[:0]
			}
			s.buf = append(s.buf, it.b.raw...)
			q.controls--
			continue
		}
		for it.from < it.to && !waits {
			if waits = r.full() || size >= writeSize; waits {
				break
			}
			rec := it.b.recs[it.from]
			it.from++
			r.sent = append(r.sent, rec)
			r.next++
			r.bytes += len(rec.Bytes)
			size += len(rec.Bytes)
			msgs++
			bytes += len(rec.Bytes)
			s.recs = append(s.recs, rec)
		}
		if it.from < it.to {
			kept = append(kept, it)
		}
	}
	clear(q.items[q.head+len(kept):])
	q.items = q.items[:q.head+len(kept)]
	q.popped()
	if len(s.recs) > 0 {
		s.buf = c.framingLocked().Append(s.buf, s.recs)
	}
	// What is sent is the resume's from here, whether the link takes it or not.
	c.accountLocked(msgs, bytes)
	return s.buf
}
