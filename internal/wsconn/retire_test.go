package wsconn_test

import (
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// A connection that was replaced is closed with a close frame where one can be
// written, and without in the midst of another frame.
func TestRetire(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wrote []byte
		clean bool
	}{
		{"between frames", []byte{0x81, 1, 'a'}, true},
		{"inside a frame", []byte{0x81, 2, 'a'}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
				s := serve(t, &server{cfg: cfg})
				s.handler = func(*wsconn.Conn) wsconn.Handler { return &funcs{} }
				p := dial(t, s)
				c := <-s.conns
				if err := c.Write(tt.wrote); err != nil {
					t.Fatal(err)
				}
				c.Retire(wsconn.CloseNormal)
				c.Retire(wsconn.CloseNormal) // ends it: nobody waits for the peer
				if tt.clean {
					p.want(t, txt("a"), frame{op: 8, payload: "\x03\xe8"})
				}
				if f := p.recv(); f.err == nil {
					t.Errorf("got %v at the end", f)
				}
				p.Close()
				if err := s.end(t); err == nil {
					t.Error("a connection that was retired twice ended without an error")
				}
			})
		})
	}
}
