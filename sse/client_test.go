package sse_test

import (
	"bytes"
	"compress/gzip"
	"context"
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

// pauses are the times between requests.
func pauses(s *script) (out []time.Duration) {
	rs := s.requests()
	for i := 1; i < len(rs); i++ {
		out = append(out, rs[i].at.Sub(rs[i-1].at))
	}
	return out
}

func TestClientDelay(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		opts   sse.ClientOptions
		want   time.Duration
	}{
		"default":                   {"data: x\n\n", sse.ClientOptions{}, 3 * time.Second},
		"chosen":                    {"data: x\n\n", sse.ClientOptions{Delay: 2 * time.Second}, 2 * time.Second},
		"retry":                     {"retry: 1500\n\n", sse.ClientOptions{}, 1500 * time.Millisecond},
		"retry counts at once":      {"retry: 1500\n", sse.ClientOptions{}, 1500 * time.Millisecond},
		"the last retry":            {"retry: 1\nretry: 5000\n\n", sse.ClientOptions{Delay: time.Minute}, 5 * time.Second},
		"retry with a sign":         {"retry: +1500\n\n", sse.ClientOptions{}, 3 * time.Second},
		"retry with a dot":          {"retry: 1.5\n\n", sse.ClientOptions{}, 3 * time.Second},
		"retry with letters":        {"retry: 1500ms\n\n", sse.ClientOptions{}, 3 * time.Second},
		"retry without digits":      {"retry:\n\n", sse.ClientOptions{}, 3 * time.Second},
		"retry in another alphabet": {"retry: １５００\n\n", sse.ClientOptions{}, 3 * time.Second},
		"retry beyond numbers":      {"retry: 99999999999999999999999\n\n", sse.ClientOptions{}, 3 * time.Second},
		"retry in a distant year":   {"retry: 922337203685477\n\n", sse.ClientOptions{}, time.Hour},
		"retry: 0 is no hot loop":   {"retry: 0\n\n", sse.ClientOptions{}, 100 * time.Millisecond},
	} {
		story(t, name, func(t *testing.T) {
			s := newScript(t, slices.Repeat([]func(*exchange){says(c.stream)}, 5)...)
			c.opts.Reconnect = sse.EventSource
			var told []time.Duration
			c.opts.Failed = func(err error, wait time.Duration) {
				if err != io.EOF {
					t.Errorf("failed with %v", err)
				}
				told = append(told, wait)
			}
			if _, err := all(t.Context(), s.client(&c.opts)); err != nil {
				t.Error(err)
			}
			want := slices.Repeat([]time.Duration{c.want}, 5)
			if got := pauses(s); !slices.Equal(got, want) || !slices.Equal(told, want) {
				t.Errorf("%v, told %v, want %v", got, told, want)
			}
		})
	}
	story(t, "retry outlives its connection", func(t *testing.T) {
		s := newScript(t, says("retry: 700\n\n"), says(""), func(*exchange) {}, says("data: x\n\n"))
		if _, err := all(t.Context(), s.client(&sse.ClientOptions{Reconnect: sse.EventSource})); err != nil {
			t.Error(err)
		}
		if got := pauses(s); !slices.Equal(got, slices.Repeat([]time.Duration{700 * time.Millisecond}, 4)) {
			t.Errorf("%v", got)
		}
	})
}

// The resilient client waits longer each time, is never early, and no two clients
// wait the same time.
func TestClientBackoff(t *testing.T) {
	between := func(t *testing.T, got []time.Duration, bounds ...[2]time.Duration) {
		t.Helper()
		if len(got) != len(bounds) {
			t.Fatalf("%v", got)
		}
		for i, d := range got {
			if d < bounds[i][0] || d > bounds[i][1] {
				t.Errorf("pause %d: %v, want %v", i, d, bounds[i])
			}
		}
	}
	const s, ms = time.Second, time.Millisecond
	story(t, "grows to its bound", func(t *testing.T) {
		x := newScript(t, slices.Repeat([]func(*exchange){answers(503, "")}, 8)...)
		if _, err := all(t.Context(), x.client(nil)); err != nil {
			t.Error(err)
		}
		between(t, pauses(x), [2]time.Duration{s, 2 * s}, [2]time.Duration{s, 3 * s}, [2]time.Duration{s, 5 * s}, [2]time.Duration{s, 9 * s}, [2]time.Duration{s, 17 * s}, [2]time.Duration{s, 30 * s}, [2]time.Duration{s, 30 * s}, [2]time.Duration{s, 30 * s})
	})
	story(t, "an event ends it", func(t *testing.T) {
		x := newScript(t, answers(503, ""), answers(503, ""), says("data: x\n\n"), says(": no event\n\n"), says("data: x\n\n"))
		if _, err := all(t.Context(), x.client(nil)); err != nil {
			t.Error(err)
		}
		between(t, pauses(x), [2]time.Duration{s, 2 * s}, [2]time.Duration{s, 3 * s}, [2]time.Duration{s, 2 * s}, [2]time.Duration{s, 3 * s}, [2]time.Duration{s, 2 * s})
	})
	story(t, "retry is the least", func(t *testing.T) {
		x := newScript(t, says("retry: 40000\n\n"), answers(503, ""), says("retry: 10\ndata: x\n\n"))
		if _, err := all(t.Context(), x.client(&sse.ClientOptions{Delay: s})); err != nil {
			t.Error(err)
		}
		between(t, pauses(x), [2]time.Duration{40 * s, 40 * s}, [2]time.Duration{40 * s, 40 * s}, [2]time.Duration{100 * ms, 200 * ms})
	})
	for name, c := range map[string]struct {
		value    string
		min, max time.Duration
	}{
		"seconds":    {"120", 120 * s, 121 * s},
		"date":       {time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC).Format(http.TimeFormat), 119 * s, 121 * s}, // the bubble's clock begins with 2000
		"past":       {time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat), s, 2 * s},
		"for ever":   {"2000000000", time.Hour, time.Hour + s},
		"nonsense":   {"soon", s, 2 * s},
		"negative":   {"-5", s, 2 * s},
		"absent":     {"", s, 2 * s},
		"sooner":     {"0", s, 2 * s},
		"fractional": {"1.5", s, 2 * s},
	} {
		story(t, "Retry-After "+name, func(t *testing.T) {
			x := newScript(t, answers(503, "", "Retry-After: "+c.value))
			if _, err := all(t.Context(), x.client(nil)); err != nil {
				t.Error(err)
			}
			between(t, pauses(x), [2]time.Duration{c.min, c.max})
		})
	}
	story(t, "spreads", func(t *testing.T) {
		// 200 clients lose the same server: they come back one by one.
		seen := map[time.Duration]bool{}
		var late, early int
		for range 200 {
			x := newScript(t, says("data: x\n\n"))
			if _, err := all(t.Context(), x.client(nil)); err != nil {
				t.Fatal(err)
			}
			d := pauses(x)[0]
			seen[d] = true
			if d < 1500*ms {
				early++
			} else {
				late++
			}
		}
		if len(seen) < 190 || early < 50 || late < 50 {
			t.Errorf("%d different pauses, %d early and %d late", len(seen), early, late)
		}
	})
	story(t, "refused connections", func(t *testing.T) {
		x := newScript(t)
		x.hosts = map[string]bool{}
		n := 0
		c := x.client(&sse.ClientOptions{Failed: func(err error, _ time.Duration) {
			if !strings.Contains(err.Error(), "refused") {
				t.Errorf("failed with %v", err)
			}
			if n++; n == 5 {
				x.hosts["script.test:80"] = true
			}
		}})
		if _, err := all(t.Context(), c); err != nil || n != 5 {
			t.Errorf("%v after %d failures", err, n)
		}
	})
	story(t, "no URL", func(t *testing.T) {
		for _, u := range []string{"", "://", "ftp://host/", "http://", "/path", "http://a b/"} {
			if _, err := all(t.Context(), sse.NewClient(u, nil)); err == nil || !strings.HasPrefix(err.Error(), "sse: client: ") {
				t.Errorf("%q: %v", u, err)
			}
		}
	})
}

func TestClientReadTimeout(t *testing.T) {
	const limit = 10 * time.Second
	opts := func(failed *[]error) *sse.ClientOptions {
		return &sse.ClientOptions{ReadTimeout: limit, Failed: func(err error, _ time.Duration) { *failed = append(*failed, err) }}
	}
	story(t, "in a stream", func(t *testing.T) {
		var failed []error
		s := newScript(t, keeps("data: Hello\n\n"))
		began := time.Now()
		c := s.client(opts(&failed))
		got, err := all(t.Context(), c)
		if err != nil || !slices.Equal(got, []string{"message::Hello"}) || len(failed) != 1 || !strings.Contains(failed[0].Error(), "read timeout") {
			t.Errorf("%q, %v, %v", got, err, failed)
		}
		if d := time.Since(began); d < limit+time.Second || d > limit+2*time.Second {
			t.Errorf("after %v", d)
		}
	})
	story(t, "before the head", func(t *testing.T) {
		var failed []error
		s := newScript(t, func(x *exchange) { <-x.left })
		if _, err := all(t.Context(), s.client(opts(&failed))); err != nil || len(failed) != 1 || !strings.Contains(failed[0].Error(), "read timeout") {
			t.Errorf("%v, %v", err, failed)
		}
	})
	story(t, "any byte puts it off", func(t *testing.T) {
		var failed []error
		s := newScript(t, func(x *exchange) {
			x.open()
			for _, b := range ":heartbeat\ndata: x\n\n" {
				time.Sleep(limit - 1)
				x.send(string(b))
			}
			x.end()
		})
		if got, err := all(t.Context(), s.client(opts(&failed))); err != nil || len(got) != 1 || len(failed) != 1 || failed[0] != io.EOF {
			t.Errorf("%q, %v, %v", got, err, failed)
		}
	})
	story(t, "a slow loop is not the server", func(t *testing.T) {
		var failed []error
		s := newScript(t, says("data: 1\n\ndata: 2\n\n"))
		n := 0
		for _, err := range s.client(opts(&failed)).Events(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			n++
			time.Sleep(10 * limit)
		}
		if n != 2 || len(failed) != 1 || failed[0] != io.EOF {
			t.Errorf("%d events, %v", n, failed)
		}
	})
	story(t, "none by default", func(t *testing.T) {
		s := newScript(t, func(x *exchange) {
			time.Sleep(24 * time.Hour)
			x.open()
			time.Sleep(24 * time.Hour)
			x.send("data: x\n\n")
			x.end()
		})
		h := s.http()
		h.Timeout = time.Second // which would cut the stream
		if got, err := all(t.Context(), sse.NewClient("http://script.test/", &sse.ClientOptions{HTTPClient: h})); err != nil || len(got) != 1 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestClientRestart(t *testing.T) {
	story(t, "a stream", func(t *testing.T) {
		s := newScript(t, keeps("id: 1\ndata: Hello\n\n"), keeps("data: Thanks\n\n"))
		c := s.client(&sse.ClientOptions{Failed: func(err error, _ time.Duration) { t.Errorf("failed with %v", err) }})
		c.Restart() // nothing to do yet
		began := time.Now()
		var got []string
		for ev, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev.Data)
			c.Restart()
		}
		if !slices.Equal(got, []string{"Hello", "Thanks"}) || time.Since(began) != 0 {
			t.Errorf("%q in %v", got, time.Since(began))
		}
		if rs := s.requests(); len(rs) != 3 || rs[1].Header.Get("Last-Event-ID") != "1" {
			t.Errorf("%d requests", len(rs))
		}
	})
	story(t, "a wait", func(t *testing.T) {
		s := newScript(t, answers(503, "", "Retry-After: 3000"))
		var c *sse.Client
		c = s.client(&sse.ClientOptions{Failed: func(error, time.Duration) {
			time.AfterFunc(time.Minute, c.Restart)
		}})
		if _, err := all(t.Context(), c); err != nil {
			t.Error(err)
		}
		if got := pauses(s); !slices.Equal(got, []time.Duration{time.Minute}) {
			t.Errorf("%v", got)
		}
	})
}

// Every way out closes the connection and ends the range at once.
func TestClientLeaves(t *testing.T) {
	gone := func(t *testing.T, s *script, n int) {
		t.Helper()
		rs := s.requests()
		if len(rs) != n {
			t.Fatalf("%d requests, want %d", len(rs), n)
		}
		<-rs[n-1].left // or the bubble deadlocks
	}
	story(t, "break", func(t *testing.T) {
		s := newScript(t, keeps("data: 1\n\ndata: 2\n\n"))
		for range s.client(nil).Events(t.Context()) {
			break
		}
		gone(t, s, 1)
	})
	for name, step := range map[string]func(*exchange){
		"while it connects": func(x *exchange) { <-x.left },
		"while it reads":    keeps("data: 1\n\n"),
	} {
		story(t, "the context ends "+name, func(t *testing.T) {
			s := newScript(t, step)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
			defer cancel()
			began := time.Now()
			if _, err := all(ctx, s.client(nil)); err == nil || err.Error() != "enough" || time.Since(began) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			gone(t, s, 1)
		})
	}
	story(t, "the context ends while it waits", func(t *testing.T) {
		s := newScript(t, answers(503, "", "Retry-After: 1000"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := all(ctx, s.client(nil)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		gone(t, s, 1)
	})
	story(t, "the context had ended", func(t *testing.T) {
		s := newScript(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := all(ctx, s.client(nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	story(t, "End", func(t *testing.T) {
		s := newScript(t, keeps("data: 1\n\ndata: [DONE]\n\ndata: 2\n\n"))
		c := s.client(&sse.ClientOptions{End: func(ev sse.Event[string]) bool { return ev.Data == "[DONE]" }})
		if got, err := all(t.Context(), c); err != nil || !slices.Equal(got, []string{"message::1"}) {
			t.Errorf("%q, %v", got, err)
		}
		gone(t, s, 1)
	})
	story(t, "busy", func(t *testing.T) {
		s := newScript(t, says("data: 1\n\n"))
		c := s.client(nil)
		for _, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := all(t.Context(), c); !errors.Is(err, sse.ErrBusy) {
				t.Errorf("a second range: %v", err)
			}
		}
		if _, err := all(t.Context(), c); err != nil { // one after the other is fine
			t.Error(err)
		}
	})
}

func TestClientStream(t *testing.T) {
	story(t, "comments come in their place", func(t *testing.T) {
		s := newScript(t, says(":Hello\n:World\n: spaced\n:\ndata: 1\n:inside\ndata: 2\n\n:after\n"))
		var got []string
		c := s.client(&sse.ClientOptions{Reconnect: sse.Never, Comment: func(text []byte) { got = append(got, ":"+string(text)) }})
		for ev, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev.Data)
		}
		if want := []string{":Hello", ":World", ": spaced", ":", ":inside", "1\n2", ":after"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	story(t, "half an event is dropped", func(t *testing.T) {
		s := newScript(t, cuts("id: abc\ndata: Hello\n\nevent: x\nid: def\ndata: Goodbye"), says("data: We meet again\n\n"))
		if got, err := all(t.Context(), s.client(nil)); err != nil || !slices.Equal(got, []string{"message:abc:Hello", "message:abc:We meet again"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
	story(t, "each stream may have a byte order mark", func(t *testing.T) {
		s := newScript(t, cuts("\ufeffdata: 1\n\n\xef"), says("\ufeffdata: 2\n\n"))
		if got, err := all(t.Context(), s.client(nil)); err != nil || !slices.Equal(got, []string{"message::1", "message::2"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
	story(t, "large", func(t *testing.T) {
		// What the contract tests of LaunchDarkly send: 5 and 10 MiB in base64.
		for _, n := range []int{5 << 20 * 4 / 3, 10 << 20 * 4 / 3} {
			s := newScript(t, says("data: "+strings.Repeat("x", n)+"\n\n"))
			for ev, err := range s.client(nil).Events(t.Context()) {
				if err != nil || len(ev.Data) != n {
					t.Errorf("%d bytes, %v", len(ev.Data), err)
				}
			}
		}
	})
	story(t, "too large", func(t *testing.T) {
		for _, text := range []string{"data: 12345678901\n\n", "data: 12345\ndata: 67890\n\n", ":" + strings.Repeat("x", 100) + "\n"} {
			s := newScript(t, says(text))
			c := s.client(&sse.ClientOptions{MaxLine: 50, MaxEvent: 10})
			if _, err := all(t.Context(), c); !errors.Is(err, sse.ErrTooLong) || len(s.requests()) != 1 {
				t.Errorf("%q: %v after %d requests", text, err, len(s.requests()))
			}
		}
	})
	story(t, "gzip", func(t *testing.T) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		io.WriteString(w, "data: 1\n\n")
		w.Flush() // no trailer: the stream is cut
		s := newScript(t, func(x *exchange) {
			if x.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("Accept-Encoding %q", x.Header.Get("Accept-Encoding"))
			}
			x.head(200, "Content-Type: text/event-stream", "Content-Encoding: gzip", "Transfer-Encoding: chunked")
			x.send(b.String())
			x.end()
		}, says("data: 2\n\n"))
		if got, err := all(t.Context(), s.client(nil)); err != nil || !slices.Equal(got, []string{"message::1", "message::2"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
	story(t, "opened", func(t *testing.T) {
		s := newScript(t, answers(503, ""), says("data: 1\n\n"))
		opened := 0
		c := s.client(&sse.ClientOptions{Opened: func(r *http.Response) {
			if opened++; r.StatusCode != 200 {
				t.Errorf("opened with %d", r.StatusCode)
			}
		}})
		if _, err := all(t.Context(), c); err != nil || opened != 1 {
			t.Errorf("%v, opened %d times", err, opened)
		}
	})
	story(t, "Decode", func(t *testing.T) {
		type chunk struct{ N int }
		s := newScript(t, says("event: a\nid: 1\nretry: 5\ndata: {\"N\":1}\n\ndata: {\"N\":\n\ndata: {\"N\":3}\n\n"))
		var got []sse.Event[chunk]
		var last error
		for ev, err := range sse.Decode[chunk](s.client(nil).Events(t.Context())) {
			if last = err; err == nil {
				got = append(got, ev)
			}
		}
		if len(got) != 1 || got[0].Data.N != 1 || got[0].Type != "a" || got[0].ID != "1" || got[0].LastEventID != "1" || got[0].Retry != 5*time.Millisecond {
			t.Errorf("%+v", got)
		}
		if last == nil || !strings.HasPrefix(last.Error(), `sse: decode an event of type "message": `) {
			t.Errorf("%v", last)
		}
	})
}

// The streams of language models.
func TestClientTokens(t *testing.T) {
	story(t, "chunks and [DONE]", func(t *testing.T) {
		s := newScript(t, says("data: {\"t\":\"Hel\"}\n\ndata: {\"t\":\"lo\"}\n\ndata: [DONE]\n\n"))
		c := s.client(&sse.ClientOptions{Body: []byte(`{"stream":true}`), End: func(ev sse.Event[string]) bool { return ev.Data == "[DONE]" }})
		var text strings.Builder
		for ev, err := range sse.Decode[struct{ T string }](c.Events(t.Context())) {
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString(ev.Data.T)
		}
		if text.String() != "Hello" || len(s.requests()) != 1 {
			t.Errorf("%q in %d requests", text.String(), len(s.requests()))
		}
	})
	story(t, "named events", func(t *testing.T) {
		s := newScript(t, says("event: message_start\ndata: {}\n\nevent: ping\ndata: {}\n\nevent: message_stop\ndata: {}\n\n"))
		c := s.client(&sse.ClientOptions{Body: []byte("{}"), End: func(ev sse.Event[string]) bool { return ev.Type == "message_stop" }})
		if got, err := all(t.Context(), c); err != nil || !slices.Equal(got, []string{"message_start::{}", "ping::{}"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
	story(t, "cut off", func(t *testing.T) {
		s := newScript(t, cuts("data: half an ans\n\n"))
		got, err := all(t.Context(), s.client(&sse.ClientOptions{Body: []byte("{}")}))
		if len(got) != 1 || !errors.Is(err, io.ErrUnexpectedEOF) || len(s.requests()) != 1 {
			t.Errorf("%q, %v, %d requests", got, err, len(s.requests()))
		}
	})
}

// A server is cut off at any byte, a thousand times: with ids nothing is lost and
// nothing comes twice.
func TestClientCuts(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { cut(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

var lineEnds = []string{"\n", "\r", "\r\n"}

func cut(t *testing.T, seed uint64) {
	rnd := newRand(seed)
	total := 5 + rnd.IntN(40)
	// What the server has from an event on, with comments, blocks without data
	// and events without ids between.
	text := func(n int) string {
		nl := lineEnds[rnd.IntN(3)]
		var b strings.Builder
		if rnd.IntN(4) == 0 {
			b.WriteString("\ufeff")
		}
		for ; n <= total; n++ {
			switch rnd.IntN(5) {
			case 0:
				b.WriteString(":" + strings.Repeat("x", rnd.IntN(30)) + nl)
			case 1:
				b.WriteString("retry: 200" + nl + nl)
			case 2:
				b.WriteString("event: lost" + nl + nl)
			}
			fmt.Fprintf(&b, "id: %d%sdata: a %d%sdata%s%s", n, nl, n, nl, nl, nl)
		}
		return b.String()
	}
	var s *script
	step := func(x *exchange) {
		from := 1
		if id := x.Header.Get("Last-Event-ID"); id != "" {
			n, err := strconv.Atoi(id)
			if err != nil {
				t.Errorf("Last-Event-ID %q", id)
			}
			from = n + 1
		}
		if from > total {
			answers(204, "")(x)
			return
		}
		switch rnd.IntN(12) {
		case 0:
			answers(503, "")(x)
			return
		case 1:
			return
		case 2:
			io.WriteString(x.conn, "HTTP/1.1 200 OK\r\nContent-Ty")
			return
		}
		all := text(from)
		if rnd.IntN(6) > 0 {
			all = all[:rnd.IntN(len(all)+1)]
		}
		x.open()
		for len(all) > 0 {
			n := 1 + rnd.IntN(min(len(all), 40))
			if rnd.IntN(10) == 0 {
				fmt.Fprintf(x.conn, "%x\r\n%s", len(all), all[:n]) // cut inside a chunk
				return
			}
			x.send(all[:n])
			all = all[n:]
		}
		if rnd.IntN(2) == 0 {
			x.end()
		}
	}
	s = newScript(t, slices.Repeat([]func(*exchange){step}, 5000)...)
	c := s.client(&sse.ClientOptions{Delay: time.Millisecond, MaxDelay: 10 * time.Millisecond, Reconnect: sse.Resilient})
	next := 1
	for ev, err := range c.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("a %d\n", next); ev.Data != want || ev.Type != "message" || ev.LastEventID != strconv.Itoa(next) {
			t.Fatalf("event %d is %q of type %q with id %q", next, ev.Data, ev.Type, ev.LastEventID)
		}
		next++
	}
	if next != total+1 {
		t.Errorf("%d events, want %d", next-1, total)
	}
}

// The client takes whatever a server says.
func FuzzClient(f *testing.F) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n",
		"HTTP/1.1 503 No\r\nRetry-After: 9999999999\r\n\r\n",
		"HTTP/1.1 204 No\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream; charset=\"\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
	} {
		f.Add(head, "id: 1\nretry: 1\ndata: x\n\n", true)
		f.Add(head, "data: x\r\r", false)
	}
	f.Fuzz(func(t *testing.T, head, text string, again bool) {
		synctest.Test(t, func(t *testing.T) {
			say := func(x *exchange) { io.WriteString(x.conn, head+text) }
			s := newScript(t, say, say, say)
			how := sse.EventSource
			if again {
				how = sse.Resilient
			}
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			n := 0
			for _, err := range s.client(&sse.ClientOptions{Reconnect: how, MaxLine: 1 << 10, MaxEvent: 1 << 10, ReadTimeout: time.Minute}).Events(ctx) {
				if n++; err == nil && n > 3*(len(head)+len(text)) {
					t.Fatal("more events than bytes")
				}
			}
		})
	})
}
