package sse_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A server is an http.Server on pipes, for synctest bubbles.
type server struct {
	*http.Server
	l *listener
}

// newServer serves h over HTTP/1.1 and unencrypted HTTP/2, until the test ends.
func newServer(t *testing.T, h http.Handler, set ...func(*http.Server)) *server {
	t.Helper()
	s := &server{&http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}, &listener{conns: make(chan net.Conn), done: make(chan struct{})}}
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	for _, f := range set {
		f(s.Server)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends when the server is closed
		if err := s.Serve(s.l); err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return s
}

// dial gives the client's end of a new connection.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := s.l.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client is an HTTP client of s. Version 2 is unencrypted HTTP/2.
func (s *server) client(t *testing.T, version int) *http.Client {
	tr := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.l.dial(ctx) }}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(version == 1)
	tr.Protocols.SetUnencryptedHTTP2(version == 2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// get opens a stream.
func get(t *testing.T, c *http.Client, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://test"+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return addr{} }

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }

// An answer is a response as it came over HTTP/1.
type answer struct {
	status string
	header http.Header
	chunks []string // of a chunked body
	body   string   // of another
	end    string   // last-chunk, complete (no body), content-length, eof
	closed bool     // the server closed the connection after it
	headAt time.Duration
	atEach []time.Duration
}

// exchange sends a request and reads its answer, until leave chunks have come
// (negative: to the end).
func (s *server) exchange(t *testing.T, request string, leave int) answer {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	began := time.Now()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, bufio.NewReader(c), strings.HasPrefix(request, "HEAD "), leave, began)
}

func readAnswer(t *testing.T, r *bufio.Reader, head bool, leave int, began time.Time) (a answer) {
	t.Helper()
	line := func() string {
		s, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", s, err)
		}
		return strings.TrimSuffix(s, "\r\n")
	}
	a.status = line()
	a.headAt = time.Since(began)
	a.header = http.Header{}
	for s := line(); s != ""; s = line() {
		k, v, _ := strings.Cut(s, ": ")
		a.header.Add(k, v)
	}
	a.end = "complete"
	switch {
	case head || strings.Contains(a.status, " 204 "):
	case a.header.Get("Transfer-Encoding") == "chunked":
		for a.end = "eof"; ; {
			if len(a.chunks) == leave {
				a.end = "client-closed"
				return a
			}
			s, err := r.ReadString('\n')
			if err != nil {
				a.closed = true
				return a
			}
			n, err := strconv.ParseInt(strings.TrimSpace(s), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, n+2)
			if _, err := io.ReadFull(r, b); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				a.end = "last-chunk"
				break
			}
			a.chunks = append(a.chunks, string(b[:n]))
			a.atEach = append(a.atEach, time.Since(began))
		}
	case a.header.Get("Content-Length") != "":
		n, _ := strconv.Atoi(a.header.Get("Content-Length"))
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		if a.body = string(b); n > 0 {
			a.end = "content-length"
		}
	default:
		b, _ := io.ReadAll(r)
		a.body, a.end, a.closed = string(b), "eof", true
		return a
	}
	a.closed = a.header.Get("Connection") == "close"
	return a
}

// A lines reads a body line by line, so that a test sees what has come.
type lines struct {
	r *bufio.Reader
	t *testing.T
}

func linesOf(t *testing.T, r io.Reader) *lines { return &lines{bufio.NewReader(r), t} }

// want reads exactly this.
func (l *lines) want(text string) {
	l.t.Helper()
	b := make([]byte, len(text))
	n, err := io.ReadFull(l.r, b)
	if err != nil || string(b) != text {
		l.t.Fatalf("got %q, %v\nwant %q", b[:n], err, text)
	}
}

// wantEnd reads to the end: io.EOF, or any other error.
func (l *lines) wantEnd(clean bool) {
	l.t.Helper()
	b, err := io.ReadAll(l.r)
	if len(b) > 0 || (err == nil) != clean {
		l.t.Fatalf("%q, %v; want a clean end: %v", b, err, clean)
	}
}

// A logged is a log that a test reads.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

var (
	discard = slog.New(slog.DiscardHandler)
	errTest = errors.New("source: broken")
)

// texts is a source of strings.
func texts(s ...string) func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for _, v := range s {
			if !yield(v, nil) {
				return
			}
		}
	}
}
