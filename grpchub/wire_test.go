package grpchub_test

import (
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/hubtest"
)

// The contract that every wire keeps, with a client of grpc-go.
func TestWire(t *testing.T) {
	for _, enc := range []hubpb.Encoding{hubpb.Encoding_JSON, hubpb.Encoding_MSGPACK} {
		t.Run(enc.String(), func(t *testing.T) {
			hubtest.TestWire(t, hubtest.Wire{MaxMessage: 64<<10 - 100, Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
				x := serve(t, map[string]*hubwire.Hub{"hub": hub}, nil, nil)
				cc := x.conn(t)
				return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
					c, err := dial(cc, &hubpb.Hello{Hub: "hub", Encoding: enc}, handlers...)
					if err != nil {
						return nil, err
					}
					return c, nil
				}
			}})
		})
	}
}
