package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

const note hubwire.Event[int] = "note"

// A fleet is two nodes of one hub, each behind a proxy of its own.
type fleet struct {
	proxies [2]*proxy
	hubs    [2]*hubwire.Hub
	clients [2]*hubtest.Client
}

func startFleet(t *testing.T, s *server) *fleet {
	t.Helper()
	f := new(fleet)
	for i := range f.hubs {
		f.proxies[i] = newProxy(t, s.addr)
		hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(f.proxies[i].addr()), Outage: hubwire.Outage{Wait: 15 * time.Second}})
		t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
		f.hubs[i] = hub
		f.clients[i] = hubtest.New(t, hub).DialUser(t, "ann")
		if err := f.clients[i].Conn().Join(t.Context(), "room"); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// A run is a stream of numbered sends and what became of each.
type run struct {
	sent, unsure, failed []int
}

// send sends numbers to room from the first node until stop is closed.
func (f *fleet) send(t *testing.T, stop chan struct{}) *run {
	r := new(run)
	for k := 0; ; k++ {
		select {
		case <-stop:
			return r
		default:
		}
		switch err := note.Send(context.Background(), f.hubs[0].Group("room"), k); {
		case err == nil:
			r.sent = append(r.sent, k)
		case errors.Is(err, hubwire.ErrUnconfirmed):
			r.unsure = append(r.unsure, k)
		default:
			r.failed = append(r.failed, k)
		}
	}
}

// during runs fault while sends are under way, and checks that each had one of
// the three outcomes: what returned nil is in line here, what failed is nowhere,
// and the order is kept.
func (f *fleet) during(t *testing.T, fault func()) {
	t.Helper()
	stop, result := make(chan struct{}), make(chan *run)
	go func() { result <- f.send(t, stop) }() // ends with stop
	f.alive(t)
	fault()
	f.alive(t)
	close(stop)
	r := <-result
	for i, hub := range f.hubs {
		if err := note.Send(t.Context(), hub.Group("room"), -1-i); err != nil {
			t.Fatalf("after it, from node %d: %v", i, err)
		}
	}
	t.Logf("%d sent, %d unconfirmed, %d failed", len(r.sent), len(r.unsure), len(r.failed))
	for i, c := range f.clients {
		var got []int
		for ends := 0; ends < 2; {
			n := hubtest.Next(t, c, note)
			if n < 0 {
				ends++
				continue
			}
			got = append(got, n)
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("node %d: out of order or twice", i)
		}
		for _, k := range r.failed {
			if _, found := slices.BinarySearch(got, k); found {
				t.Errorf("node %d: %d failed and arrived", i, k)
			}
		}
		if i > 0 {
			continue // what a node missed while it was away it is told by Gap
		}
		for _, k := range r.sent {
			if _, found := slices.BinarySearch(got, k); !found {
				t.Errorf("node %d: %d was sent and did not arrive", i, k)
			}
		}
	}
}

// alive waits until both nodes are up and a message gets through.
func (f *fleet) alive(t *testing.T) {
	t.Helper()
	for i, hub := range f.hubs {
		deadline := time.Now().Add(30 * time.Second)
		for !hub.Health().Up {
			if time.Now().After(deadline) {
				t.Fatalf("node %d does not come back: %+v", i, hub.Health())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (f *fleet) awaitDown(t *testing.T, i int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for f.hubs[i].Health().Up {
		if time.Now().After(deadline) {
			t.Fatal("the outage is not noticed")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestOutcomes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	for name, fault := range map[string]func(t *testing.T, s *server, f *fleet){
		"subscriber killed": func(t *testing.T, s *server, f *fleet) {
			do(t, s.admin(t), "CLIENT", "KILL", "TYPE", "pubsub")
			f.awaitGap(t, 0)
			f.awaitGap(t, 1)
		},
		"everything cut": func(t *testing.T, s *server, f *fleet) {
			f.proxies[0].cut()
			f.proxies[1].cut()
			f.awaitGap(t, 0)
			f.awaitGap(t, 1)
		},
		"stalled for 10 s": func(t *testing.T, s *server, f *fleet) {
			s.signal(t, sigStop)
			timer := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Signal(sigCont) })
			defer timer.Stop()
			f.awaitDown(t, 0)
			f.awaitGap(t, 0)
		},
		"one node partitioned": func(t *testing.T, s *server, f *fleet) {
			f.proxies[1].partition()
			f.awaitDown(t, 1)
			if !f.hubs[0].Health().Up {
				t.Error("the other node is down too")
			}
			f.proxies[1].heal()
			f.awaitGap(t, 1)
		},
		"the sender's node partitioned": func(t *testing.T, s *server, f *fleet) {
			f.proxies[0].partition()
			f.awaitDown(t, 0)
			f.proxies[0].heal()
			f.awaitGap(t, 0)
		},
		"failed over": func(t *testing.T, s *server, f *fleet) {
			replica := startRedis(t, "--replicaof", strings.Replace(s.addr, ":", " ", 1))
			do(t, replica.admin(t), "REPLICAOF", "NO", "ONE")
			s.stop()
			f.proxies[0].failOver(replica.addr)
			f.proxies[1].failOver(replica.addr)
			f.awaitGap(t, 0)
			f.awaitGap(t, 1)
		},
		"output buffer limit": func(t *testing.T, s *server, f *fleet) {
			admin := s.admin(t)
			do(t, admin, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 0 0")
			f.proxies[1].stall() // node 1 does not read: Redis cuts it off
			big := strings.Repeat("x", 1<<20)
			for range 40 {
				do(t, admin, "PUBLISH", "Chat:group:room", big)
			}
			f.proxies[1].resume()
			f.awaitGap(t, 1)
			do(t, admin, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startRedis(t)
			f := startFleet(t, s)
			f.during(t, func() { fault(t, s, f) })
		})
	}
}

// awaitGap waits until the node has said that it missed something and is up.
func (f *fleet) awaitGap(t *testing.T, i int) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		if h := f.hubs[i].Health(); h.Gaps > 0 && h.Up {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("node %d: no gap was told: %+v", i, f.hubs[i].Health())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Redis that is not there at the start: connections are refused at once, and when
// it comes every subscription is made.
func TestDownAtStart(t *testing.T) {
	s := startRedis(t)
	p := newProxy(t, s.addr)
	p.partition()
	hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(p.addr())})
	t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
	server := hubtest.New(t, hub)
	if _, err := server.TryDial(nil); !errors.Is(err, hubwire.ErrDown) {
		t.Fatalf("refused with %v", err)
	}
	if err := note.Send(t.Context(), hub.All(), 1); !errors.Is(err, hubwire.ErrDown) {
		t.Fatalf("Send: %v", err)
	}
	p.heal()
	c := server.DialUser(t, "ann")
	other := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(s.addr)})
	t.Cleanup(func() { _ = other.Shutdown(context.Background()) })
	hubtest.New(t, other)
	if err := other.Join(t.Context(), c.ID(), "room"); err != nil {
		t.Fatal(err)
	}
	for i, to := range []hubwire.Target{other.All(), other.Group("room"), other.User("ann"), other.Conn(c.ID())} {
		if err := note.Send(t.Context(), to, i); err != nil {
			t.Fatal(err)
		}
		if got := hubtest.Next(t, c, note); got != i {
			t.Fatalf("got %d, want %d", got, i)
		}
	}
}

// While Redis is away: what stays here works, sends fail in their time or go to
// this node alone where that was chosen, and afterwards nothing is subscribed that
// nobody wants.
func TestWhileDown(t *testing.T) {
	s := startRedis(t)
	p := newProxy(t, s.addr)
	for _, local := range []bool{false, true} {
		t.Run(fmt.Sprint("local ", local), func(t *testing.T) {
			hub := hubwire.New(&hubwire.Options{Name: fmt.Sprint("Chat", local), Backplane: node(p.addr()), Outage: hubwire.Outage{Wait: 50 * time.Millisecond, Local: local}})
			t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
			server := hubtest.New(t, hub)
			c := server.Dial(t)
			p.partition()
			for hub.Health().Up {
				time.Sleep(time.Millisecond)
			}
			if err := note.Send(t.Context(), c.Conn(), 1); err != nil {
				t.Errorf("to a connection of this node: %v", err)
			}
			hubtest.Next(t, c, note)
			err := note.Send(t.Context(), hub.All(), 2)
			joined := c.Conn().Join(t.Context(), "room")
			d, dialed := server.TryDial(nil)
			if local {
				if err != nil || joined != nil || dialed != nil {
					t.Fatalf("Send: %v, Join: %v, Dial: %v", err, joined, dialed)
				}
				if got := hubtest.Next(t, c, note); got != 2 {
					t.Errorf("got %d", got)
				}
				d.Close()
			} else if !errors.Is(err, hubwire.ErrDown) || !errors.Is(joined, hubwire.ErrDown) || !errors.Is(dialed, hubwire.ErrDown) {
				t.Fatalf("Send: %v, Join: %v, Dial: %v", err, joined, dialed)
			}
			p.heal()
			for !hub.Health().Up {
				time.Sleep(time.Millisecond)
			}
			if err := note.Send(t.Context(), hub.All(), 3); err != nil {
				t.Fatal(err)
			}
			if got := hubtest.Next(t, c, note); got != 3 {
				t.Errorf("got %d", got)
			}
			want := 0
			if local {
				want = 1
			}
			admin := s.admin(t)
			deadline := time.Now().Add(10 * time.Second)
			for {
				list, _ := do(t, admin, "PUBSUB", "CHANNELS", fmt.Sprintf("Chat%v:group:*", local)).AsStrSlice()
				if len(list) == want {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("subscribed to %v", list)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
}

// Many senders, many groups, all at once, while the connections are cut again and
// again: no outcome but the three, and it ends.
func TestCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	s := startRedis(t)
	f := startFleet(t, s)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 16 {
		wg.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				room := fmt.Sprint("room", i, k%4)
				err := f.clients[i%2].Conn().Join(context.Background(), room)
				if err == nil {
					err = note.Send(context.Background(), f.hubs[k%2].Group(room), k)
				}
				if err != nil && !errors.Is(err, hubwire.ErrDown) && !errors.Is(err, hubwire.ErrUnconfirmed) {
					t.Errorf("%v", err)
				}
				_ = f.clients[i%2].Conn().Leave(context.Background(), room)
			}
		})
	}
	for range 5 {
		f.proxies[0].cut()
		f.proxies[1].cut()
		time.Sleep(100 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	f.alive(t)
}
