package jsonrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

func called(id, method, params string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`
}

func note(method, params string) string {
	return `{"jsonrpc":"2.0","method":"` + method + `","params":` + params + `}`
}

// 49: an id that is in use is refused, and the first call goes on and can be
// cancelled. Once it was answered the id is free.
func TestIDTwiceInFlight(t *testing.T) {
	for _, id := range []string{`49`, `-0`, `"x"`, `1.5`, `49.0`, `123456789012345678901234567890`} {
		synctest.Test(t, func(t *testing.T) {
			g := newGated()
			r := serveRaw(t, newHub(g), nil)
			r.send(called(id, "wait", `["first"]`), called(id, "wait", `["second"]`), called(id, "none", `[]`))
			same(t, "the second", r.settle(), "-32600 "+id, "-32601 "+id)
			r.send(note("$/cancelRequest", `{"id":`+id+`}`))
			same(t, "the first", r.settle(), "-32800 "+id)
			r.send(called(id, "ping", `[]`))
			same(t, "afterwards", r.settle(), pong(id))
			if len(g.begun) != 1 {
				t.Errorf("%d calls ran", len(g.begun))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // ids of other types are other ids; null is none
		g := newGated()
		r := serveRaw(t, newHub(g), nil)
		ids := []string{`1`, `"1"`, `1.0`, `1e0`, `null`, `null`}
		for _, id := range ids {
			r.send(called(id, "wait", `["x"]`))
		}
		same(t, "running", r.settle())
		close(g.open)
		var want []string
		for _, id := range ids {
			want = append(want, result(id, `"x"`))
		}
		same(t, "all", r.settle(), want...)
	})
}

// Ids come back byte for byte, in every kind of answer.
func TestIDsAsTheyCame(t *testing.T) {
	ids := []string{`0`, `-0`, `-1`, `1.0`, `1.50`, `1E+2`, `1e-7`, `-0.0`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`,
		`""`, `"a"`, `"1"`, `"\u00e9"`, `"é"`, `"\ud83d\ude00"`, `"😀"`, `"\/"`, `"/"`, `"\udc00"`, `"\u0000"`, `"null"`, `"<&>"`, `null`}
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), nil)
		for _, id := range ids {
			r.send(called(id, "ping", `[]`), called(id, "none", `[]`), called(id, "ping", `[1]`), called(id, "ping", `3`),
				`[`+called(id, "ping", `[]`)+`]`, called(id, "$/enumerator/next", `[7]`), called(id, "$/cancelRequest", `[7]`))
			same(t, id, r.settle(), pong(id), "-32601 "+id, "-32602 "+id, "-32600 "+id, `[`+pong(id)+`]`, "-32001 "+id, result(id, "null"))
			if id == "null" {
				continue
			}
			r.send(called(id, "wait", `["x"]`), note("$/cancelRequest", `[`+id+`]`))
			same(t, "cancelled "+id, r.settle(), "-32800 "+id)
		}
	})
}

// Answers are never answered, whatever they look like: not even errors about
// errors, which two peers would send each other for ever.
func TestAnswersAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), nil)
		all := []string{
			`{"jsonrpc":"2.0","id":1,"result":1}`, `{"jsonrpc":"2.0","id":1,"result":null}`, `{"jsonrpc":"2.0","id":"1","result":{}}`,
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`, `{"jsonrpc":"2.0","error":{}}`, `{"id":1,"result":1}`,
			`{"jsonrpc":"1.0","id":true,"result":1}`, `{"jsonrpc":"2.0","id":[],"error":5}`, `{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}`,
			`{"jsonrpc":"2.0","id":1,"result":1,"result":2,"params":5}`, `{"jsonrpc":"2.0","result":1}`, `{"jsonrpc":"2.0","id":1.5,"error":{"message":1}}`,
		}
		r.send(all...)
		same(t, "answers", r.settle())
		// A string may be the id of a question that the hub has given up.
		if n := r.conn.Ignored(); n != int64(len(all))-1 {
			t.Errorf("%d were counted of %d", n, len(all)-1)
		}
		r.alive()
	})
}

// Two connections of ours, joined by a stream that breaks one message, do not talk
// themselves to death.
func TestNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), nil)
		r.send("{")
		got := r.settle()
		same(t, "broken", got, "-32700 null")
		r.send(got...) // the other end, if it were one of ours, gets this
		same(t, "its error", r.settle())
	})
}

// The peer cancels: by name or position, whatever else is among the parameters;
// unknown, finished and odd ids mean nothing.
func TestCancelByPeer(t *testing.T) {
	for _, params := range []string{`{"id":7}`, `[7]`, `{"reason":"x","id":7}`, `{"id":7,"x":[]}`, `[7,8]`} {
		synctest.Test(t, func(t *testing.T) {
			g := newGated()
			r := serveRaw(t, newHub(g), nil)
			r.send(called("7", "wait", `["x"]`))
			same(t, "before", r.settle())
			for _, odd := range []string{`{"id":"7"}`, `{"id":8}`, `{"id":null}`, `{"id":{}}`, `{"ID":7}`, `{}`, `[]`, `null`, `["7"]`, `[7.0]`, `[70]`, `{"id":{"id":7}}`} {
				r.send(note("$/cancelRequest", odd))
			}
			r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest"}`)
			same(t, "odd ones", r.settle())
			r.send(note("$/cancelRequest", params))
			same(t, params, r.settle(), "-32800 7")
			r.send(note("$/cancelRequest", params)) // finished
			same(t, "again", r.settle())
			r.alive()
		})
	}
	synctest.Test(t, func(t *testing.T) { // while it waits for its turn
		g := newGated()
		r := serveRaw(t, newHub(g), &jsonrpc.Options{Order: jsonrpc.Serial})
		r.send(called("1", "wait", `["a"]`), called("2", "wait", `["b"]`), note("$/cancelRequest", `[2]`))
		same(t, "both", r.settle())
		g.open <- struct{}{}
		same(t, "both", r.settle(), result("1", `"a"`), "-32800 2")
		r.alive()
	})
	synctest.Test(t, func(t *testing.T) { // before what is behind a notification
		g := newGated()
		r := serveRaw(t, newHub(g), nil)
		r.send(note("slow", `["n"]`), called("2", "wait", `["b"]`), note("$/cancelRequest", `[2]`))
		same(t, "held", r.settle())
		g.open <- struct{}{}
		same(t, "held", r.settle(), "-32800 2")
	})
	synctest.Test(t, func(t *testing.T) { // a cancel that is a request, and one in a batch
		g := newGated()
		r := serveRaw(t, newHub(g), nil)
		r.send(called("1", "wait", `["a"]`), called("9", "$/cancelRequest", `{"id":1}`))
		same(t, "as a request", r.settle(), "-32800 1", result("9", "null"))
		r.send(`[` + called("1", "wait", `["a"]`) + `,` + note("$/cancelRequest", `{"id":1}`) + `,` + asked("2") + `]`)
		got := r.settle()
		if len(got) != 1 {
			t.Fatalf("%q", got)
		}
		same(t, "in a batch", members(t, got[0]), "-32800 1", pong("2"))
	})
}

// MCP's habits: another name, another key, and no answer to what was cancelled.
func TestCancelWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), jsonrpc.MCP())
		r.send(called(`"a"`, "wait", `["x"]`), called("1", "wait", `["y"]`))
		r.settle()
		r.send(note("$/cancelRequest", `{"id":1}`), note("notifications/cancelled", `{"id":1}`))
		same(t, "the other habit", r.settle())
		r.send(note("notifications/cancelled", `{"requestId":"a","reason":"enough"}`), note("notifications/cancelled", `{"requestId":1}`))
		same(t, "cancelled", r.settle())
		close(g.open)
		same(t, "later", r.settle())
		r.send(`[` + called("5", "ping", `{}`) + `]`) // 2025-03-26 has batches
		same(t, "a batch", r.settle(), `[`+pong("5")+`]`)
		r.alive()
	})
}

// A call of ours ends with its context, and the peer is told once.
func TestCancelByUs(t *testing.T) {
	for _, c := range []struct {
		opts *jsonrpc.Options
		want string
	}{
		{nil, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`},
		{jsonrpc.MCP(), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`},
		{&jsonrpc.Options{Version1: true}, `{"method":"$/cancelRequest","params":[1],"id":null}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := serveRaw(t, nil, c.opts)
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() { // ends with the call
				_, err := text.Call(ctx, r.conn, "x")
				failed <- err
			}()
			if got := r.settle(); len(got) != 1 || !strings.Contains(got[0], `"method":"text"`) {
				t.Fatalf("called with %q", got)
			}
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("the call ends with %v", err)
			}
			same(t, "cancel", r.settle(), c.want)
			r.send(`{"jsonrpc":"2.0","id":1,"result":"late"}`)
			same(t, "late", r.settle())
			if r.conn.Ignored() != 1 {
				t.Error("an answer that is late was not counted")
			}
			// A context that has ended sends nothing.
			if _, err := text.Call(ctx, r.conn, "x"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			same(t, "nothing", r.settle())
		})
	}
}

// A cancel goes through to a handler at the other end.
func TestCancelBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		a, b := pairOf(t, newHub(g), nil, nil, nil)
		for _, to := range []*jsonrpc.Conn{b} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := wait.Call(ctx, to, "x")
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n := len(g.begun); n != 1 {
			t.Errorf("%d began", n)
		}
		_, _ = a, b
	})
}

// Barrier: what comes behind a notification begins after it has ended, and what is
// in front of it may still run. Requests run beside each other.
func TestBarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), nil)
		r.send(called("1", "wait", `["r1"]`), called("2", "wait", `["r2"]`), note("slow", `["n1"]`), called("3", "wait", `["r3"]`), note("slow", `["n2"]`), note("slow", `["n3"]`), called("4", "wait", `["r4"]`), asked("5"))
		same(t, "nothing yet", r.settle())
		wantBegun(t, g, "n1", "r1", "r2")
		// Answers and cancels pass the barrier.
		r.send(note("$/cancelRequest", `[1]`), `{"jsonrpc":"2.0","id":9,"result":1}`)
		same(t, "a cancel", r.settle(), "-32800 1")
		r.send(note("$/cancelRequest", `[2]`))
		same(t, "a cancel", r.settle(), "-32800 2")
		g.open <- struct{}{} // n1
		same(t, "n1 ended", r.settle())
		wantBegun(t, g, "n2", "r3")
		r.send(note("$/cancelRequest", `[3]`))
		same(t, "r3", r.settle(), "-32800 3")
		g.open <- struct{}{} // n2
		same(t, "n2 ended", r.settle())
		wantBegun(t, g, "n3")
		g.open <- struct{}{} // n3
		same(t, "n3 ended", r.settle(), pong("5"))
		wantBegun(t, g, "r4")
		close(g.open)
		same(t, "the end", r.settle(), result("4", `"r4"`))
	})
}

func wantBegun(t *testing.T, g *gated, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for len(g.begun) > 0 {
		got = append(got, <-g.begun)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("began %q, want %q", got, want)
	}
}

// Serial: one at a time, in order.
func TestSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), &jsonrpc.Options{Order: jsonrpc.Serial})
		r.send(called("1", "wait", `["a"]`), note("slow", `["b"]`), called("3", "wait", `["c"]`))
		for _, name := range []string{"a", "b", "c"} {
			r.settle()
			wantBegun(t, g, name)
			g.open <- struct{}{}
		}
		same(t, "the last", r.settle(), result("3", `"c"`))
		r.alive()
	})
}

// Unordered: nothing waits for anything, but for places.
func TestUnordered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), &jsonrpc.Options{Order: jsonrpc.Unordered, MaxCalls: 3})
		r.send(note("slow", `["a"]`), called("1", "wait", `["b"]`), note("slow", `["c"]`), called("2", "wait", `["d"]`), asked("3"))
		same(t, "running", r.settle())
		wantBegun(t, g, "a", "b", "c")
		r.send(note("$/cancelRequest", `[1]`))
		same(t, "one less", r.settle(), "-32800 1")
		wantBegun(t, g, "d")
		close(g.open)
		same(t, "the end", r.settle(), result("2", `"d"`), pong("3"))
	})
}

// HubOrder is what the hub says: one at a time by default.
func TestHubOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		r := serveRaw(t, newHub(g), &jsonrpc.Options{Order: jsonrpc.HubOrder})
		r.send(called("1", "wait", `["a"]`), called("2", "wait", `["b"]`))
		r.settle()
		wantBegun(t, g, "a")
		close(g.open)
		same(t, "both", r.settle(), result("1", `"a"`), result("2", `"b"`))
	})
}

type coded struct{ Reason string }

// Errors of handlers: the code and the data that they choose, hubwire's own, the
// text of others only where the hub shows it; a panic ends its call.
func TestErrors(t *testing.T) {
	failures := map[string]error{
		"own":       &jsonrpc.Error{Code: 4711, Message: "no", Data: coded{"because"}},
		"wrapped":   fmt.Errorf("x: %w", &jsonrpc.Error{Code: -32601, Message: "not here"}),
		"big":       &jsonrpc.Error{Code: 5000000000, Message: "é \"q\""},
		"hub":       hubwire.Errorf(hubwire.CodeNotFound, "gone"),
		"data":      &hubwire.Error{Code: hubwire.CodeInvalidArgument, Message: "m", Data: []int{1}},
		"plain":     errors.New("secret"),
		"cancelled": context.Canceled,
		"huge data": &jsonrpc.Error{Code: 1, Message: "m", Data: strings.Repeat("x", 100<<10)},
		"bad data":  &jsonrpc.Error{Code: 1, Message: "m", Data: make(chan int)},
	}
	const fail hubwire.Method[string, string] = "fail"
	const unserializable hubwire.Method[hubwire.None, any] = "unserializable"
	handler := fail.With(func(_ context.Context, _ *hubwire.Conn, which string) (string, error) {
		if which == "panic" {
			panic("secret")
		}
		return "", failures[which]
	})
	odd := unserializable.With(func(context.Context, *hubwire.Conn, hubwire.None) (any, error) { return make(chan int), nil })
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil, handler, odd), nil)
		for which, want := range map[string]string{
			"own":       `{"code":4711,"message":"no","data":{"Reason":"because"}}`,
			"wrapped":   `{"code":-32601,"message":"not here"}`,
			"big":       `{"code":5000000000,"message":"é \"q\""}`,
			"hub":       `{"code":5,"message":"gone"}`,
			"data":      `{"code":-32602,"message":"m","data":[1]}`,
			"plain":     `{"code":-32000,"message":"The method failed."}`,
			"cancelled": `{"code":-32800,"message":"The task was cancelled."}`,
			"huge data": `{"code":1,"message":"m"}`,
			"bad data":  `{"code":1,"message":"m"}`,
		} {
			r.send(called("1", "fail", `["`+which+`"]`))
			same(t, which, r.settle(), `{"jsonrpc":"2.0","id":1,"error":`+want+`}`)
		}
		r.send(called("1", "fail", `["panic"]`))
		got := r.settle()
		same(t, "panic", got, "-32603 1")
		if len(got) == 1 && strings.Contains(got[0], "secret") {
			t.Errorf("a panic tells its text: %s", got[0])
		}
		r.send(called("2", "unserializable", `[]`))
		same(t, "a result that cannot be sent", r.settle(), "-32003 2")
		r.send(`[` + called("2", "unserializable", `[]`) + `,` + asked("3") + `]`)
		if got := r.settle(); len(got) == 1 {
			same(t, "in a batch", members(t, got[0]), "-32003 2", pong("3"))
		} else {
			t.Errorf("%q", got)
		}
		r.alive()
	})
	synctest.Test(t, func(t *testing.T) { // the caller has all of it
		_, b := pairOf(t, newHub(nil, handler), nil, nil, nil)
		_, err := fail.Call(t.Context(), b, "own")
		e, ok := errors.AsType[*jsonrpc.Error](err)
		if !ok || e.Code != 4711 || e.Message != "no" {
			t.Fatalf("%#v", err)
		}
		var data coded
		if raw, ok := e.Data.(json.RawMessage); !ok || json.Unmarshal(raw, &data) != nil || data.Reason != "because" {
			t.Errorf("data %v", e.Data)
		}
		_, err = fail.Call(t.Context(), b, "hub")
		if h, ok := errors.AsType[*hubwire.Error](err); !ok || h.Code != hubwire.CodeNotFound || h.Message != "gone" {
			t.Errorf("%#v", err)
		}
	})
}

// What stands in an answer of the peer, as its caller sees it.
func TestAnswersOfThePeer(t *testing.T) {
	for _, c := range []struct {
		answer string
		code   int64 // 0: a result
		text   string
	}{
		{`"result":"yes"`, 0, "yes"},
		{`"result":"yes","error":null`, 0, "yes"},
		{`"result":null,"error":{"code":5,"message":"m"}`, 5, "m"},
		{`"result":1,"error":{"code":5,"message":"m"}`, -32600, "a result and an error"},
		{`"x":1`, -32600, "neither"},
		{`"error":null`, -32600, "neither"},
		{`"error":{"code":5000000000,"message":"m"}`, 5000000000, "m"},
		{`"error":{"code":-1}`, -1, ""},
		{`"error":{"message":"m"}`, 0x7fff, "m"},
		{`"error":{"code":1.5,"message":2}`, 0x7fff, ""},
		{`"error":"text"`, 0x7fff, "text"},
		{`"error":[1]`, 0x7fff, "[1]"},
		{`"result":5`, -32003, "cannot be read"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := serveRaw(t, nil, nil)
			type outcome struct {
				v   string
				err error
			}
			done := make(chan outcome, 1)
			go func() { // ends with the call
				v, err := text.Call(t.Context(), r.conn, "x")
				done <- outcome{v, err}
			}()
			same(t, "call", r.settle(), called("1", "text", `["x"]`))
			r.send(`{"jsonrpc":"2.0","id":1,` + c.answer + `}`)
			o := <-done
			if c.code == 0 {
				if o.err != nil || o.v != c.text {
					t.Errorf("%s: %q, %v", c.answer, o.v, o.err)
				}
				return
			}
			e, ok := errors.AsType[*jsonrpc.Error](o.err)
			if !ok || c.code != 0x7fff && e.Code != c.code || !strings.Contains(e.Message, c.text) {
				t.Errorf("%s: %#v", c.answer, o.err)
			}
			if r.conn.Ignored() != 0 {
				t.Errorf("%s was ignored", c.answer)
			}
		})
	}
}
