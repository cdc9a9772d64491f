package hubwire_test

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

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
