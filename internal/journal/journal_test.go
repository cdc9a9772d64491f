package journal_test

import (
	"testing"
	"time"

	"github.com/hubwire/hubwire/internal/journal"
	"github.com/hubwire/hubwire/internal/journal/journaltest"
	"github.com/hubwire/hubwire/wire"
)

func TestMemory(t *testing.T) {
	journaltest.Exercise(t, 5, func(*testing.T) journal.Store { return journal.NewMemory(journal.Bounds{Count: 5}) })
}

func TestLogBounds(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		bounds journal.Bounds
		sizes  []int
		every  time.Duration
		first  uint64
	}{
		"none":         {journal.Bounds{}, []int{1, 1, 1}, 0, 1},
		"count":        {journal.Bounds{Count: 2}, []int{1, 1, 1, 1, 1}, 0, 4},
		"bytes":        {journal.Bounds{Bytes: 10}, []int{5, 5, 1}, 0, 2},
		"one too many": {journal.Bounds{Bytes: 10}, []int{1, 1, 20}, 0, 3},
		"age":          {journal.Bounds{Age: 2 * time.Second}, []int{1, 1, 1, 1}, time.Second, 2},
	} {
		l := journal.New[int](7, c.bounds)
		var gone []uint64
		for i, size := range c.sizes {
			at := now.Add(time.Duration(i) * c.every)
			if o := l.Append(i, size, at, func(o uint64, v int) { gone = append(gone, o) }); o != uint64(i+1) {
				t.Error(name, o)
			}
		}
		if l.First() != c.first || len(gone) != int(c.first)-1 || l.Next() != uint64(len(c.sizes))+1 {
			t.Errorf("%s: first %d, gone %v", name, l.First(), gone)
		}
		size := 0
		for i, s := range c.sizes {
			v, ok := l.Get(uint64(i + 1))
			if want := uint64(i+1) >= c.first; ok != want || ok && v != i {
				t.Error(name, i, v, ok)
			} else if ok {
				size += s
			}
		}
		if l.Bytes() != size {
			t.Error(name, l.Bytes(), size)
		}
	}
}

func TestLogSince(t *testing.T) {
	l := journal.New[int](7, journal.Bounds{Count: 3})
	if l.Since(wire.Position{Epoch: 7}) != journal.Recovered {
		t.Error("the start of an empty log")
	}
	for i := range 100 {
		l.Append(i, 1, time.Time{}, nil)
	}
	for p, want := range map[wire.Position]journal.Resume{
		{Epoch: 7, Offset: 100}: journal.Recovered, {Epoch: 7, Offset: 97}: journal.Recovered, {Epoch: 7, Offset: 96}: journal.Expired,
		{Epoch: 7}: journal.Expired, {Epoch: 7, Offset: 101}: journal.Foreign, {Epoch: 8, Offset: 99}: journal.Foreign, {Epoch: 7, Offset: 1<<64 - 1}: journal.Foreign,
	} {
		if got := l.Since(p); got != want {
			t.Errorf("%+v: %d, want %d", p, got, want)
		}
	}
	if journal.NewEpoch() == journal.NewEpoch() {
		t.Error("two epochs are the same")
	}
}

// A record that grows counts, and may push older ones out, but never the newest.
func TestLogGrow(t *testing.T) {
	l := journal.New[int](7, journal.Bounds{Bytes: 10})
	for i := range 4 {
		l.Append(i, 2, time.Time{}, nil)
	}
	l.Grow(4, 3, nil)
	if l.First() != 2 || l.Bytes() != 9 {
		t.Error(l.First(), l.Bytes())
	}
	l.Grow(1, 100, nil) // gone
	l.Grow(5, 100, nil) // not there
	if l.First() != 2 || l.Bytes() != 9 {
		t.Error(l.First(), l.Bytes())
	}
	l.Grow(3, 100, nil)
	if l.First() != 4 || l.Bytes() != 5 {
		t.Error(l.First(), l.Bytes())
	}
	l.Grow(4, 100, nil)
	if l.First() != 4 || l.Bytes() != 105 {
		t.Error(l.First(), l.Bytes())
	}
	l.Clear()
	if l.First() != 5 || l.Next() != 5 || l.Bytes() != 0 {
		t.Error(l.First(), l.Next(), l.Bytes())
	}
	if o := l.Append(9, 1, time.Time{}, nil); o != 5 {
		t.Error(o)
	}
}
