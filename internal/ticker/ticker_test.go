package ticker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/internal/ticker"
)

type counter struct {
	ticker.Slot
	n    int
	last int64
	do   func()
}

func (c *counter) Tick(now int64) {
	c.n++
	c.last = now
	if c.do != nil {
		c.do()
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
		}
		if s.Len() != 0 || s.Now() != 5 {
			t.Errorf("%d members at %d", s.Len(), s.Now())
		}
		// The bubble ends only if the goroutine has ended.
	})
}
