package signalr_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// Clients that negotiate and never come leave nothing behind.
func TestAdversarial01Negotiations(t *testing.T) {
	h := signalr.Handler(newHub(t, nil).Hub, nil)
	r := httptest.NewRequest(http.MethodPost, "/hub/negotiate?negotiateVersion=1", nil)
	negotiate := func(n int) {
		for range n {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 {
				t.Fatal(w.Code)
			}
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	negotiate(1000)
	before := heap()
	negotiate(100_000)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("100,000 negotiations left %d bytes", grown)
	}
}

func TestAdversarial02Versions(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for query, want := range map[string]string{
		"": `{"negotiateVersion":0,`, "?negotiateVersion=0": `{"negotiateVersion":0,`, "?negotiateVersion=1": `{"negotiateVersion":1,`,
		"?negotiateVersion=2": `{"negotiateVersion":1,`, "?negotiateVersion=999": `{"negotiateVersion":1,`,
		"?negotiateVersion=-1":                    `{"error":"The client requested version '-1', but the server does not support this version."}`,
		"?negotiateVersion=1e9":                   `{"error":"The client requested a non-integer protocol version."}`,
		"?negotiateVersion=1&negotiateVersion=1":  `{"error":"The client requested a non-integer protocol version."}`,
		"?negotiateVersion=99999999999999999999":  `{"error":"The client requested a non-integer protocol version."}`,
		"?%6eegotiateversion=1;negotiateVersion=": `{"negotiateVersion":0,`, // no query that anybody reads
	} {
		if r := s.request(http.MethodPost, "/hub/negotiate"+query); r.status != 200 || !strings.HasPrefix(r.body, want) {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

func TestAdversarial03Tokens(t *testing.T) {
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, nil)
	other := serve(t, newHub(t, nil).Hub, nil)
	_, theirs := other.negotiate("")
	_, ours := s.negotiate("")
	flipped := []byte(ours)
	flipped[len(flipped)-3] ^= 1
	for _, token := range []string{"unknown", strings.Repeat("x", 10_000), "%00%ff", "..", "a.b.c", theirs, string(flipped), ours + "x", strings.ToLower(ours), ours + "&id=" + ours} {
		for _, header := range [][]string{nil, {"Accept: text/event-stream"}, upgrade} {
			if r := s.request(http.MethodGet, "/hub?id="+token, header...); r.status != 404 {
				t.Errorf("%.60q: %d %q", token, r.status, r.body)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			if r := s.request(method, "/hub?id="+token); r.status != 404 {
				t.Errorf("%s %.60q: %d %q", method, token, r.status, r.body)
			}
		}
	}
	s.dial("/hub?id=" + ours).shake("json")
}

// One token, many transports at once: one of them gets it.
func TestAdversarial04OneToken(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for range 30 {
		_, token := s.negotiate("")
		var mu sync.Mutex
		won := map[int]int{}
		var wg sync.WaitGroup
		for i := range 9 {
			header := [][]string{nil, {"Accept: text/event-stream"}, upgrade}[i%3]
			wg.Go(func() {
				c, err := s.net.dial()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				fmt.Fprintf(c, "GET /hub?id=%s HTTP/1.1\r\nHost: example.com\r\n%s\r\n", token, strings.Join(append(header, ""), "\r\n"))
				_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // polls wait
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					won[1]++ // a poll that is parked
				} else if res.StatusCode < 300 && res.StatusCode != 204 {
					won[i%3+10]++
				} else if !slices.Contains([]int{204, 400, 404, 409}, res.StatusCode) {
					t.Errorf("%d", res.StatusCode)
				}
			})
		}
		wg.Wait()
		s.polled.Store(token, []string(nil))
		kinds := 0
		for _, k := range []int{10, 11, 12} {
			if won[k] > 0 {
				kinds++
			}
		}
		if kinds != 1 || won[11] > 1 || won[12] > 1 {
			t.Fatalf("%v", won)
		}
	}
}

// The public id opens nothing.
func TestAdversarial05PublicID(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	id, token := s.negotiate("")
	p := s.dial("/hub?id=" + token)
	p.shake("json")
	p.call("1", "WhoAmI", "")
	p.want(`{"type":3,"invocationId":"1","result":"` + id + `"}`)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if r := s.request(method, "/hub?id="+id); r.status != 404 {
			t.Errorf("%s: %d", method, r.status)
		}
	}
}

// A token of another node is turned away with a reason, whether its key is ours
// or not.
func TestAdversarial06OtherNode(t *testing.T) {
	key := []byte("a key that both of the nodes share")
	a := serve(t, newHub(t, nil).Hub, &signalr.Options{Node: "a", TokenKey: key})
	b := serve(t, newHub(t, nil).Hub, &signalr.Options{Node: "b", TokenKey: key})
	_, token := a.negotiate("")
	if r := b.request(http.MethodGet, "/hub?id="+token); r.status != 404 || !strings.Contains(r.body, "sticky sessions") {
		t.Errorf("%d %q", r.status, r.body)
	}
	a.dial("/hub?id=" + token).shake("json") // it is good still
}

func TestAdversarial11Origins(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{AllowedOrigins: []string{"https://good.com", "https://xn--bcher-kva.example", "http://good.com:8080"}})
	for origin, ok := range map[string]bool{
		"": true, "null": false, "https://good.com": true, "HTTPS://GOOD.COM": true, "https://good.com:443": true, "https://good.com:444": false,
		"http://good.com": false, "http://good.com:8080": true, "https://good.com.evil": false, "https://evil.com/good.com": false, "https://good.com@evil.com": false,
		"https://xn--bcher-kva.example": true, "https://b\u00fccher.example": false, "http://example.com": true, "file://": false, "https://good.com ": true, "x": false,
	} {
		var header []string
		if origin != "" {
			header = []string{"Origin: " + origin}
		}
		if _, r := s.tryDial("/hub", header...); ok != (r.status == 101) {
			t.Errorf("%q: %d", origin, r.status)
		}
	}
}

func TestAdversarial13Upgrades(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	ws := upgrade
	for name, header := range map[string][]string{
		"version 12": {ws[0], ws[1], "Sec-WebSocket-Version: 12", ws[3]},
		"no base64":  {ws[0], ws[1], ws[2], "Sec-WebSocket-Key: !!!"},
		"two keys":   {ws[0], ws[1], ws[2], ws[3], ws[3]},
		"no upgrade": {"Connection: close", ws[1], ws[2], ws[3]},
	} {
		if r := s.request(http.MethodGet, "/hub", header...); r.status != 400 || r.body != "Connection ID required" {
			t.Errorf("%s: %d %q", name, r.status, r.body)
		}
	}
	if _, r := s.tryDial("/hub", "Connection: close, upgrade"); r.status != 101 {
		t.Errorf("close, upgrade: %d", r.status)
	}
}

func TestAdversarial14Headers(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	send := func(lines int, line string) (int, error) {
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() { // ends with the connection
			_, _ = io.WriteString(c, "POST /hub/negotiate HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n"+strings.Repeat(line, lines)+"\r\n")
		}()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, nil
	}
	if got, err := send(10_000, "X-Many: 1\r\n"); got != 200 || err != nil { // within net/http's megabyte
		t.Errorf("10,000 headers: %d %v", got, err)
	}
	if got, err := send(1, "X-Large: "+strings.Repeat("x", 2<<20)+"\r\n"); got != 431 || err != nil {
		t.Errorf("a large one: %d %v", got, err)
	}
	s.connect("json")
}

// Methods that are none, and negotiations with a body: nobody reads it.
func TestAdversarial15Bodies(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, method := range []string{"PUT", "PATCH", "OPTIONS", "TRACE", "HEAD", "PROPFIND"} {
		for _, target := range []string{"/hub", "/hub/negotiate", "/hub?id=x"} {
			if r := s.request(method, target); r.status != 405 || r.body != "" {
				t.Errorf("%s %s: %d %q", method, target, r.status, r.body)
			}
		}
	}
	for name, head := range map[string]string{"a gigabyte": "Content-Length: 1000000000", "chunks without end": "Transfer-Encoding: chunked"} {
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		body := make(chan int)
		go func() { // ends with the connection
			sent, _ := io.WriteString(c, "POST /hub/negotiate?negotiateVersion=1 HTTP/1.1\r\nHost: example.com\r\n"+head+"\r\n\r\n")
			piece := "400\r\n" + strings.Repeat("x", 0x400) + "\r\n"
			for range 1_000_000 {
				n, err := io.WriteString(c, piece)
				sent += n
				if err != nil {
					break
				}
			}
			body <- sent
		}()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %v %v", name, res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		c.Close()
		if sent := <-body; sent > 1<<20 {
			t.Errorf("%s: %d bytes were taken", name, sent)
		}
	}
}

func TestAdversarial16Paths(t *testing.T) {
	mux := http.NewServeMux()
	hub := newHub(t, nil)
	signalr.Mount(mux, "/hub", hub.Hub, &signalr.Options{AuthRefresh: true})
	s := serveHandler(t, hub.Hub, mux)
	for target, want := range map[string]int{
		"/hub/negotiate": 200, "/hub/negotiate/": 200, "/hub/NEGOTIATE": 200, "/hub/refresh": 400, "/hub/refresh/": 400,
		"/hub/negotiate/x": 404, "/hub/x/negotiate": 404, "/hub/refresh/negotiate": 404, "/hub/negotiate%2f": 404, "/hub%2fnegotiate": 404, "/hub/negotiate%00": 404,
		"/hub//negotiate": 307, "/hub/../hub/negotiate": 307, "//hub/negotiate": 307, "/hub/./negotiate": 307, // the mux cleans paths
		"/hub/%2e%2e/negotiate": 404, "/hub/..%2fnegotiate": 404,
	} {
		r := s.request(http.MethodPost, target)
		if r.status == 301 {
			r.status = 307
		}
		if r.status != want {
			t.Errorf("%s: %d %q, want %d", target, r.status, r.body, want)
		}
	}
}

// A poll's answer that is cut behind its head: what was in it comes again.
func TestAdversarial59CutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		token := s.lp("", "json")
		s.post(token, `{"type":1,"invocationId":"1","target":"Echo","arguments":["`+strings.Repeat("a", 20_000)+`"]}␞{"type":1,"invocationId":"2","target":"Echo","arguments":["b"]}␞`)
		synctest.Wait()
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET /hub?id=%s HTTP/1.1\r\nHost: example.com\r\n\r\n", token)
		b := make([]byte, 1000)
		if n, err := io.ReadFull(c, b); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") {
			t.Fatalf("%q %v", b[:n], err)
		}
		c.Close()
		synctest.Wait()
		s.poll(token, 200, `{"type":3,"invocationId":"1","result":"`+strings.Repeat("a", 20_000)+`"}␞{"type":3,"invocationId":"2","result":"b"}␞`)
	})
}

// HTTP/1.0, pipelining, and streams of HTTP/2 that are reset at once.
func TestAdversarial60HTTP(t *testing.T) {
	t.Run("1.0", func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		raw := func(text string) (net io.ReadCloser, head *http.Response) {
			c, err := s.net.dial()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, text)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			return c, res
		}
		_, token := s.negotiate("")
		c, res := raw("GET /hub?id=" + token + " HTTP/1.0\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n")
		if res.StatusCode != 200 || len(res.TransferEncoding) > 0 {
			t.Errorf("%v", res)
		}
		s.post(token, `{"protocol":"json","version":1}␞{"type":7}␞`)
		if b, _ := io.ReadAll(res.Body); string(b) != ":\r\ndata: {}\x1e\r\n\r\ndata: {\"type\":7}\x1e\r\n\r\n" {
			t.Errorf("%q", b)
		}
		c.Close()
		_, token = s.negotiate("")
		c, res = raw("GET /hub?id=" + token + " HTTP/1.0\r\nHost: example.com\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%v", res)
		}
		c.Close()
		s.polled.Store(token, []string(nil))
	})
	t.Run("pipelining", func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		_, token := s.negotiate("")
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.polled.Store(token, []string(nil))
		const shake = `{"protocol":"json","version":1}` + "\x1e"
		get := "GET /hub?id=" + token + " HTTP/1.1\r\nHost: example.com\r\n\r\n"
		post := fmt.Sprintf("POST /hub?id=%s HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n%s", token, len(shake), shake)
		go func() { _, _ = io.WriteString(c, get+post+get) }() // ends with the connection
		br := bufio.NewReader(c)
		for i, want := range []string{"", "", "{}\x1e"} {
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != want {
				t.Errorf("%d: %d %q", i, res.StatusCode, b)
			}
		}
	})
	t.Run("rapid reset", func(t *testing.T) {
		hub := newHub(t, nil)
		mux := http.NewServeMux()
		signalr.Mount(mux, "/hub", hub.Hub, nil)
		srv := httptest.NewUnstartedServer(mux)
		srv.EnableHTTP2 = true
		srv.StartTLS()
		defer srv.Close()
		client := srv.Client()
		defer client.CloseIdleConnections()
		if tr := client.Transport.(*http.Transport); tr.TLSClientConfig == nil {
			tr.TLSClientConfig = &tls.Config{}
		}
		for range 300 {
			res, err := client.Post(srv.URL+"/hub/negotiate?negotiateVersion=1", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/hub?id="+member(string(b), "connectionToken"), nil)
			req.Header.Set("Accept", "text/event-stream")
			if res, err = client.Do(req); err != nil {
				t.Fatal(err)
			}
			cancel() // a reset
			res.Body.Close()
		}
		if n := len(slices.Collect(hub.Connections())); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// A user who is thrown out is out on every transport, and the old token does not
// open again.
func TestAdversarial72ThrownOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ann = "X-User: ann"
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{Middleware: asUser})
		_, ws := s.negotiateAs("", ann)
		p := s.dial("/hub?id="+ws, ann)
		p.shake("json")
		e := s.events(ann)
		lp := s.lp("", "json", ann)
		poll := s.park(lp, ann)
		synctest.Wait()
		for c := range hub.Connections() {
			if c.User().ID == "ann" {
				c.Abort()
			}
		}
		p.want(`{"type":7}`)
		p.wantClose(1000)
		e.want(`{"type":7}`)
		e.wantEnd()
		poll.want(200, `{"type":7}␞`)
		for range 3 {
			hub.wantGone(t, "")
		}
		s.poll(lp, 204, "", ann)
		s.poll(lp, 404, "No Connection with that ID", ann)
		if _, r := s.tryDial("/hub?id="+ws, ann); r.status != 404 {
			t.Errorf("the old WebSocket: %d", r.status)
		}
		if _, r := s.trySSE(e.token, ann); r.StatusCode != 404 {
			t.Errorf("the old stream: %d", r.StatusCode)
		}
	})
}

// Names of groups are data: whatever is in them, and however long they are.
func TestAdversarial74GroupNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"", " ", "a:b", "a.b", "*", "a/b", "A", "a", "\x00", "\u00e9", strings.Repeat("x", 1<<20)}
		hub := newHub(t, &hubwire.Options{Connect: func(ctx contextT, c *hubwire.Conn) error {
			return c.Join(ctx, names[len(c.Request().Query.Get("n"))])
		}})
		s := serve(t, hub.Hub, nil)
		var polls []*pending
		for i := range names {
			polls = append(polls, s.park(s.lpAt("&n="+strings.Repeat("x", i))))
		}
		synctest.Wait()
		for i, name := range names {
			if err := receive.Send(t.Context(), hub.Group(name), fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		}
		for i, p := range polls {
			p.want(200, fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}␞`, i))
		}
	})
}

// All clients come at once, on every transport: those for whom there is no room
// are told, and get in later.
func TestAdversarial80Storm(t *testing.T) {
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, &signalr.Options{MaxHandshakes: 8})
	const n = 60
	var wg sync.WaitGroup
	var mu sync.Mutex
	full := 0
	for i := range n {
		wg.Go(func() {
			for {
				r := s.request(http.MethodPost, "/hub/negotiate?negotiateVersion=1")
				token := member(r.body, "connectionToken")
				if r.status == 200 && s.enter(token, i%3) {
					return
				}
				if r.status != 200 && r.status != 503 {
					t.Errorf("negotiate: %d", r.status)
					return
				}
				mu.Lock()
				full++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := len(slices.Collect(hub.Connections())); got != n {
		t.Errorf("%d connections, %d were turned away", got, full)
	}
}

// enter opens a transport and shakes hands; false if there was no room.
func (s *site) enter(token string, kind int) bool {
	switch kind {
	case 0:
		p, r := s.tryDial("/hub?id=" + token)
		if r.status != 101 {
			return false
		}
		p.shake("json")
		p.call("1", "Nothing", "")
		p.record()
	case 1:
		e, r := s.trySSE(token)
		if r.StatusCode != 200 {
			return false
		}
		e.post(`{"protocol":"json","version":1}␞{"type":1,"invocationId":"1","target":"Nothing","arguments":[]}␞`)
		e.record()
		e.record()
	case 2:
		r, ok := <-s.park(token).ch
		if !ok || r.status != 200 {
			return false
		}
		s.post(token, `{"protocol":"json","version":1}␞{"type":1,"invocationId":"1","target":"Nothing","arguments":[]}␞`)
		for body := ""; strings.Count(body, "\x1e") < 2; {
			r := <-s.park(token).ch
			body += r.body
		}
	}
	return true
}

// Broadcasts while half of the clients leave, on every transport.
func TestAdversarial82Leaving(t *testing.T) {
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, nil)
	var stay, leave []*eventSource
	for i := range 20 {
		e := s.events()
		e.call("1", "Nothing", "")
		e.record()
		if i%2 == 0 {
			stay = append(stay, e)
		} else {
			leave = append(leave, e)
		}
	}
	polled := s.lp("", "json")
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, e := range leave {
			e.body.Close()
		}
		s.delete(polled)
	})
	const n = 200
	for i := range n {
		if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	for _, e := range stay {
		for i := range n {
			e.want(fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}`, i))
		}
	}
	for range len(leave) + 1 {
		hub.wantGone(t, "")
	}
}

// A second Shutdown, whose time is over, ends all at once.
func TestAdversarial85Hurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{DrainWindow: time.Hour})
		s := serve(t, hub.Hub, nil)
		e := s.events()
		e.call("1", "Hang", "")
		lp := s.lp("", "json")
		poll := s.park(lp)
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- hub.Shutdown(t.Context()) }() // ends with the second
		synctest.Wait()
		start := time.Now()
		now, cancel := context.WithCancel(t.Context())
		cancel()
		_ = hub.Shutdown(now) // says that calls were cancelled
		for rec := e.record(); rec != `{"type":7,"allowReconnect":true}`; rec = e.record() {
		}
		e.wantEnd()
		poll.want(200, closeReconnect)
		<-done
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("after %v", d)
		}
	})
}
