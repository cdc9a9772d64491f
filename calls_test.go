package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
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

// Calls of all kinds begin in the order of arrival, with any number of places,
// whatever their arguments take to bind (D 15).
func TestCallsBeginInOrder(t *testing.T) {
	type big struct {
		hubwire.Args
		N    int
		Rest []int
	}
	for _, places := range []int{1, 2, 4, 64} {
		for _, filtered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/%v", places, filtered), func(t *testing.T) {
				const n = 500
				var clock atomic.Int32 // a mutex would let the later pass
				var began [n]int32
				begin := func(i int) {
					if !filtered {
						began[i] = clock.Add(1)
					}
				}
				handlers := []hubwire.Handler{
					hubwire.Command[int]("Do").With(func(_ context.Context, _ *hubwire.Conn, n int) error { begin(n); return nil }),
					hubwire.Command[big]("Big").With(func(_ context.Context, _ *hubwire.Conn, in big) error { begin(in.N); return nil }),
					hubwire.ServerStream[int, int]("Stream").With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] { begin(n); return upTo(2) }),
					hubwire.Method[mixed, int]("Up").With(func(_ context.Context, _ *hubwire.Conn, in mixed) (int, error) {
						begin(len(in.Prefix))
						return 0, nil
					}),
				}
				opts := &hubwire.Options{ParallelCalls: places}
				if filtered { // the filter begins
					opts.Filters = []hubwire.Filter{func(next hubwire.Invoke) hubwire.Invoke {
						return func(ctx context.Context, call *hubwire.Call) error {
							at := clock.Add(1)
							in, err := call.Input()
							check(t, err)
							switch in := in.(type) {
							case *int:
								began[*in] = at
							case *big:
								began[in.N] = at
							case *mixed:
								began[len(in.Prefix)] = at
							}
							return next(ctx, call)
						}
					}}
				}
				hub := newHub(opts, handlers...)
				l := open(t, hub, rawA, -1)
				rnd := rand.New(rand.NewPCG(1, uint64(places)))
				var calls []*rawCall
				for i := range n {
					var in wire.Call
					switch rnd.IntN(4) {
					case 0:
						in = wire.Call{Name: "Do", Args: list(fmt.Sprint(i))}
					case 1:
						in = wire.Call{Name: "Big", Args: list(fmt.Sprint(i), "["+strings.Repeat("1,", rnd.IntN(500))+"1]")}
					case 2:
						in = wire.Call{Name: "Stream", Args: list(fmt.Sprint(i)), Stream: true, ID: fmt.Sprint(i)}
					case 3:
						in = wire.Call{Name: "Up", Args: list(`"`+strings.Repeat("x", i)+`"`, `""`), Uploads: []wire.Source{&rawSource{}, &rawSource{}}}
					}
					calls = append(calls, l.start(in))
				}
				for _, c := range calls {
					<-c.done
				}
				// The system may take the processor from a call between its turn and its
				// first statement, so a few may be late; else none is.
				late, first := 0, int32(n+1)
				for _, at := range slices.Backward(began[:]) {
					if at > first {
						late++
					}
					first = min(first, at)
				}
				if late > n/50 {
					t.Errorf("%d of %d began after one that came later: %v", late, n, began)
				}
			})
		}
	}
}

// At most ParallelCalls ordinary calls run at a time; streams and uploads run
// beside them.
func TestPlaces(t *testing.T) {
	for _, places := range []int{1, 3} {
		t.Run(fmt.Sprint(places), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most, streams atomic.Int32
				release := make(chan struct{})
				hub := newHub(&hubwire.Options{ParallelCalls: places},
					hubwire.Command[hubwire.None]("Do").With(func(context.Context, *hubwire.Conn, hubwire.None) error {
						most.Store(max(most.Load(), running.Add(1)))
						<-release
						running.Add(-1)
						return nil
					}),
					hubwire.ServerStream[hubwire.None, int]("Stream").With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[int, error] {
						streams.Add(1)
						<-release
						return upTo(0)
					}),
					hubwire.ClientStream[int, int]("Up").With(func(context.Context, *hubwire.Conn, iter.Seq2[int, error]) (int, error) {
						streams.Add(1)
						<-release
						return 0, nil
					}))
				c := hubtest.New(t, hub).Dial(t)
				ctx := t.Context()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						_, err := collect(hubwire.ServerStream[hubwire.None, int]("Stream").Open(ctx, c, hubwire.None{}))
						check(t, err)
					})
					wg.Go(func() { _, err := hubwire.ClientStream[int, int]("Up").Call(ctx, c, upTo(1)); check(t, err) })
				}
				synctest.Wait()
				for range 10 {
					wg.Go(func() { check(t, hubwire.Command[hubwire.None]("Do").Call(ctx, c, hubwire.None{})) })
				}
				synctest.Wait()
				if n := streams.Load(); n != 6 {
					t.Errorf("%d streams run", n)
				}
				if n := running.Load(); int(n) != places {
					t.Errorf("%d calls run, want %d", n, places)
				}
				close(release)
				wg.Wait()
				if n := most.Load(); int(n) != places {
					t.Errorf("%d calls ran at a time, want %d", n, places)
				}
			})
		})
	}
}

// A question to the client, asked with the call's context, gives the place to
// the next call, once; a call that is over has no place to give (D 14).
func TestAskFreesThePlace(t *testing.T) {
	const Ask hubwire.ClientMethod[int, int] = "Ask"
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		var late []context.Context
		hub := newHub(nil,
			hubwire.Method[int, int]("Question").With(func(ctx context.Context, c *hubwire.Conn, n int) (int, error) {
				late = append(late, ctx)
				for range 3 {
					if _, err := Ask.Call(ctx, c, n); err != nil {
						return 0, err
					}
				}
				return n, nil
			}),
			hubwire.Command[hubwire.None]("Keep").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error {
				late = append(late, ctx)
				return nil
			}),
			hubwire.Command[hubwire.None]("Do").With(func(context.Context, *hubwire.Conn, hubwire.None) error {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(time.Second)
				running.Add(-1)
				return nil
			}))
		answers := make(chan int)
		c := hubtest.New(t, hub).Dial(t, Ask.With(func(context.Context, int) (int, error) { return <-answers, nil }))
		ctx := t.Context()
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := hubwire.Method[int, int]("Question").Call(ctx, c, 7); n != 7 || err != nil {
				t.Errorf("Question = %v, %v", n, err)
			}
		})
		synctest.Wait()
		start := time.Now()
		for range 3 {
			wg.Go(func() { check(t, hubwire.Command[hubwire.None]("Do").Call(ctx, c, hubwire.None{})) })
		}
		time.Sleep(1500 * time.Millisecond) // the question waits, others run
		if n := running.Load(); n != 1 {
			t.Errorf("%d calls run beside the question", n)
		}
		for range 3 {
			answers <- 1
		}
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second || most.Load() != 1 {
			t.Errorf("three calls took %v, %d at a time", took, most.Load())
		}

		// Questions with the contexts of calls that are over.
		check(t, hubwire.Command[hubwire.None]("Keep").Call(ctx, c, hubwire.None{}))
		for _, ctx := range late {
			if _, err := Ask.Call(ctx, c.Conn(), 1); !errors.Is(err, context.Canceled) {
				t.Errorf("a late question: %v", err)
			}
			answers <- 1
		}
		most.Store(0)
		for range 3 {
			wg.Go(func() { check(t, hubwire.Command[hubwire.None]("Do").Call(ctx, c, hubwire.None{})) })
		}
		wg.Wait()
		if most.Load() != 1 {
			t.Errorf("%d calls at a time after late questions", most.Load())
		}
	})
}

// Questions end with their context, with the connection, and with an answer of
// the wrong type; another connection cannot answer.
func TestQuestions(t *testing.T) {
	const Ask hubwire.ClientMethod[string, int] = "Ask"
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(nil)
		server := hubtest.New(t, hub)
		answer := make(chan struct{})
		never := func(ctx context.Context, _ string) (int, error) {
			select {
			case <-answer:
			case <-ctx.Done():
			}
			return 1, nil
		}
		good := server.Dial(t, Ask.With(func(_ context.Context, q string) (int, error) { return len(q), nil }))
		bad := server.Dial(t, hubwire.ClientMethod[string, string]("Ask").With(func(context.Context, string) (string, error) { return "x", nil }))
		failing := server.Dial(t, Ask.With(func(context.Context, string) (int, error) { return 0, errors.New("I will not say") }))
		mute := server.Dial(t)
		silent := server.Dial(t, Ask.With(never))
		ctx := t.Context()
		for _, to := range []hubwire.Peer{good.Conn(), hub.Conn(good.ID())} {
			if n, err := Ask.Call(ctx, to, "four"); n != 4 || err != nil {
				t.Errorf("Ask = %v, %v", n, err)
			}
		}
		if _, err := Ask.Call(ctx, bad.Conn(), "x"); err == nil || !strings.Contains(err.Error(), "Error trying to deserialize result to Int32.") {
			t.Errorf("an answer of the wrong type: %v", err)
		}
		if _, err := Ask.Call(ctx, failing.Conn(), "x"); err == nil || err.Error() != "I will not say" {
			t.Errorf("an answer that is an error: %v", err)
		} else if _, ok := errors.AsType[*hubwire.Error](err); !ok {
			t.Errorf("it is a %T", err)
		}
		if _, err := Ask.Call(ctx, mute.Conn(), "x"); err == nil {
			t.Error("a client without a handler answered")
		}
		if _, err := Ask.Call(ctx, hub.Conn("nobody"), "x"); err == nil {
			t.Error("nobody answered")
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		if _, err := Ask.Call(short, silent.Conn(), "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
		cancel()
		time.AfterFunc(time.Second, silent.Drop)
		if _, err := Ask.Call(ctx, silent.Conn(), "x"); err == nil || !strings.Contains(err.Error(), "disconnected") {
			t.Errorf("the connection ends: %v", err)
		}
		if _, err := Ask.Call(ctx, silent.Conn(), "x"); err == nil {
			t.Error("a connection that has ended answered")
		}
		if _, _, asks := hubwire.Tables(hub); asks != 0 {
			t.Errorf("%d questions are left", asks)
		}
		// Answers to questions that nobody waits for, or of others.
		l, other := open(t, hub, rawA, -1), open(t, hub, rawA, -1)
		done := make(chan error, 1)
		go func() { // ends with the answer
			_, err := Ask.Call(ctx, l.port.Conn(), "x")
			done <- err
		}()
		synctest.Wait()
		id, _, _ := strings.Cut(l.text(), "?")
		check(t, l.port.Answer("s999", list(`1`), nil))
		if err := other.port.Answer(id, list(`1`), nil); err == nil {
			t.Error("another connection answered")
		}
		check(t, l.port.Answer(id, list(`1`), nil))
		check(t, l.port.Answer(id, list(`2`), nil))
		check(t, <-done)
		check(t, l.port.Answer(id, list(`3`), nil))
	})
}

// A cancel reaches calls that run and calls that wait; a call without an id has
// none.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		release := make(chan struct{})
		wait := func(ctx context.Context, name string) error {
			d.add("%s begins: %v", name, ctx.Err())
			select {
			case <-ctx.Done():
				d.add("%s: %v", name, context.Cause(ctx))
				return ctx.Err()
			case <-release:
				d.add("%s is done", name)
				return nil
			}
		}
		hub := newHub(nil,
			hubwire.Command[string]("Do").With(func(ctx context.Context, _ *hubwire.Conn, name string) error { return wait(ctx, name) }),
			hubwire.ServerStream[string, int]("Stream").With(func(ctx context.Context, _ *hubwire.Conn, name string) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					if err := wait(ctx, name); err != nil {
						yield(0, err)
					}
				}
			}))
		l := open(t, hub, rawA, -1)
		first := l.start(wire.Call{Name: "Do", ID: "1", Args: list(`"first"`)})
		second := l.start(wire.Call{Name: "Do", ID: "2", Args: list(`"second"`)})
		third := l.start(wire.Call{Name: "Do", Args: list(`"third"`)})
		stream := l.start(wire.Call{Name: "Stream", ID: "s", Stream: true, Args: list(`"stream"`)})
		synctest.Wait()
		for _, id := range []string{"", "2", "2", "nobody", "s"} {
			l.port.Cancel(id)
		}
		synctest.Wait()
		if got, want := d.take(), "first begins: <nil>"; got != want { // the stream came behind calls that wait
			t.Errorf("%s; want %s", got, want)
		}
		l.port.Cancel("1")
		<-first.done
		<-second.done
		synctest.Wait()
		if got, want := d.take(), "first: context canceled, second begins: context canceled, second: context canceled, third begins: <nil>, stream begins: context canceled, stream: context canceled"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		<-stream.done
		if stream.err != nil || len(stream.items) != 0 {
			t.Errorf("the cancelled stream: %v, %v", stream.items, stream.err) // an error after a cancel is not sent (D 13)
		}
		close(release)
		<-third.done
		if third.err != nil {
			t.Errorf("the third: %v", third.err)
		}
	})
}

// Trace headers reach the handler, and a question's go with it; a hook that
// panics hurts nobody.
func TestTraceHooks(t *testing.T) {
	hub := newHub(&hubwire.Options{
		TraceIn: func(ctx context.Context, headers map[string]string) context.Context {
			if headers["traceparent"] == "bad" {
				panic("oh")
			}
			if headers["traceparent"] == "nil" {
				return nil
			}
			return context.WithValue(ctx, key{}, headers["traceparent"])
		},
	}, hubwire.Method[hubwire.None, string]("Trace").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (string, error) {
		return fmt.Sprint(ctx.Value(key{})), nil
	}))
	l := open(t, hub, rawA, -1)
	if !l.port.Headers() {
		t.Error("the hub does not want headers")
	}
	for header, want := range map[string]string{"00-1": "00-1", "bad": "<nil>", "nil": "<nil>"} {
		r := l.start(wire.Call{Name: "Trace", Args: list(), Headers: map[string]string{"traceparent": header}})
		<-r.done
		if r.v != want {
			t.Errorf("%s: %v, %v; want %s", header, r.v, r.err, want)
		}
	}
}

// slowValue is an argument that takes its time to bind.
type slowValue struct{ n int }

var slowBinding = make(chan struct{}, 1)

func (v *slowValue) UnmarshalJSON([]byte) error {
	<-slowBinding
	return nil
}

// A call whose arguments take long to bind is not passed by those behind it.
func TestSlowBindingKeepsTheOrder(t *testing.T) {
	var d diary
	hub := newHub(&hubwire.Options{ParallelCalls: 4},
		hubwire.Command[slowValue]("Slow").With(func(context.Context, *hubwire.Conn, slowValue) error { d.add("slow"); return nil }),
		hubwire.Command[int]("Do").With(func(_ context.Context, _ *hubwire.Conn, n int) error { d.add("%d", n); return nil }))
	l := open(t, hub, rawA, -1)
	calls := []*rawCall{l.start(wire.Call{Name: "Slow", Args: list(`1`)})}
	for i := range 3 {
		calls = append(calls, l.start(wire.Call{Name: "Do", Args: list(fmt.Sprint(i))}))
	}
	for range 1000 {
		runtime.Gosched()
	}
	if got := d.take(); got != "" {
		t.Errorf("began: %s", got)
	}
	slowBinding <- struct{}{}
	for _, c := range calls {
		<-c.done
	}
	all := d.take()
	// They have begun in order; who of four that run at once writes first is chance.
	for _, name := range []string{"slow", "0", "1", "2"} {
		if !strings.Contains(all, name) {
			t.Errorf("began: %s", all)
		}
	}
}
