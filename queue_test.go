package hubwire_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// What a connection's own queue keeps is bounded by what waits, however much
// goes through it while the client is behind.
func TestQueueMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Bytes: 1 << 20, Stall: time.Hour}})
		l := open(t, hub, rawA, 0)
		c := l.port.Conn()
		text := strings.Repeat("x", 1000)
		go func() { // ends with the connection
			for {
				select {
				case <-l.closed:
					return
				default:
					check(t, Said.Send(t.Context(), c, text))
				}
			}
		}()
		for range 1000 {
			l.take(50_000)
			synctest.Wait()
			l.mu.Lock()
			l.took.Reset()
			l.mu.Unlock()
			if kept, msgs, bytes := hubwire.QueueMemory(c); kept > 2*bytes+100_000 {
				t.Fatalf("%d bytes are kept for %d messages of %d bytes", kept, msgs, bytes)
			}
		}
		l.Close(nil, false)
		synctest.Wait()
	})
}

// A connection that has nothing to do keeps no memory in its queue.
func TestIdleQueueKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(nil)
		l := open(t, hub, rawA, 0)
		for range 200 {
			check(t, Said.Send(t.Context(), hub.Conn(l.port.Conn().ID()), "x"))
			check(t, Said.Send(t.Context(), hub.All(), "x"))
		}
		synctest.Wait()
		l.take(-1)
		synctest.Wait()
		if kept, msgs, bytes := hubwire.QueueMemory(l.port.Conn()); msgs != 0 || bytes != 0 || kept > 2*24 {
			t.Errorf("%d messages, %d bytes; %d bytes are kept", msgs, bytes, kept)
		}
	})
}

// Control frames go between records, uncounted; who asks for too many answers
// and reads none is closed.
func TestControlFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics()
		hub := newHub(&hubwire.Options{Metrics: m, Queue: hubwire.Queue{Messages: 1, Stall: time.Hour}})
		l := open(t, hub, rawA, 0)
		events(t, hub.All(), 0, 1)
		synctest.Wait()
		for range 100 {
			l.port.Control([]byte("ping\n"))
		}
		synctest.Wait()
		if n := m.get("queued_bytes", ""); n != int64(len("Said(\"0\")\n")) {
			t.Errorf("counted %d bytes", n)
		}
		l.take(-1)
		synctest.Wait()
		if got := l.text(); got != "Said(\"0\")\n"+strings.Repeat("ping\n", 100) {
			t.Errorf("got %q", got)
		}
		l.take(0)
		for range 10_000 {
			l.port.Control([]byte("pong\n"))
		}
		<-l.closed
		if l.reason != hubwire.ErrSlow {
			t.Errorf("closed with %v", l.reason)
		}
	})
}

// A transport that fails ends what waits for it: no Send hangs, and nothing is
// counted any more.
func TestTransportFails(t *testing.T) {
	for _, how := range []string{"while it drains", "while it is idle"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMetrics()
				hub := newHub(&hubwire.Options{Metrics: m, Queue: hubwire.Queue{Messages: 4, Stall: time.Hour}},
					hubwire.ServerStream[int, int]("Count").With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] { return upTo(n) }))
				l := open(t, hub, rawA, -1)
				var wg sync.WaitGroup
				if how == "while it drains" {
					l.take(0)
					for range 4 {
						wg.Go(func() {
							for range 10 {
								check(t, Said.Send(t.Context(), l.port.Conn(), "x"))
							}
						})
					}
					l.start(wire.Call{Name: "Count", Args: list(`100`), Stream: true, ID: "1"})
					synctest.Wait()
				}
				l.fail()
				check(t, Said.Send(t.Context(), hub.All(), "x"))
				wg.Wait()
				<-l.closed
				if l.reason != nil {
					t.Errorf("closed with %v", l.reason)
				}
				l.port.End(nil)
				if m.get("errors", "stream failed") != 0 {
					t.Errorf("a lost transport is the stream's failure: %v", m)
				}
				if m.get("queued_bytes", "") != 0 || m.get("closes", "slow") != 0 || m.get("connections", "raw") != 0 {
					t.Errorf("counted %v", m)
				}
			})
		})
	}
}

// Everything is counted, and back at nothing when everything has ended.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics()
		hub := newHub(&hubwire.Options{Metrics: m, Queue: hubwire.Queue{Messages: 3, Stall: time.Hour}, MaxConnections: 5,
			Connect: func(_ context.Context, c *hubwire.Conn) error {
				if c.User().ID == "refused" {
					return hubwire.ErrUnauthorized
				}
				return nil
			}},
			hubwire.Command[string]("Do").With(func(_ context.Context, _ *hubwire.Conn, how string) error {
				switch how {
				case "fail":
					return errors.New("no")
				case "panic":
					panic("no")
				case "unauthorized":
					return hubwire.ErrUnauthorized
				}
				return nil
			}),
			hubwire.ServerStream[int, int]("Count").With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) { yield(0, errors.New("no")) }
			}))
		server := hubtest.New(t, hub)
		a, b, slow := server.DialUser(t, "ann"), server.Dial(t), server.Dial(t, Said.With(hubtest.Block))
		_, err := server.TryDial(&hubtest.DialOptions{User: &hubwire.User{ID: "refused"}})
		if err == nil {
			t.Error("accepted")
		}
		if n := m.get("connections", "hubtest"); n != 3 {
			t.Errorf("%d connections", n)
		}
		ctx := t.Context()
		for _, how := range []string{"well", "well", "fail", "panic", "unauthorized"} {
			_ = hubwire.Command[string]("Do").Call(ctx, a, how)
		}
		_ = hubwire.Command[string]("Nope").Call(ctx, a, "")
		_ = hubwire.Command[int]("Do").Call(ctx, a, 1)
		_, _ = hubwire.Method[int, int]("Count").Call(ctx, a, 1)
		_, _ = collect(hubwire.ServerStream[string, int]("Do").Open(ctx, a, "x"))
		_, _ = collect(hubwire.ServerStream[int, int]("Count").Open(ctx, a, 1))
		_, _ = hubwire.ClientStream[int, int]("Count").Call(ctx, a, upTo(1))

		check(t, a.Conn().Join(ctx, "room"))
		check(t, Said.Send(ctx, hub.Group("room", "empty"), "x"))
		check(t, Said.Send(ctx, hub.User("ann"), "x"))
		check(t, Said.Send(ctx, hub.Conns(a.ID(), b.ID()), "x"))
		check(t, Said.Send(ctx, b.Conn(), "x"))
		for range 6 {
			check(t, Said.Send(ctx, hub.All(), "x"))
		}
		hubtest.WantClosed(t, slow, hubwire.ErrSlow)
		b.Conn().Abort()
		b.Conn().Abort()
		hubtest.WantClosed(t, b, nil)
		synctest.Wait()
		check(t, hub.Shutdown(ctx))
		synctest.Wait()
		a.Conn().Abort()

		want := map[string]int64{
			"connections.hubtest":          0,
			"calls.hubtest":                11,
			"errors.failed":                2,
			"errors.unauthorized":          1,
			"errors.unknown method":        1,
			"errors.arguments do not bind": 2, // they are looked at first
			"errors.is a stream":           1,
			"errors.is not a stream":       1,
			"errors.stream failed":         1,
			"events.all":                   6,
			"events.group":                 1,
			"events.user":                  1,
			"events.conn":                  3,
			"queued_bytes.":                0,
			"closes.slow":                  1,
			"closes.abort":                 1,
			"closes.shutdown":              1,
			"refused.connect":              1,
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for name, n := range want {
			if m.n[name] != n {
				t.Errorf("%s = %d, want %d", name, m.n[name], n)
			}
			delete(m.n, name)
		}
		for name, n := range m.n {
			t.Errorf("%s = %d", name, n)
		}
	})
}

// A logHandler is a log that goes to the hub's clients.
type logHandler struct {
	slog.Handler
	send func()
	busy atomic.Bool
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(context.Context, slog.Record) error {
	if h.busy.CompareAndSwap(false, true) {
		h.send()
		h.busy.Store(false)
	}
	return nil
}

// The hub logs neither under its locks nor where all wait for it: a log may be
// sent to its clients.
func TestLogGoesToTheHub(t *testing.T) {
	log := &logHandler{Handler: slog.DiscardHandler}
	hub := newHub(&hubwire.Options{Logger: slog.New(log), Queue: hubwire.Queue{Messages: 2}, Disconnect: func(context.Context, *hubwire.Conn, error) { panic("oh") }},
		hubwire.Command[hubwire.None]("Fail").With(func(context.Context, *hubwire.Conn, hubwire.None) error { return errors.New("no") }))
	var ls []*rawLink
	for range 4 {
		ls = append(ls, open(t, hub, rawA, -1))
	}
	log.send = func() {
		for _, l := range ls {
			_ = Said.Send(context.Background(), hub.Conn(l.port.Conn().ID()), "log")
		}
		_ = Said.Send(context.Background(), ls[3].port.Conn(), "log")
		_ = Said.Send(context.Background(), hub.All(), "log")
		_ = ls[3].port.Conn().Join(context.Background(), "room")
	}
	r := ls[3].start(wire.Call{Name: "Fail", Args: list()})
	<-r.done
	ls[0].fail()
	ls[1].take(0)
	for range 20 {
		check(t, Said.Send(t.Context(), hub.All(), "x"))
		runtime.Gosched()
	}
	<-ls[0].closed
	ls[2].port.End(nil)
	if !strings.Contains(ls[3].text(), `Said("log")`) {
		t.Error("nothing was logged")
	}
	ls[1].take(-1)
}
