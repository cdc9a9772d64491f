package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// A diary is what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := strings.Join(d.lines, ", ")
	d.lines = nil
	return s
}

// note is a filter that writes down when it is entered and left.
func (d *diary) note(name string) hubwire.Filter {
	return func(next hubwire.Invoke) hubwire.Invoke {
		return func(ctx context.Context, call *hubwire.Call) error {
			d.add("%s+%s", name, call.Name())
			err := next(ctx, call)
			d.add("%s-", name)
			return err
		}
	}
}

// Options.Filters are outermost, then those that Use added last; each list has
// its first outermost. They wrap calls of all kinds and Connect, and Use leaves
// the handler that it was called on as it was.
func TestFilterOrder(t *testing.T) {
	var d diary
	do := hubwire.Command[hubwire.None]("Do").With(func(context.Context, *hubwire.Conn, hubwire.None) error { d.add("do"); return nil })
	count := hubwire.ServerStream[int, int]("Count").With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; i < n && yield(i, nil); i++ {
				d.add("%d", i)
			}
			d.add("end")
		}
	})
	sum := hubwire.ClientStream[int, int]("Sum").With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (int, error) {
		d.add("sum")
		return 0, nil
	})
	mirror := hubwire.BidiStream[int, int]("Mirror").With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) iter.Seq2[int, error] {
		d.add("mirror")
		return upTo(0)
	})
	filtered := do.Use(d.note("c"), d.note("d")).Use(d.note("b"))
	hub := newHub(&hubwire.Options{
		Filters: []hubwire.Filter{d.note("x"), d.note("y")},
		Connect: func(context.Context, *hubwire.Conn) error { d.add("connect"); return nil },
	}, filtered, count, sum, mirror)
	c := hubtest.New(t, hub).Dial(t)
	if got, want := d.take(), "x+, y+, connect, y-, x-"; got != want {
		t.Errorf("Connect: %s; want %s", got, want)
	}
	ctx := t.Context()
	check(t, hubwire.Command[hubwire.None]("Do").Call(ctx, c, hubwire.None{}))
	if got, want := d.take(), "x+Do, y+Do, b+Do, c+Do, d+Do, do, d-, c-, b-, y-, x-"; got != want {
		t.Errorf("Do: %s; want %s", got, want)
	}
	// A filter sees a stream to its last item.
	_, err := collect(hubwire.ServerStream[int, int]("Count").Open(ctx, c, 2))
	check(t, err)
	if got, want := d.take(), "x+Count, y+Count, 0, 1, end, y-, x-"; got != want {
		t.Errorf("Count: %s; want %s", got, want)
	}
	_, err = hubwire.ClientStream[int, int]("Sum").Call(ctx, c, upTo(1))
	check(t, err)
	if got, want := d.take(), "x+Sum, y+Sum, sum, y-, x-"; got != want {
		t.Errorf("Sum: %s; want %s", got, want)
	}
	_, err = collect(hubwire.BidiStream[int, int]("Mirror").Open(ctx, c, upTo(1)))
	check(t, err)
	if got, want := d.take(), "x+Mirror, y+Mirror, mirror, y-, x-"; got != want {
		t.Errorf("Mirror: %s; want %s", got, want)
	}
	other := newHub(nil, do)
	check(t, hubwire.Command[hubwire.None]("Do").Call(ctx, hubtest.New(t, other).Dial(t), hubwire.None{}))
	if got := d.take(); got != "do" {
		t.Errorf("Use changed the handler: %s", got)
	}
	// Disconnect is not wrapped: a filter that forgot next would skip clean-up.
	check(t, c.Close())
	if got := d.take(); got != "" {
		t.Errorf("Disconnect is wrapped: %s", got)
	}
}

// The unauthorised are told so before anybody looks at their arguments (D 16).
func TestUnauthorizedBeforeBinding(t *testing.T) {
	requireUser := func(next hubwire.Invoke) hubwire.Invoke {
		return func(ctx context.Context, call *hubwire.Call) error {
			if call.Conn().User().ID == "" {
				return fmt.Errorf("%s: %w", call.Name(), hubwire.ErrUnauthorized)
			}
			return next(ctx, call)
		}
	}
	hub := newHub(nil,
		hubwire.Method[add, int]("Add").With(func(_ context.Context, _ *hubwire.Conn, in add) (int, error) { return in.A + in.B, nil }).Use(requireUser),
		hubwire.ServerStream[int, int]("Count").With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] { return upTo(n) }).Use(requireUser))
	l := open(t, hub, rawA, -1)
	for _, in := range []wire.Call{
		{Name: "Add", Args: list(`1`, `2`)},
		{Name: "Add", Args: list(`"wrong"`)},
		{Name: "Add", Args: wire.Values{Err: errors.New("cut off")}},
		{Name: "Count", Args: list(`2`), Stream: true},
		{Name: "Count", Args: list(), Stream: true, Uploads: []wire.Source{&rawSource{}}},
	} {
		r := l.start(in)
		<-r.done
		if fault(r.err) != wire.Unauthorized || !errors.Is(r.err, hubwire.ErrUnauthorized) {
			t.Errorf("%s%v: %v", in.Name, in.Args, r.err)
		}
	}
	c := hubtest.New(t, hub).DialUser(t, "ann")
	if n, err := hubwire.Method[add, int]("Add").Call(t.Context(), c, add{A: 1, B: 2}); n != 3 || err != nil {
		t.Errorf("Add = %v, %v", n, err)
	}
}

// A filter may look at the input and change it, and sees the result.
func TestFilterInputAndResult(t *testing.T) {
	var saw []any
	filter := func(next hubwire.Invoke) hubwire.Invoke {
		return func(ctx context.Context, call *hubwire.Call) error {
			in, err := call.Input()
			if err != nil {
				saw = append(saw, "bad")
				if again, err2 := call.Input(); again != in || err2 != err {
					t.Errorf("Input is bound twice: %v, %v", again, err2)
				}
				return next(ctx, call)
			}
			if p, ok := in.(*add); ok {
				p.B *= 10
			}
			if call.Result() != nil {
				t.Errorf("a result before the call: %v", call.Result())
			}
			err = next(ctx, call)
			saw = append(saw, call.Kind(), call.Result())
			return err
		}
	}
	hub := newHub(&hubwire.Options{Filters: []hubwire.Filter{filter}, Connect: func(context.Context, *hubwire.Conn) error { return nil }},
		hubwire.Method[add, int]("Add").With(func(_ context.Context, _ *hubwire.Conn, in add) (int, error) { return in.A + in.B, nil }),
		hubwire.Command[hubwire.None]("Do").With(nothing))
	c := hubtest.New(t, hub).Dial(t)
	ctx := t.Context()
	if n, err := hubwire.Method[add, int]("Add").Call(ctx, c, add{A: 1, B: 2}); n != 21 || err != nil {
		t.Errorf("Add = %v, %v", n, err)
	}
	check(t, hubwire.Command[hubwire.None]("Do").Call(ctx, c, hubwire.None{}))
	if err := hubwire.Command[string]("Add").Call(ctx, c, "x"); err == nil {
		t.Error("bound")
	}
	if want := []any{wire.Connect, nil, wire.Method, 21, wire.Command, nil, "bad"}; !slices.Equal(saw, want) {
		t.Errorf("saw %v, want %v", saw, want)
	}
}

// A filter that answers without next is the outcome; the mode is checked all
// the same.
func TestFilterWithoutNext(t *testing.T) {
	stop := func(hubwire.Invoke) hubwire.Invoke {
		return func(_ context.Context, call *hubwire.Call) error {
			if call.Name() == "Bad" {
				return hubwire.Errorf(hubwire.CodeAborted, "no")
			}
			return nil
		}
	}
	never := func(context.Context, *hubwire.Conn, int) error { t.Error("the handler ran"); return nil }
	hub := newHub(nil,
		hubwire.Command[int]("Good").With(never).Use(stop),
		hubwire.Command[int]("Bad").With(never).Use(stop),
		hubwire.ServerStream[int, int]("Stream").With(func(context.Context, *hubwire.Conn, int) iter.Seq2[int, error] {
			t.Error("the handler ran")
			return nil
		}).Use(stop))
	l := open(t, hub, rawA, -1)
	for _, test := range []struct {
		in   wire.Call
		kind wire.FaultKind
	}{
		{wire.Call{Name: "Good", Args: list(`1`)}, 0},
		{wire.Call{Name: "Good", Args: list(`1`), Stream: true}, wire.MustNotStream},
		{wire.Call{Name: "Bad", Args: list(`1`)}, wire.Failed},
		{wire.Call{Name: "Stream", Args: list(`1`), Stream: true}, 0},
		{wire.Call{Name: "Stream", Args: list(`1`)}, wire.MustStream},
	} {
		r := l.start(test.in)
		<-r.done
		if fault(r.err) != test.kind {
			t.Errorf("%s, stream %v: %v, want %v", test.in.Name, test.in.Stream, r.err, test.kind)
		}
	}
}

// A filter that gives a handler up leaves it running with its call: the memory of
// such a call is not used again, or the late handler would write into somebody
// else's. That of a call without filters is.
func TestFilteredCallsAreNotUsedAgain(t *testing.T) {
	late, over := make(chan struct{}), make(chan struct{})
	work := func(_ context.Context, _ *hubwire.Conn, n int) (int, error) {
		if n == 1 {
			<-late
		}
		return n, nil
	}
	hub := newHub(nil,
		hubwire.Method[int, int]("Bounded").With(work).Use(func(next hubwire.Invoke) hubwire.Invoke {
			return func(ctx context.Context, call *hubwire.Call) error {
				if _, err := call.Input(); err != nil {
					return err
				}
				go func() { // ends with late
					defer close(over)
					_ = next(ctx, call)
				}()
				return hubwire.Errorf(hubwire.CodeDeadlineExceeded, "late")
			}
		}),
		hubwire.Method[int, int]("Plain").With(work))
	l := open(t, hub, rawA, -1)
	freed := make(chan string, 2)
	call := func(name, arg string) *rawCall {
		r := l.start(wire.Call{Name: name, Args: list(arg), Free: func() { freed <- name }})
		<-r.done
		return r
	}
	if r := call("Bounded", `1`); fault(r.err) != wire.Failed {
		t.Errorf("Bounded: %v, %v", r.v, r.err)
	}
	if r := call("Plain", `2`); r.v != 2 || r.err != nil {
		t.Errorf("Plain: %v, %v", r.v, r.err)
	}
	if name := <-freed; name != "Plain" { // they are freed in the order of the calls
		t.Errorf("%s is used again", name)
	}
	close(late)
	<-over
	if len(freed) > 0 {
		t.Errorf("%s is used again", <-freed)
	}
}

// A filter's context reaches the handler and the uploads' stream.
func TestFilterContext(t *testing.T) {
	hub := newHub(nil, hubwire.Method[hubwire.None, string]("Who").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (string, error) {
		return fmt.Sprint(ctx.Value(key{})), nil
	}).Use(func(next hubwire.Invoke) hubwire.Invoke {
		return func(ctx context.Context, call *hubwire.Call) error {
			return next(context.WithValue(ctx, key{}, fmt.Sprint(ctx.Value(key{}), "+filter")), call)
		}
	}))
	c := hubtest.New(t, hub).DialWith(t, &hubtest.DialOptions{Context: withValue("request")})
	if got, err := hubwire.Method[hubwire.None, string]("Who").Call(t.Context(), c, hubwire.None{}); got != "request+filter" || err != nil {
		t.Errorf("Who = %q, %v", got, err)
	}
}

// A refusal in Connect by a filter, and a panic there, refuse the connection and
// nothing else.
func TestFilterRefusesConnect(t *testing.T) {
	for name, filter := range map[string]hubwire.Filter{
		"error": func(hubwire.Invoke) hubwire.Invoke {
			return func(context.Context, *hubwire.Call) error { return hubwire.ErrUnauthorized }
		},
		"panic": func(hubwire.Invoke) hubwire.Invoke {
			return func(context.Context, *hubwire.Call) error { panic("oh") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newHub(&hubwire.Options{
				Filters:    []hubwire.Filter{filter},
				Connect:    func(context.Context, *hubwire.Conn) error { t.Error("Connect ran"); return nil },
				Disconnect: func(context.Context, *hubwire.Conn, error) { t.Error("Disconnect ran") },
			})
			if _, err := hubtest.New(t, hub).TryDial(nil); err == nil {
				t.Error("accepted")
			}
			for range hub.Connections() {
				t.Error("a connection is left")
			}
		})
	}
}
