package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// A chat is a hub as those write it who come from .NET.
type chat struct {
	mu   sync.Mutex
	said []string
}

func (h *chat) Say(ctx context.Context, c *hubwire.Conn, room, text string) error {
	if text == "" {
		return hubwire.Errorf(hubwire.CodeInvalidArgument, "say something")
	}
	h.mu.Lock()
	h.said = append(h.said, room+": "+text)
	h.mu.Unlock()
	return hubwire.Event[said]("Said").Send(ctx, c.Hub().All(), said{Room: room, Text: text})
}

type said struct {
	hubwire.Args
	Room, Text string
}

func (h *chat) Last(ctx context.Context, c *hubwire.Conn, n hubwire.Opt[int]) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !n.Set {
		n.Value = 1
	}
	return h.said[max(0, len(h.said)-n.Value):], nil
}

func (h *chat) ID(ctx context.Context, c *hubwire.Conn) (string, error) { return c.ID(), nil }

func (h *chat) Place(ctx context.Context, c *hubwire.Conn, p *point) (*point, error) { return p, nil }

func (h *chat) Count(ctx context.Context, c *hubwire.Conn, from, to int) iter.Seq2[int, error] {
	if from > to {
		return nil
	}
	return func(yield func(int, error) bool) {
		for i := from; i < to; i++ {
			if !yield(i, nil) {
				return
			}
		}
		if from == 7 {
			yield(0, hubwire.Errorf(hubwire.CodeAborted, "unlucky"))
		}
	}
}

func (h *chat) Sum(ctx context.Context, c *hubwire.Conn, items iter.Seq2[int, error]) (sum int, err error) {
	for v, err := range items {
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

func (h *chat) Two(ctx context.Context, c *hubwire.Conn, items iter.Seq2[int, error]) (sum int, err error) {
	n := 0
	for v := range items {
		if sum += v; n == 1 {
			break
		}
		n++
	}
	return sum, nil
}

func (h *chat) Mirror(ctx context.Context, c *hubwire.Conn, items hubwire.Stream[int]) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for v, err := range items {
			if !yield(2*v, err) {
				return
			}
		}
	}
}

func (h *chat) Mixed(ctx context.Context, c *hubwire.Conn, a string, x iter.Seq2[int, error], b string, y hubwire.Stream[string], z hubwire.Opt[bool]) (string, error) {
	n, _ := h.Sum(ctx, c, x)
	s := ""
	for v := range y {
		s += v
	}
	return fmt.Sprint(a, n, b, s, z), nil
}

func (h *chat) Panic(ctx context.Context, c *hubwire.Conn) error { panic("oh") }

func (h *chat) Dispose() {}

func (h *chat) hidden(ctx context.Context, c *hubwire.Conn) error { return nil }

func TestMethods(t *testing.T) {
	h := &chat{}
	h.hidden(t.Context(), nil)
	hub := newHub(nil, hubwire.Methods(h, map[string]string{"Dispose": "-", "Place": "Where", "Panic": "panic!"})...)
	server := hubtest.New(t, hub)
	kinds := map[string]wire.Kind{
		"Say": wire.Command, "Last": wire.Method, "ID": wire.Method, "Where": wire.Method, "Count": wire.ServerStream,
		"Sum": wire.ClientStream, "Two": wire.ClientStream, "Mirror": wire.BidiStream, "Mixed": wire.Method, "panic!": wire.Command,
	}
	for _, x := range hub.Handlers() {
		if kinds[x.Name()] != x.Kind() {
			t.Errorf("%s is a %v, want %v", x.Name(), x.Kind(), kinds[x.Name()])
		}
		delete(kinds, x.Name())
	}
	if len(kinds) > 0 {
		t.Errorf("missing: %v", kinds)
	}

	type say = said
	for _, protocol := range []string{"json", "messagepack"} {
		c := server.DialWith(t, &hubtest.DialOptions{Protocol: protocol})
		ctx := t.Context()
		check(t, hubwire.Command[say]("Say").Call(ctx, c, say{Room: "a", Text: "hi"}))
		if got := hubtest.Next(t, c, hubwire.Event[said]("Said")); got.Room != "a" || got.Text != "hi" {
			t.Errorf("Said = %v", got)
		}
		err := hubwire.Command[say]("Say").Call(ctx, c, say{Room: "a"})
		if e, ok := errors.AsType[*hubwire.Error](err); !ok || e.Code != hubwire.CodeInvalidArgument || e.Message != "say something" {
			t.Errorf("Say: %v", err)
		}
		if got, err := hubwire.Method[hubwire.None, []string]("Last").Call(ctx, c, hubwire.None{}); fmt.Sprint(got) != "[a: hi]" || err != nil {
			t.Errorf("Last = %v, %v", got, err)
		}
		if got, err := hubwire.Method[int, []string]("Last").Call(ctx, c, 0); fmt.Sprint(got) != "[]" || err != nil {
			t.Errorf("Last(0) = %v, %v", got, err)
		}
		if got, err := hubwire.Method[hubwire.None, string]("id").Call(ctx, c, hubwire.None{}); got != c.ID() || err != nil {
			t.Errorf("ID = %v, %v", got, err)
		}
		if got, err := hubwire.Method[*point, *point]("Where").Call(ctx, c, &point{1, 2}); err != nil || *got != (point{1, 2}) {
			t.Errorf("Where = %v, %v", got, err)
		}
		if got, err := hubwire.Method[*point, *point]("Where").Call(ctx, c, nil); err != nil || got != nil {
			t.Errorf("Where(nil) = %v, %v", got, err)
		}
		if got, err := collect(hubwire.ServerStream[add, int]("Count").Open(ctx, c, add{A: 2, B: 5})); fmt.Sprint(got) != "[2 3 4]" || err != nil {
			t.Errorf("Count = %v, %v", got, err)
		}
		if got, err := collect(hubwire.ServerStream[add, int]("Count").Open(ctx, c, add{A: 7, B: 8})); fmt.Sprint(got) != "[7]" || err == nil || err.Error() != "unlucky" {
			t.Errorf("Count = %v, %v", got, err)
		}
		if got, err := collect(hubwire.ServerStream[add, int]("Count").Open(ctx, c, add{A: 2, B: 1})); got != nil || err == nil {
			t.Errorf("a nil stream: %v, %v", got, err)
		}
		if got, err := hubwire.ClientStream[int, int]("Sum").Call(ctx, c, upTo(10)); got != 45 || err != nil {
			t.Errorf("Sum = %v, %v", got, err)
		}
		if got, err := hubwire.ClientStream[int, int]("Two").Call(ctx, c, upTo(10)); got != 1 || err != nil {
			t.Errorf("Two = %v, %v", got, err)
		}
		if got, err := collect(hubwire.BidiStream[int, int]("Mirror").Open(ctx, c, upTo(3))); fmt.Sprint(got) != "[0 2 4]" || err != nil {
			t.Errorf("Mirror = %v, %v", got, err)
		}
		failing := func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, errors.New("no more")) }
		if _, err := hubwire.ClientStream[int, int]("Sum").Call(ctx, c, failing); err == nil || !strings.Contains(err.Error(), "no more") {
			t.Errorf("Sum of an upload that fails: %v", err)
		}
		if got, err := hubwire.Method[mixed, string]("Mixed").Call(ctx, c, mixed{
			Prefix: "p", A: hubwire.Stream[int](upTo(4)), Suffix: "s", B: func(yield func(string, error) bool) { yield("x", nil) },
		}); got != "p6sx{false false}" || err != nil {
			t.Errorf("Mixed = %q, %v", got, err)
		}
		if err := hubwire.Command[hubwire.None]("panic!").Call(ctx, c, hubwire.None{}); err == nil || strings.Contains(err.Error(), "oh") {
			t.Errorf("Panic: %v", err)
		}
		for _, name := range []string{"Dispose", "hidden", "Panic", "Place"} {
			if err := hubwire.Command[hubwire.None](name).Call(ctx, c, hubwire.None{}); err == nil || !strings.Contains(err.Error(), "unknown method") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := hubwire.Command[int]("Say").Call(ctx, c, 1); err == nil || !strings.Contains(err.Error(), "1 argument(s) but target expects 2") {
			t.Errorf("Say(1): %v", err)
		}
	}
}

// Go keeps no names of parameters: calls by name work where there is at most
// one, which they are as a whole.
func TestMethodsByName(t *testing.T) {
	l := open(t, newHub(nil, hubwire.Methods(&chat{}, map[string]string{"Dispose": "-"})...), rawA, -1)
	for _, test := range []struct {
		name string
		args wire.Values
		ok   bool
	}{
		{"Place", named(`{"x":1}`, "x", `1`), true},
		{"Last", named(`3`, "n", `3`), true},
		{"Say", named(`{}`, "room", `"a"`, "text", `"b"`), false},
		{"Say", list(`"a"`, `"b"`), true},
		{"Count", named(`{}`, "from", `1`, "to", `2`), false},
	} {
		r := l.start(wire.Call{Name: test.name, Args: test.args, Stream: test.name == "Count"})
		<-r.done
		if ok := r.err == nil; ok != test.ok || !ok && !strings.Contains(r.err.Error(), "by position") {
			t.Errorf("%s: %v", test.name, r.err)
		}
	}
}

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Types with one method that does not fit, for the table below.
type (
	noContext  struct{}
	noConn     struct{}
	noError    struct{}
	noResult   struct{}
	threeBack  struct{}
	errorFirst struct{}
	streamMore struct{}
	channel    struct{}
	takesChan  struct{}
	takesFunc  struct{}
	variadic   struct{}
	optFirst   struct{}
	argsParam  struct{}
	argsResult struct{}
	argsItem   struct{}
	argsUpload struct{}
	valueAll   struct{ n int }
)

func (noContext) F(*hubwire.Conn, int) error                                         { return nil }
func (noConn) F(context.Context, int) error                                          { return nil }
func (noError) F(context.Context, *hubwire.Conn) int                                 { return 0 }
func (noResult) F(context.Context, *hubwire.Conn)                                    {}
func (threeBack) F(context.Context, *hubwire.Conn) (int, int, error)                 { return 0, 0, nil }
func (errorFirst) F(context.Context, *hubwire.Conn) (error, int)                     { return nil, 0 }
func (streamMore) F(context.Context, *hubwire.Conn) (iter.Seq2[int, error], error)   { return nil, nil }
func (channel) F(context.Context, *hubwire.Conn) (<-chan int, error)                 { return nil, nil }
func (takesChan) F(context.Context, *hubwire.Conn, <-chan int) error                 { return nil }
func (takesFunc) F(context.Context, *hubwire.Conn, iter.Seq[int]) error              { return nil }
func (variadic) F(context.Context, *hubwire.Conn, ...int) error                      { return nil }
func (optFirst) F(context.Context, *hubwire.Conn, hubwire.Opt[int], int) error       { return nil }
func (argsParam) F(context.Context, *hubwire.Conn, add) error                        { return nil }
func (argsResult) F(context.Context, *hubwire.Conn) (add, error)                     { return add{}, nil }
func (argsItem) F(context.Context, *hubwire.Conn) iter.Seq2[hubwire.Opt[int], error] { return nil }
func (argsUpload) F(context.Context, *hubwire.Conn, iter.Seq2[[]add, error]) (int, error) {
	return 0, nil
}
func (*valueAll) F(context.Context, *hubwire.Conn) error { return nil }
func (valueAll) G(context.Context, *hubwire.Conn) error  { return nil }

type (
	base       struct{}
	derived    struct{ base }
	derivedPtr struct{ *base }
	locked     struct{ sync.Mutex }
	iface      struct{ fmt.Stringer }
	named_     struct{ b base }
	number     int
	none       struct{}
)

func (*base) Hello(context.Context, *hubwire.Conn) error  { return nil }
func (*derived) Own(context.Context, *hubwire.Conn) error { return nil }
func (*locked) Own(context.Context, *hubwire.Conn) error  { return nil }
func (*named_) Own(context.Context, *hubwire.Conn) error  { return nil }
func (number) Own(context.Context, *hubwire.Conn) error   { return nil }

// Every exported method that does not fit is refused at start-up, by name, file
// and line (D 5).
func TestMethodsRefuses(t *testing.T) {
	for _, test := range []struct {
		v    any
		text string
	}{
		{noContext{}, "first parameters must be context.Context and *hubwire.Conn"},
		{noConn{}, "first parameters must be context.Context and *hubwire.Conn"},
		{noError{}, "it must return an error"},
		{noResult{}, "it returns nothing"},
		{threeBack{}, "it must return an error"},
		{errorFirst{}, "it must return an error"},
		{streamMore{}, "it must be alone"},
		{channel{}, "streams are iter.Seq2[T, error]"},
		{takesChan{}, "its parameter 1 is <-chan int"},
		{takesFunc{}, "its parameter 1 is iter.Seq[int]"},
		{variadic{}, "it is variadic"},
		{optFirst{}, "its parameter 2 follows an Opt"},
		{argsParam{}, "its parameter 1, hubwire_test.add: "},
		{argsResult{}, "result hubwire_test.add: "},
		{argsItem{}, "result hubwire.Opt[int]: "},
		{argsUpload{}, "its parameter 1, iter.Seq2[[]"},
	} {
		wantPanic(t, func() { hubwire.Methods(test.v, nil) }, fmt.Sprintf("hubwire: Methods(%T): F, at ", test.v), "methods_test.go:", test.text)
		wantPanic(t, func() { hubwire.Methods(test.v, map[string]string{"F": "-"}) }, "it has no exported methods")
	}
	// All of them are named at once.
	wantPanic(t, func() { hubwire.Methods(&chat{}, map[string]string{"Nope": "x", "Say": ""}) },
		"Dispose, at ", "Say, at ", "its new name is empty", `names has "Nope", which is no exported method`)

	wantPanic(t, func() { hubwire.Methods(nil, nil) }, "Methods of nil")
	wantPanic(t, func() { hubwire.Methods((*chat)(nil), nil) }, "Methods(*hubwire_test.chat): the pointer is nil")
	wantPanic(t, func() { hubwire.Methods(chat{}, nil) }, "is a method of *hubwire_test.chat; give a pointer", "methods_test.go:")
	wantPanic(t, func() { hubwire.Methods(valueAll{}, nil) }, "F, at ", "give a pointer")
	wantPanic(t, func() { hubwire.Methods(none{}, nil) }, "it has no exported methods")
	wantPanic(t, func() { hubwire.Methods(42, nil) }, "it has no exported methods")

	wantPanic(t, func() { hubwire.Methods(&derived{}, nil) }, "it embeds hubwire_test.base, whose methods (Hello) clients could call")
	wantPanic(t, func() { hubwire.Methods(&derivedPtr{}, nil) }, "it embeds *hubwire_test.base")
	wantPanic(t, func() { hubwire.Methods(&locked{}, nil) }, "it embeds sync.Mutex")
	wantPanic(t, func() { hubwire.Methods(iface{}, nil) }, "it embeds fmt.Stringer")

	for _, ok := range []any{&named_{}, number(1), new(number), &valueAll{}} {
		if hs := hubwire.Methods(ok, nil); len(hs) == 0 {
			t.Errorf("%T has no handlers", ok)
		}
	}
	wantPanic(t, func() { newHub(nil, hubwire.Methods(&valueAll{}, map[string]string{"F": "g"})...) }, "differ only in case", "methods_test.go:")
}
