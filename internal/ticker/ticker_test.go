package ticker_test

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/internal/ticker"
)

// A counter is a member that counts its ticks.
type counter struct {
	ticker.Slot
	n    int
	last int64
	do   func(c *counter)
}

func (c *counter) Tick(now int64) {
	c.n++
	c.last = now
	if c.do != nil {
		c.do(c)
	}
}

func TestTicksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s ticker.Set
		members := make([]counter, 1000)
		for i := range members {
			s.Add(&members[i])
			s.Add(&members[i]) // does nothing
		}
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		for i := range members {
			if m := &members[i]; m.n != 5 || m.last != 5 {
				t.Fatalf("member %d: %d ticks, the last at %d", i, m.n, m.last)
			}
			s.Remove(&members[i])
			s.Remove(&members[i]) // does nothing
		}
		if s.Len() != 0 || s.Now() != 5 {
			t.Errorf("%d members at %d", s.Len(), s.Now())
		}
		// The bubble ends only if the goroutine has ended.
	})
}

func TestIdleSetOwnsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s ticker.Set
		want := func(n int) {
			t.Helper()
			synctest.Wait()
			buf := make([]byte, 1<<16)
			buf = buf[:runtime.Stack(buf, true)]
			if got := strings.Count(string(buf), "ticker.(*Set).run(0x"); got != n {
				t.Errorf("%d goroutines, want %d:\n%s", got, n, buf)
			}
		}
		var a, b counter
		want(0)
		s.Add(&a)
		s.Add(&b)
		want(1)
		s.Remove(&a)
		want(1)
		s.Remove(&b)
		want(0)
		// The clock stands still meanwhile.
		time.Sleep(time.Hour)
		if s.Now() != 0 {
			t.Errorf("the clock is at %d", s.Now())
		}
		// A quick change of the only member leaves one goroutine, not two.
		for range 100 {
			s.Add(&a)
			s.Remove(&a)
		}
		s.Add(&a)
		want(1)
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		if a.n != 3 || s.Now() != 3 {
			t.Errorf("%d ticks at %d", a.n, s.Now())
		}
		s.Remove(&a)
		want(0)
	})
}

// Members may come and go from within Tick.
func TestChangesWithinTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s ticker.Set
		var born []*counter
		members := make([]counter, 1000)
		for i := range members {
			m := &members[i]
			switch i % 4 {
			case 0: // leaves
				m.do = func(c *counter) { s.Remove(c) }
			case 1: // brings another in
				m.do = func(c *counter) {
					if c.n == 1 {
						x := &counter{}
						born = append(born, x)
						s.Add(x)
					}
				}
			case 2: // leaves and comes back
				m.do = func(c *counter) { s.Remove(c); s.Add(c) }
			}
			s.Add(m)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		for i := range members {
			// One that was moved by another's removal may get two.
			if n := members[i].n; n == 0 || n > 2 {
				t.Fatalf("member %d has %d ticks after a second", i, n)
			}
		}
		if len(born) != 250 || s.Len() != 1000 {
			t.Errorf("%d new, %d in all", len(born), s.Len())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, x := range born {
			if x.n == 0 {
				t.Errorf("the new member %d has no tick", i)
			}
			s.Remove(x)
		}
		for i := range members {
			s.Remove(&members[i])
		}
	})
}

// The last one may take itself out, and the goroutine with it.
func TestLastLeavesWithinTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s ticker.Set
		a := &counter{}
		again := 0
		a.do = func(c *counter) {
			s.Remove(c)
			if again++; again < 3 {
				s.Add(c) // with a goroutine of its own
			}
		}
		s.Add(a)
		time.Sleep(time.Minute)
		synctest.Wait()
		if a.n != 3 || s.Len() != 0 {
			t.Errorf("%d ticks, %d members", a.n, s.Len())
		}
	})
}

// Nobody misses a tick because others leave.
func TestNoneIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s ticker.Set
		r := rand.New(rand.NewPCG(1, 2))
		stay := make([]counter, 500)
		leave := make([]counter, 5000)
		// Each tick of one that stays takes ten others out.
		next := 0
		takeOut := func(*counter) {
			for range min(10, len(leave)-next) {
				s.Remove(&leave[next])
				next++
			}
		}
		for _, i := range r.Perm(len(stay) + len(leave)) {
			if i < len(stay) {
				stay[i].do = takeOut
				s.Add(&stay[i])
			} else {
				s.Add(&leave[i-len(stay)])
			}
		}
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		for i := range stay {
			if stay[i].n < 3 {
				t.Errorf("member %d has %d ticks", i, stay[i].n)
			}
			s.Remove(&stay[i])
		}
		if s.Len() != 0 {
			t.Errorf("%d members are left", s.Len())
		}
	})
}

// For the race detector: everything at once.
func TestConcurrentChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s ticker.Set
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				mine := make([]quiet, 100)
				for range 2000 {
					m := &mine[r.IntN(len(mine))]
					if r.IntN(2) == 0 {
						s.Add(m)
					} else {
						s.Remove(m)
					}
					if r.IntN(100) == 0 {
						time.Sleep(300 * time.Millisecond) // of the bubble
					}
					s.Now()
				}
				for i := range mine {
					s.Remove(&mine[i])
				}
			})
		}
		wg.Wait()
		if s.Len() != 0 {
			t.Errorf("%d members are left", s.Len())
		}
	})
}

// A quiet is a member as connections are: it looks at a stamp.
type quiet struct {
	ticker.Slot
	stamp int64
	late  int
	_     [80]byte // the rest of a connection
}

func (q *quiet) Tick(now int64) {
	if now-q.stamp > 1<<40 {
		q.late++
	}
}

// BenchmarkTick is one second's work for 15,000 members; ns/member is the
// figure that matters.
func BenchmarkTick(b *testing.B) {
	var s ticker.Set
	members := make([]*quiet, 15_000)
	for i := range members {
		members[i] = new(quiet)
		s.Add(members[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		s.TickNow()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(members)), "ns/member")
	for _, m := range members {
		s.Remove(m)
	}
}

func BenchmarkNow(b *testing.B) {
	var s ticker.Set
	for b.Loop() {
		s.Now()
	}
}

func BenchmarkAddRemove(b *testing.B) {
	var s ticker.Set
	members := make([]quiet, 1000)
	for i := range members {
		s.Add(&members[i])
	}
	m := new(quiet)
	b.ReportAllocs()
	for b.Loop() {
		s.Add(m)
		s.Remove(m)
	}
	for i := range members {
		s.Remove(&members[i])
	}
}
