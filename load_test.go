package hubwire_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// Joins and leaves at full speed leave nothing behind, and the members are right
// at the end (row 81).
func TestJoinAndLeaveFast(t *testing.T) {
	hub := newHub(nil)
	hub.SetShards(3)
	server := hubtest.New(t, hub)
	n := 10_000
	if testing.Short() {
		n = 1_000
	}
	var cs []*hubtest.Client
	var wg sync.WaitGroup
	for i := range 8 {
		c := server.Dial(t)
		cs = append(cs, c)
		wg.Go(func() {
			for k := range n {
				check(t, c.Conn().Join(t.Context(), "room"))
				if k < n-1 || i%2 == 0 {
					check(t, c.Conn().Leave(t.Context(), "room"))
				}
			}
		})
	}
	wg.Wait()
	check(t, Said.Send(t.Context(), hub.Group("room"), "x"))
	for i, c := range cs {
		if got := len(hubtest.Got(t, c, Said)); got != i%2 {
			t.Errorf("client %d got %d", i, got)
		}
		check(t, c.Close())
	}
	if groups, _, _ := hubwire.Tables(hub); groups != 0 {
		t.Errorf("%d groups are left", groups)
	}
}

// Groups that are empty again cost nothing (row 81).
func TestEmptyGroups(t *testing.T) {
	hub := newHub(nil)
	c := hubtest.New(t, hub).Dial(t)
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 50_000
	}
	before := heap()
	for i := range n {
		name := fmt.Sprint("room ", i)
		check(t, c.Conn().Join(t.Context(), name))
		check(t, c.Conn().Leave(t.Context(), name))
	}
	c.Sync(t)
	if groups, _, _ := hubwire.Tables(hub); groups != 0 {
		t.Errorf("%d groups are left", groups)
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes are left of %d groups", grown, n)
	}
}

// One client may be in very many groups; when it goes they are gone (row 81).
func TestOneClientInManyGroups(t *testing.T) {
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	c := server.Dial(t)
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 10_000
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("room ", i)
	}
	check(t, c.Conn().Join(t.Context(), names...))
	for i := 0; i < n; i += n / 10 {
		check(t, Said.Send(t.Context(), hub.Group(names[i]), names[i]))
		if got := hubtest.Next(t, c, Said); got != names[i] {
			t.Errorf("got %q, want %q", got, names[i])
		}
	}
	check(t, Said.Send(t.Context(), hub.Group(names...), "each"))
	if got := len(hubtest.Got(t, c, Said)); got != n {
		t.Errorf("%d came", got)
	}
	check(t, c.Close())
	if groups, _, _ := hubwire.Tables(hub); groups != 0 {
		t.Errorf("%d groups are left", groups)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Whatever is sent to clients that do not read, memory stays within the bounds
// of their queues (row 87).
func TestMemoryIsBounded(t *testing.T) {
	for _, full := range []hubwire.Full{hubwire.Disconnect, hubwire.DropOldest} {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Bytes: 100 << 10, Full: full, Stall: time.Hour}})
				var ls []*rawLink
				for range 100 {
					ls = append(ls, open(t, hub, rawA, 0))
				}
				before := heap()
				for i := range 2000 {
					check(t, Said.Send(t.Context(), hub.All(), strings.Repeat("x", 10_000)))
					check(t, Said.Send(t.Context(), hub.Conn(ls[i%100].port.Conn().ID()), strings.Repeat("y", 10_000)))
				}
				synctest.Wait()
				// 40 MB for each were sent.
				if grown := heap() - before; grown > 30<<20 {
					t.Errorf("%d MB are kept for 100 clients that do not read", grown>>20)
				}
				runtime.KeepAlive(ls)
			})
		})
	}
}
