// Package journaltest is the contract of journal stores, as a test.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hubwire/hubwire/internal/journal"
	"github.com/hubwire/hubwire/wire"
)

// Exercise tests a store whose logs keep exactly keep records. open gives a new
// one, or one whose logs are empty.
func Exercise(t *testing.T, keep int, open func(t *testing.T) journal.Store) {
	ctx := t.Context()
	add := func(t *testing.T, s journal.Store, log string, n int) (at []wire.Position) {
		t.Helper()
		for i := range n {
			p, err := s.Append(ctx, log, fmt.Append(nil, "r", i))
			if err != nil {
				t.Fatal(err)
			}
			if p.Offset == 0 || p.Epoch == 0 || i > 0 && (p.Epoch != at[i-1].Epoch || p.Offset <= at[i-1].Offset) {
				t.Fatalf("position %d: %+v after %+v", i, p, at)
			}
			at = append(at, p)
		}
		return at
	}
	t.Run("empty", func(t *testing.T) {
		s := open(t)
		head, err := s.Head(ctx, "a")
		if err != nil || head.Epoch == 0 || head.Offset != 0 {
			t.Fatal(head, err)
		}
		if r, err := s.Read(ctx, "a", head, 10); err != nil || len(r) != 0 {
			t.Error(r, err)
		}
	})
	t.Run("pages", func(t *testing.T) {
		s := open(t)
		start, err := s.Head(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		at := add(t, s, "a", keep)
		add(t, s, "b", 1)
		n := 0
		for after := start; ; {
			r, err := s.Read(ctx, "a", after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(r) == 0 {
				break
			}
			for _, r := range r {
				if string(r.Data) != fmt.Sprint("r", n) || r.At != at[n] {
					t.Errorf("record %d: %q at %+v", n, r.Data, r.At)
				}
				after = r.At
				n++
			}
		}
		if head, err := s.Head(ctx, "a"); err != nil || head != at[len(at)-1] || n != keep {
			t.Error(head, err, n)
		}
	})
	t.Run("tail", func(t *testing.T) {
		s := open(t)
		if r, err := s.Tail(ctx, "a", 10); err != nil || len(r) != 0 {
			t.Error(r, err)
		}
		at := add(t, s, "a", keep+2)
		for _, max := range []int{1, keep - 1, keep, keep + 2, 1000} {
			r, err := s.Tail(ctx, "a", max)
			if want := min(max, keep); err != nil || len(r) != want {
				t.Errorf("the last %d: %d records, %v", max, len(r), err)
				continue
			}
			for i, r := range r {
				if n := len(at) - min(max, keep) + i; r.At != at[n] || string(r.Data) != fmt.Sprint("r", n) {
					t.Errorf("the last %d: record %d: %q at %+v", max, i, r.Data, r.At)
				}
			}
		}
	})
	t.Run("lost", func(t *testing.T) {
		s := open(t)
		at := add(t, s, "a", keep+2)
		if _, err := s.Read(ctx, "a", at[0], 10); !errors.Is(err, journal.ErrLost) {
			t.Error("before the oldest but one:", err)
		}
		if r, err := s.Read(ctx, "a", at[1], 1); err != nil || len(r) != 1 || r[0].At != at[2] {
			t.Error("just before the oldest:", r, err)
		}
		head := at[len(at)-1]
		for _, p := range []wire.Position{{Epoch: head.Epoch + 2, Offset: head.Offset}, {Epoch: head.Epoch, Offset: head.Offset + 1}, {Epoch: head.Epoch, Offset: 1<<64 - 1}, {}} {
			if _, err := s.Read(ctx, "a", p, 10); !errors.Is(err, journal.ErrForeign) {
				t.Errorf("%+v: %v", p, err)
			}
		}
	})
	t.Run("follow", func(t *testing.T) {
		s := open(t)
		start, err := s.Head(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		add(t, s, "a", 1)
		got := make(chan string)
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { // ends with ctx
			ended <- s.Follow(ctx, "a", start, func(r []journal.Record) error {
				for _, r := range r {
					got <- string(r.Data)
				}
				return nil
			})
		}()
		if v := <-got; v != "r0" {
			t.Error(v)
		}
		add(t, s, "a", 2)
		for i := range 2 {
			if v := <-got; v != fmt.Sprint("r", i) {
				t.Error(v)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		stop := errors.New("stop")
		if err := s.Follow(t.Context(), "a", start, func([]journal.Record) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
	})
	t.Run("many", func(t *testing.T) {
		s := open(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := map[wire.Position]bool{}
		for range 4 {
			wg.Go(func() {
				for range 25 {
					p, err := s.Append(ctx, "a", []byte("x"))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					seen[p] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 100 {
			t.Error(len(seen), "positions for 100 records")
		}
	})
}
