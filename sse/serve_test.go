package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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

// both runs a test over HTTP/1.1 and HTTP/2, each in a bubble of its own.
func both(t *testing.T, f func(t *testing.T, version int)) {
	for v := 1; v <= 2; v++ {
		t.Run(fmt.Sprintf("HTTP%d", v), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, v) })
		})
	}
}

// waiting is a source that yields texts and then waits for ctx; it notes its end.
func waiting(ctx context.Context, ended chan<- error, s ...string) iter.Seq2[sse.Event[string], error] {
	return func(yield func(sse.Event[string], error) bool) {
		for _, v := range s {
			if !yield(sse.Event[string]{Data: v}, nil) {
				ended <- errors.New("yield said no")
				return
			}
		}
		<-ctx.Done()
		yield(sse.Event[string]{}, ctx.Err())
		ended <- ctx.Err()
	}
}

func TestServe(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		type price struct {
			Value int `json:"v"`
		}
		result := make(chan error, 1)
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			result <- sse.Serve(w, r, items(price{1}, price{2}))
		})).client(t, v)
		r := get(t, c, "/")
		b, err := io.ReadAll(r.Body)
		if string(b) != "data: {\"v\":1}\n\ndata: {\"v\":2}\n\n" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		for k, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-store, no-transform", "X-Accel-Buffering": "no", "Vary": "", "Content-Encoding": ""} {
			if got := r.Header.Get(k); got != want {
				t.Errorf("%s: %q, want %q", k, got, want)
			}
		}
	})
}

// TestHeadAtOnce: a page's open event does not wait for the first event.
func TestHeadAtOnce(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		for delay, want := range map[time.Duration]time.Duration{0: 50 * time.Millisecond, -1: 0, time.Second: time.Second} {
			ended, returned := make(chan error, 1), make(chan struct{})
			c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(returned) // perhaps before it has asked the source: the client may be faster
				_ = sse.ServeWith(w, r, &sse.Options{HeadDelay: delay}, waiting(r.Context(), ended))
			})).client(t, v)
			began := time.Now()
			ctx, leave := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://test/", nil)
			r, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("the head came after %v, want %v", got, want)
			}
			leave()
			r.Body.Close()
			<-returned
		}
	})
}

func TestFailures(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		log := new(logged)
		results := make(chan error, 1)
		source := make(chan iter.Seq2[sse.Event[string], error], 1)
		opts := &sse.Options{Logger: log.logger()}
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			results <- sse.ServeWith(w, r, opts, <-source)
		})).client(t, v)
		for _, e := range []struct {
			err        error
			status     int
			body       string
			retryAfter string
		}{
			{errTest, 500, "Internal Server Error\n", ""},
			{&sse.StatusError{Code: 204}, 204, "", ""},
			{fmt.Errorf("x: %w", &sse.StatusError{Code: 403, Text: "not yours"}), 403, "not yours\n", ""},
			{&sse.StatusError{Code: 429, RetryAfter: 1500 * time.Millisecond}, 429, "Too Many Requests\n", "2"},
			{&sse.StatusError{Code: 7, Text: "no code"}, 500, "no code\n", ""},
		} {
			source <- failing(10*time.Millisecond, e.err)
			r := get(t, c, "/")
			b, _ := io.ReadAll(r.Body)
			if r.StatusCode != e.status || string(b) != e.body || r.Header.Get("Retry-After") != e.retryAfter || strings.Contains(r.Header.Get("Content-Type"), "event-stream") {
				t.Errorf("%v: %d %q %v", e.err, r.StatusCode, b, r.Header)
			}
			if err := <-results; !errors.Is(err, e.err) {
				t.Error(err)
			}
		}
		source <- failing(time.Second, errTest, "a", "b")
		r := get(t, c, "/")
		b, err := io.ReadAll(r.Body)
		if string(b) != "data: a\n\ndata: b\n\n" || err == nil {
			t.Errorf("a failure after events: %q, %v", b, err)
		}
		source <- failing(time.Second, errTest)
		if r := get(t, c, "/"); r.StatusCode != 200 {
			t.Error("a failure after the head:", r.StatusCode)
		} else if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("a failure after the head looks like an end")
		}
		if !strings.Contains(log.String(), errTest.Error()) {
			t.Error("the log:", log)
		}
		source <- nil
		if r := get(t, c, "/"); r.StatusCode != 500 {
			t.Error("no source:", r.StatusCode)
		}
	})
}

// TestPanic: a source that panics ends its own request.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = sse.Serve(w, r, func(yield func(sse.Event[string], error) bool) {
				yield(sse.Event[string]{Data: "a"}, nil)
				panic("source")
			})
		})).client(t, 1)
		for range 2 {
			r := get(t, c, "/")
			linesOf(t, r.Body).want("data: a\n\n")
			if _, err := io.ReadAll(r.Body); err == nil {
				t.Error("a panic looks like an end")
			}
		}
	})
}

func TestHeartbeats(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = sse.Serve(w, r, paced(r.Context(), 20*time.Second, "a", "b"))
		}), func(s *http.Server) { s.WriteTimeout = time.Second }) // for ordinary responses
		began := time.Now()
		l := linesOf(t, get(t, s.client(t, v), "/").Body)
		at := func(text string, want time.Duration) {
			t.Helper()
			l.want(text)
			if d := time.Since(began); d != want {
				t.Errorf("%q after %v, want %v", text, d, want)
			}
		}
		at(":\n", 15*time.Second+50*time.Millisecond)
		at("data: a\n\n", 20*time.Second)
		at(":\n", 35*time.Second)
		at("data: b\n\n", 40*time.Second)
		at(":\n", 55*time.Second)
		l.wantEnd(true)
	})
}

// TestLeaving: the client's leaving ends the source, whatever it yields.
func TestLeaving(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		ended, result := make(chan error, 1), make(chan error, 1)
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			result <- sse.Serve(w, r, waiting(r.Context(), ended, "w0"))
		})).client(t, v)
		r := get(t, c, "/")
		linesOf(t, r.Body).want("data: w0\n\n")
		synctest.Wait()
		r.Body.Close()
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestNotReading: a client that does not read is cut off, and one that is slow
// is not.
func TestNotReading(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		result := make(chan error, 1)
		big := strings.Repeat("x", 6<<20) // more than HTTP/2's windows
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			result <- sse.Serve(w, r, items(big))
		})).client(t, v)
		began := time.Now()
		get(t, c, "/slow-to-begin")
		if err := <-result; err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		r := get(t, c, "/slow")
		buf := make([]byte, 256<<10)
		n := 0
		for {
			k, err := io.ReadFull(r.Body, buf)
			n += k
			if err != nil {
				break
			}
			time.Sleep(5 * time.Second)
		}
		if err := <-result; err != nil || n != len("data: \n\n")+len(big) {
			t.Errorf("slow: %v, %d bytes", err, n)
		}
	})
}

// TestSilence: a stream whose writes were long ago lives, deadline or not.
func TestSilence(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = sse.ServeWith(w, r, &sse.Options{Heartbeat: -1, WriteTimeout: time.Second}, paced(r.Context(), time.Hour, "a", "b"))
		}), func(s *http.Server) {
			s.WriteTimeout, s.ReadTimeout, s.IdleTimeout = time.Second, time.Second, time.Second
		})
		l := linesOf(t, get(t, s.client(t, v), "/").Body)
		l.want("data: a\n\ndata: b\n\n")
		l.wantEnd(true)
	})
}

// A hidden is a ResponseWriter that hides everything.
type hidden struct{ w http.ResponseWriter }

func (h hidden) Header() http.Header         { return h.w.Header() }
func (h hidden) Write(p []byte) (int, error) { return h.w.Write(p) }
func (h hidden) WriteHeader(code int)        { h.w.WriteHeader(code) }

// A flusher hides deadlines.
type flusher struct {
	hidden
	http.Flusher
}

func TestMiddlewareThatHides(t *testing.T) {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/", nil)
	if err := sse.Serve(hidden{rec}, req, items("a")); !errors.Is(err, http.ErrNotSupported) || rec.Code != 500 {
		t.Errorf("Serve: %v, %d", err, rec.Code)
	}
	rec = httptest.NewRecorder()
	if s, err := sse.Open(hidden{rec}, req, nil); s != nil || !errors.Is(err, http.ErrNotSupported) || rec.Code != 500 {
		t.Errorf("Open: %v, %d", err, rec.Code)
	}
	log := new(logged)
	rec = httptest.NewRecorder()
	err := sse.ServeWith(flusher{hidden{rec}, rec}, req, &sse.Options{Logger: log.logger()}, items("a"))
	if err != nil || rec.Body.String() != "data: a\n\n" || !strings.Contains(log.String(), "cannot be cut off") {
		t.Errorf("no deadlines: %v, %q, %s", err, rec.Body, log)
	}
}

func TestHeadRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = sse.Serve(w, r, func(func(sse.Event[string], error) bool) { t.Error("the source runs") })
		})).exchange(t, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", -1)
		if a.status != "HTTP/1.1 200 OK" || a.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%+v", a)
		}
	})
}

func TestSources(t *testing.T) {
	collect := func(events iter.Seq2[sse.Event[string], error]) (got []string) {
		for e, err := range events {
			got = append(got, fmt.Sprint(e.Type, "=", e.Data, " ", err))
		}
		return got
	}
	want := func(what string, got []string, want ...string) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("Values", collect(sse.Values("t", texts("a", "b"))), "t=a <nil>", "t=b <nil>")
	want("Values with an error", collect(sse.Values("t", func(yield func(string, error) bool) {
		_ = yield("a", nil) && yield("", errTest) && yield("no more", nil)
	})), "t=a <nil>", "t= source: broken")
	ch := make(chan sse.Event[string], 2)
	ch <- sse.Event[string]{Data: "a"}
	ch <- sse.Event[string]{Data: "b"}
	close(ch)
	want("Chan", collect(sse.Chan(t.Context(), ch)), "=a <nil>", "=b <nil>")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	want("Chan and its context", collect(sse.Chan(ctx, make(chan sse.Event[string]))), "= source: broken")
	want("Func", collect(sse.Func(func(send func(sse.Event[string]) error) error {
		return errors.Join(send(sse.Event[string]{Data: "a"}), send(sse.Event[string]{Data: "b"}))
	})), "=a <nil>", "=b <nil>")
	want("Func with an error", collect(sse.Func(func(func(sse.Event[string]) error) error { return errTest })), "= source: broken")
	for range sse.Func(func(send func(sse.Event[string]) error) error {
		for range 2 {
			if err := send(sse.Event[string]{}); !errors.Is(err, sse.ErrClosed) {
				t.Error(err)
			}
		}
		return errTest
	}) {
		break
	}
}

func TestLastEventID(t *testing.T) {
	for _, c := range []struct{ header, query, want string }{
		{"", "", ""},
		{"7", "lastEventId=8", "7"},
		{"", "lastEventId=8&last_event_id=9", "8"},
		{"", "last_event_id=a%20b", "a b"},
		{"", "last_event_id=a%0Ab", "?"},
		{"", "lastEventId=%00", "?"},
		{strings.Repeat("9", 1<<20), "", "?"},
		{"-1", "", "-1"},
		{"h\xc3\xa9", "", "hé"},
	} {
		r := httptest.NewRequest("GET", "/?"+c.query, nil)
		if c.header != "" {
			r.Header.Set("Last-Event-ID", c.header)
		}
		if got := sse.LastEventID(r); got != c.want {
			t.Errorf("%.20q, %q: %.20q, want %q", c.header, c.query, got, c.want)
		}
	}
}

func TestSession(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		done := make(chan struct{})
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			s, err := sse.Open(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if s.LastEventID() != "6" {
				t.Error(s.LastEventID())
			}
			time.Sleep(time.Second)
			for _, err := range []error{
				s.Retry(3 * time.Second), s.SetID("7"), s.Comment("hi\nyou"),
				s.Buffer(sse.Event[string]{Data: "a"}), s.Buffer(sse.Event[string]{Data: "b", ID: "8"}),
				s.Send(sse.Event[string]{Type: "t", Data: "c"}),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			if n, err := s.Write([]byte("data: raw\n\n")); n != 11 || err != nil {
				t.Error(n, err)
			}
			for _, err := range []error{
				s.Send(sse.Event[string]{ID: "\n"}), s.SetID("\x00"), s.Retry(0), s.Send(sse.Event[string]{Set: sse.RetryField}),
			} {
				if !errors.Is(err, sse.ErrInvalid) {
					t.Error(err)
				}
			}
			if s.Context().Err() != nil {
				t.Error(s.Context().Err())
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			for _, err := range []error{s.Send(sse.Event[string]{}), s.Comment(""), s.Flush(), context.Cause(s.Context())} {
				if !errors.Is(err, sse.ErrClosed) {
					t.Error(err)
				}
			}
		})).client(t, v)
		began := time.Now()
		l := linesOf(t, get(t, c, "/", "Last-Event-ID", "6").Body)
		if time.Since(began) != 0 {
			t.Error("the head came after", time.Since(began))
		}
		l.want("retry: 3000\n\nid: 7\n\n: hi\n: you\ndata: a\n\ndata: b\nid: 8\n\nevent: t\ndata: c\n\ndata: raw\n\n")
		l.wantEnd(true)
		<-done
	})
}

// TestSessionOfMany: events of many goroutines do not mix, and none is written
// after the end.
func TestSessionOfMany(t *testing.T) {
	both(t, func(t *testing.T, v int) {
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sse.Open(w, r, &sse.Options{Heartbeat: time.Millisecond})
			if err != nil {
				t.Error(err)
				return
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			for range 4 {
				wg.Go(func() { // ends with the stream
					for s.Send(sse.Event[string]{Data: "a\nb"}) == nil {
						time.Sleep(time.Millisecond)
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			s.Close()
		})).client(t, v)
		n := 0
		for e, err := range sse.Read(get(t, c, "/").Body, nil) {
			if n++; err != nil || e.Data != "a\nb" {
				t.Fatal(e, err)
			}
		}
		if n < 300 {
			t.Error(n)
		}
	})
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sse.Open(w, r, &sse.Options{Lifetime: time.Minute, Heartbeat: -1})
			if err != nil {
				t.Error(err)
				return
			}
			<-s.Context().Done()
			cause = context.Cause(s.Context())
			s.Close()
		})).client(t, 1)
		began := time.Now()
		linesOf(t, get(t, c, "/").Body).wantEnd(true)
		if d := time.Since(began); d < 48*time.Second || d > time.Minute || !strings.Contains(cause.Error(), "lifetime") {
			t.Error(d, cause)
		}
	})
}

// TestDetached: the handler returns, the stream stays.
func TestDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := make(chan *sse.Session, 1)
		srv := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Own", "1")
			s, err := sse.Open(w, r, &sse.Options{Detach: true})
			if err != nil {
				if !errors.Is(err, http.ErrNotSupported) {
					t.Error(err)
				}
				http.Error(w, "no", 501)
				return
			}
			sessions <- s
		}))
		c := srv.dial(t)
		defer c.Close()
		began := time.Now()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 5\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answers := make(chan answer)
		go func() { answers <- readAnswer(t, bufio.NewReader(c), false, -1, began) }()
		s := <-sessions
		for _, err := range []error{s.Send(sse.Event[string]{Data: s.LastEventID()}), s.Comment("x")} {
			if err != nil {
				t.Error(err)
			}
		}
		time.Sleep(20 * time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-s.Context().Done()
		a := <-answers
		if a.status != "HTTP/1.1 200 OK" || a.header.Get("X-Own") != "1" || a.header.Get("Content-Type") != "text/event-stream" || a.end != "last-chunk" || !a.closed ||
			!reflect.DeepEqual(a.chunks, []string{"data: 5\n\n", ": x\n", ":\n"}) || a.atEach[2] != 15*time.Second {
			t.Errorf("%+v", a)
		}

		c2 := srv.dial(t)
		if _, err := io.WriteString(c2, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(c2), nil); err != nil {
			t.Fatal(err)
		}
		s = <-sessions
		c2.Close()
		<-s.Context().Done()
		synctest.Wait()
		if err := s.Send(sse.Event[string]{}); err == nil {
			t.Error("sent to a client that has left")
		}
		if r := get(t, srv.client(t, 2), "/"); r.StatusCode != 501 {
			t.Error("HTTP/2:", r.StatusCode)
		}
		if a := srv.exchange(t, "GET / HTTP/1.0\r\n\r\n", -1); !strings.Contains(a.status, "501") {
			t.Error("HTTP/1.0:", a.status)
		}
	})
}

// TestDetachedNotReading: on a real socket too, who does not read is cut off.
func TestDetachedNotReading(t *testing.T) {
	result := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sse.Open(w, r, &sse.Options{Detach: true, WriteTimeout: 50 * time.Millisecond})
		if err != nil {
			result <- err
			return
		}
		go func() {
			for err == nil {
				err = s.Send(sse.Event[string]{Data: strings.Repeat("x", 1<<20)})
			}
			<-s.Context().Done()
			s.Close()
			result <- nil
		}()
	}))
	defer srv.Close()
	r, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
}
