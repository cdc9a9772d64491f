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

// What user code does wrong hurts its own call alone (row 83).
func TestBadHandlers(t *testing.T) {
	type secret struct{ a int }
	_ = secret{}.a
	synctest.Test(t, func(t *testing.T) {
		type loop struct{ Next *loop }
		round := &loop{}
		round.Next = round
		never := make(chan int)
		hub := newHub(nil,
			hubwire.Method[string, any]("Do").With(func(ctx context.Context, _ *hubwire.Conn, how string) (any, error) {
				switch how {
				case "panic":
					panic("oh")
				case "panic nil":
					panic(nil)
				case "goexit":
					runtime.Goexit()
				case "nil map":
					var m map[string]int
					m["x"] = 1
				case "NaN":
					return nan(), nil
				case "cycle":
					return round, nil
				case "channel":
					return never, nil
				case "function":
					return func() {}, nil
				case "marshaler":
					return panics{}, nil
				case "marshaler exits":
					return exits{}, nil
				case "nil error":
					return nil, (*hubwire.Error)(nil)
				}
				return how, nil
			}),
			hubwire.ServerStream[string, any]("Stream").With(func(ctx context.Context, _ *hubwire.Conn, how string) iter.Seq2[any, error] {
				switch how {
				case "nil":
					return nil
				case "panic":
					panic("oh")
				}
				return func(yield func(any, error) bool) {
					switch yield(1, nil); how {
					case "panic later":
						panic("oh")
					case "goexit":
						runtime.Goexit()
					case "error":
						yield(nil, errors.New("oh"))
						yield(2, nil) // panics
					case "NaN":
						yield(nan(), nil)
					case "never closed":
						select {
						case <-never:
						case <-ctx.Done():
						}
					}
				}
			}))
		server := hubtest.New(t, hub)
		c := server.Dial(t)
		other := server.Dial(t)
		Do, Stream := hubwire.Method[string, any]("Do"), hubwire.ServerStream[string, any]("Stream")
		ctx := t.Context()
		for _, how := range []string{"panic", "panic nil", "goexit", "nil map", "NaN", "cycle", "channel", "function", "marshaler"} {
			if v, err := Do.Call(ctx, c, how); err == nil {
				t.Errorf("%s: %v", how, v)
			} else if _, ok := errors.AsType[*hubwire.Error](err); !ok || strings.Contains(err.Error(), "oh") {
				t.Errorf("%s: %v", how, err)
			}
			if v, err := Do.Call(ctx, c, "well"); v != "well" || err != nil {
				t.Fatalf("after %s: %v, %v", how, v, err)
			}
		}
		for _, how := range []string{"nil", "panic", "panic later", "goexit", "error", "NaN"} {
			if v, err := collect(Stream.Open(ctx, c, how)); err == nil {
				t.Errorf("stream %s: %v", how, v)
			}
			if v, err := collect(Stream.Open(ctx, c, "well")); len(v) != 1 || err != nil {
				t.Fatalf("after stream %s: %v, %v", how, v, err)
			}
		}
		for range Stream.Open(ctx, c, "never closed") {
			break
		}
		// A result that leaves with Goexit while it is encoded takes its connection
		// with it: nobody knows what was written.
		if _, err := Do.Call(ctx, c, "marshaler exits"); err == nil {
			t.Error("marshaler exits")
		}
		if v, err := Do.Call(ctx, other, "well"); v != "well" || err != nil {
			t.Fatalf("another connection: %v, %v", v, err)
		}
	})
}

func nan() float64 { zero := 0.0; return zero / zero }

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("oh") }

type exits struct{}

func (exits) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }

// Input of calls that wait is bounded: the reader waits above 64 KiB, and goes
// on when there is room. Calls that run do not count, or a client could not
// answer what a large call asks it (D 15).
func TestInputIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hub := newHub(nil, hubwire.Command[string]("Do").With(func(context.Context, *hubwire.Conn, string) error { <-release; return nil }))
		c := hubtest.New(t, hub).Dial(t)
		big := strings.Repeat("x", 100<<10)
		send := func(s string) { check(t, hubwire.Command[string]("Do").Send(t.Context(), c, s)) }
		send(big)
		synctest.Wait()
		if c.Unread() != 0 {
			t.Errorf("a large call that runs stops the reader: %d unread", c.Unread())
		}
		send(strings.Repeat("x", 40<<10))
		send(strings.Repeat("x", 40<<10))
		send("small")
		synctest.Wait()
		if n := c.Unread(); n == 0 {
			t.Error("80 KiB wait, and the reader goes on")
		}
		if waiting, _ := hubwire.Inputs(c.Conn()); waiting < 80<<10 || waiting > 90<<10 {
			t.Errorf("%d bytes wait", waiting)
		}
		release <- struct{}{} // the first of 40 KiB starts
		synctest.Wait()
		if n := c.Unread(); n != 0 {
			t.Errorf("there is room, and %d are unread", n)
		}
		close(release)
		synctest.Wait()
		if waiting, held := hubwire.Inputs(c.Conn()); waiting != 0 || held != 0 {
			t.Errorf("at the end %d wait and %d are held", waiting, held)
		}
	})
}

// A client that is not read, since its calls wait, can still leave and be
// dropped.
func TestReaderThatWaitsCanEnd(t *testing.T) {
	for name, end := range map[string]func(*hubtest.Client){
		"drop":  func(c *hubtest.Client) { c.Drop() },
		"abort": func(c *hubtest.Client) { c.Conn().Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				hub := newHub(&hubwire.Options{Disconnect: func(context.Context, *hubwire.Conn, error) { close(gone) }},
					hubwire.Command[string]("Do").With(func(ctx context.Context, _ *hubwire.Conn, _ string) error { <-ctx.Done(); return nil }))
				c := hubtest.New(t, hub).Dial(t)
				for range 4 {
					check(t, hubwire.Command[string]("Do").Send(t.Context(), c, strings.Repeat("x", 50<<10)))
				}
				synctest.Wait()
				if c.Unread() == 0 {
					t.Fatal("the reader does not wait")
				}
				start := time.Now()
				end(c)
				<-gone
				if took := time.Since(start); took > 0 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Items of uploads that nobody reads count as waiting input, but for the first
// few; those of a call that has ended do not.
func TestUploadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hub := newHub(nil, hubwire.ClientStream[string, int]("Up").With(func(ctx context.Context, _ *hubwire.Conn, items iter.Seq2[string, error]) (int, error) {
			n := 0
			for range items {
				if n++; n == 1 {
					<-release
				}
				if n == 500 {
					break
				}
			}
			return n, nil
		}), hubwire.Command[hubwire.None]("Do").With(nothing))
		c := hubtest.New(t, hub).Dial(t)
		var sent atomic.Int32
		item := strings.Repeat("x", 1000)
		endless := func(yield func(string, error) bool) {
			for yield(item, nil) {
				sent.Add(1)
			}
		}
		var n int
		var err error
		done := make(chan struct{})
		go func() { // ends with the call
			defer close(done)
			n, err = hubwire.ClientStream[string, int]("Up").Call(t.Context(), c, endless)
		}()
		synctest.Wait()
		if kib := sent.Load(); kib < 128 || kib > 160 { // 64 KiB with the hub, 64 KiB on the way
			t.Errorf("%d KB were sent to a handler that does not read", kib)
		}
		close(release)
		<-done
		if n != 500 || err != nil {
			t.Errorf("Up = %v, %v", n, err)
		}
		check(t, hubwire.Command[hubwire.None]("Do").Call(t.Context(), c, hubwire.None{}))
		synctest.Wait()
		if waiting, held := hubwire.Inputs(c.Conn()); waiting != 0 || held != 0 {
			t.Errorf("at the end %d wait and %d are held", waiting, held)
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
		check(t, open2(t, c))
	})
}

func open2(t *testing.T, c *hubtest.Client) error {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.StartCall(ctx, &wire.OutCall{Name: "Stream", Kind: wire.ServerStream, Args: []any{"x"}})
	cancel()
	if err != nil {
		return err
	}
	return r.Close()
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

// A handler's context is one that package context knows: children end with it,
// and need no goroutine.
func TestHandlerContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 3)
		hub := newHub(nil, hubwire.Command[hubwire.None]("Do").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error {
			if _, ok := ctx.Deadline(); ok {
				t.Error("a deadline")
			}
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			stop := context.AfterFunc(ctx, func() { ended <- ctx.Err() })
			defer stop()
			n := runtime.NumGoroutine()
			for range 10 {
				c, cancel := context.WithCancel(ctx)
				defer cancel()
				_ = c
			}
			if more := runtime.NumGoroutine() - n; more > 0 {
				t.Errorf("%d goroutines for children", more)
			}
			<-child.Done()
			ended <- child.Err()
			ended <- ctx.Err()
			return nil
		}))
		c := hubtest.New(t, hub).Dial(t)
		check(t, hubwire.Command[hubwire.None]("Do").Send(t.Context(), c, hubwire.None{}))
		synctest.Wait()
		c.Drop()
		for range 3 {
			if err := <-ended; err != context.Canceled {
				t.Errorf("ended with %v", err)
			}
		}
	})
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
	if got := d.take(); got != "slow, 0, 1, 2" {
		t.Errorf("began: %s", got)
	}
}
