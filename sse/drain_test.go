package sse_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// TestDrain: streams end in good order, one after another, and each is told when
// to come back.
func TestDrain(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		const streams = 10
		d := &sse.Drain{Window: 10 * time.Second, Retry: 5 * time.Second, Bye: &sse.Event[string]{Type: "bye"}}
		ended := make(chan error, streams)
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if err := sse.Serve(w, r, waiting(r.Context(), ended, "a")); err != nil {
				t.Error(err)
			}
		})
		srv := newServer(t, d.Handler(mux), func(s *http.Server) { s.RegisterOnShutdown(d.Start) })
		var open []*http.Response
		for range streams {
			r := get(t, srv.client(t, v), "/")
			linesOf(t, io.LimitReader(r.Body, 9)).want("data: a\n\n")
			open = append(open, r)
		}
		synctest.Wait()
		type end struct {
			retry time.Duration
			at    time.Duration
		}
		ends := make(chan end, streams)
		began := time.Now()
		for _, r := range open {
			go func() { // ends with its stream
				p := sse.NewReader(r.Body, nil)
				b, err := p.Next()
				retry, _ := p.Retry()
				if err != nil || string(b.Type) != "bye" {
					t.Errorf("%q, %v", b.Type, err)
				} else if _, err := p.Next(); err != io.EOF {
					t.Error(err)
				}
				ends <- end{retry, time.Since(began)}
			}()
		}
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		at, retries := map[time.Duration]bool{}, map[time.Duration]bool{}
		for range streams {
			e := <-ends
			at[e.at.Round(time.Second)], retries[e.retry] = true, true
			if e.retry < 500*time.Millisecond || e.retry > 5*time.Second || e.at > 10*time.Second {
				t.Errorf("%+v", e)
			}
		}
		if len(at) < streams-1 || len(retries) < 5 {
			t.Errorf("not spread: %v, %v", at, retries)
		}
		if err := d.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// TestDrainRefuses: who comes after the start is told to come back elsewhere, a
// browser by a broken connection.
func TestDrainRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(sse.Drain)
		c := newServer(t, d.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }))).client(t, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Wait(ctx); err == nil {
			t.Error("Wait before Start")
		}
		d.Start()
		d.Start()
		if err := d.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if r := get(t, c, "/"); r.StatusCode != 204 {
			t.Error("no stream:", r.StatusCode)
		}
		if r := get(t, c, "/", "Accept", "text/event-stream"); r.StatusCode != 503 || r.Header.Get("Retry-After") != "10" {
			t.Error(r.StatusCode, r.Header)
		}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://test/", nil)
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Sec-Fetch-Mode", "cors")
		if r, err := c.Do(req); err == nil || !strings.Contains(err.Error(), "EOF") {
			t.Error(r, err)
		}
	})
}
