package wsconn_test

import (
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

func TestEcho(t *testing.T) {
	for name, cfg := range map[string]*wsconn.Config{"direct": nil, "ordinary": wsconn.Ordinary(wsconn.Config{})} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &server{cfg: cfg})
			p := dial(t, s, text("early")...)
			p.want(t, frame{op: 1, payload: "early"})
			p.send(t, join(text("one"), f(0x82, "two"), f(0x89, "ping"), text("three")))
			p.want(t, frame{op: 1, payload: "one"}, frame{op: 2, payload: "two"}, frame{op: 10, payload: "ping"}, frame{op: 1, payload: "three"})
			p.send(t, code(1001, "bye"))
			p.wantClosed(t, 1000)
			if err := s.end(t); err != nil {
				t.Error(err)
			}
		})
	}
}
