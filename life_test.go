package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

const Said hubwire.Event[string] = "Said"

// Connect returns before the first call starts; Disconnect runs once, after the
// last call has ended; memberships are gone by then (D 16, 17).
func TestConnectAndDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		hub := newHub(&hubwire.Options{
			Connect: func(ctx context.Context, c *hubwire.Conn) error {
				d.add("connect %s", ctx.Value(key{}))
				time.Sleep(time.Second)
				d.add("connected")
				return c.Join(ctx, "room")
			},
			Disconnect: func(ctx context.Context, c *hubwire.Conn, cause error) {
				d.add("disconnect %v, ctx %v, conn %v, value %v", cause, ctx.Err(), c.Context().Err(), ctx.Value(key{}))
				check(t, Said.Send(ctx, c.Hub().Group("room"), c.ID()+" is gone"))
			},
		}, hubwire.Command[string]("Do").With(func(ctx context.Context, c *hubwire.Conn, s string) error {
			d.add("do")
			<-ctx.Done()
			d.add("done %v", context.Cause(ctx))
			time.Sleep(time.Second)
			d.add("do ends")
			return nil
		}))
		server := hubtest.New(t, hub)
		watcher := server.Dial(t)
		d.take()
		c := server.DialWith(t, &hubtest.DialOptions{ID: "ann", Context: withValue("v")})
		check(t, hubwire.Command[string]("Do").Send(t.Context(), c, "x"))
		synctest.Wait()
		c.Drop()
		synctest.Wait()
		if got, want := d.take(), "connect v, connected, do, done context canceled"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		// Nothing is sent to it any more, though its call still runs.
		check(t, Said.Send(t.Context(), hub.Group("room"), "x"))
		if got := hubtest.Got(t, watcher, Said); len(got) != 1 {
			t.Errorf("the watcher got %v", got)
		}
		time.Sleep(2 * time.Second)
		if got, want := d.take(), "do ends, disconnect <nil>, ctx <nil>, conn context canceled, value v"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if got := hubtest.Got(t, watcher, Said); !slices.Equal(got, []string{"ann is gone"}) {
			t.Errorf("the watcher got %v", got)
		}
	})
}

// A call that ignores the end of its context delays Disconnect by 5 s and no
// more.
func TestDisconnectDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		gone := make(chan time.Time, 1)
		hub := newHub(&hubwire.Options{
			Disconnect: func(ctx context.Context, c *hubwire.Conn, cause error) { gone <- time.Now() },
		}, hubwire.Command[hubwire.None]("Hang").With(func(context.Context, *hubwire.Conn, hubwire.None) error { <-release; return nil }))
		c := hubtest.New(t, hub).Dial(t)
		check(t, hubwire.Command[hubwire.None]("Hang").Send(t.Context(), c, hubwire.None{}))
		synctest.Wait()
		start := time.Now()
		check(t, c.Close())
		if took := (<-gone).Sub(start); took != 5*time.Second {
			t.Errorf("Disconnect came after %v", took)
		}
		close(release)
	})
}

// The cause of Disconnect is nil for the client's close, a lost transport and
// Abort (hubtest has the stories), and the reason where the hub gave one.
func TestDisconnectCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan error, 1)
		hub := newHub(&hubwire.Options{
			Queue:      hubwire.Queue{Messages: 1},
			Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { gone <- cause },
		})
		slow := hubtest.New(t, hub).Dial(t, Said.With(hubtest.Block))
		for range 3 {
			check(t, Said.Send(t.Context(), hub.All(), "x"))
		}
		if cause := <-gone; !errors.Is(cause, hubwire.ErrSlow) {
			t.Errorf("cause %v", cause)
		}
		hubtest.WantClosed(t, slow, hubwire.ErrSlow)
	})
}

// A refused connection leaves nothing behind, and Disconnect does not run for
// it; so does one whose Connect panics, or leaves with runtime.Goexit.
func TestConnectRefuses(t *testing.T) {
	for name, connect := range map[string]func() error{
		"error":  func() error { return hubwire.Errorf(hubwire.CodePermissionDenied, "no") },
		"panic":  func() error { panic("oh") },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMetrics()
			var refuse bool
			hub := newHub(&hubwire.Options{
				Metrics: m,
				Connect: func(ctx context.Context, c *hubwire.Conn) error {
					if !refuse {
						return nil
					}
					check(t, c.Join(ctx, "room"))
					check(t, Said.Send(ctx, c, "hello"))
					if _, err := hubwire.ClientMethod[int, int]("Q").Call(ctx, c, 1); err == nil {
						t.Error("Connect could ask")
					}
					return connect()
				},
				Disconnect: func(_ context.Context, c *hubwire.Conn, _ error) {
					if c.User().ID != "watcher" {
						t.Error("Disconnect ran")
					}
				},
			})
			server := hubtest.New(t, hub)
			watcher := server.DialUser(t, "watcher")
			refuse = true
			var err error
			var wg sync.WaitGroup
			wg.Go(func() {
				err = errors.New("left")
				_, err = server.TryDial(&hubtest.DialOptions{User: &hubwire.User{ID: "ann"}})
			})
			wg.Wait()
			if err == nil {
				t.Error("accepted")
			}
			check(t, Said.Send(t.Context(), hub.All(), "x"))
			hubtest.Next(t, watcher, Said)
			if n := len(slices.Collect(hub.Connections())); n != 1 {
				t.Errorf("%d connections", n)
			}
			if groups, users, asks := hubwire.Tables(hub); groups != 0 || users != 1 || asks != 0 {
				t.Errorf("left: %d groups, %d users, %d questions", groups, users, asks)
			}
			if got := m.get("connections", "hubtest"); got != 1 {
				t.Errorf("connections = %d", got)
			}
			if got := m.get("refused", "connect"); got != 1 {
				t.Errorf("refused = %d", got)
			}
		})
	}
}

// The hub may close a connection that Connect has not let in yet (row 82).
func TestAbortInConnect(t *testing.T) {
	gone := make(chan error, 1)
	hub := newHub(&hubwire.Options{
		Connect:    func(ctx context.Context, c *hubwire.Conn) error { c.Abort(); return Said.Send(ctx, c, "bye") },
		Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { gone <- cause },
	})
	c, err := hubtest.New(t, hub).TryDial(nil)
	check(t, err)
	hubtest.WantClosed(t, c, nil)
	if cause := <-gone; cause != nil {
		t.Errorf("cause %v", cause)
	}
	if got := hubtest.Next(t, c, Said); got != "bye" {
		t.Errorf("got %q", got)
	}
}

// Disconnect that panics or leaves with Goexit ends the connection all the same.
func TestDisconnectPanics(t *testing.T) {
	for name, disconnect := range map[string]func(){"panic": func() { panic("oh") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newHub(&hubwire.Options{Disconnect: func(context.Context, *hubwire.Conn, error) { disconnect() }})
				l := open(t, hub, rawA, -1)
				done := make(chan struct{})
				go func() { // ends with End
					defer close(done)
					l.port.End(nil)
				}()
				<-done
				for range hub.Connections() {
					t.Error("the connection is left")
				}
			})
		})
	}
}

// Values belong to a connection; keys of different types are different.
func TestKey(t *testing.T) {
	const (
		room  hubwire.Key[string] = "room"
		seats hubwire.Key[int]    = "room"
	)
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	a, b := server.Dial(t).Conn(), server.Dial(t)
	if v, ok := room.Get(a); v != "" || ok {
		t.Errorf("Get = %q, %v", v, ok)
	}
	room.Delete(a)
	room.Set(a, "x")
	seats.Set(a, 7)
	if v, ok := room.Get(a); v != "x" || !ok {
		t.Errorf("Get = %q, %v", v, ok)
	}
	if v, ok := seats.Get(a); v != 7 || !ok {
		t.Errorf("Get = %d, %v", v, ok)
	}
	if _, ok := room.Get(b.Conn()); ok {
		t.Error("b has a's value")
	}
	room.Delete(a)
	if _, ok := room.Get(a); ok {
		t.Error("deleted")
	}
	if _, ok := seats.Get(a); !ok {
		t.Error("the other key was deleted")
	}
	conn := b.Conn()
	room.Set(conn, "y")
	check(t, b.Close())
	if v, ok := room.Get(conn); v != "y" || !ok {
		t.Errorf("after the end: %q, %v", v, ok)
	}
}

// What a connection knows of itself.
func TestConn(t *testing.T) {
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	user := &hubwire.User{ID: "ann", Claims: map[string]any{"admin": true}}
	c := server.DialWith(t, &hubtest.DialOptions{User: user, ID: "x", Protocol: "messagepack", Context: withValue("v")}).Conn()
	if c.ID() != "x" || c.Hub() != hub || c.User() != user || c.Context().Value(key{}) != "v" || c.LogValue().String() != "x" {
		t.Errorf("conn %v", c)
	}
	if r := c.Request(); r.Wire != "hubtest" || r.Transport != "memory" || r.Protocol != "messagepack" {
		t.Errorf("request %+v", r)
	}
	if u := server.Dial(t).Conn().User(); u == nil || u.ID != "" {
		t.Errorf("nobody is %v", u)
	}
	if _, err := server.TryDial(&hubtest.DialOptions{ID: "x"}); err == nil {
		t.Error("two connections of one id")
	}
	if n := len(slices.Collect(hub.Connections())); n != 2 {
		t.Errorf("%d connections", n)
	}
	for range hub.Connections() {
		break
	}
	ctx := hubwire.WithUser(context.Background(), user)
	if hubwire.UserFrom(ctx) != user || hubwire.UserFrom(context.Background()).ID != "" {
		t.Error("UserFrom")
	}
}

func TestMaxConnections(t *testing.T) {
	m := newMetrics()
	hub := newHub(&hubwire.Options{MaxConnections: 2, Metrics: m})
	server := hubtest.New(t, hub)
	a := server.Dial(t)
	server.Dial(t)
	if _, err := server.TryDial(nil); !errors.Is(err, hubwire.ErrFull) {
		t.Errorf("a third: %v", err)
	}
	check(t, a.Close())
	server.Dial(t)
	if got := m.get("refused", "full"); got != 1 {
		t.Errorf("refused = %d", got)
	}
}

const (
	Slow  hubwire.Command[time.Duration]             = "Slow"
	Tick  hubwire.ServerStream[hubwire.None, int]    = "Tick"
	Hang  hubwire.Command[hubwire.None]              = "Hang"
	Still hubwire.ServerStream[hubwire.None, string] = "Still"
)

// slowHub has calls that take their time.
func slowHub(opts *hubwire.Options, d *diary, release <-chan struct{}) *hubwire.Hub {
	return newHub(opts,
		Slow.With(func(ctx context.Context, c *hubwire.Conn, wait time.Duration) error {
			select {
			case <-time.After(wait):
				d.add("slept %v", wait)
				return nil
			case <-ctx.Done():
				d.add("cancelled")
				return ctx.Err()
			}
		}),
		Tick.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 0; ; i++ {
					select {
					case <-time.After(100 * time.Millisecond):
					case <-ctx.Done():
						d.add("stream ends: %v", ctx.Err())
						return
					}
					if !yield(i, nil) {
						d.add("stream left: %v", ctx.Err())
						return
					}
				}
			}
		}),
		Hang.With(func(context.Context, *hubwire.Conn, hubwire.None) error { <-release; return nil }))
}

// Shutdown lets calls finish, those too that wait; streams end with their
// connection; clients are told to reconnect; nobody new comes in.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		m := newMetrics()
		hub := slowHub(&hubwire.Options{Metrics: m, Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { d.add("gone %v", cause) }}, &d, nil)
		server := hubtest.New(t, hub)
		a, b := server.Dial(t), server.Dial(t)
		ctx := t.Context()
		var wg sync.WaitGroup
		for _, wait := range []time.Duration{1, 2} {
			wg.Go(func() { check(t, Slow.Call(ctx, a, wait*time.Second)) })
			synctest.Wait()
		}
		wg.Go(func() {
			_, err := collect(Tick.Open(ctx, b, hubwire.None{}))
			if !errors.Is(err, hubwire.ErrClosed) {
				t.Errorf("the stream ended with %v", err)
			}
		})
		time.Sleep(550 * time.Millisecond)
		start := time.Now()
		done := make(chan error)
		go func() { done <- hub.Shutdown(ctx) }() // ends with Shutdown
		synctest.Wait()
		hubtest.WantClosed(t, b, hubwire.ErrShutdown)
		if _, err := server.TryDial(nil); !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("a new connection: %v", err)
		}
		if err := Slow.Call(ctx, a, 0); err == nil {
			t.Error("a new call was taken")
		} else if e, ok := errors.AsType[*hubwire.Error](err); !ok || e.Code != hubwire.CodeUnavailable {
			t.Errorf("a new call: %v", err)
		}
		check(t, <-done)
		if took := time.Since(start); took != 2450*time.Millisecond {
			t.Errorf("Shutdown took %v", took)
		}
		wg.Wait()
		hubtest.WantClosed(t, a, hubwire.ErrShutdown)
		if !a.Reconnect() || !b.Reconnect() {
			t.Error("the clients may not reconnect")
		}
		if got, want := d.take(), "stream ends: context canceled, gone <nil>, slept 1s, slept 2s, gone <nil>"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if got := m.get("closes", "shutdown"); got != 2 {
			t.Errorf("closes = %d", got)
		}
		if err := Said.Send(ctx, hub.All(), "x"); !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("Send after Shutdown: %v", err)
		}
		check(t, hub.Shutdown(ctx))
	})
}

// When its context ends Shutdown cancels the calls, and names those that ignore
// it.
func TestShutdownNamesWhoIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		release := make(chan struct{})
		hub := slowHub(nil, &d, release)
		server := hubtest.New(t, hub)
		a, b := server.Dial(t), server.Dial(t)
		check(t, Slow.Send(t.Context(), a, time.Hour))
		check(t, Hang.Send(t.Context(), b, hubwire.None{}))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := hub.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "hubwire: shutdown: calls ignore the end of their context: Hang: context deadline exceeded" {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("Shutdown took %v", took)
		}
		if got := d.take(); got != "cancelled" {
			t.Errorf("%s", got)
		}
		close(release)
	})
}

// The ends are spread over the drain window, so that clients do not all come
// back at once.
func TestDrainWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ends []time.Duration
		start := time.Now()
		hub := newHub(&hubwire.Options{
			DrainWindow: 10 * time.Second,
			Disconnect: func(context.Context, *hubwire.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, time.Since(start))
			},
		})
		server := hubtest.New(t, hub)
		for range 10 {
			server.Dial(t)
		}
		check(t, hub.Shutdown(t.Context()))
		for i, at := range ends {
			if at != time.Duration(i)*time.Second {
				t.Errorf("connection %d ended after %v", i, at)
			}
		}
		if len(ends) != 10 {
			t.Errorf("%d ended", len(ends))
		}
	})
}

// A second Shutdown with a shorter patience hurries the first.
func TestSecondShutdownHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		hub := slowHub(&hubwire.Options{DrainWindow: time.Hour}, &d, nil)
		server := hubtest.New(t, hub)
		for range 3 {
			check(t, Slow.Send(t.Context(), server.Dial(t), 2*time.Hour))
		}
		start := time.Now()
		first := make(chan error)
		go func() { first <- hub.Shutdown(context.Background()) }() // ends with the second
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := hub.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the second: %v", err)
		}
		check(t, <-first)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A hub without work owns no goroutine.
func TestIdleHubHasNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	hub := newHub(nil, hubwire.Method[int, int]("Echo").With(func(_ context.Context, _ *hubwire.Conn, v int) (int, error) { return v, nil }))
	server := hubtest.New(t, hub)
	var cs []*hubtest.Client
	for range 100 {
		c := server.Dial(t)
		cs = append(cs, c)
		check(t, c.Conn().Join(t.Context(), "room"))
		if v, err := hubwire.Method[int, int]("Echo").Call(t.Context(), c, 7); v != 7 || err != nil {
			t.Errorf("Echo = %v, %v", v, err)
		}
	}
	check(t, Said.Send(t.Context(), hub.Group("room"), "x"))
	for _, c := range cs {
		hubtest.Next(t, c, Said)
	}
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines more than before", runtime.NumGoroutine()-before)
}

// A metrics counts, as expvar's would.
type metrics struct {
	mu sync.Mutex
	n  map[string]int64
}

func newMetrics() *metrics { return &metrics{n: map[string]int64{}} }

func (m *metrics) Add(name, label string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n[name+"."+label] += n
}

func (m *metrics) get(name, label string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n[name+"."+label]
}

func (m *metrics) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.n)
}
