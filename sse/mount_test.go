package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/sse"
)

// The bytes of a connection, from its head to its end.
func TestMountBytes(t *testing.T) {
	story(t, "HTTP/1.1", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Retry: 2500 * time.Millisecond})
		conn, _ := s.pipe.dial(nil, "", "")
		defer conn.Close()
		go io.WriteString(conn, "GET /hub HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n") // ends when it is read
		br := bufio.NewReader(conn)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-store, no-transform", "X-Accel-Buffering": "no"} {
			if resp.Header.Get(k) != v {
				t.Errorf("%s: %q, want %q", k, resp.Header.Get(k), v)
			}
		}
		if resp.StatusCode != 200 || !slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
			t.Errorf("%d %v", resp.StatusCode, resp.TransferEncoding)
		}
		read := func(want string) {
			t.Helper()
			b := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
				t.Fatalf("%q, %v; want %q", b, err, want)
			}
		}
		var id string
		for c := range s.hub.Connections() {
			id = c.ID()
		}
		open := make([]byte, len("event: hubwire:open\ndata: {\"connection\":\"\",\"token\":\"\"}\nretry: 2500\n\n")+24+24)
		if _, err := io.ReadFull(resp.Body, open); err != nil {
			t.Fatal(err)
		}
		var token string
		if _, err := fmt.Sscanf(string(open), "event: hubwire:open\ndata: {\"connection\":\""+id+"\",\"token\":%q}\nretry: 2500\n\n", &token); err != nil || len(token) != 24 {
			t.Errorf("%q, %v", open, err)
		}
		check(t, said.Send(t.Context(), s.hub.All(), "a\r\nb <&> é 😀 \u2028 data: x"))
		read("event: Said\ndata: [\"a\\r\\nb <&> é 😀 \\u2028 data: x\"]\n\n")
		check(t, many.Send(t.Context(), s.hub.All(), hubwire.List{"a", 1, true, nil, map[string]int{"b": 2}}))
		read("event: Many\ndata: [\"a\",1,true,null,{\"b\":2}]\n\n")
		check(t, many.Send(t.Context(), s.hub.All(), hubwire.List{}))
		read("event: Many\ndata: []\n\n")
		time.Sleep(14 * time.Second)
		check(t, many.Send(t.Context(), s.hub.All(), hubwire.List{}))
		read("event: Many\ndata: []\n\n")
		began := time.Now()
		read(":\n") // a heartbeat
		if d := time.Since(began); d < 14*time.Second || d > 17*time.Second {
			t.Errorf("a heartbeat after %v", d)
		}
		for c := range s.hub.Connections() {
			c.Abort()
		}
		read("id: hubwire:end\n\n")
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	story(t, "HTTP/1.0", func(t *testing.T) {
		s := newSite(t, nil, nil)
		conn, _ := s.pipe.dial(nil, "", "")
		defer conn.Close()
		go io.WriteString(conn, "GET /hub HTTP/1.0\r\n\r\n") // ends when it is read
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 200 || len(resp.TransferEncoding) > 0 {
			t.Fatalf("%+v, %v", resp, err)
		}
		b := make([]byte, len("event: hubwire:open\n"))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "event: hubwire:open\n" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Names that would be lines of their own are refused where they are sent.
func TestMountEventNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for _, name := range []string{"a\nb", "a\rb", "a\r\ndata: x", "a\x00b"} {
			if err := hubwire.Event[string](name).Send(t.Context(), s.hub.All(), "x"); !errors.Is(err, sse.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
		for _, name := range []string{" a:b ", "é", "message", "error", "a\u2028"} {
			check(t, hubwire.Event[string](name).Send(t.Context(), s.hub.All(), "x"))
			if got := l.take(1)[0]; got != name+` ["x"]` {
				t.Errorf("%q, want %q", got, name)
			}
		}
		check(t, hubwire.Event[jsonText]("raw").Send(t.Context(), s.hub.All(), jsonText("[1,\n 2,\r\n\"a\"]\n")))
		if got := l.take(1)[0]; strings.Map(noSpace, got) != `raw[[1,2,"a"]]` {
			t.Errorf("%q", got)
		}
	})
}

func noSpace(r rune) rune {
	if strings.ContainsRune(" \r\n", r) {
		return -1
	}
	return r
}

// A jsonText is JSON as it was written.
type jsonText string

func (j jsonText) MarshalJSON() ([]byte, error) { return []byte(j), nil }

// One hub, other wires: the same groups and users.
func TestMountBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser, Join: func(context.Context, *hubwire.Conn, []string) error { return nil }})
		l := s.listen("/hub?group=room", "X-User: ann")
		o := hubtest.New(t, s.hub).DialWith(t, &hubtest.DialOptions{User: &hubwire.User{ID: "ann"}})
		check(t, joins.Call(t.Context(), o, "room"))
		check(t, said.Send(t.Context(), s.hub.Group("room"), "room"))
		check(t, said.Send(t.Context(), s.hub.User("ann"), "ann"))
		check(t, others.Call(t.Context(), o, "from there"))
		s.call("Others", `["from here"]`, l.as(), "X-User: ann")
		if got := l.take(3); !slices.Equal(got, []string{`Said ["room"]`, `Said ["ann"]`, `Said ["from there"]`}) {
			t.Errorf("%q", got)
		}
		synctest.Wait()
		if got := hubtest.Got(t, o, said); !slices.Equal(got, []string{"room", "ann", "from here"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestMountCORS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{AllowedOrigins: []string{"https://app.example"}, AllowedHosts: []string{"site.test"}, Middleware: asUser})
		const app = "Origin: https://app.example"
		for _, got := range []reply{s.call("Echo", `["x"]`, app), s.call("Nope", `[]`, app), s.call("Echo", `["x"]`, app, "X-User: nobody"), s.do("GET", "/hub/Count?args=[%22%22,1]", "", app)} {
			if h := got.header; h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Credentials") != "true" || !slices.Contains(h["Vary"], "Origin") {
				t.Errorf("%d %v", got.status, h)
			}
		}
		if h := s.listen("/hub", app).header; h.Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%v", h)
		}
		got := s.do("OPTIONS", "/hub/Echo", "", app, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type, hubwire-connection")
		if h := got.header; got.status != 204 || h.Get("Access-Control-Allow-Methods") != "GET, POST" || h.Get("Access-Control-Allow-Headers") != "content-type, hubwire-connection" {
			t.Errorf("%d %v", got.status, h)
		}
		for _, got := range []reply{s.call("Echo", `["x"]`, "Host: evil.example"), s.do("GET", "/hub", "", "Host: evil.example")} {
			if got.status != 403 || got.body != `{"code":"permission_denied","message":"Host not allowed"}` {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	})
}

func TestMountOptions(t *testing.T) {
	for text, opts := range map[string]*sse.MountOptions{
		"Heartbeat is -1ns":       {Heartbeat: -1},
		"Retry is 1ns":            {Retry: 1},
		"MaxConnections is -1":    {MaxConnections: -1},
		`AllowedOrigins has "a"`:  {AllowedOrigins: []string{"a"}},
		`AllowedHosts has "http:`: {AllowedHosts: []string{"http://a"}},
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "sse: options: ") || !strings.Contains(p, text) {
					t.Errorf("%s: %s", text, p)
				}
			}()
			sse.Mount(http.NewServeMux(), "/", hubwire.New(nil), opts)
		}()
	}
}

// Whatever is asked for, the answer is one of ours.
func FuzzMount(f *testing.F) {
	for _, args := range []string{`["x"]`, `[]`, `["x",1]`, `[`, `{}`, ``, "[\"\xff\"]", `["\ud800"]`, `[1e400]`} {
		for _, name := range []string{"Echo", "Count", "Pair", "Fails", "", "a%2Fb", "..", "Nope"} {
			f.Add("POST", name, args, "application/json", "")
			f.Add("GET", name, args, "", "guess")
		}
	}
	f.Fuzz(func(t *testing.T, method, name, args, typ, token string) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil, nil)
			target := "/hub/" + url.PathEscape(name)
			if method == "GET" {
				target += "?args=" + url.QueryEscape(args)
			}
			r, err := http.NewRequestWithContext(t.Context(), method, "http://site.test"+target, strings.NewReader(args))
			if err != nil {
				return
			}
			r.Header.Set("Content-Type", typ)
			r.Header.Set("Hubwire-Connection", token)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			resp, err := s.http().Do(r.WithContext(ctx))
			if err != nil {
				return // no request
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch resp.StatusCode {
			case 200, 204, 301, 307, 308, 400, 403, 404, 405, 409, 414, 415, 429, 499, 500, 501, 503, 504:
			default:
				t.Errorf("%d %q", resp.StatusCode, b)
			}
			if strings.Contains(string(b), "secret") {
				t.Errorf("%q", b)
			}
		})
	})
}
