package hubtest_test

import (
	"fmt"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

func TestBackplaneInMemory(t *testing.T) {
	hubtest.TestBackplane(t, func(t testing.TB, n int) (all []hubwire.Backplane) {
		b := hubtest.NewBackplane()
		for range n {
			all = append(all, b.Node())
		}
		return all
	})
}

func TestWireInMemory(t *testing.T) {
	for _, opts := range []*hubtest.DialOptions{{}, {Protocol: "messagepack"}, {Limit: 1000}, {Protocol: "messagepack", Limit: 50}} {
		t.Run(fmt.Sprintf("%s/%d", opts.Protocol, opts.Limit), func(t *testing.T) {
			limit := 1 << 20
			if opts.Limit > 0 {
				limit = 8 << 10
			}
			hubtest.TestWire(t, hubtest.Wire{
				MaxMessage: limit,
				Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
					server := hubtest.New(t, hub)
					return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
						c, err := server.TryDial(opts, handlers...)
						if err != nil {
							return nil, err
						}
						return c, nil
					}
				},
			})
		})
	}
}
