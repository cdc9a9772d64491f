package hubwire_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/hubwire/hubwire"
)

// A connection's context has the values of its request's context, those of
// net/http included, and not its end.
func TestContextValues(t *testing.T) {
	type key string
	srv, addr := &http.Server{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	base := context.WithValue(context.Background(), key("base"), "b")
	// As net/http makes it of BaseContext, for a connection and a request.
	ctx := context.WithValue(context.WithValue(base, http.ServerContextKey, srv), http.LocalAddrContextKey, addr)
	ctx, end := context.WithCancel(ctx)
	defer end()
	ctx, endRequest := context.WithCancel(ctx)
	defer endRequest()
	for name, ctx := range map[string]context.Context{
		"plain":      ctx,
		"middleware": context.WithValue(ctx, key("mine"), "m"),
		"no server":  context.WithValue(base, key("mine"), "m"),
		"hidden":     context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{Port: 1}),
		"no address": context.WithValue(ctx, http.LocalAddrContextKey, nil),
	} {
		t.Run(name, func(t *testing.T) {
			hub := hubwire.New(nil)
			hub.Expose(rawA, rawB)
			l := &rawLink{proto: rawA, room: -1, wake: make(chan struct{}), closed: make(chan struct{})}
			port, err := hub.Open(ctx, l, "id", nil, &hubwire.Request{Wire: "raw"})
			check(t, err)
			got := port.Conn().Context()
			for _, k := range []any{key("base"), key("mine"), key("none"), http.ServerContextKey, http.LocalAddrContextKey} {
				if got.Value(k) != ctx.Value(k) {
					t.Errorf("%v: %v, want %v", k, got.Value(k), ctx.Value(k))
				}
			}
			end()
			endRequest()
			if err := got.Err(); err != nil {
				t.Error(err)
			}
			port.End(nil)
			<-got.Done()
		})
	}
}
