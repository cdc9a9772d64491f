package signalr_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// benchHub is a hub that says nothing.
func benchHub() *hubwire.Hub {
	return hubwire.New(&hubwire.Options{Logger: slog.New(slog.DiscardHandler)})
}

// onTCP serves hub on a real socket.
func onTCP(b *testing.B, hub *hubwire.Hub, opts *signalr.Options) (addr string) {
	b.Helper()
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub, opts)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: mux}
	go srv.Serve(l) // ends with Close
	b.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// A rawClient speaks HTTP/1.1 on one connection.
type rawClient struct {
	b  *testing.B
	c  net.Conn
	br *bufio.Reader
}

func dialRaw(b *testing.B, addr string) *rawClient {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return &rawClient{b, c, bufio.NewReaderSize(c, 512)}
}

func (c *rawClient) send(method, target, header, body string) {
	c.b.Helper()
	if _, err := fmt.Fprintf(c.c, "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", method, target, header, len(body), body); err != nil {
		c.b.Fatal(err)
	}
}

func (c *rawClient) answer() string {
	c.b.Helper()
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.b.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		c.b.Fatal(res.StatusCode, err)
	}
	return string(body)
}

func (c *rawClient) negotiate() string {
	c.b.Helper()
	c.send("POST", "/hub/negotiate?negotiateVersion=1", "", "")
	return member(c.answer(), "connectionToken")
}

const shakeJSON = `{"protocol":"json","version":1}` + "\x1e"

// stream opens an event stream; poster carries the requests beside it.
func stream(b *testing.B, addr string, poster *rawClient) *rawClient {
	b.Helper()
	token := poster.negotiate()
	s := dialRaw(b, addr)
	s.send("GET", "/hub?id="+token, "Accept: text/event-stream\r\n", "")
	poster.send("POST", "/hub?id="+token, "", shakeJSON)
	poster.answer()
	s.upTo([]byte("{}\x1e\r\n\r\n\r\n"))
	return s
}

// upTo reads until a text has come.
func (c *rawClient) upTo(text []byte) {
	c.b.Helper()
	var have []byte
	for !bytes.HasSuffix(have, text) {
		x, err := c.br.ReadByte()
		if err != nil {
			c.b.Fatal(err)
		}
		have = append(have, x)
	}
}

// BenchmarkEventStreams sends to many clients on event streams: the time is that
// of one delivery, client and server together.
func BenchmarkEventStreams(b *testing.B) {
	const n = 200
	hub := benchHub()
	addr := onTCP(b, hub, nil)
	poster := dialRaw(b, addr)
	defer poster.c.Close()
	last := make(chan struct{}, n)
	for range n {
		s := stream(b, addr, poster)
		defer s.c.Close()
		go func() { // ends with the connection
			for {
				line, err := s.br.ReadSlice('\n')
				if err != nil {
					return
				}
				if bytes.HasPrefix(line, []byte("data: {\"type\":1")) {
					last <- struct{}{}
				}
			}
		}()
	}
	text := strings.Repeat("a", 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := receive.Send(b.Context(), hub.All(), text); err != nil {
			b.Fatal(err)
		}
		for range n {
			<-last
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
}

// BenchmarkPolls sends to one client that polls.
func BenchmarkPolls(b *testing.B) {
	hub := benchHub()
	addr := onTCP(b, hub, nil)
	c := dialRaw(b, addr)
	defer c.c.Close()
	token := c.negotiate()
	get := "/hub?id=" + token
	c.send("GET", get, "", "")
	c.answer()
	c.send("POST", get, "", shakeJSON)
	c.answer()
	c.send("GET", get, "", "")
	c.answer()
	b.Cleanup(func() {
		c := dialRaw(b, addr)
		fmt.Fprintf(c.c, "DELETE %s HTTP/1.1\r\nHost: x\r\n\r\n", get)
		io.ReadFull(c.br, make([]byte, 10))
		c.c.Close()
	})
	text := strings.Repeat("a", 100)
	b.ReportAllocs()
	for b.Loop() {
		c.send("GET", get, "", "")
		if err := receive.Send(b.Context(), hub.All(), text); err != nil {
			b.Fatal(err)
		}
		c.answer()
	}
}

// BenchmarkConnect negotiates and opens a connection on each transport: user and
// system time of server and client together are about twice the server's.
func BenchmarkConnect(b *testing.B) {
	b.Run("negotiate", func(b *testing.B) {
		h := signalr.Handler(benchHub(), nil)
		r := httptest.NewRequest(http.MethodPost, "/hub/negotiate?negotiateVersion=1", nil)
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
	for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		b.Run(transport, func(b *testing.B) {
			hub := benchHub()
			addr := onTCP(b, hub, nil)
			poster := dialRaw(b, addr)
			defer poster.c.Close()
			b.ReportAllocs()
			for b.Loop() {
				switch transport {
				case "WebSockets":
					token := poster.negotiate()
					c := dialRaw(b, addr)
					c.send("GET", "/hub?id="+token, strings.Join(upgrade, "\r\n")+"\r\n", "")
					c.upTo([]byte("\r\n\r\n"))
					frame := append([]byte{0x81, 0x80 | byte(len(shakeJSON)), 0, 0, 0, 0}, shakeJSON...)
					_, _ = c.c.Write(frame)
					c.upTo([]byte(handshakeAnswer))
					c.c.Close()
				case "ServerSentEvents":
					stream(b, addr, poster).c.Close()
				case "LongPolling":
					token := poster.negotiate()
					get := "/hub?id=" + token
					poster.send("GET", get, "", "")
					poster.answer()
					poster.send("POST", get, "", shakeJSON)
					poster.answer()
					poster.send("GET", get, "", "")
					poster.answer()
					fmt.Fprintf(poster.c, "DELETE %s HTTP/1.1\r\nHost: x\r\n\r\n", get)
					res, err := http.ReadResponse(poster.br, nil)
					if err != nil {
						b.Fatal(err)
					}
					res.Body.Close()
				}
			}
		})
	}
}

// BenchmarkIdle measures what one idle connection holds in this process, server
// and client together, less what the client's half holds by itself: heap and
// stacks, after a collection.
func BenchmarkIdle(b *testing.B) {
	const n = 2000
	for _, transport := range []string{"ServerSentEvents", "LongPolling"} {
		b.Run(transport, func(b *testing.B) {
			hub := benchHub()
			addr := onTCP(b, hub, nil)
			poster := dialRaw(b, addr)
			defer poster.c.Close()
			var clients []net.Conn
			var tokens []string
			open := func() {
				token := poster.negotiate()
				tokens = append(tokens, token)
				get := "/hub?id=" + token
				if transport == "LongPolling" {
					poster.send("GET", get, "", "")
					poster.answer()
					poster.send("POST", get, "", shakeJSON)
					poster.answer()
					poster.send("GET", get, "", "")
					poster.answer()
					c, err := net.Dial("tcp", addr)
					if err != nil {
						b.Fatal(err)
					}
					fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", get)
					clients = append(clients, c)
					return
				}
				c, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", get)
				poster.send("POST", get, "", shakeJSON)
				poster.answer()
				br := rawClient{b, c, bufio.NewReaderSize(c, 16)}
				br.upTo([]byte("{}\x1e\r\n\r\n\r\n"))
				clients = append(clients, c)
			}
			held := func() uint64 {
				var m runtime.MemStats
				for range 3 {
					runtime.GC()
					time.Sleep(20 * time.Millisecond) // stacks shrink, pools empty
				}
				runtime.ReadMemStats(&m)
				return m.HeapAlloc + m.StackInuse
			}
			for range 10 {
				open()
			}
			before := held()
			for b.Loop() {
			}
			for range n {
				open()
			}
			time.Sleep(100 * time.Millisecond)
			grown := held() - before
			half := idleHalf(b, n)
			b.ReportMetric(float64(grown)/n-half, "B/conn")
			b.ReportMetric(0, "ns/op")
			for _, c := range clients {
				c.Close()
			}
			for _, token := range tokens {
				if transport == "LongPolling" {
					fmt.Fprintf(poster.c, "DELETE /hub?id=%s HTTP/1.1\r\nHost: x\r\n\r\n", token)
					if res, err := http.ReadResponse(poster.br, nil); err == nil {
						res.Body.Close()
					}
				}
			}
			for n := 1; n > 0; n = len(slices.Collect(hub.Connections())) {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// idleHalf is what a client's end of a socket holds.
func idleHalf(b *testing.B, n int) float64 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	var ends []net.Conn
	for range n {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		ends = append(ends, c, s)
	}
	runtime.GC()
	runtime.ReadMemStats(&m)
	grown := float64(m.HeapAlloc-before) / float64(n) / 2
	for _, c := range ends {
		c.Close()
	}
	return grown
}
