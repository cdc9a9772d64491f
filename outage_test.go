package hubwire_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// A Send waits for the end of an outage, as long as Outage.Wait says.
func TestOutageWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubtest.NewBackplane()
		hub := newHub(&hubwire.Options{Name: "x", Backplane: b.Node(), Outage: hubwire.Outage{Wait: 2 * time.Second}})
		server := hubtest.New(t, hub)
		c := server.Dial(t)
		b.Fail(errDown)
		if h := hub.Health(); h.Up || !errors.Is(h.Err, errDown) {
			t.Errorf("Health = %+v", h)
		}
		if _, err := server.TryDial(nil); !errors.Is(err, hubwire.ErrDown) {
			t.Errorf("a new connection: %v", err)
		}
		start := time.Now()
		if err := Said.Send(t.Context(), hub.All(), "x"); !errors.Is(err, hubwire.ErrDown) || !errors.Is(err, errDown) || time.Since(start) != 2*time.Second {
			t.Errorf("Send: %v after %v", err, time.Since(start))
		}
		time.AfterFunc(time.Second, func() { b.Fail(nil) })
		start = time.Now()
		if err := Said.Send(t.Context(), hub.All(), "y"); err != nil || time.Since(start) != time.Second {
			t.Errorf("Send: %v after %v", err, time.Since(start))
		}
		if got := hubtest.Next(t, c, Said); got != "y" {
			t.Errorf("got %q", got)
		}
		if h := hub.Health(); !h.Up || h.Since.IsZero() {
			t.Errorf("Health = %+v", h)
		}
		check(t, hub.Shutdown(t.Context()))
	})
}

// Kick ends the connections of a target on every node, and those alone.
func TestKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubtest.NewBackplane()
		var servers []*hubtest.Server
		for range 2 {
			hub := newHub(&hubwire.Options{Name: "x", Backplane: b.Node()})
			servers = append(servers, hubtest.New(t, hub))
		}
		hub := servers[0].Hub()
		for _, test := range []struct {
			name string
			to   func(cs []*hubtest.Client) hubwire.Target
			gone []int
		}{
			{"connection there", func(cs []*hubtest.Client) hubwire.Target { return hub.Conn(cs[2].ID()) }, []int{2}},
			{"connection here", func(cs []*hubtest.Client) hubwire.Target { return hub.Conn(cs[0].ID()) }, []int{0}},
			{"connections", func(cs []*hubtest.Client) hubwire.Target { return hub.Conns(cs[1].ID(), cs[2].ID(), "nobody") }, []int{1, 2}},
			{"user", func(cs []*hubtest.Client) hubwire.Target { return hub.User("ann") }, []int{0, 2}},
			{"group", func(cs []*hubtest.Client) hubwire.Target { return hub.Group("room") }, []int{1, 2}},
			{"all but one", func(cs []*hubtest.Client) hubwire.Target { return hub.All().Except(cs[3].ID()) }, []int{0, 1, 2}},
		} {
			cs := []*hubtest.Client{servers[0].DialUser(t, "ann"), servers[0].Dial(t), servers[1].DialUser(t, "ann"), servers[1].Dial(t)}
			check(t, cs[1].Conn().Join(t.Context(), "room"))
			check(t, cs[2].Conn().Join(t.Context(), "room"))
			for range 2 { // again is no error
				check(t, hub.Kick(t.Context(), test.to(cs), "out", true))
			}
			synctest.Wait()
			for i, c := range cs {
				want := false
				for _, g := range test.gone {
					want = want || g == i
				}
				if ended := c.Conn().Context().Err() != nil; ended != want {
					t.Errorf("%s: connection %d ended: %v", test.name, i, ended)
				}
				c.Close()
			}
			synctest.Wait()
		}
		for _, s := range servers {
			check(t, s.Hub().Shutdown(t.Context()))
		}
	})
}
