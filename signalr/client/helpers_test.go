package client_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t testing.TB, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

// result fails the test on an error.
func result[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantHubError wants an error of the hub with a text.
func wantHubError(t testing.TB, err error, text string) {
	t.Helper()
	e, ok := errors.AsType[*hubwire.Error](err)
	if !ok || e.Message != text {
		t.Errorf("the error is %v, want a hub's: %s", err, text)
	}
}

func wantText(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want one with %q", err, text)
	}
}

// all are the items of a stream, and its error.
func all[T any](seq iter.Seq2[T, error]) (items []T, err error) {
	for v, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, v)
	}
	return items, nil
}

// items is a stream of values.
func items[T any](values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func upTo(n int32) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// A box collects what came, in order.
type box[T any] struct {
	mu    sync.Mutex
	got   []T
	wake  chan struct{}
	taken int
}

func (b *box[T]) put(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, v)
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// take takes the next n.
func (b *box[T]) take(t testing.TB, n int) []T {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		b.mu.Lock()
		if len(b.got)-b.taken >= n {
			out := b.got[b.taken : b.taken+n : b.taken+n]
			b.taken += n
			b.mu.Unlock()
			return out
		}
		if b.wake == nil {
			b.wake = make(chan struct{})
		}
		wake, have := b.wake, b.got[b.taken:]
		b.mu.Unlock()
		select {
		case <-wake:
		case <-late:
			t.Fatalf("%d of %d came: %v", len(have), n, have)
		}
	}
}

func (b *box[T]) next(t testing.TB) T {
	t.Helper()
	return b.take(t, 1)[0]
}

// rest is what came and was not taken.
func (b *box[T]) rest() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[b.taken:]
}

// on is a handler that puts events into the box.
func (b *box[T]) on(name hubwire.Event[T]) hubwire.ClientHandler {
	return name.With(func(_ context.Context, v T) error {
		b.put(v)
		return nil
	})
}

// A course is what happened to a connection, in order.
type course struct{ box[string] }

func (c *course) options() *client.Options {
	return &client.Options{
		OnReconnecting: func(_ *client.Conn, err error) { c.put("reconnecting: " + errorText(err)) },
		OnReconnected:  func(*client.Conn) { c.put("reconnected") },
		OnClosed:       func(_ *client.Conn, err error) { c.put("closed: " + errorText(err)) },
	}
}

func errorText(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func closedWithin(t testing.TB, c *client.Conn, limit time.Duration) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(limit):
		t.Fatalf("the connection is %v after %v", c.State(), limit)
	}
}
