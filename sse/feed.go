package sse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hubwire/hubwire/internal/journal"
	"github.com/hubwire/hubwire/wire"
)

// A Store keeps logs outside of the process, for many nodes: stores on Redis
// Streams and on NATS JetStream are in backplane/redis and backplane/nats.
type Store = journal.Store

// A Record is one record of a Store's log.
type Record = journal.Record

// What a Store's Read and Follow fail with, rather than leave records out.
var (
	// ErrLost is the error of a read from a position after which something is gone.
	ErrLost = journal.ErrLost
	// ErrForeign is the error of a read from a position of another log.
	ErrForeign = journal.ErrForeign
)

const (
	// storeTimeout bounds one question to a Store.
	storeTimeout = 5 * time.Second
	// storePage is how many records are read at once for a client that was away.
	storePage = 256
)

// A feed is what a Topics has of its Store's log: a goroutine follows it and adds
// what was published, here and elsewhere, to the log in memory. A client that was
// away for longer than that goes back is given the rest from the store (fill).
type feed struct {
	t      *Topics
	store  Store
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended
	ready  chan struct{} // closed when the log has been read for the first time

	// guarded by t.mu; positions are offsets in the store's log
	epoch  uint64
	base   uint64 // all records beyond are in memory, up to
	newest uint64
}

func newFeed(t *Topics, s Store, name string) *feed {
	f := &feed{t: t, store: s, name: name, done: make(chan struct{}), ready: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// close ends the feed.
func (f *feed) close() {
	f.cancel()
	<-f.done
}

// The pauses before a store that has failed is asked again.
const (
	minStorePause = 50 * time.Millisecond
	maxStorePause = 5 * time.Second
)

func (f *feed) run() {
	defer close(f.done)
	pause, reason := minStorePause, "" // why all has to be read anew; "" if not
	for f.ctx.Err() == nil {
		after, err := f.load(reason)
		if err == nil {
			reason = ""
			err = f.store.Follow(f.ctx, f.name, after, func(r []Record) error {
				pause = minStorePause
				return f.receive(r)
			})
		}
		if f.ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, ErrLost):
			reason = "expired"
		case errors.Is(err, ErrForeign):
			reason = "unknown"
		}
		f.t.logger().Warn("sse: the topics' store has failed and is asked again", "log", f.name, "pause", pause, "err", err)
		t := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-f.ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, maxStorePause)
	}
}

// load reads the newest records for the first time, or, with a reason, anew, and
// returns from where to go on.
func (f *feed) load(reason string) (wire.Position, error) {
	t := f.t
	first := false
	select {
	case <-f.ready:
	default:
		first = true
	}
	if !first && reason == "" {
		t.mu.Lock()
		defer t.mu.Unlock()
		return wire.Position{Epoch: f.epoch, Offset: f.newest}, nil
	}
	ctx, cancel := context.WithTimeout(f.ctx, storeTimeout)
	defer cancel()
	records, err := f.store.Tail(ctx, f.name, t.opts.Events)
	var at wire.Position
	if err == nil && len(records) > 0 {
		at = records[0].At
		at.Offset-- // nothing can be between the two that is not older
	} else if err == nil {
		at, err = f.store.Head(ctx, f.name)
	}
	if err != nil {
		return at, fmt.Errorf("sse: store: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f.epoch, f.base, f.newest = at.Epoch, at.Offset, at.Offset
	if !first {
		t.resetLocked(reason)
	}
	f.receiveLocked(records)
	if first {
		close(f.ready)
	}
	return wire.Position{Epoch: f.epoch, Offset: f.newest}, nil
}

// receive adds records to the log in memory.
func (f *feed) receive(records []Record) error {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if len(records) > 0 && records[0].At.Epoch != f.epoch {
		return ErrForeign
	}
	f.receiveLocked(records)
	return nil
}

func (f *feed) receiveLocked(records []Record) {
	for _, r := range records {
		f.newest = r.At.Offset
		e, at, err := parseStored(r)
		if err != nil {
			f.t.logger().Warn("sse: a record of the topics' store is not one of ours", "log", f.name, "offset", r.At.Offset, "err", err)
			continue
		}
		f.t.insertLocked(e, at)
	}
}

// publish gives an event to the store. It comes back by Follow, in the order that
// the store has given it among those of all nodes.
func (f *feed) publish(topic, key string, e Event[string]) (id string, err error) {
	b, err := appendStored(nil, topic, key, e, time.Now())
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(f.ctx, storeTimeout)
	defer cancel()
	at, err := f.store.Append(ctx, f.name, b)
	if err != nil {
		return "", fmt.Errorf("sse: publish: %w", err)
	}
	return formatID(at), nil
}

// A resume is a client's place, as far as the store has to be asked for it.
type resume struct {
	known bool // the place is beyond what has come here, but the store has it
}

// await waits for the first reading of the log, and asks the store about a place
// that another node may have given before it has come here.
func (f *feed) await(ctx context.Context, lastID string) (resume, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case <-f.ready:
	case <-f.ctx.Done():
		return resume{}, fmt.Errorf("sse: subscribe: %w", ErrClosed)
	case <-ctx.Done():
		return resume{}, fmt.Errorf("sse: subscribe: the store has not answered: %w", ctx.Err())
	}
	p, ok := parseID(lastID)
	f.t.mu.Lock()
	ask := ok && p.Epoch == f.epoch && p.Offset > f.newest
	f.t.mu.Unlock()
	if !ask {
		return resume{}, nil
	}
	head, err := f.store.Head(ctx, f.name)
	if err != nil {
		return resume{}, fmt.Errorf("sse: subscribe: %w", err)
	}
	return resume{known: head.Epoch == p.Epoch && p.Offset <= head.Offset}, nil
}

// away is what a subscriber has of its own for as long as its place is not in the
// log in memory.
type away struct {
	filling bool // it has got all up to back, and fill reads on
	back    uint64
	skip    uint64 // it has got these already, though they have yet to come
}

// fill makes b the next events of a subscriber whose place is before the log in
// memory, until it has come there. It waits for the store.
func (t *Topics) fill(sub *subscriber, b *batch) (more bool, err error) {
	f := t.feed
	for {
		t.mu.Lock()
		a := sub.away
		switch {
		case sub.gone:
			err = ErrClosed
		case sub.last != nil: // it has the id of what it has got
			err = errDrained
		case a == nil || !a.filling:
			t.mu.Unlock()
			return t.take(sub, b)
		case a.back >= f.base:
			t.placeLocked(sub, a.back)
			sub.away = nil
			t.mu.Unlock()
			return t.take(sub, b)
		}
		at, base := wire.Position{Epoch: f.epoch, Offset: a.back}, f.base
		t.mu.Unlock()
		if err != nil {
			return false, err
		}
		ctx, cancel := context.WithTimeout(sub.s.ctx, storeTimeout)
		records, err := f.store.Read(ctx, f.name, at, storePage)
		cancel()
		b.g, b.shared, b.enc, b.entries = nil, false, sub.s.enc, b.entries[:0]
		switch {
		case errors.Is(err, ErrLost):
			b.entries = append(b.entries, t.gapEntry("expired", wire.Position{Epoch: at.Epoch, Offset: base}))
			at.Offset = base
			t.mu.Lock()
			t.stats.Lost++
			t.mu.Unlock()
		case err != nil:
			return false, fmt.Errorf("sse: store: %w", err)
		case len(records) == 0:
			at.Offset = base // there is nothing in between
		}
		for _, r := range records {
			if r.At.Offset > base {
				at.Offset = base
				break // the log in memory has these
			}
			at.Offset = r.At.Offset
			if e, _, err := parseStored(r); err == nil && sub.g.matches(e.topic) {
				b.entries = append(b.entries, e)
			}
		}
		t.mu.Lock()
		if sub.away == a { // else all was read anew, and it is told so
			a.back = at.Offset
		} else {
			b.entries = b.entries[:0]
		}
		t.mu.Unlock()
		if len(b.entries) > 0 {
			t.build(b)
			return true, nil
		}
	}
}

// gapEntry is the event that says that something is lost, at a position.
func (t *Topics) gapEntry(reason string, at wire.Position) *entry {
	b, _ := Append(nil, Event[string]{Type: t.opts.Gap, Data: gapData(reason), ID: formatID(at)}) // checked in NewTopics
	return &entry{at: at.Offset, plain: b}
}

func gapData(reason string) string { return `{"recovered":false,"reason":"` + reason + `"}` }

// resetLocked forgets the log in memory, since the store's has been begun anew or
// went on without us, and tells all subscribers.
func (t *Topics) resetLocked(reason string) {
	t.log.Clear()
	t.latest = latest{limit: t.opts.Keys}
	e := t.gapEntry(reason, wire.Position{Epoch: t.feed.epoch, Offset: t.feed.base})
	e.offset = t.log.Next()
	t.log.Append(e, len(e.plain), time.Now(), t.forget)
	for _, g := range t.groups {
		g.base, g.index = g.end(), nil
		for _, sub := range g.subs {
			sub.cursor, sub.after, sub.away = g.base, t.feed.base, nil
			t.stats.Lost++
		}
		t.addLocked(g, e)
	}
}
