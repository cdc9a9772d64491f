package sse_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/sse"
)

func TestMountStreams(t *testing.T) {
	const args = "/hub/Count?args="
	story(t, "bytes", func(t *testing.T) {
		s := newSite(t, nil, nil)
		for q, want := range map[string]string{
			`["",0]`:        "event: end\ndata: null\nid: hubwire:end\n\n",
			`["",2]`:        "data: \"0\\n\"\n\ndata: \"1\\n\"\n\nevent: end\ndata: null\nid: hubwire:end\n\n",
			`["no more",1]`: "data: \"0\\n\"\n\nevent: fail\ndata: {\"code\":\"aborted\",\"message\":\"no more\"}\nid: hubwire:end\n\n",
		} {
			got := s.do("GET", args+url.QueryEscape(q), "")
			if got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" || got.body != want {
				t.Errorf("%s: %d %q, want %q", q, got.status, got.body, want)
			}
		}
		if got := s.noted(); strings.Count(got, "connect ServerSentEvents, disconnect <nil>") != 3 {
			t.Error(got)
		}
		if got := s.do("GET", "/hub/NaNs", ""); got.body != "data: 1\n\nevent: fail\ndata: {\"code\":\"unknown\",\"message\":\"NaNs failed.\"}\nid: hubwire:end\n\n" {
			t.Errorf("%q", got.body)
		}
	})
	story(t, "refusals", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for q, want := range map[string]int{
			`["no more",0]`: 409, // fails before its first item
			`[]`:            400, `["",1,2]`: 400, `[1,""]`: 400, `x`: 400, `{}`: 400, `["",1]&args=[]`: 400, ``: 400,
			`["` + strings.Repeat("x", 8200) + `",1]`: 414,
		} {
			for _, h := range []string{"X: y", l.as()} {
				got := s.do("GET", args+strings.NewReplacer(`"`, "%22", " ", "%20").Replace(q), "", h)
				if got.status != want || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("%.20s: %d %s, want %d", q, got.status, got.body, want)
				}
			}
		}
	})
	story(t, "a finished one does not begin again", func(t *testing.T) {
		s := newSite(t, nil, nil)
		for _, q := range []string{`["",3]`, `["no more",3]`} {
			requests := 0
			c := sse.NewClient("http://site.test"+args+url.QueryEscape(q), &sse.ClientOptions{HTTPClient: s.http(), Reconnect: sse.EventSource, Prepare: func(*http.Request) error { requests++; return nil }})
			if got, err := all(t.Context(), c); err != nil || len(got) != 4 || requests != 2 {
				t.Errorf("%q, %v, %d requests", got, err, requests)
			}
		}
	})
	story(t, "a slow one", func(t *testing.T) {
		s := newSite(t, nil, nil)
		for _, as := range []string{"X: y", s.listen("/hub").as()} {
			s.noted()
			r := s.request("GET", "/hub/Forever", "", as)
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := s.http().Do(r.WithContext(ctx))
			check(t, err)
			br := bufio.NewReader(resp.Body)
			for i := range 3 {
				var got string
				for got == "" {
					line, err := br.ReadString('\n')
					check(t, err)
					if got = strings.TrimSpace(line); got == ":" { // heartbeats between
						got = ""
					}
				}
				if got != fmt.Sprintf("data: %d", i) {
					t.Errorf("%q", got)
				}
			}
			cancel()
			resp.Body.Close()
			if got := s.noted(); !strings.Contains(got, "forever, over context canceled") {
				t.Error(got)
			}
		}
	})
	story(t, "it ends with its connection", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		done := make(chan reply)
		go func() { done <- s.do("GET", "/hub/Forever", "", l.as()) }() // ends with the connection
		time.Sleep(time.Second)
		l.leave()
		got := <-done
		if !strings.HasPrefix(got.body, "data: 0\n\nevent: ") || !strings.HasSuffix(got.body, "\nid: hubwire:end\n\n") {
			t.Errorf("%q", got.body)
		}
	})
}
