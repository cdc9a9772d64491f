package jsonrpc_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

type traceKey struct{}

// tracedHub passes the trace context of a call on to whatever its handlers call.
func tracedHub(opts hubwire.Options) *hubwire.Hub {
	opts.Logger = quiet
	opts.TraceIn = func(ctx context.Context, headers map[string]string) context.Context {
		return context.WithValue(ctx, traceKey{}, headers)
	}
	opts.TraceOut = func(ctx context.Context) map[string]string {
		headers, _ := ctx.Value(traceKey{}).(map[string]string)
		return headers
	}
	hub := hubwire.New(&opts)
	hub.Handle(
		hubwire.Method[hubwire.None, string]("Trace").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (string, error) {
			headers, _ := ctx.Value(traceKey{}).(map[string]string)
			return headers["traceparent"] + " " + headers["tracestate"], nil
		}),
		hubwire.Method[hubwire.None, string]("Back").With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) {
			return hubwire.ClientMethod[hubwire.None, string]("Trace").Call(ctx, c, hubwire.None{})
		}),
	)
	return hub
}

// The trace context goes with every call, both ways; what cannot be one is
// ignored.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parent, state = "00-0a839483d09fbb3da88d8fccbf844b64-1dc14dde571472ac-00", "vendor=1"
		a, b := jsonrpc.Pipe()
		served := jsonrpc.NewConn(a, tracedHub(hubwire.Options{}), nil)
		c := jsonrpc.NewConn(b, tracedHub(hubwire.Options{}), nil)
		ctx := context.WithValue(t.Context(), traceKey{}, map[string]string{"traceparent": parent, "tracestate": state})
		trace, back := hubwire.Method[hubwire.None, string]("Trace"), hubwire.Method[hubwire.None, string]("Back")
		for _, m := range []hubwire.Method[hubwire.None, string]{trace, back} {
			if got, err := m.Call(ctx, c, hubwire.None{}); got != parent+" "+state || err != nil {
				t.Errorf("%s: %q, %v", m, got, err)
			}
			if got, err := m.Call(t.Context(), c, hubwire.None{}); got != " " || err != nil {
				t.Errorf("%s without: %q, %v", m, got, err)
			}
		}
		var got string
		batch := c.Batch()
		failed := jsonrpc.Add(batch, trace, hubwire.None{}, &got)
		if err := batch.Send(ctx); err != nil || *failed != nil || got != parent+" "+state {
			t.Errorf("a batch: %q, %v, %v", got, err, *failed)
		}
		_ = c.Close()
		<-c.Done()
		<-served.Done()
	})
	h := jsonrpc.Handler(tracedHub(hubwire.Options{}), nil)
	for members, want := range map[string]string{
		`,"traceparent":"hello"`:                     `"hello "`,
		`,"traceparent":5`:                           `" "`,
		`,"traceparent":{"a":[]},"tracestate":"x=1"`: `" "`,
		`,"traceparent":"p","tracestate":["x"]`:      `"p "`,
	} {
		if got := bodyOf(t, postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"Trace"`+members+`}`)); !strings.HasSuffix(got, `"result":`+want+`}`) {
			t.Errorf("%s: %s; want %s", members, got, want)
		}
	}
}

// Filters are the middleware: they are around every call, whatever its transport,
// and may refuse it before its arguments are looked at.
func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		hub := hubwire.New(&hubwire.Options{Logger: quiet, Filters: []hubwire.Filter{func(next hubwire.Invoke) hubwire.Invoke {
			return func(ctx context.Context, call *hubwire.Call) error {
				d.add("%s by %s", call.Name(), call.Conn().Request().Transport)
				if call.Name() == "Secret" {
					return hubwire.ErrUnauthorized
				}
				return next(ctx, call)
			}
		}}})
		hub.Handle(
			hubAdd.With(func(_ context.Context, _ *hubwire.Conn, p hubAddArgs) (int, error) { return p.A + p.B, nil }),
			hubwire.Method[int, int]("Secret").With(func(context.Context, *hubwire.Conn, int) (int, error) { return 1, nil }),
		)
		a, b := jsonrpc.Pipe()
		served := jsonrpc.NewConn(a, hub, nil)
		c := jsonrpc.NewConn(b, nil, nil)
		if n, err := hubAdd.Call(t.Context(), c, hubAddArgs{A: 1, B: 2}); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := hubwire.Method[string, int]("Secret").Call(t.Context(), c, "x"); err == nil || err.Error() != "Unauthorized." {
			t.Errorf("%v", err)
		}
		if got, want := d.take(), "Add by stream, Secret by stream"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		_ = c.Close()
		<-c.Done()
		<-served.Done()
		h := jsonrpc.Handler(hub, nil)
		if got := bodyOf(t, postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"Secret","params":["x"]}`)); !strings.Contains(got, `"error":{"code":7,"message":"Unauthorized."}`) {
			t.Error(got)
		}
		if got, want := d.take(), "Secret by POST"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}
