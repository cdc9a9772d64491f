package jsonrpc

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/origin"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/internal/wsconn"
)

// MountOptions configure one mount of a hub. A nil *MountOptions and the zero
// value of each field mean the default. What is not of the mount but of the hub
// (detailed errors, parallel calls, queues, users) is in hubwire.Options.
type MountOptions struct {
	// Conn are the options of the connections. Framing, Handlers, User and Context
	// have no use here; Order defaults to HubOrder and MaxMessage, which bounds the
	// body of a POST too, to 4 MiB.
	Conn *Options

	// Subprotocols are those of WebSockets that may be chosen: the first that the
	// client names too. A client that names none of them gets none. Defaults to
	// none.
	Subprotocols []string

	// Status says with which HTTP status a POST is answered. Defaults to StatusOK.
	Status StatusPolicy

	// KeepAlive is how long a WebSocket may be silent before it is pinged; one
	// that is silent as long again is closed. Defaults to 30 s; counted in whole
	// seconds, one may be a second late. Negative is never.
	KeepAlive time.Duration

	// CloseOnExpiry ends a WebSocket when its User.Expires has passed, at most a
	// second late; the client may come back with newer credentials. Defaults to
	// off: who was let in stays.
	CloseOnExpiry bool

	// MaxConnections is how many WebSockets the mount has at a time; more are
	// answered 503. Defaults to no limit.
	MaxConnections int

	// SendBuffer is the size of the kernel's send buffer of each WebSocket, in
	// bytes: what it takes for a client that does not read before the hub's queue
	// begins to fill. Defaults to 128 KiB; negative leaves it alone.
	SendBuffer int

	// AllowedOrigins are the origins, such as "https://example.com", whose pages
	// may open a WebSocket, post, and read the answers, cookies included. "*" is
	// any: such pages open WebSockets with their reader's cookies, which is
	// dangerous where users are known by them. A request without Origin, and one
	// from the host that it goes to, are allowed, unless the browser says that
	// another site makes it. Defaults to none else.
	AllowedOrigins []string

	// AllowedHosts are the names, such as "example.com" or "*.example.com", that
	// requests may be for, on any port unless one is named; others are answered
	// 403. "*" is any. It is what keeps pages out that make their own name mean a
	// private address (DNS rebinding). Defaults to any, but over a loopback
	// address to addresses, localhost and names without a dot: behind a proxy on
	// the same machine that passes Host on, name your hosts.
	AllowedHosts []string

	// KeepHeaders names the request headers that hubwire.Conn.Request keeps.
	KeepHeaders []string

	// Middleware wraps the mount: authentication, limits, logging. A
	// ResponseWriter that it puts in between needs Unwrap or Hijack.
	Middleware func(http.Handler) http.Handler
}

// A StatusPolicy says with which HTTP status a POST is answered.
type StatusPolicy uint8

const (
	// StatusOK is 200 whatever the answer says, and 204 where there is none: what
	// most peers expect.
	StatusOK StatusPolicy = iota
	// StatusDraft is that of the draft of 2008: an error that answers a single
	// request is 400 (invalid request), 404 (method not found) or 500.
	StatusDraft
	// StatusMCP is that of the Model Context Protocol: 202 where there is no
	// answer, 404 for a method that is not found, 400 for an invalid request.
	StatusMCP
)

// of is the status of a plain answer with that code, or of no error.
func (p StatusPolicy) of(code int64) int {
	switch {
	case code == 0 || p == StatusOK:
		return http.StatusOK
	case code == CodeMethodNotFound:
		return http.StatusNotFound
	case code == CodeInvalidRequest:
		return http.StatusBadRequest
	case p == StatusDraft:
		return http.StatusInternalServerError
	case code == CodeParse, code <= -32020 && code >= -32099:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// none is the status where there is no answer.
func (p StatusPolicy) none() int {
	if p == StatusMCP {
		return http.StatusAccepted
	}
	return http.StatusNoContent
}

func (o *MountOptions) withDefaults() MountOptions {
	var d MountOptions
	if o != nil {
		d = *o
	}
	var c Options
	if d.Conn != nil {
		c = *d.Conn
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 4 << 20
	}
	d.Conn = &c
	if d.KeepAlive == 0 {
		d.KeepAlive = 30 * time.Second
	}
	d.KeepHeaders = slices.Clone(d.KeepHeaders)
	d.Subprotocols = slices.Clone(d.Subprotocols)
	return d
}

// check returns one sentence for each rule that the options break.
func (o *MountOptions) check() []string {
	bad := origin.Check(o.AllowedOrigins, o.AllowedHosts)
	if o.MaxConnections < 0 {
		bad = append(bad, fmt.Sprintf("MaxConnections is %d; it must not be negative", o.MaxConnections))
	}
	if o.Status > StatusMCP {
		bad = append(bad, fmt.Sprintf("Status is %d, which there is not", o.Status))
	}
	if len(o.Conn.Handlers) > 0 {
		bad = append(bad, "Conn.Handlers are for a connection without a hub")
	}
	for _, p := range o.Subprotocols {
		if p == "" || strings.ContainsAny(p, ", \t\r\n\"") {
			bad = append(bad, fmt.Sprintf("Subprotocols has %q; it must be a token", p))
		}
	}
	return bad
}

// A mount is a hub at one path.
type mount struct {
	svc    *service
	opts   MountOptions
	policy *origin.Policy
	ticks  ticker.Set // the open WebSockets
	conns  atomic.Int64
}

// Mount serves hub at path of mux, to clients that come with a WebSocket or a
// POST:
//
//   - a WebSocket is a connection like any: both ends call, its client gets the
//     events of the groups and the user that it belongs to, and can be asked. Each
//     message is one text or binary frame; ours are text.
//   - a POST brings one message or a batch, of type application/json (or
//     application/json-rpc, application/jsonrequest), and is answered with what
//     they are answered with, 204 where that is nothing, once all of them have
//     ended, notifications too. Its calls have a connection of their own, as long
//     as they run, that is in no group, gets no events and cannot be asked. A
//     stream is answered whole, as {"values":[…]}.
//
// The hub's table of handlers is complete from now on. path may have what a
// pattern of http.ServeMux may have but a method. A nil opts means the defaults.
//
// It panics with a sentence for every rule that opts breaks.
func Mount(mux *http.ServeMux, path string, hub *hubwire.Hub, opts *MountOptions) {
	h := Handler(hub, opts)
	path = strings.TrimSuffix(path, "/")
	if _, below, _ := strings.Cut(path, "/"); below != "" { // a pattern may begin with a host
		mux.Handle(path, h)
	}
	mux.Handle(path+"/{$}", h)
}

// Handler is Mount for other routers.
func Handler(hub *hubwire.Hub, opts *MountOptions) http.Handler {
	o := opts.withDefaults()
	if bad := o.check(); len(bad) > 0 {
		panic("jsonrpc: options: " + strings.Join(bad, "; "))
	}
	if hub == nil {
		panic("jsonrpc: a mount without a hub")
	}
	m := &mount{svc: newService(hub, o.Conn, HubOrder), opts: o, policy: origin.New(o.AllowedOrigins, o.AllowedHosts)}
	h := http.Handler(http.HandlerFunc(m.serve))
	if o.Middleware != nil {
		h = o.Middleware(h)
	}
	// What must come before the middleware: its answers too are for pages of allowed
	// origins to read.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !m.policy.Host(r):
			m.log("host refused", r, "host", r.Host)
			m.refuse(w, http.StatusForbidden, "Host not allowed")
		case m.policy.Share(w, r, "GET, POST"):
		case !m.policy.Reads(r):
			m.log("origin refused", r, "origin", r.Header.Get("Origin"), "site", r.Header.Get("Sec-Fetch-Site"))
			m.refuse(w, http.StatusForbidden, "Origin not allowed")
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func (m *mount) log(what string, r *http.Request, args ...any) {
	m.svc.hubOpts.Logger.Info("jsonrpc: "+what, append(args, "hub", m.svc.hubOpts.Name, "remote", r.RemoteAddr)...)
}

func (m *mount) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case wsconn.IsUpgrade(r):
		m.webSocket(w, r)
	case r.Method == http.MethodPost:
		m.post(w, r)
	default:
		w.Header().Set("Allow", "POST")
		m.refuse(w, http.StatusMethodNotAllowed, "Use POST, or a WebSocket")
	}
}

// request is what a connection keeps of its request: no secrets.
func (m *mount) request(r *http.Request) *hubwire.Request {
	kept := &hubwire.Request{}
	if r.URL.RawQuery != "" {
		for k, v := range r.URL.Query() {
			if strings.EqualFold(k, "access_token") {
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

// subprotocol is the first of ours that the client names too.
func (m *mount) subprotocol(r *http.Request) string {
	for _, ours := range m.opts.Subprotocols {
		for _, list := range r.Header["Sec-Websocket-Protocol"] {
			for p := range strings.SplitSeq(list, ",") {
				if strings.Trim(p, " \t") == ours {
					return ours
				}
			}
		}
	}
	return ""
}

// admit counts a WebSocket, if there is room for one.
func (m *mount) admit() bool {
	if m.svc.hub.Closing() {
		return false
	}
	if n := m.conns.Add(1); m.opts.MaxConnections > 0 && n > int64(m.opts.MaxConnections) {
		m.conns.Add(-1)
		return false
	}
	return true
}
