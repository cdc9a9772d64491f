package hubtest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

type Message struct{ User, Text string }

const (
	Send     hubwire.Command[Message]                = "Send"
	Join     hubwire.Method[string, int]             = "Join"
	Count    hubwire.ServerStream[int, int]          = "Count"
	Sum      hubwire.ClientStream[int, int]          = "Sum"
	Mirror   hubwire.BidiStream[int, int]            = "Mirror"
	Received hubwire.Event[Message]                  = "Received"
	Confirm  hubwire.ClientMethod[string, bool]      = "Confirm"
	Ask      hubwire.Method[string, bool]            = "Ask"
	Forever  hubwire.ServerStream[hubwire.None, int] = "Forever"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func handlers() []hubwire.Handler {
	return []hubwire.Handler{
		Send.With(func(ctx context.Context, c *hubwire.Conn, m Message) error {
			return Received.Send(ctx, c.Others(), m)
		}),
		Join.With(func(ctx context.Context, c *hubwire.Conn, room string) (int, error) {
			return len(room), c.Join(ctx, room)
		}),
		Count.With(func(ctx context.Context, c *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
			}
		}),
		Forever.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 0; yield(i, nil); i++ {
				}
			}
		}),
		Sum.With(func(ctx context.Context, c *hubwire.Conn, items iter.Seq2[int, error]) (sum int, err error) {
			for v, err := range items {
				if err != nil {
					return 0, err
				}
				sum += v
			}
			return sum, nil
		}),
		Mirror.With(func(ctx context.Context, c *hubwire.Conn, items iter.Seq2[int, error]) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for v, err := range items {
					if !yield(2*v, err) {
						return
					}
				}
			}
		}),
		Ask.With(func(ctx context.Context, c *hubwire.Conn, q string) (bool, error) { return Confirm.Call(ctx, c, q) }),
	}
}

func newHub(opts *hubwire.Options) *hubwire.Hub {
	hub := hubwire.New(opts)
	hub.Handle(handlers()...)
	return hub
}

func seq(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// both runs a story in a bubble and outside of one, in each protocol.
func both(t *testing.T, story func(t *testing.T, opts *hubtest.DialOptions)) {
	for _, protocol := range []string{"json", "messagepack"} {
		opts := &hubtest.DialOptions{Protocol: protocol}
		t.Run(protocol, func(t *testing.T) { story(t, opts) })
		t.Run(protocol+"/bubble", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { story(t, opts) })
		})
	}
}

func TestEveryKind(t *testing.T) {
	both(t, func(t *testing.T, opts *hubtest.DialOptions) {
		server := hubtest.New(t, newHub(nil))
		ann := server.DialWith(t, opts, Confirm.With(func(ctx context.Context, q string) (bool, error) { return q == "sure?", nil }))
		bob := server.DialWith(t, opts)
		ctx := t.Context()

		check(t, Send.Call(ctx, ann, Message{"ann", "hi"}))
		if got := hubtest.Next(t, bob, Received); got != (Message{"ann", "hi"}) {
			t.Errorf("got %v", got)
		}
		check(t, Send.Send(ctx, ann, Message{"ann", "again"}))
		if got := hubtest.Next(t, bob, Received); got.Text != "again" {
			t.Errorf("got %v", got)
		}
		hubtest.WantNone(t, ann, Received)
		if n, err := Join.Call(ctx, ann, "room"); n != 4 || err != nil {
			t.Errorf("Join = %v, %v", n, err)
		}
		var got []int
		for v, err := range Count.Open(ctx, ann, 5) {
			check(t, err)
			got = append(got, v)
		}
		if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
			t.Errorf("Count = %v", got)
		}
		if n, err := Sum.Call(ctx, ann, seq(1000)); n != 499500 || err != nil {
			t.Errorf("Sum = %v, %v", n, err)
		}
		got = nil
		for v, err := range Mirror.Open(ctx, ann, seq(4)) {
			check(t, err)
			got = append(got, v)
		}
		if !slices.Equal(got, []int{0, 2, 4, 6}) {
			t.Errorf("Mirror = %v", got)
		}
		if yes, err := Ask.Call(ctx, ann, "sure?"); !yes || err != nil {
			t.Errorf("Ask = %v, %v", yes, err)
		}
		if _, err := Ask.Call(ctx, bob, "sure?"); err == nil {
			t.Error("bob has no handler, and answered")
		}
		for v, err := range Forever.Open(ctx, ann, hubwire.None{}) {
			check(t, err)
			if v == 10 {
				break
			}
		}
		check(t, ann.Close())
		hubtest.WantClosed(t, ann, nil)
		if err := Send.Call(ctx, ann, Message{}); !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestSlowClientIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(&hubwire.Options{Queue: hubwire.Queue{Messages: 2}})
		slow := hubtest.New(t, hub).Dial(t, Received.With(hubtest.Block))
		for range 4 {
			check(t, Received.Send(t.Context(), hub.All(), Message{Text: "hi"}))
		}
		synctest.Wait()
		hubtest.WantClosed(t, slow, hubwire.ErrSlow)
	})
}

func TestBlockStallsInFrontOfItsEvent(t *testing.T) {
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	for _, limit := range []int{0, 5, 64} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			const other hubwire.Event[int] = "Other"
			c := server.DialWith(t, &hubtest.DialOptions{Limit: limit}, Received.With(hubtest.Block))
			for i := range 3 {
				check(t, other.Send(t.Context(), hub.Conn(c.ID()), i))
			}
			check(t, Received.Send(t.Context(), hub.Conn(c.ID()), Message{Text: "stop"}))
			check(t, other.Send(t.Context(), hub.Conn(c.ID()), 3))
			for want := range 3 {
				if got := hubtest.Next(t, c, other); got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			}
			c.Resume() // Block is called now, and waits
			if got := hubtest.Next(t, c, other); got != 3 {
				t.Errorf("got %d, want 3", got)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	hub := newHub(&hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
		if c.User().ID == "" {
			return hubwire.ErrUnauthorized
		}
		return Received.Send(ctx, c, Message{Text: "welcome " + c.User().ID})
	}})
	server := hubtest.New(t, hub)
	if _, err := server.TryDial(nil); !errors.Is(err, hubwire.ErrUnauthorized) {
		t.Errorf("TryDial: %v", err)
	}
	ann := server.DialUser(t, "ann")
	if got := hubtest.Next(t, ann, Received); got.Text != "welcome ann" {
		t.Errorf("got %v", got)
	}
}

func TestEnds(t *testing.T) {
	both(t, func(t *testing.T, opts *hubtest.DialOptions) {
		gone := make(chan error, 10)
		hub := newHub(&hubwire.Options{Disconnect: func(ctx context.Context, c *hubwire.Conn, cause error) { gone <- cause }})
		server := hubtest.New(t, hub)

		c := server.DialWith(t, opts)
		check(t, c.Close())
		if cause := <-gone; cause != nil {
			t.Errorf("Close: cause %v", cause)
		}
		c = server.DialWith(t, opts)
		c.Drop()
		if cause := <-gone; cause != nil {
			t.Errorf("Drop: cause %v", cause)
		}
		<-c.Done()
		if !c.Reconnect() {
			t.Error("Drop: a client may reconnect")
		}
		c = server.DialWith(t, opts)
		c.Conn().Abort()
		if cause := <-gone; cause != nil {
			t.Errorf("Abort: cause %v", cause)
		}
		hubtest.WantClosed(t, c, nil)
		if c.Reconnect() {
			t.Error("Abort: the client may reconnect")
		}
		c = server.DialWith(t, opts)
		c.Stall()
		c.Conn().Abort()
		hubtest.WantClosed(t, c, nil)
		<-gone
		c = server.DialWith(t, opts)
		check(t, hub.Shutdown(t.Context()))
		<-gone
		hubtest.WantClosed(t, c, hubwire.ErrShutdown)
		if !c.Reconnect() {
			t.Error("Shutdown: the client may not reconnect")
		}
		if _, err := server.TryDial(opts); !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("after Shutdown: %v", err)
		}
	})
}

func TestLimitedTransportLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, opts *hubtest.DialOptions) {
		hub := newHub(nil)
		server := hubtest.New(t, hub)
		limited := *opts
		limited.Limit = 7
		c := server.DialWith(t, &limited)
		for i := range 500 {
			check(t, Received.Send(t.Context(), hub.All(), Message{Text: fmt.Sprint(i)}))
		}
		got := hubtest.Got(t, c, Received)
		for i, m := range got {
			if m.Text != fmt.Sprint(i) {
				t.Fatalf("at %d: %v", i, m)
			}
		}
		if len(got) != 500 {
			t.Errorf("%d of 500 came", len(got))
		}
	})
}
