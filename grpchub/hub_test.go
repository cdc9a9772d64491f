package grpchub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hubwire/hubwire"
)

type note struct {
	hubwire.Args
	Who, Text string
}

const (
	echo    hubwire.Method[string, string]                                 = "Echo"
	whoami  hubwire.Method[hubwire.None, string]                           = "WhoAmI"
	fails   hubwire.Command[string]                                        = "Fails"
	join    hubwire.Command[string]                                        = "Join"
	say     hubwire.Command[note]                                          = "Say"
	count   hubwire.ServerStream[int, int]                                 = "Count"
	sum     hubwire.ClientStream[int, int]                                 = "Sum"
	double  hubwire.Method[*wrapperspb.Int64Value, *wrapperspb.Int64Value] = "Double"
	said    hubwire.Event[note]                                            = "Said"
	doubled hubwire.Event[*wrapperspb.Int64Value]                          = "Doubled"
	ask     hubwire.Method[string, string]                                 = "Ask"
	answer  hubwire.ClientMethod[string, string]                           = "Answer"
)

// newHub makes the hub of the tests: Say goes to the group "room".
func newHub(opts *hubwire.Options) *hubwire.Hub {
	o := hubwire.Options{}
	if opts != nil {
		o = *opts
	}
	o.Logger = slog.New(slog.DiscardHandler)
	h := hubwire.New(&o)
	h.Handle(
		echo.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }),
		whoami.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) {
			r := c.Request()
			return fmt.Sprintf("%s %s %s %s", c.User().ID, r.Wire, r.Transport, r.Protocol), nil
		}),
		fails.With(func(_ context.Context, _ *hubwire.Conn, how string) error {
			switch how {
			case "plain":
				return errors.New("secret")
			case "panic":
				panic("secret")
			}
			return &hubwire.Error{Code: hubwire.CodeNotFound, Message: "there is no " + how, Data: wrapperspb.String("detail")}
		}),
		join.With(func(ctx context.Context, c *hubwire.Conn, g string) error { return c.Join(ctx, g) }),
		say.With(func(ctx context.Context, c *hubwire.Conn, n note) error {
			return said.Send(ctx, c.Hub().Group("room"), n)
		}),
		count.With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 0; i < n && yield(i, nil); i++ {
				}
				if n == 3 {
					yield(0, hubwire.Errorf(hubwire.CodeAborted, "three is too many"))
				}
			}
		}),
		sum.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (n int, err error) {
			for v, err := range items {
				if err != nil {
					return 0, err
				}
				if n += v; v < 0 {
					break
				}
			}
			return n, nil
		}),
		double.With(func(ctx context.Context, c *hubwire.Conn, v *wrapperspb.Int64Value) (*wrapperspb.Int64Value, error) {
			out := wrapperspb.Int64(2 * v.GetValue())
			return out, doubled.Send(ctx, c.Hub().All(), out)
		}),
		ask.With(func(ctx context.Context, c *hubwire.Conn, q string) (string, error) { return answer.Call(ctx, c, q) }),
	)
	return h
}

// eof is the proper end of a stream.
func eof(err error) bool { return errors.Is(err, io.EOF) }
