package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
)

// Over TLS, where everything but the WebSocket is HTTP/2, and with a Timeout of
// the user's client, which does not count for what stays open.
func TestTLS(t *testing.T) {
	hub := hubwire.New(&hubwire.Options{Logger: quiet})
	hub.Handle(
		same.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }),
		sleep.With(func(_ context.Context, _ *hubwire.Conn, ms int32) (int32, error) {
			time.Sleep(time.Duration(ms) * time.Millisecond)
			return ms, nil
		}),
	)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub, nil)
	versions := make(chan string, 100)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		versions <- r.Proto
		mux.ServeHTTP(w, r)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			mine := srv.Client()
			mine.Timeout = 300 * time.Millisecond
			c, err := client.Dial(t.Context(), strings.Replace(srv.URL, "https", "wss", 1)+"/hub", &client.Options{
				HTTPClient: mine, Transports: w.transport, Protocol: w.protocol, Logger: quiet,
			})
			check(t, err)
			equal(t, <-versions, "HTTP/2.0")
			if v := <-versions; (v == "HTTP/1.1") != (w.transport == client.WebSockets) {
				t.Errorf("%v over %s", w.transport, v)
			}
			equal(t, result[int32](t)(sleep.Call(t.Context(), c, 500)), 500)
			equal(t, result[string](t)(same.Call(t.Context(), c, "x")), "x")
			check(t, c.Close())
			for len(versions) > 0 {
				<-versions
			}
		})
	}
	check(t, hub.Shutdown(t.Context()))
}
