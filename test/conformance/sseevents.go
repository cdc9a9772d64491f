package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// Server-Sent Events without a hub: what TypedResults.ServerSentEvents of .NET
// sends at the same paths, byte for byte.

// asDotNet makes the streams those of .NET.
var asDotNet = &sse.Options{DotNet: true}

type (
	events = iter.Seq2[sse.Event[string], error]
	list   = []sse.Event[string]
)

// cases are streams of few events.
var cases = map[string]list{
	"string-plain":          {{Data: "data1"}, {Data: "data3"}},
	"string-typed":          {{Type: "eventType1", Data: "data1"}, {Type: "eventType1", Data: "data2"}},
	"string-type-message":   {{Type: "message", Data: "x"}},
	"string-empty":          {{}, {Data: "after"}},
	"string-null":           {{}, {Data: "after"}},
	"string-null-typed":     {{Type: "n"}},
	"string-cr":             {{Data: "a\rb"}, {Data: "a\rb\r"}, {Data: "\ra"}, {Data: "\r"}, {Data: "\r\r"}},
	"string-crlf":           {{Data: "a\r\nb"}, {Data: "a\r\nb\r\n"}, {Data: "\r\na"}, {Data: "\r\n"}, {Data: "\r\n\r\n"}},
	"string-mixed-breaks":   {{Data: "a\n\rb"}, {Data: "a\r\r\nb"}, {Data: "a\r\n\nb"}, {Data: "x\u0085y\u2028z\u2029w\u000bv\u000cu"}},
	"string-nul":            {{Data: "a\u0000b"}},
	"string-unicode":        {{Data: "héllo 世界 😀 \u0000e1"}, {Data: "\ufeffbom"}, {Data: "\u202eabc"}},
	"string-json-chars":     {{Data: "<script>&'\"+\\</script>"}},
	"string-no-items":       {},
	"item-type":             {{Type: "t", Data: "d"}, {Data: "d", Set: sse.TypeField}, {Data: "d"}, {Type: "message", Data: "d"}},
	"item-type-odd":         {{Type: "a:b", Data: "d"}, {Type: " lead", Data: "d"}, {Type: "trail ", Data: "d"}, {Type: "hé 😀", Data: "d"}, {Type: "nul\u0000x", Data: "d"}},
	"item-id":               {{Type: "t", Data: "d", ID: "id4"}, {Data: "d", Set: sse.IDField}, {Data: "d", ID: "a:b c"}, {Data: "d", ID: " lead"}, {Data: "d", ID: "hé"}},
	"item-retry":            {retry(300 * time.Millisecond), retry(0), retry(100), retry(999900), retry(1999900), retry(1000500 * time.Microsecond), retry(24 * time.Hour), retry(math.MaxInt64)},
	"item-all":              {{Type: "t", Data: "d1\nd2", ID: "7", Retry: 1234567800}, {Type: "t", ID: "8", Retry: time.Millisecond}},
	"item-empty-everything": {{Set: sse.TypeField | sse.IDField}},
	"item-no-items":         {},
	"item-retry-only":       {{Retry: 5 * time.Second}},
}

func retry(d time.Duration) sse.Event[string] {
	return sse.Event[string]{Data: "d", Retry: d, Set: sse.RetryField}
}

// mountEvents serves the streams on mux.
func mountEvents(mux *http.ServeMux) {
	mux.HandleFunc("/case/{name}", func(w http.ResponseWriter, r *http.Request) {
		all, ok := cases[r.PathValue("name")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		serve(w, r, of(all...))
	})
	mux.HandleFunc("/pace/{name}", func(w http.ResponseWriter, r *http.Request) { serve(w, r, pace(r.Context(), r.PathValue("name"))) })
	mux.HandleFunc("/pace/count/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		_ = sse.ServeWith(w, r, asDotNet, func(yield func(sse.Event[int], error) bool) {
			for i := range n {
				if !yield(sse.Event[int]{Type: "n", Data: i, ID: strconv.Itoa(i)}, nil) {
					return
				}
			}
		})
	})
	mux.HandleFunc("/pace/ticks/{n}/{ms}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		ms, _ := strconv.Atoi(r.PathValue("ms"))
		serve(w, r, ticks(r.Context(), sse.LastEventID(r), n, time.Duration(ms)*time.Millisecond))
	})
	mux.HandleFunc("/fail/{how}", func(w http.ResponseWriter, r *http.Request) { serve(w, r, failing(r.Context(), r.PathValue("how"))) })
	mux.HandleFunc("/http/any", func(w http.ResponseWriter, r *http.Request) { serve(w, r, texts("a", "b")) })
	mux.HandleFunc("/http/get-only", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet { // a pattern with GET takes HEAD too, and ASP.NET Core's does not
			w.Header().Set("Allow", "GET")
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		serve(w, r, texts("a", "b"))
	})
	mux.HandleFunc("POST /http/post", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		serve(w, r, texts(string(b)))
	})
	mux.HandleFunc("/http/preset", func(w http.ResponseWriter, r *http.Request) {
		for k, v := range map[string]string{"Cache-Control": "private", "Pragma": "x", "Content-Encoding": "br", "X-Accel-Buffering": "no", "Content-Type": "text/plain"} {
			w.Header().Set(k, v)
		}
		serve(w, r, texts("a"))
	})
	mux.HandleFunc("/http/last-event-id", func(w http.ResponseWriter, r *http.Request) { serve(w, r, texts(sse.LastEventID(r))) })
	mux.HandleFunc("/http/no-content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/http/info", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, http.StatusOK)
	})
	mux.HandleFunc("/compressed/strings", func(w http.ResponseWriter, r *http.Request) { serve(w, r, texts("a", "b")) })
	for _, how := range []string{"run", "items", "deaf"} {
		mux.HandleFunc("/cancel/"+how+"/{key}", func(w http.ResponseWriter, r *http.Request) { serve(w, r, waiting(r.Context(), how)) })
	}
}

// serve answers with events. Why a stream ended early is for the log, which Serve
// writes.
func serve(w http.ResponseWriter, r *http.Request, all events) {
	_ = sse.ServeWith(w, r, asDotNet, all)
}

func of(all ...sse.Event[string]) events {
	return func(yield func(sse.Event[string], error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func texts(all ...string) events {
	return func(yield func(sse.Event[string], error) bool) {
		for _, s := range all {
			if !yield(sse.Event[string]{Data: s}, nil) {
				return
			}
		}
	}
}

// pause waits; it reports false if the client left.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func pace(ctx context.Context, name string) events {
	switch name {
	case "burst":
		return texts("a", "b", "c", "d", "e")
	case "yield":
		return texts("y0", "y1", "y2", "y3", "y4")
	case "large":
		return texts(strings.Repeat("x", 100_000), "tail")
	case "large-lines":
		return texts(strings.Repeat("line\n", 2999) + "line")
	}
	return func(yield func(sse.Event[string], error) bool) { // slow
		for i := range 3 {
			if !pause(ctx, 250*time.Millisecond) || !yield(sse.Event[string]{Data: fmt.Sprint("s", i)}, nil) {
				return
			}
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// ticks goes on behind the event that a client saw last.
func ticks(ctx context.Context, last string, n int, d time.Duration) events {
	from := 0
	if i, err := strconv.Atoi(last); err == nil {
		from = i + 1
	}
	return func(yield func(sse.Event[string], error) bool) {
		for i := from; i < from+n; i++ {
			e := sse.Event[string]{Type: "tick", Data: fmt.Sprint("tick ", i), ID: strconv.Itoa(i), Retry: 50 * time.Millisecond}
			if !pause(ctx, d) || !yield(e, nil) {
				return
			}
		}
	}
}

// failing ends with an error.
func failing(ctx context.Context, how string) events {
	failed := errors.New("the source failed")
	return func(yield func(sse.Event[string], error) bool) {
		ok := func(e sse.Event[string]) bool { return yield(e, nil) }
		switch how {
		case "before-async":
			pause(ctx, 100*time.Millisecond)
		case "mid-async":
			if !ok(sse.Event[string]{Data: "ok0"}) || !ok(sse.Event[string]{Data: "ok1"}) || !pause(ctx, 100*time.Millisecond) {
				return
			}
		case "bad-type-cr":
			ok(sse.Event[string]{Type: "a\rb", Data: "x"})
			return
		case "bad-item-mid":
			_ = ok(sse.Event[string]{Type: "t", Data: "fine"}) && ok(sse.Event[string]{Type: "a\nb"})
			return
		case "operation-cancelled":
			failed = context.Canceled
			if !ok(sse.Event[string]{Data: "one"}) {
				return
			}
		default: // mid-sync
			if !ok(sse.Event[string]{Data: "ok0"}) || !ok(sse.Event[string]{Data: "ok1"}) {
				return
			}
		}
		yield(sse.Event[string]{}, failed)
	}
}

// waiting goes on until the client leaves. A deaf source notices late.
func waiting(ctx context.Context, how string) events {
	return func(yield func(sse.Event[string], error) bool) {
		if how == "deaf" {
			if yield(sse.Event[string]{Data: "d0"}, nil) && yield(sse.Event[string]{Data: "d1"}, nil) {
				time.Sleep(1500 * time.Millisecond)
			}
			return
		}
		for i := 0; pause(ctx, 20*time.Millisecond) && yield(sse.Event[string]{Data: fmt.Sprint("w", i)}, nil); i++ {
		}
	}
}
