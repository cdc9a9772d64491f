package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
)

// inProcess is a hub of our own over TCP, in this process.
func inProcess(t testing.TB, opts *signalr.Options, handlers ...hubwire.Handler) string {
	hub := hubwire.New(&hubwire.Options{Logger: quiet})
	hub.Handle(handlers...)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub, opts)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		_ = hub.Shutdown(context.Background())
		srv.Close()
	})
	return srv.URL + "/hub"
}

// BenchmarkCall is a call there and back over a WebSocket, both ends in one
// process: allocations are those of both, of which the server has 3.
func BenchmarkCall(b *testing.B) {
	for _, protocol := range []string{"json", "messagepack"} {
		b.Run(protocol, func(b *testing.B) {
			url := inProcess(b, nil, same.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }))
			c, err := client.Dial(b.Context(), url, &client.Options{Protocol: protocol, Logger: quiet})
			check(b, err)
			defer c.Close()
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := same.Call(ctx, c, "hello"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEvent is an event from the hub to a handler, a thousand at a time.
func BenchmarkEvent(b *testing.B) {
	url := inProcess(b, nil, toCallerMany.With(func(ctx context.Context, c *hubwire.Conn, n int32) error {
		for range n {
			if err := receive.Send(ctx, c, "hello"); err != nil {
				return err
			}
		}
		return nil
	}))
	done := make(chan struct{}, 1)
	n := 0
	c, err := client.Dial(b.Context(), url, &client.Options{Logger: quiet, Handlers: []hubwire.ClientHandler{
		receive.With(func(context.Context, string) error {
			if n++; n%1000 == 0 {
				done <- struct{}{}
			}
			return nil
		}),
	}})
	check(b, err)
	defer c.Close()
	ctx := b.Context()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; i%1000 == 0 {
			check(b, toCallerMany.Send(ctx, c, 1000))
			<-done
		}
	}
}
