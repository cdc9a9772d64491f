package signalr

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/origin"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// A mount is a hub at one path.
type mount struct {
	hub      *hubwire.Hub
	hubOpts  hubwire.Options
	opts     Options
	offered  []protocol        // the hub protocols that clients may choose
	names    map[string]string // the registered names, so that a call need not copy its own
	signer   signer
	sessions sessions
	ticks    ticker.Set // the open connections, and the polled ones
	pending  pending

	policy     *origin.Policy
	transports string // availableTransports

	spoken atomic.Bool          // of tokens that nobody reads
	miss   atomic.Pointer[miss] // the newest

	conns      atomic.Int64
	handshakes atomic.Int64
}

// Mount serves hub at path of mux: the endpoint itself, path/negotiate and, where
// it is wanted, path/refresh, each with or without a slash behind it; anything else below path is 404. path may
// have what a pattern of http.ServeMux may have but a method. The hub's table
// of handlers is complete from now on. A nil opts means the defaults.
//
// It panics with a sentence for every rule that opts breaks.
func Mount(mux *http.ServeMux, path string, hub *hubwire.Hub, opts *Options) {
	m := newMount(hub, opts)
	path = strings.TrimSuffix(path, "/")
	_, below, _ := strings.Cut(path, "/") // a pattern may begin with a host
	depth := 0
	if below != "" {
		depth = strings.Count(below, "/") + 1
	}
	h := m.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, _ := cutSegments(r.URL.EscapedPath(), depth)
		switch rest = strings.TrimSuffix(rest, "/"); {
		case rest == "":
			m.endpoint(w, r)
		case strings.EqualFold(rest, "/negotiate"):
			m.negotiate(w, r)
		case strings.EqualFold(rest, "/refresh") && m.opts.AuthRefresh:
			m.refresh(w, r)
		default:
			m.notFound(w)
		}
	}))
	mux.Handle(path+"/", h)
	if depth > 0 {
		mux.Handle(path, h)
	}
}

// cutSegments cuts n segments from the beginning of a path.
func cutSegments(path string, n int) (rest string, ok bool) {
	for range n {
		if path = strings.TrimPrefix(path, "/"); path == "" {
			return "", false
		}
		i := strings.IndexByte(path, '/')
		if i < 0 {
			return "", true
		}
		path = path[i:]
	}
	return path, true
}

// Handler is for other routers, and for a path that shall match in any case: it
// negotiates where a path ends with /negotiate, in any case and with or without
// a slash behind it, and is the endpoint everywhere else. A router has to send
// it the endpoint's path and what lies below.
func Handler(hub *hubwire.Hub, opts *Options) http.Handler {
	m := newMount(hub, opts)
	return m.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimSuffix(r.URL.Path, "/")
		switch last := path[strings.LastIndexByte(path, '/')+1:]; {
		case strings.EqualFold(last, "negotiate"):
			m.negotiate(w, r)
		case strings.EqualFold(last, "refresh") && m.opts.AuthRefresh:
			m.refresh(w, r)
		default:
			m.endpoint(w, r)
		}
	}))
}

func newMount(hub *hubwire.Hub, opts *Options) *mount {
	o := opts.withDefaults()
	bad := o.check()
	if opts != nil && opts.Peer != nil && (opts.Node == "" || opts.TokenKey == nil) {
		bad = append(bad, "Peer is set without Node and TokenKey; other servers have to know both")
	}
	if len(bad) > 0 {
		panic("signalr: options: " + strings.Join(bad, "; "))
	}
	m := &mount{hub: hub, hubOpts: hub.Options(), opts: o, names: map[string]string{}}
	for _, h := range hub.Handlers() {
		m.names[h.Name()] = h.Name()
	}
	var exposed []wire.Protocol
	for _, name := range o.Protocols {
		p := protocolByName(name)
		m.offered = append(m.offered, p)
		exposed = append(exposed, p)
	}
	hub.Expose(exposed...)
	m.signer = signer{key: o.TokenKey, node: o.Node, hub: m.hubOpts.Name}
	m.policy = origin.New(o.AllowedOrigins, o.AllowedHosts)
	m.transports = availableTransports(o.Transports)
	m.pending.limit = o.MaxPending
	return m
}

// wrap puts the middleware around the routes, and what must come before it around
// that: answers of a middleware too are for pages of allowed origins to read.
func (m *mount) wrap(h http.Handler) http.Handler {
	if m.opts.Middleware != nil {
		h = m.opts.Middleware(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.policy.Host(r) {
			m.hubOpts.Logger.Info("signalr: host refused: it is not among AllowedHosts", "hub", m.hubOpts.Name, "host", r.Host, "remote", r.RemoteAddr)
			m.refused("host")
			m.refuse(w, http.StatusForbidden, "Host not allowed")
			return
		}
		if !m.policy.Share(w, r, "GET, POST, DELETE") {
			h.ServeHTTP(w, r)
		}
	})
}

// protocol finds an offered protocol whatever the case of its name.
func (m *mount) protocol(name string) protocol {
	for _, p := range m.offered {
		if strings.EqualFold(p.Name(), name) {
			return p
		}
	}
	return nil
}

// endpoint serves the path itself (sections 1.5 and 12.1).
func (m *mount) endpoint(w http.ResponseWriter, r *http.Request) {
	if token, _ := connectionToken(r); m.forward(w, r, token) {
		return
	}
	switch r.Method {
	case http.MethodGet:
		m.transport(w, r)
	case http.MethodPost:
		m.post(w, r)
	case http.MethodDelete:
		m.delete(w, r)
	default:
		m.refuse(w, http.StatusMethodNotAllowed, "")
	}
}

// transport serves the GET that starts or goes on with a transport.
func (m *mount) transport(w http.ResponseWriter, r *http.Request) {
	switch {
	case acceptsEvents(r):
		m.events(w, r)
	case isWebSocket(r):
		m.webSocket(w, r)
	default:
		m.poll(w, r)
	}
}

const (
	noID      = "Connection ID required"
	unknownID = "No Connection with that ID"
)

// connectionToken is the id parameter. An empty one is none.
func connectionToken(r *http.Request) (string, bool) {
	v := query(r, "id")
	if len(v) != 1 || v[0] == "" {
		return "", len(v) > 1 // two are no id that anybody has
	}
	return v[0], true
}

// query is a parameter of the query, whatever the case of its name.
func query(r *http.Request, name string) (values []string) {
	if r.URL.RawQuery == "" {
		return nil
	}
	for k, v := range r.URL.Query() {
		if strings.EqualFold(k, name) {
			values = append(values, v...)
		}
	}
	return values
}

// acceptsEvents reports whether an element of an Accept header is exactly
// text/event-stream, in any case and without parameters (section 1.1).
func acceptsEvents(r *http.Request) bool {
	for _, list := range r.Header["Accept"] {
		for e := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(e, " \t"), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// refuse answers with a status and a text, which may be empty.
func (m *mount) refuse(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	if text != "" {
		h.Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(status)
	if text != "" {
		_, _ = w.Write([]byte(text)) // a client that has gone needs no answer
	}
}

// refused counts a connection that was refused, or could not be negotiated.
func (m *mount) refused(reason string) {
	if m.hubOpts.Metrics != nil {
		m.hubOpts.Metrics.Add("refused", reason, 1)
	}
}

// notFound answers a path below the endpoint.
func (m *mount) notFound(w http.ResponseWriter) {
	w.Header()["Content-Type"] = nil
	w.WriteHeader(http.StatusNotFound)
}
