package hubwire

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hubwire/hubwire/wire"
)

// A shard is a set of connections with one log, the line (D 22-24): what is
// sent to them, and what they join and leave, in one order. Its worker takes
// all that waits. In phase 1 it puts the events into the queues of the members
// and applies joins and leaves; in phase 2 it writes each connection once.
type shard struct {
	index int
	// busy is set while the log holds entries or phase 1 runs. While it is not,
	// whatever was sent before is in the queues, and a send to one connection
	// may go there directly.
	busy atomic.Bool

	bytes atomic.Int64 // of the log; written under mu

	mu    sync.Mutex // guards the following
	log   []entry
	spare []entry
	runs  bool          // the worker runs
	room  chan struct{} // closed when the log was taken; nil where nobody waits

	// of the worker alone
	touched []*Conn
	batches []runBatch
}

type op uint8

const (
	opSend  op = iota // ev to the members of to, but skip
	opOne             // rec to conn
	opJoin            // m becomes a member
	opLeave           // m is a member no more
	opRead            // read gets the members of to
)

// An entry is one line of the log.
type entry struct {
	op    op
	class class // of opOne
	to    *target
	conn  *Conn
	ev    *encoded
	skip  []*Conn
	rec   []byte // of opOne: a copy
	key   string // of opOne
	m     *membership
	read  func([]*Conn) // of opRead; what it is given is the worker's
}

// An encoded is an event in every protocol in use.
type encoded struct {
	recs   []protoRecord
	ps     *[]wire.Protocol // those that were in use
	key    string           // of Latest
	inline [2]protoRecord
}

type protoRecord struct {
	p   wire.Protocol
	rec wire.Record
}

func (e *encoded) in(p wire.Protocol) (wire.Record, bool) {
	for i := range e.recs {
		if e.recs[i].p == p {
			return e.recs[i].rec, true
		}
	}
	return wire.Record{}, false
}

func (e *encoded) size() int {
	n := 0
	for i := range e.recs {
		n += len(e.recs[i].rec.Bytes)
	}
	return n
}

// append puts e in line and starts the worker where none runs.
func (s *shard) append(e entry, size int) {
	s.mu.Lock()
	s.busy.Store(true)
	s.log = append(s.log, e)
	s.bytes.Add(int64(size))
	if !s.runs {
		s.runs = true
		go s.work() // ends when the log is empty
	}
	s.mu.Unlock()
}

func (s *shard) full() bool { return s.bytes.Load() >= maxLine }

// wait returns when the line has room, or ctx has ended.
func (s *shard) wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		if !s.full() {
			s.mu.Unlock()
			return nil
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keptLog is how many entries the log of an idle shard has room for at most.
const keptLog = 1 << 10

func (s *shard) work() {
	for {
		s.mu.Lock()
		log := s.log
		if len(log) == 0 {
			s.runs = false
			if cap(s.spare) > keptLog {
				s.spare = nil
			}
			if cap(s.log) > keptLog {
				s.log = nil
			}
			s.mu.Unlock()
			return
		}
		s.log, s.spare = s.spare, nil
		s.bytes.Store(0)
		if s.room != nil {
			close(s.room)
			s.room = nil
		}
		s.mu.Unlock()

		s.distribute(log)

		s.mu.Lock()
		if len(s.log) == 0 {
			s.busy.Store(false)
		}
		s.mu.Unlock()

		for i, c := range s.touched {
			c.mu.Lock()
			c.q.touched = false
			c.flushLocked()
			c.unlock()
			s.touched[i] = nil
		}
		s.touched = s.touched[:0]
		clear(log)
		s.mu.Lock()
		s.spare = log[:0]
		s.mu.Unlock()
	}
}

// distribute is phase 1.
func (s *shard) distribute(log []entry) {
	for i := 0; i < len(log); {
		e := &log[i]
		switch e.op {
		case opSend:
			// A run is at most what one write gathers: the frame is shared by all.
			n, size := 1, e.ev.size()
			for i+n < len(log) && size < writeSize && log[i+n].op == opSend && log[i+n].to == e.to {
				size += log[i+n].ev.size()
				n++
			}
			s.fanOut(e.to, log[i:i+n])
			i += n
			continue
		case opOne:
			e.conn.mu.Lock()
			e.conn.lined.Add(-linedOne - int64(len(e.rec)))
			e.conn.oneLocked(e.rec, e.key, e.class)
			s.touchLocked(e.conn)
			e.conn.unlock()
		case opJoin:
			e.m.target.parts[s.index].insert(e.m)
		case opLeave:
			e.m.target.parts[s.index].remove(e.m)
		case opRead:
			e.read(e.to.parts[s.index].members)
		}
		i++
	}
}

func (s *shard) touchLocked(c *Conn) {
	if !c.q.touched {
		c.q.touched = true
		s.touched = append(s.touched, c)
	}
}

// A runBatch is a run of sends to one target, in one protocol.
type runBatch struct {
	p   wire.Protocol
	b   *batch
	src []int32 // by record: the index of its send in the run
}

// fanOut puts a run of sends to the same target into its members' queues: the
// run is one batch for each protocol, and who is left out of some sends gets
// the parts around them.
func (s *shard) fanOut(to *target, run []entry) {
	var skips map[*Conn][]int32 // ascending indexes into run
	for i := range run {
		for _, c := range run[i].skip {
			if skips == nil {
				skips = map[*Conn][]int32{}
			}
			skips[c] = append(skips[c], int32(i))
		}
	}
	s.batches = s.batches[:0]
	var last *runBatch
	for _, c := range to.parts[s.index].members {
		if p := c.protocol(); last == nil || last.p != p {
			last = s.batch(p, run)
		}
		b := last.b
		if len(b.recs) == 0 {
			continue // sent before this protocol came into use
		}
		var out []int32
		if skips != nil {
			out = skips[c]
		}
		c.mu.Lock()
		taken := false
		if out == nil {
			taken = c.admitLocked(b, 0, len(b.recs))
		} else {
			taken = c.admitAroundLocked(last, out)
		}
		if taken {
			s.touchLocked(c)
		}
		c.unlock()
	}
	clear(s.batches)
}

// admitAroundLocked admits the records of r but those of the sends out.
func (c *Conn) admitAroundLocked(r *runBatch, out []int32) (taken bool) {
	from := 0
	for i, src := range r.src {
		for len(out) > 0 && out[0] < src {
			out = out[1:] // that send has no record in this protocol
		}
		if len(out) > 0 && src == out[0] {
			if from < i {
				taken = c.admitLocked(r.b, from, i) || taken
			}
			from, out = i+1, out[1:]
		}
	}
	if from < len(r.src) {
		taken = c.admitLocked(r.b, from, len(r.src)) || taken
	}
	return taken
}

func (s *shard) batch(p wire.Protocol, run []entry) *runBatch {
	for i := range s.batches {
		if s.batches[i].p == p {
			return &s.batches[i]
		}
	}
	b := &batch{recs: make([]wire.Record, 0, len(run))}
	src := make([]int32, 0, len(run))
	for i := range run {
		rec, ok := run[i].ev.in(p)
		if !ok {
			continue
		}
		if run[i].ev.key != "" && b.keys == nil {
			b.keys = make([]string, len(run))
		}
		if b.keys != nil {
			b.keys[len(b.recs)] = run[i].ev.key
		}
		b.recs = append(b.recs, rec)
		b.size += len(rec.Bytes)
		src = append(src, int32(i))
	}
	s.batches = append(s.batches, runBatch{p, b, src})
	return &s.batches[len(s.batches)-1]
}
