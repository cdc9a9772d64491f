package wsconn_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/internal/wsconn"
)

func TestIsUpgrade(t *testing.T) {
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	tests := []struct {
		name string
		want bool
		head string // of the request; lines
	}{
		{"plain", true, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"any case", true, "GET / HTTP/1.1|connection: uPGRADE|UPGRADE: WebSocket|sec-websocket-version: 13|" + key},
		{"list", true, "GET / HTTP/1.1|Connection: keep-alive, Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"list without spaces", true, "GET / HTTP/1.1|Connection: close,upgrade|Upgrade: h2c,websocket|Sec-WebSocket-Version: 13|" + key},
		{"empty elements", true, "GET / HTTP/1.1|Connection: ,\t Upgrade ,,|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"several headers", true, "GET / HTTP/1.1|Connection: keep-alive|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"close and upgrade", true, "GET / HTTP/1.1|Connection: close|Connection: upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"extensions are not looked at", true, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Extensions: permessage-deflate|" + key},
		{"empty body", true, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Content-Length: 0|Sec-WebSocket-Version: 13|" + key},

		{"POST", false, "POST / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"HTTP/1.0", false, "GET / HTTP/1.0|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"a body", false, "GET / HTTP/1.1|Content-Length: 3|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"a body in chunks", false, "GET / HTTP/1.1|Transfer-Encoding: chunked|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"no Connection", false, "GET / HTTP/1.1|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"Connection without the token", false, "GET / HTTP/1.1|Connection: keep-alive|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"part of a token", false, "GET / HTTP/1.1|Connection: upgraded, no-upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key},
		{"no Upgrade", false, "GET / HTTP/1.1|Connection: Upgrade|Sec-WebSocket-Version: 13|" + key},
		{"another Upgrade", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: h2c|Sec-WebSocket-Version: 13|" + key},
		{"a product of another version", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket/1|Sec-WebSocket-Version: 13|" + key},
		{"no version", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|" + key},
		{"version 8", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 8|" + key},
		{"version 013", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 013|" + key},
		{"version in a list", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13, 8|" + key},
		{"version twice", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Version: 13|" + key},
		{"no key", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13"},
		{"empty key", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key:"},
		{"short key", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: c2hvcnQ="},
		{"key of 15 bytes", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5v"},
		{"key of 17 bytes", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5vcHE="},
		{"key of 18 bytes", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5vcHFy"},
		{"key that is no base64", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="},
		{"two keys", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key + "|" + key},
		{"two keys in one", false, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|" + key + ", dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := strings.ReplaceAll(tt.head, "|", "\r\n") + "\r\nHost: x\r\n\r\n"
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			if got := wsconn.IsUpgrade(r); got != tt.want {
				t.Errorf("IsUpgrade is %v, want %v", got, tt.want)
			}
			if !tt.want {
				w := httptest.NewRecorder()
				if _, err := wsconn.Upgrade(w, r, nil); err == nil || w.Code != 400 {
					t.Errorf("Upgrade: %v, answered %d", err, w.Code)
				}
			}
		})
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	for _, h := range [][2]string{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}} {
		r.Header.Set(h[0], h[1])
	}
	if wsconn.IsUpgrade(r) {
		t.Error("HTTP/2 has no upgrade")
	}
	r.ProtoMajor, r.ProtoMinor = 1, 1
	if !wsconn.IsUpgrade(r) {
		t.Error("the same over HTTP/1.1 is one")
	}
}

func TestHijackIsHidden(t *testing.T) {
	r, _ := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	w := httptest.NewRecorder()
	_, err := wsconn.Upgrade(w, r, nil)
	if !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("Upgrade: %v", err)
	}
	if body := w.Body.String(); w.Code != 500 || !strings.Contains(body, "cannot be taken over") || !strings.Contains(body, "Unwrap") {
		t.Errorf("answered %d %q", w.Code, body)
	}
}

// A wrapper is what middleware puts around a ResponseWriter.
type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestUpgradeThroughMiddleware(t *testing.T) {
	s := serve(t, &server{cfg: &wsconn.Config{Protocol: "chat.v2"}})
	upgrade := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "node", Value: "7"})
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Connection", "close")
		w.Header().Set("X-Odd", "a\r\nX-Injected: b")
		upgrade.ServeHTTP(wrapper{w}, r)
	})
	s.Start()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, request)
	r := bufio.NewReader(nc)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := res.Header
	for name, want := range map[string]string{
		"Set-Cookie": "node=7", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Protocol": "chat.v2",
		"Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Content-Type": "", "X-Injected": "", "Sec-Websocket-Extensions": "",
	} {
		if got := strings.Join(h[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What the client sends behind the request, in the same packet, must not be
// lost in net/http's buffer.
func TestEarlyInput(t *testing.T) {
	long := strings.Repeat("early ", 400)
	for name, cfg := range map[string]*wsconn.Config{"direct": nil, "ordinary": wsconn.Ordinary(wsconn.Config{})} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &server{cfg: cfg})
			last := text("the last one")
			p := dial(t, s, join(text(long), ping("p"), last[:9])...)
			p.want(t, txt(long), pong("p"))
			p.send(t, last[9:])
			p.want(t, txt("the last one"))
		})
	}
}

// The timeouts of the http.Server hold until the upgrade, and not behind it.
func TestServerTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &server{})
		l := newPipes()
		s.Listener.Close()
		s.Listener, s.dialer = l, l.dial
		s.Config.ReadHeaderTimeout = time.Second
		s.Config.ReadTimeout = 2 * time.Second
		s.Config.WriteTimeout = 2 * time.Second
		s.Start()

		p := dial(t, s)
		time.Sleep(10 * time.Second) // of the bubble
		p.send(t, text("still here"))
		p.want(t, txt("still here"))
		p.send(t, code(1000, ""))
		p.wantClosed(t, 1000)

		// Row 53: a client that never completes its request.
		nc := l.dial()
		io.WriteString(nc, request[:40])
		if b, _ := io.ReadAll(nc); strings.Contains(string(b), "101") {
			t.Errorf("got %q", b)
		}
		nc.Close()

		// A client that does not take the 101.
		nc = l.dial()
		io.WriteString(nc, request)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if b, err := io.ReadAll(nc); len(b) > 0 || err != nil {
			t.Errorf("got %q, %v, want the end", b, err)
		}
		nc.Close()
		s.Close()
	})
}

func TestUnixSocket(t *testing.T) {
	s := serve(t, &server{})
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Skip("no Unix sockets here:", err)
	}
	s.Listener.Close()
	s.Listener = l
	p := dial(t, s, text("hello")...)
	p.want(t, txt("hello"))
	p.send(t, f(0x83, ""))
	p.wantClosed(t, 1002)
}
