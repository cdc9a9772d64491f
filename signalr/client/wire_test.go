package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
	"github.com/hubwire/hubwire/wire"
)

// The contract that every wire keeps, with this client at one end and package
// signalr at the other.
func TestWire(t *testing.T) {
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			hubtest.TestWire(t, hubtest.Wire{Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
				mux := http.NewServeMux()
				signalr.Mount(mux, "/hub", hub, &signalr.Options{DisconnectTimeout: time.Second}) // a lost poller is missed no sooner
				srv := httptest.NewServer(mux)
				t.Cleanup(func() {
					_ = hub.Shutdown(context.Background())
					srv.Close()
				})
				return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
					return dialWire(t, srv.URL+"/hub", w, handlers)
				}
			}})
		})
	}
}

// A droppable is a client whose network can be cut.
type droppable struct {
	*client.Conn
	net *network
}

func (d *droppable) Drop() { d.net.drop() }

// StartCall cuts off what SignalR puts in front of the hub's text, and the
// client leaves there, as .NET's does.
func (d *droppable) StartCall(ctx context.Context, c *wire.OutCall) (wire.Results, error) {
	r, err := d.Conn.StartCall(ctx, c)
	if err != nil {
		return nil, err
	}
	return plainErrors{r}, nil
}

type plainErrors struct{ wire.Results }

func (p plainErrors) Next(ctx context.Context, into any) error {
	err := p.Results.Next(ctx, into)
	if e, ok := err.(*hubwire.Error); ok {
		if _, text, ok := strings.Cut(e.Message, " HubException: "); ok {
			return &hubwire.Error{Code: e.Code, Message: text}
		}
	}
	return err
}

func dialWire(t testing.TB, url string, w way, handlers []hubwire.ClientHandler) (*droppable, error) {
	n := &network{transport: &http.Transport{}}
	n.transport.DialContext = n.dial
	c, err := client.Dial(t.Context(), url, &client.Options{
		HTTPClient: &http.Client{Transport: n.transport},
		Transports: w.transport, Protocol: w.protocol, Logger: quiet, Handlers: handlers,
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = c.Close()
		n.drop()
	})
	// SignalR refuses behind the handshake: whoever is answered is in.
	err = hubwire.Command[hubwire.None]("Nowhere").Call(t.Context(), c, hubwire.None{})
	if errors.Is(err, hubwire.ErrClosed) {
		<-c.Done()
		return nil, c.Err()
	}
	return &droppable{c, n}, nil
}

// A network is the TCP connections of one client.
type network struct {
	transport *http.Transport

	mu    sync.Mutex // guards the following
	open  []net.Conn
	ended bool
}

func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	n.open = append(n.open, c)
	return c, nil
}

func (n *network) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	for _, c := range n.open {
		_ = c.Close()
	}
	n.transport.CloseIdleConnections()
}
