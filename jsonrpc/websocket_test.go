package jsonrpc_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	theirs, ours := net.Pipe()
	select {
	case p.conns <- ours:
		return theirs, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// A site is a mount behind a server in memory, for use in a bubble.
type site struct {
	t    *testing.T
	http *http.Client
}

func newSite(t *testing.T, hub *hubwire.Hub, opts *jsonrpc.MountOptions) *site {
	mux := http.NewServeMux()
	jsonrpc.Mount(mux, "/jsonrpc", hub, opts)
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() { // ends with the server
		_ = srv.Serve(p)
		close(served)
	}()
	tr := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := hub.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		_ = srv.Close()
		<-served
		time.Sleep(time.Second) // of the bubble: net/http lingers over connections that it closes
	})
	return &site{t, &http.Client{Transport: tr}}
}

// dial opens a WebSocket.
func (s *site) dial(subprotocols ...string) (*websocket.Conn, *http.Response) {
	s.t.Helper()
	ws, resp, err := websocket.Dial(s.t.Context(), "http://site.test/jsonrpc", &websocket.DialOptions{HTTPClient: s.http, Subprotocols: subprotocols})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	return ws, resp
}

func (s *site) send(ws *websocket.Conn, typ websocket.MessageType, body string) {
	s.t.Helper()
	if err := ws.Write(s.t.Context(), typ, []byte(body)); err != nil {
		s.t.Fatal(err)
	}
}

// want checks the next message.
func (s *site) want(ws *websocket.Conn, body string) {
	s.t.Helper()
	typ, got, err := ws.Read(s.t.Context())
	if err != nil || typ != websocket.MessageText || !strings.HasPrefix(string(got), body) {
		s.t.Fatalf("%v %.300s, %v; want %s", typ, got, err, body)
	}
}

// wantClosed checks how the server has closed.
func (s *site) wantClosed(ws *websocket.Conn, code websocket.StatusCode, reason string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Hour) // of the bubble
	defer cancel()
	_, got, err := ws.Read(ctx)
	if c, ok := errors.AsType[websocket.CloseError](err); !ok || c.Code != code || c.Reason != reason {
		s.t.Errorf("%.300s, %v; want %d %s", got, err, code, reason)
	}
}

const sumCall = `{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`

// What a WebSocket's frames mean.
func TestWebSocketMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, mountHub(&diary{}, nil), &jsonrpc.MountOptions{Subprotocols: []string{"jsonrpc", "lsp"}, Conn: &jsonrpc.Options{MaxMessage: 1000}})
		ws, resp := s.dial("x", "lsp", "jsonrpc")
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "jsonrpc" {
			t.Errorf("subprotocol %q", got)
		}
		const three = `{"jsonrpc":"2.0","id":1,"result":3}`
		for _, typ := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			s.send(ws, typ, sumCall)
			s.want(ws, three)
			s.send(ws, typ, "") // none
			s.send(ws, typ, "["+sumCall+"]")
			s.want(ws, "["+three+"]")
			s.send(ws, typ, "x")
			s.want(ws, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700`)
			s.send(ws, typ, sumCall+strings.Repeat(" ", 1000-len(sumCall)))
			s.want(ws, three)
			s.send(ws, typ, sumCall+strings.Repeat(" ", 1001-len(sumCall)))
			s.want(ws, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request: the message is too large."`)
		}
		// Pieces of a message.
		w, err := ws.Writer(t.Context(), websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(sumCall) {
			if _, err := w.Write([]byte(sumCall[i : i+1])); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Close()
		s.want(ws, three)
		go s.send(ws, websocket.MessageText, strings.Repeat(" ", 2002)) // ends with the connection
		s.wantClosed(ws, websocket.StatusMessageTooBig, "")

		// Two clients, a group, and a question.
		a, respA := s.dial()
		if got := respA.Header.Get("Sec-WebSocket-Protocol"); got != "" {
			t.Errorf("subprotocol %q", got)
		}
		b, _ := s.dial("unknown")
		s.send(a, websocket.MessageText, `{"jsonrpc":"2.0","id":1,"method":"Joins","params":["g"]}`)
		s.want(a, `{"jsonrpc":"2.0","id":1,"result":null}`)
		s.send(b, websocket.MessageText, `{"jsonrpc":"2.0","method":"Tell","params":{"Text":"hi","Group":"g"}}`)
		s.want(a, `{"jsonrpc":"2.0","method":"Told","params":["hi"]}`)
		s.send(a, websocket.MessageText, `{"jsonrpc":"2.0","id":2,"method":"Ask","params":["well?"]}`)
		_, q, err := a.Read(t.Context())
		head, rest, _ := strings.Cut(string(q), `"id":`)
		id, rest, _ := strings.Cut(rest, ",")
		if err != nil || head != `{"jsonrpc":"2.0",` || rest != `"method":"Answer","params":["well?"]}` {
			t.Fatalf("%s, %v", q, err)
		}
		s.send(a, websocket.MessageText, `{"jsonrpc":"2.0","id":`+id+`,"result":"yes"}`)
		s.want(a, `{"jsonrpc":"2.0","id":2,"result":"yes"}`)
		if err := a.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
}

// How a WebSocket ends.
func TestWebSocketEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var refuse error
		hub := mountHub(&d, &hubwire.Options{
			Connect:    func(context.Context, *hubwire.Conn) error { return refuse },
			Disconnect: func(_ context.Context, c *hubwire.Conn, cause error) { d.add("disconnect %v", cause) },
		})
		user := &hubwire.User{ID: "ann"}
		s := newSite(t, hub, &jsonrpc.MountOptions{
			CloseOnExpiry: true, KeepAlive: 10 * time.Second, Conn: &jsonrpc.Options{CloseOnBad: true}, MaxConnections: 2,
			Middleware: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), user)))
				})
			},
		})
		noted := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := d.take(); got != want {
				t.Errorf("%s; want %s", got, want)
			}
		}
		// A fault, where the options say so.
		ws, _ := s.dial()
		s.send(ws, websocket.MessageText, sumCall)
		s.want(ws, `{"jsonrpc":"2.0","id":1,"result":3}`)
		s.send(ws, websocket.MessageText, "x")
		s.wantClosed(ws, websocket.StatusProtocolError, "")
		time.Sleep(10 * time.Second)
		if got := d.take(); !strings.HasPrefix(got, "disconnect jsonrpc: ") {
			t.Error(got)
		}
		// The client leaves, though a call runs: it has a moment.
		ws, _ = s.dial()
		s.send(ws, websocket.MessageText, `{"jsonrpc":"2.0","id":1,"method":"Wait"}`)
		noted("wait")
		if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		noted("waited, disconnect <nil>")
		// It is cut off.
		ws, _ = s.dial()
		s.send(ws, websocket.MessageText, `{"jsonrpc":"2.0","id":1,"method":"Wait"}`)
		noted("wait")
		_ = ws.CloseNow()
		noted("waited, disconnect <nil>")
		// The hub ends it.
		ws, _ = s.dial()
		synctest.Wait() // the hub takes it behind the answer
		for c := range hub.Connections() {
			c.Abort()
		}
		s.wantClosed(ws, websocket.StatusNormalClosure, "")
		noted("disconnect <nil>")
		// The hub does not take it.
		for err, want := range map[error]string{hubwire.ErrUnauthorized: "unauthorized", errors.New("secret"): "refused", hubwire.Errorf(hubwire.CodeNotFound, "no such room"): "no such room"} {
			refuse = err
			ws, _ = s.dial()
			s.wantClosed(ws, websocket.StatusPolicyViolation, want)
		}
		refuse = hubwire.ErrFull
		ws, _ = s.dial()
		s.wantClosed(ws, 1013, "too many connections")
		refuse = nil
		time.Sleep(10 * time.Second)
		noted("")
		// The mount has no room.
		ws, _ = s.dial()
		s.dial()
		if _, resp, err := websocket.Dial(t.Context(), "http://site.test/jsonrpc", &websocket.DialOptions{HTTPClient: s.http}); err == nil || resp == nil || resp.StatusCode != 503 {
			t.Errorf("a third connection: %v", err)
		}
		_ = ws.CloseNow()
		time.Sleep(time.Minute) // the other one does not read, so it takes or answers no ping
		if got := strings.Count(d.take(), "disconnect"); got != 2 {
			t.Errorf("%d ends", got)
		}
		// One that reads answers pings, and stays until its credentials expire.
		user = &hubwire.User{ID: "ann", Expires: time.Now().Add(time.Hour)}
		ws, _ = s.dial()
		began := time.Now()
		s.wantClosed(ws, websocket.StatusPolicyViolation, "the credentials have expired")
		if took := time.Since(began); took < time.Hour || took > time.Hour+2*time.Second {
			t.Errorf("it was closed after %v", took)
		}
		noted("disconnect jsonrpc: the credentials have expired")
	})
}

// Pages of other sites open no WebSocket.
func TestWebSocketOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, mountHub(&diary{}, nil), &jsonrpc.MountOptions{AllowedOrigins: []string{"https://app.test"}})
		for origin, ok := range map[string]bool{"": true, "http://site.test": true, "https://app.test": true, "https://evil.test": false, "null": false} {
			h := http.Header{}
			if origin != "" {
				h.Set("Origin", origin)
			}
			ws, resp, err := websocket.Dial(t.Context(), "http://site.test/jsonrpc", &websocket.DialOptions{HTTPClient: s.http, HTTPHeader: h})
			if (err == nil) != ok || !ok && resp.StatusCode != 403 {
				t.Errorf("%s: %v", origin, err)
			}
			if err == nil {
				_ = ws.CloseNow()
			}
		}
	})
}

// Both ends are ours: the client hears how a server goes, and a refusal.
func TestDialWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refuse error
		hub := mountHub(&diary{}, &hubwire.Options{Connect: func(_ context.Context, c *hubwire.Conn) error { return refuse }})
		s := newSite(t, hub, &jsonrpc.MountOptions{KeepHeaders: []string{"X-Kept"}})
		dial := func(url string) (*jsonrpc.Conn, error) {
			return jsonrpc.DialWebSocket(t.Context(), url, nil, &jsonrpc.DialOptions{HTTPClient: s.http, Header: http.Header{"X-Kept": {"yes"}}})
		}
		c, err := dial("ws://site.test/jsonrpc")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := hubWhoAmI.Call(t.Context(), c, hubwire.None{}); got != " jsonrpc WebSockets yes" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		large := strings.Repeat("x", 1<<20)
		if got, err := hubEcho.Call(t.Context(), c, large); got != large || err != nil {
			t.Errorf("%d bytes, %v", len(large), err)
		}
		if err := c.Close(); err != nil || c.Err() != nil {
			t.Errorf("%v, %v", err, c.Err())
		}
		<-c.Done()
		if c, err = dial("http://site.test/nothing"); err == nil || !strings.HasPrefix(err.Error(), "jsonrpc: ") {
			t.Errorf("%v, %v", c, err)
		}
		refuse = hubwire.Errorf(hubwire.CodeNotFound, "no such room")
		if c, err = dial("http://site.test/jsonrpc"); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), "1008 no such room") {
			t.Errorf("Err: %v", err)
		}
		refuse = nil
		if c, err = dial("http://site.test/jsonrpc"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the hub takes it behind the answer
		if err := hub.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), "1001") {
			t.Errorf("Err: %v", err)
		}
	})
}
