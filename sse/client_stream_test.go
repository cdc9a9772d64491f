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
