package sse

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// bodyStall is how long the body of a POST may bring nothing.
const bodyStall = 30 * time.Second

// callSize is what a call that waits takes beside its arguments.
const callSize = 512

// invoke serves the POST that calls a method.
func (m *mount) invoke(w http.ResponseWriter, r *http.Request, name string) {
	s, err := m.find(r)
	if err != nil {
		m.fail(w, err)
		return
	}
	// A page of another site can send forms, and text, with its reader's cookies;
	// this type it cannot send without asking first.
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		w.Header().Set("Accept", "application/json")
		m.answer(w, http.StatusUnsupportedMediaType, hubwire.Errorf(hubwire.CodeInvalidArgument, "The Content-Type must be application/json."))
		return
	}
	body, status, err := m.body(w, r)
	if err != nil {
		m.answer(w, status, hubwire.Errorf(hubwire.CodeInvalidArgument, "%v", err))
		return
	}
	in := &wire.Call{Name: name, Size: len(body) + callSize}
	if err := arguments(in, body); err != nil {
		m.fail(w, err)
		return
	}
	if s != nil && prefersAsync(r) {
		if err := s.start(r.Context(), in); err != nil {
			m.fail(w, err)
			return
		}
		w.Header().Set("Preference-Applied", "respond-async")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	reply := &hubReply{done: make(chan struct{})}
	in.Reply = reply
	end, err := m.begin(r, s, in, "POST")
	if err != nil {
		m.fail(w, err)
		return
	}
	ended := end(reply.done)
	select {
	case <-reply.done:
	default:
		if ended {
			m.fail(w, errEnded)
		}
		return // else nobody waits for it
	}
	switch {
	case reply.err != nil && ended:
		m.fail(w, errEnded)
	case reply.err != nil:
		m.fail(w, reply.err)
	case reply.body == nil || m.kinds[strings.ToLower(name)] == wire.Command:
		w.WriteHeader(http.StatusNoContent)
	default:
		m.answerJSON(w, http.StatusOK, reply.body)
	}
}

// fail answers a call that has failed.
func (m *mount) fail(w http.ResponseWriter, err error) {
	status, e := m.failure(err)
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET")
	}
	m.answer(w, status, e)
}

// body reads the body of a POST.
func (m *mount) body(w http.ResponseWriter, r *http.Request) (b []byte, status int, err error) {
	in := io.Reader(r.Body)
	limit := int64(m.opts.MaxBody)
	if limit >= 0 {
		if r.ContentLength > limit {
			return nil, http.StatusRequestEntityTooLarge, errors.New("The body is too large.")
		}
		in = http.MaxBytesReader(w, r.Body, limit)
	}
	rc := http.NewResponseController(w)
	b = make([]byte, 0, 512) // it grows with what comes, not with what was announced
	for {
		_ = rc.SetReadDeadline(time.Now().Add(bodyStall)) // where it can be had
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			_ = rc.SetReadDeadline(time.Time{})
			return b, 0, nil
		} else if err != nil {
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return nil, http.StatusRequestEntityTooLarge, errors.New("The body is too large.")
			}
			return nil, http.StatusBadRequest, errors.New("The body cannot be read.")
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// What net/http reads of a body that nobody wanted, and for how long we do.
const (
	maxUnread   = 256 << 10
	unreadStall = 5 * time.Second
)

// drainBody reads what is left of a request's body when it has been answered.
// net/http does so where the connection is to be used again, and stays for half a
// second where that is not the end of it; but where the client has said that it is
// the last request (Connection: close, all of HTTP/1.0) it closes at once, and
// the reset that follows may overtake the answer.
func drainBody(w http.ResponseWriter, r *http.Request, body io.Reader) {
	if r.ProtoMajor != 1 || !r.Close || r.ContentLength == 0 || r.Method == http.MethodGet || r.Header.Get("Expect") != "" {
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.Flush() // the client need not wait for it
	_ = rc.SetReadDeadline(time.Now().Add(unreadStall))
	for { // MaxBytesReader makes net/http stay, if it sees the writer itself
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, io.NopCloser(body), maxUnread))
}

// arguments are those of a JSON array; no text is none.
func arguments(in *wire.Call, text []byte) error {
	in.Args.Codec = jsonwire.Codec{}
	s := jsonwire.Scanner{}
	s.Reset(text)
	if len(text) == 0 {
		return nil
	}
	if s.Kind() != jsonwire.Array {
		return errNotArray
	}
	for s.Array(); s.Element(); {
		raw, _ := s.Value()
		in.Args.List = append(in.Args.List, raw)
		in.Size += 24
	}
	if !s.End() {
		return errNotArray
	}
	return nil
}

// prefersAsync reports whether a client does not wait for the outcome (RFC 7240).
func prefersAsync(r *http.Request) bool {
	for _, v := range r.Header.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			p, _, _ = strings.Cut(p, ";")
			if strings.EqualFold(strings.TrimSpace(p), "respond-async") {
				return true
			}
		}
	}
	return false
}

// callIDs are for Port.Cancel.
var callIDs atomic.Uint64

// begin starts a call: of a connection, or with one of its own. The end that it
// returns waits until done is closed, the request or the connection has ended, and
// gives the call up; it reports whether that was because the connection ended.
func (m *mount) begin(r *http.Request, s *hubStream, in *wire.Call, transport string) (end func(done <-chan struct{}) bool, err error) {
	if s != nil {
		in.ID = callID()
		if err := s.start(r.Context(), in); err != nil {
			return nil, err
		}
		return func(done <-chan struct{}) bool {
			select {
			case <-done:
			case <-s.gone:
				return true
			case <-r.Context().Done():
				s.port.Cancel(in.ID)
			}
			return false
		}, nil
	}
	l := &onceLink{closed: make(chan struct{})}
	port, err := m.hub.OpenOnce(r.Context(), l, randomText(), hubwire.UserFrom(r.Context()), m.request(r, transport))
	if err != nil {
		status, e := m.refusal(err)
		return nil, &refusedError{status, e}
	}
	port.Start(in)
	return func(done <-chan struct{}) (ended bool) {
		select {
		case <-done:
		case <-l.closed:
			ended = true
		case <-r.Context().Done():
		}
		port.End(nil)
		return ended
	}, nil
}

func callID() string {
	n := callIDs.Add(1)
	var b [11]byte
	i := len(b)
	for ; n > 0; n /= 64 {
		i--
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[n%64]
	}
	return string(b[i:])
}

// A onceLink is the link of a call that comes without a connection: nothing is
// sent over it.
type onceLink struct {
	once   sync.Once
	closed chan struct{}
}

func (*onceLink) Framing() wire.Framing          { return hubFraming{} }
func (*onceLink) TryWrite(p []byte) (int, error) { return len(p), nil }
func (*onceLink) Write([]byte) error             { return nil }

// Close tells the request that the hub has ended the call's connection.
func (l *onceLink) Close(error, bool) { l.once.Do(func() { close(l.closed) }) }

// A hubReply takes the outcome of a method.
type hubReply struct {
	done chan struct{} // closed when the following is set
	body []byte        // nil: no result
	err  error
}

// Item is not called: a method has no items.
func (*hubReply) Item(context.Context, any) error { return hubwire.ErrClosed }

func (p *hubReply) Done(v any, err error) {
	defer close(p.done) // also when a marshaler panics, which the hub notes
	if p.err = err; err != nil {
		return
	}
	if _, none := v.(hubwire.None); !none {
		p.err = errEncode // if it panics
		p.body, p.err = jsonwire.Codec{}.Append(nil, v)
	}
}

var errEncode = errors.New("sse: the result cannot be encoded")
