package signalr_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

func TestNegotiate(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	const transports = `,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}`
	for _, r := range []struct {
		name, method, target string
		status               int
		want                 string // IDs left out
	}{
		{"H1", "POST", "/hub/negotiate?negotiateVersion=1", 200, `{"negotiateVersion":1,"connectionId":"","connectionToken":""` + transports},
		{"H2", "POST", "/hub/negotiate", 200, `{"negotiateVersion":0,"connectionId":""` + transports},
		{"version 0", "POST", "/hub/negotiate?negotiateVersion=0", 200, `{"negotiateVersion":0,"connectionId":""` + transports},
		{"H3", "POST", "/hub/negotiate?negotiateVersion=99", 200, `{"negotiateVersion":1,"connectionId":"","connectionToken":""` + transports},
		{"H4", "POST", "/hub/negotiate?negotiateVersion=-1", 200, `{"error":"The client requested version '-1', but the server does not support this version."}`},
		{"H5", "POST", "/hub/negotiate?negotiateVersion=abc", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"empty version", "POST", "/hub/negotiate?negotiateVersion=", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"1.0", "POST", "/hub/negotiate?negotiateVersion=1.0", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"1e9", "POST", "/hub/negotiate?negotiateVersion=1e9", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"beyond int32", "POST", "/hub/negotiate?negotiateVersion=2147483648", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"twice", "POST", "/hub/negotiate?negotiateVersion=1&negotiateVersion=0", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"twice in two cases", "POST", "/hub/negotiate?negotiateVersion=1&NEGOTIATEVERSION=1", 200, `{"error":"The client requested a non-integer protocol version."}`},
		{"white space around", "POST", "/hub/negotiate?negotiateVersion=%201%20", 200, `{"negotiateVersion":1,"connectionId":"","connectionToken":""` + transports},
		{"case of the key", "POST", "/hub/negotiate?NegotiateVersion=1", 200, `{"negotiateVersion":1,"connectionId":"","connectionToken":""` + transports},
		{"H7", "POST", "/hub/negotiate?negotiateVersion=1&useStatefulReconnect=true", 200, `{"negotiateVersion":1,"connectionId":"","connectionToken":""` + transports},
		{"slash behind", "POST", "/hub/negotiate/?negotiateVersion=0", 200, `{"negotiateVersion":0,"connectionId":""` + transports},
		{"case of the path", "POST", "/hub/NEGOTIATE", 200, `{"negotiateVersion":0,"connectionId":""` + transports},
		{"H8", "GET", "/hub/negotiate", 405, ``},
		{"PUT", "PUT", "/hub/negotiate", 405, ``},
		{"OPTIONS", "OPTIONS", "/hub/negotiate", 405, ``},
		{"DELETE", "DELETE", "/hub/negotiate", 405, ``},
		{"below", "POST", "/hub/negotiate/x", 404, ``},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := s.request(r.method, r.target)
			body := got.body
			for _, name := range []string{"connectionId", "connectionToken"} {
				body = strings.Replace(body, member(body, name), "", 1)
			}
			if got.status != r.status || body != r.want {
				t.Errorf("%d %s\nwant %d %s", got.status, body, r.status, r.want)
			}
			wantType := map[int]string{200: "application/json", 405: "text/plain"}[r.status]
			if typ := got.header.Get("Content-Type"); typ != wantType {
				t.Errorf("Content-Type %q", typ)
			}
			if r.status != 405 && got.header.Get("Content-Length") == "" {
				t.Error("no Content-Length")
			}
		})
	}
}

func TestMinimumProtocol(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{MinimumProtocol: 1})
	got := s.request("POST", "/hub/negotiate")
	if want := `{"error":"The client requested version '0', but the server does not support this version."}`; got.body != want {
		t.Errorf("%s, want %s", got.body, want)
	}
	s.negotiate("")
}

// The statuses and bodies of section 1.5, as far as WebSockets go.
func TestEndpoint(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{Transports: signalr.WebSockets})
	_, token := s.negotiate("")
	_, used := s.negotiate("")
	s.dial("/hub?id=" + used).shake("json")
	const (
		post = "POST requests are not allowed for WebSocket connections."
		del  = "Cannot terminate this connection using the DELETE endpoint."
		poll = "LongPolling transport not supported by this end point type"
		sse  = "ServerSentEvents transport not supported by this end point type"
	)
	ws := upgrade
	events := []string{"Accept: text/html, TEXT/event-stream"}
	for _, r := range []struct {
		name, method, target string
		header               []string
		status               int
		body                 string
	}{
		{"H9", "GET", "/hub", nil, 400, "Connection ID required"},
		{"empty id", "GET", "/hub?id=", nil, 400, "Connection ID required"},
		{"H10", "GET", "/hub?id=unknown", nil, 404, "No Connection with that ID"},
		{"H11 POST", "POST", "/hub", nil, 400, "Connection ID required"},
		{"H11 DELETE", "DELETE", "/hub", nil, 400, "Connection ID required"},
		{"POST, unknown", "POST", "/hub?id=unknown", nil, 404, "No Connection with that ID"},
		{"DELETE, unknown", "DELETE", "/hub?id=unknown", nil, 404, "No Connection with that ID"},
		{"H12", "PUT", "/hub?id=" + token, nil, 405, ""},
		{"HEAD", "HEAD", "/hub", nil, 405, ""},
		{"H17, not started", "DELETE", "/hub?id=" + token, nil, 400, del},
		{"H17", "DELETE", "/hub?id=" + used, nil, 400, del},
		{"H21", "GET", "/hub?id=" + token, events, 404, sse},
		{"poll", "GET", "/hub?id=" + token, nil, 404, poll},
		{"H22", "POST", "/hub?id=" + used, nil, 405, post},
		{"id in another case", "POST", "/hub?ID=" + used, nil, 405, post},
		{"two ids", "POST", "/hub?id=" + used + "&id=" + used, nil, 404, "No Connection with that ID"},
		{"second WebSocket", "GET", "/hub?id=" + used, ws, 409, ""},
		{"H24", "GET", "/hub?id=unknown", ws, 404, "No Connection with that ID"},
		{"upgrade that accepts events", "GET", "/hub", append(ws[:4:4], events...), 400, "Connection ID required"},
		{"no Connection header", "GET", "/hub", ws[1:], 400, "Connection ID required"},
		{"no version", "GET", "/hub", []string{ws[0], ws[1], ws[3]}, 400, "Connection ID required"},
		{"version 8", "GET", "/hub", []string{ws[0], ws[1], "Sec-WebSocket-Version: 8", ws[3]}, 400, "Connection ID required"},
		{"short key", "GET", "/hub", []string{ws[0], ws[1], ws[2], "Sec-WebSocket-Key: c2hvcnQ="}, 400, "Connection ID required"},
		{"POST with upgrade", "POST", "/hub", ws, 400, "Connection ID required"},
		{"below", "GET", "/hub/other", nil, 404, ""},
		{"slash behind", "GET", "/hub/", nil, 400, "Connection ID required"},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := s.request(r.method, r.target, r.header...)
			if got.status != r.status || got.body != r.body {
				t.Errorf("%d %q, want %d %q", got.status, got.body, r.status, r.body)
			}
			typ := "text/plain"
			if r.name == "H24" || r.name == "below" {
				typ = ""
			}
			if h := got.header.Get("Content-Type"); h != typ {
				t.Errorf("Content-Type %q, want %q", h, typ)
			}
			isPoll := r.method == "GET" && (r.header == nil || strings.HasPrefix(r.name, "no ") || strings.HasPrefix(r.name, "version") || r.name == "short key")
			if got.status == 404 && got.body == "" {
				isPoll = false
			}
			if has := got.header.Get("Expires") != ""; has != isPoll {
				t.Errorf("no-cache headers: %v, want %v", has, isPoll)
			}
		})
	}
	if p, r := s.tryDial("/hub/"); r.status == 101 {
		p.shake("json") // H23, and a slash
	} else {
		t.Errorf("H23: %d", r.status)
	}
}

func TestHandlerForOtherRouters(t *testing.T) {
	h := signalr.Handler(newHub(t, nil).Hub, nil)
	s := serveHandler(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	for target, status := range map[string]int{"/Chat": 400, "/chat/": 400, "/a/b": 400, "/Chat/Negotiate": 405, "/negotiate/": 405} {
		if r := s.request("GET", target); r.status != status {
			t.Errorf("GET %s: %d", target, r.status)
		}
	}
	s.dial("/Chat").shake("json")
}

func TestMountPaths(t *testing.T) {
	hub := newHub(t, nil).Hub
	for path, good := range map[string]string{"/": "/", "/a/b/": "/a/b", "/rooms/{room}/hub": "/rooms/7/hub", "example.com/x": "/x"} {
		mux := http.NewServeMux()
		signalr.Mount(mux, path, hub, nil)
		s := serveHandler(t, hub, mux)
		good = strings.TrimSuffix(good, "/")
		if r := s.request("POST", good+"/negotiate"); r.status != 200 {
			t.Errorf("%s: negotiate: %d", path, r.status)
		}
		if r := s.request("GET", good+"/"); r.status != 400 {
			t.Errorf("%s: endpoint: %d", path, r.status)
		}
		if r := s.request("GET", good+"/else"); r.status != 404 {
			t.Errorf("%s: below: %d", path, r.status)
		}
	}
}

func TestMiddlewareWrapsAllRoutes(t *testing.T) {
	var seen []string
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Method+" "+r.URL.Path)
			if r.URL.Query().Get("deny") != "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "ada"})))
		})
	}})
	if r := s.request("POST", "/hub/negotiate?deny=1"); r.status != 401 || r.body != "" { // H25
		t.Errorf("%d %q", r.status, r.body)
	}
	p := s.dial("/hub")
	p.shake("json")
	p.call("1", "User", "")
	p.want(`{"type":3,"invocationId":"1","result":"ada"}`)
	if got := strings.Join(seen, ", "); got != "POST /hub/negotiate, GET /hub" {
		t.Error(got)
	}
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		byQuery := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: r.URL.Query().Get("user")})))
			})
		}
		key := bytes.Repeat([]byte("k"), 32)
		s := serve(t, newHub(t, nil).Hub, &signalr.Options{TokenKey: key, Node: "node-1", Middleware: byQuery})
		id, token := s.negotiate("&user=ada")
		if len(token) >= 200 || !strings.HasPrefix(token, "node-1.") {
			t.Errorf("token %s", token)
		}
		if b, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(b) != 16 || strings.Contains(token, id) {
			t.Errorf("id %s", id)
		}
		refused := func(what, token, user string) {
			t.Helper()
			if _, r := s.tryDial("/hub?id=" + token + "&user=" + user); r.status != 404 || !strings.HasPrefix(r.body, "No Connection with that ID") {
				t.Errorf("%s: %d %q", what, r.status, r.body)
			}
		}
		soon := time.Now().Add(10 * time.Second).Unix()
		refused("the id", id, "ada")
		refused("another user", token, "bob")
		refused("nobody", token, "")
		refused("cut", token[:len(token)-1], "ada")
		refused("longer", token+"A", "ada")
		refused("another node in front", "node-2"+token[6:], "ada")
		refused("10 kB", strings.Repeat("a", 10_000), "ada")
		refused("three dots", "...", "ada")
		refused("not base64", "node-1.%20.%20", "ada")
		refused("another key", signalr.Token(bytes.Repeat([]byte("x"), 32), "node-1", "", "ada", 1, soon), "ada")
		refused("another hub", signalr.Token(key, "node-1", "other", "ada", 1, soon), "ada")
		refused("another node", signalr.Token(key, "node-2", "", "ada", 1, soon), "ada")
		if _, r := s.tryDial("/hub?user=ada&id=" + signalr.Token(key, "node-2", "", "ada", 1, soon)); !strings.Contains(r.body, "sticky sessions") {
			t.Errorf("another node: %q", r.body)
		}
		refused("expired", signalr.Token(key, "node-1", "", "ada", 1, time.Now().Unix()-1), "ada")
		for i := range token { // any bit that differs
			bad := []byte(token)
			bad[i] ^= 1
			if bad[i] == '&' || bad[i] == '#' || bad[i] == '%' || bad[i] == '+' || bad[i] <= ' ' {
				continue
			}
			refused(string(bad), string(bad), "ada")
		}

		p := s.dial("/hub?id=" + token + "&user=ada")
		p.shake("json")
		p.call("1", "WhoAmI", "")
		p.want(`{"type":3,"invocationId":"1","result":"` + id + `"}`)
		time.Sleep(time.Minute) // its token has long expired
		if _, r := s.tryDial("/hub?user=ada&id=" + token); r.status != 409 {
			t.Errorf("in use: %d", r.status)
		}
		p.records(`{"type":7}␞`)
		p.want(`{"type":6}`, `{"type":6}`, `{"type":6}`, `{"type":7}`)
		p.wantClose(1000)
		refused("over", token, "ada")
	})
}

// A token starts one connection, also within its own time (lesson 3).
func TestTokenStartsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		_, token := s.negotiate("")
		p := s.dial("/hub?id=" + token)
		p.send(0x88, []byte{3, 232})
		if f := p.next(); f.op != 8 {
			t.Fatalf("frame %d", f.op)
		}
		if _, r := s.tryDial("/hub?id=" + token); r.status != 404 {
			t.Errorf("used: %d", r.status)
		}
		_, late := s.negotiate("")
		time.Sleep(17 * time.Second)
		if _, r := s.tryDial("/hub?id=" + late); r.status != 404 {
			t.Errorf("late: %d", r.status)
		}
		if _, r := s.tryDial("/hub?id=" + token); r.status != 404 {
			t.Errorf("used, later: %d", r.status)
		}
	})
}

// In version 0 the public id is the token.
func TestVersion0(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	id := member(s.request("POST", "/hub/negotiate").body, "connectionId")
	p := s.dial("/hub?id=" + id)
	p.shake("json")
	p.call("1", "WhoAmI", "")
	p.want(`{"type":3,"invocationId":"1","result":"` + id + `"}`)
}

func TestOrigins(t *testing.T) {
	hub := newHub(t, nil).Hub
	for _, r := range []struct {
		name    string
		allowed []string
		header  []string
		ok      bool
	}{
		{"none", nil, nil, true},
		{"same", nil, []string{"Origin: http://example.com"}, true},
		{"same, https in front", nil, []string{"Origin: https://example.com"}, true},
		{"same, case and port", nil, []string{"Host: Example.com:80", "Origin: http://eXample.com"}, true},
		{"same, another port", nil, []string{"Origin: http://example.com:8080"}, false},
		{"port of loopback", nil, []string{"Host: localhost:5000", "Origin: http://localhost:5000"}, true},
		{"loopback, another port", nil, []string{"Host: localhost:5000", "Origin: http://localhost:3000"}, false},
		{"IPv6", nil, []string{"Host: [::1]:5000", "Origin: http://[::1]:5000"}, true},
		{"IPv6 without port", nil, []string{"Host: [::1]", "Origin: http://[::1]"}, true},
		{"foreign", nil, []string{"Origin: https://evil.com"}, false},
		{"looks like it", nil, []string{"Origin: https://example.com.evil.com"}, false},
		{"ends like it", nil, []string{"Origin: https://notexample.com"}, false},
		{"null", nil, []string{"Origin: null"}, false},
		{"empty", nil, []string{"Origin:"}, false},
		{"two", nil, []string{"Origin: http://example.com", "Origin: https://evil.com"}, false},
		{"with a user", nil, []string{"Origin: http://example.com@evil.com"}, false},
		{"with a path", nil, []string{"Origin: http://example.com/x"}, false},
		{"allowed", []string{"https://good.com"}, []string{"Origin: https://good.com"}, true},
		{"allowed, with its port", []string{"https://good.com"}, []string{"Origin: https://GOOD.com:443"}, true},
		{"allowed, other scheme", []string{"https://good.com"}, []string{"Origin: http://good.com"}, false},
		{"allowed, below", []string{"https://good.com"}, []string{"Origin: https://www.good.com"}, false},
		{"any", []string{"*"}, []string{"Origin: null"}, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := serve(t, hub, &signalr.Options{AllowedOrigins: r.allowed})
			_, got := s.tryDial("/hub", r.header...)
			if ok := got.status == 101; ok != r.ok || !ok && got.status != 403 {
				t.Errorf("status %d", got.status)
			}
		})
	}
}

func TestLimitsOnConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		hub := newHub(t, &hubwire.Options{Connect: func(ctx contextT, c *hubwire.Conn) error {
			if c.Request().Query.Get("hold") != "" {
				<-hold
			}
			return nil
		}})
		s := serve(t, hub.Hub, &signalr.Options{MaxConnections: 2, MaxHandshakes: 1})
		refused := func(what string) {
			t.Helper()
			if _, r := s.tryDial("/hub"); r.status != 503 {
				t.Errorf("%s: %d", what, r.status)
			}
			if r := s.request("POST", "/hub/negotiate"); r.status != 503 {
				t.Errorf("%s: negotiate: %d", what, r.status)
			}
		}
		a := s.dial("/hub?hold=1")
		refused("before the handshake")
		a.shake("json")
		refused("in Connect")
		close(hold)
		synctest.Wait()
		b := s.connect("json")
		refused("two there are")
		b.records(`{"type":7}␞`)
		b.want(`{"type":7}`)
		b.wantClose(1000)
		synctest.Wait()
		c := s.dial("/hub")
		c.c.Close() // without a handshake
		synctest.Wait()
		s.connect("json")
	})
}

// What a connection keeps of its request has no secrets, and what is logged
// neither.
func TestRequest(t *testing.T) {
	var log bytes.Buffer
	var got *hubwire.Request
	hub := newHub(t, &hubwire.Options{
		Logger:  slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Connect: func(_ contextT, c *hubwire.Conn) error { got = c.Request(); return nil },
	})
	s := serve(t, hub.Hub, &signalr.Options{KeepHeaders: []string{"x-kept"}})
	_, token := s.negotiate("")
	p := s.dial("/hub?id="+token+"&Access_Token=hush&room=a", "X-Kept: 1", "Cookie: hush")
	p.shake("MESSAGEPACK"[:0] + "json")
	p.records(`{"type":0.5}␞`)
	p.want(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
	p.wantClose(1000)
	hub.wantGone(t, "Either the JSON value is not in a supported format, or is out of bounds for an Int32.")
	if got.Wire != "signalr" || got.Transport != "WebSockets" || got.Protocol != "json" || got.Remote != "pipe" {
		t.Errorf("%+v", got)
	}
	if len(got.Query) != 1 || got.Query.Get("room") != "a" || len(got.Header) != 1 || got.Header.Get("X-Kept") != "1" {
		t.Errorf("%v %v", got.Query, got.Header)
	}
	if text := log.String(); strings.Contains(text, "hush") || strings.Contains(text, token) || !strings.Contains(text, `"conn":"`) {
		t.Error(text)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	bad := &signalr.Options{
		Transports: 128, Protocols: []string{"xml"}, MinimumProtocol: 2, KeepAlive: -1, ClientTimeout: -1, HandshakeTimeout: -1,
		MaxConnections: -1, MaxHandshakes: -1, AllowedOrigins: []string{"example.com"}, Node: "a b", TokenKey: []byte("short"),
	}
	defer func() {
		text, _ := recover().(string)
		for _, want := range []string{"Transports", "Protocols", "MinimumProtocol", "KeepAlive", "ClientTimeout", "HandshakeTimeout", "MaxConnections", "MaxHandshakes", "AllowedOrigins", "Node", "TokenKey"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not in %q", want, text)
			}
		}
	}()
	signalr.Handler(newHub(t, nil).Hub, bad)
	t.Error("no panic")
}

func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{"", "negotiateVersion=1", "negotiateVersion=-1", "negotiateVersion=1e9", "negotiateVersion=1&negotiateVersion=2", "NEGOTIATEVERSION=999", "negotiateVersion=%00", "negotiateVersion=99999999999999999999", "id=x&negotiateVersion=+1", ";=&;", "negotiateVersion=" + strings.Repeat("9", 5000)} {
		f.Add(s)
	}
	h := signalr.Handler(newHub(f, nil).Hub, nil)
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.NewRequest("POST", "/negotiate", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		w := newRecorder()
		h.ServeHTTP(w, r)
		var answer struct {
			Error, ConnectionID, ConnectionToken string
			NegotiateVersion                     int
		}
		if err := json.Unmarshal(w.body.Bytes(), &answer); err != nil || w.status != 200 {
			t.Fatalf("%d %s: %v", w.status, w.body.Bytes(), err)
		}
		if good := answer.ConnectionID != ""; good == (answer.Error != "") || good && (answer.ConnectionToken != "") != (answer.NegotiateVersion == 1) {
			t.Errorf("%s", w.body.Bytes())
		}
	})
}

// FuzzToken: whatever comes as a token is refused, and nothing else happens.
func FuzzToken(f *testing.F) {
	h := signalr.Handler(newHub(f, nil).Hub, &signalr.Options{Node: "n", TokenKey: make([]byte, 16)})
	f.Add("n.AQAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("..")
	f.Add("n..")
	f.Add(strings.Repeat(".", 300))
	f.Fuzz(func(t *testing.T, token string) {
		r, err := http.NewRequest("POST", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q := r.URL.Query()
		q.Set("id", token)
		r.URL.RawQuery = q.Encode()
		w := newRecorder()
		h.ServeHTTP(w, r)
		if want := 404; w.status != want && !(token == "" && w.status == 400) {
			t.Errorf("%q: %d", token, w.status)
		}
	})
}

// A recorder is an http.ResponseWriter that remembers.
type recorder struct {
	head   http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{head: http.Header{}} }

func (w *recorder) Header() http.Header { return w.head }
func (w *recorder) WriteHeader(n int)   { w.status = n }
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = 200
	}
	return w.body.Write(b)
}
