package signalr

import (
	"encoding/binary"
	"net/http"

	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

func isWebSocket(r *http.Request) bool { return wsconn.IsUpgrade(r) }

// refuseFull answers who cannot be let in now.
func (m *mount) refuseFull(w http.ResponseWriter) {
	text, reason := "Too many connections", "full"
	if m.hub.Closing() {
		text, reason = "The server is shutting down", "closed"
	}
	m.refused(reason)
	m.refuse(w, http.StatusServiceUnavailable, text)
}

// webSocket starts a connection over a WebSocket (section 12.1). Without an id
// the client has skipped the negotiation.
func (m *mount) webSocket(w http.ResponseWriter, r *http.Request) {
	if !m.policy.Allowed(r) {
		m.hubOpts.Logger.Info("signalr: origin refused", "hub", m.hubOpts.Name, "origin", r.Header.Get("Origin"))
		m.missed(r, "the origin of its page is not among AllowedOrigins: "+r.Header.Get("Origin"))
		m.refused("origin")
		m.refuse(w, http.StatusForbidden, "Origin not allowed")
		return
	}
	c, fresh := m.begin(w, r, WebSockets)
	if !fresh {
		return
	}
	s := &socket{conn: c}
	if err := s.Upgrade(w, r, &wsconn.Config{SendBuffer: m.opts.SendBuffer}); err != nil {
		m.hubOpts.Logger.Error("signalr: upgrade failed", "hub", m.hubOpts.Name, "err", err)
		m.missed(r, err.Error())
		c.t = noTransport{}
		c.over(nil)
		return
	}
	if c.opening.stateful {
		c.stateful = newStateful(s)
		c.start(relay{c.stateful})
		m.sessions.keep(c.session)
	} else {
		c.start(s)
	}
	go s.serve() // ends when the connection has ended
}

// A socket is the WebSocket of a connection.
type socket struct {
	wsconn.Conn
	conn  *conn
	fresh bool // the reader is not the goroutine that shook hands
}

// serve is the socket's goroutine: it reads until the end.
func (s *socket) serve() {
	err := s.conn.safely(func() error {
		if in := s.conn.in; in != nil { // posted before the socket came
			if b, _ := in.take(); len(b) > 0 {
				_ = s.Data(b, false, false) // has no error
				if err := s.Idle(); err != nil {
					return err
				}
			}
		}
		return s.Serve(s)
	})
	switch r := s.conn.stateful; {
	case err == wsconn.ErrPassed:
	case r != nil && r.left(s):
	default:
		s.conn.over(err)
	}
}

// Pass makes another goroutine the reader: this one runs a call that waits.
func (s *socket) Pass() {
	s.Conn.Pass()
	go s.serve() // ends when the connection has ended, or with its own pass
}

// TryWrite writes what the socket takes.
func (s *socket) TryWrite(p []byte) (int, error) {
	n, err := s.Conn.TryWrite(p)
	if err != nil && s.conn.stateful.failed(s) {
		s.conn.marks.set(isLost)
	}
	return n, err
}

// Write writes all of p.
func (s *socket) Write(p []byte) error {
	err := s.Conn.Write(p)
	if err != nil && s.conn.stateful.failed(s) {
		s.conn.marks.set(isLost)
	}
	return err
}

// Unacked is how many bytes the hub keeps until they are acknowledged.
func (s *socket) Unacked() int { return s.conn.unacked() }

// Greeting is the answer to the handshake.
func (s *socket) Greeting() []byte { return s.conn.greeting() }

// Close ends the connection for the hub, or the socket alone.
func (s *socket) Close(reason error, reconnect bool) {
	if reason == wire.ErrLost {
		s.Abort()
		return
	}
	s.conn.close(reason, reconnect)
}

// Framing is how records are put on the socket.
func (s *socket) Framing() wire.Framing { return s.conn.framed().Framing }

func (s *socket) framings() *framings { return &socketFramings }

func (s *socket) bye() []byte { return wsconn.AppendClose(nil, wsconn.CloseNormal, "") }

func (s *socket) leave() { s.CloseSent(wsconn.CloseNormal) }

func (s *socket) abort() { s.Abort() }

func (s *socket) known() bool { return false }

// Control sends a frame of the WebSocket's own: a pong, or the answer to the
// client's close frame, behind which nothing is sent.
func (s *socket) Control(frame []byte) {
	c := s.conn
	closes := frame[0]&0x0F == wsconn.OpClose
	if r := c.stateful; r != nil && (closes && !r.parting(s) || r.socket.Load() != s) {
		return
	}
	if closes {
		c.marks.set(isQuiet)
		c.forget()
		if c.marks.set(isSaid) {
			return // ours is on its way, and is answer enough
		}
	}
	if c.port != nil {
		c.port.Control(frame)
		if closes && isNormal(frame) {
			// The client has left, however long it keeps the socket.
			c.endAside(&ending{drain: true, cause: c.cause(nil)})
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == shaking || c.marks.has(isSaid) {
		_ = s.Write(frame) // a socket that has failed is noticed by its reader
	}
}

// isNormal reports whether a close frame says 1000, as the answer to a client's
// does.
func isNormal(frame []byte) bool {
	return len(frame) >= 4 && binary.BigEndian.Uint16(frame[2:]) == wsconn.CloseNormal
}

// Data takes what one frame brings.
func (s *socket) Data(p []byte, _, _ bool) error {
	if r := s.conn.stateful; r != nil {
		r.data(s, p)
		return nil
	}
	s.conn.data(p)
	return nil
}

// Idle is called when all that one read brought was taken.
func (s *socket) Idle() error {
	c := s.conn
	if r := c.stateful; r != nil && !r.idle(s) || r == nil && !c.idle() {
		return wsconn.ErrPassed
	}
	if !s.fresh && s.conn.port != nil {
		// The handshake and Connect have grown the stack to 4 KiB or more, and a
		// collection does not shrink it below: a new one has 2.
		s.fresh = true
		s.Pass()
		return wsconn.ErrPassed
	}
	return nil
}

// admit counts a connection, if there is room for one.
func (m *mount) admit() bool {
	if m.hub.Closing() {
		return false
	}
	if n := m.handshakes.Add(1); m.opts.MaxHandshakes > 0 && n > int64(m.opts.MaxHandshakes) {
		m.handshakes.Add(-1)
		return false
	}
	if n := m.conns.Add(1); m.opts.MaxConnections > 0 && n > int64(m.opts.MaxConnections) {
		m.leave()
		return false
	}
	return true
}

// leave takes back what admit counted.
func (m *mount) leave() {
	m.handshakes.Add(-1)
	m.conns.Add(-1)
}

// full reports whether admit would refuse.
func (m *mount) full() bool {
	return m.hub.Closing() || m.opts.MaxConnections > 0 && m.conns.Load() >= int64(m.opts.MaxConnections) ||
		m.opts.MaxHandshakes > 0 && m.handshakes.Load() >= int64(m.opts.MaxHandshakes)
}
