package grpcwire

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/origin"
)

// A Method is one method of a service.
type Method struct {
	Name          string // "/pkg.Service/Method"
	ClientStreams bool
	ServerStreams bool
	// Serve handles a call. A unary method receives once and sends once. The
	// error becomes the status: a *Status or a *hubwire.Error as it is, others
	// as Options say. A panic is INTERNAL.
	Serve func(s *Stream) error
	// MaxMessage is the largest request message, in bytes. Defaults to that of
	// Options.
	MaxMessage int
	// Attendant methods are answered while the server shuts down, and not
	// waited for: health checks.
	Attendant bool
}

// A Handler serves methods, as an http.Handler. Methods are added before it
// serves; all else may be used from many goroutines.
type Handler struct {
	opts     Options
	methods  map[string]*Method
	services map[string]bool
	origins  *origin.Policy
	exposed  string

	mu       sync.Mutex // guards the following
	running  Stream     // the head of a ring of the calls under way
	busy     int        // calls that are waited for
	draining bool
	idle     chan struct{} // closed when draining and busy is 0
	onDrain  []func()
}

// New makes a handler without methods. A nil opts means the defaults. It panics
// with a sentence for every rule that opts breaks.
func New(opts *Options) *Handler {
	h := &Handler{opts: opts.withDefaults(), methods: map[string]*Method{}, services: map[string]bool{}}
	if bad := h.opts.check(); len(bad) > 0 {
		panic("grpcwire: options: " + strings.Join(bad, "; "))
	}
	h.running.before, h.running.after = &h.running, &h.running
	h.origins = origin.New(h.opts.AllowedOrigins, h.opts.AllowedHosts)
	h.exposed = strings.Join(append([]string{"grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "grpc-accept-encoding"}, h.opts.ExposedHeaders...), ", ")
	return h
}

// Options is a copy of the handler's options, with the defaults filled in.
func (h *Handler) Options() Options { return h.opts }

// SetConvert sets Options.Convert, before the handler serves. What was set
// before is asked first.
func (h *Handler) SetConvert(convert func(error) *Status) {
	before := h.opts.Convert
	if before == nil {
		h.opts.Convert = convert
		return
	}
	h.opts.Convert = func(err error) *Status {
		if s := before(err); s != nil {
			return s
		}
		return convert(err)
	}
}

// Handle adds methods. It panics when a name is not of the form
// "/pkg.Service/Method" or comes twice.
func (h *Handler) Handle(methods ...Method) {
	for _, m := range methods {
		service, _, ok := splitPath(m.Name)
		switch {
		case !ok || m.Serve == nil:
			panic(fmt.Sprintf("grpcwire: %q is no method; it must be like /pkg.Service/Method", m.Name))
		case h.methods[m.Name] != nil:
			panic("grpcwire: " + m.Name + " is handled twice")
		}
		h.methods[m.Name] = &m
		h.services[service] = true
	}
}

// Methods are the names of the methods and what they stream, sorted.
func (h *Handler) Methods() []Method {
	var out []Method
	for _, m := range h.methods {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b Method) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// splitPath splits "/pkg.Service/Method".
func splitPath(path string) (service, method string, ok bool) {
	if !strings.HasPrefix(path, "/") {
		return "", "", false
	}
	service, method, ok = strings.Cut(path[1:], "/")
	return service, method, ok && service != "" && method != "" && !strings.Contains(method, "/")
}

// path is the path of a request as it came, for it is compared to the letter.
func path(r *http.Request) string {
	p := r.URL.EscapedPath()
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		p += "?"
	}
	return p
}

// Wants reports whether a request is for this handler: one with a gRPC content
// type and a path of two segments, any request for one of its methods, and the
// preflight of one.
func (h *Handler) Wants(r *http.Request) bool {
	p := path(r)
	if h.methods[p] != nil {
		return true
	}
	if !Is(r) {
		return false
	}
	_, _, ok := splitPath(p)
	return ok
}

// Is reports whether a request has a content type of gRPC or gRPC-Web.
func Is(r *http.Request) bool {
	const prefix = "application/grpc"
	ct := r.Header.Get("Content-Type")
	return len(ct) >= len(prefix) && strings.EqualFold(ct[:len(prefix)], prefix)
}

// Route sends what is gRPC, or gRPC-Web, to rpc and all else to rest: one port
// for both. It is put in front of a mux, because gRPC's paths are not a mux's.
func Route(rpc *Handler, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rpc.Wants(r) {
			rpc.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// Mount puts the services that there are on a mux, each at its path: the other
// way to share a port, where middleware of the mux shall see the calls.
func (h *Handler) Mount(mux *http.ServeMux) {
	for s := range h.services {
		mux.Handle("/"+s+"/", h)
	}
}

// ServeHTTP serves one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.share(w, r) {
		return
	}
	f, ok := contentType(r.Header["Content-Type"])
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "Request method '"+r.Method+"' is not supported.")
		return
	case !ok && r.Header.Get("Content-Type") == "":
		refuse(w, http.StatusUnsupportedMediaType, "Content-Type is missing from the request.")
		return
	case !ok:
		refuse(w, http.StatusUnsupportedMediaType, "Content-Type '"+r.Header.Get("Content-Type")+"' is not supported.")
		return
	case !f.web && r.ProtoMajor < 2:
		w.Header().Set("Upgrade", "HTTP/2")
		refuse(w, http.StatusUpgradeRequired, "Request protocol '"+r.Proto+"' is not supported.")
		return
	}
	if f.web && !h.origins.Host(r) {
		h.opts.Logger.Info("grpcwire: host refused: it is not among AllowedHosts", "host", r.Host, "remote", r.RemoteAddr)
		w.Header()["Grpc-Status"] = []string{"7"}
		w.Header()["Grpc-Message"] = []string{"Host not allowed"}
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if _, _, two := splitPath(path(r)); !two {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if h.opts.Middleware == nil {
		h.call(w, r, f)
		return
	}
	g := &gate{ResponseWriter: w}
	h.opts.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.open = true
		h.call(w, r, f)
	})).ServeHTTP(g, r)
	if !g.open {
		h.turnAway(w, r, f, g.status)
	}
}

// contentType finds the form of a request.
func contentType(header []string) (form, bool) {
	if len(header) != 1 {
		return form{}, false
	}
	ct, _, _ := strings.Cut(header[0], ";")
	if f, ok := forms[ct]; ok {
		return f, true
	}
	f, ok := forms[strings.ToLower(ct)]
	return f, ok
}

// refuse answers a request that is no call.
func refuse(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h["Grpc-Status"] = []string{"13"}
	h["Grpc-Message"] = []string{encodeMessage(text)}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(status)
}

// A gate is what middleware writes to before a call begins: nothing of it
// reaches the client but its headers.
type gate struct {
	http.ResponseWriter
	open   bool
	status int
}

func (g *gate) WriteHeader(status int) {
	if g.open {
		g.ResponseWriter.WriteHeader(status)
	} else if g.status == 0 && status >= 200 {
		g.status = status
	}
}

func (g *gate) Write(p []byte) (int, error) {
	if g.open {
		return g.ResponseWriter.Write(p)
	}
	if g.status == 0 {
		g.status = http.StatusOK
	}
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (g *gate) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// turnAway answers a call that middleware has refused.
func (h *Handler) turnAway(w http.ResponseWriter, r *http.Request, f form, status int) {
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding"} {
		w.Header().Del(name)
	}
	s := h.begin(w, r, f)
	s.m = &Method{}
	s.ctx = r.Context()
	st := HTTPStatus(status, w.Header())
	s.close(st)
	h.count("grpc.server.call.ended", strconv.Itoa(int(st.Code)), 1)
}

// Header values that are always the same, with no room to append to.
var (
	offered = []string{"identity,gzip"}
	isOK    = []string{"0"}
)

// begin makes the stream of a request, as far as anything can be answered.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, f form) *Stream {
	s := &Stream{h: h, r: r, w: w, rc: http.NewResponseController(w), form: f}
	if f.web { // the answer's form is what Accept says
		accepted, ok := forms[r.Header.Get("Accept")]
		switch {
		case ok && accepted.text:
			s.form.mime, s.form.text = accepted.mime, true
		default:
			s.form.mime, s.form.text = strings.Replace(f.mime, "-text", "", 1), false
		}
		w.Header()["X-Accel-Buffering"] = []string{"no"}
		w.Header()["Cache-Control"] = []string{"no-cache, no-transform"}
	}
	if s.form.mime == f.mime {
		w.Header()["Content-Type"] = f.header
	} else {
		w.Header()["Content-Type"] = []string{s.form.mime}
	}
	w.Header()["Grpc-Accept-Encoding"] = offered
	return s
}

// call serves a call that middleware let pass.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, f form) {
	s := h.begin(w, r, f)
	parent := r.Context()
	m := h.methods[path(r)]
	var bad *Status
	if m == nil {
		service, _, _ := splitPath(path(r))
		bad = fail(hubwire.CodeUnimplemented, "Service is unimplemented.")
		if h.services[service] {
			bad.Message = "Method is unimplemented."
		}
		m = &Method{}
	}
	s.m = m
	switch enc := r.Header.Get("Grpc-Encoding"); enc {
	case "", "identity":
	case "gzip":
		s.inGzip = true
	default:
		if bad == nil {
			bad = fail(hubwire.CodeUnimplemented, "Unsupported grpc-encoding value '"+enc+"'. Supported encodings: identity, gzip")
		}
	}
	s.outGzip = s.inGzip || h.opts.Compress && s.offersGzip()
	md, badMD := incoming(r)
	timeout, timed, badTime := h.timeout(r, m)
	for _, b := range []*Status{badMD, badTime} {
		if bad == nil {
			bad = b
		}
	}
	if bad == nil && timed && timeout <= 0 {
		bad = errDeadline
	}
	if bad != nil {
		s.ctx, s.stop = context.WithCancelCause(parent)
		s.refused(bad)
		return
	}

	var stop context.CancelFunc
	if timed {
		parent, stop = context.WithTimeout(parent, timeout)
		defer stop()
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, streamKey{}, s))
	s.ctx, s.stop, s.md = ctx, cancel, md
	defer cancel(nil)
	if r.ProtoMajor < 2 && m.ClientStreams {
		// The body may be read while the answer is written, and need not be
		// read to its end; net/http cannot go on with the connection then
		// (golang/go 68560).
		_ = s.rc.EnableFullDuplex()
		w.Header()["Connection"] = []string{"close"}
	}
	h.ageOf(s)
	s.in.src = r.Body
	if f.text {
		s.in.src = &textReader{src: r.Body}
	}
	if !h.enter(s) {
		s.refused(errDraining)
		return
	}
	defer h.leave(s)
	timers := h.arm(s)
	switch {
	case m.ClientStreams || m.ServerStreams:
		defer context.AfterFunc(ctx, s.unblock)()
	case timed: // at other ends of a request its body ends by itself
		timers = append(timers, time.AfterFunc(timeout, s.unblock))
	}
	err := h.safely(m.Name, func() error { return m.Serve(s) })
	for _, t := range timers {
		t.Stop()
	}
	st := h.status(m.Name, err)
	// What a handler makes of the end of its context says less than the cause.
	if ctx.Err() != nil {
		if why, ok := s.ended().(*Status); ok && (why.Code == hubwire.CodeDeadlineExceeded || err != nil) {
			st = why
		}
	}
	s.close(st)
	s.ctl.Lock()
	s.over = true
	s.ctl.Unlock()
	if s.out.stall != nil {
		s.out.stall.Stop()
	}
	s.in.release()
	h.count("grpc.server.call.ended", strconv.Itoa(int(st.Code)), 1)
}

// refused ends a call that no handler has seen.
func (s *Stream) refused(st *Status) {
	s.close(st)
	s.stop(nil)
	s.h.count("grpc.server.call.ended", strconv.Itoa(int(st.Code)), 1)
}

// safely runs a handler. A panic ends this call alone.
func (h *Handler) safely(method string, serve func() error) (err error) {
	done := false
	defer func() {
		if done {
			return
		}
		v := recover()
		h.opts.Logger.Error("grpcwire: a handler panics", "method", method, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		err = errPanic
	}()
	err = serve()
	done = true
	return err
}

func (h *Handler) status(method string, err error) *Status {
	st, shown := h.statusOf(err)
	if !shown {
		h.opts.Logger.Error("grpcwire: a call failed", "method", method, "err", err)
	}
	return st
}

// Guard runs a handler on another transport: a panic or an error becomes the
// *Status that it would have here, and is logged.
func (h *Handler) Guard(method string, serve func() error) error {
	err := h.safely(method, serve)
	if err == nil {
		return nil
	}
	return h.status(method, err)
}

// timeout is the deadline that the client gives the call, within our bound.
func (h *Handler) timeout(r *http.Request, m *Method) (d time.Duration, timed bool, bad *Status) {
	if v, ok := r.Header["Grpc-Timeout"]; ok {
		if len(v) != 1 {
			return 0, false, fail(hubwire.CodeInternal, "The grpc-timeout comes more than once.")
		}
		if d, ok = parseTimeout(v[0]); !ok {
			return 0, false, fail(hubwire.CodeInternal, "The grpc-timeout is malformed.")
		}
		timed = true
	}
	if unary := !m.ClientStreams && !m.ServerStreams; unary && h.opts.MaxTimeout > 0 && (!timed || d > h.opts.MaxTimeout) {
		d, timed = h.opts.MaxTimeout, true
	}
	return d, timed, nil
}

// Incoming is the metadata that a call came with. It must not be changed.
func (s *Stream) Incoming() Metadata { return s.md }

func (h *Handler) count(name, label string, n int64) {
	if h.opts.Metrics != nil {
		h.opts.Metrics.Add(name, label, n)
	}
}

// lists reports whether one of the elements of a header is a word.
func lists(header []string, word string) bool {
	for _, v := range header {
		for e := range strings.SplitSeq(v, ",") {
			if strings.Trim(e, " \t") == word {
				return true
			}
		}
	}
	return false
}
