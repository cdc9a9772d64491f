package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// Rows 46 to 52 of our list of hostile inputs, as far as they are the codec's
// and not frames that package cases has.

// A message may have many fragments, but not without end.
func TestFragmentsAreBounded(t *testing.T) {
	s := serve(t, &server{})
	p := dial(t, s)
	want := strings.Repeat("x", 30_000)
	go p.Write(pieces(want, 1)) // ends when it is read
	p.want(t, txt(want))
	go p.Write(pieces(strings.Repeat("x", 70_000), 1)) // ends with the connection
	p.want(t, frame{op: 8, payload: "\x03\xf0"})
	p.Close()
	if e, ok := errors.AsType[*wsconn.CloseError](s.end(t)); !ok || e.Code != wsconn.ClosePolicy {
		t.Errorf("Serve: %v", e)
	}

	s = serve(t, &server{cfg: &wsconn.Config{MaxFragments: 3}})
	p = dial(t, s, join(pieces("abc", 1), pieces("abcd", 1))...)
	p.want(t, txt("abc"))
	p.wantClosed(t, 1008)

	s = serve(t, &server{cfg: &wsconn.Config{MaxFragments: -1}})
	p = dial(t, s)
	want = strings.Repeat("x", 70_000)
	go p.Write(pieces(want, 1)) // ends when it is read
	p.want(t, txt(want))
}

// A declared length allocates nothing, be it as long as it can be.
func TestLengthIsNotBelieved(t *testing.T) {
	s := serve(t, &server{})
	got := make(chan int, 1)
	s.handler = func(c *wsconn.Conn) wsconn.Handler {
		return &funcs{data: func(p []byte, binary, last bool) error {
			if !binary || last {
				t.Error("not the middle of a binary message")
			}
			got <- len(p)
			return nil
		}}
	}
	p := dial(t, s)
	c := <-s.conns
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p.send(t, []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 'a', 'b', 'c'})
	if n := <-got; n != 3 {
		t.Errorf("%d bytes came", n)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	c.Abort()
}

// Row 48: pings that come faster than pongs leave. The client reads nothing
// while it sends them; the pongs that wait stay few, and the newest ping is
// answered all the same.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe() // holds nothing: the first pong waits at once
		defer a.Close()
		c := wsconn.New(b, &wsconn.Config{})
		e := &echo{c: c}
		end := make(chan error, 1)
		go func() { end <- c.Serve(e) }() // ends with the pipe
		var all []byte
		for i := range 100_000 {
			all = append(all, ping(fmt.Sprint(i))...)
		}
		if _, err := a.Write(all); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if e.most > 16*(2+125) {
			t.Errorf("%d bytes of pongs waited", e.most)
		}
		p := &peer{Conn: a}
		p.r = newReader(a)
		var pongs []string
		for len(pongs) == 0 || pongs[len(pongs)-1] != "99999" {
			f := p.recv()
			if f.op != wsconn.OpPong {
				t.Fatalf("got %v", f)
			}
			pongs = append(pongs, f.payload)
		}
		if len(pongs) > 100 || pongs[0] != "0" {
			t.Errorf("%d pongs, the first to %s", len(pongs), pongs[0])
		}
		// And it goes on as before.
		p.send(t, join(ping("again"), text("hello")))
		p.want(t, pong("again"), txt("hello"))
		p.send(t, code(1000, ""))
		p.wantClosed(t, 1000)
		if err := <-end; err != nil {
			t.Errorf("Serve: %v", err)
		}
		e.wg.Wait()
	})
}

// The same over TCP, where the kernel takes some: whoever reads at last gets
// the newest, and the server held little.
func TestPingFloodOverTCP(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg *wsconn.Config) {
		cfg.SendBuffer = 4 << 10
		s := serve(t, &server{cfg: cfg})
		echoes := make(chan *echo, 1)
		s.handler = func(c *wsconn.Conn) wsconn.Handler {
			e := &echo{c: c}
			echoes <- e
			return e
		}
		p := dial(t, s)
		e := <-echoes
		load := strings.Repeat("p", 120)
		var all []byte
		for i := range 40_000 {
			all = append(all, ping(fmt.Sprintf("%05d", i)+load)...)
		}
		p.send(t, all)
		pongs := 0
		for last := ""; last != "39999"; pongs++ {
			f := p.recv()
			if f.op != wsconn.OpPong {
				t.Fatalf("got %v", f)
			}
			last = f.payload[:5]
		}
		p.send(t, code(1000, ""))
		p.wantClosed(t, 1000)
		s.end(t)
		e.wg.Wait()
		if e.most > 16*(2+125) {
			t.Errorf("%d bytes of pongs waited", e.most)
		}
		t.Logf("%d pongs for 40,000 pings, %d bytes waited at most", pongs, e.most)
	})
}

// A burst of pings in one packet: some are answered one by one, of the rest the
// newest is, before what waits is written.
func TestPingBurst(t *testing.T) {
	s := serve(t, &server{})
	p := dial(t, s)
	var all []byte
	for i := range 100 {
		all = append(all, ping(fmt.Sprintf("%02d", i))...)
	}
	p.send(t, all) // 800 bytes: one read
	var got []string
	for len(got) == 0 || got[len(got)-1] != "99" {
		f := p.recv()
		if f.op != wsconn.OpPong {
			t.Fatalf("got %v", f)
		}
		got = append(got, f.payload)
	}
	for i := range 16 {
		if got[i] != fmt.Sprintf("%02d", i) {
			t.Fatalf("got %v", got)
		}
	}
}

// A TLS connection whose client does not read ends at once all the same.
func TestAbortOverTLS(t *testing.T) {
	s := serve(t, &server{})
	s.StartTLS()
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
	c.Abort()
	<-end
	if err := s.end(t); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if _, err := io.Copy(io.Discard, p); err == nil {
		t.Error("a TLS client sees no abrupt end")
	}
}
