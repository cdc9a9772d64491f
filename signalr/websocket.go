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
	x := &conn{mount: m, ws: ws, session: c.id}
	x.opening = &opening{ctx: r.Context(), id: id, user: user, req: m.request(r)}
	x.opening.late = time.AfterFunc(m.opts.HandshakeTimeout, x.handshakeLate)
	go x.serve() // ends when the connection has ended
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
