package signalr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"testing"

	"github.com/hubwire/hubwire"
)

// The names of the hub that the tests talk to.
type add struct {
	hubwire.Args
	A, B int
}

const (
	echo     hubwire.Method[string, string]          = "Echo"
	plus     hubwire.Method[add, int]                = "Add"
	nothing  hubwire.Command[hubwire.None]           = "Nothing"
	fail     hubwire.Method[string, string]          = "Fail"
	failHub  hubwire.Method[string, string]          = "FailHub"
	boom     hubwire.Command[hubwire.None]           = "Boom"
	abort    hubwire.Command[hubwire.None]           = "Abort"
	hang     hubwire.Command[hubwire.None]           = "Hang"
	block    hubwire.Command[hubwire.None]           = "Block"
	nan      hubwire.Method[hubwire.None, float64]   = "NaN"
	count    hubwire.ServerStream[int, int]          = "Count"
	forever  hubwire.ServerStream[hubwire.None, int] = "Forever"
	nans     hubwire.ServerStream[hubwire.None, any] = "NaNs"
	sum      hubwire.ClientStream[int, int]          = "Sum"
	takeTwo  hubwire.ClientStream[int, int]          = "TakeTwo"
	problem  hubwire.ClientStream[int, string]       = "Problem"
	mirror   hubwire.BidiStream[int, int]            = "Mirror"
	toMe     hubwire.Command[string]                 = "ToMe"
	ask      hubwire.Method[string, string]          = "Ask"
	askOther hubwire.Method[askArgs, string]         = "AskOther"
	secret   hubwire.Method[hubwire.None, string]    = "Secret"
	whoami   hubwire.Method[hubwire.None, string]    = "WhoAmI"
	user     hubwire.Method[hubwire.None, string]    = "User"
	receive  hubwire.Event[string]                   = "Receive"
	answer   hubwire.ClientMethod[string, string]    = "Answer"
	list     hubwire.Method[hubwire.List, int]       = "List"
)

type askArgs struct {
	hubwire.Args
	ID, Question string
}

// An InvalidOperationException is an ordinary error with a name of its own.
type InvalidOperationException struct{ text string }

func (e *InvalidOperationException) Error() string { return e.text }

// A spy is a hub that remembers how its connections ended.
type spy struct {
	*hubwire.Hub
	gone  chan error
	block chan struct{} // Block waits for its end
}

// newHub makes the hub of the tests. opts may be nil; its callbacks are kept.
func newHub(t testing.TB, opts *hubwire.Options) *spy {
	s := &spy{gone: make(chan error, 1000), block: make(chan struct{})}
	o := hubwire.Options{}
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	then := o.Disconnect
	o.Disconnect = func(ctx context.Context, c *hubwire.Conn, cause error) {
		if then != nil {
			then(ctx, c, cause)
		}
		s.gone <- cause
	}
	h := hubwire.New(&o)
	h.Handle(
		echo.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }),
		plus.With(func(_ context.Context, _ *hubwire.Conn, in add) (int, error) { return in.A + in.B, nil }),
		nothing.With(func(context.Context, *hubwire.Conn, hubwire.None) error { return nil }),
		fail.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) {
			return "", &InvalidOperationException{s}
		}),
		failHub.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) {
			return "", fmt.Errorf("wrapped: %w", &hubwire.Error{Message: s})
		}),
		boom.With(func(context.Context, *hubwire.Conn, hubwire.None) error { panic("boom") }),
		abort.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) error { c.Abort(); return nil }),
		hang.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error { <-ctx.Done(); return ctx.Err() }),
		block.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error {
			select {
			case <-s.block:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}),
		nan.With(func(context.Context, *hubwire.Conn, hubwire.None) (float64, error) { return math.NaN(), nil }),
		count.With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
				if n == 3 {
					yield(0, errors.New("stream failed"))
				}
			}
		}),
		forever.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				yield(0, nil)
				<-ctx.Done()
			}
		}),
		nans.With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[any, error] {
			return func(yield func(any, error) bool) { yield(math.Inf(1), nil) }
		}),
		sum.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (int, error) {
			n := 0
			for i, err := range items {
				if err != nil {
					return 0, err
				}
				n += i
			}
			return n, nil
		}),
		takeTwo.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (int, error) {
			n, sum := 0, 0
			for i, err := range items {
				if err != nil {
					return 0, err
				}
				sum += i
				if n++; n == 2 {
					break
				}
			}
			return sum, nil
		}),
		problem.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (string, error) {
			for _, err := range items {
				if err != nil {
					return err.Error(), nil
				}
			}
			return "none", nil
		}),
		mirror.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i, err := range items {
					if !yield(2*i, err) {
						return
					}
				}
			}
		}),
		toMe.With(func(ctx context.Context, c *hubwire.Conn, s string) error { return receive.Send(ctx, c, s) }),
		ask.With(func(ctx context.Context, c *hubwire.Conn, q string) (string, error) { return answer.Call(ctx, c, q) }),
		askOther.With(func(ctx context.Context, c *hubwire.Conn, in askArgs) (string, error) {
			return answer.Call(ctx, c.Hub().Conn(in.ID), in.Question)
		}),
		secret.With(func(context.Context, *hubwire.Conn, hubwire.None) (string, error) { return "secret", nil }).Use(func(hubwire.Invoke) hubwire.Invoke {
			return func(context.Context, *hubwire.Call) error { return hubwire.ErrUnauthorized }
		}),
		whoami.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) { return c.ID(), nil }),
		user.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) { return c.User().ID, nil }),
		list.With(func(_ context.Context, _ *hubwire.Conn, in hubwire.List) (int, error) { return len(in), nil }),
	)
	s.Hub = h
	return s
}

// wantGone waits for Disconnect and checks the text of its cause; "" is none.
func (s *spy) wantGone(t testing.TB, text string) {
	t.Helper()
	got := ""
	if err := <-s.gone; err != nil {
		got = err.Error()
	}
	if got != text {
		t.Errorf("Disconnect was told %q, want %q", got, text)
	}
}

type contextT = context.Context
