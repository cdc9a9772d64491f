package hubwire_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// senders is how many send at the same time in the tests of the line.
const senders = 64

// rounds is how many rounds all senders make together.
func rounds() int {
	if testing.Short() {
		return 1_000
	}
	return 10_000
}

// seeded runs a test of the line with one shard and with several, since a small
// machine has only one. The seed is printed on failure; HUBWIRE_SEED repeats it.
func seeded(t *testing.T, test func(t *testing.T, hub *hubwire.Hub, seed uint64)) {
	seed, err := strconv.ParseUint(os.Getenv("HUBWIRE_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("HUBWIRE_SEED=%d", seed)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				hub := hubwire.New(&hubwire.Options{Queue: hubwire.Queue{Messages: 1 << 20, Bytes: 1 << 28}})
				hub.SetShards(shards)
				test(t, hub, seed)
			})
		})
	}
}

// A note is what one sender sends as its k-th.
type note struct {
	hubwire.Args
	From, K int
}

const (
	Note hubwire.Event[note] = "Note" // to many
	Own  hubwire.Event[note] = "Own"  // to the caller
)

// crowd connects one link for each sender, in two protocols; a third of them
// take what they get bit by bit. They are in groups of eight.
func crowd(t *testing.T, hub *hubwire.Hub, seed uint64) []*rawLink {
	var ls []*rawLink
	for i := range senders {
		l := open(t, hub, []wire.Protocol{rawA, rawB}[i%2], -1)
		if i%3 == 0 {
			l.mu.Lock()
			l.jitter = rand.New(rand.NewPCG(seed, uint64(i)))
			l.mu.Unlock()
		}
		sender.Set(l.port.Conn(), i)
		check(t, l.port.Conn().Join(t.Context(), group(i)))
		ls = append(ls, l)
	}
	return ls
}

const sender hubwire.Key[int] = "sender"

func group(i int) string { return fmt.Sprint("g", i/8) }

// all runs one goroutine for each sender and waits until all is delivered.
func all(t *testing.T, seed uint64, do func(i int, rnd *rand.Rand)) {
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() { do(i, rand.New(rand.NewPCG(seed, uint64(1000+i)))) })
	}
	wg.Wait()
	synctest.Wait()
}

// A line is what one link got.
type gotLine struct {
	kind    string // Note, Own or result
	from, k int
}

func lines(t *testing.T, l *rawLink) (all []gotLine) {
	for text := range strings.Lines(l.text()) {
		var g gotLine
		var err error
		if rest, ok := strings.CutPrefix(text, "result "); ok {
			g.kind = "result"
			g.k, err = strconv.Atoi(strings.TrimSpace(rest))
		} else {
			kind, rest, _ := strings.Cut(text, "(")
			from, k, _ := strings.Cut(strings.TrimSuffix(rest, ")\n"), ",")
			g.kind = kind
			if g.from, err = strconv.Atoi(from); err == nil {
				g.k, err = strconv.Atoi(k)
			}
		}
		if err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		all = append(all, g)
	}
	return all
}

// What a handler sends to a group, to all or to a user, and then to its caller,
// arrives in that order; so do the sends of each, and nothing is lost (D 20,
// 22).
func TestGroupThenCaller(t *testing.T) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		var mu sync.Mutex
		sent := map[string]int{}
		hub.Handle(hubwire.Method[note, int]("Both").With(func(ctx context.Context, c *hubwire.Conn, n note) (int, error) {
			to, name := hubwire.Target(hub.Group(group(n.From))), group(n.From)
			if n.K%32 == 0 {
				to, name = hub.All(), "all"
			}
			mu.Lock()
			sent[name]++
			mu.Unlock()
			if err := Note.Send(ctx, to, n); err != nil {
				return 0, err
			}
			return n.K, Own.Send(ctx, c, n)
		}))
		ls := crowd(t, hub, seed)
		all(t, seed, func(i int, rnd *rand.Rand) {
			var waits []*rawCall
			for k := range rounds() / senders {
				waits = append(waits, ls[i].start(wire.Call{Name: "Both", Args: list(fmt.Sprint(i), fmt.Sprint(k))}))
				if rnd.IntN(4) > 0 {
					for _, w := range waits {
						<-w.done
					}
					waits = waits[:0]
				}
			}
			for _, w := range waits {
				<-w.done
				check(t, w.err)
			}
		})
		order := map[string][]gotLine{}
		for i, l := range ls {
			last := map[int]int{} // by sender: k+1 of its last
			owns, results, notes := 0, 0, 0
			var mine []gotLine
			for _, g := range lines(t, l) {
				switch g.kind {
				case "Note":
					if notes++; g.k < last[g.from] {
						t.Errorf("link %d: note %d of %d after %d", i, g.k, g.from, last[g.from]-1)
					}
					last[g.from] = g.k + 1
					if g.k%32 != 0 {
						mine = append(mine, g)
					}
				case "Own":
					if g.from != i || g.k != owns || last[i] != g.k+1 {
						t.Errorf("link %d: own %d of %d, want %d, after note %d", i, g.k, g.from, owns, last[i]-1)
					}
					owns++
				case "result":
					if g.k != results || owns != results+1 {
						t.Errorf("link %d: result %d, want %d, after own %d", i, g.k, results, owns-1)
					}
					results++
				}
			}
			n := rounds() / senders
			if want := sent[group(i)] + sent["all"]; owns != n || results != n || notes != want {
				t.Errorf("link %d: %d own of %d, %d results, %d notes of %d", i, owns, n, results, notes, want)
			}
			// All members of a group see one order.
			if first := order[group(i)]; first == nil {
				order[group(i)] = mine
			} else if !slices.Equal(first, mine) {
				t.Errorf("link %d sees another order than the first of %s", i, group(i))
			}
		}
	})
}

// What a handler sends to a group arrives before its result (D 20, 24).
func TestGroupThenResult(t *testing.T) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		hub.Handle(hubwire.Method[note, int]("Note").With(func(ctx context.Context, c *hubwire.Conn, n note) (int, error) {
			return n.K, Note.Send(ctx, hub.Group(group(n.From)), n)
		}))
		ls := crowd(t, hub, seed)
		all(t, seed, func(i int, rnd *rand.Rand) {
			var last *rawCall
			for k := range rounds() / senders {
				last = ls[i].start(wire.Call{Name: "Note", Args: list(fmt.Sprint(i), fmt.Sprint(k))})
				if rnd.IntN(8) > 0 {
					<-last.done
				}
			}
			<-last.done
		})
		for i, l := range ls {
			next := map[int]int{}
			results := 0
			for _, g := range lines(t, l) {
				switch g.kind {
				case "Note":
					if g.k != next[g.from] {
						t.Errorf("link %d: note %d of %d, want %d", i, g.k, g.from, next[g.from])
					}
					next[g.from] = g.k + 1
				case "result":
					if g.k != results || next[i] <= g.k {
						t.Errorf("link %d: result %d, want %d, after note %d", i, g.k, results, next[i]-1)
					}
					results++
				}
			}
			if n := rounds() / senders; results != n || len(next) != 8 {
				t.Errorf("link %d: %d results of %d, notes of %d senders", i, results, n, len(next))
			}
		}
	})
}

// What was sent before a leave arrives, what is sent after it does not (D 22).
func TestSendThenLeave(t *testing.T) { testMembership(t, true) }

// What was sent before a join does not arrive, what is sent after it does (D 22).
func TestSendThenJoin(t *testing.T) { testMembership(t, false) }

// testMembership: each sender joins and leaves one group of all, which others
// send to at the same time, through the connection or the hub. What it sends
// while it is a member is the odd k's where it left last, the even ones where it
// joined last.
func testMembership(t *testing.T, leaveLast bool) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		ls := crowd(t, hub, seed)
		const room = "room"
		all(t, seed, func(i int, rnd *rand.Rand) {
			c := ls[i].port.Conn()
			ctx := t.Context()
			send := func(k int) { check(t, Note.Send(ctx, hub.Group(room), note{From: i, K: k})) }
			move := func(join bool) {
				switch {
				case join && rnd.IntN(2) == 0:
					check(t, c.Join(ctx, room))
				case join:
					check(t, hub.Join(ctx, c.ID(), room))
				case rnd.IntN(2) == 0:
					check(t, c.Leave(ctx, room))
				default:
					check(t, hub.Leave(ctx, c.ID(), room))
				}
			}
			for r := range rounds() / senders {
				if leaveLast {
					move(true)
					send(2*r + 1)
					move(false)
					send(2 * r)
				} else {
					send(2*r + 1)
					move(true)
					send(2 * r)
					move(false)
				}
				if rnd.IntN(16) == 0 {
					time.Sleep(time.Microsecond) // so that the line runs empty now and then
				}
			}
		})
		for i, l := range ls {
			var own []int
			for _, g := range lines(t, l) {
				if g.from == i {
					own = append(own, g.k)
				}
			}
			for r := range rounds() / senders {
				want := 2 * r
				if leaveLast {
					want++
				}
				if r >= len(own) || own[r] != want {
					t.Fatalf("link %d: of its own got %v, want at %d: %d", i, own, r, want)
				}
			}
			if len(own) != rounds()/senders {
				t.Errorf("link %d: %d of its own, want %d", i, len(own), rounds()/senders)
			}
		}
		if groups, _, _ := hubwire.Tables(hub); groups != senders/8 {
			t.Errorf("%d groups are left", groups)
		}
	})
}

// JSON and MessagePack members of one group see the same events in one order,
// and lose none.
func TestProtocolsInOneGroup(t *testing.T) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		server := hubtest.New(t, hub)
		var cs []*hubtest.Client
		for i := range 8 {
			c := server.DialWith(t, &hubtest.DialOptions{Protocol: []string{"json", "messagepack"}[i%2], Limit: []int{0, 0, 100, 1000}[i/2]})
			check(t, c.Conn().Join(t.Context(), "room"))
			cs = append(cs, c)
		}
		all(t, seed, func(i int, rnd *rand.Rand) {
			for k := range rounds() / senders {
				check(t, Note.Send(t.Context(), hub.Group("room"), note{From: i, K: k}))
				if rnd.IntN(16) == 0 {
					time.Sleep(time.Microsecond)
				}
			}
		})
		var first []note
		for i, c := range cs {
			got := hubtest.Got(t, c, Note)
			if i > 0 {
				if !slices.Equal(got, first) {
					t.Errorf("client %d sees another order than the first", i)
				}
				continue
			}
			first = got
			next := map[int]int{}
			for _, n := range got {
				if n.K != next[n.From] {
					t.Errorf("note %d of %d, want %d", n.K, n.From, next[n.From])
				}
				next[n.From] = n.K + 1
			}
			if len(got) != rounds()/senders*senders {
				t.Errorf("%d came", len(got))
			}
		}
	})
}

// Who is left out is left out of those sends alone, also where many are
// gathered; a Send to all but some waits for nobody.
func TestExcept(t *testing.T) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		ls := crowd(t, hub, seed)
		all(t, seed, func(i int, rnd *rand.Rand) {
			for k := range rounds() / senders / 8 {
				var except []string
				for j := range 4 {
					if (k>>j)&1 == 1 {
						except = append(except, ls[(i+j)%senders].port.Conn().ID())
					}
				}
				check(t, Note.Send(t.Context(), hub.All().Except(except...).Except("nobody"), note{From: i, K: k}))
			}
		})
		for i, l := range ls {
			var want, got []int
			for d := range 4 {
				from := (i - d + senders) % senders
				for k := range rounds() / senders / 8 {
					if (k>>d)&1 == 0 {
						want = append(want, from*1000+k)
					}
				}
			}
			near := map[int]bool{}
			for d := range 4 {
				near[(i-d+senders)%senders] = true
			}
			for _, g := range lines(t, l) {
				if near[g.from] {
					got = append(got, g.from*1000+g.k)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("link %d got %v of those near it, want %v", i, got, want)
			}
		}
	})
}

// Connections come and go while all send: nobody who stays loses anything, and
// nothing is left of those who went (row 82).
func TestBroadcastWhileClientsGo(t *testing.T) {
	seeded(t, func(t *testing.T, hub *hubwire.Hub, seed uint64) {
		server := hubtest.New(t, hub)
		stay := open(t, hub, rawA, -1)
		done := make(chan struct{})
		var churn sync.WaitGroup
		for i := range 8 {
			churn.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				for {
					select {
					case <-done:
						return
					default:
					}
					c := server.DialWith(t, &hubtest.DialOptions{Protocol: []string{"json", "messagepack"}[rnd.IntN(2)], User: &hubwire.User{ID: fmt.Sprint(rnd.IntN(3))}})
					check(t, c.Conn().Join(t.Context(), "room", fmt.Sprint(rnd.IntN(5))))
					if rnd.IntN(4) == 0 {
						c.Stall()
					}
					switch rnd.IntN(3) {
					case 0:
						c.Drop()
					case 1:
						c.Conn().Abort()
					default:
						_ = c.Close()
					}
				}
			})
		}
		var wg sync.WaitGroup
		for i := range senders {
			to := hubwire.Target(hub.All())
			switch i {
			case 1:
				to = hub.User("0", "1", "2")
			case 2:
				to = hub.Group("room", "1", "2")
			}
			wg.Go(func() {
				for k := range rounds() / senders / 4 {
					check(t, Note.Send(t.Context(), to, note{From: i, K: k}))
				}
			})
		}
		wg.Wait()
		close(done)
		churn.Wait()
		synctest.Wait()
		next := map[int]int{}
		for _, g := range lines(t, stay) {
			if g.k != next[g.from] {
				t.Fatalf("note %d of %d, want %d", g.k, g.from, next[g.from])
			}
			next[g.from]++
		}
		if len(next) != senders-2 || next[0] != rounds()/senders/4 {
			t.Errorf("notes of %d senders, %d of the first", len(next), next[0])
		}
		time.Sleep(time.Minute)
		if groups, users, asks := hubwire.Tables(hub); groups != 0 || users != 0 || asks != 0 {
			t.Errorf("left: %d groups, %d users, %d questions", groups, users, asks)
		}
		n := 0
		for range hub.Connections() {
			n++
		}
		if n != 1 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// slowEvent is an event whose encoding waits, the first time.
type slowEvent struct {
	once  *sync.Once
	began chan struct{}
	goOn  chan struct{}
}

func (e slowEvent) MarshalText() ([]byte, error) {
	e.once.Do(func() {
		close(e.began)
		<-e.goOn
	})
	return []byte("slow"), nil
}

// A member that comes with a protocol of its own while an event is being encoded
// gets it like the others, if it was a member when the event was put in line.
func TestProtocolThatComesMeanwhile(t *testing.T) {
	for _, backplane := range []bool{false, true} {
		t.Run(fmt.Sprint("backplane ", backplane), func(t *testing.T) {
			opts := &hubwire.Options{Name: "x"}
			if backplane {
				opts.Backplane = hubtest.NewBackplane().Node()
			}
			hub := hubwire.New(opts)
			server := hubtest.New(t, hub)
			a := server.Dial(t)
			check(t, a.Conn().Join(t.Context(), "room"))
			e := slowEvent{new(sync.Once), make(chan struct{}), make(chan struct{})}
			sent := make(chan error)
			go func() { sent <- hubwire.Event[slowEvent]("Said").Send(t.Context(), hub.Group("room"), e) }() // ends with goOn
			<-e.began
			b := server.DialWith(t, &hubtest.DialOptions{Protocol: "messagepack"})
			check(t, b.Conn().Join(t.Context(), "room"))
			check(t, Said.Send(t.Context(), hub.Group("room"), "quick"))
			close(e.goOn)
			check(t, <-sent)
			for _, c := range []*hubtest.Client{a, b} {
				if got := hubtest.Got(t, c, Said); !slices.Equal(got, []string{"quick", "slow"}) {
					t.Errorf("got %q", got)
				}
			}
			check(t, hub.Shutdown(t.Context()))
		})
	}
}
