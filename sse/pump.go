package sse

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// A batch is a run of a group's events as bytes: a chunk, so that detached streams
// can be given it as it is.
type batch struct {
	g        *group
	from, to uint64 // of the group's index
	enc      encoding
	entries  []*entry
	chunk    []byte
	start    int // of the body in chunk
	sum      check32
	shared   bool // made of the index alone: others at the same place get the same
}

// batches are buffers for whoever writes.
var batches = sync.Pool{New: func() any { return new(batch) }}

// put gives b back.
func (b *batch) put() {
	if cap(b.chunk) <= 4*piece {
		b.g, b.shared = nil, false
		batches.Put(b)
	}
}

// body is the events without the chunk around them.
func (b *batch) body() []byte { return b.chunk[b.start : len(b.chunk)-2] }

// take gives the next batch of a subscriber; none, if it has caught up, and then
// it is no longer busy.
func (t *Topics) take(sub *subscriber, b *batch) (more bool, err error) {
	t.mu.Lock()
	if a := sub.away; a != nil && a.filling {
		t.mu.Unlock()
		return t.fill(sub, b)
	}
	same, more, err := t.takeLocked(sub, b)
	t.mu.Unlock()
	if more && !same {
		t.build(b)
	}
	return more, err
}

// takeLocked chooses the entries. same is true if b has them already, built.
func (t *Topics) takeLocked(sub *subscriber, b *batch) (same, more bool, err error) {
	g := sub.g
	if sub.gone {
		return false, false, ErrClosed
	}
	g.trim(t.log.First())
	lost := g.base > sub.cursor
	if lost {
		switch t.opts.Slow {
		case Disconnect:
			t.stats.Slow++
			return false, false, ErrSlow
		case DropOldest:
			t.stats.Dropped += g.base - sub.cursor
			sub.cursor = g.base
			lost = false
		}
	}
	if sub.away != nil {
		t.skipLocked(sub)
	}
	if sub.cursor == g.end() {
		if sub.last != nil {
			return false, false, errDrained
		}
		sub.busy = false
		return false, false, nil
	}
	if !lost && b.shared && b.g == g && b.from == sub.cursor && b.enc == sub.s.enc && (b.to == g.end() || len(b.chunk) >= piece) {
		sub.cursor = b.to
		return true, true, nil
	}
	b.g, b.from, b.enc, b.entries, b.shared = g, sub.cursor, sub.s.enc, b.entries[:0], !lost
	if t.opts.Slow == KeepLatest {
		t.latestLocked(sub, b, lost)
	} else {
		size := 0
		for b.to = sub.cursor; b.to < g.end() && size < piece; b.to++ {
			e, _ := t.log.Get(g.index[b.to-g.base])
			b.entries = append(b.entries, e)
			size += len(e.plain)
		}
	}
	sub.cursor = b.to
	return false, true, nil
}

// skipLocked passes over what a subscriber got from another node, before it had
// come here.
func (t *Topics) skipLocked(sub *subscriber) {
	for ; sub.cursor < sub.g.end(); sub.cursor++ {
		if e, _ := t.log.Get(sub.g.index[sub.cursor-sub.g.base]); e.at > sub.away.skip {
			sub.away = nil
			return
		}
	}
}

// latestLocked chooses all that waits but for events that were replaced, from the
// newest to the oldest, and before it what the log has let go.
func (t *Topics) latestLocked(sub *subscriber, b *batch, lost bool) {
	g := sub.g
	clear(t.seen)
	start := max(sub.cursor, g.base)
	for i := g.end(); i > start; i-- {
		e, _ := t.log.Get(g.index[i-1-g.base])
		if e.key != "" {
			if _, later := t.seen[e.key]; later {
				t.stats.Dropped++
				continue
			}
			t.seen[e.key] = struct{}{}
		}
		b.entries = append(b.entries, e)
	}
	slices.Reverse(b.entries)
	if lost {
		var kept []*entry
		for _, e := range t.latest.order {
			if e.offset >= t.log.First() {
				break
			}
			if e.at > sub.after && t.latest.byKey[e.key] == e && g.matches(e.topic) {
				kept = append(kept, e)
			}
		}
		t.stats.Dropped += g.base - min(sub.cursor+uint64(len(kept)), g.base)
		b.entries = append(kept, b.entries...)
	}
	b.to = g.end()
	sub.after = t.headLocked()
}

// build makes the bytes.
func (t *Topics) build(b *batch) {
	size := 0
	for _, e := range b.entries {
		p, first := e.bytes(b.enc)
		size += len(p)
		if first { // the copy counts too
			t.mu.Lock()
			t.log.Grow(e.offset, len(p), t.forget)
			t.mu.Unlock()
		}
	}
	b.chunk = slices.Grow(b.chunk[:0], size+24) // and the chunk's size and ends
	b.chunk, b.sum = appendChunkSize(b.chunk, size), none
	b.start = len(b.chunk)
	for _, e := range b.entries {
		p, _ := e.bytes(b.enc)
		b.chunk = append(b.chunk, p...)
		if b.enc == gzipped {
			b.sum = b.sum.then(e.sum)
		}
	}
	b.chunk = append(b.chunk, "\r\n"...)
	clear(b.entries) // the log's bounds are to hold
}

// wakeLocked makes somebody write to an idle subscriber.
func (t *Topics) wakeLocked(sub *subscriber) {
	sub.busy = true
	if sub.wake != nil {
		select {
		case sub.wake <- struct{}{}:
		default:
		}
		return
	}
	t.pushLocked(sub)
}

// share is for how many streams one more worker starts.
const share = 64

// pushLocked puts a detached subscriber in line.
func (t *Topics) pushLocked(sub *subscriber) {
	t.queue = append(t.queue, sub)
	if t.workers < maxWorkers && len(t.queue)-t.head > t.workers*share {
		t.workers++
		go t.work() // ends when the line is empty
	}
}

// work writes to detached streams, and never waits for one.
func (t *Topics) work() {
	b := batches.Get().(*batch)
	defer b.put()
	var turn [share]*subscriber
	for {
		t.mu.Lock()
		n := copy(turn[:], t.queue[t.head:])
		clear(t.queue[t.head : t.head+n])
		if t.head += n; t.head == len(t.queue) {
			t.queue, t.head = t.queue[:0], 0
		}
		if n == 0 {
			t.workers--
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		for _, sub := range turn[:n] {
			t.serveOnce(sub, b)
		}
		clear(turn[:n])
	}
}

// serveOnce writes what waits, as far as the kernel takes it.
func (t *Topics) serveOnce(sub *subscriber, b *batch) {
	if t.feed != nil && t.behind(sub) {
		go t.follow(sub, nil, none, false) // ends when the stream has caught up or ended
		return
	}
	for {
		more, err := t.take(sub, b)
		if err != nil {
			t.over(sub, err)
			return
		}
		if !more {
			return
		}
		n, err := sub.s.try(b)
		if err != nil {
			t.over(sub, err)
			return
		}
		if n < len(b.chunk) {
			go t.follow(sub, slices.Clone(b.chunk[n:]), b.sum, n > 0) // ends when the stream has caught up or ended
			return
		}
	}
}

// behind reports whether the next event of a subscriber is in the store alone.
func (t *Topics) behind(sub *subscriber) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sub.away != nil && sub.away.filling
}

// try writes a batch without waiting; none of it, if somebody else is writing. If
// it has written a part, it keeps the lock for whoever writes the rest.
func (s *Session) try(b *batch) (n int, err error) {
	if !s.mu.TryLock() {
		return 0, nil
	}
	part := false
	defer func() {
		if !part {
			s.mu.Unlock()
		}
	}()
	if err := s.stateLocked(); err != nil || len(s.buf) > 0 {
		return 0, err
	}
	n, err = s.conn.TryWrite(b.chunk)
	if err != nil {
		s.err = err
		return n, err
	}
	if n > 0 {
		if b.enc == gzipped {
			s.sum = s.sum.then(b.sum)
		}
		s.written = time.Now()
		part = n < len(b.chunk)
	}
	return n, nil
}

// follow writes to a stream that is behind, until it has caught up. If part, rest
// is that of a chunk, and the lock is held.
func (t *Topics) follow(sub *subscriber, rest []byte, sum check32, part bool) {
	err := sub.s.writeChunk(rest, sum, part)
	b := batches.Get().(*batch)
	defer b.put()
	for err == nil {
		var more bool
		if more, err = t.take(sub, b); err != nil || !more {
			break
		}
		err = sub.s.writeChunk(b.chunk, b.sum, false)
	}
	if err != nil {
		t.over(sub, err)
	}
}

// writeChunk writes a chunk, or the rest of one under the lock that try has left,
// and waits for the client.
func (s *Session) writeChunk(p []byte, sum check32, part bool) error {
	if !part {
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if !part {
		if err := s.flushLocked(); err != nil {
			return err
		}
		if s.enc == gzipped {
			s.sum = s.sum.then(sum)
		}
	}
	if err := writeWithin(s.conn, p, s.opts.WriteTimeout); err != nil {
		return s.brokenLocked(err)
	}
	s.written = time.Now()
	return nil
}

// over ends a detached stream.
func (t *Topics) over(sub *subscriber, err error) {
	t.leave(sub)
	if err == errDrained {
		go sub.s.farewell(*sub.last) // ends when the client has taken it, or WriteTimeout later
		return
	}
	if errors.Is(err, ErrSlow) {
		t.logger().Info("sse: a subscriber is too slow")
	}
	sub.s.cut(err)
}
