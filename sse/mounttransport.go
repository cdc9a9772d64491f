package sse

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/rawconn"
)

// Over HTTP/1.1 the connection of a stream is taken over. Over HTTP/2, and where a
// middleware hides the connection, net/http writes the response and the handler
// stays.

var errNoFlush = hubwire.Errorf(hubwire.CodeInternal, "Streams are not possible here.")

// has reports whether w, or what it wraps, is a T, as http.ResponseController
// looks for it.
func has[T any](w http.ResponseWriter) bool {
	for {
		if _, ok := w.(T); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

func takeable(w http.ResponseWriter, r *http.Request) bool {
	return detachable(r) && has[http.Hijacker](w)
}

func flushable(w http.ResponseWriter) bool {
	return has[http.Flusher](w) || has[interface{ FlushError() error }](w)
}

// A rawTransport is a stream on a connection that was taken over.
type rawTransport struct{ *rawconn.Conn }

// serveRaw takes the connection over and leaves the stream to a goroutine.
func (s *hubStream) serveRaw(w http.ResponseWriter) {
	(&Options{}).setHead(w.Header(), plain)
	head := append(rawHead(w.Header()), hubFraming{true}.frame(s.hello())...)
	nc, _, err := rawconn.Take(w, head, s.m.opts.SendBuffer)
	if err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			s.m.answer(w, http.StatusInternalServerError, errNoFlush)
		}
		s.over(err)
		return
	}
	t := &rawTransport{rawconn.New(nc)}
	s.begin(t)
	go func() { // ends when the connection has ended
		_ = t.Serve() // that a client leaves is no failure
		s.over(nil)
	}()
}

// cutMark takes the mark off the last bytes of a stream.
func cutMark(p []byte) (text []byte, last bool) {
	if n := len(p); n > 0 && p[n-1] == mark {
		return p[:n-1], true
	}
	return p, false
}

func (t *rawTransport) TryWrite(p []byte) (int, error) {
	text, last := cutMark(p)
	n, err := t.Conn.TryWrite(text)
	if last && n == len(text) && n > 0 && err == nil {
		t.End()
		n++
	}
	return n, err
}

func (t *rawTransport) Write(p []byte) error {
	text, last := cutMark(p)
	if err := t.Conn.Write(text); err != nil {
		return err
	}
	if last {
		t.End()
	}
	return nil
}

func (t *rawTransport) leave() { t.Leave() }

func (t *rawTransport) abort() { t.Abort() }

// A responseTransport is a stream that net/http writes.
type responseTransport struct {
	done chan struct{} // closed when all has been written, or nothing will be

	mu  sync.Mutex // guards the following, and is held while something is written
	w   http.ResponseWriter
	end bool // no more may be written

	ctl     sync.Mutex // guards the following; never waits
	rc      *http.ResponseController
	over    bool // done is closed
	aborted bool
	gone    bool // the handler has returned
	late    *time.Timer
}

// lastWait is how long a client may take for the last words.
const lastWait = 5 * time.Second

// serveResponse is the handler's rest: it waits for the end.
func (s *hubStream) serveResponse(w http.ResponseWriter, r *http.Request) {
	t := &responseTransport{w: w, rc: http.NewResponseController(w), done: make(chan struct{})}
	s.m.lift(t.rc, r)
	err := t.open(s.hello())
	if err == nil {
		s.begin(t)
		select {
		case <-t.done:
		case <-r.Context().Done():
		}
	}
	s.over(err)
	if t.close() {
		panic(http.ErrAbortHandler) // a cut is not to look like an end
	}
}

// lift takes the server's own deadlines off a request that lasts.
func (m *mount) lift(rc *http.ResponseController, r *http.Request) {
	_ = rc.SetReadDeadline(time.Time{})
	err := rc.SetWriteDeadline(time.Time{})
	if srv, _ := r.Context().Value(http.ServerContextKey).(*http.Server); err != nil && srv != nil && srv.WriteTimeout > 0 {
		m.hubOpts.Logger.Warn("sse: the server's WriteTimeout ends streams: a middleware's ResponseWriter has no Unwrap", "hub", m.hubOpts.Name, "timeout", srv.WriteTimeout, "err", err)
	}
}

// open sends the head and what the stream begins with.
func (t *responseTransport) open(hello []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	(&Options{}).setHead(t.w.Header(), plain)
	t.w.WriteHeader(http.StatusOK)
	if _, err := t.w.Write(hello); err != nil {
		return err
	}
	return t.rc.Flush()
}

// close ends all writing, and reports whether the stream was cut.
func (t *responseTransport) close() (aborted bool) {
	t.ctl.Lock()
	t.gone = true
	if t.late != nil {
		t.late.Stop()
	}
	aborted = t.aborted
	t.ctl.Unlock()
	t.mu.Lock()
	t.end = true
	t.mu.Unlock()
	return aborted
}

// TryWrite leaves it all to Write, as net/http's writes may wait.
func (t *responseTransport) TryWrite([]byte) (int, error) { return 0, nil }

func (t *responseTransport) Write(p []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end {
		return fmt.Errorf("sse: write: %w", net.ErrClosed)
	}
	text, last := cutMark(p)
	if len(text) > 0 {
		if _, err := t.w.Write(text); err != nil {
			return fmt.Errorf("sse: write: %w", err)
		}
	}
	if err := t.rc.Flush(); err != nil {
		return fmt.Errorf("sse: write: %w", err)
	}
	if last {
		t.end = true
		t.ctl.Lock()
		t.finishLocked()
		t.ctl.Unlock()
	}
	return nil
}

// finishLocked lets the handler go.
func (t *responseTransport) finishLocked() {
	if !t.over {
		t.over = true
		close(t.done)
	}
}

func (t *responseTransport) leave() {
	t.ctl.Lock()
	defer t.ctl.Unlock()
	if t.late == nil && !t.gone {
		t.late = time.AfterFunc(lastWait, t.abort)
	}
}

func (t *responseTransport) abort() {
	t.ctl.Lock()
	defer t.ctl.Unlock()
	if t.gone || t.over {
		return
	}
	t.aborted = true
	t.finishLocked()
	_ = t.rc.SetWriteDeadline(time.Unix(1, 0)) // a Write that waits ends
}
