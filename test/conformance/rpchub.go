package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// The contract of JSON-RPC: methods are named as .NET names them.

type (
	rpcTwo struct {
		hubwire.Args
		A int `json:"a"`
		B int `json:"b"`
	}
	rpcGreet struct {
		hubwire.Args
		Name     hubwire.Opt[string] `json:"name"`
		Greeting hubwire.Opt[string] `json:"greeting"`
		Times    hubwire.Opt[int]    `json:"times"`
	}
	rpcSum struct {
		hubwire.Args
		A int              `json:"a"`
		B hubwire.Opt[int] `json:"b"`
		C hubwire.Opt[int] `json:"c"`
	}
	rpcNames struct {
		hubwire.Args
		First string `json:"first-name"`
		Last  string `json:"last"`
	}
	rpcText struct {
		hubwire.Args
		Text *string `json:"text"`
	}
	rpcConcat struct {
		hubwire.Args
		Left  string `json:"left"`
		Right string `json:"right"`
	}
	rpcSlow struct {
		hubwire.Args
		Item         string `json:"item"`
		Milliseconds int    `json:"milliseconds"`
	}
	rpcFail struct {
		hubwire.Args
		Code    int64  `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data"`
	}
	rpcTake struct {
		hubwire.Args
		Values hubwire.Stream[int] `json:"values"`
		N      int                 `json:"n"`
	}
	rpcMove struct {
		X     int     `json:"x"`
		Y     int     `json:"y"`
		Label *string `json:"label"`
	}
	rpcPerson struct {
		Name *string    `json:"name" msgpack:"name"`
		Age  int        `json:"age" msgpack:"age"`
		Tags []*string  `json:"tags" msgpack:"tags"`
		Boss *rpcPerson `json:"boss" msgpack:"boss"`
	}
	rpcTypes struct {
		I     int32          `json:"i"`
		L     int64          `json:"l"`
		U     uint64         `json:"u"`
		D     float64        `json:"d"`
		Whole float64        `json:"whole"`
		F     float32        `json:"f"`
		M     float64        `json:"m"`
		T     bool           `json:"t"`
		S     *string        `json:"s"`
		C     string         `json:"c"`
		Guid  string         `json:"guid"`
		At    string         `json:"at"`
		Off   string         `json:"off"`
		Span  string         `json:"span"`
		Bytes []byte         `json:"bytes"`
		Ints  []int          `json:"ints"`
		Map   map[string]int `json:"map"`
		Color int            `json:"color"`
		Maybe *int           `json:"maybe"`
		URI   string         `json:"uri"`
	}
	rpcTick struct {
		N    int    `json:"n"`
		Text string `json:"text"`
	}
)

// What a connection has, and what all have.
const (
	rpcCount hubwire.Key[int]      = "count"
	rpcLog   hubwire.Key[[]string] = "log"
)

type rpcKeys struct {
	mu                 sync.Mutex
	started, cancelled map[string]int
}

func (k *rpcKeys) add(m map[string]int, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m[key]++
}

func (k *rpcKeys) get(m map[string]int, key string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return m[key]
}

// rpcShared is guarded: notifications run beside nothing, requests beside each other.
type rpcShared struct {
	sync.Mutex
	cancelled int
	disposed  int
}

type traceKey struct{}

func traceIn(ctx context.Context, headers map[string]string) context.Context {
	return context.WithValue(ctx, traceKey{}, headers)
}

func traced(name string) func(context.Context, *hubwire.Conn, hubwire.None) (*string, error) {
	return func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (*string, error) {
		headers, _ := ctx.Value(traceKey{}).(map[string]string)
		if v, ok := headers[name]; ok {
			return &v, nil
		}
		return nil, nil
	}
}

// method binds a method.
func method[In, Out any](name string, fn func(context.Context, *hubwire.Conn, In) (Out, error)) hubwire.Handler {
	return hubwire.Method[In, Out](name).With(fn)
}

// give is a method that returns what is computed of its arguments alone.
func give[In, Out any](name string, fn func(In) Out) hubwire.Handler {
	return method(name, func(_ context.Context, _ *hubwire.Conn, in In) (Out, error) { return fn(in), nil })
}

func rpcHandlers() []hubwire.Handler {
	shared := &rpcShared{}
	keys := &rpcKeys{started: map[string]int{}, cancelled: map[string]int{}}
	divide := func(_ context.Context, _ *hubwire.Conn, p rpcTwo) (int, error) {
		if p.B == 0 {
			return 0, errors.New("b must not be zero")
		}
		return p.A / p.B, nil
	}
	null := func(context.Context, *hubwire.Conn, hubwire.None) (any, error) { return nil, nil }
	return append([]hubwire.Handler{
		give("Add", func(p rpcTwo) int { return p.A + p.B }),
		give("math/multiply", func(p rpcTwo) int { return p.A * p.B }),
		give("calc/subtract", func(p rpcTwo) int { return p.A - p.B }),
		give("calc/getName", func(hubwire.None) string { return "calc" }),
		give("calc/getNameAsync", func(hubwire.None) string { return "calc" }),
		give("calc/explicit", func(hubwire.None) string { return "explicit" }),
		method("Divide", divide),
		method("DivideAsync", divide),
		give("Echo", func(v any) any { return v }),
		give("EchoPerson", func(p *rpcPerson) *rpcPerson { return p }),
		give("EchoTypes", func(t rpcTypes) rpcTypes { return t }),
		give("EchoString", func(t rpcText) *string { return t.Text }),
		give("EchoDouble", func(v float64) float64 { return v }),
		give("EchoLong", func(v int64) int64 { return v }),
		method("Nothing", null),
		method("NothingAsync", null),
		method("NullResult", null),
		give("Move", func(m rpcMove) string {
			label := "-"
			if m.Label != nil {
				label = *m.Label
			}
			return fmt.Sprintf("%d,%d,%s", m.X, m.Y, label)
		}),
		give("Greet", func(g rpcGreet) string {
			name, greeting, times := "world", "hello", 1
			if g.Name.Set {
				name = g.Name.Value
			}
			if g.Greeting.Set {
				greeting = g.Greeting.Value
			}
			if g.Times.Set {
				times = g.Times.Value
			}
			return strings.TrimSuffix(strings.Repeat(greeting+" "+name+"|", max(times, 0)), "|")
		}),
		give("Sum", func(s rpcSum) string {
			n := 1
			if s.B.Set {
				n++
			}
			if s.C.Set {
				n++
			}
			return fmt.Sprintf("%d:%d", n, s.A+s.B.Value+s.C.Value)
		}),
		method("Describe", describe),
		give("Renamer", func(n rpcNames) string { return n.First + " " + n.Last }),
		give("delegate/concat", func(c rpcConcat) string { return c.Left + c.Right }),
		give("Static", func(hubwire.None) string { return "static" }),
		method("Unserializable", func(context.Context, *hubwire.Conn, hubwire.None) (any, error) { return func() {}, nil }),
		method("Bump", func(_ context.Context, c *hubwire.Conn, by int) (int, error) {
			shared.Lock()
			defer shared.Unlock()
			n, _ := rpcCount.Get(c)
			rpcCount.Set(c, n+by)
			return n + by, nil
		}),
		method("GetCount", func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (int, error) {
			n, _ := rpcCount.Get(c)
			return n, nil
		}),
		method("ResetCount", func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (any, error) {
			rpcCount.Set(c, 0)
			return nil, nil
		}),
		method("Append", func(_ context.Context, c *hubwire.Conn, item string) (any, error) {
			shared.note(c, item)
			return nil, nil
		}),
		method("AppendSlow", func(ctx context.Context, c *hubwire.Conn, s rpcSlow) (any, error) {
			shared.note(c, "+"+s.Item)
			pause(ctx, time.Duration(s.Milliseconds)*time.Millisecond)
			shared.note(c, "-"+s.Item)
			return nil, nil
		}),
		method("TakeLog", func(_ context.Context, c *hubwire.Conn, _ hubwire.None) ([]string, error) {
			shared.Lock()
			defer shared.Unlock()
			lines, _ := rpcLog.Get(c)
			rpcLog.Set(c, nil)
			if lines == nil {
				lines = []string{}
			}
			return lines, nil
		}),
		method("Delay", func(_ context.Context, _ *hubwire.Conn, ms int) (int, error) {
			pause(context.Background(), time.Duration(ms)*time.Millisecond)
			return ms, nil
		}),
		method("WaitForever", func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (any, error) {
			<-ctx.Done()
			shared.Lock()
			shared.cancelled++
			shared.Unlock()
			return nil, ctx.Err()
		}),
		method("CancelledCount", func(context.Context, *hubwire.Conn, hubwire.None) (int, error) {
			shared.Lock()
			defer shared.Unlock()
			return shared.cancelled, nil
		}),
		method("WaitThenAnswer", func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (string, error) {
			<-ctx.Done()
			return "finished anyway", nil
		}),
		give("AddCancellable", func(p rpcTwo) int { return p.A + p.B }),
		method("WaitKey", func(ctx context.Context, _ *hubwire.Conn, key string) (any, error) {
			keys.add(keys.started, key)
			<-ctx.Done()
			keys.add(keys.cancelled, key)
			return nil, ctx.Err()
		}),
		give("KeyStarted", func(key string) int { return keys.get(keys.started, key) }),
		give("KeyCancelled", func(key string) int { return keys.get(keys.cancelled, key) }),
	}, append(rpcStreams(shared), rpcTalk()...)...)
}

func (s *rpcShared) note(c *hubwire.Conn, line string) {
	s.Lock()
	defer s.Unlock()
	lines, _ := rpcLog.Get(c)
	rpcLog.Set(c, append(lines[:len(lines):len(lines)], line))
}

func describe(_ context.Context, _ *hubwire.Conn, v any) (string, error) {
	number := func(v any) (int, bool) {
		switch v := v.(type) {
		case float64:
			return int(v), v == float64(int(v))
		case int64:
			return int(v), true
		case uint64:
			return int(v), true
		}
		return 0, false
	}
	if n, ok := number(v); ok {
		return fmt.Sprintf("int %d", n), nil
	}
	switch v := v.(type) {
	case bool:
		return fmt.Sprintf("bool %t", v), nil
	case string:
		return "string " + v, nil
	case map[string]any:
		x, _ := number(v["x"])
		y, _ := number(v["y"])
		return fmt.Sprintf("move %d,%d", x, y), nil
	}
	return "", &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "Nothing describes that."}
}

// rpcStreams are the sequences of the contract.
func rpcStreams(shared *rpcShared) []hubwire.Handler {
	count := func(ctx context.Context, n int, end error) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			defer func() {
				shared.Lock()
				shared.disposed++
				shared.Unlock()
			}()
			for i := 1; i <= n; i++ {
				if !yield(i, nil) {
					return
				}
			}
			if end != nil {
				yield(0, end)
			}
		}
	}
	total := func(values iter.Seq2[int, error], n int) (sum int, err error) {
		i := 0
		if n == 0 {
			return 0, nil
		}
		for v, err := range values {
			if err != nil {
				return 0, err
			}
			sum += v
			if i++; i == n {
				break
			}
		}
		return sum, nil
	}
	return []hubwire.Handler{
		hubwire.ServerStream[int, int]("Numbers").With(func(ctx context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return count(ctx, n, nil)
		}),
		hubwire.ServerStream[int, int]("NumbersFail").With(func(ctx context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return count(ctx, n, fmt.Errorf("sequence failed after %d", n))
		}),
		hubwire.ServerStream[hubwire.None, int]("NumbersForever").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for v, err := range count(ctx, 3, nil) {
					if !yield(v, err) {
						return
					}
				}
				<-ctx.Done()
			}
		}),
		method("EnumeratorsDisposed", func(context.Context, *hubwire.Conn, hubwire.None) (int, error) {
			shared.Lock()
			defer shared.Unlock()
			return shared.disposed, nil
		}),
		hubwire.ClientStream[int, int]("SumStream").With(func(_ context.Context, _ *hubwire.Conn, values iter.Seq2[int, error]) (int, error) {
			return total(values, -1)
		}),
		method("TakeStream", func(_ context.Context, _ *hubwire.Conn, t rpcTake) (int, error) {
			return total(iter.Seq2[int, error](t.Values), t.N)
		}),
	}
}

// rpcTalk are errors, events and calls back.
func rpcTalk() []hubwire.Handler {
	clientAdd := hubwire.ClientMethod[rpcTwo, int]("ClientAdd")
	clientFail := hubwire.ClientMethod[string, any]("ClientFail")
	clientFactorial := hubwire.ClientMethod[int, int]("ClientFactorial")
	return []hubwire.Handler{
		method("FailLocal", func(_ context.Context, _ *hubwire.Conn, f rpcFail) (any, error) {
			return nil, &jsonrpc.Error{Code: f.Code, Message: f.Message, Data: f.Data}
		}),
		method("FailLocalPlain", func(_ context.Context, _ *hubwire.Conn, message string) (any, error) {
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeFailed, Message: message}
		}),
		method("FailInner", func(context.Context, *hubwire.Conn, hubwire.None) (any, error) {
			return nil, &rpcError{"outer", errors.New("inner")}
		}),
		method("FailCancelled", func(context.Context, *hubwire.Conn, hubwire.None) (any, error) { return nil, context.Canceled }),
		method("FailLater", func(ctx context.Context, _ *hubwire.Conn, message string) (any, error) {
			pause(ctx, 20*time.Millisecond)
			return nil, errors.New(message)
		}),
		method("RaiseTick", func(ctx context.Context, c *hubwire.Conn, n int) (any, error) {
			return nil, hubwire.Event[rpcTick]("Ticked").Send(ctx, c, rpcTick{n, fmt.Sprintf("tick %d", n)})
		}),
		method("RaisePing", func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (any, error) {
			return nil, hubwire.Event[struct{ _ int }]("Pinged").Send(ctx, c, struct{ _ int }{})
		}),
		method("RaiseRenamed", func(ctx context.Context, c *hubwire.Conn, n int) (any, error) {
			return nil, hubwire.Event[int]("stock/changed").Send(ctx, c, n)
		}),
		method("CallBack", func(ctx context.Context, c *hubwire.Conn, p rpcTwo) (int, error) { return clientAdd.Call(ctx, c, p) }),
		method("CallBackNotify", func(ctx context.Context, c *hubwire.Conn, text string) (any, error) {
			return nil, hubwire.Event[string]("ClientNote").Send(ctx, c, text)
		}),
		method("CallBackFail", func(ctx context.Context, c *hubwire.Conn, text string) (any, error) {
			if _, err := clientFail.Call(ctx, c, text); err != nil {
				return nil, &jsonrpc.Error{Code: jsonrpc.CodeFailed, Message: err.Error()}
			}
			return nil, nil
		}),
		method("Factorial", func(ctx context.Context, c *hubwire.Conn, n int) (int, error) {
			if n <= 1 {
				return 1, nil
			}
			rest, err := clientFactorial.Call(ctx, c, n-1)
			return n * rest, err
		}),
		method("TraceParent", traced("traceparent")),
		method("TraceState", traced("tracestate")),
	}
}

// An rpcError is an error with a cause that its text does not tell.
type rpcError struct {
	text  string
	cause error
}

func (e *rpcError) Error() string { return e.text }
func (e *rpcError) Unwrap() error { return e.cause }
