package hubwire_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// A flaky backplane fails as often as it is told.
type flaky struct {
	hubwire.Backplane
	mu     sync.Mutex
	starts int // to fail
	subs   int // to fail
	live   int // started and not closed
}

var errDown = errors.New("down")

func (f *flaky) fails(n *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n > 0 {
		*n--
		return true
	}
	return false
}

func (f *flaky) Start(ctx context.Context, hub string, in hubwire.Inbox) error {
	if f.fails(&f.starts) {
		return errDown
	}
	err := f.Backplane.Start(ctx, hub, in)
	if err == nil {
		f.mu.Lock()
		f.live++
		f.mu.Unlock()
	}
	return err
}

func (f *flaky) Subscribe(ctx context.Context, addrs ...hubwire.Address) error {
	if f.fails(&f.subs) {
		return errDown
	}
	return f.Backplane.Subscribe(ctx, addrs...)
}

func (f *flaky) Close(ctx context.Context, hub string) error {
	f.mu.Lock()
	f.live--
	f.mu.Unlock()
	return f.Backplane.Close(ctx, hub)
}

// A backplane that is down at the start refuses connections and sends; when it
// is up the hub misses nothing.
func TestBackplaneDownAtStart(t *testing.T) {
	for _, f := range []*flaky{{starts: 2}, {subs: 1}, {subs: 2}, {subs: 3}, {subs: 4}} {
		synctest.Test(t, func(t *testing.T) {
			b := hubtest.NewBackplane()
			f.Backplane = b.Node()
			hub := newHub(&hubwire.Options{Name: "x", Backplane: f})
			other := newHub(&hubwire.Options{Name: "x", Backplane: b.Node()})
			server := hubtest.New(t, hub)
			hubtest.New(t, other)
			var c *hubtest.Client
			for tries := 0; c == nil; tries++ {
				var err error
				if c, err = server.TryDial(&hubtest.DialOptions{User: &hubwire.User{ID: "ann"}}); err != nil && !errors.Is(err, errDown) {
					t.Fatalf("refused: %v", err)
				}
				if tries > 10 {
					t.Fatal("refused for good")
				}
			}
			check(t, c.Conn().Join(t.Context(), "room"))
			for _, h := range []*hubwire.Hub{hub, other} {
				for _, to := range []hubwire.Target{h.All(), h.Group("room"), h.User("ann"), h.Conn(c.ID())} {
					check(t, Said.Send(t.Context(), to, "x"))
					hubtest.Next(t, c, Said)
				}
			}
			hubtest.WantNone(t, c, Said)
			check(t, hub.Shutdown(t.Context()))
			check(t, other.Shutdown(t.Context()))
			if err := Said.Send(t.Context(), hub.All(), "x"); !errors.Is(err, hubwire.ErrClosed) {
				t.Errorf("Send after Shutdown: %v", err)
			}
			if f.live != 0 {
				t.Errorf("the backplane is started %d times too often", f.live)
			}
		})
	}
}

// A hub that was shut down before it did anything does not start its backplane.
func TestShutdownWithoutStart(t *testing.T) {
	f := &flaky{Backplane: hubtest.NewBackplane().Node()}
	hub := newHub(&hubwire.Options{Name: "x", Backplane: f})
	hubtest.New(t, hub)
	check(t, hub.Shutdown(t.Context()))
	if err := Said.Send(t.Context(), hub.All(), "x"); !errors.Is(err, hubwire.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	if f.live != 0 {
		t.Errorf("it was started")
	}
}

// While the backplane fails, sends to many and joins say so; connections of this
// node can be sent to, and asked.
func TestBackplaneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const Ask hubwire.ClientMethod[int, int] = "Ask"
		b := hubtest.NewBackplane()
		hub := newHub(&hubwire.Options{Name: "x", Backplane: b.Node()})
		c := hubtest.New(t, hub).Dial(t, Ask.With(func(_ context.Context, n int) (int, error) { return n, nil }))
		ctx := t.Context()
		check(t, c.Conn().Join(ctx, "room"))
		b.Fail(errDown)
		for _, to := range []hubwire.Target{hub.All(), hub.Group("room"), hub.User("ann"), hub.Conn("nobody")} {
			if err := Said.Send(ctx, to, "x"); !errors.Is(err, errDown) {
				t.Errorf("Send: %v", err)
			}
		}
		if err := c.Conn().Join(ctx, "other"); !errors.Is(err, errDown) {
			t.Errorf("Join: %v", err)
		}
		if err := hub.Join(ctx, "nobody", "other"); !errors.Is(err, errDown) {
			t.Errorf("Join: %v", err)
		}
		check(t, Said.Send(ctx, c.Conn(), "x"))
		hubtest.Next(t, c, Said)
		if n, err := Ask.Call(ctx, c.Conn(), 7); n != 7 || err != nil {
			t.Errorf("Ask = %v, %v", n, err)
		}
		b.Fail(nil)
		check(t, c.Conn().Join(ctx, "other"))
		check(t, Said.Send(ctx, hub.Group("room", "other"), "x"))
		hubtest.Next(t, c, Said)
		hubtest.Next(t, c, Said)
		hubtest.WantNone(t, c, Said)
		check(t, hub.Shutdown(ctx))
	})
}

// A silent backplane takes messages and loses them.
type silent struct{ hubwire.Backplane }

func (s silent) Publish(context.Context, hubwire.Address, *hubwire.Message) error { return nil }

// A Send without an echo, and a join without an acknowledgement, is
// ErrUnconfirmed after a while; its context may end the waiting before.
func TestUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Name: "x", Backplane: silent{hubtest.NewBackplane().Node()}})
		hubtest.New(t, hub).Dial(t)
		start := time.Now()
		if err := Said.Send(t.Context(), hub.All(), "x"); !errors.Is(err, hubwire.ErrUnconfirmed) {
			t.Errorf("Send: %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := hub.Join(t.Context(), "nobody", "room"); !errors.Is(err, hubwire.ErrUnconfirmed) {
			t.Errorf("Join: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := Said.Send(ctx, hub.All(), "x")
		if !errors.Is(err, hubwire.ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
		check(t, hub.Shutdown(t.Context()))
	})
}

// A message survives the trip as bytes, and no bytes do harm.
func TestMessage(t *testing.T) {
	m := &hubwire.Message{Kind: hubwire.MessageEvent, Blobs: []hubwire.Blob{{Protocol: "p", Bytes: []byte{0, 1, 255}}, {}}, Except: []string{"", "a"}, ID: "1", Node: "n"}
	b := m.Append(nil)
	for i := range b {
		if _, err := hubwire.ParseMessage(b[:i]); err == nil {
			t.Errorf("the first %d bytes of %d were taken", i, len(b))
		}
	}
	if _, err := hubwire.ParseMessage(append(b, 0)); err == nil {
		t.Error("a byte too many was taken")
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, m := range []*hubwire.Message{
		{Kind: hubwire.MessageEvent, Blobs: []hubwire.Blob{{Protocol: "json", Bytes: []byte(`{"type":1}`)}}, Except: []string{"a", "b"}},
		{Kind: hubwire.MessageAnswer, ID: "1", Failed: true, Error: "no"},
		{Kind: hubwire.MessageJoin, ID: "2", Node: "n", Conn: "c", Group: "g"},
		{Kind: hubwire.MessageAck, ID: "2"},
	} {
		f.Add(m.Append(nil))
	}
	f.Add([]byte{})
	f.Add([]byte{1, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := hubwire.ParseMessage(src)
		if err != nil {
			return
		}
		again, err := hubwire.ParseMessage(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if string(again.Append(nil)) != string(m.Append(nil)) {
			t.Errorf("%+v is not %+v", again, m)
		}
	})
}
