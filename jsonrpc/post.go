package jsonrpc

import (
	"errors"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
)

// bodyStall is how long the body of a POST may bring nothing.
const bodyStall = 30 * time.Second

// post serves a message or a batch.
func (m *mount) post(w http.ResponseWriter, r *http.Request) {
	if m.svc.opts.Notation != JSON {
		http.Error(w, "MessagePack is spoken over WebSockets alone here", http.StatusMethodNotAllowed)
		return
	}
	if !isMessage(r.Header) {
		w.Header().Set("Accept", "application/json")
		m.refuse(w, http.StatusUnsupportedMediaType, "The Content-Type must be application/json")
		return
	}
	body, status, text := m.body(w, r)
	if status != 0 {
		m.refuse(w, status, text)
		return
	}
	t := &posted{remote: r.RemoteAddr, came: make(chan struct{}), gone: make(chan struct{})}
	c := m.svc.conn(t)
	c.sink = &inBatch{plain: true, notes: true, send: t.answered}
	c.sink.expect()
	if err := c.open(r.Context(), hubwire.UserFrom(r.Context()), m.request(r)); err != nil {
		m.refuseConn(w, err)
		return
	}
	_ = c.text(body) // what is wrong with it is the answer
	c.sink.skip(c)
	c.port.Kick()
	left, ended := false, false
	select {
	case <-t.came:
	case <-r.Context().Done():
		left = true // nobody waits for the answer
	case <-t.gone:
		ended = true
	}
	c.begin(nil)
	c.halt(false)
	c.port.End(nil)
	close(c.closed)
	c.ended()
	if ended {
		select {
		case <-t.came: // when the contexts of its calls had ended
		default:
			m.refuseFull(w)
			return
		}
	}
	switch b := c.sink; {
	case left:
	case len(t.answer) == 0:
		w.WriteHeader(m.opts.Status.none())
	case b.plain:
		m.write(w, m.opts.Status.of(b.code), t.answer)
	default:
		m.write(w, http.StatusOK, t.answer)
	}
}

// isMessage reports whether a body is said to be JSON-RPC. A page of another site
// can send forms, and text, with its reader's cookies; these types it cannot send
// without asking first.
func isMessage(h http.Header) bool {
	t, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || h.Get("Content-Encoding") != "" && !strings.EqualFold(h.Get("Content-Encoding"), "identity") {
		return false
	}
	switch t {
	case "application/json", "application/json-rpc", "application/jsonrequest":
	default:
		return false
	}
	set := params["charset"]
	return set == "" || charsetOf([]byte("x; charset="+set)) == utf8Set
}

// body reads the body; a status that is not 0 refuses it.
func (m *mount) body(w http.ResponseWriter, r *http.Request) (b []byte, status int, text string) {
	limit := int64(m.svc.opts.MaxMessage)
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge, "The body is too large"
	}
	in := http.MaxBytesReader(w, r.Body, limit)
	rc := http.NewResponseController(w)
	b = make([]byte, 0, 512) // it grows with what comes, not with what was announced
	for {
		_ = rc.SetReadDeadline(time.Now().Add(bodyStall)) // where it can be had
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			_ = rc.SetReadDeadline(time.Time{})
			return b, 0, ""
		} else if err != nil {
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return nil, http.StatusRequestEntityTooLarge, "The body is too large"
			}
			return nil, http.StatusBadRequest, "The body cannot be read"
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// A posted is the transport of what one POST brings. Nothing is written to it: the
// answers come together in Conn.sink.
type posted struct {
	remote string
	came   chan struct{} // closed when the answer is there
	answer []byte        // set before
	once   sync.Once
	gone   chan struct{} // closed when the hub has ended the connection
}

func (t *posted) answered(b []byte) {
	t.answer = b
	close(t.came)
}

func (t *posted) TryWrite(p []byte) (int, error) { return len(p), nil }
func (t *posted) Write([]byte) error             { return nil }
func (t *posted) framing() Framing               { return Newline }
func (t *posted) stop(*Conn)                     { t.once.Do(func() { close(t.gone) }) }
func (t *posted) close()                         {}
func (t *posted) name() (string, string)         { return "POST", t.remote }

// refuseConn answers a POST whose connection was refused.
func (m *mount) refuseConn(w http.ResponseWriter, err error) {
	switch e := (*Error)(nil); {
	case errors.Is(err, hubwire.ErrFull), errors.Is(err, hubwire.ErrClosed):
		m.refuseFull(w)
	case errors.Is(err, hubwire.ErrUnauthorized):
		m.refuse(w, http.StatusForbidden, "Unauthorized")
	default:
		e = failed(err, m.svc.detailed)
		m.refuseWith(w, http.StatusForbidden, e)
	}
}

// refuseFull answers who cannot be let in now.
func (m *mount) refuseFull(w http.ResponseWriter) {
	text := "Too many connections"
	if m.svc.hub.Closing() {
		text = "The server is shutting down"
	}
	w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(10)))
	m.refuse(w, http.StatusServiceUnavailable, text)
}

// refuse answers with a status, and an error of JSON-RPC.
func (m *mount) refuse(w http.ResponseWriter, status int, text string) {
	m.refuseWith(w, status, &Error{Code: CodeInvalidRequest, Message: text + "."})
}

func (m *mount) refuseWith(w http.ResponseWriter, status int, e *Error) {
	m.write(w, status, m.svc.d.appendError(nil, nullID, e, m.svc.d.Codec()))
}

func (m *mount) write(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that has gone needs no answer
}
