package wsconn_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/internal/wsconn/cases"
)

// An echo answers every message with the same message in one frame. It writes
// as a hub does: at once what the kernel takes, the rest by a goroutine that
// lives as long as there is a rest.
type echo struct {
	c   *wsconn.Conn
	msg []byte
	out []byte

	mu       sync.Mutex
	queue    []byte
	draining bool
	most     int // bytes that the queue had at most
	pings    int // control frames that were handed over
	wg       sync.WaitGroup
}

func (e *echo) Data(p []byte, binary, last bool) error {
	e.msg = append(e.msg, p...)
	if last {
		e.out = wsconn.AppendFrame(e.out, !binary, e.msg)
		e.msg = e.msg[:0]
	}
	return nil
}

func (e *echo) Control(frame []byte) {
	e.flush() // in the order of what came
	e.mu.Lock()
	e.pings++
	e.mu.Unlock()
	e.send(frame)
}

func (e *echo) Idle() error {
	e.flush()
	return nil
}

func (e *echo) flush() {
	if len(e.out) > 0 {
		e.send(e.out)
		e.out = e.out[:0]
	}
}

func (e *echo) send(p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.draining {
		n, err := e.c.TryWrite(p)
		if n == len(p) || err != nil {
			return
		}
		p = p[n:]
		e.draining = true
		e.wg.Go(e.drain) // ends when the queue is empty, or with the connection
	}
	e.queue = append(e.queue, p...)
	e.most = max(e.most, len(e.queue))
}

func (e *echo) drain() {
	for {
		e.mu.Lock()
		p := e.queue
		e.queue = nil
		if len(p) == 0 {
			e.draining = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		if e.c.Write(p) != nil {
			e.mu.Lock()
			e.queue, e.draining = nil, false
			e.mu.Unlock()
			return
		}
	}
}

// A server upgrades all that comes.
type server struct {
	*httptest.Server
	handler func(*wsconn.Conn) wsconn.Handler // nil: echo
	cfg     *wsconn.Config
	dialer  func() net.Conn // nil: as the listener says
	conns   chan *wsconn.Conn
	ends    chan error // what each Serve returned
	wg      sync.WaitGroup
}

// serve starts a server that closes with the test.
func serve(t testing.TB, s *server) *server {
	s.conns = make(chan *wsconn.Conn, 100)
	s.ends = make(chan error, 10_000)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.upgrade))
	t.Cleanup(func() {
		s.Close()
		s.wg.Wait()
	})
	return s
}

func (s *server) upgrade(w http.ResponseWriter, r *http.Request) {
	s.wg.Add(1) // before the client has the answer, and the test its end
	c, err := wsconn.Upgrade(w, r, s.cfg)
	if err != nil {
		s.wg.Done()
		return
	}
	go func() { // ends with the connection
		defer s.wg.Done()
		var h wsconn.Handler
		if s.handler != nil {
			h = s.handler(c)
		} else {
			e := &echo{c: c}
			defer e.wg.Wait()
			h = e
		}
		select {
		case s.conns <- c:
		default:
		}
		s.ends <- c.Serve(h)
	}()
}

// end is what Serve returned.
func (s *server) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.ends:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not end")
		return nil
	}
}

// A peer is a client that writes what it likes.
type peer struct {
	net.Conn
	r *bufio.Reader
}

const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// dial connects a peer. What follows the request is sent with it.
func dial(t testing.TB, s *server, more ...byte) *peer {
	t.Helper()
	if s.URL == "" {
		s.Start()
	}
	if s.dialer != nil {
		return shake(t, s.dialer(), more...)
	}
	a := s.Listener.Addr()
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS != nil {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	return shake(t, nc, more...)
}

// A pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *pipes) dial() net.Conn {
	a, b := net.Pipe()
	l.conns <- b
	return a
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func newReader(nc net.Conn) *bufio.Reader { return bufio.NewReaderSize(nc, 1<<16) }

func shake(t testing.TB, nc net.Conn, more ...byte) *peer {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	p := &peer{nc, newReader(nc)}
	p.send(t, append([]byte(request), more...))
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("answer to the upgrade: %v", res)
	}
	return p
}

func (p *peer) send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := p.Write(b); err != nil {
		t.Fatal(err)
	}
}

// A frame is one that came, or its error.
type frame struct {
	op      byte
	payload string
	err     error
}

// recv reads one frame. The server's frames are whole and unmasked.
func (p *peer) recv() frame {
	var h [10]byte
	if _, err := io.ReadFull(p.r, h[:2]); err != nil {
		return frame{err: err}
	}
	if h[0]&0xf0 != 0x80 || h[1]&0x80 != 0 {
		return frame{err: fmt.Errorf("header % x", h[:2])}
	}
	n := uint64(h[1])
	switch n {
	case 126:
		io.ReadFull(p.r, h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		io.ReadFull(p.r, h[2:10])
		n = binary.BigEndian.Uint64(h[2:])
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return frame{err: err}
	}
	return frame{op: h[0] & 0x0f, payload: string(b)}
}

// want reads frames and compares them.
func (p *peer) want(t testing.TB, fs ...frame) {
	t.Helper()
	for i, f := range fs {
		if g := p.recv(); g != f {
			t.Fatalf("frame %d:\n got %.200q\nwant %.200q", i, fmt.Sprint(g), fmt.Sprint(f))
		}
	}
}

// wantEnd reads the end of the connection: nothing may come before it, but it
// may be a reset. Then it closes its own end, as clients do.
func (p *peer) wantEnd(t testing.TB) {
	t.Helper()
	f := p.recv()
	if f.err != io.EOF && !errors.Is(f.err, syscall.ECONNRESET) && !errors.Is(f.err, io.ErrClosedPipe) {
		t.Fatalf("got %.200q, want the end", fmt.Sprint(f))
	}
	p.Close()
}

// wantClosed reads a close frame with the code and no reason, and the end.
func (p *peer) wantClosed(t testing.TB, code int) {
	t.Helper()
	p.want(t, frame{op: wsconn.OpClose, payload: string([]byte{byte(code >> 8), byte(code)})})
	p.wantEnd(t)
}

// f is a client's frame, as bytes.
func f(first byte, payload string) []byte {
	return cases.Frame{First: first, Payload: payload}.Append(nil)
}

func text(s string) []byte { return f(0x81, s) }
func ping(s string) []byte { return f(0x89, s) }

func code(c int, reason string) []byte { return cases.Close(c, reason).Append(nil) }

func pieces(s string, n int) []byte { return cases.Step{Send: cases.Pieces(s, n)}.Bytes() }

func txt(s string) frame  { return frame{op: wsconn.OpText, payload: s} }
func pong(s string) frame { return frame{op: wsconn.OpPong, payload: s} }

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
