package sse_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/sse"
)

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
