package signalr

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

func isWebSocket(r *http.Request) bool { return wsconn.IsUpgrade(r) }

const tooMany = "Too many connections"

// webSocket starts a connection over a WebSocket (section 12.1). Without an id
// the client has skipped the negotiation.
func (m *mount) webSocket(w http.ResponseWriter, r *http.Request) {
	if !m.originAllowed(r) {
		m.hubOpts.Logger.Info("signalr: origin refused", "hub", m.hubOpts.Name, "origin", r.Header.Get("Origin"))
		m.refuse(w, http.StatusForbidden, "Origin not allowed")
		return
	}
	user := hubwire.UserFrom(r.Context())
	token, negotiated := connectionToken(r)
	var (
		c     claim
		now   = time.Now()
		state = unused
	)
	if negotiated {
		var err error
		if c, err = m.signer.verify(token, user.ID); err == nil {
			state = m.sessions.state(c, now)
		}
		if err != nil || state == over {
			w.Header()["Content-Type"] = nil
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(m.unknown(err))) // a client that has gone needs no answer
			return
		}
	}
	switch {
	case m.opts.Transports&WebSockets == 0:
		m.refuse(w, http.StatusNotFound, "WebSockets transport not supported by this end point type")
		return
	case state == active:
		if x := m.sessions.conn(c.id); x != nil {
			m.comeBack(w, r, x)
			return
		}
		m.refuse(w, http.StatusConflict, "")
		return
	case !m.admit():
		m.refuse(w, http.StatusServiceUnavailable, tooMany)
		return
	}
	id := c.id.String()
	switch {
	case !negotiated:
		id = newConnID().String()
	case m.sessions.start(c, now) != unused: // another was quicker
		m.leave()
		m.refuse(w, http.StatusConflict, "")
		return
	case c.version == 0:
		id = token
	}
	ws, err := wsconn.Upgrade(w, r, &wsconn.Config{SendBuffer: m.opts.SendBuffer})
	if err != nil {
		m.hubOpts.Logger.Error("signalr: upgrade failed", "hub", m.hubOpts.Name, "err", err)
		m.sessions.end(c.id, now)
		m.leave()
		return
	}
	x := &conn{mount: m, session: c.id}
	s := &socket{Conn: ws, conn: x}
	x.t = s
	if c.stateful {
		x.stateful = newStateful(s)
		x.t = relay{x.stateful}
		m.sessions.keep(c.id, x)
	}
	x.opening = &opening{ctx: r.Context(), id: id, user: user, req: m.request(r)}
	x.opening.late = time.AfterFunc(m.opts.HandshakeTimeout, x.handshakeLate)
	go s.serve() // ends when the connection has ended
}

// A socket is the WebSocket of a connection.
type socket struct {
	*wsconn.Conn
	conn  *conn
	fresh bool // the reader is not the goroutine that shook hands
}

// serve is the socket's goroutine: it reads until the end.
func (s *socket) serve() {
	err := s.conn.safely(func() error { return s.Serve(s) })
	switch r := s.conn.stateful; {
	case err == wsconn.ErrPassed:
	case r != nil && r.left(s):
	default:
		s.conn.over(err)
	}
}

// pass makes another goroutine the reader: this one runs a call that waits.
func (s *socket) pass() {
	s.Pass()
	go s.serve() // ends when the connection has ended, or with its own pass
}

// TryWrite writes what the socket takes.
func (s *socket) TryWrite(p []byte) (int, error) {
	n, err := s.Conn.TryWrite(p)
	if err != nil && s.conn.stateful.failed(s) {
		s.conn.lost.Store(true)
	}
	return n, err
}

// Write writes all of p.
func (s *socket) Write(p []byte) error {
	err := s.Conn.Write(p)
	if err != nil && s.conn.stateful.failed(s) {
		s.conn.lost.Store(true)
	}
	return err
}

// Unacked is how many bytes the hub keeps until they are acknowledged.
func (s *socket) Unacked() int { return s.conn.unacked() }

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

// Control sends a frame of the WebSocket's own: a pong, or the answer to the
// client's close frame, behind which nothing is sent.
func (s *socket) Control(frame []byte) {
	c := s.conn
	closes := frame[0]&0x0F == wsconn.OpClose
	if r := c.stateful; r != nil && (closes && !r.parting(s) || r.socket.Load() != s) {
		return
	}
	if closes {
		c.quiet.Store(true)
		c.forget()
		if c.said.Swap(true) {
			return // ours is on its way, and is answer enough
		}
	}
	if c.port != nil {
		c.port.Control(frame)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == shaking || c.said.Load() {
		_ = s.Write(frame) // a socket that has failed is noticed by its reader
	}
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
		s.pass()
		return wsconn.ErrPassed
	}
	return nil
}

// admit counts a connection, if there is room for one.
func (m *mount) admit() bool {
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
	return m.opts.MaxConnections > 0 && m.conns.Load() >= int64(m.opts.MaxConnections) ||
		m.opts.MaxHandshakes > 0 && m.handshakes.Load() >= int64(m.opts.MaxHandshakes)
}

// request is what a connection keeps of its request: no secrets.
func (m *mount) request(r *http.Request) *hubwire.Request {
	kept := &hubwire.Request{Wire: "signalr", Transport: "WebSockets", Remote: r.RemoteAddr}
	if r.URL.RawQuery != "" {
		for k, v := range r.URL.Query() {
			if strings.EqualFold(k, "id") || strings.EqualFold(k, "access_token") {
				continue
			}
			if kept.Query == nil {
				kept.Query = url.Values{}
			}
			kept.Query[k] = v
		}
	}
	for _, name := range m.opts.KeepHeaders {
		if v := r.Header.Values(name); len(v) > 0 {
			if kept.Header == nil {
				kept.Header = http.Header{}
			}
			kept.Header[http.CanonicalHeaderKey(name)] = slices.Clone(v)
		}
	}
	return kept
}

// An opening is what a connection needs until it is open.
type opening struct {
	ctx  context.Context
	id   string
	user *hubwire.User
	req  *hubwire.Request
	late *time.Timer // of the handshake
}
