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
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// What CORS says to whom, and that it says so on refusals too (section 1.6).
func TestCORS(t *testing.T) {
	noUser := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{AllowedOrigins: []string{"https://app.example"}, Middleware: noUser})
	const allowed, foreign = "Origin: https://app.example", "Origin: https://evil.example"
	preflight := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,x-requested-with,x-signalr-user-agent"}
	for _, r := range []struct {
		name, method, target string
		header               []string
		status               int
		origin               string
	}{
		{"negotiate", "POST", "/hub/negotiate?negotiateVersion=1", []string{allowed, "Authorization: x"}, 200, "https://app.example"},
		{"refusal of the middleware", "POST", "/hub/negotiate?negotiateVersion=1", []string{allowed}, 401, "https://app.example"},
		{"refusal of ours", "GET", "/hub?id=unknown", []string{allowed, "Authorization: x"}, 404, "https://app.example"},
		{"foreign", "POST", "/hub/negotiate?negotiateVersion=1", []string{foreign, "Authorization: x"}, 200, ""},
		{"no page", "POST", "/hub/negotiate?negotiateVersion=1", []string{"Authorization: x"}, 200, ""},
		{"null", "POST", "/hub/negotiate?negotiateVersion=1", []string{"Origin: null", "Authorization: x"}, 200, ""},
		{"longer", "POST", "/hub/negotiate?negotiateVersion=1", []string{allowed + ".evil.example", "Authorization: x"}, 200, ""},
		{"another scheme", "POST", "/hub/negotiate?negotiateVersion=1", []string{"Origin: http://app.example", "Authorization: x"}, 200, ""},
		{"two", "POST", "/hub/negotiate?negotiateVersion=1", []string{allowed, foreign, "Authorization: x"}, 200, ""},
		{"preflight", "OPTIONS", "/hub/negotiate?negotiateVersion=1", append(preflight, allowed), 204, "https://app.example"},
		{"preflight of the endpoint", "OPTIONS", "/hub?id=x", append(preflight, allowed), 204, "https://app.example"},
		{"foreign preflight", "OPTIONS", "/hub/negotiate", append(preflight, foreign, "Authorization: x"), 405, ""},
		{"no preflight", "OPTIONS", "/hub/negotiate", []string{allowed, "Authorization: x"}, 405, "https://app.example"},
	} {
		got := s.request(r.method, r.target, r.header...)
		if got.status != r.status || got.header.Get("Access-Control-Allow-Origin") != r.origin {
			t.Errorf("%s: %d %v", r.name, got.status, got.header)
		}
		if cred := got.header.Get("Access-Control-Allow-Credentials"); (cred == "true") != (r.origin != "") {
			t.Errorf("%s: credentials %q", r.name, cred)
		}
		if got.header.Get("Vary") != "Origin" {
			t.Errorf("%s: Vary %q", r.name, got.header.Get("Vary"))
		}
		if r.status == 204 && (got.header.Get("Access-Control-Allow-Methods") != "GET, POST, DELETE" || got.header.Get("Access-Control-Allow-Headers") != "authorization,x-requested-with,x-signalr-user-agent") {
			t.Errorf("%s: %v", r.name, got.header)
		}
	}

	// An event stream carries them too.
	_, token := s.negotiateAs("", allowed, "Authorization: x")
	if e := s.sse(token, allowed, "Authorization: x"); e.head.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("event stream: %v", e.head.Header)
	}

	// Any origin, but then without cookies.
	s = serve(t, newHub(t, nil).Hub, &signalr.Options{AllowedOrigins: []string{"*"}})
	got := s.request("POST", "/hub/negotiate?negotiateVersion=1", foreign)
	if got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any: %v", got.header)
	}
	// And by default none.
	s = serve(t, newHub(t, nil).Hub, nil)
	got = s.request("POST", "/hub/negotiate?negotiateVersion=1", foreign)
	if got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Vary") != "" {
		t.Errorf("default: %v", got.header)
	}
}

// A page of a foreign site sends what it likes with its reader's cookies, but
// neither opens a WebSocket nor learns a token (row 73).
func TestAdversarial73CrossSite(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{AllowedOrigins: []string{"https://app.example"}, Middleware: asUser})
	const foreign = "Origin: https://evil.example"
	if _, r := s.tryDial("/hub", foreign, "X-User: ann"); r.status != 403 || r.body != "Origin not allowed" {
		t.Errorf("WebSocket: %d %q", r.status, r.body)
	}
	for _, r := range []reply{
		s.request("POST", "/hub/negotiate?negotiateVersion=1", foreign, "X-User: ann"),
		s.request("POST", "/hub", foreign, "X-User: ann"),
		s.request("POST", "/hub?id=guess", foreign, "X-User: ann"),
	} {
		if r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", r.status, r.header)
		}
	}
}

// Without a list of hosts a page cannot rebind its name to a server on its
// reader's machine (row 12).
func TestAdversarial12Rebinding(t *testing.T) {
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", newHub(t, nil).Hub, nil)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, head := range []string{
		"POST /hub/negotiate?negotiateVersion=1 HTTP/1.1\r\nContent-Length: 0\r\n",
		"GET /hub HTTP/1.1\r\nOrigin: http://evil.com\r\n" + strings.Join(upgrade, "\r\n") + "\r\n",
	} {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "%sHost: evil.com\r\n\r\n", head)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 403 {
			t.Errorf("%.20s: %v %v", head, res, err)
		}
		c.Close()
	}
}

// Requests for names that are not ours (row 12).
func TestAdversarial12Hosts(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{AllowedHosts: []string{"Example.com", "*.example.org", "localhost:8080", "[::1]", "127.0.0.1"}})
	for host, ok := range map[string]bool{
		"example.com": true, "EXAMPLE.COM:81": true, "example.com.": true, "a.example.com": false, "example.com.evil.com": false, "evilexample.com": false,
		"a.example.org": true, "a.b.example.org:1": true, "example.org": false, "xexample.org": false,
		"localhost:8080": true, "localhost": false, "localhost:8081": false,
		"[::1]:5000": true, "[::1]": true, "[::2]": false, "127.0.0.1:99": true, "127.0.0.1.evil.com": false, "evil.com": false, "": false,
	} {
		for _, target := range []string{"/hub/negotiate?negotiateVersion=1"} {
			r := s.request("POST", target, "Host: "+host)
			if ok != (r.status == 200) {
				t.Errorf("%q: %d %q", host, r.status, r.body)
			}
			if !ok && r.body != "Host not allowed" {
				t.Errorf("%q: %d %q", host, r.status, r.body)
			}
		}
		if _, r := s.tryDial("/hub", "Host: "+host); ok != (r.status == 101) {
			t.Errorf("WebSocket for %q: %d %q", host, r.status, r.body)
		}
	}
	if r := s.request("POST", "http://evil.com/hub/negotiate", "Host: example.com"); r.status != 403 {
		t.Errorf("absolute form: %d", r.status)
	}
	if r := s.request("POST", "/hub/negotiate", "Host: example.com", "Host: evil.com"); r.status != 400 {
		t.Errorf("two hosts: %d", r.status)
	}
}

// A connection is its user's: to another its id is unknown, whatever the request
// (rows 8, 9).
func TestAdversarial08Users(t *testing.T) {
	const ann, bob = "X-User: ann", "X-User: bob"
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, &signalr.Options{Middleware: asUser, AuthRefresh: true})
	unknown := func(name string, r reply) {
		t.Helper()
		if r.status != 404 || r.body != "No Connection with that ID" {
			t.Errorf("%s: %d %q", name, r.status, r.body)
		}
	}
	for _, owner := range []string{ann, "X-Other: anonymous"} {
		token := s.lp("", "json", owner)
		_, negotiated := s.negotiateAs("", owner)
		_, streaming := s.negotiateAs("", owner)
		e := s.sse(streaming, owner)
		for _, other := range []string{bob, "X-Other: nobody", ann} {
			if other == owner || owner != ann && other != bob && other != ann {
				continue
			}
			for name, tok := range map[string]string{"polled": token, "negotiated": negotiated, "streaming": streaming} {
				unknown(name+": poll", s.request("GET", "/hub?id="+tok, other))
				unknown(name+": events", s.request("GET", "/hub?id="+tok, other, "Accept: text/event-stream"))
				_, r := s.tryDial("/hub?id="+tok, other)
				unknown(name+": WebSocket", r)
				unknown(name+": POST", s.request("POST", "/hub?id="+tok, other))
				unknown(name+": DELETE", s.request("DELETE", "/hub?id="+tok, other))
				unknown(name+": refresh", s.request("POST", "/hub/refresh", other, "X-SignalR-Connection-Token: "+tok))
			}
		}
		s.post(token, `{"type":1,"invocationId":"1","target":"User","arguments":[]}␞`, owner)
		want := `{"type":3,"invocationId":"1","result":"ann"}␞`
		if owner != ann {
			want = `{"type":3,"invocationId":"1","result":""}␞`
		}
		s.poll(token, 200, want, owner)
		s.post(streaming, `{"protocol":"json","version":1}␞`, owner)
		e.want("{}")
		s.post(streaming, `{"type":7}␞`, owner)
		e.want(`{"type":7}`)
	}
}

// Connections end with their user's credentials, at most a second late; over
// polls newer ones move the end (section 7.2).
func TestCloseOnExpiry(t *testing.T) {
	opts := &signalr.Options{Middleware: asUser, CloseOnExpiry: true}
	short := []string{"X-User: ann", "X-Life: 3s"}
	early := func(t *testing.T, start time.Time) {
		t.Helper()
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("after %v", d)
		}
	}
	t.Run("WebSocket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, opts)
			start := time.Now()
			p := s.dial("/hub", short...)
			p.shake("json")
			p.want(`{"type":7,"allowReconnect":true}`)
			early(t, start)
			p.wantClose(1000)
			hub.wantGone(t, "")
		})
	})
	t.Run("events", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, opts)
			start := time.Now()
			e := s.events(short...)
			e.want(`{"type":7,"allowReconnect":true}`)
			early(t, start)
			e.wantEnd()
			hub.wantGone(t, "")
		})
	})
	t.Run("polls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, opts)
			start := time.Now()
			token := s.lp("", "json", short...)
			s.poll(token, 200, closeReconnect, "X-User: ann", "X-Life: 1s") // an older one moves nothing
			early(t, start)
			hub.wantGone(t, "")
			s.poll(token, 204, "", short...)
		})
	})
	t.Run("polls renewed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, opts)
			start := time.Now()
			token := s.lp("", "json", short...)
			s.poll(token, 200, closeReconnect, "X-User: ann", "X-Life: 1m")
			if d := time.Since(start); d < time.Minute || d > 62*time.Second {
				t.Errorf("after %v", d)
			}
			hub.wantGone(t, "")
		})
	})
	t.Run("off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, &signalr.Options{Middleware: asUser})
			p := s.dial("/hub", short...)
			p.shake("json")
			p.want(`{"type":6}`)
		})
	})
}

// A live connection gets newer credentials (section 9.7, row 71).
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{Middleware: asUser, CloseOnExpiry: true, AuthRefresh: true})
		r := s.request("POST", "/hub/negotiate?negotiateVersion=1", "X-User: ann", "X-Life: 4s")
		if !strings.HasSuffix(r.body, `],"tokenLifetimeSeconds":4}`) {
			t.Fatalf("negotiate: %s", r.body)
		}
		token := member(r.body, "connectionToken")
		refresh := func(status int, body string, header ...string) {
			t.Helper()
			if r := s.request("POST", "/hub/refresh", header...); r.status != status || r.body != body {
				t.Errorf("refresh: %d %q, want %d %q", r.status, r.body, status, body)
			}
		}
		id := "X-SignalR-Connection-Token: " + token
		refresh(404, "No Connection with that ID", "X-User: ann", id) // not begun
		start := time.Now()
		p := s.dial("/hub?id="+token, "X-User: ann", "X-Life: 4s")
		p.shake("json")
		time.Sleep(2 * time.Second)
		refresh(200, `{"tokenLifetimeSeconds":5}`, "X-User: ann", "X-Life: 5500ms", id)
		refresh(404, "No Connection with that ID", "X-User: bob", "X-Life: 1h", id)
		refresh(404, "No Connection with that ID", id)
		refresh(400, "Connection ID required", "X-User: ann", "X-Life: 1h")
		refresh(404, "No Connection with that ID", "X-User: ann", "X-SignalR-Connection-Token: nonsense")
		refresh(200, `{"tokenLifetimeSeconds":1}`, "X-User: ann", "X-Life: 1s", id) // does not shorten
		if r := s.request("GET", "/hub/refresh", "X-User: ann", id); r.status != 405 {
			t.Errorf("GET: %d", r.status)
		}
		p.want(`{"type":7,"allowReconnect":true}`)
		if d := time.Since(start); d < 7500*time.Millisecond || d > 8500*time.Millisecond {
			t.Errorf("ended after %v", d)
		}
		p.wantClose(1000)
		refresh(404, "No Connection with that ID", "X-User: ann", "X-Life: 1h", id)
		hub.wantGone(t, "")

		p = nil
		_, token = s.negotiateAs("", "X-User: ann", "X-Life: 4s")
		q := s.dial("/hub?id="+token, "X-User: ann", "X-Life: 4s")
		q.shake("json")
		refresh(200, `{}`, "X-User: ann", "X-SignalR-Connection-Token: "+token) // for ever
		time.Sleep(10 * time.Second)
		q.call("1", "User", "")
		q.want(`{"type":3,"invocationId":"1","result":"ann"}`)
	})
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{Middleware: asUser})
	if r := s.request("POST", "/hub/refresh", "X-User: ann", "X-SignalR-Connection-Token: x"); r.status != 404 {
		t.Errorf("where it is not wanted: %d", r.status)
	}
	if r := s.request("POST", "/hub/negotiate?negotiateVersion=1", "X-User: ann", "X-Life: 4s"); strings.Contains(r.body, "tokenLifetimeSeconds") {
		t.Errorf("where it is not wanted: %s", r.body)
	}
}

// What costs a client nothing is bounded, for each address and in all, and gone
// after a while (row 1).
func TestAdversarial01Pending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, &signalr.Options{MaxPending: 8})
		status := func() int {
			_, token := s.negotiate("")
			r, err := s.do(t.Context(), "POST", "/hub?id="+token, "x")
			if err != nil {
				t.Fatal(err)
			}
			return r.status
		}
		poll := func() int {
			_, token := s.negotiate("")
			r, ok := <-s.park(token).ch
			if !ok {
				t.Fatal("no answer")
			}
			return r.status
		}
		for i := range 2 { // a pipe has no address: all are one, which may have a quarter
			if got := status(); got != 200 {
				t.Fatalf("%d: %d", i, got)
			}
		}
		for range 100 {
			if got := status(); got != 503 {
				t.Fatalf("one too many: %d", got)
			}
		}
		if got := poll(); got != 503 {
			t.Fatalf("a poll: %d", got)
		}
		if p := s.connect("json"); p == nil { // who holds a socket is not counted
			t.Fatal("no WebSocket")
		}
		time.Sleep(17 * time.Second)
		if got := poll(); got != 200 {
			t.Fatalf("later: %d", got)
		}
		token := s.lp("", "json") // one that has arrived is not counted
		_ = token
		s.lp("", "json")
		s.lp("", "json")
	})
}

// One address may have a quarter of what is pending, an IPv6 one with all of its
// /64; the others have the rest.
func TestAdversarial01PendingPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := signalr.Handler(newHub(t, nil).Hub, &signalr.Options{MaxPending: 16})
		answer := func(method, target, remote string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, target, strings.NewReader("x"))
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		post := func(remote string) int {
			token := member(answer("POST", "/hub/negotiate?negotiateVersion=1", remote).Body.String(), "connectionToken")
			return answer("POST", "/hub?id="+token, remote).Code
		}
		for _, addrs := range [][]string{
			{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3", "192.0.2.1:4"},
			{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::ffff:1]:9", "[2001:db8::1%eth0]:1"},
			{"[2001:db8:0:1::1]:1", "@", "@", "192.0.2.2:1"}, // "@": a Unix socket
		} {
			for _, a := range addrs {
				if got := post(a); got != 200 {
					t.Fatalf("%s: %d", a, got)
				}
			}
		}
		for _, a := range []string{"192.0.2.1:9", "[2001:db8::9]:9"} {
			if got := post(a); got != 503 {
				t.Errorf("a fifth of %s: %d", a, got)
			}
		}
		for i, want := range []int{200, 200, 200, 200, 503, 503} { // 16 in all
			if got := post(fmt.Sprintf("198.51.100.%d:1", i)); got != want {
				t.Errorf("%d: %d, want %d", i, got, want)
			}
		}
		time.Sleep(17 * time.Second)
		synctest.Wait()
		if got := post("192.0.2.1:9"); got != 200 {
			t.Errorf("later: %d", got)
		}
		time.Sleep(17 * time.Second)
	})
}

// A token that is posted to before its transport comes (row 7), whatever the
// transport is; without one it is gone after 15 s.
func TestAdversarial07PostComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		const sent = `{"protocol":"json","version":1}␞{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`
		const want = `{"type":3,"invocationId":"1","result":"a"}`
		_, token := s.negotiate("")
		s.post(token, sent[:20])
		s.post(token, sent[20:])
		if r := s.delete(token); r.status != 400 {
			t.Errorf("DELETE: %d", r.status)
		}
		e := s.sse(token)
		e.want("{}", want)
		e.post(`{"type":7}␞`)
		e.want(`{"type":7}`)
		e.wantEnd()

		_, token = s.negotiate("")
		s.post(token, sent)
		s.poll(token, 200, "")
		synctest.Wait()
		s.poll(token, 200, "{}␞"+want+"␞")

		_, token = s.negotiate("")
		s.post(token, sent)
		p := s.dial("/hub?id=" + token)
		p.want("{}", want)
		p.call("2", "Echo", `"b"`)
		p.want(`{"type":3,"invocationId":"2","result":"b"}`)

		_, token = s.negotiate("")
		s.post(token, sent)
		wait := make(chan int)
		go func() { // ends with its answer
			r, err := s.do(t.Context(), "POST", "/hub?id="+token, strings.Repeat("x", 100<<10))
			if err != nil {
				t.Error(err)
			}
			wait <- r.status
		}()
		if got := <-wait; got != 404 { // it waited for room
			t.Errorf("POST: %d", got)
		}
		s.wantPost(token, "x", 404, "No Connection with that ID")
		if _, r := s.trySSE(token); r.StatusCode != 404 {
			t.Errorf("events: %d", r.StatusCode)
		}
	})
}

// POSTs at once take turns, and none is torn (row 58).
func TestAdversarial58Posts(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	e := s.events()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			e.call(fmt.Sprint(i), "Echo", `"`+strings.Repeat(string(rune('a'+i%26)), 5000)+`"`)
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for range 50 {
		rec := e.record()
		id := member(rec, "invocationId")
		var n int
		fmt.Sscan(id, &n)
		if member(rec, "result") != strings.Repeat(string(rune('a'+n%26)), 5000) || seen[id] {
			t.Fatalf("%.100s", rec)
		}
		seen[id] = true
	}
	e.post(`{"type":1,"invocationId":"x","target":"Echo","arguments":["a"]}␞`) // the same twice is two calls
	e.post(`{"type":1,"invocationId":"x","target":"Echo","arguments":["a"]}␞`)
	e.want(`{"type":3,"invocationId":"x","result":"a"}`, `{"type":3,"invocationId":"x","result":"a"}`)
}

// A body of any size is read as it comes, and waits while the hub is behind (row
// 15); it is never kept.
func TestAdversarial15BigBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		e := s.events()
		e.call("0", "Block", "")
		const n = 200
		pr, pw := io.Pipe()
		var sent int
		done := make(chan struct{})
		go func() { // ends with the body
			defer close(done)
			for i := range n {
				m := fmt.Sprintf("{\"type\":1,\"invocationId\":\"%d\",\"target\":\"Echo\",\"arguments\":[\"%s\"]}\x1e", i+1, strings.Repeat("a", 10_000))
				if _, err := pw.Write([]byte(m)); err != nil {
					return
				}
				sent = i
			}
			pw.Close()
		}()
		status := make(chan int, 1)
		go func() { // ends with its answer
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://example.com/hub?id="+e.token, pr)
			tr := &http.Transport{DialContext: s.dialer(), DisableKeepAlives: true}
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				status <- 0
				return
			}
			res.Body.Close()
			status <- res.StatusCode
		}()
		synctest.Wait()
		if sent > 40 { // 400 kB of 2 MB
			t.Errorf("%d messages were taken while the hub stood still", sent)
		}
		close(hub.block)
		for range n + 1 {
			if rec := e.record(); !strings.HasPrefix(rec, `{"type":3`) {
				t.Fatalf("%.100s", rec)
			}
		}
		<-done
		if got := <-status; got != 200 {
			t.Errorf("POST: %d", got)
		}
	})
}

// A body that never ends holds nothing but its own turn, and ends with the
// connection.
func TestAdversarial15EndlessBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		e := s.events()
		pr, pw := io.Pipe()
		defer pw.Close()
		status := make(chan int, 1)
		go func() { // ends with its answer
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://example.com/hub?id="+e.token, pr)
			tr := &http.Transport{DialContext: s.dialer(), DisableKeepAlives: true}
			res, err := tr.RoundTrip(req)
			if err != nil {
				status <- 0
				return
			}
			res.Body.Close()
			status <- res.StatusCode
		}()
		_, _ = pw.Write([]byte(`{"type":6}` + "\x1e"))
		start := time.Now()
		if got := <-status; got != 400 {
			t.Errorf("POST: %d", got)
		}
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("after %v", d)
		}
		e.post(`{"type":7}␞`)
		for e.record() != `{"type":7}` { // behind pings
		}
		e.wantEnd()
	})
}

// Shutdown tells clients on every transport that they may come back (F8, row 85),
// spread over the drain window.
func TestAdversarial85Shutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{DrainWindow: 3 * time.Second})
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		e := s.events()
		parked := s.lp("", "json")
		poll := s.park(parked)
		absent := s.lp("", "json")
		_, late := s.negotiate("")
		_, posted := s.negotiate("")
		s.post(posted, `{"protocol":"json","version":1}␞`)
		synctest.Wait()
		start := time.Now()
		done := make(chan error)
		go func() { done <- hub.Shutdown(t.Context()) }() // ends with the last connection
		var last time.Duration
		p.want(`{"type":7,"allowReconnect":true}`)
		p.wantClose(1000)
		last = max(last, time.Since(start))
		e.want(`{"type":7,"allowReconnect":true}`)
		e.wantEnd()
		last = max(last, time.Since(start))
		poll.want(200, closeReconnect)
		last = max(last, time.Since(start))
		if err := <-done; err != nil {
			t.Error(err)
		}
		if last < time.Second || time.Since(start) > 5*time.Second {
			t.Errorf("ends until %v, all after %v", last, time.Since(start))
		}
		s.poll(parked, 204, "")
		s.poll(absent, 200, closeReconnect)
		s.poll(absent, 204, "")

		// Those who come late are turned away, or told the same.
		const ends = "The server is shutting down"
		if r := s.request("POST", "/hub/negotiate?negotiateVersion=1"); r.status != 503 || r.body != ends {
			t.Errorf("negotiate: %d %q", r.status, r.body)
		}
		s.poll(late, 503, ends)
		s.wantPost(late, "x", 503, ends)
		if _, r := s.tryDial("/hub"); r.status != 503 {
			t.Errorf("WebSocket: %d", r.status)
		}
		e = s.sse(posted)
		e.want("{}", `{"type":7,"allowReconnect":true}`)
		e.wantEnd()
	})
}

// No secret of a request is logged (row 75).
func TestAdversarial75Secrets(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	hub := newHub(t, &hubwire.Options{Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	s := serve(t, hub.Hub, &signalr.Options{AllowedOrigins: []string{"https://app.example"}, AllowedHosts: []string{"example.com"}})
	token := s.lp("&access_token=hush-1", "json")
	s.request("GET", "/hub?id="+token+"&access_token=hush-2", "Host: evil.com", "Authorization: Bearer hush-3")
	s.request("POST", "/hub?id=hush-4&access_token=hush-5")
	s.tryDial("/hub?id="+token+"&access_token=hush-6", "Origin: https://evil.example")
	s.post(token, `{}␞`)
	<-hub.gone
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range []string{"hush", token, strings.SplitN(token, ".", 3)[2]} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, log.String())
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
