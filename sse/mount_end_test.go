package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/sse"
)

// How a connection ends, and what the client makes of it.
func TestMountEnds(t *testing.T) {
	story(t, "for good", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		if got := s.call("Abort", "[]", l.as()); got.status != 204 && got.status != 410 {
			t.Errorf("%d %s", got.status, got.body)
		}
		l.ends()
		// A browser's EventSource comes back with the id of the end, and stops.
		requests := 0
		h := s.http()
		c := sse.NewClient("http://site.test/hub", &sse.ClientOptions{HTTPClient: h, Reconnect: sse.EventSource, Prepare: func(*http.Request) error { requests++; return nil }})
		for ev, err := range c.Events(t.Context()) {
			check(t, err)
			var id, token string
			if _, err := fmt.Sscanf(ev.Data, `{"connection":%q,"token":%q}`, &id, &token); err != nil {
				t.Fatal(err)
			}
			s.call("Abort", "[]", "Hubwire-Connection: "+token)
		}
		if requests != 2 || c.LastEventID() != "hubwire:end" {
			t.Errorf("%d requests, last event id %q", requests, c.LastEventID())
		}
	})
	story(t, "shutdown", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		var told []time.Duration
		done := make(chan error)
		c := sse.NewClient("http://site.test/hub", &sse.ClientOptions{HTTPClient: s.http(), Reconnect: sse.EventSource, Header: http.Header{"User-Agent": {"Mozilla/5.0"}}, Failed: func(_ error, wait time.Duration) { told = append(told, wait) }})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // ends with ctx
			_, err := all(ctx, c)
			done <- err
		}()
		go s.call("Wait", "[]", l.as()) // ends with the shutdown
		synctest.Wait()
		down, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		began := time.Now()
		if err := s.hub.Shutdown(down); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		l.ends()
		synctest.Wait()
		if d := time.Since(began); d < 3*time.Second || d > 4*time.Second || len(told) == 0 || slices.Min(told) < time.Second || slices.Max(told) > 10*time.Second {
			t.Errorf("after %v, and back in %v", d, told)
		}
		// Whoever comes now is turned away: others by status, browsers by a stream
		// that says when to come back, as a status would be the end.
		if got := s.do("GET", "/hub", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("%d %v", got.status, got.header)
		}
		for _, h := range []string{"Sec-Fetch-Mode: cors", "User-Agent: Mozilla/5.0"} {
			var n int
			if got := s.do("GET", "/hub", "", h); got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("%d %v", got.status, got.header)
			} else if k, err := fmt.Sscanf(got.body, "retry: %d\n\n", &n); k != 1 || n < 1000 || n > 10_000 {
				t.Errorf("%q, %v", got.body, err)
			}
		}
		if got := s.call("Echo", `["x"]`); got.status != 503 {
			t.Errorf("%d %s", got.status, got.body)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	story(t, "full", func(t *testing.T) {
		s := newSite(t, &hubwire.Options{MaxConnections: 2}, &sse.MountOptions{MaxConnections: 1})
		l := s.listen("/hub")
		if got := s.do("GET", "/hub", ""); got.status != 503 {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.call("Echo", `["x"]`); got.status != 200 {
			t.Errorf("calls take no place: %d %s", got.status, got.body)
		}
		l.leave()
		s.noted()
		s.listen("/hub")
	})
	story(t, "refused", func(t *testing.T) {
		var refuse error
		s := newSite(t, &hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			check(t, said.Send(ctx, c, "welcome"))
			return refuse
		}}, nil)
		for _, c := range []struct {
			err    error
			status int
			text   string
		}{
			{hubwire.ErrUnauthorized, 403, "You may not connect."},
			{NotFound{}, 403, "The connection was refused."},
			{hubwire.Errorf(hubwire.CodeResourceExhausted, "too many of you"), 429, "too many of you"},
			{hubwire.Errorf(hubwire.CodeUnauthenticated, "who are you?"), 403, "who are you?"},
		} {
			refuse = c.err
			for _, got := range []reply{s.do("GET", "/hub", ""), s.call("Echo", `["x"]`), s.do("GET", "/hub/Count?args=[%22%22,1]", "")} {
				if got.status != c.status || !strings.Contains(got.body, c.text) {
					t.Errorf("%v: %d %s", c.err, got.status, got.body)
				}
			}
		}
		refuse = nil
		if got := s.listen("/hub").take(1); got[0] != `Said ["welcome"]` {
			t.Errorf("%q", got)
		}
	})
	story(t, "aborted while it connects", func(t *testing.T) {
		s := newSite(t, &hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			c.Abort()
			return nil
		}}, nil)
		s.listen("/hub").ends()
		if got := s.noted(); got != "connect ServerSentEvents, disconnect <nil>" {
			t.Error(got)
		}
	})
}

// Of a hundred streams five are not read (row 54): they are cut, and nobody else
// notices.
func TestMountStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 50, Stall: time.Minute}}, nil)
		var stalled []net.Conn
		for range 5 {
			conn, _ := s.pipe.dial(nil, "", "")
			stalled = append(stalled, conn)
			io.WriteString(conn, "GET /hub HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil); err != nil {
				t.Fatal(err)
			}
		}
		var ls []*hubListener
		for range 100 {
			ls = append(ls, s.listen("/hub"))
		}
		var wg sync.WaitGroup
		for _, l := range ls {
			wg.Go(func() {
				for i := range 500 {
					if got := l.take(1); got[0] != fmt.Sprintf(`Said ["%d"]`, i) {
						t.Errorf("event %d: %q", i, got)
						return
					}
				}
			})
		}
		for i := range 500 {
			check(t, said.Send(t.Context(), s.hub.All(), fmt.Sprint(i)))
			if i%40 == 0 {
				synctest.Wait()
			}
		}
		wg.Wait()
		synctest.Wait()
		n := 0
		for range s.hub.Connections() {
			n++
		}
		if n != 100 {
			t.Errorf("%d connections are left", n)
		}
		for _, c := range stalled {
			c.Close()
		}
	})
}
