package signalr

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
)

// begin finds the connection that a transport's GET asks for, or makes it, in the
// order of section 12.1. fresh tells that the transport begins with it; a polled
// connection may have begun before. Where there is none the request has been
// answered.
func (m *mount) begin(w http.ResponseWriter, r *http.Request, kind Transports) (c *conn, fresh bool) {
	user := hubwire.UserFrom(r.Context())
	token, negotiated := connectionToken(r)
	if !negotiated && kind != WebSockets {
		m.refuse(w, http.StatusBadRequest, noID)
		return nil, false
	}
	var cl claim
	now := time.Now()
	if negotiated {
		var err error
		if cl, err = m.known(r, token, now); err != nil {
			m.refuseUnknown(w, r, token, kind, err)
			return nil, false
		}
	}
	if m.opts.Transports&kind == 0 {
		m.refuse(w, http.StatusNotFound, kind.String()+" transport not supported by this end point type")
		return nil, false
	}
	create := func() *conn {
		if !m.admit() {
			return nil
		}
		c := &conn{mount: m, session: cl.id}
		if kind == LongPolling && !c.pend(r.RemoteAddr) {
			m.leave()
			return nil
		}
		return c
	}
	if !negotiated { // the client has skipped it
		if c = create(); c == nil {
			m.refuseFull(w)
			return nil, false
		}
		c.open(r, newConnID().String(), user, kind)
		m.watch(r, user, kind)
		return c, true
	}
	id := cl.id.String()
	if cl.version == 0 {
		id = token
	}
	prepare := func(c *conn) {
		c.open(r, id, user, kind)
		if kind == WebSockets {
			c.opening.stateful = cl.stateful
			return
		}
		if c.in == nil {
			c.in = newInput(c)
		}
		if cl.stateful {
			c.stateful = newStateful(nil)
		}
		if kind == LongPolling { // another request may come before this one goes on
			c.start(newPolls(c))
		}
	}
	c, st := m.sessions.begin(cl, kind, now, create, prepare)
	switch st {
	case unused:
	case early:
		c.in.unused.Stop()
		if kind != LongPolling {
			c.arrived()
		}
	case active:
		if kind == LongPolling {
			return c, false
		}
		m.refuse(w, http.StatusConflict, "")
		return nil, false
	case away:
		c.extend(user)
		m.comeBack(w, r, c)
		return nil, false
	case changed:
		m.refuse(w, http.StatusBadRequest, "Cannot change transports mid-connection")
		return nil, false
	case full:
		m.refuseFull(w)
		return nil, false
	default: // it has ended meanwhile
		m.refuse(w, http.StatusNotFound, "")
		return nil, false
	}
	m.watch(r, user, kind)
	return c, true
}

// An opening is what a connection needs until it is open.
type opening struct {
	ctx  context.Context
	id   string
	user *hubwire.User
	req  *hubwire.Request
	late *time.Timer // of the handshake

	wanted *ending // how to end once Connect has returned; guarded by conn.mu

	stateful bool // stateful reconnect was granted
}

// open keeps what the hub needs of the transport's request.
func (c *conn) open(r *http.Request, id string, user *hubwire.User, kind Transports) {
	c.opening = &opening{ctx: r.Context(), id: id, user: user, req: c.mount.request(r, kind)}
	c.expireAt(user.Expires)
}

// start begins with a transport, and the time for the handshake.
func (c *conn) start(t transport) {
	c.t = t
	c.opening.late = time.AfterFunc(c.mount.opts.HandshakeTimeout, c.handshakeLate)
}

// known is what a token says, if it names a connection here, begun or to begin,
// and belongs to the user of the request.
func (m *mount) known(r *http.Request, token string, now time.Time) (claim, error) {
	c, err := m.signer.verify(token, hubwire.UserFrom(r.Context()).ID)
	if err == nil {
		if st, _ := m.sessions.state(c, now); st == over {
			err = errOver
		}
	}
	return c, err
}

// refuseUnknown answers a request whose token names nothing.
func (m *mount) refuseUnknown(w http.ResponseWriter, r *http.Request, token string, kind Transports, err error) {
	text := m.unknown(r, token, err)
	if kind == WebSockets {
		w.Header()["Content-Type"] = nil
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(text)) // a client that has gone needs no answer
		return
	}
	m.refuse(w, http.StatusNotFound, text)
}

// find is the connection that a POST or DELETE is about, and its transport; zero
// while there is none. If there is no such connection it answers the request.
// post makes one that waits for its transport.
func (m *mount) find(w http.ResponseWriter, r *http.Request, post bool) (c *conn, kind Transports, ok bool) {
	token, ok := connectionToken(r)
	if !ok {
		m.refuse(w, http.StatusBadRequest, noID)
		return nil, 0, false
	}
	now := time.Now()
	cl, err := m.known(r, token, now)
	switch {
	case err == errOver && post && m.sessions.takesPosts(cl.id, now):
		m.refuse(w, http.StatusOK, "")
		return nil, 0, false
	case err != nil:
		m.refuseUnknown(w, r, token, 0, err)
		return nil, 0, false
	}
	st, x := m.sessions.state(cl, now)
	if st != unused || !post {
		return x.conn, x.kind, true
	}
	c, st = m.sessions.begin(cl, 0, now, func() *conn {
		if !m.admit() {
			return nil
		}
		c := &conn{mount: m, session: cl.id}
		if !c.pend(r.RemoteAddr) {
			m.leave()
			return nil
		}
		return c
	}, func(c *conn) {
		c.awaitTransport(cl.expires)
	})
	switch st {
	case full:
		m.refuseFull(w)
		return nil, 0, false
	case over:
		m.refuse(w, http.StatusNotFound, "")
		return nil, 0, false
	}
	_, x = m.sessions.state(cl, now)
	return c, x.kind, true
}

// request is what a connection keeps of its request: no secrets.
func (m *mount) request(r *http.Request, kind Transports) *hubwire.Request {
	kept := &hubwire.Request{Wire: "signalr", Transport: kind.String(), Remote: r.RemoteAddr}
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
