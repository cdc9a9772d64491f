package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// ctx has ended when yield returns false, whatever the reason (D 13).
func TestYieldFalseMeansContextEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := make(chan string, 10)
		hub := newHub(nil, hubwire.ServerStream[string, any]("Stream").With(func(ctx context.Context, _ *hubwire.Conn, how string) iter.Seq2[any, error] {
			return func(yield func(any, error) bool) {
				var more bool
				switch how {
				case "error":
					more = yield(nil, errors.New("oh"))
				case "bad":
					more = yield(func() {}, nil)
				default:
					for yield(1, nil) {
					}
				}
				results <- fmt.Sprint(more, " ", ctx.Err())
			}
		}))
		server := hubtest.New(t, hub)
		c := server.Dial(t)
		Stream := hubwire.ServerStream[string, any]("Stream")
		for _, how := range []string{"error", "bad"} {
			if _, err := collect(Stream.Open(t.Context(), c, how)); err == nil {
				t.Errorf("%s: no error", how)
			}
			if got := <-results; got != "false context canceled" {
				t.Errorf("%s: %s", how, got)
			}
		}
		for range Stream.Open(t.Context(), c, "left") {
			break
		}
		if got := <-results; got != "false context canceled" {
			t.Errorf("left: %s", got)
		}
		for range Stream.Open(t.Context(), c, "dropped") {
			c.Drop()
			break
		}
		if got := <-results; got != "false context canceled" {
			t.Errorf("dropped: %s", got)
		}
	})
}

// Stream ids that are in use are refused, whether the stream runs or waits; the
// first goes on.
func TestStreamIDInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hub := newHub(nil, hubwire.ServerStream[int, int]("Stream").With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			<-release
			return upTo(n)
		}), hubwire.Command[hubwire.None]("Do").With(func(context.Context, *hubwire.Conn, hubwire.None) error { <-release; return nil }))
		l := open(t, hub, rawA, -1)
		runs := l.start(wire.Call{Name: "Stream", ID: "a", Stream: true, Args: list(`2`)})
		l.start(wire.Call{Name: "Do", Args: list()})
		l.start(wire.Call{Name: "Do", Args: list()})
		waits := l.start(wire.Call{Name: "Stream", ID: "b", Stream: true, Args: list(`3`)})
		synctest.Wait()
		for _, id := range []string{"a", "b"} {
			up := &rawSource{}
			again := l.start(wire.Call{Name: "Stream", ID: id, Stream: true, Args: list(`9`), Uploads: []wire.Source{up}})
			<-again.done
			if fault(again.err) != wire.IDInUse || !up.closed {
				t.Errorf("%s again: %v, upload closed %v", id, again.err, up.closed)
			}
		}
		close(release)
		<-runs.done
		<-waits.done
		if len(runs.items) != 2 || len(waits.items) != 3 || runs.err != nil || waits.err != nil {
			t.Errorf("the first: %v, %v, %v, %v", runs.items, runs.err, waits.items, waits.err)
		}
		again := l.start(wire.Call{Name: "Stream", ID: "a", Stream: true, Args: list(`1`)})
		<-again.done
		if again.err != nil {
			t.Errorf("an id that is free again: %v", again.err)
		}
	})
}

// Items wait for room in the connection's queue, and never trip the rule for
// slow clients; the stream goes on when there is room (D 13, row 84).
func TestItemsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int32
		item := strings.Repeat("x", 1000)
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Bytes: 200 << 10, Stall: time.Hour}},
			hubwire.ServerStream[hubwire.None, string]("Stream").With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					for range 1000 {
						if made.Add(1); !yield(item, nil) {
							return
						}
					}
				}
			}))
		c := hubtest.New(t, hub).Dial(t)
		c.Stall()
		got := make(chan int)
		go func() { // ends with the stream
			n := 0
			for _, err := range hubwire.ServerStream[hubwire.None, string]("Stream").Open(t.Context(), c, hubwire.None{}) {
				check(t, err)
				n++
			}
			got <- n
		}()
		synctest.Wait()
		if n := made.Load(); n < 64 || n > 70 {
			t.Errorf("%d KB were made for a client that does not read", n)
		}
		c.Resume()
		if n := <-got; n != 1000 {
			t.Errorf("%d items came", n)
		}
	})
}

// A stream whose client does not read ends with its connection and with a
// cancel.
func TestItemsThatWaitCanBeCancelled(t *testing.T) {
	for name, end := range map[string]func(*hubtest.Client, context.CancelFunc){
		"drop":   func(c *hubtest.Client, _ context.CancelFunc) { c.Drop() },
		"cancel": func(_ *hubtest.Client, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left := make(chan struct{})
				hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Stall: time.Hour}},
					hubwire.ServerStream[hubwire.None, string]("Stream").With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[string, error] {
						return func(yield func(string, error) bool) {
							for yield(strings.Repeat("x", 10000), nil) {
							}
							close(left)
						}
					}))
				c := hubtest.New(t, hub).Dial(t)
				c.Stall()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { // ends with ctx or the connection
					_, _ = collect(hubwire.ServerStream[hubwire.None, string]("Stream").Open(ctx, c, hubwire.None{}))
				}()
				synctest.Wait()
				end(c, cancel)
				<-left
			})
		})
	}
}

// Results are always taken and hold no place, but no call starts while more
// waits than the queue may hold: that is what bounds them (D 15).
func TestResultsHoldCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int32
		hub := newHub(&hubwire.Options{ParallelCalls: 2, Queue: hubwire.Queue{Bytes: 100 << 10, Stall: time.Hour}},
			hubwire.Method[int, string]("Big").With(func(_ context.Context, _ *hubwire.Conn, n int) (string, error) {
				ran.Add(1)
				return strings.Repeat("x", n), nil
			}))
		c := hubtest.New(t, hub).Dial(t)
		c.Stall()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				s, err := hubwire.Method[int, string]("Big").Call(t.Context(), c, 10<<10)
				if len(s) != 10<<10 || err != nil {
					t.Errorf("Big = %d bytes, %v", len(s), err)
				}
			})
		}
		synctest.Wait()
		if n := ran.Load(); n < 10 || n > 13 {
			t.Errorf("%d calls ran for a client that does not read", n)
		}
		c.Resume()
		wg.Wait()
		if n := ran.Load(); n != 50 {
			t.Errorf("%d ran", n)
		}
	})
}

// 10,000 streams on one connection run, and can be cancelled; what they hold is
// bounded (row 84).
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		hub := newHub(nil, hubwire.ServerStream[string, int]("Stream").With(func(ctx context.Context, _ *hubwire.Conn, _ string) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				running.Add(1)
				defer running.Add(-1)
				<-ctx.Done()
			}
		}), hubwire.Method[int, int]("Echo").With(func(_ context.Context, _ *hubwire.Conn, n int) (int, error) { return n, nil }))
		c := hubtest.New(t, hub).Dial(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		open := func(arg string) error {
			for _, err := range hubwire.ServerStream[string, int]("Stream").Open(ctx, c, arg) {
				return err
			}
			return nil
		}
		for range 10_000 {
			wg.Go(func() {
				if err := open("x"); !errors.Is(err, context.Canceled) {
					t.Errorf("a stream: %v", err)
				}
			})
		}
		synctest.Wait()
		if n := running.Load(); n != 10_000 {
			t.Errorf("%d streams run", n)
		}
		if n, err := hubwire.Method[int, int]("Echo").Call(t.Context(), c, 7); n != 7 || err != nil {
			t.Errorf("Echo = %v, %v", n, err)
		}
		cancel()
		wg.Wait()
		synctest.Wait()
		if n := running.Load(); n != 0 {
			t.Errorf("%d streams run after the cancel", n)
		}
		if waiting, held := hubwire.Inputs(c.Conn()); waiting != 0 || held != 0 {
			t.Errorf("at the end %d wait and %d are held", waiting, held)
		}

		// There is an end to it.
		ctx, cancel = context.WithCancel(t.Context())
		big := strings.Repeat("x", 50_000)
		refused := 0
		for range 100 {
			wg.Add(1)
			failed := make(chan struct{})
			go func() { // ends with ctx
				defer wg.Done()
				if err := open(big); err != nil && !errors.Is(err, context.Canceled) {
					if e, ok := errors.AsType[*hubwire.Error](err); !ok || e.Code != hubwire.CodeResourceExhausted {
						t.Errorf("a stream too many: %v", err)
					}
					close(failed)
				}
			}()
			synctest.Wait()
			select {
			case <-failed:
				refused++
			default:
			}
		}
		if _, held := hubwire.Inputs(c.Conn()); refused == 0 || held > 5<<20 {
			t.Errorf("%d of 100 streams refused, %d bytes held", refused, held)
		}
		cancel()
		wg.Wait()
		check(t, openAndLeave(t, c))
	})
}

func openAndLeave(t *testing.T, c *hubtest.Client) error {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.StartCall(ctx, &wire.OutCall{Name: "Stream", Kind: wire.ServerStream, Args: []any{"x"}})
	cancel()
	if err != nil {
		return err
	}
	return r.Close()
}
