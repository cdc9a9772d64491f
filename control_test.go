package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// An island is a node that can be cut off: what it says is lost, and it hears
// nothing, without anybody being told.
type island struct {
	hubwire.Backplane
	cut atomic.Bool
}

func (i *island) Start(ctx context.Context, hub string, in hubwire.Inbox) error {
	return i.Backplane.Start(ctx, hub, &islandInbox{in, i})
}

func (i *island) Publish(ctx context.Context, to hubwire.Address, m *hubwire.Message) error {
	if i.cut.Load() {
		return nil
	}
	return i.Backplane.Publish(ctx, to, m)
}

type islandInbox struct {
	hubwire.Inbox
	i *island
}

func (in *islandInbox) Message(from hubwire.Address, m *hubwire.Message) {
	if !in.i.cut.Load() {
		in.Inbox.Message(from, m)
	}
}

// nodes makes n nodes of one hub; opts may be nil.
func nodes(t *testing.T, n int, opts func(i int, o *hubwire.Options)) (servers []*hubtest.Server, islands []*island) {
	b := hubtest.NewBackplane()
	for i := range n {
		at := &island{Backplane: b.Node()}
		o := &hubwire.Options{Name: "x", Backplane: at}
		if opts != nil {
			opts(i, o)
		}
		hub := newHub(o)
		t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
		servers, islands = append(servers, hubtest.New(t, hub)), append(islands, at)
		check(t, hub.JoinUser(t.Context(), "nobody", "x")) // which starts it
	}
	return servers, islands
}

// A node that has died is asked no more once its lease has ended: its members are
// gone. Until then questions and changes say that it does not answer; one that
// was cut off is back with its first word.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, islands := nodes(t, 3, nil)
		hub := s[0].Hub()
		for _, s := range s {
			s.DialUser(t, "ann")
		}
		count := func(want int) {
			t.Helper()
			if n, err := hub.Count(t.Context(), hub.User("ann")); n != want || err != nil {
				t.Errorf("%d, %v; want %d", n, err, want)
			}
		}
		count(3)
		islands[2].cut.Store(true)
		if _, err := hub.Count(t.Context(), hub.User("ann")); !errors.Is(err, hubwire.ErrUnconfirmed) {
			t.Errorf("Count: %v", err)
		}
		if err := hub.JoinUser(t.Context(), "ann", "room"); !errors.Is(err, hubwire.ErrUnconfirmed) {
			t.Errorf("JoinUser: %v", err)
		}
		if _, err := hub.Presence(t.Context(), "room", ""); !errors.Is(err, hubwire.ErrUnconfirmed) {
			t.Errorf("Presence: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := hub.LeaveUser(ctx, "ann", "room"); !errors.Is(err, hubwire.ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("LeaveUser: %v", err)
		}
		time.Sleep(15 * time.Second)
		count(2)
		if len(hub.Nodes()) != 2 {
			t.Errorf("nodes: %q", hub.Nodes())
		}
		check(t, hub.JoinUser(t.Context(), "ann", "room"))
		if n, err := hub.Count(t.Context(), hub.Group("room")); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		islands[2].cut.Store(false)
		time.Sleep(6 * time.Second) // a beat
		count(3)
		check(t, hub.JoinUser(t.Context(), "ann", "room"))
		if n, err := hub.Count(t.Context(), hub.Group("room")); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// A node that dies while it is asked is not waited for once it is known, and one
// that takes its leave at once.
func TestLeaveWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, islands := nodes(t, 2, nil)
		hub := s[0].Hub()
		began := time.Now()
		check(t, s[1].Hub().Shutdown(t.Context()))
		if n, err := hub.Count(t.Context(), hub.All()); n != 0 || err != nil || len(hub.Nodes()) != 1 {
			t.Errorf("%d, %v, %q", n, err, hub.Nodes())
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("after %v", d)
		}
		// A hub that has no backplane any more, or never had one.
		islands[0].cut.Store(true)
		check(t, hub.Shutdown(t.Context()))
		if _, err := hub.Count(t.Context(), hub.All()); !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("Count: %v", err)
		}
	})
	hub := newHub(nil)
	c := hubtest.New(t, hub).DialUser(t, "ann")
	check(t, hub.JoinUser(t.Context(), "ann", "a", "b"))
	if n, err := hub.Count(t.Context(), hub.Group("a", "b").Except("x")); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if p, err := hub.Presence(t.Context(), "a", ""); err != nil || len(p.Members) != 1 || p.Members[0] != (hubwire.Member{Conn: c.ID(), User: "ann"}) || p.Next != "" {
		t.Errorf("%+v, %v", p, err)
	}
	check(t, hub.LeaveUser(t.Context(), "ann", "a", "c"))
	if n, err := hub.Count(t.Context(), hub.Group("a")); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := hub.Count(t.Context(), newHub(nil).All()); err == nil {
		t.Error("a target of another hub was counted")
	}
}

// While the backplane is down changes for other nodes fail, or stay on this node
// where the hub is to go on alone.
func TestControlDuringOutage(t *testing.T) {
	for _, local := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := hubtest.NewBackplane()
			hub := newHub(&hubwire.Options{Name: "x", Backplane: b.Node(), Outage: hubwire.Outage{Local: local}})
			other := newHub(&hubwire.Options{Name: "x", Backplane: b.Node()})
			c := hubtest.New(t, hub).DialUser(t, "ann")
			hubtest.New(t, other).DialUser(t, "ann")
			time.Sleep(2 * time.Second) // they know each other
			b.Fail(errDown)
			time.Sleep(time.Minute)
			n, err := hub.Count(t.Context(), hub.User("ann"))
			if local && (n != 1 || err != nil) || !local && !errors.Is(err, hubwire.ErrDown) {
				t.Errorf("Count: %d, %v", n, err)
			}
			err = hub.JoinUser(t.Context(), "ann", "room")
			if (err == nil) != local || err != nil && !errors.Is(err, hubwire.ErrDown) {
				t.Errorf("JoinUser: %v", err)
			}
			b.Fail(nil)
			check(t, hub.JoinUser(t.Context(), "ann", "room")) // nobody was taken for dead meanwhile
			for _, h := range []*hubwire.Hub{hub, other} {
				if n, err := h.Count(t.Context(), h.Group("room")); n != 2 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
			check(t, Said.Send(t.Context(), other.Group("room"), "x"))
			hubtest.Next(t, c, Said)
			check(t, hub.Shutdown(t.Context()))
			check(t, other.Shutdown(t.Context()))
		})
	}
}

// A large group is told page by page: everybody once, in order, also while others
// come and go.
func TestPresencePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := nodes(t, 3, nil)
		const each = 700
		var fleeting []*hubtest.Client
		for i, s := range s {
			for k := range each * (i + 1) / 2 {
				user := &hubwire.User{ID: fmt.Sprint("u", k)}
				c := s.DialWith(t, &hubtest.DialOptions{User: user, ID: fmt.Sprintf("c%04d-%d", k, i)})
				check(t, c.Conn().Join(t.Context(), "room"))
				if k%50 == 7 {
					fleeting = append(fleeting, c)
				}
			}
		}
		for _, s := range s {
			gone := map[string]bool{}
			last, cursor, n, pages := "", "", 0, 0
			for {
				p, err := s.Hub().Presence(t.Context(), "room", cursor)
				check(t, err)
				pages++
				if len(p.Members) == 0 || len(p.Members) > 500 {
					t.Fatalf("a page of %d", len(p.Members))
				}
				for _, m := range p.Members {
					if m.Conn <= last {
						t.Fatalf("%s after %s", m.Conn, last)
					}
					last = m.Conn
					if !gone[m.Conn] {
						n++
					}
				}
				if cursor = p.Next; cursor == "" {
					break
				}
				if len(fleeting) > 0 {
					gone[fleeting[0].ID()] = fleeting[0].ID() > cursor
					fleeting[0].Drop()
					fleeting = fleeting[1:]
				}
			}
			want, err := s.Hub().Count(t.Context(), s.Hub().Group("room"))
			check(t, err)
			if n < want || n > 3*each || pages > 60 {
				t.Errorf("%d members on %d pages, want %d", n, pages, want)
			}
		}
	})
}

// Whoever joins a user's connections while others come and go either finds one or
// it comes later.
func TestJoinUserRaces(t *testing.T) {
	s, _ := nodes(t, 2, nil)
	for round := range 50 {
		done := make(chan *hubtest.Client)
		go func() { // ends with the dial
			done <- s[1].DialUser(t, "ann")
		}()
		check(t, s[0].Hub().JoinUser(t.Context(), "ann", "room"))
		c := <-done
		check(t, s[0].Hub().JoinUser(t.Context(), "ann", "room"))
		if n, err := s[0].Hub().Count(t.Context(), s[0].Hub().Group("room")); n != 1 || err != nil {
			t.Fatalf("round %d: %d, %v", round, n, err)
		}
		check(t, c.Close())
	}
}

func FuzzNote(f *testing.F) {
	f.Add(hubwire.Note("a", "b", "c"))
	f.Add([]byte{})
	f.Add([]byte{5, 255, 1, 2, 255, 255, 3, 0, 0, 0, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if again, ok := hubwire.NoteAgain(b); ok {
			third, ok := hubwire.NoteAgain(again)
			if !ok || string(third) != string(again) {
				t.Errorf("%x is read as %x and then as %x", b, again, third)
			}
		}
	})
}
