package jsonrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// Row 61: a batch of 100,000, and one at the bound.
func TestMaxBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), &jsonrpc.Options{MaxBatch: 100})
		for n, want := range map[int]int{100: 100, 101: 0, 100_000: 0} {
			r.send("[" + strings.Repeat(asked("null")+",", n-1) + asked("null") + "]")
			got := r.settle()
			if want == 0 {
				same(t, fmt.Sprint(n), got, "-32600 null")
			} else if len(got) != 1 || len(members(t, got[0])) != want {
				t.Errorf("%d: %d answers", n, len(got))
			}
			r.send("[" + strings.Repeat("1,", n-1) + "1]")
			got = r.settle()
			if want == 0 {
				same(t, fmt.Sprint(n), got, "-32600 null")
			} else if len(got) != 1 || len(members(t, got[0])) != want {
				t.Errorf("%d: %d answers", n, len(got))
			}
		}
		r.alive()
	})
}

// The answer to a batch has a bound: what goes beyond it is answered with errors.
func TestMaxBatchReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), &jsonrpc.Options{MaxBatchReply: 10_000})
		big := `"` + strings.Repeat("x", 3000) + `"`
		var in []string
		for i := range 10 {
			in = append(in, called(fmt.Sprint(i), "echo", "["+big+"]"))
		}
		r.send("[" + strings.Join(in, ",") + "]")
		got := r.settle()
		if len(got) != 1 || len(got[0]) > 12_000 {
			t.Fatalf("%d messages", len(got))
		}
		whole, refused := 0, 0
		ids := map[string]bool{}
		for _, m := range members(t, got[0]) {
			var a struct {
				ID     json.RawMessage
				Result string
				Error  *jsonrpc.Error
			}
			if err := json.Unmarshal([]byte(m), &a); err != nil {
				t.Fatal(err)
			}
			ids[string(a.ID)] = true
			switch {
			case len(a.Result) == 3000:
				whole++
			case a.Error != nil && a.Error.Code == jsonrpc.CodeUnserializable:
				refused++
			}
		}
		if whole != 3 || refused != 7 || len(ids) != 10 {
			t.Errorf("%d answers, %d errors, %d ids", whole, refused, len(ids))
		}
		r.alive()
	})
}

// Own calls that wait are bounded.
func TestMaxPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, nil, &jsonrpc.Options{MaxPending: 3})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 4)
		for range 4 {
			go func() { // ends with ctx
				_, err := text.Call(ctx, r.conn, "x")
				done <- err
			}()
		}
		err := <-done
		if e, ok := errors.AsType[*hubwire.Error](err); !ok || e.Code != hubwire.CodeResourceExhausted {
			t.Errorf("the fourth ends with %v", err)
		}
		if got := r.settle(); len(got) != 3 {
			t.Errorf("%d calls were sent", len(got))
		}
		cancel()
		for range 3 {
			<-done
		}
	})
}

// MaxCalls is how many run; the rest waits, and the reader does once 64 KiB wait.
func TestMaxCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), &jsonrpc.Options{MaxCalls: 2})
		sent := 0
		stopped := make(chan struct{})
		var written atomic.Int64
		go func() { // ends when all is read
			defer close(stopped)
			for i := range 2000 {
				r.send(called(fmt.Sprint(i), "wait", `["`+strings.Repeat("x", 100)+`"]`))
				written.Add(1)
			}
		}()
		r.settle()
		if n := len(g.begun); n != 2 {
			t.Errorf("%d calls run", n)
		}
		if sent = int(written.Load()); sent < 50 || sent > 400 {
			t.Errorf("the reader has taken %d calls that wait", sent)
		}
		close(g.open)
		got := r.settle()
		<-stopped
		got = append(got, r.settle()...)
		if len(got) != 2000 {
			t.Errorf("%d answers", len(got))
		}
		r.alive()
	})
}

// What waits behind a notification holds the reader back too.
func TestBarrierHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), nil)
		var written atomic.Int64
		stopped := make(chan struct{})
		r.send(note("slow", `["n"]`))
		go func() { // ends when all is read
			defer close(stopped)
			for i := range 2000 {
				r.send(called(fmt.Sprint(i), "echo", `["`+strings.Repeat("x", 100)+`"]`))
				written.Add(1)
			}
		}()
		same(t, "held", r.settle())
		if n := written.Load(); n < 50 || n > 400 {
			t.Errorf("the reader has taken %d calls that wait", n)
		}
		close(g.open)
		<-stopped
		if got := r.settle(); len(got) != 2000 {
			t.Errorf("%d answers", len(got))
		}
		r.alive()
	})
}

// A peer that calls and does not read is held back, and closed in the end.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(&hubwire.Options{Logger: quiet, Queue: hubwire.Queue{Bytes: 64 << 10, Stall: 10 * time.Second}})
		hub.Handle(echo.With(func(_ context.Context, _ *hubwire.Conn, v json.RawMessage) (json.RawMessage, error) { return v, nil }))
		a, b := duplex()
		conn := jsonrpc.NewConn(a, hub, nil)
		var written atomic.Int64
		stopped := make(chan struct{})
		go func() { // ends with the connection
			defer close(stopped)
			for {
				body := called(fmt.Sprint(written.Load()), "echo", `["`+strings.Repeat("x", 1000)+`"]`)
				if _, err := b.Write([]byte(frame(jsonrpc.Header, body))); err != nil {
					return
				}
				written.Add(1)
			}
		}()
		synctest.Wait()
		if n := written.Load(); n > 1000 {
			t.Errorf("%d calls were taken of a peer that does not read", n)
		}
		<-conn.Done() // when the write has stood still
		<-stopped
		if err := conn.Err(); !errors.Is(err, hubwire.ErrSlow) {
			t.Errorf("ended with %v", err)
		}
		_ = b.Close()
	})
}

// Names of methods and ids may be large; errors about them are small.
func TestErrorsAreSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), nil)
		r.send(called("1", strings.Repeat("m", 1<<20), `[]`), called("2", "text", nested(900, `"x"`)), strings.Repeat("{", 1<<20))
		for _, got := range r.settle() {
			if len(got) > 1<<10 {
				t.Errorf("an error of %d bytes: %.100s", len(got), got)
			}
		}
		r.alive()
	})
}

// Row 64: calls that call back, each within the last, to a depth of 10,000. They
// end with an answer or an error at some depth, and both connections live.
func TestCallCycles(t *testing.T) {
	const down hubwire.Method[int, int] = "down"
	const back hubwire.ClientMethod[int, int] = "back"
	for depth, whole := range map[int]bool{1500: true, 10_000: false} {
		if raced && !whole {
			continue // the race detector has no room for so many goroutines
		}
		var deepest atomic.Int64
		hub := hubwire.New(&hubwire.Options{Logger: quiet})
		hub.Handle(down.With(func(ctx context.Context, c *hubwire.Conn, n int) (int, error) {
			deepest.Store(max(deepest.Load(), int64(n)))
			return back.Call(ctx, c, n)
		}))
		client := make(chan *jsonrpc.Conn, 1)
		_, b := pairOf(t, hub, nil, nil, &jsonrpc.Options{Handlers: []hubwire.ClientHandler{
			back.With(func(ctx context.Context, n int) (int, error) {
				if n >= depth {
					return n, nil
				}
				conn := <-client
				client <- conn
				return down.Call(ctx, conn, n+1)
			}),
		}})
		client <- b
		n, err := down.Call(t.Context(), b, 1)
		switch {
		case err == nil && n != depth:
			t.Errorf("the answer is %d", n)
		case whole && err != nil, deepest.Load() < 1500:
			t.Errorf("ended at depth %d of %d with %v", deepest.Load(), depth, err)
		}
		if n, err := down.Call(t.Context(), b, depth); err != nil || n != depth {
			t.Errorf("afterwards: %d, %v", n, err)
		}
	}
}

// Close fails what waits, cancels what runs, and leaves nothing.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		a, b := pairOf(t, newHub(g), nil, nil, nil)
		failed := make(chan error, 1)
		go func() { // ends with the connection
			_, err := wait.Call(t.Context(), b, "x")
			failed <- err
		}()
		<-g.begun
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("the call ends with %v", err)
		}
		<-a.Done()
		if a.Err() != nil || b.Err() != nil {
			t.Errorf("ended with %v and %v", a.Err(), b.Err())
		}
		if _, err := ping.Call(t.Context(), b, hubwire.None{}); !errors.Is(err, hubwire.ErrClosed) {
			t.Error(err)
		}
		if err := update.Send(t.Context(), b, nil); !errors.Is(err, hubwire.ErrClosed) {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What was sent before Close arrives.
func TestCloseSendsWhatWaits(t *testing.T) {
	const count hubwire.Command[int] = "count"
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			a, b := pairOf(t, newHub(nil, count.With(func(context.Context, *hubwire.Conn, int) error { n.Add(1); return nil })), nil, nil, nil)
			for i := range 100 {
				if err := count.Send(t.Context(), b, i); err != nil {
					t.Fatal(err)
				}
			}
			_ = b.Close()
			<-a.Done()
			if n.Load() != 100 {
				t.Errorf("%d of 100 arrived", n.Load())
			}
		})
	}
}

// A handler ends its own connection: Abort at once; Close, which waits for the
// handler that calls it, once the hub has given that up.
func TestCloseInHandler(t *testing.T) {
	const abort hubwire.Method[hubwire.None, int] = "abort"
	const closes hubwire.Method[hubwire.None, int] = "close"
	for _, m := range []hubwire.Method[hubwire.None, int]{abort, closes} {
		synctest.Test(t, func(t *testing.T) {
			var self atomic.Pointer[jsonrpc.Conn]
			returned := make(chan struct{})
			a, b := pairOf(t, newHub(nil,
				abort.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (int, error) {
					defer close(returned)
					c.Abort()
					return 1, nil
				}),
				closes.With(func(context.Context, *hubwire.Conn, hubwire.None) (int, error) {
					defer close(returned)
					return 1, self.Load().Close()
				})), nil, nil, nil)
			self.Store(a)
			begin := time.Now()
			if _, err := m.Call(t.Context(), b, hubwire.None{}); err != nil && !errors.Is(err, hubwire.ErrClosed) {
				t.Errorf("the call ends with %v", err) // its answer may have been quicker
			}
			<-a.Done()
			<-b.Done()
			<-returned
			if d := time.Since(begin); m == abort && d > time.Second || d > time.Minute {
				t.Errorf("%s took %v", m, d)
			}
		})
	}
}

// A peer that goes in the middle of calls, both ways, many times: nothing is left
// (TestMain looks), and every call ends.
func TestPeerLeaves(t *testing.T) {
	const back hubwire.ClientMethod[string, string] = "back"
	for i := range 20 {
		synctest.Test(t, func(t *testing.T) {
			g := newGated()
			asks := make(chan error, 10)
			const asking hubwire.Method[hubwire.None, string] = "asking"
			hub := newHub(g, asking.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) {
				s, err := back.Call(ctx, c, "x")
				asks <- err
				return s, err
			}))
			x, y := duplex()
			a := jsonrpc.NewConn(x, hub, nil)
			b := jsonrpc.NewConn(y, nil, &jsonrpc.Options{Handlers: []hubwire.ClientHandler{
				back.With(func(ctx context.Context, s string) (string, error) { return g.wait(ctx, nil, s) }),
			}})
			ended := make(chan error, 20)
			for range 10 {
				go func() { _, err := wait.Call(t.Context(), b, "w"); ended <- err }()              // ends with the connection
				go func() { _, err := asking.Call(t.Context(), b, hubwire.None{}); ended <- err }() // likewise
			}
			synctest.Wait()
			if i%2 == 0 {
				_ = x.Close()
			} else {
				_ = y.Close()
			}
			for range 20 {
				if err := <-ended; err == nil {
					t.Error("a call has a result")
				}
			}
			for range 10 {
				if err := <-asks; err == nil {
					t.Error("a question has an answer")
				}
			}
			<-a.Done()
			<-b.Done()
			_, _ = x.Close(), y.Close()
		})
	}
}

// A hub that refuses: Err says so, and calls fail.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(&hubwire.Options{Logger: quiet, Connect: func(context.Context, *hubwire.Conn) error {
			return hubwire.Errorf(hubwire.CodePermissionDenied, "not you")
		}})
		a, b := pairOf(t, hub, nil, nil, nil)
		<-a.Done()
		<-b.Done()
		if err := a.Err(); err == nil || !strings.Contains(err.Error(), "not you") {
			t.Error(err)
		}
		if _, err := ping.Call(t.Context(), a, hubwire.None{}); err == nil {
			t.Error("a refused connection calls")
		}
		if a.Hub() != nil {
			t.Error("a refused connection is the hub's")
		}
	})
}

// A shutdown of the hub ends its connections once their calls have ended.
func TestHubShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		hub := newHub(g)
		r := serveRaw(t, hub, nil)
		r.send(called("1", "wait", `["x"]`))
		r.settle()
		down := make(chan error, 1)
		go func() { down <- hub.Shutdown(t.Context()) }() // ends with the call
		synctest.Wait()
		r.send(called("2", "ping", `[]`))
		same(t, "during the shutdown", r.settle(), "14 2")
		close(g.open)
		if err := <-down; err != nil {
			t.Error(err)
		}
		same(t, "the call's answer", r.settle(), result("1", `"x"`))
		<-r.conn.Done()
	})
}

// An idle connection has one goroutine.
func TestGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(nil)
		before := runtime.NumGoroutine()
		a, b := duplex()
		conn := jsonrpc.NewConn(a, hub, nil)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 1 {
			t.Errorf("%d goroutines", n)
		}
		_ = b.Close()
		<-conn.Done()
	})
}

// Batches of ours: every call has its own outcome, in whatever order the answers
// come, and none is sent for an empty one.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, newHub(nil), nil, nil, nil)
		_ = a
		batch := b.Batch()
		var diff int
		var s string
		errDiff := jsonrpc.Add(batch, subtract, pair{Minuend: 5, Subtrahend: 2}, &diff)
		errText := jsonrpc.Add(batch, text, "hi", &s)
		var none string
		const missing hubwire.Method[hubwire.None, string] = "missing"
		errNone := jsonrpc.Add(batch, missing, hubwire.None{}, &none)
		if err := jsonrpc.Notify(batch, update, hubwire.List{1, 2}); err != nil {
			t.Error(err)
		}
		if err := batch.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		if *errDiff != nil || diff != 3 || *errText != nil || s != "hi" {
			t.Error(*errDiff, diff, *errText, s)
		}
		if e, ok := errors.AsType[*jsonrpc.Error](*errNone); !ok || e.Code != jsonrpc.CodeMethodNotFound {
			t.Error(*errNone)
		}
		if err := b.Batch().Send(t.Context()); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, nil, &jsonrpc.Options{Framing: jsonrpc.Newline})
		for name, reply := range map[string]string{
			"an array, the other way": `[{"jsonrpc":"2.0","id":ID2,"result":"b"},{"jsonrpc":"2.0","id":ID1,"result":"a"}]`,
			"alone":                   "{\"jsonrpc\":\"2.0\",\"id\":ID2,\"result\":\"b\"}\n{\"jsonrpc\":\"2.0\",\"id\":ID1,\"result\":\"a\"}",
		} {
			batch := r.conn.Batch()
			var x, y string
			errX, errY := jsonrpc.Add(batch, text, "1", &x), jsonrpc.Add(batch, text, "2", &y)
			done := make(chan error, 1)
			go func() { done <- batch.Send(t.Context()) }() // ends with the answers
			got := r.settle()
			if len(got) != 1 {
				t.Fatalf("%s: %q", name, got)
			}
			var sent []struct{ ID json.Number }
			if err := json.Unmarshal([]byte(got[0]), &sent); err != nil || len(sent) != 2 {
				t.Fatalf("%s: %s", name, got[0])
			}
			r.send(strings.NewReplacer("ID1", sent[0].ID.String(), "ID2", sent[1].ID.String()).Replace(reply))
			if err := <-done; err != nil || *errX != nil || *errY != nil || x != "a" || y != "b" {
				t.Errorf("%s: %v, %v %q, %v %q", name, err, *errX, x, *errY, y)
			}
		}
		// A peer without batches answers with one error, and no id.
		batch := r.conn.Batch()
		var x string
		jsonrpc.Add(batch, text, "1", &x)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := batch.Send(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if got := r.settle(); len(got) != 2 || !strings.Contains(got[1], "$/cancelRequest") {
			t.Errorf("a batch that was given up: %q", got)
		}
	})
}
