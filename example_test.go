package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// A complete hub. In a program it is mounted on a wire, here a test's clients
// call it.
func Example() {
	type Message struct{ User, Text string }
	const (
		Send     hubwire.Command[Message] = "Send"           // a client calls it
		Received hubwire.Event[Message]   = "ReceiveMessage" // every client hears it
	)
	hub := hubwire.New(nil)
	hub.Handle(Send.With(func(ctx context.Context, c *hubwire.Conn, m Message) error {
		return Received.Send(ctx, c.Hub().All(), m)
	}))

	hubtest.Example(func(t testing.TB) { // signalr.Mount(http.DefaultServeMux, "/chat", hub, nil)
		server := hubtest.New(t, hub)
		ann, bob := server.Dial(t), server.Dial(t)
		if err := Send.Call(t.Context(), ann, Message{"ann", "hello"}); err != nil {
			t.Fatal(err)
		}
		fmt.Println(hubtest.Next(t, bob, Received))
	})
	// Output: {ann hello}
}

// Rooms are groups: whoever joins one hears what is sent to it from then on.
func Example_rooms() {
	type Post struct {
		hubwire.Args // the fields are the arguments: Say("room", "text")
		Room, Text   string
	}
	const (
		Enter  hubwire.Command[string] = "Enter"
		Say    hubwire.Command[Post]   = "Say"
		Posted hubwire.Event[string]   = "Posted"
	)
	hub := hubwire.New(nil)
	hub.Handle(
		Enter.With(func(ctx context.Context, c *hubwire.Conn, room string) error {
			if err := c.Join(ctx, room); err != nil {
				return err
			}
			return Posted.Send(ctx, c.OthersIn(room), c.User().ID+" is here")
		}),
		Say.With(func(ctx context.Context, c *hubwire.Conn, p Post) error {
			return Posted.Send(ctx, c.Hub().Group(p.Room), c.User().ID+": "+p.Text)
		}),
	)

	hubtest.Example(func(t testing.TB) {
		server := hubtest.New(t, hub)
		ann, bob, eve := server.DialUser(t, "ann"), server.DialUser(t, "bob"), server.DialUser(t, "eve")
		for _, c := range []*hubtest.Client{ann, bob} {
			if err := Enter.Call(t.Context(), c, "go"); err != nil {
				t.Fatal(err)
			}
		}
		if err := Say.Call(t.Context(), bob, Post{Room: "go", Text: "hi"}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("ann:", hubtest.Got(t, ann, Posted))
		fmt.Println("bob:", hubtest.Got(t, bob, Posted))
		fmt.Println("eve:", hubtest.Got(t, eve, Posted))
	})
	// Output:
	// ann: [bob is here bob: hi]
	// bob: [bob: hi]
	// eve: []
}

// Streams are iterators, both ways. Leaving the loop ends the other end.
func Example_streaming() {
	const (
		Countdown hubwire.ServerStream[int, int]     = "Countdown"
		Average   hubwire.ClientStream[int, float64] = "Average"
	)
	hub := hubwire.New(nil)
	hub.Handle(
		Countdown.With(func(ctx context.Context, c *hubwire.Conn, from int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for n := from; n >= 0; n-- {
					if !yield(n, nil) { // the client has left, and ctx has ended
						return
					}
				}
			}
		}),
		Average.With(func(ctx context.Context, c *hubwire.Conn, readings iter.Seq2[int, error]) (float64, error) {
			sum, n := 0, 0
			for v, err := range readings {
				if err != nil {
					return 0, err
				}
				sum += v
				n++
			}
			return float64(sum) / float64(n), nil
		}),
	)

	hubtest.Example(func(t testing.TB) {
		c := hubtest.New(t, hub).Dial(t)
		for n, err := range Countdown.Open(t.Context(), c, 10) {
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Println(n); n == 8 {
				break
			}
		}
		readings := func(yield func(int, error) bool) {
			for _, v := range []int{19, 20, 24} {
				if !yield(v, nil) {
					return
				}
			}
		}
		fmt.Println(Average.Call(t.Context(), c, readings))
	})
	// Output:
	// 10
	// 9
	// 8
	// 21 <nil>
}

// A filter that lets nobody through who is not signed in. It runs before the
// arguments are looked at, and wraps streams as well as calls.
func ExampleFilter_authorize() {
	requireUser := func(next hubwire.Invoke) hubwire.Invoke {
		return func(ctx context.Context, call *hubwire.Call) error {
			if call.Conn().User().ID == "" {
				return hubwire.ErrUnauthorized
			}
			return next(ctx, call)
		}
	}
	const Balance hubwire.Method[hubwire.None, int] = "Balance"
	hub := hubwire.New(nil)
	hub.Handle(Balance.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (int, error) {
		return 42, nil
	}).Use(requireUser))

	hubtest.Example(func(t testing.TB) {
		server := hubtest.New(t, hub)
		fmt.Println(Balance.Call(t.Context(), server.DialUser(t, "ann"), hubwire.None{}))
		_, err := Balance.Call(t.Context(), server.Dial(t), hubwire.None{})
		if e, ok := errors.AsType[*hubwire.Error](err); ok {
			fmt.Println(e.Code)
		}
	})
	// Output:
	// 42 <nil>
	// permission denied
}

// A hub as a type, for those who like it so.
func ExampleMethods() {
	hub := hubwire.New(nil)
	hub.Handle(hubwire.Methods(&Calculator{}, map[string]string{"Div": "Divide"})...)

	hubtest.Example(func(t testing.TB) {
		c := hubtest.New(t, hub).Dial(t)
		divide := hubwire.Method[hubwire.List, int]("Divide") // a name known at run time
		fmt.Println(divide.Call(t.Context(), c, hubwire.List{42, 6}))
		fmt.Println(divide.Call(t.Context(), c, hubwire.List{42, 0}))
	})
	// Output:
	// 7 <nil>
	// 0 by zero, really?
}

// A Calculator is a hub.
type Calculator struct{}

// Div is called Divide.
func (*Calculator) Div(ctx context.Context, c *hubwire.Conn, a, b int) (int, error) {
	if b == 0 {
		return 0, hubwire.Errorf(hubwire.CodeInvalidArgument, "by zero, really?")
	}
	return a / b, nil
}
