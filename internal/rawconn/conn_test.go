package rawconn_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// TestMain fails if a goroutine of a test is left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(5 * time.Second); code == 0; time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		_, others, _ := strings.Cut(string(buf), "\n\n")
		if !strings.Contains(others, "hubwire") {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", others)
			code = 1
		}
	}
	os.Exit(code)
}

// pairs are the two paths: a descriptor's, and that of any other connection.
func pairs(t *testing.T, f func(t *testing.T, peer net.Conn, c *rawconn.Conn)) {
	t.Run("direct", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.(*net.TCPConn).SetWriteBuffer(4 << 10)
		f(t, peer, rawconn.New(nc))
	})
	t.Run("ordinary", func(t *testing.T) {
		peer, nc := net.Pipe()
		defer peer.Close()
		f(t, peer, rawconn.New(nc))
	})
}

// serve runs Serve.
func serve(c *rawconn.Conn) chan error {
	done := make(chan error, 1)
	go func() { done <- c.Serve() }() // ends with the connection
	return done
}

func TestPeerLeaves(t *testing.T) {
	pairs(t, func(t *testing.T, peer net.Conn, c *rawconn.Conn) {
		done := serve(c)
		go peer.Write([]byte("what it says is not heard")) // ends with the peer
		peer.SetDeadline(time.Now().Add(10 * time.Millisecond))
		peer.Close()
		if err := <-done; !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if _, err := c.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("TryWrite: %v", err)
		}
		if err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		c.Abort()
		c.End()
	})
}

func TestEnd(t *testing.T) {
	pairs(t, func(t *testing.T, peer net.Conn, c *rawconn.Conn) {
		done := serve(c)
		go func() { // ends when all is written
			n, err := c.TryWrite([]byte("hello"))
			if err == nil && n < 5 {
				err = c.Write([]byte("hello")[n:])
			}
			if err != nil {
				t.Error(err)
			}
			c.End()
			c.End()
			if _, err := c.TryWrite([]byte("more")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("behind the end: %v", err)
			}
		}()
		b, err := io.ReadAll(peer)
		if string(b) != "hello" || err != nil {
			t.Errorf("%q %v", b, err)
		}
		peer.Close()
		if err := <-done; err != nil {
			t.Errorf("%v", err)
		}
	})
}

// A peer that does not close after the end is not waited for long.
func TestEndOfASilentPeer(t *testing.T) {
	pairs(t, func(t *testing.T, _ net.Conn, c *rawconn.Conn) {
		done := serve(c)
		start := time.Now()
		c.End()
		if err := <-done; err != nil {
			t.Errorf("%v", err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// Abort ends a write that waits for a peer that does not read.
func TestAbort(t *testing.T) {
	pairs(t, func(t *testing.T, peer net.Conn, c *rawconn.Conn) {
		done := serve(c)
		wrote := make(chan error, 1)
		go func() { wrote <- c.Write(make([]byte, 8<<20)) }() // ends with Abort
		one := make([]byte, 1)
		if _, err := peer.Read(one); err != nil { // it has begun
			t.Fatal(err)
		}
		c.Abort()
		c.Abort()
		if err := <-wrote; err == nil {
			t.Error("all was written")
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

// A peer that talks on and on is not listened to.
func TestPeerTalks(t *testing.T) {
	pairs(t, func(t *testing.T, peer net.Conn, c *rawconn.Conn) {
		done := serve(c)
		go func() { // ends with the connection
			for {
				if _, err := peer.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		if err := <-done; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	})
}

func TestTryWriteDoesNotWait(t *testing.T) {
	pairs(t, func(t *testing.T, peer net.Conn, c *rawconn.Conn) {
		done := serve(c)
		total := 0
		for {
			n, err := c.TryWrite(make([]byte, 64<<10))
			if err != nil {
				t.Fatal(err)
			}
			if total += n; n == 0 {
				break
			}
		}
		read := make(chan int)
		go func() { // ends with the connection
			n, _ := io.Copy(io.Discard, peer)
			read <- int(n)
		}()
		if err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		c.End()
		if got := <-read; got != total+1 {
			t.Errorf("%d bytes came, %d were written", got, total+1)
		}
		peer.Close()
		<-done
	})
}

func TestNoAllocation(t *testing.T) {
	pairs(t, func(t *testing.T, peer net.Conn, c *rawconn.Conn) {
		done := serve(c)
		go io.Copy(io.Discard, peer) // ends with the connection
		p := []byte("x")
		if n := testing.AllocsPerRun(1000, func() { _, _ = c.TryWrite(p) }); n > 0 {
			t.Errorf("%v allocations a write", n)
		}
		c.Abort()
		<-done
	})
}

// Take takes a connection over, with what came behind the request, and says so
// where it is hidden.
func TestTake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	early := make(chan string, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hidden" {
			if _, _, err := rawconn.Take(struct{ http.ResponseWriter }{w}, nil, 0); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("hidden: %v", err)
			}
			return
		}
		nc, e, err := rawconn.Take(w, []byte("HTTP/1.1 200 OK\r\n\r\nhello"), 8<<10)
		if err != nil {
			t.Error(err)
			return
		}
		early <- string(e)
		nc.Close()
	})}
	go srv.Serve(l) // ends with Close
	defer srv.Close()
	for _, path := range []string{"/", "/hidden"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\nbehind", path)
		if path == "/" {
			b, _ := io.ReadAll(c)
			if !strings.HasSuffix(string(b), "\r\n\r\nhello") {
				t.Errorf("%q", b)
			}
			if got := <-early; got != "behind" && got != "" { // what was read with the request
				t.Errorf("early: %q", got)
			}
			continue
		}
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
			t.Errorf("%v %v", res, err)
		}
	}
}
