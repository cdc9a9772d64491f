package sse

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/origin"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// MountOptions configure one mount of a hub. A nil *MountOptions and the zero
// value of each field mean the default. What is not of the mount but of the hub
// (detailed errors, queues, users) is in hubwire.Options.
type MountOptions struct {
	// Join lets clients choose groups: it is called with those that the query
	// names (group=a&group=b, at most 64 of at most 256 bytes), once Connect has
	// accepted the connection, which joins them if it returns nil. Its error
	// refuses the connection. Defaults to nil: who names a group is refused.
	Join func(ctx context.Context, c *hubwire.Conn, groups []string) error

	// Heartbeat is how long a stream may be silent before a comment is sent, which
	// keeps proxies from closing it. Defaults to 15 s; counted in whole seconds,
	// one may be a second late.
	Heartbeat time.Duration

	// Retry is told to clients as the time after which they shall reconnect.
	// Defaults to what they do by themselves: browsers wait 3 to 5 s.
	Retry time.Duration

	// MaxBody is the largest body of a POST, in bytes; a larger one is answered
	// 413. Defaults to 32 KiB; negative is no limit, and lets any client fill the
	// memory.
	MaxBody int

	// CloseOnExpiry ends a stream when its User.Expires has passed, at most a
	// second late; the client may come back with newer credentials. Defaults to
	// off: who was let in stays.
	CloseOnExpiry bool

	// MaxConnections is how many streams the mount has at a time; more are
	// answered 503. Defaults to no limit.
	MaxConnections int

	// SendBuffer is the size of the kernel's send buffer of each stream, in bytes:
	// what it takes for a client that does not read before the hub's queue begins
	// to fill. Defaults to 128 KiB; negative leaves it alone.
	SendBuffer int

	// AllowedOrigins are the origins, such as "https://example.com", whose pages
	// may open streams, invoke, and read the answers, cookies included. "*" is
	// any, without cookies. A request without Origin, and one from the host that
	// it goes to, are allowed, unless the browser says that another site makes it.
	// Defaults to none else.
	AllowedOrigins []string

	// AllowedHosts are the names, such as "example.com" or "*.example.com", that
	// requests may be for, on any port unless one is named; others are answered
	// 403. "*" is any. It is what keeps pages out that make their own name mean a
	// private address (DNS rebinding). Defaults to any, but over a loopback
	// address to addresses, localhost and names without a dot: behind a proxy on
	// the same machine that passes Host on, name your hosts.
	AllowedHosts []string

	// KeepHeaders names the request headers that Conn.Request keeps.
	KeepHeaders []string

	// Middleware wraps all routes of the mount: authentication, limits, logging.
	// A ResponseWriter that it puts in between needs Unwrap or Hijack.
	Middleware func(http.Handler) http.Handler
}

func (o *MountOptions) withDefaults() MountOptions {
	var d MountOptions
	if o != nil {
		d = *o
	}
	if d.Heartbeat == 0 {
		d.Heartbeat = defaultHeartbeat
	}
	if d.MaxBody == 0 {
		d.MaxBody = 32 << 10
	}
	if d.SendBuffer == 0 {
		d.SendBuffer = sendBuffer
	}
	d.KeepHeaders = slices.Clone(d.KeepHeaders)
	return d
}

// check returns one sentence for each rule that the options break.
func (o *MountOptions) check() []string {
	bad := origin.Check(o.AllowedOrigins, o.AllowedHosts)
	if o.Heartbeat < 0 {
		bad = append(bad, fmt.Sprintf("Heartbeat is %v; it must be positive", o.Heartbeat))
	}
	if o.Retry < 0 || o.Retry > 0 && o.Retry < time.Millisecond {
		bad = append(bad, fmt.Sprintf("Retry is %v; it must be at least a millisecond", o.Retry))
	}
	if o.MaxConnections < 0 {
		bad = append(bad, fmt.Sprintf("MaxConnections is %d; it must not be negative", o.MaxConnections))
	}
	return bad
}

// A mount is a hub at one path.
type mount struct {
	hub     *hubwire.Hub
	hubOpts hubwire.Options
	opts    MountOptions
	policy  *origin.Policy
	kinds   map[string]wire.Kind // of the handlers, by name in lower case
	ticks   ticker.Set           // the open streams
	conns   atomic.Int64

	mu      sync.Mutex            // guards the following
	streams map[string]*hubStream // by token
}

// Mount serves hub at path of mux, over Server-Sent Events and POST:
//
//	GET  path               the client's connection: a stream of the events that
//	                        the hub sends to it
//	POST path/Method        invokes a method: the body is the JSON array of its
//	                        arguments, of type application/json
//	GET  path/Method?args=  opens a server stream: an event for each item; the
//	                        arguments are a JSON array of at most 8 KiB
//
// An event of the hub is named as the hub's, and its data is the JSON array of
// its arguments. The stream begins with an event hubwire:open, whose data is
// {"connection":id,"token":token}. A POST or a server stream with the header
// Hubwire-Connection: token is a call of that connection, as over any other wire;
// "Prefer: respond-async" then asks for an answer before the method runs (RFC
// 7240). Without the header a call has a connection of its own, as long as it
// runs, which is in no group and gets no events. Header and preference need
// fetch; EventSource cannot set headers.
//
// A result is JSON with status 200, none is 204. An error has the status that
// belongs to its code and the body {"code":…,"message":…,"data":…}. The items of
// a server stream are events of the default type. It ends with an event end, or,
// if it failed, an event fail with the error as data; both have the id hubwire:end,
// with which an EventSource that reconnects is answered 204, so that it does not
// begin again. A connection that the hub closed for good ends with that id too;
// one that may come back is told when by retry, as is one when the hub shuts down.
//
// Clients cannot stream items to the hub, nor be asked: methods that take streams
// are answered 501. The hub's table of handlers is complete from now on. path may
// have what a pattern of http.ServeMux may have but a method. A nil opts means
// the defaults.
//
// It panics with a sentence for every rule that opts breaks.
func Mount(mux *http.ServeMux, path string, hub *hubwire.Hub, opts *MountOptions) {
	m := newMount(hub, opts)
	path = strings.TrimSuffix(path, "/")
	_, below, _ := strings.Cut(path, "/") // a pattern may begin with a host
	depth := 0
	if below != "" {
		depth = strings.Count(below, "/") + 1
	}
	h := m.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest := cutSegments(r.URL.EscapedPath(), depth)
		if rest = strings.TrimPrefix(rest, "/"); rest == "" {
			m.endpoint(w, r)
			return
		}
		name, err := url.PathUnescape(rest)
		if err != nil || strings.Contains(rest, "/") {
			m.answer(w, http.StatusNotFound, hubwire.Errorf(hubwire.CodeNotFound, "There is nothing here."))
			return
		}
		m.method(w, r, name)
	}))
	mux.Handle(path+"/", h)
	if depth > 0 {
		mux.Handle(path, h)
	}
}

// cutSegments cuts n segments from the beginning of a path.
func cutSegments(path string, n int) string {
	for range n {
		path = strings.TrimPrefix(path, "/")
		i := strings.IndexByte(path, '/')
		if i < 0 {
			return ""
		}
		path = path[i:]
	}
	return path
}

func newMount(hub *hubwire.Hub, opts *MountOptions) *mount {
	o := opts.withDefaults()
	if bad := o.check(); len(bad) > 0 {
		panic("sse: options: " + strings.Join(bad, "; "))
	}
	m := &mount{hub: hub, hubOpts: hub.Options(), opts: o, policy: origin.New(o.AllowedOrigins, o.AllowedHosts), kinds: map[string]wire.Kind{}, streams: map[string]*hubStream{}}
	for _, h := range hub.Handlers() {
		m.kinds[strings.ToLower(h.Name())] = h.Kind()
	}
	hub.Expose(protocol)
	return m
}

// wrap puts the middleware around the routes, and what must come before it around
// that: answers of a middleware too are for pages of allowed origins to read.
func (m *mount) wrap(h http.Handler) http.Handler {
	if m.opts.Middleware != nil {
		h = m.opts.Middleware(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unread := r.Body
		switch {
		case !m.policy.Host(r):
			m.hubOpts.Logger.Info("sse: host refused", "hub", m.hubOpts.Name, "host", r.Host, "remote", r.RemoteAddr)
			m.answer(w, http.StatusForbidden, hubwire.Errorf(hubwire.CodePermissionDenied, "Host not allowed"))
		case m.policy.Share(w, r, "GET, POST"):
		case !m.policy.Reads(r):
			m.hubOpts.Logger.Info("sse: origin refused", "hub", m.hubOpts.Name, "origin", r.Header.Get("Origin"), "site", r.Header.Get("Sec-Fetch-Site"), "remote", r.RemoteAddr)
			m.answer(w, http.StatusForbidden, hubwire.Errorf(hubwire.CodePermissionDenied, "Origin not allowed"))
		default:
			h.ServeHTTP(w, r)
		}
		drainBody(w, r, unread)
	})
}

// endpoint serves the path itself.
func (m *mount) endpoint(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		m.notAllowed(w, "GET")
		return
	}
	m.open(w, r)
}

// method serves what lies below.
func (m *mount) method(w http.ResponseWriter, r *http.Request, name string) {
	switch m.kinds[strings.ToLower(name)] {
	case wire.ClientStream, wire.BidiStream:
		m.answer(w, http.StatusNotImplemented, errUploads)
		return
	case wire.ServerStream:
		if r.Method != http.MethodGet {
			m.notAllowed(w, "GET")
			return
		}
	default:
		if r.Method != http.MethodPost {
			m.notAllowed(w, "POST")
			return
		}
	}
	if r.Method == http.MethodGet {
		m.stream(w, r, name)
	} else {
		m.invoke(w, r, name)
	}
}

// tokenHeader names the connection that a call belongs to.
const tokenHeader = "Hubwire-Connection"

// find is the connection that a request names; nil if it names none. To another
// user it is unknown.
func (m *mount) find(r *http.Request) (*hubStream, error) {
	token := r.Header.Get(tokenHeader)
	if token == "" {
		return nil, nil
	}
	m.mu.Lock()
	s := m.streams[token]
	m.mu.Unlock()
	if s == nil || s.port.Conn().User().ID != hubwire.UserFrom(r.Context()).ID {
		return nil, hubwire.Errorf(hubwire.CodeNotFound, "No connection has that token.")
	}
	return s, nil
}

// request is what a connection keeps of its request: no secrets, no arguments.
func (m *mount) request(r *http.Request, transport string) *hubwire.Request {
	kept := &hubwire.Request{Wire: "sse", Transport: transport, Protocol: "json", Remote: r.RemoteAddr}
	if r.URL.RawQuery != "" {
		for k, v := range r.URL.Query() {
			if strings.EqualFold(k, "access_token") || k == "args" {
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
