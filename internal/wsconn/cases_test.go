package wsconn_test

import (
	"errors"
	"net"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/internal/wsconn/cases"
)

// TestCases runs Autobahn's cases and hostile ones over each kind of connection, and cut in ways that
// TCP may cut them.
func TestCases(t *testing.T) {
	all := append(cases.Autobahn(), cases.Hostile()...)
	ordinary := wsconn.Ordinary(wsconn.Config{})
	t.Run("direct", func(t *testing.T) { walk(t, all, start(t, nil), 0) })
	t.Run("direct in bytes", func(t *testing.T) { walk(t, all, start(t, nil), 1) })
	t.Run("direct in 997", func(t *testing.T) { walk(t, all, start(t, nil), 997) })
	t.Run("ordinary", func(t *testing.T) { walk(t, all, start(t, ordinary), 0) })
	t.Run("TLS", func(t *testing.T) {
		s := serve(t, &server{})
		s.StartTLS()
		walk(t, all, s, 0)
	})
	t.Run("pipe in bytes", func(t *testing.T) {
		s := serve(t, &server{})
		l := newPipes()
		s.dialer = l.dial
		s.Listener.Close()
		s.Listener = l
		s.Start()
		walk(t, all, s, 1)
	})
}

func start(t *testing.T, cfg *wsconn.Config) *server {
	s := serve(t, &server{cfg: cfg})
	s.Start()
	return s
}

func walk(t *testing.T, cs []cases.Case, s *server, chop int) {
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) { run(t, c, dial(t, s), s, chop) })
	}
}

func run(t *testing.T, c cases.Case, p *peer, s *server, chop int) {
	if chop > 0 {
		p.Conn = chopped{p.Conn, chop}
	}
	for _, s := range c.Steps {
		// After an error the server may be gone before all has been sent.
		if _, err := p.Write(s.Bytes()); err != nil && c.Code == 0 {
			t.Fatal(err)
		}
		for _, f := range s.Want {
			p.want(t, frame{op: f.First & 0x0f, payload: f.Payload})
		}
	}
	want := c.Code
	if want == 0 {
		want = 1000
		p.send(t, code(1000, ""))
	}
	p.wantClosed(t, want)
	err := s.end(t)
	if want == 1000 {
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	} else if e, ok := errors.AsType[*wsconn.CloseError](err); !ok || e.Code != want {
		t.Errorf("Serve: %v, want a CloseError with %d", err, want)
	}
}

// A chopped writes at most n bytes at once; long input in larger pieces, to come
// to an end.
type chopped struct {
	net.Conn
	n int
}

func (c chopped) Write(p []byte) (done int, err error) {
	n := max(c.n, len(p)/2000)
	for done < len(p) && err == nil {
		var m int
		m, err = c.Conn.Write(p[done:min(done+n, len(p))])
		done += m
	}
	return done, err
}
