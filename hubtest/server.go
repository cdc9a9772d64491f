package hubtest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A Server serves a hub in memory. All methods may be called at the same time.
type Server struct {
	hub  *hubwire.Hub
	crew crew

	mu      sync.Mutex // guards the following
	clients map[*Client]struct{}
}

// New serves hub until the test ends: then it closes the clients and waits for
// them, and fails the test where something of theirs does not end. The hub's
// table of handlers is complete from now on. Two Servers may serve one hub.
func New(t testing.TB, hub *hubwire.Hub) *Server {
	t.Helper()
	s := &Server{hub: hub, clients: map[*Client]struct{}{}}
	hub.Expose(jsonProtocol, msgpackProtocol)
	t.Cleanup(func() { s.close(t) })
	return s
}

// Hub is the hub that is served.
func (s *Server) Hub() *hubwire.Hub { return s.hub }

// DialOptions say who connects, and how. A nil *DialOptions and the zero value
// of each field mean the default.
type DialOptions struct {
	// User is who connects. Defaults to nobody: an anonymous user.
	User *hubwire.User
	// Protocol is how values are encoded: "json" (the default) or
	// "messagepack".
	Protocol string
	// ID is the public id of the connection. Defaults to one that no other
	// connection of the process has.
	ID string
	// Limit is how many bytes the transport takes before the client has read
	// them, as the buffers of a kernel do. Defaults to no limit; a client that
	// is stalled takes nothing then.
	Limit int
	// Request is what the hub sees of the request. Wire, Transport, Protocol
	// and Remote are filled in where they are empty.
	Request hubwire.Request
	// Context is the context of the connecting request, for its values.
	// Defaults to context.Background().
	Context context.Context
}

// Dial connects an anonymous client. It fails the test where the hub refuses.
// Each event goes to the handlers of its name, in the order in which the hub
// sent them; where there is none it waits for Next and its like.
func (s *Server) Dial(t testing.TB, handlers ...hubwire.ClientHandler) *Client {
	t.Helper()
	return s.must(t, nil, handlers)
}

// DialUser is Dial for a user with an id.
func (s *Server) DialUser(t testing.TB, id string, handlers ...hubwire.ClientHandler) *Client {
	t.Helper()
	return s.must(t, &DialOptions{User: &hubwire.User{ID: id}}, handlers)
}

// DialWith is Dial with options.
func (s *Server) DialWith(t testing.TB, opts *DialOptions, handlers ...hubwire.ClientHandler) *Client {
	t.Helper()
	return s.must(t, opts, handlers)
}

func (s *Server) must(t testing.TB, opts *DialOptions, handlers []hubwire.ClientHandler) *Client {
	t.Helper()
	c, err := s.TryDial(opts, handlers...)
	if err != nil {
		t.Fatalf("hubtest: dial: %v", err)
	}
	return c
}

var connIDs atomic.Uint64

// TryDial is DialWith that returns the hub's refusal.
func (s *Server) TryDial(opts *DialOptions, handlers ...hubwire.ClientHandler) (*Client, error) {
	var o DialOptions
	if opts != nil {
		o = *opts
	}
	p, err := protocolByName(o.Protocol)
	if err != nil {
		return nil, err
	}
	if o.ID == "" {
		o.ID = "conn" + strconv.FormatUint(connIDs.Add(1), 10)
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	req := o.Request
	for field, value := range map[*string]string{&req.Wire: "hubtest", &req.Transport: "memory", &req.Protocol: o.Protocol, &req.Remote: "memory"} {
		if *field == "" {
			*field = value
		}
	}
	if req.Protocol == "" {
		req.Protocol = "json"
	}
	c, err := newClient(s, o.ID, p, o.Limit, handlers)
	if err != nil {
		return nil, err
	}
	s.add(c)
	port, err := s.hub.Open(o.Context, c.link, o.ID, o.User, &req)
	if err != nil {
		c.link.kill(err, false)
		close(c.end.left)
		s.remove(c)
		return nil, err
	}
	c.end.open(port)
	return c, nil
}

func (s *Server) add(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = struct{}{}
}

func (s *Server) remove(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

func (s *Server) snapshot() (cs []*Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		cs = append(cs, c)
	}
	return cs
}

// close closes the clients and waits.
func (s *Server) close(t testing.TB) {
	for _, c := range s.snapshot() {
		c.Drop()
	}
	if !s.crew.wait(patience) {
		t.Errorf("hubtest: after the test a call, an upload or a client's handler still runs")
	}
}

// newClient makes a client that is not connected yet.
func newClient(s *Server, id string, p *protocol, limit int, handlers []hubwire.ClientHandler) (*Client, error) {
	c := &Client{server: s, id: id, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.link = &link{client: c, proto: p, limit: limit}
	c.end = &end{client: c, link: c.link, opts: s.hub.Options(), left: make(chan struct{})}
	c.handlers.crew = &s.crew
	for _, h := range handlers {
		if len(c.bound[h.Name()]) > 0 && h.Kind() == wire.ClientMethod {
			return nil, fmt.Errorf("hubtest: %s %s has two handlers", h.Kind(), h.Name())
		}
		if c.bound == nil {
			c.bound = map[string][]hubwire.ClientHandler{}
		}
		c.bound[h.Name()] = append(c.bound[h.Name()], h)
		if isBlock(h) {
			if c.link.blocked == nil {
				c.link.blocked = map[string]bool{}
			}
			c.link.blocked[h.Name()] = true
		}
	}
	return c, nil
}
