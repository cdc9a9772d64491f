package multiplex_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/internal/leak"
	"github.com/hubwire/hubwire/jsonrpc/multiplex"
)

func TestMain(m *testing.M) { leak.Main(m) }

// each runs a story between two ends, in every version.
func each(t *testing.T, opts multiplex.Options, story func(t *testing.T, a, b *multiplex.Conn)) {
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts.Version = version
				x, y := net.Pipe()
				var a *multiplex.Conn
				var wg sync.WaitGroup
				wg.Go(func() { // ends with the handshake
					var err error
					if a, err = multiplex.New(t.Context(), x, &opts); err != nil {
						t.Error(err)
					}
				})
				b, err := multiplex.New(t.Context(), y, &opts)
				wg.Wait()
				if err != nil || t.Failed() {
					t.Fatal(err)
				}
				story(t, a, b)
				synctest.Wait() // the last words are on their way
				_ = a.Close()
				<-b.Done()
				if err := errors.Join(a.Err(), b.Err()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// open opens a channel by name.
func open(t *testing.T, a, b *multiplex.Conn, name string) (x, y *multiplex.Channel) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the acceptance
		var err error
		if y, err = b.Accept(t.Context(), name); err != nil {
			t.Error(err)
		}
	})
	x, err := a.Offer(t.Context(), name)
	wg.Wait()
	if err != nil || t.Failed() {
		t.Fatal(err)
	}
	if x.Name() != name || y.Name() != name || x.ID() != y.ID() || x.Conn() != a {
		t.Errorf("%s %d, %s %d", x.Name(), x.ID(), y.Name(), y.ID())
	}
	return x, y
}

func TestChannels(t *testing.T) {
	each(t, multiplex.Options{}, func(t *testing.T, a, b *multiplex.Conn) {
		x, y := open(t, a, b, "rpc")
		u, v := open(t, b, a, "rpc")
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB, beyond every window
		var wg sync.WaitGroup
		for _, p := range [][2]*multiplex.Channel{{x, y}, {y, x}, {u, v}, {v, u}} {
			wg.Go(func() { // ends when all is written
				if n, err := p[0].Write(data); n != len(data) || err != nil {
					t.Error(n, err)
				}
				if err := p[0].CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() { // ends when all is read
				h := sha256.New()
				if n, err := io.Copy(h, p[1]); n != int64(len(data)) || err != nil || !bytes.Equal(h.Sum(nil), sum(data)) {
					t.Error(n, err)
				}
			})
		}
		wg.Wait()
		if _, err := x.Write([]byte("more")); !errors.Is(err, multiplex.ErrClosed) {
			t.Error("written behind the end:", err)
		}
		for _, c := range []*multiplex.Channel{x, y, u, v} {
			_ = c.Close()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, multiplex.ErrClosed) {
				t.Error("read behind the end:", err)
			}
		}
	})
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func TestByNumber(t *testing.T) {
	each(t, multiplex.Options{}, func(t *testing.T, a, b *multiplex.Conn) {
		for range 3 {
			x, err := a.Create()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			y, err := b.AcceptID(x.ID())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.AcceptID(x.ID()); err == nil {
				t.Error("accepted twice")
			}
			go func() { _, _ = x.Write([]byte("hi")); _ = x.Close() }() // ends when it is accepted
			if got, err := io.ReadAll(y); string(got) != "hi" || err != nil {
				t.Error(string(got), err)
			}
			_ = y.Close()
		}
		if _, err := b.AcceptID(4711); err == nil {
			t.Error("accepted what nobody offered")
		}
	})
}

// A reader that does not read holds back its writer, and nobody else.
func TestBackPressure(t *testing.T) {
	each(t, multiplex.Options{Window: 64 << 10}, func(t *testing.T, a, b *multiplex.Conn) {
		x, y := open(t, a, b, "slow")
		u, v := open(t, a, b, "other")
		wrote := make(chan int, 1)
		go func() { // ends with the channel
			n, _ := x.Write(make([]byte, 64<<20))
			wrote <- n
		}()
		synctest.Wait()
		if _, err := u.Write([]byte("still here")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		if _, err := io.ReadFull(v, got); string(got) != "still here" || err != nil {
			t.Error(string(got), err)
		}
		_ = y.Close()
		synctest.Wait()
		if n := <-wrote; n > 11<<20 {
			t.Errorf("%d bytes were taken", n)
		}
	})
}

func TestEnds(t *testing.T) {
	each(t, multiplex.Options{MaxChannels: 3}, func(t *testing.T, a, b *multiplex.Conn) {
		// An end is told why, from version 2 on.
		x, y := open(t, a, b, "one")
		x.Fail(errors.New("no more"))
		if _, err := y.Read(make([]byte, 1)); err == nil {
			t.Error("a failed channel can be read")
		}
		_ = y.Close()
		// What has come before the end is there all the same.
		x, y = open(t, a, b, "two")
		_, _ = x.Write([]byte("last words"))
		_ = x.Close()
		synctest.Wait()
		if got, err := io.ReadAll(y); string(got) != "last words" || err != nil {
			t.Error(string(got), err)
		}
		_ = y.Close()
		// Deadlines.
		x, y = open(t, a, b, "three")
		_ = y.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := y.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = y.SetReadDeadline(time.Time{})
		go func() { _, _ = x.Write([]byte("x")) }() // ends when it is sent
		if n, err := y.Read(make([]byte, 4)); n != 1 || err != nil {
			t.Error(n, err)
		}
		// Too many, and an acceptance that does not come.
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := a.Offer(ctx, "nobody")
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(i, err)
			}
		}
		for range 2 {
			if _, err := a.Create(); err != nil {
				t.Error(err)
			}
		}
		if _, err := a.Offer(t.Context(), "too many"); err == nil {
			t.Error("there is no bound")
		}
	})
}

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := net.Pipe()
		a, _ := multiplex.New(t.Context(), x, nil)
		b, _ := multiplex.New(t.Context(), y, nil)
		c, d := open(t, a, b, "rpc")
		read := make(chan error, 2)
		for _, ch := range []*multiplex.Channel{c, d} {
			go func() { // ends with the connection
				_, err := io.ReadAll(ch)
				read <- err
			}()
		}
		accept := make(chan error, 1)
		go func() { // likewise
			_, err := b.Accept(t.Context(), "never")
			accept <- err
		}()
		synctest.Wait()
		_ = x.Close()
		<-a.Done()
		<-b.Done()
		<-read
		<-read
		if err := <-accept; err == nil {
			t.Error("Accept goes on without a connection")
		}
		if _, err := a.Create(); err == nil {
			t.Error("Create goes on without a connection")
		}
		_ = a.Close()
	})
}

func TestHandshake(t *testing.T) {
	for _, c := range []struct {
		version int
		says    string
	}{{1, "Content-Length: 1\r\n\r\n"}, {2, "\x92\x92\x01\x00"}, {2, "HTTP/1.1 200 OK"}, {1, ""}} {
		synctest.Test(t, func(t *testing.T) {
			x, y := net.Pipe()
			go func() { // ends with the pipe
				go func() { _, _ = io.Copy(io.Discard, y) }() // likewise
				_, _ = y.Write([]byte(c.says))
				if c.version == 2 {
					_, _ = y.Write(append([]byte{0xc4, 16}, make([]byte, 16)...))
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := multiplex.New(ctx, x, &multiplex.Options{Version: c.version}); err == nil {
				t.Errorf("version %d takes %q", c.version, c.says)
			}
			_ = y.Close()
		})
	}
}

// Frames as .NET and the npm package nerdbank-streams write them.
func TestFrames(t *testing.T) {
	for version, c := range map[int]struct{ offer, accept, hi, done, end string }{
		1: {"00 00000001 0003 727063", "01 00000001 0000", "02 00000001 0002 6869", "03 00000001 0000", "04 00000001 0000"},
		2: {"93 00 01 c40a 92a3727063ce00019000", "93 01 01 c406 91ce00019000", "93 02 01 c402 6869", "92 03 01", "92 04 01"},
		3: {"94 00 01 01 c40a 92a3727063ce00019000", "94 01 01 ff c406 91ce00019000", "94 02 01 01 c402 6869", "93 03 01 01", "93 04 01 01"},
	} {
		synctest.Test(t, func(t *testing.T) {
			x, y := net.Pipe()
			peer := make(chan []byte)
			go func() { // ends with the pipe
				defer close(peer)
				for {
					buf := make([]byte, 1<<10)
					n, err := y.Read(buf)
					if err != nil {
						return
					}
					peer <- buf[:n]
				}
			}()
			zero := make([]byte, 16) // the smallest: the other end's numbers are odd
			var made = make(chan *multiplex.Conn, 1)
			go func() { // ends with the handshake
				m, err := multiplex.New(t.Context(), x, &multiplex.Options{Version: version})
				if err != nil {
					t.Error(err)
				}
				made <- m
			}()
			switch version {
			case 1:
				if got := <-peer; len(got) != 20 || !bytes.HasPrefix(got, raw("2fdf1d50")) {
					t.Errorf("%x", got)
				}
				_, _ = y.Write(append(raw("2fdf1d50"), zero...))
			case 2:
				if got := <-peer; len(got) != 22 || !bytes.HasPrefix(got, raw("92 92 02 00 c410")) {
					t.Errorf("%x", got)
				}
				_, _ = y.Write(append(raw("92 92 02 00 c410"), zero...))
			}
			m := <-made
			offered := make(chan *multiplex.Channel, 1)
			go func() { // ends with the acceptance
				ch, err := m.Offer(t.Context(), "rpc")
				if err != nil {
					t.Error(err)
				}
				offered <- ch
			}()
			want := func(hex string) {
				t.Helper()
				var got []byte
				for len(got) < len(raw(hex)) {
					b, ok := <-peer
					if !ok {
						break
					}
					got = append(got, b...)
				}
				if !bytes.Equal(got, raw(hex)) {
					t.Errorf("version %d: %x, want %x", version, got, raw(hex))
				}
			}
			want(c.offer)
			_, _ = y.Write(raw(c.accept))
			ch := <-offered
			_, _ = ch.Write([]byte("hi"))
			want(c.hi)
			_ = ch.CloseWrite()
			want(c.done)
			_ = ch.Close()
			want(c.end)
			_ = m.Close()
			_ = y.Close()
			for range peer {
			}
		})
	}
}

func raw(s string) []byte {
	var out []byte
	for _, part := range bytes.Fields([]byte(s)) {
		b := make([]byte, len(part)/2)
		if _, err := fmt.Sscanf(string(part), "%x", &b); err != nil {
			panic(err)
		}
		out = append(out, b...)
	}
	return out
}

// Whatever comes, a connection ends by itself when its input does, and takes no
// more than what came.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"94 00 01 01 c40a 92a3727063ce00019000", "94 02 01 01 c402 6869", "93 03 01 01", "93 04 01 01", "94 05 01 ff c402 9102",
		"94 02 01 01 c6ffffffff", "91 08", "00 00000001 0003 727063", "dd ffffffff", "94 00 01 01 c407 92a0ce00019000 94 02 01 01 c402 6869",
	} {
		f.Add(raw(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		x, y := net.Pipe()
		m, err := multiplex.New(t.Context(), x, &multiplex.Options{MaxChannels: 8, Window: 1 << 10})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, y) }() // ends with the pipe
		_, _ = y.Write(in)
		_ = y.Close()
		<-m.Done()
	})
}
