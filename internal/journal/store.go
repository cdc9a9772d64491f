package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// A Record is one record of a Store's log.
type Record struct {
	At   wire.Position
	Data []byte
}

// ErrLost is the error of a read from a position after which something is gone.
var ErrLost = errors.New("journal: records since the position are gone")

// ErrForeign is the error of a read from a position that is not of this log: it
// was begun anew, or has not come that far.
var ErrForeign = errors.New("journal: the position is of another log")

// A Store keeps logs by name, for many nodes. All methods may be called at the
// same time. Every store must pass journaltest.Exercise.
type Store interface {
	// Append adds a record and returns its position, which is beyond every
	// position given before in this log. data is not kept.
	Append(ctx context.Context, log string, data []byte) (wire.Position, error)
	// Head is the position of the newest record. A log without records has its
	// epoch and offset 0.
	Head(ctx context.Context, log string) (wire.Position, error)
	// Tail returns the newest records, at most max, the oldest of them first.
	Tail(ctx context.Context, log string, max int) ([]Record, error)
	// Read returns the oldest records after a position, at most max, and none at
	// the head. It fails with ErrLost or ErrForeign rather than leave any out.
	Read(ctx context.Context, log string, after wire.Position, max int) ([]Record, error)
	// Follow calls f with the records after a position, in order, those to come
	// too, until f or the store fails or ctx ends. It fails as Read does.
	Follow(ctx context.Context, log string, after wire.Position, f func([]Record) error) error
}

// A Memory is a Store of this process.
type Memory struct {
	bounds Bounds

	mu   sync.Mutex // guards the following
	logs map[string]*memoryLog
}

type memoryLog struct {
	*Log[[]byte]
	more chan struct{} // closed by the next Append
}

// NewMemory makes a Memory whose logs have these bounds, each.
func NewMemory(b Bounds) *Memory { return &Memory{bounds: b, logs: map[string]*memoryLog{}} }

func (m *Memory) logLocked(name string) *memoryLog {
	l := m.logs[name]
	if l == nil {
		l = &memoryLog{New[[]byte](NewEpoch(), m.bounds), make(chan struct{})}
		m.logs[name] = l
	}
	return l
}

// Append implements Store.
func (m *Memory) Append(_ context.Context, log string, data []byte) (wire.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logLocked(log)
	offset := l.Log.Append(append([]byte(nil), data...), len(data), time.Now(), nil)
	close(l.more)
	l.more = make(chan struct{})
	return wire.Position{Epoch: l.Epoch(), Offset: offset}, nil
}

// Head implements Store.
func (m *Memory) Head(_ context.Context, log string) (wire.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logLocked(log)
	return wire.Position{Epoch: l.Epoch(), Offset: l.Next() - 1}, nil
}

// Tail implements Store.
func (m *Memory) Tail(_ context.Context, log string, max int) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logLocked(log)
	l.Expire(time.Now(), nil)
	first := l.First()
	if n := l.Next() - first; n > uint64(max) {
		first += n - uint64(max)
	}
	return l.read(wire.Position{Epoch: l.Epoch(), Offset: first - 1}, max)
}

// Read implements Store.
func (m *Memory) Read(_ context.Context, log string, after wire.Position, max int) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logLocked(log).read(after, max)
}

func (l *memoryLog) read(after wire.Position, max int) ([]Record, error) {
	l.Expire(time.Now(), nil)
	switch l.Since(after) {
	case Expired:
		return nil, ErrLost
	case Foreign:
		return nil, ErrForeign
	}
	var records []Record
	for o := after.Offset + 1; o < l.Next() && len(records) < max; o++ {
		data, _ := l.Get(o)
		records = append(records, Record{wire.Position{Epoch: l.Epoch(), Offset: o}, data})
	}
	return records, nil
}

// page is how many records Follow hands over at once.
const page = 256

// Follow implements Store.
func (m *Memory) Follow(ctx context.Context, log string, after wire.Position, f func([]Record) error) error {
	for {
		m.mu.Lock()
		l := m.logLocked(log)
		records, err := l.read(after, page)
		more := l.more
		m.mu.Unlock()
		if err != nil {
			return err
		}
		if len(records) > 0 {
			if err := f(records); err != nil {
				return err
			}
			after = records[len(records)-1].At
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}
