package jsonrpc_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/jsonrpc"
)

// serveHTTP serves a mount until t ends.
func serveHTTP(t testing.TB, hub *hubwire.Hub, opts *jsonrpc.MountOptions, tls bool) *httptest.Server {
	mux := http.NewServeMux()
	jsonrpc.Mount(mux, "/jsonrpc", hub, opts)
	srv := httptest.NewUnstartedServer(mux)
	if tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		_ = hub.Shutdown(context.Background())
		srv.Close()
	})
	return srv
}

// A wsClient is a client whose socket can be cut.
type wsClient struct {
	*jsonrpc.Conn
	mu    sync.Mutex
	conns []net.Conn
}

func (c *wsClient) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		_ = nc.Close()
	}
}

func dialWebSocket(t testing.TB, srv *httptest.Server, opts *jsonrpc.DialOptions) (*wsClient, error) {
	c := &wsClient{}
	transport := srv.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			c.mu.Lock()
			c.conns = append(c.conns, nc)
			c.mu.Unlock()
		}
		return nc, err
	}
	opts.HTTPClient = &http.Client{Transport: transport}
	conn, err := jsonrpc.DialWebSocket(t.Context(), srv.URL+"/jsonrpc", nil, opts)
	if err != nil {
		return nil, err
	}
	c.Conn = conn
	t.Cleanup(func() {
		c.Drop()
		<-conn.Done()
		transport.CloseIdleConnections()
	})
	return c, nil
}

// The contract that every wire keeps, over WebSockets, with and without TLS.
func TestWireWebSocket(t *testing.T) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			hubtest.TestWire(t, hubtest.Wire{Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
				srv := serveHTTP(t, hub, nil, tls)
				return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
					c, err := dialWebSocket(t, srv, &jsonrpc.DialOptions{Conn: &jsonrpc.Options{Handlers: handlers}})
					if err != nil {
						return nil, err
					}
					return c, nil
				}
			}})
		})
	}
}
