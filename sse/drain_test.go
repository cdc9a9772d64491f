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

// TestDrainMount: the connections of a hub are drained like any stream, whether
// their connection was taken over or net/http writes them, and their server
// streams too.
func TestDrainMount(t *testing.T) {
	for name, hide := range map[string]bool{"taken over": false, "net/http": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &sse.Drain{Window: 10 * time.Second, Retry: 5 * time.Second, Bye: &sse.Event[string]{Type: "bye", Data: "soon"}}
				s := newSite(t, nil, nil)
				mux := s.srv.Handler
				s.srv.Handler = d.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if hide {
						w = onlyFlush{w}
					}
					mux.ServeHTTP(w, r)
				}))
				left := &sse.Drain{}
				if err := waitDone(t, left); err != nil { // of one that has no streams
					t.Error(err)
				}
				type end struct {
					events  []string
					retries time.Duration
					at      time.Duration
				}
				const streams = 5
				ends := make(chan end, streams+1)
				began := time.Now()
				for i := range streams + 1 {
					target := "/hub"
					if i == streams {
						target = "/hub/Forever"
					}
					resp, err := s.http().Do(s.request("GET", target, ""))
					if err != nil {
						t.Fatal(err)
					}
					p := sse.NewReader(resp.Body, nil)
					if _, err := p.Next(); err != nil {
						t.Fatal(err)
					}
					go func() { // ends with its stream
						defer resp.Body.Close()
						var e end
						for {
							b, err := p.Next()
							if err != nil {
								if err != io.EOF {
									t.Error(err)
								}
								break
							}
							e.events = append(e.events, string(b.Type)+" "+string(b.Data))
						}
						e.retries, _ = p.Retry()
						e.at = time.Since(began)
						ends <- e
					}()
				}
				s.noted()
				d.Start()
				at := map[time.Duration]bool{}
				for range streams + 1 {
					e := <-ends
					if len(e.events) != 1 || e.events[0] != "bye soon" || e.retries < 500*time.Millisecond || e.retries > 5*time.Second || e.at > 10*time.Second {
						t.Errorf("%+v", e)
					}
					at[e.at.Round(time.Second)] = true
				}
				if len(at) < streams {
					t.Errorf("not spread: %v", at)
				}
				if err := d.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				if got := s.noted(); strings.Count(got, "disconnect <nil>") != streams+1 {
					t.Error(got)
				}
				if got := s.do("GET", "/hub", "", "Accept: text/event-stream"); got.status != 503 {
					t.Error(got.status)
				}
			})
		})
	}
}

// waitDone starts a Drain and waits for it.
func waitDone(t *testing.T, d *sse.Drain) error {
	d.Start()
	return d.Wait(t.Context())
}

// onlyFlush hides that a connection can be taken over.
type onlyFlush struct{ w http.ResponseWriter }

func (o onlyFlush) Header() http.Header         { return o.w.Header() }
func (o onlyFlush) Write(p []byte) (int, error) { return o.w.Write(p) }
func (o onlyFlush) WriteHeader(status int)      { o.w.WriteHeader(status) }
func (o onlyFlush) Flush()                      { o.w.(http.Flusher).Flush() }
