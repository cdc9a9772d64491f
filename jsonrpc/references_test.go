package jsonrpc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// both runs a story between two ends, in every notation. The hub answers at the
// far end; near calls it.
func both(t *testing.T, handlers func() []hubwire.Handler, story func(t *testing.T, near, far *jsonrpc.Conn)) {
	for _, n := range []jsonrpc.Notation{jsonrpc.JSON, jsonrpc.MessagePack, jsonrpc.NerdbankMessagePack} {
		t.Run(n.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := hubwire.New(&hubwire.Options{DetailedErrors: true, Logger: slog.New(slog.DiscardHandler)})
				hub.Handle(handlers()...)
				a, b := net.Pipe()
				opts := jsonrpc.StreamJsonRpc()
				opts.Notation = n
				far := jsonrpc.NewConn(a, hub, opts)
				near := jsonrpc.NewConn(b, nil, opts)
				story(t, near, far)
				_ = near.Close()
				<-far.Done()
				<-near.Done()
			})
		})
	}
}

type job struct {
	Steps    int
	Progress jsonrpc.Progress[int]
	Inside   map[string][]jsonrpc.Progress[string]
}

func TestProgress(t *testing.T) {
	const run hubwire.Method[job, int] = "Run"
	both(t, func() []hubwire.Handler {
		return []hubwire.Handler{run.With(func(ctx context.Context, _ *hubwire.Conn, j job) (int, error) {
			for i := range j.Steps {
				if err := j.Progress.Report(ctx, i+1); err != nil {
					return 0, err
				}
			}
			for _, p := range j.Inside["x"] {
				if err := p.ByName().Report(ctx, "inside"); err != nil {
					return 0, err
				}
			}
			if !j.Progress.Wanted() {
				return -j.Steps, nil
			}
			return j.Steps, nil
		})}
	}, func(t *testing.T, near, _ *jsonrpc.Conn) {
		var seen []int
		var inside []string
		p := jsonrpc.NewProgress(func(n int) { seen = append(seen, n) })
		in := jsonrpc.NewProgress(func(s string) { inside = append(inside, s) })
		for range 2 { // the same progress may be sent again
			n, err := run.Call(t.Context(), near, job{Steps: 3, Progress: p, Inside: map[string][]jsonrpc.Progress[string]{"x": {in, {}}}})
			if n != 3 || err != nil {
				t.Fatal(n, err)
			}
		}
		if !slices.Equal(seen, []int{1, 2, 3, 1, 2, 3}) || !slices.Equal(inside, []string{"inside", "inside"}) {
			t.Errorf("seen %v, inside %v", seen, inside)
		}
		if n, err := run.Call(t.Context(), near, job{Steps: 2}); n != -2 || err != nil {
			t.Error(n, err)
		}
		if err := hubwire.Command[job]("Run").Send(t.Context(), near, job{Progress: p}); err == nil || !strings.Contains(err.Error(), "notification") {
			t.Errorf("a notification with a progress: %v", err)
		}
	})
}

// numbers is a generator that tells of its end.
func numbers(n int, ended *atomic.Int32) func(context.Context) iter.Seq2[int, error] {
	return func(ctx context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			defer ended.Add(1)
			for i := 1; i <= n || n < 0; i++ {
				if !yield(i, nil) {
					return
				}
			}
		}
	}
}

type with struct {
	hubwire.Args
	N        int                 `json:"n"`
	MinBatch hubwire.Opt[int]    `json:"minBatch"`
	Ahead    hubwire.Opt[int]    `json:"ahead"`
	Prefetch hubwire.Opt[int]    `json:"prefetch"`
	Label    hubwire.Opt[string] `json:"label"`
}

type report struct {
	Title string
	Rows  jsonrpc.Sequence[int]
	More  *jsonrpc.Sequence[int]
}

func TestSequence(t *testing.T) {
	const (
		count  hubwire.Method[with, jsonrpc.Sequence[int]] = "Count"
		getRep hubwire.Method[int, report]                 = "GetReport"
		sum    hubwire.Method[jsonrpc.Sequence[int], int]  = "Sum"
		first  hubwire.Method[jsonrpc.Sequence[int], int]  = "First"
		fails  hubwire.Method[int, jsonrpc.Sequence[int]]  = "Fails"
	)
	var ended atomic.Int32
	both(t, func() []hubwire.Handler {
		return []hubwire.Handler{
			count.With(func(_ context.Context, _ *hubwire.Conn, w with) (jsonrpc.Sequence[int], error) {
				return jsonrpc.NewSequence(numbers(w.N, &ended), &jsonrpc.SequenceOptions{MinBatch: w.MinBatch.Value, ReadAhead: w.Ahead.Value, Prefetch: w.Prefetch.Value}), nil
			}),
			getRep.With(func(_ context.Context, _ *hubwire.Conn, n int) (report, error) {
				more := jsonrpc.NewSequence(numbers(2*n, &ended), nil)
				return report{Title: "r", Rows: jsonrpc.NewSequence(numbers(n, &ended), nil), More: &more}, nil
			}),
			sum.With(func(ctx context.Context, _ *hubwire.Conn, s jsonrpc.Sequence[int]) (total int, _ error) {
				for v, err := range s.All(ctx) {
					if err != nil {
						return 0, err
					}
					total += v
				}
				return total, nil
			}),
			first.With(func(ctx context.Context, _ *hubwire.Conn, s jsonrpc.Sequence[int]) (int, error) {
				for v, err := range s.All(ctx) {
					return v, err
				}
				return 0, errors.New("empty")
			}),
			fails.With(func(_ context.Context, _ *hubwire.Conn, n int) (jsonrpc.Sequence[int], error) {
				return jsonrpc.NewSequence(func(context.Context) iter.Seq2[int, error] {
					return func(yield func(int, error) bool) {
						for i := range n {
							if !yield(i, nil) {
								return
							}
						}
						if n < 5 {
							yield(0, errors.New("broken"))
							return
						}
						panic("broken")
					}
				}, nil), nil
			}),
		}
	}, func(t *testing.T, near, _ *jsonrpc.Conn) {
		ctx := t.Context()
		ended.Store(0)
		for _, o := range [][3]int{{}, {3}, {0, 4}, {0, 0, 2}, {0, 0, 10}, {2, 3, 1}, {20}} {
			w := with{N: 7, MinBatch: hubwire.Some(o[0]), Ahead: hubwire.Some(o[1]), Prefetch: hubwire.Some(o[2])}
			s, err := count.Call(ctx, near, w)
			if err != nil {
				t.Fatal(err)
			}
			if got := collect(t, s.All(ctx)); !slices.Equal(got, []int{1, 2, 3, 4, 5, 6, 7}) {
				t.Errorf("%v: %v", o, got)
			}
		}
		synctest.Wait()
		if n := ended.Swap(0); n != 7 {
			t.Errorf("%d of 7 generators have ended", n)
		}

		// Left early, in a loop and before it; an endless one.
		s, _ := count.Call(ctx, near, with{N: -1})
		for v, err := range s.All(ctx) {
			if err != nil || v == 3 {
				break
			}
		}
		unread, err := count.Call(ctx, near, with{N: -1, MinBatch: hubwire.Some(1), Ahead: hubwire.Some(5)})
		if err != nil {
			t.Fatal(err)
		}
		unread.Close()
		synctest.Wait()
		if n := ended.Swap(0); n != 2 {
			t.Errorf("%d of 2 generators have ended", n)
		}

		r, err := getRep.Call(ctx, near, 2)
		if err != nil || r.Title != "r" {
			t.Fatal(r, err)
		}
		if more, rows := collect(t, r.More.All(ctx)), collect(t, r.Rows.All(ctx)); len(more) != 4 || len(rows) != 2 {
			t.Error(more, rows)
		}

		if n, err := sum.Call(ctx, near, jsonrpc.NewSequence(numbers(100, &ended), &jsonrpc.SequenceOptions{Prefetch: 3})); n != 5050 || err != nil {
			t.Error(n, err)
		}
		synctest.Wait()
		ended.Store(0)
		if n, err := first.Call(ctx, near, jsonrpc.NewSequence(numbers(-1, &ended), nil)); n != 1 || err != nil {
			t.Error(n, err)
		}
		synctest.Wait()
		if n := ended.Swap(0); n != 1 {
			t.Error("the generator of an argument that was left is still there")
		}

		for n, code := range map[int]int64{2: jsonrpc.CodeFailed, 5: jsonrpc.CodeInternal} {
			s, err = fails.Call(ctx, near, n)
			if err != nil {
				t.Fatal(err)
			}
			seen := 0
			for _, err := range s.All(ctx) {
				if err == nil {
					seen++
				} else if e, ok := errors.AsType[*jsonrpc.Error](err); !ok || e.Code != code {
					t.Errorf("the sequence failed with %v", err)
				}
			}
			if seen != n {
				t.Errorf("%d of %d values", seen, n)
			}
		}

		// Ended by its context while a value is awaited.
		stop, cancel := context.WithCancel(ctx)
		defer cancel()
		s, _ = hubwire.Method[with, jsonrpc.Sequence[int]]("Count").Call(ctx, near, with{N: 1, MinBatch: hubwire.Some(1)})
		for range s.All(stop) {
			cancel()
		}
	})
}

func collect(t *testing.T, seq iter.Seq2[int, error]) (all []int) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Error(err)
			return nil
		}
		all = append(all, v)
	}
	return all
}

// A counter is an object.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) IncrementAsync(_ context.Context, _ *hubwire.Conn, by int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by < 0 {
		return 0, errors.New("by must not be negative")
	}
	c.n += by
	return c.n, nil
}

const (
	increment hubwire.Method[int, int]             = "IncrementAsync"
	short     hubwire.Method[int, int]             = "Increment"
	name      hubwire.Method[hubwire.None, string] = "NameAsync"
)

func newCounter(n int, disposed *atomic.Int32, scoped bool) jsonrpc.Object {
	return jsonrpc.NewObject(&jsonrpc.ObjectOptions{
		CallScoped: scoped,
		Dispose:    func() { disposed.Add(1) },
		Interfaces: map[int32][]hubwire.Handler{7: {name.With(func(context.Context, *hubwire.Conn, hubwire.None) (string, error) { return "counter", nil })}},
	}, hubwire.Methods(&counter{n: n}, nil)...)
}

type twoCounters struct {
	hubwire.Args
	A, B jsonrpc.Object
}

func TestObject(t *testing.T) {
	const (
		get   hubwire.Method[int, jsonrpc.Object]            = "Get"
		use   hubwire.Method[twoCounters, int]               = "Use"
		back  hubwire.Method[jsonrpc.Object, jsonrpc.Object] = "PassBack"
		keep  hubwire.Method[jsonrpc.Object, int]            = "Keep"
		later hubwire.Method[hubwire.None, int]              = "Later"
		fail  hubwire.Method[jsonrpc.Object, int]            = "Fail"
	)
	var disposed atomic.Int32
	both(t, func() []hubwire.Handler {
		var kept jsonrpc.Object
		return []hubwire.Handler{
			get.With(func(_ context.Context, _ *hubwire.Conn, n int) (jsonrpc.Object, error) {
				if n < 0 {
					return jsonrpc.Object{}, nil
				}
				return newCounter(n, &disposed, true), nil // there is no scope in a result
			}),
			use.With(func(ctx context.Context, _ *hubwire.Conn, in twoCounters) (int, error) {
				a, err := increment.Call(ctx, in.A, 1)
				if err != nil {
					return 0, err
				}
				b, err := increment.Call(ctx, in.B, 2)
				return a + b, errors.Join(err, in.A.Dispose(ctx), in.B.Dispose(ctx))
			}),
			back.With(func(_ context.Context, _ *hubwire.Conn, o jsonrpc.Object) (jsonrpc.Object, error) { return o, nil }),
			keep.With(func(ctx context.Context, _ *hubwire.Conn, o jsonrpc.Object) (int, error) {
				kept = o
				return increment.Call(ctx, o, 1)
			}),
			later.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (int, error) {
				return increment.Call(ctx, kept, 1)
			}),
			fail.With(func(context.Context, *hubwire.Conn, jsonrpc.Object) (int, error) { return 0, errors.New("no") }),
		}
	}, func(t *testing.T, near, _ *jsonrpc.Conn) {
		ctx := t.Context()
		o, err := get.Call(ctx, near, 10)
		if err != nil {
			t.Fatal(err)
		}
		for want, m := range map[int]hubwire.Method[int, int]{11: increment} {
			if n, err := m.Call(ctx, o, 1); n != want || err != nil {
				t.Error(n, err)
			}
		}
		if n, err := short.Call(ctx, o, 4); n != 15 || err != nil {
			t.Error(n, err)
		}
		if _, err := increment.Call(ctx, o, -1); err == nil || err.Error() != "by must not be negative" {
			t.Error(err)
		}
		if got := o.Interfaces(); !slices.Equal(got, []int32{7}) {
			t.Error("interfaces", got)
		}
		if s, err := name.Call(ctx, o.Interface(7), hubwire.None{}); s != "counter" || err != nil {
			t.Error(s, err)
		}
		var e *jsonrpc.Error
		if _, err := name.Call(ctx, o, hubwire.None{}); !errors.As(err, &e) || e.Code != jsonrpc.CodeMethodNotFound {
			t.Error("a method of another interface:", err)
		}
		if err := errors.Join(o.Dispose(ctx), o.Dispose(ctx), o.Release(ctx)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := disposed.Swap(0); n != 1 {
			t.Errorf("disposed %d times", n)
		}
		if _, err := increment.Call(ctx, o, 1); err == nil {
			t.Error("an object that was given back can be called")
		}
		if null, err := get.Call(ctx, near, -1); err != nil || !null.Null() {
			t.Error(null, err)
		} else if _, err := increment.Call(ctx, null, 1); err == nil {
			t.Error("null can be called")
		}

		// An argument is given back by who got it, or with the request.
		if n, err := use.Call(ctx, near, twoCounters{A: newCounter(1, &disposed, false), B: newCounter(2, &disposed, false)}); n != 6 || err != nil {
			t.Error(n, err)
		}
		synctest.Wait()
		if n := disposed.Swap(0); n != 2 {
			t.Errorf("disposed %d times", n)
		}
		for _, scoped := range []bool{true, false} {
			if n, err := keep.Call(ctx, near, newCounter(1, &disposed, scoped)); n != 2 || err != nil {
				t.Error(n, err)
			}
			n, err := later.Call(ctx, near, hubwire.None{})
			if scoped && err == nil || !scoped && (n != 3 || err != nil) {
				t.Errorf("scoped %v: %d, %v", scoped, n, err)
			}
		}
		if _, err := fail.Call(ctx, near, newCounter(1, &disposed, false)); err == nil || err.Error() != "no" {
			t.Error(err)
		}

		// What goes back is what was lent, and a method of the object is a method of
		// this end then.
		theirs, err := get.Call(ctx, near, 1)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.Call(ctx, near, theirs)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := increment.Call(ctx, again, 5); n != 6 || err != nil {
			t.Error(n, err)
		}
		mine, err := back.Call(ctx, near, newCounter(1, &disposed, false))
		if err != nil || mine.Null() {
			t.Fatal(err)
		}
		if _, err := increment.Call(ctx, mine, 1); err == nil {
			t.Error("this end's own object is called over the connection")
		}
	})
}

func TestObserver(t *testing.T) {
	type watching struct {
		hubwire.Args
		Observer jsonrpc.Observer[int]
		N        int
		Fail     bool
	}
	const (
		watch hubwire.Method[watching, hubwire.None]           = "Watch"
		get   hubwire.Method[hubwire.None, jsonrpc.Disposable] = "GetDisposable"
	)
	var disposed atomic.Int32
	both(t, func() []hubwire.Handler {
		return []hubwire.Handler{
			watch.With(func(ctx context.Context, _ *hubwire.Conn, w watching) (hubwire.None, error) {
				for i := range w.N {
					if err := w.Observer.Next(ctx, i); err != nil {
						return hubwire.None{}, err
					}
				}
				if w.Fail {
					return hubwire.None{}, w.Observer.Fail(ctx, fmt.Errorf("outer: %w", errors.New("inner")))
				}
				return hubwire.None{}, w.Observer.Completed(ctx)
			}),
			get.With(func(context.Context, *hubwire.Conn, hubwire.None) (jsonrpc.Disposable, error) {
				return jsonrpc.NewDisposable(func() { disposed.Add(1) }), nil
			}),
		}
	}, func(t *testing.T, near, _ *jsonrpc.Conn) {
		ctx := t.Context()
		for _, fail := range []bool{false, true} {
			var seen []int
			var end error = errors.New("none")
			o := jsonrpc.NewObserver(func(n int) { seen = append(seen, n) }, func(err error) { end = err })
			if _, err := watch.Call(ctx, near, watching{Observer: o, N: 3, Fail: fail}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if !slices.Equal(seen, []int{0, 1, 2}) {
				t.Error(seen)
			}
			if fail {
				if d := jsonrpc.RemoteData(end); end.Error() != "outer: inner" || d == nil || d.Inner == nil || d.Inner.Message != "inner" {
					t.Errorf("%v, %+v", end, d)
				}
			} else if end != nil {
				t.Error(end)
			}
		}
		d, err := get.Call(ctx, near, hubwire.None{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Dispose(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := disposed.Swap(0); n != 1 {
			t.Errorf("disposed %d times", n)
		}
	})
}

// References have no place where nobody could keep them.
func TestReferencesElsewhere(t *testing.T) {
	hub := hubwire.New(nil)
	a, b := net.Pipe()
	far, near := jsonrpc.NewConn(a, hub, nil), jsonrpc.NewConn(b, nil, nil)
	var disposed atomic.Int32
	if err := hubwire.Event[jsonrpc.Object]("E").Send(t.Context(), far.Hub(), newCounter(1, &disposed, false)); err == nil {
		t.Error("an event carries an object")
	}
	if _, err := hubwire.ClientMethod[any, int]("Q").Call(t.Context(), far.Hub(), []any{newCounter(1, &disposed, false)}); err == nil {
		t.Error("a question carries an object")
	}
	_ = near.Close()
	<-far.Done()
}
