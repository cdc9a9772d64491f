package hubwire_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

type (
	point struct {
		X int `json:"x"`
		Y int
	}
	add struct {
		hubwire.Args
		A int `json:"a"`
		B int
	}
	greet struct {
		hubwire.Args
		Name string
		Loud hubwire.Opt[bool] `json:"loud"`
		Nick hubwire.Opt[*string]
	}
	mixed struct {
		hubwire.Args
		Prefix string
		A      hubwire.Stream[int]
		Suffix string
		B      hubwire.Stream[string]
	}
	empty struct{ hubwire.Args }
)

// Each payload type is arguments by one rule (D 1-4).
func TestArguments(t *testing.T) {
	type want struct {
		args  wire.Values
		text  string // what the handler saw
		fault wire.FaultKind
		err   string
	}
	show := func(c *hubwire.Call) string {
		in, err := c.Input()
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%+v", reflect.ValueOf(in).Elem().Interface())
	}
	const count = "Invocation provides %d argument(s) but target expects %d."
	for _, test := range []struct {
		handler hubwire.Handler
		cases   []want
	}{
		{hubwire.Command[hubwire.None]("F").With(nothing), []want{
			{args: list(), text: "{}"},
			{args: list(`1`), fault: wire.BadArguments, err: fmt.Sprintf(count, 1, 0)},
		}},
		{hubwire.Command[empty]("F").With(nothing), []want{
			{args: list(), text: "{Args:{}}"},
			{args: list(`1`), fault: wire.BadArguments, err: fmt.Sprintf(count, 1, 0)},
			{args: named(`{}`), text: "{Args:{}}"},
		}},
		{hubwire.Command[point]("F").With(nothing), []want{
			{args: list(`{"x":1,"Y":2}`), text: "{X:1 Y:2}"},
			{args: list(), fault: wire.BadArguments, err: fmt.Sprintf(count, 0, 1)},
			{args: list(`{}`, `{}`), fault: wire.BadArguments, err: fmt.Sprintf(count, 2, 1)},
			{args: list(`"no"`), fault: wire.BadArguments, err: "Error binding arguments."},
			{args: named(`{"x":3}`, "x", `3`), text: "{X:3 Y:0}"}, // the whole is the argument
		}},
		{hubwire.Command[any]("F").With(nothing), []want{
			{args: list(`null`), text: "<nil>"},
			{args: list(`[1]`), text: "[1]"},
		}},
		{hubwire.Command[*point]("F").With(nothing), []want{
			{args: list(`null`), text: "<nil>"},
		}},
		{hubwire.Command[hubwire.List]("F").With(nothing), []want{
			{args: list(), text: "[]"},
			{args: list(`1`, `"a"`, `null`, `{"b":true}`), text: "[1 a <nil> map[b:true]]"},
			{args: list(`{`), fault: wire.BadArguments, err: "Error binding arguments."},
		}},
		{hubwire.Command[add]("F").With(nothing), []want{
			{args: list(`1`, `2`), text: "{Args:{} A:1 B:2}"},
			{args: list(`1`), fault: wire.BadArguments, err: fmt.Sprintf(count, 1, 2)},
			{args: list(`1`, `2`, `3`), fault: wire.BadArguments, err: fmt.Sprintf(count, 3, 2)},
			{args: list(`1`, `"2"`), fault: wire.BadArguments, err: "Error binding arguments."},
			{args: list(`1`, `null`), fault: wire.BadArguments, err: "Error binding arguments."},
			{args: named(`{}`, "B", `2`, "a", `1`), text: "{Args:{} A:1 B:2}"},
			{args: named(`{}`, "B", `2`), fault: wire.BadArguments, err: "Error binding arguments."},
			{args: named(`{}`, "B", `2`, "a", `1`, "c", `3`), fault: wire.BadArguments, err: "Error binding arguments."},
			{args: named(`{}`, "B", `2`, "A", `1`), fault: wire.BadArguments, err: "Error binding arguments."},
		}},
		{hubwire.Command[greet]("F").With(nothing), []want{
			{args: list(`"a"`), text: "{Args:{} Name:a Loud:{Value:false Set:false} Nick:{Value:<nil> Set:false}}"},
			{args: list(`"a"`, `true`), text: "{Args:{} Name:a Loud:{Value:true Set:true} Nick:{Value:<nil> Set:false}}"},
			{args: list(`"a"`, `true`, `null`), text: "{Args:{} Name:a Loud:{Value:true Set:true} Nick:{Value:<nil> Set:true}}"},
			{args: list(), fault: wire.BadArguments, err: fmt.Sprintf(count, 0, 3)},
			{args: list(`"a"`, `true`, `null`, `1`), fault: wire.BadArguments, err: fmt.Sprintf(count, 4, 3)},
			{args: named(`{}`, "Name", `"a"`, "Nick", `null`), text: "{Args:{} Name:a Loud:{Value:false Set:false} Nick:{Value:<nil> Set:true}}"},
		}},
		{hubwire.Command[string]("F").With(nothing), []want{
			{args: wire.Values{Err: fmt.Errorf("the list is cut off")}, fault: wire.BadArguments, err: "the list is cut off"},
		}},
	} {
		var saw string
		hub := newHub(nil, test.handler.Use(func(next hubwire.Invoke) hubwire.Invoke {
			return func(ctx context.Context, call *hubwire.Call) error {
				saw = show(call)
				return next(ctx, call)
			}
		}))
		l := open(t, hub, rawA, -1)
		for _, c := range test.cases {
			saw = ""
			r := l.start(wire.Call{Name: "F", Args: c.args})
			<-r.done
			if fault(r.err) != c.fault || saw != c.text {
				t.Errorf("%s, %v: fault %v (%v), saw %q; want %v, %q", test.handler.Name(), c.args, fault(r.err), r.err, saw, c.fault, c.text)
			}
			if c.err != "" && (r.err == nil || !strings.Contains(r.err.Error(), c.err)) {
				t.Errorf("%v: error %v, want %q", c.args, r.err, c.err)
			}
		}
	}
}

func nothing[T any](context.Context, *hubwire.Conn, T) error { return nil }

// Streams take no place among the arguments; their ids come in field order
// (D 2).
func TestStreamsAmongArguments(t *testing.T) {
	const Mixed hubwire.Method[mixed, string] = "Mixed"
	hub := newHub(nil, Mixed.With(func(ctx context.Context, c *hubwire.Conn, in mixed) (string, error) {
		sum, cat := 0, ""
		for v, err := range in.A {
			if err != nil {
				return "", err
			}
			sum += v
		}
		for v, err := range in.B {
			if err != nil {
				return "", err
			}
			cat += v
		}
		return fmt.Sprintf("%s:%d:%s:%s", in.Prefix, sum, cat, in.Suffix), nil
	}))
	server := hubtest.New(t, hub)
	for _, protocol := range []string{"json", "messagepack"} {
		c := server.DialWith(t, &hubtest.DialOptions{Protocol: protocol})
		got, err := Mixed.Call(t.Context(), c, mixed{
			Prefix: "p", Suffix: "s",
			A: hubwire.Stream[int](upTo(4)),
			B: func(yield func(string, error) bool) { _ = yield("x", nil) && yield("y", nil) },
		})
		if got != "p:6:xy:s" || err != nil {
			t.Errorf("%s: Mixed = %q, %v", protocol, got, err)
		}
		if _, err := Mixed.Call(t.Context(), c, mixed{
			A: func(yield func(int, error) bool) { yield(0, fmt.Errorf("out of paper")) },
		}); err == nil || !strings.Contains(err.Error(), "out of paper") {
			t.Errorf("%s: an upload that fails: %v", protocol, err)
		}
	}
	l := open(t, hub, rawA, -1)
	for n := range 4 {
		var ups []wire.Source
		for range n {
			ups = append(ups, &rawSource{})
		}
		r := l.start(wire.Call{Name: "Mixed", Args: list(`"p"`, `"s"`), Uploads: ups})
		<-r.done
		if f, ok := r.err.(*wire.Fault); n != 2 && (!ok || f.Kind != wire.WrongStreams || f.Got != n || f.Want != 2) {
			t.Errorf("%d streams: %v", n, r.err)
		}
		for _, up := range ups {
			if !up.(*rawSource).closed {
				t.Errorf("%d streams: one was not closed", n)
			}
		}
	}
}

// What cannot be arguments, items or results is refused when a handler is made,
// with its place (D 1).
func TestWithRefuses(t *testing.T) {
	type (
		late   struct{ A add }
		inside struct{ S hubwire.Stream[int] }
		secret struct {
			hubwire.Args
			a int
		}
		opt struct {
			hubwire.Args
			A hubwire.Opt[int]
			B int
		}
		deep struct {
			hubwire.Args
			M map[string][]hubwire.Opt[int]
		}
		loop struct {
			Next *loop
			All  []loop
		}
		behind struct {
			A int
			hubwire.Args
		}
		items struct {
			hubwire.Args
			S hubwire.Stream[add]
		}
	)
	_ = secret{}.a
	place := here(1)
	wantPanic(t, func() { hubwire.Command[late]("N").With(nothing) }, "hubwire: N, at "+place, "hubwire.Args must be embedded first")
	wantPanic(t, func() { hubwire.Command[*add]("N").With(nothing) }, "hubwire.Args must be embedded first")
	wantPanic(t, func() { hubwire.Command[behind]("N").With(nothing) }, "hubwire.Args must be embedded first")
	wantPanic(t, func() { hubwire.Command[inside]("N").With(nothing) }, "S: a hubwire.Stream must be a field of an Args struct")
	wantPanic(t, func() { hubwire.Command[hubwire.Stream[int]]("N").With(nothing) }, "a hubwire.Stream must be a field")
	wantPanic(t, func() { hubwire.Command[hubwire.Opt[int]]("N").With(nothing) }, "a hubwire.Opt must be a field")
	wantPanic(t, func() { hubwire.Command[secret]("N").With(nothing) }, "field a is not exported")
	wantPanic(t, func() { hubwire.Command[opt]("N").With(nothing) }, "field B follows an Opt")
	wantPanic(t, func() { hubwire.Command[deep]("N").With(nothing) }, "field M", "a hubwire.Opt must be a field")
	wantPanic(t, func() { hubwire.Command[items]("N").With(nothing) }, "field S", "hubwire.Args")
	wantPanic(t, func() { hubwire.Command[int]("").With(nothing) }, "has no name")
	wantPanic(t, func() {
		hubwire.Method[int, add]("N").With(func(context.Context, *hubwire.Conn, int) (add, error) { return add{}, nil })
	}, "result", "hubwire.Args")
	wantPanic(t, func() {
		hubwire.ServerStream[int, []hubwire.Opt[int]]("N").With(func(context.Context, *hubwire.Conn, int) iter.Seq2[[]hubwire.Opt[int], error] { return nil })
	}, "result", "a hubwire.Opt must be a field")
	wantPanic(t, func() {
		hubwire.ClientStream[add, int]("N").With(func(context.Context, *hubwire.Conn, iter.Seq2[add, error]) (int, error) { return 0, nil })
	}, "item", "hubwire.Args")
	wantPanic(t, func() {
		hubwire.BidiStream[hubwire.Stream[int], int]("N").With(func(context.Context, *hubwire.Conn, iter.Seq2[hubwire.Stream[int], error]) iter.Seq2[int, error] {
			return nil
		})
	}, "item", "hubwire.Stream")
	wantPanic(t, func() { hubwire.Event[mixed]("E").With(func(context.Context, mixed) error { return nil }) }, "event E", "a Stream cannot be sent to a client")
	hubwire.Command[loop]("N").With(nothing) // a type that has itself inside is none of these
}

// The same is an error where it is sent.
func TestSendRefuses(t *testing.T) {
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	c := server.Dial(t)
	ctx := t.Context()
	for name, err := range map[string]error{
		"a Stream in an event": hubwire.Event[mixed]("E").Send(ctx, hub.All(), mixed{}),
		"Args inside a value":  hubwire.Event[[]add]("E").Send(ctx, hub.All(), nil),
		"a nil target":         hubwire.Event[int]("E").Send(ctx, nil, 1),
		"a function":           hubwire.Event[func()]("E").Send(ctx, hub.All(), func() {}),
		"NaN":                  hubwire.Event[json.Number]("E").Send(ctx, hub.All(), "NaN"),
		"an Opt after a hole":  hubwire.Event[greet]("E").Send(ctx, hub.All(), greet{Name: "a", Nick: hubwire.Some[*string](nil)}),
	} {
		if err == nil {
			t.Errorf("%s was sent", name)
		}
	}
	if _, err := hubwire.ClientMethod[mixed, int]("Q").Call(ctx, c.Conn(), mixed{}); err == nil {
		t.Error("a Stream in a question was sent")
	}
	if _, err := hubwire.ClientMethod[int, int]("Q").Call(ctx, nil, 1); err == nil {
		t.Error("a nil peer was asked")
	}
	if _, err := hubwire.Method[[]add, int]("M").Call(ctx, c, nil); err == nil {
		t.Error("Args inside a value was called with")
	}
	if _, err := hubwire.Method[int, int]("M").Call(ctx, nil, 1); err == nil {
		t.Error("a nil caller was called")
	}
	hubtest.WantNone(t, c, hubwire.Event[hubwire.List]("E"))
}

// A name known at run time is a conversion; a List is its elements (D 4).
func TestNamesAtRunTime(t *testing.T) {
	hub := newHub(nil, hubwire.Method[hubwire.List, hubwire.List]("Back").With(
		func(ctx context.Context, c *hubwire.Conn, in hubwire.List) (hubwire.List, error) { return in, nil }))
	server := hubtest.New(t, hub)
	c := server.Dial(t)
	many := hubwire.Event[hubwire.List]("Many")
	check(t, many.Send(t.Context(), hub.All(), hubwire.List{"a", 1, true, nil, point{1, 2}}))
	if got := fmt.Sprint(hubtest.Next(t, c, many)); got != "[a 1 true <nil> map[Y:2 x:1]]" {
		t.Errorf("got %s", got)
	}
	got, err := hubwire.Method[hubwire.List, []any]("back").Call(t.Context(), c, hubwire.List{1, "x"})
	if fmt.Sprint(got) != "[1 x]" || err != nil {
		t.Errorf("Back = %v, %v", got, err)
	}
}

// Arguments of events are Args structs too, and reach handlers as such.
func TestEventArguments(t *testing.T) {
	const Added hubwire.Event[add] = "Added"
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	came := make(chan add, 1)
	c := server.Dial(t)
	d := server.Dial(t, Added.With(func(ctx context.Context, v add) error { came <- v; return nil }))
	check(t, Added.Send(t.Context(), hub.All(), add{A: 1, B: 2}))
	if got := hubtest.Next(t, c, Added); got != (add{A: 1, B: 2}) {
		t.Errorf("got %v", got)
	}
	d.Sync(t)
	if got := <-came; got != (add{A: 1, B: 2}) {
		t.Errorf("the handler got %v", got)
	}
	if list := hubtest.Got(t, c, hubwire.Event[hubwire.List]("Added")); len(list) != 0 {
		t.Errorf("came twice: %v", list)
	}
}

// Handle refuses two handlers of one name, in any case, with both places.
func TestHandleRefuses(t *testing.T) {
	first, place1 := hubwire.Command[int]("Send").With(nothing), here(0)
	again, place2 := hubwire.Command[int]("Send").With(nothing), here(0)
	other, place3 := hubwire.Command[int]("SEND").With(nothing), here(0)
	wantPanic(t, func() { newHub(nil, first, again) }, "Send is handled twice, at "+place1+" and "+place2)
	wantPanic(t, func() { newHub(nil, first, other) }, "Send and SEND differ only in case, at "+place1+" and "+place3)
	wantPanic(t, func() { newHub(nil, hubwire.Handler{}) }, "that no With made")
	hub := newHub(nil)
	hub.Expose(rawA)
	wantPanic(t, func() { hub.Handle(first) }, "Handle after the hub was mounted")
	wantPanic(t, func() { hubwire.New(&hubwire.Options{ParallelCalls: -1, MaxConnections: -1}) },
		"ParallelCalls is -1; it must be at least 1", "MaxConnections is -1; it must not be negative")
	hub = newHub(nil, first, hubwire.Method[int, int]("Answer").With(func(context.Context, *hubwire.Conn, int) (int, error) { return 1, nil }))
	hs := hub.Handlers()
	if len(hs) != 2 || hs[0].Name() != "Answer" || hs[0].Kind() != wire.Method || hs[1].Kind() != wire.Command {
		t.Errorf("Handlers = %v", hs)
	}
}

// Names are found whatever their case, as ASP.NET Core does.
func TestNamesInAnyCase(t *testing.T) {
	hub := newHub(nil, hubwire.Command[hubwire.None]("DoIt").With(nothing))
	c := hubtest.New(t, hub).Dial(t)
	for _, name := range []string{"DoIt", "doit", "DOIT"} {
		check(t, hubwire.Command[hubwire.None](name).Call(t.Context(), c, hubwire.None{}))
	}
	for _, name := range []string{"Do", "", "DoIt ", strings.Repeat("x", 1<<20), "DoIt\x00", "__proto__", "Context", "Dispose"} {
		if err := hubwire.Command[hubwire.None](name).Call(t.Context(), c, hubwire.None{}); err == nil {
			t.Errorf("%.20q was found", name)
		}
	}
}

// None is null where it is a result.
func TestNoneIsNull(t *testing.T) {
	const Do hubwire.Method[int, hubwire.None] = "Do"
	const Up hubwire.ClientStream[int, hubwire.None] = "Up"
	hub := newHub(nil,
		Do.With(func(context.Context, *hubwire.Conn, int) (hubwire.None, error) { return hubwire.None{}, nil }),
		Up.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (hubwire.None, error) {
			for range items {
			}
			return hubwire.None{}, nil
		}))
	l := open(t, hub, rawA, -1)
	r := l.start(wire.Call{Name: "Do", Args: list(`1`)})
	<-r.done
	if r.v != nil || r.err != nil {
		t.Errorf("Do = %#v, %v", r.v, r.err)
	}
	r = l.start(wire.Call{Name: "Up", Args: list(), Uploads: []wire.Source{&rawSource{values: []string{`1`}}}})
	<-r.done
	if r.v != nil || r.err != nil {
		t.Errorf("Up = %#v, %v", r.v, r.err)
	}
	c := hubtest.New(t, newHub(nil, Do.With(func(context.Context, *hubwire.Conn, int) (hubwire.None, error) { return hubwire.None{}, nil }))).Dial(t)
	if _, err := Do.Call(t.Context(), c, 1); err != nil {
		t.Error(err)
	}
}
