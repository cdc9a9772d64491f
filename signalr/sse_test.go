package signalr_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// The bytes and headers of an event stream (section 2.3, H18, E1, E2).
func TestEventStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		_, token := s.negotiate("")
		e := s.sse(token)
		for k, v := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache,no-store", "Pragma": "no-cache", "Content-Encoding": "identity"} {
			if got := e.head.Header.Get(k); got != v {
				t.Errorf("%s: %q, want %q", k, got, v)
			}
		}
		if e.head.Header.Get("Date") == "" || len(e.head.TransferEncoding) != 1 || !e.head.Close {
			t.Errorf("head: %v", e.head)
		}
		if l, _ := e.line(); l != ":" {
			t.Errorf("first line %q", l)
		}
		e.post(`{"protocol":"json","version":1}␞`)
		for _, want := range []string{"data: {}\x1e", ""} {
			if l, _ := e.line(); l != want {
				t.Errorf("line %q, want %q", l, want)
			}
		}
		e.call("1", "Echo", `"a\r\nb"`)
		e.want(`{"type":3,"invocationId":"1","result":"a\r\nb"}`)
		e.post(`{"type":1,"invocationId":"2","target":"Echo","arguments":["`) // however it is cut
		e.post(`x"]}␞{"type":1,"invocationId":"3","target":"Nothing","arguments":[]}␞`)
		e.want(`{"type":3,"invocationId":"2","result":"x"}`, `{"type":3,"invocationId":"3","result":null}`)
		e.post(`{"type":7}␞`)
		e.want(`{"type":7}`)
		e.wantEnd()
		hub.wantGone(t, "")
		s.wantPost(token, "x", 404, "No Connection with that ID")
	})
}

// How payloads become events (section 13.5), line breaks too (row 55).
func TestEvents(t *testing.T) {
	for _, r := range []struct{ payload, want string }{
		{"{}\x1e", "646174613a207b7d1e0d0a0d0a"},                                               // E2
		{"{\"type\":6}\x1e", "646174613a207b2274797065223a367d1e0d0a0d0a"},                     // E3
		{"Hello\r\nWorld", "646174613a2048656c6c6f0d0a646174613a20576f726c640d0a0d0a"},         // E4
		{"Hello\nWorld", "646174613a2048656c6c6f0d0a646174613a20576f726c640d0a0d0a"},           //
		{"a\n", hex.EncodeToString([]byte("data: a\r\ndata: \r\n\r\n"))},                       //
		{"\r\n", hex.EncodeToString([]byte("data: \r\r\ndata: \r\n\r\n"))},                     //
		{"a\rb", hex.EncodeToString([]byte("data: a\rb\r\n\r\n"))},                             //
		{"", hex.EncodeToString([]byte("\r\n"))},                                               //
		{"data: x\nid: 1", hex.EncodeToString([]byte("data: data: x\r\ndata: id: 1\r\n\r\n"))}, //
		{strings.Repeat("x", 100_000), hex.EncodeToString([]byte("data: " + strings.Repeat("x", 100_000) + "\r\n\r\n"))},
	} {
		if got := hex.EncodeToString(signalr.AppendEvent(nil, []byte(r.payload))); got != r.want {
			t.Errorf("%q: got %.80s, want %.80s", r.payload, got, r.want)
		}
		if got := signalr.EventChunks(r.payload); got != fmt.Sprintf("%x\r\n%s\r\n", len(r.want)/2, hexBytes(r.want)) && r.payload != "" {
			t.Errorf("%q as a chunk: %q", r.payload, got)
		}
	}
	// E5: what is written together is one event.
	if got := signalr.EventChunks("{\"a\":1}\x1e", "{\"b\":2}\x1e"); got != "1a\r\ndata: {\"a\":1}\x1e{\"b\":2}\x1e\r\n\r\n\r\n" {
		t.Errorf("%q", got)
	}
	// But not without bounds.
	big := strings.Repeat("x", 40<<10)
	if got := signalr.EventChunks(big, big); strings.Count(got, "data: ") != 2 {
		t.Errorf("%d events", strings.Count(got, "data: "))
	}
}

func hexBytes(s string) []byte { b, _ := hex.DecodeString(s); return b }

// How a connection over an event stream ends.
func TestEventStreamEnds(t *testing.T) {
	const failed = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`
	for _, r := range []struct {
		name, sent string
		want       []string
		cause      string
	}{
		{"abort", `{"type":1,"target":"Abort","arguments":[]}␞`, []string{`{"type":7}`}, ""},
		{"close with an error", `{"type":7,"error":"client trouble"}␞`, []string{`{"type":7}`}, "client trouble"},
		{"no type", `{}␞`, []string{failed}, "Missing required property 'type'."},
		{"too long", strings.Repeat("x", 33<<10), []string{failed}, "The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions."},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newHub(t, nil)
				s := serve(t, hub.Hub, nil)
				e := s.events()
				e.post(r.sent)
				e.want(r.want...)
				e.wantEnd()
				hub.wantGone(t, r.cause)
				s.wantPost(e.token, "x", 404, "No Connection with that ID")
				if _, r := s.trySSE(e.token); r.StatusCode != 404 {
					t.Errorf("a stream after the end: %d", r.StatusCode)
				}
			})
		})
	}
	t.Run("the client leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, nil)
			e := s.events()
			synctest.Wait()
			e.body.Close()
			hub.wantGone(t, "")
			synctest.Wait() // the id is given up behind Disconnect
			s.wantPost(e.token, "x", 404, "No Connection with that ID")
		})
	})
	t.Run("the client leaves in Connect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hold := make(chan struct{})
			hub := newHub(t, &hubwire.Options{Connect: func(contextT, *hubwire.Conn) error { <-hold; return nil }})
			s := serve(t, hub.Hub, nil)
			e := s.events()
			synctest.Wait()
			e.body.Close()
			time.Sleep(time.Hour)
			close(hold)
			hub.wantGone(t, "")
		})
	})
	t.Run("no handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, nil)
			_, token := s.negotiate("")
			e := s.sse(token)
			start := time.Now()
			e.want(`{"error":"Handshake was canceled."}`)
			if d := time.Since(start); d != 15*time.Second {
				t.Errorf("after %v", d)
			}
			e.wantEnd()
		})
	})
	t.Run("messagepack", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, nil)
			_, token := s.negotiate("")
			e := s.sse(token)
			e.post(`{"protocol":"messagepack","version":1}␞`)
			e.want(`{"error":"Cannot use the 'messagepack' protocol on the current transport. The transport does not support 'Binary' transfer format."}`)
			e.wantEnd()
			s.wantPost(token, "x", 404, "No Connection with that ID")
		})
	})
	t.Run("a client that does not read", func(t *testing.T) { // row 54
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, nil)
			_, token := s.negotiate("")
			c, _ := s.net.dial()
			defer c.Close()
			fmt.Fprintf(c, "GET /hub?id=%s HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n", token)
			var got bytes.Buffer
			b := make([]byte, 1)
			for !strings.HasSuffix(got.String(), ":\r\n\r\n") {
				if _, err := c.Read(b); err != nil {
					t.Fatal(err)
				}
				got.Write(b)
			}
			go s.post(token, `{"protocol":"json","version":1}␞`) // ends with the answer
			for !strings.HasSuffix(got.String(), "{}\x1e\r\n\r\n\r\n") {
				if _, err := c.Read(b); err != nil {
					t.Fatal(err)
				}
				got.Write(b)
			}
			synctest.Wait()
			start := time.Now()
			_ = receive.Send(t.Context(), hub.All(), "hi")
			hub.wantGone(t, "hubwire: the client is too slow")
			if d := time.Since(start); d != 10*time.Second {
				t.Errorf("after %v", d)
			}
		})
	})
}

// Pings keep the stream alive, and a client that has pinged must go on.
func TestEventStreamClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, &signalr.Options{KeepAlive: time.Second, ClientTimeout: 2 * time.Second})
		e := s.events()
		start := time.Now()
		for range 5 {
			e.want(`{"type":6}`)
		}
		if d := time.Since(start); d < 5*time.Second || d > 10*time.Second {
			t.Errorf("five pings in %v", d)
		}
		e.post(`{"type":6}␞`)
		start = time.Now()
		for rec := e.record(); ; rec = e.record() {
			if rec == `{"type":6}` {
				continue
			}
			if rec != closedText {
				t.Errorf("%s", rec)
			}
			break
		}
		if d := time.Since(start); d < 2*time.Second || d > 4*time.Second {
			t.Errorf("timed out after %v", d)
		}
		e.wantEnd()
	})
}

// One transport a connection: the refusals of section 1.5.
func TestAdversarial10Transports(t *testing.T) {
	const (
		change = "Cannot change transports mid-connection"
		del    = "Cannot terminate this connection using the DELETE endpoint."
	)
	s := serve(t, newHub(t, nil).Hub, nil)
	e := s.events()
	lp := s.lp("", "json")
	_, ws := s.negotiate("")
	p := s.dial("/hub?id=" + ws)
	p.shake("json")
	events := []string{"Accept: text/event-stream"}
	for _, r := range []struct {
		name, method, token string
		header              []string
		status              int
		body                string
	}{
		{"H19", "GET", e.token, events, 409, ""},
		{"H20", "GET", e.token, nil, 400, change},
		{"a WebSocket on events", "GET", e.token, upgrade, 400, change},
		{"H17 events", "DELETE", e.token, nil, 400, del},
		{"events on polls", "GET", lp, events, 400, change},
		{"a WebSocket on polls", "GET", lp, upgrade, 400, change},
		{"a poll on a WebSocket", "GET", ws, nil, 400, change},
		{"events on a WebSocket", "GET", ws, events, 400, change},
		{"a second WebSocket", "GET", ws, upgrade, 409, ""},
		{"H22", "POST", ws, nil, 405, "POST requests are not allowed for WebSocket connections."},
		{"H17 WebSocket", "DELETE", ws, nil, 400, del},
	} {
		if got := s.request(r.method, "/hub?id="+r.token, r.header...); got.status != r.status || got.body != r.body {
			t.Errorf("%s: %d %q, want %d %q", r.name, got.status, got.body, r.status, r.body)
		}
	}
	e.call("1", "Echo", `"still here"`)
	e.want(`{"type":3,"invocationId":"1","result":"still here"}`)
	p.call("1", "Echo", `"still here"`)
	p.want(`{"type":3,"invocationId":"1","result":"still here"}`)
	s.post(lp, `{"type":1,"invocationId":"1","target":"Echo","arguments":["still here"]}␞`)
	s.poll(lp, 200, `{"type":3,"invocationId":"1","result":"still here"}␞`)
}

// Mounts that serve some transports only.
func TestRestrictedTransports(t *testing.T) {
	events := []string{"Accept: text/event-stream"}
	for _, r := range []struct {
		serves signalr.Transports
		offers string
		header []string // of a GET that is refused
		text   string
	}{
		{signalr.LongPolling, `[{"transport":"LongPolling","transferFormats":["Text","Binary"]}]`, events, "ServerSentEvents transport not supported by this end point type"}, // H21
		{signalr.LongPolling, `[{"transport":"LongPolling","transferFormats":["Text","Binary"]}]`, upgrade, "WebSockets transport not supported by this end point type"},
		{signalr.ServerSentEvents, `[{"transport":"ServerSentEvents","transferFormats":["Text"]}]`, nil, "LongPolling transport not supported by this end point type"},
		{signalr.WebSockets, `[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]`, events, "ServerSentEvents transport not supported by this end point type"},
	} {
		s := serve(t, newHub(t, nil).Hub, &signalr.Options{Transports: r.serves})
		if n := s.request("POST", "/hub/negotiate?negotiateVersion=1"); !strings.HasSuffix(n.body, `"availableTransports":`+r.offers+`}`) {
			t.Errorf("offer: %s", n.body)
		}
		_, token := s.negotiate("")
		if got := s.request("GET", "/hub?id="+token, r.header...); got.status != 404 || got.body != r.text {
			t.Errorf("%d %q", got.status, got.body)
		}
		if got := s.request("GET", "/hub?id=nobody", r.header...); got.status != 404 || got.body != "No Connection with that ID" {
			t.Errorf("unknown: %d %q", got.status, got.body)
		}
		s.wantPost(token, "x", 200, "") // POST does not look at the transports
		if got := s.delete(token); got.status != 400 {
			t.Errorf("DELETE: %d", got.status)
		}
	}
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{Transports: signalr.LongPolling})
	if got := s.request("GET", "/hub", upgrade...); got.status != 404 || got.body != "WebSockets transport not supported by this end point type" {
		t.Errorf("a WebSocket without an id: %d %q", got.status, got.body)
	}
}

// Over HTTP/2, over TLS, and where the connection cannot be taken over, net/http
// writes the response.
func TestEventStreamOverNetHTTP(t *testing.T) {
	hidden := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct {
				http.ResponseWriter
				http.Flusher
			}{w, w.(http.Flusher)}, r)
		})
	}
	const writeTimeout = 2 * time.Second
	for _, r := range []struct {
		name   string
		h2     bool
		tls    bool
		hidden bool
	}{{"plain", false, false, false}, {"tls", false, true, false}, {"http/2", true, true, false}, {"hidden", false, false, true}} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			hub := newHub(t, nil)
			opts := &signalr.Options{}
			if r.hidden {
				opts.Middleware = hidden
			}
			mux := http.NewServeMux()
			signalr.Mount(mux, "/hub", hub.Hub, opts)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodGet && !r.hidden { // else it cannot be lifted
					// What a server's WriteTimeout does, which would bound the answers
					// and TLS handshakes of a busy machine too.
					if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
						t.Error(err)
					}
				}
				mux.ServeHTTP(w, req)
			}))
			srv.EnableHTTP2 = r.h2
			if r.tls {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			client := srv.Client()
			defer client.CloseIdleConnections()
			if r.tls && !r.h2 {
				client.Transport.(*http.Transport).TLSClientConfig.NextProtos = nil
				client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
				client.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			}
			open := func() (*eventSource, string) {
				res, err := client.Post(srv.URL+"/hub/negotiate?negotiateVersion=1", "", nil)
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(res.Body)
				res.Body.Close()
				token := member(string(b), "connectionToken")
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/hub?id="+token, nil)
				req.Header.Set("Accept", "text/event-stream")
				if res, err = client.Do(req); err != nil {
					t.Fatal(err)
				}
				if major := map[bool]int{true: 2, false: 1}[r.h2]; res.ProtoMajor != major || res.Header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("%s %v", res.Proto, res.Header)
				}
				e := &eventSource{t: t, token: token, head: res, lines: make(chan string, 10_000), body: res.Body}
				go e.read() // ends with the response
				return e, token
			}
			post := func(token, text string) {
				t.Helper()
				res, err := client.Post(srv.URL+"/hub?id="+token, "text/plain;charset=UTF-8", strings.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != 200 {
					t.Errorf("POST: %d", res.StatusCode)
				}
			}
			e, token := open()
			post(token, "{\"protocol\":\"json\",\"version\":1}\x1e")
			e.want("{}")
			time.Sleep(writeTimeout + writeTimeout/4) // the stream outlives it
			post(token, "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Echo\",\"arguments\":[\""+strings.Repeat("a", 30_000)+"\"]}\x1e")
			for e.record() != `{"type":3,"invocationId":"1","result":"`+strings.Repeat("a", 30_000)+`"}` {
			}
			post(token, "{\"type\":7}\x1e")
			for e.record() != `{"type":7}` {
			}
			e.wantEnd()
			hub.wantGone(t, "")

			e, token = open()
			post(token, "{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":1,\"invocationId\":\"1\",\"target\":\"Nothing\",\"arguments\":[]}\x1e")
			e.want("{}", `{"type":3,"invocationId":"1","result":null}`)
			e.body.Close()
			hub.wantGone(t, "")

			e, token = open()
			post(token, "{\"protocol\":\"json\",\"version\":1}\x1e")
			e.want("{}")
			if err := hub.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			e.want(`{"type":7,"allowReconnect":true}`)
			e.wantEnd()
		})
	}
}

// A stream that the hub gives up is cut, and does not look like one that ended.
func TestEventStreamCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Stall: 50 * time.Millisecond}})
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub.Hub, &signalr.Options{SendBuffer: 4 << 10, AllowedHosts: []string{"*"}})
	srv := &http.Server{Handler: mux}
	go srv.Serve(l) // ends with Close
	defer srv.Close()
	s := &site{t: t, hub: hub.Hub, net: &network{conns: make(chan net.Conn), done: make(chan struct{})}}
	go func() { // ends with the test
		for {
			select {
			case c := <-s.net.conns:
				real, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(real, c); real.Close() }() // ends with c
				go func() { _, _ = io.Copy(c, real); c.Close() }()    // ends with real
			case <-t.Context().Done():
				return
			}
		}
	}()
	_, token := s.negotiate("")
	real, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	fmt.Fprintf(real, "GET /hub?id=%s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", token)
	s.post(token, `{"protocol":"json","version":1}␞`)
	for len(hub.gone) == 0 {
		_ = receive.Send(t.Context(), hub.All(), strings.Repeat("a", 10_000))
		time.Sleep(100 * time.Microsecond)
	}
	hub.wantGone(t, "hubwire: the client is too slow")
	b, _ := io.ReadAll(real)
	if bytes.HasSuffix(b, []byte("\r\n0\r\n\r\n")) {
		t.Error("the stream has an end")
	}
}
