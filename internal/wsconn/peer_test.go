package wsconn_test

import (
	"bufio"
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
	c, err := wsconn.Upgrade(w, r, s.cfg)
	if err != nil {
		return
	}
	s.wg.Go(func() { // ends with the connection
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
	})
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
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return shake(t, nc, more...)
}

func shake(t testing.TB, nc net.Conn, more ...byte) *peer {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	p := &peer{nc, bufio.NewReaderSize(nc, 1<<16)}
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
// may be a reset.
func (p *peer) wantEnd(t testing.TB) {
	t.Helper()
	f := p.recv()
	if f.err != io.EOF && !errors.Is(f.err, syscall.ECONNRESET) && !errors.Is(f.err, io.ErrClosedPipe) {
		t.Fatalf("got %.200q, want the end", fmt.Sprint(f))
	}
}

// wantClosed reads a close frame with the code and no reason, and the end.
func (p *peer) wantClosed(t testing.TB, code int) {
	t.Helper()
	p.want(t, frame{op: wsconn.OpClose, payload: string([]byte{byte(code >> 8), byte(code)})})
	p.wantEnd(t)
}

// f builds a client's frame: fin and rsv as in the first byte, masked.
func f(first byte, payload string) []byte {
	b := wsconn.AppendHeader(nil, first&0x0f, len(payload))
	b[0] = first
	b[1] |= 0x80
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return b
}

func text(s string) []byte { return f(0x81, s) }

// code builds a client's close frame.
func code(c int, reason string) []byte {
	return f(0x88, string([]byte{byte(c >> 8), byte(c)})+reason)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
