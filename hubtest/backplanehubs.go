package hubtest

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
)

// The second half of TestBackplane: hubs on several nodes that are one hub.

type backplaneNote struct {
	hubwire.Args
	From, K int
}

const (
	bpNote hubwire.Event[backplaneNote]         = "Note"
	bpText hubwire.Event[string]                = "Text"
	bpAsk  hubwire.ClientMethod[string, string] = "Ask"
	bpBoth hubwire.Method[backplaneNote, int]   = "Both"
)

// hubs makes one hub of n nodes.
func hubs(t *testing.T, join joinFunc, n int) (all []*Server) {
	t.Helper()
	for _, bp := range join(t, n) {
		hub := hubwire.New(&hubwire.Options{Name: testHub, Backplane: bp})
		hub.Handle(bpBoth.With(func(ctx context.Context, c *hubwire.Conn, n backplaneNote) (int, error) {
			if err := bpNote.Send(ctx, c.Hub().Group("room"), n); err != nil {
				return 0, err
			}
			return n.K, bpText.Send(ctx, c, fmt.Sprint(n.K))
		}))
		t.Cleanup(func() { must(t, hub.Shutdown(context.Background())) })
		all = append(all, New(t, hub))
	}
	return all
}

// Events reach their targets on every node, and nobody else.
func testTargets(t *testing.T, join joinFunc) {
	nodes := hubs(t, join, 2)
	var cs []*Client // two on each node; ann is on both
	for i, s := range nodes {
		cs = append(cs, s.DialUser(t, "ann"), s.DialWith(t, &DialOptions{User: &hubwire.User{ID: fmt.Sprint("user", i)}, Protocol: "messagepack"}))
	}
	must(t, cs[0].Conn().Join(t.Context(), "a"))
	must(t, cs[3].Conn().Join(t.Context(), "a", "b"))
	for _, s := range nodes {
		hub := s.Hub()
		for _, test := range []struct {
			name string
			to   hubwire.Target
			want [4]int
		}{
			{"all", hub.All(), [4]int{1, 1, 1, 1}},
			{"all but two", hub.All().Except(cs[0].ID(), cs[3].ID(), "nobody"), [4]int{0, 1, 1, 0}},
			{"group", hub.Group("a"), [4]int{1, 0, 0, 1}},
			{"groups", hub.Group("a", "b"), [4]int{1, 0, 0, 2}},
			{"group but one", hub.Group("a").Except(cs[3].ID()), [4]int{1, 0, 0, 0}},
			{"empty group", hub.Group("c"), [4]int{}},
			{"user", hub.User("ann"), [4]int{1, 0, 1, 0}},
			{"users", hub.User("ann", "user1", "nobody"), [4]int{1, 0, 1, 1}},
			{"connection", hub.Conn(cs[1].ID()), [4]int{0, 1, 0, 0}},
			{"connections", hub.Conns(cs[1].ID(), cs[2].ID(), "nobody"), [4]int{0, 1, 1, 0}},
			{"nobody", hub.Conn("nobody"), [4]int{}},
		} {
			must(t, bpText.Send(t.Context(), test.to, test.name))
			for i, c := range cs {
				for range test.want[i] {
					if got := Next(t, c, bpText); got != test.name {
						t.Fatalf("%s: client %d got %q", test.name, i, got)
					}
				}
			}
		}
		// What came too often would be in the way of these.
		must(t, bpText.Send(t.Context(), hub.All(), "last"))
		for i, c := range cs {
			if got := Next(t, c, bpText); got != "last" {
				t.Errorf("client %d got %q too often", i, got)
			}
		}
	}
}

// Members on all nodes see one order for a group; on the node of the sender what
// was sent to the group comes before what was sent to the caller after it (D 29).
func testHubOrder(t *testing.T, join joinFunc) {
	nodes := hubs(t, join, 3)
	const n = 50
	var cs []*Client
	for _, s := range nodes {
		for range 2 {
			c := s.Dial(t)
			must(t, c.Conn().Join(t.Context(), "room"))
			cs = append(cs, c)
		}
	}
	var wg sync.WaitGroup
	for i, c := range cs {
		wg.Go(func() {
			for k := range n {
				got, err := bpBoth.Call(t.Context(), c, backplaneNote{From: i, K: k})
				if got != k || err != nil {
					t.Errorf("Both = %v, %v", got, err)
					return
				}
				// It has come when the result has.
				seen := false
				for !seen {
					v := c.peek(string(bpNote))
					seen = slices.ContainsFunc(v, func(raw string) bool { return raw == fmt.Sprintf("%d %d", i, k) })
					if !seen {
						t.Errorf("client %d has the result of %d before its note", i, k)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	var first []backplaneNote
	for i, c := range cs {
		var all []backplaneNote
		next := make([]int, len(cs))
		for range n * len(cs) {
			v := Next(t, c, bpNote)
			if v.K != next[v.From] {
				t.Fatalf("client %d: %d of %d, want %d", i, v.K, v.From, next[v.From])
			}
			next[v.From]++
			all = append(all, v)
		}
		if first == nil {
			first = all
		} else if !slices.Equal(first, all) {
			t.Errorf("client %d sees another order than the first", i)
		}
	}
}

// peek are the notes that have come and not been taken.
func (c *Client) peek(name string) (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.inbox[name] {
		var from, k int
		if v.Codec.Decode(v.List[0], &from) == nil && v.Codec.Decode(v.List[1], &k) == nil {
			all = append(all, fmt.Sprintf("%d %d", from, k))
		}
	}
	return all
}

// Any node joins and leaves for any connection; when it returns, that holds for
// what it sends from then on.
func testGroups(t *testing.T, join joinFunc) {
	nodes := hubs(t, join, 2)
	c := nodes[1].Dial(t)
	for i, s := range nodes {
		hub := s.Hub()
		for k := range 20 {
			room := fmt.Sprintf("%d.%d", i, k)
			must(t, hub.Join(t.Context(), c.ID(), room, "both"))
			must(t, bpText.Send(t.Context(), hub.Group(room), room))
			if got := Next(t, c, bpText); got != room {
				t.Fatalf("got %q, want %q", got, room)
			}
			must(t, hub.Leave(t.Context(), c.ID(), room))
			must(t, bpText.Send(t.Context(), hub.Group(room), "after "+room))
			must(t, bpText.Send(t.Context(), hub.Group("both"), "both"))
			if got := Next(t, c, bpText); got != "both" {
				t.Fatalf("got %q", got)
			}
		}
		must(t, hub.Join(t.Context(), "nobody", "room"))
		must(t, hub.Leave(t.Context(), "nobody", "room"))
	}
}

// knowing waits until every node knows all the others.
func knowing(t *testing.T, nodes []*Server) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		known := 0
		for _, s := range nodes {
			if len(s.Hub().Nodes()) == len(nodes) {
				known++
			}
		}
		if known == len(nodes) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d nodes know all the others", known, len(nodes))
		}
	}
}

// The nodes know each other; any of them joins and leaves for the connections of
// a user wherever they are, counts, and says who is there.
func testFleet(t *testing.T, join joinFunc) {
	nodes := hubs(t, join, 3)
	var anns []*Client
	for _, s := range nodes {
		for range 2 {
			anns = append(anns, s.DialUser(t, "ann"))
		}
		s.DialUser(t, "bob")
	}
	knowing(t, nodes)
	for i, s := range nodes {
		hub, room := s.Hub(), fmt.Sprint("room", i)
		for range 2 { // twice is once
			must(t, hub.JoinUser(t.Context(), "ann", room, "every"))
		}
		must(t, hub.JoinUser(t.Context(), "nobody", room))
		for k, test := range []struct {
			to   hubwire.Target
			want int
		}{
			{hub.Group(room), 6}, {hub.Group(room).Except(anns[0].ID(), anns[5].ID(), anns[5].ID(), "x"), 4}, {hub.Group(room, "every"), 12}, {hub.Group("empty"), 0},
			{hub.All(), 9}, {hub.User("ann"), 6}, {hub.User("ann", "bob"), 9}, {hub.User("nobody"), 0},
			{hub.Conn(anns[3].ID()), 1}, {hub.Conn("nobody"), 0}, {hub.Conns(anns[0].ID(), anns[4].ID(), "nobody"), 2},
		} {
			if n, err := hub.Count(t.Context(), test.to); n != test.want || err != nil {
				t.Errorf("count %d at node %d: %d, %v; want %d", k, i, n, err, test.want)
			}
		}
		for name, page := range map[string]func(context.Context, string, string) (*hubwire.Page, error){room: hub.Presence, "ann": hub.PresenceUser} {
			p, err := page(t.Context(), name, "")
			must(t, err)
			var got, want []string
			for _, m := range p.Members {
				got = append(got, m.Conn)
				if m.User != "ann" || !slices.Contains(hub.Nodes(), m.Node) {
					t.Errorf("%+v", m)
				}
			}
			for _, c := range anns {
				want = append(want, c.ID())
			}
			slices.Sort(want)
			if !slices.Equal(got, want) || p.Next != "" {
				t.Errorf("node %d: %s has %q, want %q", i, name, got, want)
			}
		}
		// It holds for what is sent from then on.
		must(t, bpText.Send(t.Context(), hub.Group(room), room))
		for _, c := range anns {
			if got := Next(t, c, bpText); got != room {
				t.Fatalf("got %q", got)
			}
		}
		must(t, hub.LeaveUser(t.Context(), "ann", room))
		must(t, bpText.Send(t.Context(), hub.Group(room, "every"), "after"))
		for _, c := range anns {
			if got := Next(t, c, bpText); got != "after" {
				t.Fatalf("got %q", got)
			}
		}
		if n, err := hub.Count(t.Context(), hub.Group(room)); n != 0 || err != nil {
			t.Errorf("%d members, %v", n, err)
		}
	}
	must(t, nodes[1].Hub().Shutdown(t.Context()))
	for _, s := range []*Server{nodes[0], nodes[2]} {
		for end := time.Now().Add(patience); len(s.Hub().Nodes()) > 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		if n, err := s.Hub().Count(t.Context(), s.Hub().User("ann")); n != 4 || err != nil {
			t.Errorf("after a node has left: %d, %v", n, err)
		}
	}
}

// A connection can be asked from any node, and waiting ends with its context and
// with the connection.
func testQuestions(t *testing.T, join joinFunc) {
	nodes := hubs(t, join, 2)
	hold := make(chan struct{})
	answer := bpAsk.With(func(ctx context.Context, q string) (string, error) {
		switch q {
		case "fail":
			return "", errors.New("I will not say")
		case "hold":
			select {
			case <-hold:
			case <-ctx.Done():
			}
		}
		return q + "!", nil
	})
	for _, protocol := range []string{"json", "messagepack"} {
		c := nodes[1].DialWith(t, &DialOptions{Protocol: protocol}, answer)
		for i, s := range nodes {
			to := s.Hub().Conn(c.ID())
			if got, err := bpAsk.Call(t.Context(), to, "well"); got != "well!" || err != nil {
				t.Errorf("node %d: %q, %v", i, got, err)
			}
			if _, err := bpAsk.Call(t.Context(), to, "fail"); err == nil || err.Error() != "I will not say" {
				t.Errorf("node %d: %v", i, err)
			} else if _, ok := errors.AsType[*hubwire.Error](err); !ok {
				t.Errorf("node %d: the client's error is a %T", i, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, err := bpAsk.Call(ctx, to, "hold"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("node %d: %v", i, err)
			}
			cancel()
			hold <- struct{}{}
			if _, err := bpAsk.Call(t.Context(), s.Hub().Conn("nobody"), "x"); err == nil {
				t.Errorf("node %d: nobody answered", i)
			}
		}
	}
	for i, s := range nodes {
		c := nodes[1].Dial(t, answer)
		time.AfterFunc(50*time.Millisecond, c.Drop)
		if _, err := bpAsk.Call(t.Context(), s.Hub().Conn(c.ID()), "hold"); err == nil || !strings.Contains(err.Error(), c.ID()) {
			t.Errorf("node %d: the connection has gone: %v", i, err)
		}
	}
}

// When the last member of a group leaves, sends to it go on without waiting for
// an echo that cannot come.
func testLastLeaves(t *testing.T, join joinFunc) {
	nodes := hubs(t, join, 2)
	c, d := nodes[0].Dial(t), nodes[1].Dial(t)
	must(t, d.Conn().Join(t.Context(), "room"))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-done:
					return
				default:
				}
				start := time.Now()
				if err := bpNote.Send(t.Context(), nodes[0].Hub().Group("room"), backplaneNote{From: i, K: k}); err != nil {
					t.Errorf("after %v: %v", time.Since(start), err)
					return
				}
			}
		})
	}
	for range 100 {
		must(t, c.Conn().Join(t.Context(), "room"))
		must(t, c.Conn().Leave(t.Context(), "room"))
	}
	close(done)
	wg.Wait()
	next := map[int]int{}
	for _, v := range Got(t, d, bpNote) {
		if v.K != next[v.From] {
			t.Fatalf("%d of %d, want %d", v.K, v.From, next[v.From])
		}
		next[v.From]++
	}
}
