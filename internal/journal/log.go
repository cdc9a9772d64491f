package journal

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// Bounds are how much a log keeps: what exceeds one of them goes, oldest first.
// Zero is no bound.
type Bounds struct {
	Count int
	Bytes int
	Age   time.Duration
}

// A Log is one log in memory. Offsets count from 1. It is not safe for concurrent
// use: whoever owns it has a lock.
type Log[E any] struct {
	epoch  uint64
	bounds Bounds
	items  []item[E] // a ring
	first  uint64    // offset of the oldest
	next   uint64    // offset of the one to come
	bytes  int
}

type item[E any] struct {
	value E
	size  int
	at    time.Time
}

// NewEpoch is a number that no earlier run of the process had: a random one.
func NewEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1 // never 0
}

// New makes an empty log.
func New[E any](epoch uint64, b Bounds) *Log[E] {
	return &Log[E]{epoch: epoch, bounds: b, first: 1, next: 1}
}

// Epoch is the log's epoch.
func (l *Log[E]) Epoch() uint64 { return l.epoch }

// First is the offset of the oldest record, or Next if there is none.
func (l *Log[E]) First() uint64 { return l.first }

// Next is the offset that the next record will have.
func (l *Log[E]) Next() uint64 { return l.next }

// Bytes is the size of all records.
func (l *Log[E]) Bytes() int { return l.bytes }

// Append adds a record and returns its offset. What no longer fits goes, and is
// given to gone, if that is not nil. The newest record always stays.
func (l *Log[E]) Append(v E, size int, now time.Time, gone func(offset uint64, v E)) uint64 {
	if n := int(l.next - l.first); n == len(l.items) {
		grown := make([]item[E], max(16, 2*n))
		for o := l.first; o < l.next; o++ {
			grown[o%uint64(len(grown))] = l.items[o%uint64(n)]
		}
		l.items = grown
	}
	offset := l.next
	*l.at(offset) = item[E]{v, size, now}
	l.next++
	l.bytes += size
	l.shrink(gone)
	l.Expire(now, gone)
	return offset
}

// Grow adds to the size of a record, if it is still kept.
func (l *Log[E]) Grow(offset uint64, size int, gone func(offset uint64, v E)) {
	if offset < l.first || offset >= l.next {
		return
	}
	l.at(offset).size += size
	l.bytes += size
	l.shrink(gone)
}

// shrink lets go what is too much.
func (l *Log[E]) shrink(gone func(uint64, E)) {
	b := l.bounds
	for l.first+1 < l.next && (b.Count > 0 && l.next-l.first > uint64(b.Count) || b.Bytes > 0 && l.bytes > b.Bytes) {
		l.drop(gone)
	}
}

// Clear lets all records go. Offsets go on.
func (l *Log[E]) Clear() {
	for l.first < l.next {
		l.drop(nil)
	}
}

// Expire lets go what is too old.
func (l *Log[E]) Expire(now time.Time, gone func(offset uint64, v E)) {
	if l.bounds.Age <= 0 {
		return
	}
	for l.first < l.next && now.Sub(l.at(l.first).at) > l.bounds.Age {
		l.drop(gone)
	}
}

func (l *Log[E]) drop(gone func(uint64, E)) {
	i := l.at(l.first)
	v := i.value
	l.bytes -= i.size
	*i = item[E]{}
	l.first++
	if gone != nil {
		gone(l.first-1, v)
	}
}

func (l *Log[E]) at(offset uint64) *item[E] { return &l.items[offset%uint64(len(l.items))] }

// Get is the record at an offset, if it is kept.
func (l *Log[E]) Get(offset uint64) (v E, ok bool) {
	if offset < l.first || offset >= l.next {
		return v, false
	}
	return l.at(offset).value, true
}

// A Resume says what a reader can be given.
type Resume uint8

// The answers to a reader that comes back.
const (
	Recovered Resume = iota // all since its position is there
	Expired                 // some of it is gone
	Foreign                 // its position is not of this log: another epoch, or not yet written
)

// Since says what there is after a position.
func (l *Log[E]) Since(p wire.Position) Resume {
	switch {
	case p.Epoch != l.epoch || p.Offset >= l.next:
		return Foreign
	case p.Offset+1 < l.first:
		return Expired
	}
	return Recovered
}
