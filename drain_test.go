package hubwire_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// Drain returns when all that waited has started, in order, also where nobody
// takes the results; End then has nothing to drop.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 2}},
			hubwire.Method[int, string]("Do").With(func(ctx context.Context, _ *hubwire.Conn, n int) (string, error) {
				time.Sleep(time.Second)
				d.add("%d %v", n, ctx.Err())
				return strings.Repeat("x", 1000), nil
			}),
			hubwire.ServerStream[int, int]("Count").With(counting(&d)))
		l := open(t, hub, rawA, 0)
		for i := range 7 {
			l.start(wire.Call{Name: "Do", Args: list(fmt.Sprint(i)), Size: 1})
		}
		l.start(wire.Call{Name: "Count", Args: list("2"), Stream: true, Size: 1})
		start := time.Now()
		l.port.Drain()
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("Drain took %v", took)
		}
		l.port.Drain() // nothing waits
		l.fail()
		l.port.End(nil)
		if got, want := d.take(), "0 <nil>, 1 <nil>, 2 <nil>, 3 <nil>, 4 <nil>, 5 <nil>, counts to 2, 6 context canceled"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}

// A call that does not end holds Drain up for 5 s, calls that do for 30 s; what
// waits then is dropped.
func TestDrainEnds(t *testing.T) {
	for _, r := range []struct {
		name          string
		each, drained time.Duration
		ran           string
	}{
		{"one hangs", time.Hour, 5 * time.Second, "0 context canceled"},
		{"all are slow", 4 * time.Second, 30 * time.Second, "0 <nil>, 1 <nil>, 2 <nil>, 3 <nil>, 4 <nil>, 5 <nil>, 6 <nil>, 7 context canceled"},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				hub := newHub(nil, hubwire.Command[int]("Do").With(func(ctx context.Context, _ *hubwire.Conn, n int) error {
					select {
					case <-time.After(r.each):
					case <-ctx.Done():
					}
					d.add("%d %v", n, ctx.Err())
					return nil
				}))
				l := open(t, hub, rawA, -1)
				for i := range 20 {
					l.start(wire.Call{Name: "Do", Args: list(fmt.Sprint(i)), Size: 1})
				}
				start := time.Now()
				l.port.Drain()
				if took := time.Since(start); took != r.drained {
					t.Errorf("Drain took %v, want %v", took, r.drained)
				}
				l.port.End(nil)
				if got := d.take(); got != r.ran {
					t.Errorf("%s; want %s", got, r.ran)
				}
			})
		})
	}
}

// A Greeting goes in front of whatever is sent to the connection, and who has it
// gets all that is sent from then on.
func TestGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			return Said.Send(ctx, c, "connected")
		}})
		l := &greeter{rawLink: rawLink{proto: rawA, room: -1, wake: make(chan struct{}), closed: make(chan struct{})}}
		l.greeted = func() { check(t, Said.Send(t.Context(), hub.All(), "to all")) }
		port, err := hub.Open(t.Context(), l, "ann", nil, &hubwire.Request{})
		check(t, err)
		synctest.Wait()
		got := l.text()
		if !strings.HasPrefix(got, "hello\n") || !strings.Contains(got, `Said("to all")`) || !strings.Contains(got, `Said("connected")`) {
			t.Errorf("%q", got)
		}
		port.End(nil)

		// One that is refused at once has not been greeted.
		full := newHub(&hubwire.Options{MaxConnections: 1})
		other := open(t, full, rawA, -1)
		l = &greeter{rawLink: rawLink{proto: rawA, room: -1, wake: make(chan struct{}), closed: make(chan struct{})}}
		if port, err := full.Open(t.Context(), l, "bob", nil, &hubwire.Request{}); port != nil || err != hubwire.ErrFull || l.text() != "" {
			t.Errorf("%v %v %q", port, err, l.text())
		}
		other.port.End(nil)
	})
}

// A greeter is a rawLink with a Greeting, behind which a client may do something
// at once.
type greeter struct {
	rawLink
	greeted func()
}

func (g *greeter) Greeting() []byte { return []byte("hello\n") }

func (g *greeter) TryWrite(p []byte) (int, error) {
	n, err := g.rawLink.TryWrite(p)
	if f := g.greeted; f != nil && strings.HasPrefix(string(p), "hello\n") {
		g.greeted = nil
		go f() // ends with the send
	}
	return n, err
}

func counting(d *diary) func(context.Context, *hubwire.Conn, int) iter.Seq2[int, error] {
	return func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
		d.add("counts to %d", n)
		return upTo(n)
	}
}
