package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

func TestBadOptions(t *testing.T) {
	for text, o := range map[string]client.Options{
		"Protocol is \"xml\"; it must be json or messagepack":                       {Protocol: "xml"},
		"Protocol is messagepack, which Server-Sent Events cannot carry":            {Protocol: "messagepack", Transports: client.ServerSentEvents},
		"SkipNegotiation is set; Transports must be WebSockets then":                {SkipNegotiation: true},
		"SkipNegotiation and Stateful are set; a stateful connection is negotiated": {SkipNegotiation: true, Stateful: true, Transports: client.WebSockets},
		"Transports has bits that are no transport":                                 {Transports: 64},
		"Queue is -1; it must be positive":                                          {Queue: -1},
		"HandshakeTimeout is -1ns; it must be positive":                             {HandshakeTimeout: -1},
		"StatefulBuffer is -1; it must be positive":                                 {StatefulBuffer: -1},
	} {
		_, err := client.Dial(t.Context(), "http://127.0.0.1:1/hub", &o)
		equal(t, errorText(err), "client: options: "+text)
	}
	for url, text := range map[string]string{
		"127.0.0.1:5000/hub":   "client: URL: first path segment in URL cannot contain colon",
		"ftp://x/hub":          `client: URL: the scheme "ftp" is not http, https, ws or wss`,
		"http:///hub":          "client: URL: the URL has no host",
		"":                     `client: URL: the scheme "" is not http, https, ws or wss`,
		"http://x/\x00?secret": "client: URL: net/url: invalid control character in URL",
	} {
		_, err := client.Dial(t.Context(), url, nil)
		equal(t, errorText(err), text)
	}
}

// What a server may answer to a negotiate, and what the client makes of it.
func TestNegotiateAnswers(t *testing.T) {
	for _, c := range []struct {
		status          int
		typ, body, want string
	}{
		{404, "text/plain", "", "client: negotiate: 404 Not Found (no SignalR hub has this URL, or a proxy blocks it)"},
		{404, "text/html", "<html>long</html>", "client: negotiate: 404 Not Found (no SignalR hub has this URL, or a proxy blocks it)"},
		{401, "", "", "client: negotiate: 401 Unauthorized (the server wants an access token or did not accept this one, see Options.AccessToken)"},
		{403, "", "", "client: negotiate: 403 Forbidden (this user may not connect)"},
		{405, "text/plain", "", "client: negotiate: 405 Method Not Allowed (something else than a SignalR hub has this URL)"},
		{400, "text/plain", "Some response from server\nmore", "client: negotiate: 400 Bad Request: Some response from server"},
		{503, "text/plain; charset=utf-8", "\xff busy", "client: negotiate: 503 Service Unavailable: \uFFFD busy"},
		{204, "", "", "client: negotiate: the answer is not a hub's: unexpected end of JSON input"},
		{200, "", "{}", "client: negotiate: the answer is not a hub's: it has no connectionId"},
		{200, "", `{"negotiateVersion":1,"connectionId":"x"}`, "client: negotiate: the answer has no connectionToken"},
		{200, "", `{"error":"x y"}`, "client: negotiate: the server says: x y"},
		{200, "", `{"ProtocolVersion":"1.5","connectionId":"x"}`, "client: negotiate: the server is ASP.NET SignalR, not ASP.NET Core SignalR; this client cannot speak to it"},
		{200, "", `{"url":"gopher://x"}`, `client: negotiate: redirect: the scheme "gopher" is not http, https, ws or wss`},
		{200, "", `{"url":"/hub"}`, "client: negotiate: redirection limit exceeded: the server sent us on 100 times"},
		{200, "", `{"connectionId":"x","availableTransports":[]}`, "client: no transport works: the server offers none"},
		{200, "", `{"connectionId":"x","availableTransports":[{"transport":"Pigeons"}]}`, `client: no transport works: "Pigeons": this client does not have it`},
		{200, "", strings.Repeat(" ", 70_000), "client: negotiate: the answer is longer than 65536 bytes"},
	} {
		s := newStub(t)
		asked := 0
		mux := s.routes()
		mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, _ *http.Request) {
			asked++
			if c.typ != "" {
				w.Header().Set("Content-Type", c.typ)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := s.dial(t.Context(), nil)
		equal(t, errorText(err), c.want)
		if e, ok := errors.AsType[*client.HTTPError](err); ok != (c.status/100 != 2) || ok && e.Status != c.status {
			t.Errorf("%q: the status is not in the error", c.want)
		}
		if redirects := strings.Contains(c.want, "limit"); redirects && asked != 100 || !redirects && asked != 1 {
			t.Errorf("%q: %d requests", c.want, asked)
		}
		s.stop()
	}
}

func TestNoServer(t *testing.T) {
	port, err := freePort()
	check(t, err)
	_, err = client.Dial(t.Context(), "http://127.0.0.1:"+port+"/hub?access_token=secret", nil)
	wantText(t, err, "client: negotiate: dial tcp 127.0.0.1:"+port+": connect: connection refused")
	if strings.Contains(err.Error(), "secret") {
		t.Error("the error tells the query")
	}
}

// The requests of a redirected start: queries, tokens, headers (section 14.5).
func TestRedirect(t *testing.T) {
	s := newStub(t)
	var seen box[string]
	note := func(r *http.Request) {
		seen.put(fmt.Sprintf("%s %s%s [%s] [%s] [%s]", r.Method, r.Host, r.URL, r.Header.Get("Authorization"), r.Header.Get("X-Own"), r.Header.Get("User-Agent")))
	}
	mux := s.routes()
	mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, r *http.Request) {
		note(r)
		_, _ = io.WriteString(w, `{"url":"http://other/real?x=1","accessToken":"T2"}`)
	})
	mux.HandleFunc("POST /real/negotiate", func(w http.ResponseWriter, r *http.Request) {
		note(r)
		_, _ = io.WriteString(w, defaultOffer)
	})
	mux.HandleFunc("GET /real", func(w http.ResponseWriter, r *http.Request) {
		note(r)
		s.webSocket(w, r)
	})
	calls := 0
	c := s.mustDial(&client.Options{
		AccessToken: func(context.Context) (string, error) { calls++; return "T1", nil },
		Header:      http.Header{"x-own": {"v"}, "User-Agent": {"mine"}},
	})
	defer c.Close()
	k := <-s.sockets
	go k.drain() // ends with c
	equal(t, seen.take(t, 3), []string{
		"POST stub/hub/negotiate?negotiateVersion=1 [Bearer T1] [v] [mine]",
		"POST other/real/negotiate?x=1&negotiateVersion=1 [Bearer T2] [v] [mine]",
		"GET other/real?x=1&id=TOKEN [Bearer T2] [v] [mine]",
	})
	equal(t, calls, 1)
	equal(t, c.ID(), "ID")
}

func TestSkipNegotiation(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			e := newEnv(t, p, way{client.WebSockets, "json"})
			c := e.dial("/conformance", &client.Options{SkipNegotiation: true})
			equal(e, c.ID(), "")
			echoes(e, c, echoInt, 1)
		})
	}
}

// A transport that does not start is followed by a fresh negotiate and the next
// one (section 14.7).
func TestFallback(t *testing.T) {
	s := newStub(t)
	var seen box[string]
	mux := s.routes()
	n := 0
	mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, r *http.Request) {
		n++
		_, _ = io.WriteString(w, strings.ReplaceAll(defaultOffer, "TOKEN", fmt.Sprint("T", n)))
	})
	mux.HandleFunc("GET /hub", func(w http.ResponseWriter, r *http.Request) {
		seen.put(r.Header.Get("Upgrade") + " " + r.Header.Get("Accept") + " " + r.URL.RawQuery)
		if r.Header.Get("Accept") == "*/*" {
			http.Error(w, "No Connection with that ID", http.StatusNotFound)
			return
		}
		http.Error(w, "proxy", http.StatusServiceUnavailable)
	})
	_, err := s.dial(t.Context(), nil)
	equal(t, errorText(err), "client: no transport works: WebSockets: 503 Service Unavailable: proxy; ServerSentEvents: 503 Service Unavailable: proxy; "+
		"LongPolling: 404 Not Found: No Connection with that ID (the server does not know the connection: it has ended, or several servers lack sticky sessions, or the hub does not have this transport)")
	equal(t, seen.take(t, 3), []string{"websocket  id=T1", " text/event-stream id=T2", " */* id=T3"})
	equal(t, n, 3)

	_, err = s.dial(t.Context(), &client.Options{Protocol: "messagepack", Transports: client.WebSockets | client.ServerSentEvents})
	equal(t, errorText(err), "client: no transport works: WebSockets: 503 Service Unavailable: proxy; "+
		"ServerSentEvents: it cannot carry messagepack; LongPolling: Options.Transports leaves it out")
}

// With a real server whose WebSockets do not get through.
func TestFallbackForReal(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			for _, w := range []way{{client.ServerSentEvents, "json"}, {client.LongPolling, "messagepack"}} {
				t.Run(w.String(), func(t *testing.T) {
					e := newEnv(t, p, w)
					blocked := &http.Client{Transport: noSockets{&http.Transport{}}}
					defer blocked.CloseIdleConnections()
					c := e.dial("/conformance", &client.Options{HTTPClient: blocked, Transports: client.WebSockets | client.ServerSentEvents | client.LongPolling})
					equal(e, c.Transport(), w.transport)
					echoes(e, c, echoInt, 1)
					check(e, c.Close())
				})
			}
		})
	}
}

// noSockets is a network with a proxy that knows no WebSockets.
type noSockets struct{ next *http.Transport }

func (n noSockets) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Upgrade")
	r.Header.Del("Connection")
	return n.next.RoundTrip(r)
}

func (n noSockets) CloseIdleConnections() { n.next.CloseIdleConnections() }

// Endpoints with one transport alone.
func TestOnlyTransport(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			for path, kind := range map[string]client.Transports{"/ws-only": client.WebSockets, "/sse-only": client.ServerSentEvents, "/lp-only": client.LongPolling} {
				t.Run(path, func(t *testing.T) {
					e := newEnv(t, p, way{client.WebSockets | client.ServerSentEvents | client.LongPolling, "json"})
					c := e.dial(path, nil)
					equal(e, c.Transport(), kind)
					echoes(e, c, echoInt, 1)
				})
			}
		})
	}
}

func TestHandshakeAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		`{"error":"no"}` + "\x1e":  "client: handshake over WebSockets: no",
		pingText + "\x1e":          "client: handshake over WebSockets: the server sent something else before its answer",
		"what\x1e":                 "client: handshake over WebSockets: the answer is not a hub's: invalid character 'w' looking for beginning of value",
		strings.Repeat(" ", 1<<17): "client: handshake over WebSockets: the answer is longer than 65536 bytes",
		"":                         "client: handshake over WebSockets: WebSocket lost: it ended without a close frame",
	} {
		s := newStub(t)
		s.set(func(s *stub) { s.raw = true })
		go func() { // ends with the socket
			k := <-s.sockets
			k.read()
			_ = k.ws.Write(context.Background(), 1, []byte(answer))
			if answer == "" {
				k.end()
			} else {
				k.drain()
			}
		}()
		_, err := s.dial(t.Context(), nil)
		equal(t, errorText(err), want)
		if answer == `{"error":"no"}`+"\x1e" {
			wantHubError(t, err, "no")
		}
		s.stop()
	}
}

// What the server sends behind its answer, in the same WebSocket message, is
// taken.
func TestHandshakeAndEvent(t *testing.T) {
	s := newStub(t)
	s.set(func(s *stub) { s.raw = true })
	go func() { // ends with the connection
		k := <-s.sockets
		k.read()
		k.write("{}", `{"type":1,"target":"Receive","arguments":["early"]}`)
		k.drain()
	}()
	var got box[string]
	c := s.mustDial(&client.Options{Handlers: []hubwire.ClientHandler{got.on(receive)}})
	equal(t, got.next(t), "early")
	check(t, c.Close())
}

// ctx bounds connecting, whatever hangs.
func TestDialContext(t *testing.T) {
	for _, hang := range []string{"negotiate", "hub"} {
		s := newStub(t)
		mux := s.routes()
		mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, r *http.Request) {
			if hang == "negotiate" {
				<-r.Context().Done()
			}
			_, _ = io.WriteString(w, defaultOffer)
		})
		mux.HandleFunc("GET /hub", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		for _, kind := range []client.Transports{client.WebSockets, client.ServerSentEvents, client.LongPolling} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			_, err := s.dial(ctx, &client.Options{Transports: kind})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v hangs in %s: %v", kind, hang, err)
			}
			cancel()
		}
		s.stop()
	}
}
