package wsconn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// funcs is a Handler made of functions; nil ones do nothing.
type funcs struct {
	data    func(p []byte, binary, last bool) error
	control func(frame []byte)
	idle    func() error
}

func (h *funcs) Data(p []byte, binary, last bool) error {
	if h.data == nil {
		return nil
	}
	return h.data(p, binary, last)
}

func (h *funcs) Control(frame []byte) {
	if h.control != nil {
		h.control(frame)
	}
}

func (h *funcs) Idle() error {
	if h.idle == nil {
		return nil
	}
	return h.idle()
}

// onBoth runs a test on the direct and on the ordinary path.
func onBoth(t *testing.T, run func(t *testing.T, cfg *wsconn.Config)) {
	t.Helper()
	t.Run("direct", func(t *testing.T) { run(t, &wsconn.Config{}) })
	t.Run("ordinary", func(t *testing.T) { run(t, wsconn.Ordinary(wsconn.Config{})) })
}

var closing = wsconn.AppendClose(nil, 1000, "")

func TestServerCloses(t *testing.T) {
	tests := []struct {
		name string
		act  func(p *peer, t *testing.T) // after the server's close frame has come
		want error
	}{
		{"and the client answers", func(p *peer, t *testing.T) { p.send(t, code(1000, "")) }, nil},
		{"and the client answers with another code", func(p *peer, t *testing.T) { p.send(t, code(4000, "so what")) }, nil},
		{"and the client goes on for a while", func(p *peer, t *testing.T) {
			p.send(t, join(text("more"), ping("x"), f(0x01, "\xce"), code(1000, "")))
		}, nil},
		{"and the client goes", func(p *peer, t *testing.T) { p.Close() }, nil},
		{"and the client ends its output", func(p *peer, t *testing.T) { p.Conn.(*net.TCPConn).CloseWrite() }, nil},
		{"and the client resets", func(p *peer, t *testing.T) { p.Conn.(*net.TCPConn).SetLinger(0); p.Close() }, nil},
		{"and the client talks nonsense", func(p *peer, t *testing.T) { p.send(t, f(0x83, "")) }, &wsconn.CloseError{Code: 1002, Reason: "reserved opcode"}},
		{"and the client's close frame is bad", func(p *peer, t *testing.T) { p.send(t, code(999, "")) }, &wsconn.CloseError{Code: 1002, Reason: "a close frame has a code that is not to be sent"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
				calls := 0
				s := serve(t, &server{cfg: cfg})
				s.handler = func(c *wsconn.Conn) wsconn.Handler {
					return &funcs{
						data: func(p []byte, _, _ bool) error {
							calls++
							c.CloseSent(1000)
							return c.Write(closing)
						},
						control: func(f []byte) { t.Errorf("control frame % x", f) },
						idle:    func() error { t.Error("Idle after the closing began"); return nil },
					}
				}
				p := dial(t, s, join(text("go"), text("this comes too late"))...)
				p.want(t, frame{op: 8, payload: "\x03\xe8"})
				tt.act(p, t)
				if f := p.recv(); f.err == nil {
					t.Errorf("got %v behind the close frame", f)
				}
				p.Close()
				err := s.end(t)
				if tt.want == nil && err != nil || tt.want != nil && (err == nil || err.Error() != tt.want.Error()) {
					t.Errorf("Serve: %v, want %v", err, tt.want)
				}
				if calls != 1 {
					t.Errorf("%d calls of Data, want 1", calls)
				}
			})
		})
	}
}

// The close frame may wait in the caller's queue while the peer's comes; both
// must go their way.
func TestCloseFramesCross(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		s := serve(t, &server{cfg: cfg})
		s.handler = func(c *wsconn.Conn) wsconn.Handler { return &funcs{} }
		p := dial(t, s)
		c := <-s.conns
		c.CloseSent(1000)
		p.send(t, join(code(1000, ""), text("late")))
		if err := c.Write(closing[:1]); err != nil { // in two parts
			t.Fatal(err)
		}
		if err := c.Write(closing[1:]); err != nil {
			t.Fatal(err)
		}
		p.wantClosed(t, 1000)
		if err := s.end(t); err != nil {
			t.Errorf("Serve: %v", err)
		}
		for _, err := range []error{c.Write([]byte("x")), func() error { _, err := c.TryWrite([]byte("x")); return err }()} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("write behind the close frame: %v", err)
			}
		}
	})
}

// The answer to a close frame, and an error's close frame, come behind what is
// on its way to a client that is slow.
func TestCloseBehindBacklog(t *testing.T) {
	for name, tt := range map[string]struct {
		send []byte
		code int
	}{"clean": {code(1001, ""), 1000}, "error": {f(0x83, ""), 1002}, "bad text": {text("\xff"), 1007}} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
				cfg.SendBuffer = 64 << 10
				long := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
				s := serve(t, &server{cfg: cfg})
				started := make(chan *echo, 1)
				s.handler = func(c *wsconn.Conn) wsconn.Handler {
					e := &echo{c: c}
					started <- e
					return e
				}
				p := dial(t, s)
				e := <-started
				e.send(wsconn.AppendFrame(nil, true, []byte(long)))
				p.send(t, tt.send)
				p.want(t, txt(long))
				p.wantClosed(t, tt.code)
				p.Close()
				err := s.end(t)
				if e, ok := errors.AsType[*wsconn.CloseError](err); tt.code == 1000 && err != nil || tt.code != 1000 && (!ok || e.Code != tt.code) {
					t.Errorf("Serve: %v", err)
				}
				e.wg.Wait()
			})
		})
	}
}

func TestEndWithoutClose(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		s := serve(t, &server{cfg: cfg})
		// Row 52: half-close.
		p := dial(t, s, text("x")...)
		p.want(t, txt("x"))
		p.Conn.(*net.TCPConn).CloseWrite()
		p.wantEnd(t)
		if err := s.end(t); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Serve: %v", err)
		}
		// A reset inside a frame.
		p = dial(t, s, text("x")...)
		p.want(t, txt("x"))
		p.send(t, text("incomplete")[:9])
		p.Conn.(*net.TCPConn).SetLinger(0)
		p.Close()
		if err := s.end(t); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Serve: %v", err)
		}
		// The end inside a header, a message, and a control frame.
		for _, b := range [][]byte{{0x81}, text("ab")[:7], f(0x01, "abc"), ping("abcd")[:8]} {
			p = dial(t, s, b...)
			p.Close()
			if err := s.end(t); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after % x: Serve: %v", b, err)
			}
		}
	})
}

func TestHandlerErrors(t *testing.T) {
	errMine := errors.New("mine")
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		s := serve(t, &server{cfg: cfg})
		t.Run("Data", func(t *testing.T) {
			s.handler = func(*wsconn.Conn) wsconn.Handler {
				return &funcs{data: func([]byte, bool, bool) error { return errMine }, idle: func() error { t.Error("Idle after an error"); return nil }}
			}
			p := dial(t, s, text("x")...)
			p.wantEnd(t)
			if err := s.end(t); err != errMine {
				t.Errorf("Serve: %v", err)
			}
		})
		t.Run("Idle", func(t *testing.T) {
			s.handler = func(*wsconn.Conn) wsconn.Handler { return &funcs{idle: func() error { return errMine }} }
			p := dial(t, s, text("x")...)
			p.wantEnd(t)
			if err := s.end(t); err != errMine {
				t.Errorf("Serve: %v", err)
			}
		})
		t.Run("with a close frame", func(t *testing.T) {
			s.handler = func(c *wsconn.Conn) wsconn.Handler {
				return &funcs{data: func([]byte, bool, bool) error {
					c.Write(wsconn.AppendClose(nil, 1009, "too big"))
					return errMine
				}}
			}
			p := dial(t, s, text(strings.Repeat("x", 1<<20))...)
			p.want(t, frame{op: 8, payload: "\x03\xf1too big"})
			p.send(t, code(1009, ""))
			p.wantEnd(t)
			if err := s.end(t); err != errMine {
				t.Errorf("Serve: %v", err)
			}
		})
	})
}

func TestPanicClosesTheConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		a, b := loopback(t)
		defer a.Close()
		c := wsconn.New(b, cfg)
		a.Write(text("x"))
		func() {
			defer func() {
				if recover() != "mine" {
					t.Error("the panic did not pass")
				}
			}()
			c.Serve(&funcs{data: func([]byte, bool, bool) error { panic("mine") }})
		}()
		a.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := a.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d, %v", n, err)
		}
		c.Abort()
		if _, err := c.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("TryWrite: %v", err)
		}
	})
}

// loopback is a pair of TCP connections.
func loopback(t testing.TB) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestAbort(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		wantAborted := func(t *testing.T, err error) {
			t.Helper()
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("Serve: %v", err)
			}
		}
		t.Run("while parked, by many", func(t *testing.T) {
			s := serve(t, &server{cfg: cfg})
			p := dial(t, s)
			c := <-s.conns
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(c.Abort)
			}
			wg.Wait()
			p.wantEnd(t)
			wantAborted(t, s.end(t))
			c.Abort()
		})
		t.Run("inside Data", func(t *testing.T) {
			calls := 0
			s := serve(t, &server{cfg: cfg})
			s.handler = func(c *wsconn.Conn) wsconn.Handler {
				return &funcs{data: func([]byte, bool, bool) error { calls++; c.Abort(); return nil }}
			}
			p := dial(t, s, join(text("a"), text("b"))...)
			p.wantEnd(t)
			wantAborted(t, s.end(t))
			if calls != 1 {
				t.Errorf("%d calls of Data", calls)
			}
		})
		t.Run("before Serve", func(t *testing.T) {
			a, b := loopback(t)
			defer a.Close()
			c := wsconn.New(b, cfg)
			a.Write(text("x"))
			c.Abort()
			wantAborted(t, c.Serve(&funcs{data: func([]byte, bool, bool) error { t.Error("Data"); return nil }}))
		})
		t.Run("ends a Write that waits", func(t *testing.T) {
			// Row 52: a client that never reads.
			s := serve(t, &server{cfg: cfg})
			p := dial(t, s)
			c := <-s.conns
			big := make([]byte, 1<<20)
			end := make(chan error, 1)
			go func() { // ends with Abort
				for {
					if err := c.Write(big); err != nil {
						end <- err
						return
					}
				}
			}()
			waits(t, "wsconn.(*Conn).Write")
			c.Abort()
			if err := <-end; err == nil {
				t.Error("Write has no error")
			}
			wantAborted(t, s.end(t))
			p.Close()
		})
	})
}

// Row 52: a client that does not read until its end. What the kernel holds for it
// is thrown away, and not offered for minutes.
func TestUndeliveredIsReset(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		t.Run("aborted", func(t *testing.T) { undelivered(t, cfg, false) })
		t.Run("while a close frame waits", func(t *testing.T) { undelivered(t, cfg, true) })
	})
}

func undelivered(t *testing.T, cfg *wsconn.Config, closing bool) {
	s := serve(t, &server{cfg: cfg})
	p := dial(t, s)
	c := <-s.conns
	end := make(chan error, 1)
	go func() { // ends with Abort
		for {
			if err := c.Write(make([]byte, 1<<20)); err != nil {
				end <- err
				return
			}
		}
	}()
	waits(t, "wsconn.(*Conn).Write")
	if closing {
		c.CloseSent(1000)
	}
	c.Abort()
	<-end
	s.end(t)
	if _, err := io.Copy(io.Discard, p.Conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client's end: %v", err)
	}
}

func TestTryWriteDoesNotWait(t *testing.T) {
	s := serve(t, &server{cfg: &wsconn.Config{SendBuffer: 32 << 10}})
	p := dial(t, s)
	c := <-s.conns
	b := make([]byte, 1<<20)
	total := 0
	for {
		n, err := c.TryWrite(b)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	// The kernel's, on both sides; without SO_SNDBUF it would be up to 4 MiB more.
	if total == 0 || total > 8<<20 {
		t.Errorf("the kernel took %d bytes", total)
	}
	if n, err := c.TryWrite(nil); n != 0 || err != nil {
		t.Errorf("TryWrite of nothing: %d, %v", n, err)
	}
	// Once the client reads, it goes on.
	go io.CopyN(io.Discard, p, int64(total))
	if err := c.Write(b[:1]); err != nil {
		t.Error(err)
	}
	c.Abort()
	if _, err := c.TryWrite(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("TryWrite after Abort: %v", err)
	}
	s.end(t)
}

func TestTryWriteOnTheOrdinaryPath(t *testing.T) {
	s := serve(t, &server{cfg: wsconn.Ordinary(wsconn.Config{})})
	p := dial(t, s)
	c := <-s.conns
	if n, err := c.TryWrite([]byte("\x81\x01a")); n != 0 || err != nil {
		t.Errorf("TryWrite: %d, %v", n, err)
	}
	if err := c.Write([]byte("\x81\x01b")); err != nil {
		t.Error(err)
	}
	p.want(t, txt("b"))
	c.Abort()
	if n, err := c.TryWrite([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("TryWrite after Abort: %d, %v", n, err)
	}
	s.end(t)
}

// A halfway is a connection in memory whose output can end alone.
type halfway struct {
	net.Conn
	ended chan struct{}
}

func (h halfway) CloseWrite() error { close(h.ended); return nil }

// After the closing handshake the reader waits for the peer, and not for long.
func TestLinger(t *testing.T) {
	for name, tt := range map[string]struct {
		send []byte
		code int
	}{"clean": {code(1000, ""), 1000}, "error": {f(0x83, ""), 1002}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				defer a.Close()
				h := halfway{b, make(chan struct{})}
				c := wsconn.New(h, &wsconn.Config{})
				e := &echo{c: c}
				end := make(chan error, 1)
				go func() { end <- c.Serve(e) }() // ends after a second
				a.Write(tt.send)
				(&peer{a, newReader(a)}).want(t, frame{op: 8, payload: string([]byte{byte(tt.code >> 8), byte(tt.code)})})
				start := time.Now()
				<-h.ended
				for range 5 {
					a.Write(text("late"))
					time.Sleep(100 * time.Millisecond)
				}
				err := <-end
				if tt.code == 1000 && err != nil || tt.code != 1000 && err == nil {
					t.Errorf("Serve: %v", err)
				}
				if d := time.Since(start); d != time.Second {
					t.Errorf("waited %v", d)
				}
			})
		})
	}
}

// The client sees the end of input at once, while the server still listens: what
// the client sends meanwhile does no harm to what it has not read yet.
func TestOutputEndsAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		// On a slow machine the server may have waited long enough and be gone.
		for range 5 {
			if outputEndsAlone(t, cfg) {
				return
			}
		}
		t.Error("the end came only with the server's own")
	})
}

func outputEndsAlone(t *testing.T, cfg *wsconn.Config) bool {
	s := serve(t, &server{cfg: cfg})
	p := dial(t, s, join(text("a"), code(1000, ""))...)
	start := time.Now()
	for range 100 {
		if _, err := p.Write(text("late")); err != nil {
			t.Fatal(err)
		}
	}
	p.want(t, txt("a"), frame{op: 8, payload: "\x03\xe8"})
	f := p.recv()
	alone := time.Since(start) < 900*time.Millisecond // it waits a second
	if alone && f.err != io.EOF {
		t.Errorf("got %v, want the end of input", f)
	}
	p.Close()
	if err := s.end(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
	return alone
}

// Answers that wait for Idle leave before the answer to a close frame that came
// with their questions.
func TestIdleBeforeClose(t *testing.T) {
	for _, last := range [][]byte{code(1000, ""), f(0x83, "")} {
		s := serve(t, &server{})
		s.handler = func(c *wsconn.Conn) wsconn.Handler {
			var out []byte
			return &funcs{
				data:    func(p []byte, _, _ bool) error { out = wsconn.AppendFrame(out, true, p); return nil },
				idle:    func() error { err := c.Write(out); out = nil; return err },
				control: func(f []byte) { c.Write(f) },
			}
		}
		p := dial(t, s, join(text("a"), text("b"), last)...)
		p.want(t, txt("a"), txt("b"))
		if f := p.recv(); f.op != wsconn.OpClose {
			t.Errorf("got %v", f)
		}
		p.wantEnd(t)
	}
}

// The closing handshake has an end also where the peer does nothing for it.
func TestCloseTimeout(t *testing.T) {
	inMemory := func(t *testing.T, h func(*wsconn.Conn) wsconn.Handler) (*wsconn.Conn, net.Conn, chan error) {
		a, b := net.Pipe()
		c := wsconn.New(b, &wsconn.Config{})
		end := make(chan error, 1)
		go func() { end <- c.Serve(h(c)) }() // ends with the pipe
		t.Cleanup(func() { a.Close() })
		return c, a, end
	}
	took := func(t *testing.T, start time.Time) {
		t.Helper()
		if d := time.Since(start); d != wsconn.CloseTimeout {
			t.Errorf("took %v, want %v", d, wsconn.CloseTimeout)
		}
	}
	t.Run("the peer does not answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, end := inMemory(t, func(*wsconn.Conn) wsconn.Handler { return &funcs{} })
			start := time.Now()
			go c.Write(closing) // ends with the pipe
			io.ReadFull(a, make([]byte, 4))
			for range 4 {
				time.Sleep(time.Second)
				a.Write(text("I am not listening"))
			}
			if err := <-end; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Serve: %v", err)
			}
			took(t, start)
		})
	})
	t.Run("the close frame does not leave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _, end := inMemory(t, func(*wsconn.Conn) wsconn.Handler { return &funcs{} })
			start := time.Now()
			c.CloseSent(1000)
			c.CloseSent(1000)
			if err := <-end; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Serve: %v", err)
			}
			took(t, start)
		})
	})
	t.Run("the answer does not leave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			frames := 0
			_, a, end := inMemory(t, func(*wsconn.Conn) wsconn.Handler { return &funcs{control: func([]byte) { frames++ }} })
			start := time.Now()
			a.Write(code(1000, ""))
			if err := <-end; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Serve: %v", err)
			}
			took(t, start)
			if frames != 1 {
				t.Errorf("%d close frames", frames)
			}
		})
	})
	t.Run("the close frame of an error does not leave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, end := inMemory(t, func(*wsconn.Conn) wsconn.Handler { return &funcs{} })
			start := time.Now()
			a.Write(f(0x83, "nonsense"))
			if e, ok := errors.AsType[*wsconn.CloseError](<-end); !ok || e.Code != 1002 {
				t.Errorf("Serve: %v", e)
			}
			took(t, start)
		})
	})
}
