package hubwire

import "github.com/hubwire/hubwire/wire"

// maxControls is how many control frames may wait for a client that is behind:
// whoever asks for so many answers and reads none is too slow.
const maxControls = 1000

// admitLocked takes records of a shared batch, or does what the policy says: as
// if each had come alone. It reports whether any was taken.
func (c *Conn) admitLocked(b *batch, from, to int) (taken bool) {
	q := &c.q
	if q.closed {
		return false
	}
	size := b.bytes(from, to)
	fits := c.fitsLocked(to-from, size)
	if q.behind() && (b.keys != nil || !fits) {
		for i := from; i < to && !q.closed; i++ {
			if b.keys != nil && b.keys[i] != "" {
				c.dropKeyLocked(b.keys[i])
			}
			if size := len(b.recs[i].Bytes); c.roomLocked(size) {
				c.pushLocked(b, i, i+1, size)
				taken = true
			}
		}
		return taken && !q.closed
	}
	c.pushLocked(b, from, to, size)
	q.overfull = q.overfull || !fits
	return true
}

func (c *Conn) pushLocked(b *batch, from, to, size int) {
	q := &c.q
	q.msgs += to - from
	q.bytes += size
	if n := len(q.items); n > q.head {
		if it := &q.items[n-1]; it.b == b && int(it.to) == from {
			it.to = int32(to)
			return
		}
	}
	q.push(item{b, int32(from), int32(to)})
}

// fitsLocked reports whether so many more events may wait. What is already
// being written counts for the policy that disconnects; the one that drops
// cannot drop it.
func (c *Conn) fitsLocked(n, size int) bool {
	q, limit := &c.q, &c.hub.opts.Queue
	msgs, bytes := q.msgs, q.bytes
	if limit.Full == DropOldest {
		if q.rest != nil {
			msgs, bytes = msgs-q.rest.msgs, bytes-q.rest.bytes
		}
	}
	return msgs+n <= limit.Messages && (bytes == 0 || bytes+size <= limit.Bytes)
}

// roomLocked makes room for an event of a client that is behind, as the policy
// says, and reports whether there is.
func (c *Conn) roomLocked(size int) bool {
	if c.fitsLocked(1, size) {
		return true
	}
	if c.hub.opts.Queue.Full == Disconnect {
		c.slowLocked()
		return false
	}
	for c.dropOldestLocked() {
		if c.fitsLocked(1, size) {
			return true
		}
	}
	c.hub.count("drops", "full", 1)
	return false
}

// oneLocked takes one record, copied, or a control frame.
func (c *Conn) oneLocked(rec []byte, key string, cl class) {
	q := &c.q
	if q.closed && (cl != control || !q.last) {
		return
	}
	switch cl {
	case control:
		if q.controls >= maxControls && q.behind() {
			if !q.last {
				c.slowLocked()
			}
			return
		}
		q.push(item{&batch{raw: append([]byte(nil), rec...), class: control}, 0, 0})
		q.controls++
		return
	case event, waited:
		if key != "" && q.behind() {
			c.dropKeyLocked(key)
		}
		switch {
		case cl == waited:
			cl = event
		case !q.behind():
			q.overfull = q.overfull || !c.fitsLocked(1, len(rec))
		case !c.roomLocked(len(rec)):
			return
		}
	}
	c.putLocked(wire.Record{Bytes: rec}, key, cl)
	if c.overLocked() {
		c.flags.set(isOver)
	}
}

// dropKeyLocked drops the events that wait under key: one, or those that came
// together while the client was not yet behind.
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
			c.droppedLocked(len(it.b.recs[k].Bytes), "latest")
			after := item{it.b, k + 1, it.to}
			if it.to = k; it.from == it.to {
				*it = after
				if i--; after.from == after.to {
					c.removeLocked(i + 1)
				}
			} else if after.from < after.to {
				q.items = append(q.items, item{})
				copy(q.items[i+2:], q.items[i+1:])
				q.items[i+1] = after
			}
			break
		}
	}
	q.popped()
}

// dropOldestLocked drops the oldest event that waits, if there is one.
func (c *Conn) dropOldestLocked() bool {
	q := &c.q
	for i := q.head; i < len(q.items); i++ {
		it := &q.items[i]
		if it.b.class != event || it.from == it.to {
			continue
		}
		size := len(it.b.recs[it.from].Bytes)
		if it.from++; it.from == it.to {
			c.removeLocked(i)
			q.popped()
		}
		c.droppedLocked(size, "full")
		return true
	}
	return false
}

func (c *Conn) droppedLocked(bytes int, reason string) {
	c.hub.count("drops", reason, 1)
	c.accountLocked(1, bytes)
}

// removeLocked removes an item of which nothing is left.
func (c *Conn) removeLocked(i int) {
	q := &c.q
	if q.resume == nil { // which keeps records of the batch
		q.items[i].b.free()
	}
	n := len(q.items) - 1
	copy(q.items[i:], q.items[i+1:])
	q.items[n] = item{}
	q.items = q.items[:n]
}

// slowLocked ends a connection that is too slow. What is under way may be a part
// of a frame: it goes on, and control frames may follow it, so that the wire can
// say why.
func (c *Conn) slowLocked() {
	q := &c.q
	c.closes("slow")
	rest, gone := q.rest, q.resume != nil && q.resume.detached
	c.discardLocked()
	q.last = !gone
	if q.draining && rest != nil {
		q.rest = unaccounted(rest)
	}
	c.endDue, c.endSlow = true, true
}
