package nats_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/backplane/nats"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
)

const note hubwire.Event[int] = "note"

// A fleet is two nodes of one hub, each behind a proxy of its own.
type fleet struct {
	proxies [2]*proxy
	hubs    [2]*hubwire.Hub
	clients [2]*hubtest.Client
}

// startFleet starts the nodes; the first gives the order.
func startFleet(t *testing.T, backends ...string) *fleet {
	t.Helper()
	f := new(fleet)
	for i := range f.hubs {
		f.proxies[i] = newProxy(t, backends[i%len(backends)])
		hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(f.proxies[i].url()), Outage: hubwire.Outage{Wait: 20 * time.Second}})
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
	n                    atomic.Int64 // of sent
}

// send sends numbers to room from a node until stop is closed.
func (f *fleet) send(from int, r *run, stop chan struct{}) {
	for k := 0; ; k++ {
		select {
		case <-stop:
			return
		default:
		}
		switch err := note.Send(context.Background(), f.hubs[from].Group("room"), k); {
		case err == nil:
			r.sent = append(r.sent, k)
			r.n.Add(1)
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
func (f *fleet) during(t *testing.T, from int, fault func()) {
	t.Helper()
	stop, ended, r := make(chan struct{}), make(chan struct{}), new(run)
	go func() { // ends with stop
		defer close(ended)
		f.send(from, r, stop)
	}()
	some := func() {
		n := r.n.Load() + 20
		await(t, "sends do not succeed", func() bool { return r.n.Load() >= n })
	}
	f.alive(t)
	some()
	fault()
	f.alive(t)
	some()
	close(stop)
	<-ended
	for i, hub := range f.hubs {
		for tries := 0; ; tries++ {
			err := note.Send(t.Context(), hub.Group("room"), -1-i)
			if err == nil {
				break
			}
			if !errors.Is(err, hubwire.ErrUnconfirmed) || tries == 3 {
				t.Fatalf("after it, from node %d: %v", i, err)
			}
		}
	}
	t.Logf("%d sent, %d unconfirmed, %d failed", len(r.sent), len(r.unsure), len(r.failed))
	for i, c := range f.clients {
		var got []int
		for ends := map[int]bool{}; len(ends) < 2; {
			n := hubtest.Next(t, c, note)
			if n < 0 {
				ends[n] = true
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
		if i != from {
			continue // what a node missed while it was away it is told by Gap
		}
		for _, k := range r.sent {
			if _, found := slices.BinarySearch(got, k); !found {
				t.Errorf("node %d: %d was sent and did not arrive", i, k)
			}
		}
	}
}

const faultWait = 60 * time.Second

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(faultWait)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// alive waits until both nodes are up.
func (f *fleet) alive(t *testing.T) {
	t.Helper()
	for i, hub := range f.hubs {
		await(t, fmt.Sprintf("node %d does not come back", i), func() bool { return hub.Health().Up })
	}
}

func (f *fleet) awaitDown(t *testing.T, i int) {
	t.Helper()
	await(t, "the outage is not noticed", func() bool { return !f.hubs[i].Health().Up })
}

// awaitGap waits until the node has said that it missed something and is up.
func (f *fleet) awaitGap(t *testing.T, i int) {
	t.Helper()
	await(t, fmt.Sprintf("node %d: no gap was told", i), func() bool {
		h := f.hubs[i].Health()
		return h.Gaps > 0 && h.Up
	})
}

// Each fault while the node that gives the order sends, and while the other does.
func TestOutcomes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	addr := func(s *server.Server) string { return s.Addr().String() }
	for name, fault := range map[string]func(t *testing.T, f *fleet, from int){
		"everything cut": func(t *testing.T, f *fleet, from int) {
			f.proxies[0].cut()
			f.proxies[1].cut()
			f.awaitGap(t, 0)
			f.awaitGap(t, 1)
		},
		"stalled for 8 s": func(t *testing.T, f *fleet, from int) {
			f.proxies[0].stall()
			f.proxies[1].stall()
			timer := time.AfterFunc(8*time.Second, func() {
				f.proxies[0].resume()
				f.proxies[1].resume()
			})
			defer timer.Stop()
			f.awaitDown(t, from)
			f.awaitGap(t, from)
		},
		"the other node partitioned": func(t *testing.T, f *fleet, from int) {
			f.proxies[1-from].partition()
			f.awaitDown(t, 1-from)
			if !f.hubs[from].Health().Up {
				t.Error("the sender's node is down too")
			}
			f.proxies[1-from].heal()
			f.awaitGap(t, 1-from)
		},
		"the sender's node partitioned": func(t *testing.T, f *fleet, from int) {
			f.proxies[from].partition()
			f.awaitDown(t, from)
			f.proxies[from].heal()
			f.awaitGap(t, from)
		},
		"failed over": func(t *testing.T, f *fleet, from int) {
			other := startNATS(t)
			f.proxies[0].failOver(addr(other))
			f.proxies[1].failOver(addr(other))
			f.awaitGap(t, 0)
			f.awaitGap(t, 1)
		},
	} {
		for from := range 2 {
			t.Run(fmt.Sprintf("%s, node %d sends", name, from), func(t *testing.T) {
				t.Parallel()
				f := startFleet(t, addr(startNATS(t)))
				f.during(t, from, func() { fault(t, f, from) })
			})
		}
	}
}

// A server of a cluster is killed; its node goes to another one, of which NATS
// told it.
func TestClusterFailOver(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	for from := range 2 {
		t.Run(fmt.Sprint("node ", from, " sends"), func(t *testing.T) {
			t.Parallel()
			servers := startCluster(t, 2)
			f := new(fleet)
			for i := range f.hubs {
				hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(servers[i].ClientURL()), Outage: hubwire.Outage{Wait: 20 * time.Second}})
				t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
				f.hubs[i] = hub
				f.clients[i] = hubtest.New(t, hub).DialUser(t, "ann")
				if err := f.clients[i].Conn().Join(t.Context(), "room"); err != nil {
					t.Fatal(err)
				}
			}
			f.during(t, from, func() {
				stopNATS(servers[0])
				f.awaitGap(t, 0)
				f.awaitGap(t, 1)
			})
		})
	}
}

// A server that is about to stop says so, and nodes leave it while it still works:
// no send fails.
func TestLameDuck(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	servers := startCluster(t, 2)
	f := new(fleet)
	for i := range f.hubs {
		hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(servers[0].ClientURL()), Outage: hubwire.Outage{Wait: 20 * time.Second}})
		t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
		f.hubs[i] = hub
		f.clients[i] = hubtest.New(t, hub).DialUser(t, "ann")
		if err := f.clients[i].Conn().Join(t.Context(), "room"); err != nil {
			t.Fatal(err)
		}
	}
	f.during(t, 1, func() {
		ended := make(chan struct{})
		go func() { // ends with the server
			defer close(ended)
			servers[0].LameDuckShutdown()
		}()
		f.awaitGap(t, 0)
		f.awaitGap(t, 1)
		await(t, "a node stays on the server that stops", func() bool { return servers[1].NumClients() == 2 })
		<-ended
	})
}

// A node that gave the order leaves: no send fails, nothing is lost, and no gap
// is told.
func TestLeaderLeaves(t *testing.T) {
	s := startNATS(t)
	var hubs []*hubwire.Hub
	for range 3 {
		hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(s.ClientURL())})
		t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
		hubs = append(hubs, hub)
	}
	hubtest.New(t, hubs[0]).Dial(t) // it is the first, and gives the order
	hubtest.New(t, hubs[1])
	c := hubtest.New(t, hubs[2]).Dial(t)
	if err := c.Conn().Join(t.Context(), "room"); err != nil {
		t.Fatal(err)
	}
	const n = 300
	half := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range n {
				if i == 0 && k == n/2 {
					close(half)
				}
				if err := note.Send(t.Context(), hubs[1+i%2].Group("room"), i*n+k); err != nil {
					t.Errorf("%d of %d: %v", k, i, err)
				}
			}
		})
	}
	<-half
	if err := hubs[0].Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	var next [4]int
	for range 4 * n {
		v := hubtest.Next(t, c, note)
		if i, k := v/n, v%n; k != next[i] {
			t.Fatalf("%d of %d, want %d", k, i, next[i])
		}
		next[v/n]++
	}
	for i, h := range hubs[1:] {
		if g := h.Health().Gaps; g != 0 {
			t.Errorf("node %d: %d gaps", i+1, g)
		}
	}
}

// NATS that is not there at the start: connections are refused, and when it comes
// every subscription is made.
func TestDownAtStart(t *testing.T) {
	s := startNATS(t)
	p := newProxy(t, s.Addr().String())
	p.partition()
	hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(p.url())})
	t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
	nodes := hubtest.New(t, hub)
	if _, err := nodes.TryDial(nil); !errors.Is(err, hubwire.ErrDown) {
		t.Fatalf("refused with %v", err)
	}
	if err := note.Send(t.Context(), hub.All(), 1); !errors.Is(err, hubwire.ErrDown) {
		t.Fatalf("Send: %v", err)
	}
	p.heal()
	c := nodes.DialUser(t, "ann")
	other := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(s.ClientURL())})
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

// While NATS is away: what stays here works, sends fail in their time or go to
// this node alone where that was chosen, and afterwards nothing is subscribed that
// nobody wants.
func TestWhileDown(t *testing.T) {
	for _, local := range []bool{false, true} {
		t.Run(fmt.Sprint("local ", local), func(t *testing.T) {
			s := startNATS(t)
			p := newProxy(t, s.Addr().String())
			hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(p.url()), Outage: hubwire.Outage{Wait: 50 * time.Millisecond, Local: local}})
			t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
			nodes := hubtest.New(t, hub)
			c := nodes.Dial(t)
			before := s.NumSubscriptions()
			p.partition()
			await(t, "the outage is not noticed", func() bool { return !hub.Health().Up })
			if err := note.Send(t.Context(), c.Conn(), 1); err != nil {
				t.Errorf("to a connection of this node: %v", err)
			}
			hubtest.Next(t, c, note)
			err := note.Send(t.Context(), hub.All(), 2)
			joined := c.Conn().Join(t.Context(), "room")
			d, dialed := nodes.TryDial(nil)
			want := before
			if local {
				if err != nil || joined != nil || dialed != nil {
					t.Fatalf("Send: %v, Join: %v, Dial: %v", err, joined, dialed)
				}
				if got := hubtest.Next(t, c, note); got != 2 {
					t.Errorf("got %d", got)
				}
				d.Close()
				want++ // the group
			} else if !errors.Is(err, hubwire.ErrDown) || !errors.Is(joined, hubwire.ErrDown) || !errors.Is(dialed, hubwire.ErrDown) {
				t.Fatalf("Send: %v, Join: %v, Dial: %v", err, joined, dialed)
			}
			p.heal()
			await(t, "it does not come back", func() bool { return hub.Health().Up })
			if err := note.Send(t.Context(), hub.All(), 3); err != nil {
				t.Fatal(err)
			}
			if got := hubtest.Next(t, c, note); got != 3 {
				t.Errorf("got %d", got)
			}
			await(t, "other subscriptions than there should be", func() bool { return s.NumSubscriptions() == want })
		})
	}
}

// Many senders, many groups, all at once, while the connections are cut again and
// again: no outcome but the three, and it ends.
func TestCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	f := startFleet(t, startNATS(t).Addr().String())
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

// What is larger than the server takes is refused with a sentence, and does no
// harm.
func TestMaxPayload(t *testing.T) {
	s := startNATS(t, func(o *server.Options) { o.MaxPayload = 10_000 })
	hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(s.ClientURL())})
	t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
	c := hubtest.New(t, hub).Dial(t)
	big := hubwire.Event[string]("big")
	err := big.Send(t.Context(), hub.All(), strings.Repeat("x", 20_000))
	if err == nil || errors.Is(err, hubwire.ErrUnconfirmed) || errors.Is(err, hubwire.ErrDown) || !strings.Contains(err.Error(), "max_payload of 10000") {
		t.Errorf("too large: %v", err)
	}
	if err := note.Send(t.Context(), hub.All(), 1); err != nil {
		t.Fatal(err)
	}
	hubtest.Next(t, c, note)
}

// A user who may not use the prefix is told so.
func TestPermissions(t *testing.T) {
	s := startNATS(t, func(o *server.Options) {
		all := &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"other.>"}}}
		o.Users = []*server.User{{Username: "ann", Password: "secret", Permissions: all}}
	})
	bp := func(prefix, password string) *nats.Backplane {
		return nats.New(&nats.Options{Servers: []string{s.ClientURL()}, Prefix: prefix, Connect: []client.Option{client.UserInfo("ann", password)}})
	}
	for _, test := range []struct{ prefix, password, want string }{
		{"other", "secret", ""}, {"", "secret", "ermission"}, {"other", "wrong", "uthorization"}, {"a..b", "secret", "prefix"}, {"a.*", "secret", "prefix"},
	} {
		hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: bp(test.prefix, test.password)})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := note.Send(ctx, hub.All(), 1)
		cancel()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("prefix %q, password %q: %v", test.prefix, test.password, err)
		}
		if err := hub.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// A node that cannot keep up loses messages, is told so, and goes on.
func TestSlowConsumer(t *testing.T) {
	s := startNATS(t)
	in := &stuckInbox{hold: make(chan struct{}), gaps: make(chan struct{}, 1000), got: make(chan struct{}, 1000)}
	bp := nats.New(&nats.Options{Servers: []string{s.ClientURL()}, Pending: 16})
	if err := bp.Start(t.Context(), "Chat", in); err != nil {
		t.Fatal(err)
	}
	defer bp.Close(context.Background(), "Chat")
	conn := hubwire.Address{Hub: "Chat", Kind: hubwire.AddressConn, Name: "c"}
	if err := bp.Subscribe(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	other := node(s.ClientURL())
	if err := other.Start(t.Context(), "Chat", &stuckInbox{}); err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background(), "Chat")
	m := &hubwire.Message{Kind: hubwire.MessageEvent, Blobs: []hubwire.Blob{{Protocol: "json", Bytes: []byte("x")}}}
	for range 100 {
		if err := other.Publish(t.Context(), conn, m); err != nil {
			t.Fatal(err)
		}
	}
	close(in.hold)
	select {
	case <-in.gaps:
	case <-time.After(faultWait):
		t.Fatal("no gap was told")
	}
	for len(in.got) > 0 {
		<-in.got
	}
	if err := other.Publish(t.Context(), conn, m); err != nil {
		t.Fatal(err)
	}
	select {
	case <-in.got:
	case <-time.After(faultWait):
		t.Fatal("nothing comes any more")
	}
}

// A stuckInbox takes messages when hold is closed.
type stuckInbox struct{ hold, gaps, got chan struct{} }

func (in *stuckInbox) Message(hubwire.Address, *hubwire.Message) {
	<-in.hold
	in.got <- struct{}{}
}

func (in *stuckInbox) Gap(...hubwire.Address) {
	if in.gaps != nil {
		in.gaps <- struct{}{}
	}
}

func (in *stuckInbox) State(bool, error) {}
