package signalr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hubwire/hubwire/internal/rawconn"
	"github.com/hubwire/hubwire/wire"
)

// Server-Sent Events (section 2.3): a response that lasts, with an event for
// what the hub sends; the client posts what it has to say (input.go). Over
// HTTP/1.1 the connection is taken over. Over HTTP/2, and where a middleware
// hides the connection, net/http writes the response and the handler stays.

// firstBytes make an EventSource open.
const firstBytes = ":\r\n"

// eventHeaders are the response's.
var eventHeaders = [][2]string{
	{"Content-Type", "text/event-stream"},
	{"Cache-Control", "no-cache,no-store"},
	{"Pragma", "no-cache"},
	{"Content-Encoding", "identity"},
}

// events starts a connection over an event stream.
func (m *mount) events(w http.ResponseWriter, r *http.Request) {
	c, fresh := m.begin(w, r, ServerSentEvents)
	if !fresh {
		return
	}
	for _, h := range eventHeaders {
		w.Header()[h[0]] = []string{h[1]}
	}
	if r.ProtoMajor == 1 && r.ProtoAtLeast(1, 1) {
		nc, _, err := rawconn.Take(w, eventHead(w.Header()), m.opts.SendBuffer)
		if err == nil {
			s := &stream{Conn: rawconn.New(nc), conn: c}
			c.start(s)
			c.in.start()
			go s.serve() // ends when the connection has ended
			return
		}
		if !errors.Is(err, http.ErrNotSupported) {
			m.hubOpts.Logger.Info("signalr: event stream failed", "hub", m.hubOpts.Name, "err", err)
			c.t = noTransport{}
			c.over(nil)
			return
		}
		m.hubOpts.Logger.Debug("signalr: event stream costs more memory", "hub", m.hubOpts.Name, "err", err)
	}
	s := newResponse(w, c)
	c.start(s)
	s.serve(r)
}

// eventHead is the head of a response on a connection that was taken over. It
// carries the headers that a middleware has set.
func eventHead(h http.Header) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	_ = h.WriteSubset(&b, map[string]bool{"Connection": true, "Transfer-Encoding": true, "Content-Length": true, "Date": true, "Trailer": true, "Keep-Alive": true}) // to memory
	fmt.Fprintf(&b, "\r\n%x\r\n%s\r\n", len(firstBytes), firstBytes)
	return b.Bytes()
}

// A stream is an event stream on a connection that was taken over.
type stream struct {
	*rawconn.Conn
	conn *conn
	out  follower // of whoever writes
}

// serve is the stream's goroutine: it notices the end.
func (s *stream) serve() { s.conn.over(s.conn.safely(s.Serve)) }

// TryWrite writes what the socket takes.
func (s *stream) TryWrite(p []byte) (int, error) {
	n, err := s.Conn.TryWrite(p)
	s.wrote(p[:n])
	if err != nil {
		s.conn.marks.set(isLost)
	}
	return n, err
}

// Write writes all of p.
func (s *stream) Write(p []byte) error {
	if err := s.Conn.Write(p); err != nil {
		s.conn.marks.set(isLost)
		return err
	}
	s.wrote(p)
	return nil
}

// wrote looks for the end in what was written.
func (s *stream) wrote(p []byte) {
	for len(p) > 0 {
		n, _, end := s.out.next(p)
		if end == last {
			s.End()
		}
		p = p[n:]
	}
}

func (s *stream) Framing() wire.Framing { return s.conn.framed().Framing }

// Unacked is how many bytes the hub keeps until they are acknowledged.
func (s *stream) Unacked() int { return s.conn.unacked() }

// Greeting is the answer to the handshake.
func (s *stream) Greeting() []byte { return s.conn.greeting() }

// Close ends the connection for the hub.
func (s *stream) Close(reason error, reconnect bool) { s.conn.close(reason, reconnect) }

func (s *stream) framings() *framings { return &eventFramings }

func (s *stream) bye() []byte { return []byte(lastChunk) }

func (s *stream) leave() { s.Leave() }

func (s *stream) abort() { s.Abort() }

func (s *stream) known() bool { return false }

// A response is an event stream that net/http writes, in chunks of its own.
type response struct {
	conn *conn
	done chan struct{} // closed when all has been written, or nothing will be

	mu  sync.Mutex // guards the following, and is held while something is written
	w   http.ResponseWriter
	out follower
	end bool // no more may be written

	ctl     sync.Mutex // guards the following; never waits
	rc      *http.ResponseController
	over    bool // done is closed
	aborted bool
	gone    bool // the handler has returned
	late    *time.Timer
}

func newResponse(w http.ResponseWriter, c *conn) *response {
	return &response{conn: c, w: w, rc: http.NewResponseController(w), done: make(chan struct{})}
}

// serve is the handler's rest: it waits for the end.
func (s *response) serve(r *http.Request) {
	s.conn.mount.lift(s.rc, r)
	err := s.open()
	if err == nil {
		s.conn.in.start()
		select {
		case <-s.done:
		case <-r.Context().Done():
			err = io.EOF
		}
	}
	s.conn.over(err)
	s.ctl.Lock()
	s.gone = true
	if s.late != nil {
		s.late.Stop()
	}
	aborted := s.aborted
	s.ctl.Unlock()
	s.mu.Lock()
	s.end = true
	s.mu.Unlock()
	if aborted {
		panic(http.ErrAbortHandler) // a cut is not to look like an end
	}
}

// lift takes the server's own deadlines off a request that lasts.
func (m *mount) lift(rc *http.ResponseController, r *http.Request) {
	_ = rc.SetReadDeadline(time.Time{})
	err := rc.SetWriteDeadline(time.Time{})
	if srv, _ := r.Context().Value(http.ServerContextKey).(*http.Server); err != nil && srv != nil && srv.WriteTimeout > 0 {
		m.hubOpts.Logger.Warn("signalr: the server's WriteTimeout ends event streams and polls: a middleware's ResponseWriter has no Unwrap", "hub", m.hubOpts.Name, "timeout", srv.WriteTimeout, "err", err)
	}
}

// open sends the head.
func (s *response) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.WriteHeader(http.StatusOK)
	if _, err := io.WriteString(s.w, firstBytes); err != nil {
		return err
	}
	return s.rc.Flush()
}

// TryWrite leaves it all to Write, as net/http's writes may wait.
func (s *response) TryWrite([]byte) (int, error) { return 0, nil }

// Write writes all of p.
func (s *response) Write(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		return fmt.Errorf("signalr: event stream: write: %w", net.ErrClosed)
	}
	for len(p) > 0 {
		n, data, end := s.out.next(p)
		p = p[n:]
		if len(data) > 0 {
			if _, err := s.w.Write(data); err != nil {
				return s.failed(err)
			}
		}
		if end == last {
			s.end = true
			s.finish()
			return nil
		}
	}
	if err := s.rc.Flush(); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s *response) failed(err error) error {
	s.conn.marks.set(isLost)
	return fmt.Errorf("signalr: event stream: write: %w", err)
}

// finish lets the handler go.
func (s *response) finish() {
	s.ctl.Lock()
	defer s.ctl.Unlock()
	if !s.over {
		s.over = true
		close(s.done)
	}
}

func (s *response) Framing() wire.Framing { return s.conn.framed().Framing }

// Unacked is how many bytes the hub keeps until they are acknowledged.
func (s *response) Unacked() int { return s.conn.unacked() }

// Greeting is the answer to the handshake.
func (s *response) Greeting() []byte { return s.conn.greeting() }

// Close ends the connection for the hub.
func (s *response) Close(reason error, reconnect bool) { s.conn.close(reason, reconnect) }

func (s *response) framings() *framings { return &eventFramings }

func (s *response) bye() []byte { return []byte(lastChunk) }

func (s *response) leave() {
	s.ctl.Lock()
	defer s.ctl.Unlock()
	if s.late == nil && !s.gone {
		s.late = time.AfterFunc(lastWait, s.abort)
	}
}

// abort ends the response, and a Write that waits.
func (s *response) abort() {
	s.ctl.Lock()
	defer s.ctl.Unlock()
	if s.gone || s.aborted {
		return
	}
	s.aborted = true
	if !s.over {
		s.over = true
		close(s.done)
	}
	_ = s.rc.SetWriteDeadline(time.Unix(1, 0))
}

func (s *response) known() bool { return false }
