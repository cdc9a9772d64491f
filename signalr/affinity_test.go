package signalr_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
)

// Three servers behind a balancer that sends every request to the next one: all
// transports work, because a request goes on to the server of its connection.
func TestWithoutAffinity(t *testing.T) {
	const (
		shout hubwire.Method[string, string] = "Shout"
		heard hubwire.Event[string]          = "Heard"
	)
	backplane := hubtest.NewBackplane()
	urls := map[string]string{}
	key := []byte("0123456789abcdef0123456789abcdef")
	var targets []*url.URL
	for i := range 3 {
		hub := hubwire.New(&hubwire.Options{Name: "chat", Backplane: backplane.Node()})
		hub.Handle(shout.With(func(ctx context.Context, c *hubwire.Conn, s string) (string, error) {
			return s + "!", heard.Send(ctx, c.Hub().All(), s)
		}))
		mux := http.NewServeMux()
		name := fmt.Sprint("node", i)
		signalr.Mount(mux, "/chat", hub, &signalr.Options{Node: name, TokenKey: key, Peer: func(node string) string { return urls[node] }})
		s := httptest.NewServer(mux)
		t.Cleanup(func() {
			_ = hub.Shutdown(context.Background())
			s.CloseClientConnections()
			s.Close()
		})
		urls[name] = s.URL
		u, _ := url.Parse(s.URL)
		targets = append(targets, u)
	}
	var turn atomic.Uint32
	balancer := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(targets[turn.Add(1)%3])
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(func() {
		balancer.CloseClientConnections()
		balancer.Close()
	})
	for _, kind := range []client.Transports{client.WebSockets, client.ServerSentEvents, client.LongPolling} {
		t.Run(kind.String(), func(t *testing.T) {
			for i := range 4 {
				got := make(chan string, 10)
				c, err := client.Dial(t.Context(), balancer.URL+"/chat", &client.Options{Transports: kind, Handlers: []hubwire.ClientHandler{
					heard.With(func(_ context.Context, s string) error { got <- s; return nil }),
				}})
				if err != nil {
					t.Fatal(err)
				}
				for k := range 5 {
					what := fmt.Sprint(i, k)
					if back, err := shout.Call(t.Context(), c, what); back != what+"!" || err != nil {
						t.Fatalf("Shout = %q, %v", back, err)
					}
					if s := <-got; s != what {
						t.Errorf("heard %q, want %q", s, what)
					}
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
}
