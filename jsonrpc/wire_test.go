package jsonrpc_test

import (
	"net"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/jsonrpc"
)

type peer struct {
	*jsonrpc.Conn
	nc net.Conn
}

func (p peer) Drop() { _ = p.nc.Close() }

// The contract that every wire keeps, over TCP and over pipes that cannot be
// written to without waiting.
func TestWire(t *testing.T) {
	for _, f := range []jsonrpc.Framing{jsonrpc.Header, jsonrpc.Newline, jsonrpc.Length} {
		t.Run(f.String(), func(t *testing.T) {
			hubtest.TestWire(t, hubtest.Wire{Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
				return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
					a, b := net.Pipe()
					served := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: f, Order: jsonrpc.HubOrder})
					c := jsonrpc.NewConn(b, nil, &jsonrpc.Options{Framing: f, Handlers: handlers})
					t.Cleanup(func() {
						_ = b.Close()
						<-c.Done()
						<-served.Done()
					})
					return peer{c, b}, nil
				}
			}})
		})
	}
}
