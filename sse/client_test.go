package sse_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// story runs a test in a bubble, where time costs none.
func story(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestClientRequest(t *testing.T) {
	story(t, "default method and headers", func(t *testing.T) {
		s := newScript(t)
		if _, err := all(t.Context(), s.client(nil)); err != nil {
			t.Fatal(err)
		}
		r := s.requests()[0]
		if r.Method != "GET" || r.URL.Path != "/stream" || r.Host != "script.test" || r.body != "" {
			t.Errorf("%s %s of %s, %q", r.Method, r.URL, r.Host, r.body)
		}
		if a, c := r.Header.Values("Accept"), r.Header.Values("Cache-Control"); !slices.Equal(a, []string{"text/event-stream"}) || !slices.Equal(c, []string{"no-cache"}) {
			t.Errorf("Accept %q, Cache-Control %q", a, c)
		}
		if id, ok := r.Header["Last-Event-Id"]; ok {
			t.Errorf("Last-Event-ID %q", id)
		}
	})
	story(t, "custom headers", func(t *testing.T) {
		s := newScript(t, says("data: 1\n\n"))
		c := s.client(&sse.ClientOptions{Header: http.Header{"header-name-1": {"value-1"}, "Header-Name-2": {"a", "b"}, "Accept": {"*/*"}, "Host": {"other.test"}}})
		if _, err := all(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for i, r := range s.requests() { // with the second request too
			if r.Header.Get("Header-Name-1") != "value-1" || !slices.Equal(r.Header.Values("Header-Name-2"), []string{"a", "b"}) || r.Header.Get("Accept") != "*/*" || r.Host != "other.test" {
				t.Errorf("request %d: %v", i, r.Header)
			}
		}
	})
	for _, method := range []string{"POST", "REPORT", "PUT"} {
		story(t, method, func(t *testing.T) {
			s := newScript(t, cuts("data: 1\n\n"))
			c := s.client(&sse.ClientOptions{Reconnect: sse.Resilient, Method: method, Body: []byte(`{"hello": "world"}`), Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}})
			if got, err := all(t.Context(), c); err != nil || len(got) != 1 {
				t.Fatalf("%q, %v", got, err)
			}
			rs := s.requests()
			if len(rs) != 2 {
				t.Fatalf("%d requests", len(rs))
			}
			for _, r := range rs { // the body is sent again
				if r.Method != method || r.body != `{"hello": "world"}` || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
					t.Errorf("%s %q %v", r.Method, r.body, r.Header)
				}
			}
		})
	}
	story(t, "a body makes a POST, which is made once", func(t *testing.T) {
		s := newScript(t, says("data: 1\n\n"))
		if got, err := all(t.Context(), s.client(&sse.ClientOptions{Body: []byte("x")})); err != nil || !slices.Equal(got, []string{"message::1"}) {
			t.Errorf("%q, %v", got, err)
		}
		if rs := s.requests(); len(rs) != 1 || rs[0].Method != "POST" {
			t.Errorf("%d requests", len(rs))
		}
	})
	story(t, "prepare", func(t *testing.T) {
		s := newScript(t, says("data: 1\n\n"), says("data: 2\n\n"))
		n := 0
		c := s.client(&sse.ClientOptions{Prepare: func(r *http.Request) error {
			if n++; n == 3 {
				return errors.New("no token")
			}
			r.Header.Set("Authorization", "Bearer "+strconv.Itoa(n))
			r.URL.RawQuery = "try=" + strconv.Itoa(n)
			return nil
		}})
		got, err := all(t.Context(), c)
		if !slices.Equal(got, []string{"message::1", "message::2"}) || err == nil || !strings.Contains(err.Error(), "no token") {
			t.Errorf("%q, %v", got, err)
		}
		for i, r := range s.requests() {
			if want := strconv.Itoa(i + 1); r.Header.Get("Authorization") != "Bearer "+want || r.URL.RawQuery != "try="+want {
				t.Errorf("request %d: %s, %v", i, r.URL, r.Header)
			}
		}
	})
}

func TestClientLastEventID(t *testing.T) {
	// What the first stream says, and what the second request sends.
	for name, c := range map[string]struct{ initial, stream, want string }{
		"initial":                       {"abc", "", "abc"},
		"of the last event":             {"", "id: abc\ndata: Hello\n\n", "abc"},
		"kept by events without":        {"", "id: abc\ndata: Hello\n\ndata: World\n\n", "abc"},
		"emptied":                       {"", "id: abc\ndata: Hello\n\nid: \ndata: World\n\n", ""},
		"emptied by a bare field":       {"x", "id\n\n", ""},
		"of a block without data":       {"", "id: 7\n\n", "7"},
		"not of a block without an end": {"", "id: abc\ndata: Hello\n\nid: def\ndata: Goodbye\n", "abc"},
		"not with a NUL":                {"", "id: abc\ndata: x\n\nid: d\x00f\ndata: y\n\n", "abc"},
		"UTF-8":                         {"", "id: é…😀\ndata: x\n\n", "é…😀"},
		"with spaces around":            {"", "id:  1 \ndata: x\n\n", "1"}, // HTTP trims them
		"that no header can carry":      {"", "id: a\x01b\ndata: x\n\n", ""},
		"long":                          {"", "id: " + strings.Repeat("x", 5000) + "\ndata: x\n\n", strings.Repeat("x", 5000)},
	} {
		story(t, name, func(t *testing.T) {
			s := newScript(t, cuts(c.stream))
			client := s.client(&sse.ClientOptions{LastEventID: c.initial})
			if _, err := all(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			rs := s.requests()
			if len(rs) != 2 || rs[0].Header.Get("Last-Event-ID") != c.initial {
				t.Fatalf("%d requests, the first with %q", len(rs), rs[0].Header.Get("Last-Event-ID"))
			}
			got, sent := rs[1].Header["Last-Event-Id"]
			if sent != (c.want != "") || sent && !slices.Equal(got, []string{c.want}) {
				t.Errorf("Last-Event-ID %q, want %q", got, c.want)
			}
		})
	}
	story(t, "from range to range", func(t *testing.T) {
		s := newScript(t, says("id: 1\ndata: x\n\n"), answers(404, ""), says("data: y\n\n"))
		c := s.client(nil)
		if _, err := all(t.Context(), c); err == nil || c.LastEventID() != "1" {
			t.Errorf("%v, last event id %q", err, c.LastEventID())
		}
		if got, err := all(t.Context(), c); err != nil || !slices.Equal(got, []string{"message:1:y"}) {
			t.Errorf("%q, %v", got, err)
		}
		if id := s.requests()[2].Header.Get("Last-Event-ID"); id != "1" {
			t.Errorf("the second range sends %q", id)
		}
	})
}

// What the client makes of an answer, by the way it reconnects: it goes on, it
// ends without an error, or with one.
func TestClientAnswers(t *testing.T) {
	const (
		on   = "on"
		ends = "ends"
		no   = "no"
	)
	const stream = "Content-Type: text/event-stream"
	for _, c := range []struct {
		name                          string
		step                          func(*exchange)
		resilient, eventSource, never string
	}{
		{"204", answers(204, ""), ends, ends, ends},
		{"204 with the right type", answers(204, "", stream), ends, ends, ends},
		{"200 without a type", answers(200, "data: x\n\n"), no, no, no},
		{"200 with another type", answers(200, "data: x\n\n", "Content-Type: text/plain"), no, no, no},
		{"a longer type", answers(200, "data: x\n\n", stream+"s"), no, no, no},
		{"another charset", answers(200, "data: x\n\n", stream+"; charset=latin1"), no, no, no},
		{"201 with the right type", answers(201, "data: x\n\n", stream), no, no, no},
		{"205", answers(205, "", stream), no, no, no},
		{"210", answers(210, "", stream), no, no, no},
		{"299", answers(299, "", stream), no, no, no},
		{"304", answers(304, ""), no, no, no},
		{"400", answers(400, ""), no, no, no},
		{"401", answers(401, ""), no, no, no},
		{"403", answers(403, ""), no, no, no},
		{"404", answers(404, "", stream), no, no, no},
		{"408", answers(408, ""), on, no, no},
		{"410", answers(410, ""), no, no, no},
		{"425", answers(425, ""), on, no, no},
		{"429", answers(429, ""), on, no, no},
		{"500", answers(500, ""), on, no, no},
		{"501", answers(501, ""), no, no, no},
		{"502", answers(502, ""), on, no, no},
		{"503", answers(503, ""), on, no, no},
		{"504", answers(504, ""), on, no, no},
		{"505", answers(505, ""), no, no, no},
		{"a stream that ends", says("data: x\n\n"), on, on, ends},
		{"a stream that is cut", cuts("data: x\n\n"), on, on, no},
		{"a stream without data", says(""), on, on, ends},
		{"a stream cut off its length", func(x *exchange) {
			x.head(200, stream, "Content-Length: 100")
			io.WriteString(x.conn, "data: x\n\n")
		}, on, on, no},
		{"a stream as long as the connection", func(x *exchange) {
			x.head(200, stream)
			io.WriteString(x.conn, "data: x\n\n")
		}, on, on, ends},
		{"parameters of the type", answers(200, "data: x\n\n", "Content-Type: Text/Event-Stream ;charset=UTF-8; x=y"), on, on, ends},
		{"quoted parameters", answers(200, "data: x\n\n", stream+`;charset="utf-8"`), on, on, ends},
		{"broken parameters", answers(200, "data: x\n\n", stream+";;=;"), on, on, ends},
		{"no answer", func(x *exchange) {}, on, on, no},
		{"half a head", func(x *exchange) { io.WriteString(x.conn, "HTTP/1.1 200 O") }, on, on, no},
		{"no HTTP", func(x *exchange) { io.WriteString(x.conn, "SSH-2.0-OpenSSH_9.6\r\n\r\n") }, on, on, no},
		{"broken chunks", func(x *exchange) {
			x.open()
			io.WriteString(x.conn, "zz\r\n")
		}, on, on, no},
	} {
		for how, want := range map[sse.Reconnect]string{sse.Resilient: c.resilient, sse.EventSource: c.eventSource, sse.Never: c.never} {
			story(t, fmt.Sprint(c.name, " ", how), func(t *testing.T) {
				s := newScript(t, c.step)
				_, err := all(t.Context(), s.client(&sse.ClientOptions{Reconnect: how}))
				requests := 1
				if want == on {
					requests = 2
				}
				if n := len(s.requests()); n != requests || (err != nil) != (want == no) {
					t.Errorf("%d requests, %v; want %s", n, err, want)
				}
			})
		}
	}
}

// An answer that is no stream can be looked at.
func TestClientResponseError(t *testing.T) {
	story(t, "status", func(t *testing.T) {
		s := newScript(t, answers(400, `{"error":"no such model"}`, "Content-Type: application/json", "X-Request: 1"))
		_, err := all(t.Context(), s.client(nil))
		e, _ := errors.AsType[*sse.ResponseError](err)
		if e == nil || e.Status != 400 || e.Header.Get("X-Request") != "1" || string(e.Body) != `{"error":"no such model"}` || e.Error() != "sse: client: status 400 Bad Request" {
			t.Errorf("%#v", err)
		}
	})
	story(t, "type", func(t *testing.T) {
		s := newScript(t, answers(200, "<html>", "Content-Type: text/html"))
		_, err := all(t.Context(), s.client(nil))
		if err == nil || err.Error() != `sse: client: status 200, but the type is "text/html"` {
			t.Errorf("%v", err)
		}
	})
	story(t, "a body without end is not read to the end", func(t *testing.T) {
		s := newScript(t, func(x *exchange) {
			x.head(404)
			for {
				if _, err := io.WriteString(x.conn, strings.Repeat("x", 1<<10)); err != nil {
					return
				}
			}
		}, func(x *exchange) {
			x.head(404)
			<-x.left // a body that does not come
		})
		c := s.client(nil)
		_, err := all(t.Context(), c)
		if e, _ := errors.AsType[*sse.ResponseError](err); e == nil || len(e.Body) != 4<<10 {
			t.Errorf("%v", err)
		}
		began := time.Now()
		_, err = all(t.Context(), c)
		if e, _ := errors.AsType[*sse.ResponseError](err); e == nil || e.Status != 404 || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	story(t, "again decides", func(t *testing.T) {
		s := newScript(t, answers(404, ""), answers(503, ""))
		c := s.client(&sse.ClientOptions{Again: func(err error) bool {
			e, _ := errors.AsType[*sse.ResponseError](err)
			return e != nil && e.Status == 404
		}})
		if _, err := all(t.Context(), c); err == nil || len(s.requests()) != 2 {
			t.Errorf("%d requests, %v", len(s.requests()), err)
		}
	})
}

func TestClientRedirects(t *testing.T) {
	to := func(status int, location string) func(*exchange) { return answers(status, "", "Location: "+location) }
	for status, remembered := range map[int]bool{301: true, 302: false, 303: false, 307: false, 308: true} {
		story(t, strconv.Itoa(status), func(t *testing.T) {
			s := newScript(t, to(status, "/moved"), says("data: hello\n\n"))
			if got, err := all(t.Context(), s.client(nil)); err != nil || !slices.Equal(got, []string{"message::hello"}) {
				t.Errorf("%q, %v", got, err)
			}
			want := []string{"/stream", "/moved", "/stream"}
			if remembered {
				want[2] = "/moved"
			}
			if got := paths(s); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
		for name, step := range map[string]func(*exchange){"missing": answers(status, ""), "empty": to(status, "")} {
			story(t, fmt.Sprintf("%d with a location that is %s", status, name), func(t *testing.T) {
				s := newScript(t, step)
				_, err := all(t.Context(), s.client(nil))
				if e, _ := errors.AsType[*sse.ResponseError](err); e == nil || e.Status != status || len(s.requests()) != 1 {
					t.Errorf("%v after %d requests", err, len(s.requests()))
				}
			})
		}
	}
	story(t, "a loop", func(t *testing.T) {
		s := newScript(t, slices.Repeat([]func(*exchange){to(301, "/stream")}, 100)...)
		_, err := all(t.Context(), s.client(nil))
		if err == nil || !strings.Contains(err.Error(), "more than 10 redirections") || len(s.requests()) != 10 {
			t.Errorf("%v after %d requests", err, len(s.requests()))
		}
	})
	story(t, "temporary behind permanent", func(t *testing.T) {
		s := newScript(t, to(301, "/a"), to(302, "/b"), says("data: 1\n\n"))
		if _, err := all(t.Context(), s.client(nil)); err != nil {
			t.Error(err)
		}
		if got := paths(s); !slices.Equal(got, []string{"/stream", "/a", "/b", "/a"}) {
			t.Errorf("%q", got)
		}
	})
	story(t, "to another host", func(t *testing.T) {
		// The credentials do not go there, the second time as little as the first.
		s := newScript(t, to(301, "http://other.test/x"), says("data: 1\n\n"), to(301, "http://other.test/x"), says("data: 2\n\n"))
		c := s.client(&sse.ClientOptions{Header: http.Header{"Authorization": {"Bearer secret"}}})
		if _, err := all(t.Context(), c); err != nil {
			t.Error(err)
		}
		for i, r := range s.requests() {
			if secret := r.Header.Get("Authorization") != ""; secret != (r.Host == "script.test") {
				t.Errorf("request %d of %s has %v", i, r.Host, r.Header)
			}
		}
		if got := paths(s); !slices.Equal(got, []string{"/stream", "/x", "/stream", "/x", "/stream"}) {
			t.Errorf("%q", got)
		}
	})
	story(t, "of a POST", func(t *testing.T) {
		s := newScript(t, to(307, "/moved"), says("data: 1\n\n"))
		if _, err := all(t.Context(), s.client(&sse.ClientOptions{Body: []byte("question")})); err != nil {
			t.Error(err)
		}
		if r := s.requests()[1]; r.Method != "POST" || r.URL.Path != "/moved" || r.body != "question" {
			t.Errorf("%s %s %q", r.Method, r.URL, r.body)
		}
	})
	story(t, "the user's own rule", func(t *testing.T) {
		s := newScript(t, to(302, "/moved"))
		h := s.http()
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		_, err := all(t.Context(), sse.NewClient("http://script.test/stream", &sse.ClientOptions{HTTPClient: h}))
		if e, _ := errors.AsType[*sse.ResponseError](err); e == nil || e.Status != 302 {
			t.Errorf("%v", err)
		}
	})
}

func paths(s *script) (out []string) {
	for _, r := range s.requests() {
		out = append(out, r.URL.Path)
	}
	return out
}
