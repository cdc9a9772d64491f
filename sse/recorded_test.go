package sse_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// dotnet are the options under which the recordings must come out.
var dotnet = &sse.Options{DotNet: true, Logger: discard}

// A chunk is recorded as text, as hex, or by its sum.
type chunk struct {
	text, sum string
	length    int
}

func (c *chunk) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &c.text) == nil {
		return nil
	}
	var v struct {
		Hex, SHA256 string
		Length      int
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	raw, err := hex.DecodeString(v.Hex)
	c.text, c.sum, c.length = string(raw), v.SHA256, v.Length
	return err
}

func (c chunk) is(s string) bool {
	if c.sum == "" {
		return s == c.text
	}
	sum := sha256.Sum256([]byte(s))
	return len(s) == c.length && hex.EncodeToString(sum[:]) == c.sum
}

type recordedExchange struct {
	Name, Request, ResponseHead string
	Chunks                      []chunk
	End, Connection             string
	Input                       json.RawMessage
	HeadMs                      *int
}

// header is the recorded head without what is Kestrel's.
func (x recordedExchange) header() (status string, h http.Header) {
	lines := strings.Split(strings.TrimSuffix(x.ResponseHead, "\r\n\r\n"), "\r\n")
	h = http.Header{}
	for _, l := range lines[1:] {
		if k, v, _ := strings.Cut(l, ": "); k != "Date" && k != "Server" {
			h.Add(k, v)
		}
	}
	return lines[0], h
}

// compare plays a recorded exchange.
func (x recordedExchange) compare(t *testing.T, h http.HandlerFunc) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		leave := -1
		if x.End == "client-closed" {
			leave = len(x.Chunks)
		}
		a := newServer(t, h).exchange(t, x.Request, leave)
		status, header := x.header()
		a.header.Del("Date")
		if strings.Contains(x.Request, "HTTP/1.0") {
			// Go answers in the version of the request, where the close goes without saying.
			status = strings.Replace(status, "HTTP/1.1", "HTTP/1.0", 1)
			header.Del("Connection")
		}
		if a.status != status || !reflect.DeepEqual(a.header, header) {
			t.Errorf("head:\ngot  %s %v\nwant %s %v", a.status, a.header, status, header)
		}
		got := a.chunks
		if a.end == "eof" && a.body != "" {
			got = []string{a.body}
		}
		if len(got) != len(x.Chunks) || a.end != x.End {
			t.Fatalf("got %d chunks %.200q and %s\nwant %d and %s", len(got), got, a.end, len(x.Chunks), x.End)
		}
		for i, c := range x.Chunks {
			if !c.is(got[i]) {
				t.Errorf("chunk %d: %.200q, want %.200q", i, got[i], c.text)
			}
		}
		if want := x.Connection == "closes" || x.End == "eof"; leave < 0 && a.closed != want {
			t.Errorf("the connection is closed: %v", a.closed)
		}
	})
}

func serveStrings(typ string, s ...string) http.HandlerFunc {
	return serve(sse.Values(typ, texts(s...)))
}

func serve[T any](events iter.Seq2[sse.Event[T], error]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { _ = sse.ServeWith(w, r, dotnet, events) }
}

// items is a source of values without a type.
func items[T any](v ...T) iter.Seq2[sse.Event[T], error] {
	return func(yield func(sse.Event[T], error) bool) {
		for _, v := range v {
			if !yield(sse.Event[T]{Data: v}, nil) {
				return
			}
		}
	}
}

// paced waits before each text and before the end.
func paced(ctx context.Context, d time.Duration, s ...string) iter.Seq2[sse.Event[string], error] {
	return func(yield func(sse.Event[string], error) bool) {
		for _, v := range s {
			if !pause(ctx, d) || !yield(sse.Event[string]{Data: v}, nil) {
				return
			}
		}
		pause(ctx, d)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// failing yields texts and then an error.
func failing(d time.Duration, err error, s ...string) iter.Seq2[sse.Event[string], error] {
	return func(yield func(sse.Event[string], error) bool) {
		for _, v := range s {
			if !yield(sse.Event[string]{Data: v}, nil) {
				return
			}
		}
		time.Sleep(d)
		yield(sse.Event[string]{}, err)
	}
}

// TestRecordedCases: items as TypedResults.ServerSentEvents sends them.
func TestRecordedCases(t *testing.T) {
	r := load[struct{ Exchanges []recordedExchange }](t, "server-cases.json")
	for _, x := range r.Exchanges {
		t.Run(x.Name, func(t *testing.T) {
			var in recordedInput
			if err := json.Unmarshal(x.Input, &in); err != nil {
				t.Fatal(err)
			}
			for i := range x.Chunks {
				x.Chunks[i].text = strings.Replace(x.Chunks[i].text, longestDotNet, longest, 1)
			}
			x.compare(t, serve(func(yield func(sse.Event[string], error) bool) {
				for _, i := range in.Items {
					if !yield(in.event(i), nil) {
						return
					}
				}
			}))
		})
	}
}

// TestRecordedHTTP1: pace, failures, verbs, headers and ends.
func TestRecordedHTTP1(t *testing.T) {
	any := serveStrings("", "a", "b")
	sources := map[string]http.HandlerFunc{
		"pace-burst": serveStrings("", "a", "b", "c", "d", "e"),
		"pace-yield": serveStrings("", "y0", "y1", "y2", "y3", "y4"),
		"pace-slow": func(w http.ResponseWriter, r *http.Request) {
			serve(paced(r.Context(), 250*time.Millisecond, "s0", "s1", "s2"))(w, r)
		},
		"pace-large":       serveStrings("", strings.Repeat("x", 100000), "tail"),
		"pace-large-lines": serveStrings("", strings.TrimSuffix(strings.Repeat("line\n", 3000), "\n")),
		"pace-count-100": serve(func(yield func(sse.Event[int], error) bool) {
			for i := range 100 {
				if !yield(sse.Event[int]{Type: "n", Data: i, ID: strconv.Itoa(i)}, nil) {
					return
				}
			}
		}),
		"fail-before-async": serve(failing(100*time.Millisecond, errTest)),
		"fail-mid-sync":     serve(failing(0, errTest, "ok0", "ok1")),
		"fail-mid-async":    serve(failing(100*time.Millisecond, errTest, "ok0", "ok1")),
		"fail-bad-type-cr":  serveStrings("a\rb", "x"),
		"fail-bad-item-mid": serve(func(yield func(sse.Event[string], error) bool) {
			_ = yield(sse.Event[string]{Type: "t", Data: "fine"}, nil) && yield(sse.Event[string]{Type: "a\nb"}, nil)
		}),
		"fail-operation-cancelled": serve(failing(0, context.Canceled, "one")),
		"http-any-get":             any, "http-any-head": any, "http-any-post": any, "http-no-accept": any, "http-10": any, "http-10-keepalive": any,
		"http-connection-close": any, "compression-result": any,
		"http-post-body": func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			serve(items(b))(w, r)
		},
		"http-preset-headers": func(w http.ResponseWriter, r *http.Request) {
			for _, h := range [][2]string{{"Cache-Control", "private"}, {"Pragma", "x"}, {"Content-Encoding", "br"}, {"X-Accel-Buffering", "no"}, {"Content-Type", "text/plain"}} {
				w.Header().Set(h[0], h[1])
			}
			serveStrings("", "a")(w, r)
		},
		"http-204": serve(failing(0, &sse.StatusError{Code: 204})),
	}
	for _, n := range []string{"", "-utf8"} {
		sources["http-last-event-id"+n] = func(w http.ResponseWriter, r *http.Request) { serveStrings("", sse.LastEventID(r))(w, r) }
	}
	for _, n := range []string{"first", "resume"} {
		sources["ticks-"+n] = func(w http.ResponseWriter, r *http.Request) {
			from := 0
			if id := sse.LastEventID(r); id != "" {
				from, _ = strconv.Atoi(id)
				from++
			}
			serve(func(yield func(sse.Event[string], error) bool) {
				for i := from; i < from+2; i++ {
					time.Sleep(30 * time.Millisecond)
					if !yield(sse.Event[string]{Type: "tick", Data: fmt.Sprint("tick ", i), ID: strconv.Itoa(i), Retry: 50 * time.Millisecond}, nil) {
						return
					}
				}
			})(w, r)
		}
	}
	// Not the result's affair but the router's: who answers a HEAD or POST on a
	// route for GET, and what an ordinary handler answers.
	others := []string{"http-get-only-head", "http-get-only-post", "http-info"}
	r := load[struct{ Exchanges []recordedExchange }](t, "server-http1.json")
	played := map[string]bool{}
	for _, x := range r.Exchanges {
		if slices.Contains(others, x.Name) || strings.HasPrefix(x.Name, "cancel-") { // the latter: TestLeaving
			continue
		}
		t.Run(x.Name, func(t *testing.T) {
			h, ok := sources[x.Name]
			if !ok {
				t.Fatal("no source")
			}
			played[x.Name] = true
			// The recording's JSON has the header's bytes one by one.
			x.Request = latin1(x.Request)
			x.compare(t, h)
		})
	}
	if len(played) != len(sources) {
		t.Errorf("played %d of %d: %v", len(played), len(sources), slices.Sorted(maps.Keys(sources)))
	}
}

// latin1 makes bytes of characters.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// TestRecordedPayloads: what is no string is JSON, but for bytes.
func TestRecordedPayloads(t *testing.T) {
	type M = map[string]any
	type object struct {
		Name  string `json:"name"`
		Value int    `json:"value"`
		Null  any    `json:"null"`
	}
	type text struct {
		S string `json:"s"`
	}
	type annotated struct {
		Name  string         `json:"X-Name"`
		Null  any            `json:"nullProp"`
		Upper string         `json:"abcName"`
		Map   map[string]int `json:"map"`
		Bytes []byte         `json:"bytes"`
	}
	type next struct {
		Next *next `json:"next"`
	}
	type one struct {
		A int `json:"a"`
	}
	cycle := &next{}
	cycle.Next = cycle
	typed := func(typ string, v any, id string, retry time.Duration) sse.Event[any] {
		return sse.Event[any]{Type: typ, Data: v, ID: id, Retry: retry}
	}
	seq := func(e ...sse.Event[any]) http.HandlerFunc {
		return serve(func(yield func(sse.Event[any], error) bool) {
			for _, e := range e {
				if !yield(e, nil) {
					return
				}
			}
		})
	}
	one1 := json.RawMessage("1.50")
	sources := map[string]http.HandlerFunc{
		"json-object":        serve(items(object{"Test", 42, nil})),
		"json-object-typed":  seq(typed("user", M{"name": "Test"}, "", 0)),
		"json-escapes":       serve(items(text{"<script>&'\"+\\/`=</script>"}, text{"héllo 世界"}, text{"\U0001F600 \u2028 \u2029 \u0085 \u007F \u00A0 \uFEFF"}, text{"\x00\x01\b\t\n\v\f\r\x1F"}, text{"lone \xFF surrogate"})),
		"json-int":           serve(items(1, 2)),
		"json-bool":          serve(items(true, false)),
		"json-decimal":       serve(items(one1, json.RawMessage("-0.1"))),
		"json-annotated":     serve(items(annotated{"a", nil, "u", map[string]int{"KeyOne": 1, "k<2>": 2}, []byte{1, 2, 250}})),
		"json-arrays":        serve(items[any]([]int{1, 2}, []string{"a", "b"}, M{"A": 1, "b": nil})),
		"json-derived":       serve(items[any](M{"name": "s"}, json.RawMessage(`{"radius":2,"name":"s"}`))),
		"json-objects-mixed": serve(items[any](json.RawMessage(`"text"`), 1, nil, []byte{1, 2, 3}, one{1})),
		"json-item-object":   seq(typed("t", one{1}, "1", time.Second), typed("t", json.RawMessage(`"str"`), "", 0), typed("", nil, "", 0)),
		"json-element":       serve(items[any](M{"a": 1, "b": "<é>"}, []int{1, 2})),
		"json-nan":           serve(items(1, math.NaN(), 2)),
		"json-nan-first":     serve(items(math.NaN(), 2)),
		"json-cycle":         serve(items(&next{}, cycle)),
		"bytes-plain":        serve(items([]byte("abc"), []byte("a\nb\r\nc\rd"), []byte{0xFF, 0xFE, 0x41}, []byte{}, []byte{0})),
		"bytes-typed":        serve(sse.Values("raw", func(yield func([]byte, error) bool) { _ = yield([]byte("abc"), nil) && yield([]byte("d\ne"), nil) })),
		"bytes-item":         seq(typed("raw", []byte("AB"), "1", 0), typed("raw", []byte(nil), "", 0)),
	}
	r := load[struct{ Exchanges []recordedExchange }](t, "server-payloads.json")
	played := 0
	for _, x := range r.Exchanges {
		// The rest is about other JSON options and types that Go does not have.
		if h, ok := sources[x.Name]; ok {
			played++
			t.Run(x.Name, func(t *testing.T) { x.compare(t, h) })
		}
	}
	if played != len(sources) {
		t.Errorf("%d of %d", played, len(sources))
	}
}

// TestRecordedHTTP2: the same over HTTP/2: status, headers, content and end.
func TestRecordedHTTP2(t *testing.T) {
	r := load[struct {
		Exchanges []struct {
			Name    string
			Request [][2]string
			Frames  []struct {
				Frame     string
				Headers   [][2]string
				Data      chunk
				Error     string
				EndStream bool
			}
		}
	}](t, "server-http2.json")
	any := serveStrings("", "a", "b")
	sources := map[string]http.HandlerFunc{
		"h2-strings": serveStrings("eventType1", "data1", "data2"),
		"h2-items": serve(func(yield func(sse.Event[string], error) bool) {
			_ = yield(sse.Event[string]{Type: "t", Data: "d1\nd2", ID: "7", Retry: 1234 * time.Millisecond}, nil) &&
				yield(sse.Event[string]{Type: "t", ID: "8", Retry: time.Millisecond}, nil)
		}),
		"h2-burst": serveStrings("", "a", "b", "c", "d", "e"), "h2-large": serveStrings("", strings.Repeat("x", 100000), "tail"),
		"h2-fail-before": serve(failing(100*time.Millisecond, errTest)), "h2-fail-mid-sync": serve(failing(0, errTest, "ok0", "ok1")),
		"h2-head": any, "h2-no-items": serveStrings(""),
		"h2-preset": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Accel-Buffering", "no")
			w.Header().Set("Content-Encoding", "br")
			serveStrings("", "a")(w, r)
		},
	}
	for _, x := range r.Exchanges {
		t.Run(x.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newServer(t, sources[x.Name]).client(t, 2)
				req, err := http.NewRequestWithContext(t.Context(), x.Request[0][1], "http://test/", nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer got.Body.Close()
				body, err := io.ReadAll(got.Body)
				status, header := "", http.Header{}
				want := ""
				reset, large := false, false
				for _, f := range x.Frames {
					switch f.Frame {
					case "HEADERS":
						for _, h := range f.Headers {
							switch h[0] {
							case ":status":
								status = h[1]
							case "date", "server":
							default:
								header.Set(h[0], h[1])
							}
						}
					case "DATA":
						want += f.Data.text
						large = large || f.Data.sum != ""
					case "RST_STREAM":
						reset = true
					}
				}
				if x.Name == "h2-fail-mid-sync" {
					want = "data: ok0\n\ndata: ok1\n\n" // .NET loses what was written just before the failure
				}
				if large {
					want = "data: " + strings.Repeat("x", 100000) + "\n\ndata: tail\n\n"
				}
				got.Header.Del("Date")
				if strconv.Itoa(got.StatusCode) != status || !reflect.DeepEqual(got.Header, header) {
					t.Errorf("head: %d %v, want %s %v", got.StatusCode, got.Header, status, header)
				}
				if string(body) != want || (err != nil) != reset || reset && !strings.Contains(err.Error(), "INTERNAL_ERROR") {
					t.Errorf("%.200q, %v; want %.200q", body, err, want)
				}
			})
		})
	}
}
