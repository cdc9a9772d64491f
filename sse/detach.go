package sse

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// sendBuffer is the kernel's send buffer of a detached stream: without a bound
// it takes up to 4 MiB for a client that does not read.
const sendBuffer = 128 << 10

// detachable reports whether a request's connection may be taken over.
func detachable(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoAtLeast(1, 1) && r.Method != http.MethodHead
}

// rawHead is the head of a response on a connection that was taken over, with
// the headers that middleware has set.
func rawHead(h http.Header) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	_ = h.WriteSubset(&b, map[string]bool{"Connection": true, "Transfer-Encoding": true, "Content-Length": true, "Date": true, "Trailer": true, "Keep-Alive": true}) // to memory
	b.WriteString("\r\n")
	return b.Bytes()
}

// take takes the connection over and sends the head. Nothing of the request may
// be kept.
func take(w http.ResponseWriter, r *http.Request, opts *Options, enc encoding) (*rawconn.Conn, error) {
	if !detachable(r) {
		return nil, fmt.Errorf("sse: detach: %s %s: %w", r.Method, r.Proto, http.ErrNotSupported)
	}
	h := w.Header().Clone()
	if h == nil {
		h = http.Header{}
	}
	opts.setHead(h, enc)
	nc, _, err := rawconn.Take(w, rawHead(h), sendBuffer)
	if err != nil {
		return nil, fmt.Errorf("sse: detach: %w", err)
	}
	return rawconn.New(nc), nil
}

// detach makes s a detached session.
func (s *Session) detach(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	s.drain.add(s, s.opts.Detach) // before the client knows of the stream
	conn, err := take(w, r, &s.opts, s.enc)
	if err != nil {
		s.closeLocked()
		s.mu.Unlock()
		s.cancel(err)
		return err
	}
	s.conn, s.head = conn, true
	s.startLocked()
	err = s.flushLocked()
	s.mu.Unlock()
	go s.watch(conn) // ends with the connection
	return err
}

// watch waits for the connection's end.
func (s *Session) watch(conn *rawconn.Conn) {
	err := conn.Serve()
	if err == nil {
		err = ErrClosed
	}
	s.cancel(fmt.Errorf("sse: %w", err))
	s.mu.Lock()
	s.closeLocked()
	s.mu.Unlock()
}
