package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// events sends n events to a target, one after the other; where gather is set,
// so that they wait in line together.
func events(t *testing.T, to hubwire.Target, from, to_ int) {
	t.Helper()
	for i := from; i < to_; i++ {
		check(t, Said.Send(t.Context(), to, fmt.Sprint(i)))
	}
}

// said are the texts of a raw link's events.
func saidTexts(l *rawLink) (all []string) {
	for line := range strings.Lines(l.text()) {
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(line, `Said("`), "\")\n"))
	}
	return all
}

// A client whose queue is full is closed with ErrSlow, whether its events come
// one by one or gathered, in messages or in bytes; one that is not behind takes
// any number (D 12).
func TestDisconnectSlow(t *testing.T) {
	for _, test := range []struct {
		name  string
		queue hubwire.Queue
		sends int // that fit
		long  int
	}{
		{"messages", hubwire.Queue{Messages: 10}, 10, 0},
		{"one message", hubwire.Queue{Messages: 1}, 1, 0},
		{"bytes", hubwire.Queue{Bytes: 10_000}, 9, 1000},
		{"one large", hubwire.Queue{Bytes: 100}, 1, 1000},
	} {
		for _, gathered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, gathered %v", test.name, gathered), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMetrics()
					test.queue.Stall = time.Hour
					hub := newHub(&hubwire.Options{Queue: test.queue, Metrics: m})
					slow, quick := open(t, hub, rawA, 0), open(t, hub, rawA, -1)
					send := func(n int) {
						for range n {
							check(t, Said.Send(t.Context(), hub.All(), strings.Repeat("x", test.long)))
							if !gathered {
								synctest.Wait()
							}
						}
						synctest.Wait()
					}
					send(test.sends)
					select {
					case <-slow.closed:
						t.Fatalf("closed after %d events", test.sends)
					default:
					}
					_, msgs, bytes := hubwire.QueueMemory(slow.port.Conn())
					if msgs != test.sends || int64(bytes) != m.get("queued_bytes", "") || bytes < test.long*msgs {
						t.Errorf("%d messages, %d bytes wait; counted %d", msgs, bytes, m.get("queued_bytes", ""))
					}
					send(1)
					<-slow.closed
					if slow.reason != hubwire.ErrSlow {
						t.Errorf("closed with %v", slow.reason)
					}
					if n := len(saidTexts(quick)); n != test.sends+1 {
						t.Errorf("the quick one got %d", n)
					}
					if m.get("queued_bytes", "") != 0 || m.get("closes", "slow") != 1 {
						t.Errorf("counted %v", m)
					}
					send(3) // to a connection that is closed already
				})
			})
		}
	}
}

// All at once, to a client that was never behind before, is too much as well.
func TestDisconnectSlowAtOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 2, Stall: time.Hour}})
			slow := open(t, hub, rawA, 0)
			events(t, hub.All(), 0, 4)
			synctest.Wait()
			select {
			case <-slow.closed:
			default:
				_, msgs, _ := hubwire.QueueMemory(slow.port.Conn())
				t.Errorf("open, with %d messages waiting", msgs)
			}
		})
	}
}

// DropOldest keeps what came last, as if events had come one by one, and never
// drops results or items.
func TestDropOldest(t *testing.T) {
	for _, gathered := range []bool{false, true} {
		t.Run(fmt.Sprint("gathered ", gathered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMetrics()
				hub := newHub(&hubwire.Options{Metrics: m, Queue: hubwire.Queue{Messages: 5, Full: hubwire.DropOldest, Stall: time.Hour}},
					hubwire.Method[int, int]("Echo").With(func(_ context.Context, _ *hubwire.Conn, n int) (int, error) { return n, nil }))
				l := open(t, hub, rawA, 0)
				events(t, hub.All(), 0, 1) // this one is being written
				synctest.Wait()
				events(t, hub.All(), 1, 3)
				synctest.Wait()
				r := l.start(wire.Call{Name: "Echo", Args: list(`7`)})
				<-r.done
				for i := 3; i < 50; i++ {
					events(t, hub.All(), i, i+1)
					if !gathered {
						synctest.Wait()
					}
				}
				synctest.Wait()
				if n := m.get("drops", "full"); n != 45 {
					t.Errorf("%d dropped", n)
				}
				if m.get("queued_bytes", "") == 0 {
					t.Error("nothing is counted as queued")
				}
				l.take(-1)
				synctest.Wait()
				if got := saidTexts(l); !slices.Equal(got, []string{"0", "result 7\n", "46", "47", "48", "49"}) {
					t.Errorf("got %q", got)
				}
				if m.get("queued_bytes", "") != 0 {
					t.Errorf("counted %v", m)
				}
				events(t, hub.All(), 50, 52)
				synctest.Wait()
				if got := saidTexts(l); len(got) != 8 {
					t.Errorf("after it: %q", got)
				}
			})
		})
	}
}

// The same in bytes; an event that is larger than all the room is taken when it
// is alone.
func TestDropOldestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics()
		hub := newHub(&hubwire.Options{Metrics: m, Queue: hubwire.Queue{Bytes: 100, Full: hubwire.DropOldest, Stall: time.Hour}})
		l := open(t, hub, rawA, 0)
		events(t, hub.All(), 0, 1)
		synctest.Wait()
		for i := range 9 {
			check(t, Said.Send(t.Context(), hub.All(), strings.Repeat(fmt.Sprint(i+1), 30))) // 39 bytes each
		}
		synctest.Wait()
		check(t, Said.Send(t.Context(), hub.All(), strings.Repeat("z", 200)))
		synctest.Wait()
		events(t, hub.All(), 10, 11)
		synctest.Wait()
		l.take(-1)
		synctest.Wait()
		if got := saidTexts(l); !slices.Equal(got, []string{"0", "10"}) {
			t.Errorf("got %q", got)
		}
		if n := m.get("drops", "full"); n != 10 || m.get("queued_bytes", "") != 0 {
			t.Errorf("counted %v", m)
		}
	})
}

// Latest replaces what waits under the same key for a client that is behind, and
// for nobody else; gathered or not, to many or to one.
func TestLatest(t *testing.T) {
	for _, gathered := range []bool{false, true} {
		for _, one := range []bool{false, true} {
			t.Run(fmt.Sprintf("gathered %v, to one %v", gathered, one), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMetrics()
					hub := newHub(&hubwire.Options{Metrics: m, Queue: hubwire.Queue{Messages: 100, Stall: time.Hour}})
					slow, quick := open(t, hub, rawA, 0), open(t, hub, rawA, -1)
					to := hubwire.Target(hub.All())
					if one {
						to = hub.Conns(slow.port.Conn().ID(), quick.port.Conn().ID())
					}
					send := func(key, text string) {
						target := to
						if key != "" {
							target = hubwire.Latest(to, key)
						}
						check(t, Said.Send(t.Context(), target, text))
						if !gathered {
							synctest.Wait()
						}
					}
					send("", "first")
					synctest.Wait()
					for i := range 1000 {
						send("a", fmt.Sprint("a", i))
						send("b", fmt.Sprint("b", i))
						if i%500 == 0 {
							send("", fmt.Sprint("plain ", i))
						}
					}
					synctest.Wait()
					if n := m.get("drops", "latest"); n != 1998 {
						t.Errorf("%d replaced", n)
					}
					slow.take(-1)
					synctest.Wait()
					if got := saidTexts(slow); !slices.Equal(got, []string{"first", "plain 0", "plain 500", "a999", "b999"}) {
						t.Errorf("the slow one got %q", got)
					}
					if n := len(saidTexts(quick)); n != 2003 {
						t.Errorf("the quick one got %d", n)
					}
					if m.get("queued_bytes", "") != 0 {
						t.Errorf("counted %v", m)
					}
				})
			})
		}
	}
}

// A client that takes nothing for Queue.Stall is closed, one that takes a little
// now and then is not.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Stall: 10 * time.Second}})
		dead, alive := open(t, hub, rawA, 0), open(t, hub, rawA, 0)
		start := time.Now()
		check(t, Said.Send(t.Context(), hub.All(), strings.Repeat("x", 100<<10)))
		for range 20 {
			time.Sleep(9 * time.Second)
			alive.take(16 << 10)
			synctest.Wait()
			select {
			case <-alive.closed:
				t.Fatalf("closed after %v, though it reads", time.Since(start))
			default:
			}
		}
		<-dead.closed
		if dead.reason != hubwire.ErrSlow {
			t.Errorf("closed with %v", dead.reason)
		}
		if got := saidTexts(alive); len(got) != 1 {
			t.Errorf("got %d", len(got))
		}
	})
}

// A Send to one connection waits for room in its queue, which never trips the
// rule for slow clients, and leaves half of it to others; its context bounds the
// waiting (D 21).
func TestSendToConnWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 100, Stall: time.Hour}})
		l := open(t, hub, rawA, 0)
		c := l.port.Conn()
		var sent atomic.Int32
		done := make(chan struct{})
		go func() { // ends when all is sent
			defer close(done)
			for i := range 1000 {
				check(t, Said.Send(t.Context(), c, fmt.Sprint(i)))
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if n := sent.Load(); n != 50 {
			t.Errorf("%d were sent to a client that does not read", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := Said.Send(ctx, c, "late"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Send that cannot wait any longer: %v", err)
		}
		cancel()
		events(t, hub.All(), 0, 50)
		synctest.Wait()
		select {
		case <-l.closed:
			t.Fatal("closed")
		default:
		}
		// A Send that need not wait ignores its context.
		check(t, Said.Send(ctx, hub.All().Except(c.ID()), "nobody"))
		l.take(-1)
		<-done
		synctest.Wait()
		if n := len(saidTexts(l)); n != 1050 {
			t.Errorf("%d came", n)
		}
		// One that waits when the connection ends is no error (D 20).
		l.take(0)
		go func() { // ends with the connection
			for {
				if err := Said.Send(t.Context(), c, "x"); err != nil {
					t.Errorf("to a connection that ends: %v", err)
				}
				select {
				case <-l.closed:
					return
				default:
				}
			}
		}()
		synctest.Wait()
		l.Close(nil, false)
		synctest.Wait()
	})
}

// Large events to one connection do not trip the rule either.
func TestLargeSendsToConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Bytes: 100_000, Stall: time.Hour}})
		l := open(t, hub, rawA, 0)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for range 10 {
					check(t, Said.Send(t.Context(), l.port.Conn(), strings.Repeat("x", 60_000)))
				}
			})
		}
		synctest.Wait()
		l.take(-1)
		wg.Wait()
		synctest.Wait()
		if n := len(saidTexts(l)); n != 100 {
			t.Errorf("%d came", n)
		}
	})
}

// ToCallerMany(3000) arrives whole, also where the client reads bit by bit.
func TestManyToCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(nil, hubwire.Command[int]("Many").With(func(ctx context.Context, c *hubwire.Conn, n int) error {
			for i := range n {
				if err := Said.Send(ctx, c, fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return nil
		}))
		c := hubtest.New(t, hub).DialWith(t, &hubtest.DialOptions{Limit: 50})
		check(t, hubwire.Command[int]("Many").Call(t.Context(), c, 3000))
		for i, got := range hubtest.Got(t, c, Said) {
			if got != fmt.Sprint(i) {
				t.Fatalf("at %d: %s", i, got)
			}
		}
	})
}

// One stalled client costs the others nothing: nothing is lost, the order is
// kept, nobody waits (performance.md).
func TestStalledClientsCostOthersNothing(t *testing.T) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		var quick, stalled []*rawLink
		for i := range 100 {
			room := -1
			if i%20 == 0 {
				room = 0
			}
			l := open(t, hub, []wire.Protocol{rawA, rawB}[i%2], room)
			check(t, l.port.Conn().Join(t.Context(), "room"))
			if room == 0 {
				stalled = append(stalled, l)
			} else {
				quick = append(quick, l)
			}
		}
		start := time.Now()
		for i := range 2000 {
			check(t, Note.Send(t.Context(), hub.Group("room"), note{From: 1, K: i}))
		}
		synctest.Wait()
		if took := time.Since(start); took > 0 {
			t.Errorf("the sender waited %v", took)
		}
		for _, l := range quick {
			all := lines(t, l)
			if len(all) != 2000 {
				t.Errorf("a quick one got %d", len(all))
			}
			for i, g := range all {
				if g.k != i {
					t.Fatalf("note %d, want %d", g.k, i)
				}
			}
		}
		for _, l := range stalled {
			l.take(-1)
		}
		synctest.Wait()
		for _, l := range stalled {
			if all := lines(t, l); len(all) != 2000 {
				t.Errorf("a stalled one got %d when it read again", len(all))
			}
		}
	})
}
