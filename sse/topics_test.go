package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// byQuery lets a client have the topics that it names.
func byQuery(r *http.Request) ([]string, error) { return r.URL.Query()["t"], nil }

// modes runs a test with handlers that stay and with detached streams.
func modes(t *testing.T, f func(t *testing.T, detach bool)) {
	for name, detach := range map[string]bool{"handlers": false, "detached": true} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, detach) }) })
	}
}

// subscribe opens a stream and reads its first words.
func subscribe(t *testing.T, s *server, query, last string) (*sse.Reader, *http.Response) {
	t.Helper()
	var header []string
	if last != "" {
		header = []string{"Last-Event-ID", last}
	}
	r := get(t, s.client(t, 1), "/?"+query, header...)
	if r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	synctest.Wait()
	return sse.NewReader(r.Body, nil), r
}

// next is the next event: its type and data.
func next(t *testing.T, r *sse.Reader) string {
	t.Helper()
	b, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Type) == 0 {
		return string(b.Data)
	}
	return string(b.Type) + "=" + string(b.Data)
}

func publish(t *testing.T, topics *sse.Topics, topic string, data ...string) (id string) {
	t.Helper()
	for _, d := range data {
		var err error
		if id, err = topics.Publish(topic, sse.Event[string]{Data: d}); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func TestTopics(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{Stream: sse.Options{Detach: detach}})
		s := newServer(t, topics.Handler(byQuery))
		for q, want := range map[string][]string{
			"t=a":              {"1", "5"},
			"t=a&t=b/c&t=a":    {"1", "2", "5"},
			"t=b/*":            {"2", "3"},
			"t=b/**&t=b/c":     {"2", "3", "4"},
			"t=*&t=a":          {"1", "5"},
			"t=**":             {"1", "2", "3", "4", "5"},
			"t=*/c/*":          {"4"},
			"t=nothing&t=end":  {},
			"t=%C3%A9%20%3A.*": {},
		} {
			if strings.Contains(q, "%C3") {
				if r := get(t, s.client(t, 1), "/?"+q); r.StatusCode != 400 {
					t.Error(r.Status)
				}
				continue
			}
			r, _ := subscribe(t, s, q+"&t=end", "")
			publish(t, topics, "a", "1")
			publish(t, topics, "b/c", "2")
			publish(t, topics, "b/d", "3")
			publish(t, topics, "b/c/e", "4")
			publish(t, topics, "a", "5")
			publish(t, topics, "end", "end")
			var got []string
			for d := next(t, r); d != "end"; d = next(t, r) {
				got = append(got, d)
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s: %q, want %q", q, got, want)
			}
		}
		if n := topics.Stats(); n.Published != 8*6 {
			t.Errorf("%+v", n)
		}
	})
}

func TestPublishRefuses(t *testing.T) {
	topics := sse.NewTopics(nil)
	for topic, e := range map[string]sse.Event[string]{
		"":                         {},
		"a/*":                      {},
		"a\x00":                    {},
		"\xff":                     {},
		strings.Repeat("x", 1<<20): {},
		"a":                        {ID: "1"},
		"b":                        {Set: sse.IDField},
		"c":                        {Type: "a\nb"},
		"d":                        {Set: sse.RetryField},
	} {
		if _, err := topics.Publish(topic, e); !errors.Is(err, sse.ErrInvalid) {
			t.Errorf("%.10q: %v", topic, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := sse.NewTopics(&sse.TopicsOptions{MaxSubscribers: 1})
		s := newServer(t, topics.Handler(func(r *http.Request) ([]string, error) {
			switch r.URL.Path {
			case "/no":
				return nil, errTest
			case "/gone":
				return nil, &sse.StatusError{Code: 204}
			}
			return byQuery(r)
		}))
		c := s.client(t, 1)
		subscribe(t, s, "t=a", "")
		for url, want := range map[string]int{"/no": 403, "/gone": 204, "/": 400, "/?t=": 400, "/?t=a**": 400, "/?t=**/a": 400, "/?" + strings.Repeat("t=a&", 200): 400, "/?t=a": 429} {
			if r := get(t, c, url); r.StatusCode != want {
				t.Errorf("%.20s: %d, want %d", url, r.StatusCode, want)
			}
		}
		if a := s.exchange(t, "HEAD /?t=a HTTP/1.1\r\nHost: x\r\n\r\n", -1); a.status != "HTTP/1.1 200 OK" {
			t.Error(a.status)
		}
	})
}

// TestResume: a client that comes back gets what it missed, or the truth.
func TestResume(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		opts := &sse.TopicsOptions{Events: 4, Stream: sse.Options{Detach: detach}}
		topics := sse.NewTopics(opts)
		s := newServer(t, topics.Handler(byQuery))
		r, resp := subscribe(t, s, "t=a", "")
		start := r.LastEventID()
		publish(t, topics, "a", "1")
		if d := next(t, r); d != "1" {
			t.Fatal(d)
		}
		start = r.LastEventID()
		synctest.Wait()
		resp.Body.Close()
		id2 := publish(t, topics, "a", "2")
		publish(t, topics, "b", "x")
		publish(t, topics, "a", "3")
		r, _ = subscribe(t, s, "t=a", start)
		for _, want := range []string{"2", "3"} {
			if d := next(t, r); d != want {
				t.Error(d, want)
			}
		}
		r, _ = subscribe(t, s, "t=a&t=b&lastEventId="+id2, "")
		for _, want := range []string{"x", "3"} {
			if d := next(t, r); d != want {
				t.Error(d, want)
			}
		}
		head := publish(t, topics, "a", "4", "5", "6") // start is gone now
		r, _ = subscribe(t, s, "t=a", start)
		for _, want := range []string{`gap={"recovered":false,"reason":"expired"}`, "3", "4", "5", "6"} {
			if d := next(t, r); d != want {
				t.Error(d, want)
			}
		}
		epoch, _, _ := strings.Cut(head, "-")
		for what, id := range map[string]string{
			"another epoch": "zzz-3", "the future": epoch + "-99", "negative": epoch + "--1", "a megabyte": strings.Repeat("1", 1<<16), "no id": "x", "a number": "7",
			"too large": epoch + "-99999999999999999999999", "of another server": sse.NewTopics(nil).Epoch() + "-1",
		} {
			r, _ := subscribe(t, s, "t=a", id)
			if d := next(t, r); d != `gap={"recovered":false,"reason":"unknown"}` || r.LastEventID() != head {
				t.Error(what, d, r.LastEventID())
			}
			head = publish(t, topics, "a", "new")
			if d := next(t, r); d != "new" {
				t.Error(what, d)
			}
		}
		if st := topics.Stats(); st.Lost != 9 {
			t.Errorf("%+v", st)
		}
	})
}

// TestFirstWords: who leaves before the first event has an id to come back with.
func TestFirstWords(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{Stream: sse.Options{Detach: detach}})
		id := publish(t, topics, "a", "before")
		s := newServer(t, topics.Handler(byQuery))
		_, resp := subscribe(t, s, "t=a", "")
		linesOf(t, io.LimitReader(resp.Body, int64(len(id)+6))).want("id: " + id + "\n\n")
		resp.Body.Close()
		synctest.Wait()
		publish(t, topics, "a", "missed")
		r, _ := subscribe(t, s, "t=a", id)
		if d := next(t, r); d != "missed" {
			t.Error(d)
		}
	})
}

// TestSlowSubscribers: each policy, on a subscriber that does not read while the
// log passes it by.
func TestSlowSubscribers(t *testing.T) {
	big := strings.Repeat("x", 40<<10)
	for name, c := range map[string]struct {
		slow sse.Slow
		want func(got []string) bool
		end  bool
	}{
		"disconnect": {sse.Disconnect, func(got []string) bool { return len(got) < 10 }, true},
		"drop oldest": {sse.DropOldest, func(got []string) bool {
			return len(got) < 15 && reflect.DeepEqual(got[len(got)-4:], []string{"k26", "k27", "k28", "k29"})
		}, false},
		"latest": {sse.KeepLatest, func(got []string) bool {
			n := len(got)
			return n < 15 && reflect.DeepEqual(got[n-3:], []string{"k2", "k28", "k29"})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, func(t *testing.T, detach bool) {
				topics := sse.NewTopics(&sse.TopicsOptions{Events: 4, Slow: c.slow, Stream: sse.Options{Detach: detach, Heartbeat: -1, Logger: discard}})
				s := newServer(t, topics.Handler(byQuery))
				r, _ := subscribe(t, s, "t=a", "")
				for i := range 30 {
					key := "odd"
					if i == 2 {
						key = "once"
					} else if i%2 == 0 {
						key = "even"
					}
					if _, err := topics.PublishLatest("a", key, sse.Event[string]{Type: fmt.Sprint("k", i), Data: big}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					time.Sleep(time.Second)
					publish(t, topics, "a", "end")
				})
				var got []string
				for {
					b, err := r.Next()
					if err != nil {
						if !c.end {
							t.Error(err)
						}
						break
					}
					if string(b.Data) == "end" {
						break
					}
					got = append(got, string(b.Type))
				}
				if !c.want(got) {
					t.Errorf("%q, %+v", got, topics.Stats())
				}
			})
		})
	}
}

// TestStalledReaders: 5 of 105 subscribers stop reading; nobody else notices, the
// stalled are cut, and memory is bounded.
func TestStalledReaders(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		const healthy, stalled, events, bound = 100, 5, 200, 64 << 10
		topics := sse.NewTopics(&sse.TopicsOptions{Bytes: bound, Stream: sse.Options{Detach: detach, Logger: discard}})
		s := newServer(t, topics.Handler(byQuery))
		for range stalled {
			get(t, s.client(t, 1), "/?t=a")
		}
		var wg sync.WaitGroup
		for range healthy {
			r, resp := subscribe(t, s, "t=a", "")
			wg.Go(func() {
				defer resp.Body.Close()
				for i := range events {
					b, err := r.Next()
					if err != nil || string(b.Type) != fmt.Sprint("n", i) {
						t.Errorf("event %d: %q, %v", i, b.Type, err)
						return
					}
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		for i := range events {
			if _, err := topics.Publish("a", sse.Event[string]{Type: fmt.Sprint("n", i), Data: strings.Repeat("x", 10<<10)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := topics.Stats().LogBytes; n > bound {
				t.Error(n, "bytes")
			}
		}
		wg.Wait()
		if d := time.Since(began); d != 0 {
			t.Error("the healthy waited for", d)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := topics.Stats().Subscribers; n != 0 {
			t.Error(n, "stalled subscribers are left")
		}
	})
}

// TestCatchUp: on real sockets, what the kernel did not take comes later, whole
// and in order.
func TestCatchUp(t *testing.T) {
	for name, detach := range map[string]bool{"handlers": false, "detached": true} {
		t.Run(name, func(t *testing.T) {
			const subscribers, events = 3, 500
			topics := sse.NewTopics(&sse.TopicsOptions{Bytes: 64 << 20, Stream: sse.Options{Detach: detach, WriteTimeout: -1}})
			srv := httptest.NewServer(topics.Handler(byQuery))
			defer srv.Close()
			var open []*http.Response
			for range subscribers {
				r, err := http.Get(srv.URL + "/?t=a")
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				open = append(open, r)
			}
			data := strings.Repeat("x", 20<<10) // 10 MB for each: more than the kernel takes
			for i := range events {
				if _, err := topics.Publish("a", sse.Event[string]{Type: fmt.Sprint("n", i), Data: data}); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range open {
				in := sse.NewReader(r.Body, nil)
				for i := range events {
					if b, err := in.Next(); err != nil || string(b.Type) != fmt.Sprint("n", i) || len(b.Data) != len(data) {
						t.Fatalf("event %d: %q, %v", i, b.Type, err)
					}
				}
			}
			if err := topics.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTopicsCompressed: what is compressed once is right for everybody.
func TestTopicsCompressed(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{Stream: sse.Options{Detach: detach, Compress: true}})
		s := newServer(t, topics.Handler(byQuery))
		long := strings.Repeat("a text that repeats itself. ", 100)
		var readers []*sse.Reader
		for _, enc := range []string{"gzip", "zstd", "", "gzip"} {
			r := get(t, s.client(t, 1), "/?t=a", "Accept-Encoding", enc)
			if r.Header.Get("Content-Encoding") != enc {
				t.Fatal(r.Header)
			}
			readers = append(readers, sse.NewReader(inflate(t, r), nil))
		}
		synctest.Wait()
		go func() { // ends with the topics
			publish(t, topics, "a", long, "b", long)
			time.Sleep(time.Second)
			publish(t, topics, "a", "c")
			if err := topics.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		var wg sync.WaitGroup
		for i, r := range readers {
			wg.Go(func() {
				for _, want := range []string{long, "b", long, "c"} {
					if b, err := r.Next(); err != nil || string(b.Data) != want {
						t.Errorf("%d: %.20q, %v", i, b.Data, err)
						return
					}
				}
				if _, err := r.Next(); err != io.EOF { // for gzip: the sum is right
					t.Error(i, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestTopicsShutdown(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{Window: 4 * time.Second, Retry: 2 * time.Second, Bye: &sse.Event[string]{Type: "bye"}, Stream: sse.Options{Detach: detach, Heartbeat: -1}})
		s := newServer(t, topics.Handler(byQuery))
		var wg sync.WaitGroup
		began := time.Now()
		for range 4 {
			r, _ := subscribe(t, s, "t=a", "")
			wg.Go(func() {
				if d := next(t, r); d != "bye=" {
					t.Error(d)
				}
				if d, ok := r.Retry(); !ok || d < 200*time.Millisecond || d > 2*time.Second {
					t.Error(d)
				}
				if _, err := r.Next(); err != io.EOF {
					t.Error(err)
				}
			})
		}
		if err := topics.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Error("the last one left after", d)
		}
		wg.Wait()
		if _, err := topics.Publish("a", sse.Event[string]{}); !errors.Is(err, sse.ErrClosed) {
			t.Error(err)
		}
		if r := get(t, s.client(t, 1), "/?t=a"); r.StatusCode != 503 {
			t.Error(r.Status)
		}
	})
}

// TestShutdownGivesUp: a subscriber that does not read does not hold the server
// beyond ctx.
func TestShutdownGivesUp(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{Stream: sse.Options{Detach: detach, WriteTimeout: time.Hour}})
		s := newServer(t, topics.Handler(byQuery))
		c := s.dial(t)
		defer c.Close()
		if _, err := io.WriteString(c, "GET /?t=a HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			publish(t, topics, "a", strings.Repeat("x", 100<<10))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := topics.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		c.Close()
		synctest.Wait()
		if n := topics.Stats().Subscribers; n != 0 {
			t.Error(n, "subscribers")
		}
	})
}

// TestManyPublishers: subscribers come and go while many publish; each sees its
// events in order, each once.
func TestManyPublishers(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{Events: 1 << 16, Stream: sse.Options{Detach: detach}})
		s := newServer(t, topics.Handler(byQuery))
		var pubs, subs sync.WaitGroup
		for i := range 8 {
			subs.Go(func() {
				r := get(t, s.client(t, 1), fmt.Sprintf("/?t=p/%d&t=end", i%4))
				in, n := sse.NewReader(r.Body, nil), -1
				for {
					b, err := in.Next()
					if err != nil {
						t.Error(err)
						return
					}
					if string(b.Data) == "end" {
						r.Body.Close()
						return
					}
					var k int
					fmt.Sscan(string(b.Data), &k)
					if n >= 0 && k != n+1 {
						t.Errorf("%d after %d", k, n)
						return
					}
					n = k
				}
			})
		}
		synctest.Wait()
		for p := range 4 {
			pubs.Go(func() {
				for i := range 300 {
					publish(t, topics, fmt.Sprint("p/", p), fmt.Sprint(i))
				}
			})
		}
		pubs.Wait()
		publish(t, topics, "end", "end")
		subs.Wait()
	})
}
