package hubwire_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
)

// A politeLink says why it closes, where it still can.
type politeLink struct {
	*rawLink
	said chan bool // whether it could
}

func (l *politeLink) Close(reason error, reconnect bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return
	default:
	}
	l.reason = reason
	close(l.closed)
	go func() { // ends at once
		mute := l.port.Mute()
		l.port.Control([]byte("bye\n"))
		l.said <- !mute
	}()
}

func openPolite(t *testing.T, hub *hubwire.Hub, room int) *politeLink {
	t.Helper()
	hub.Expose(rawA)
	l := &politeLink{&rawLink{proto: rawA, room: room, wake: make(chan struct{}), closed: make(chan struct{})}, make(chan bool, 1)}
	port, err := hub.Open(t.Context(), l, "polite", nil, &hubwire.Request{Wire: "raw"})
	check(t, err)
	l.port = port
	t.Cleanup(func() {
		l.fail()
		port.Unblock()
		port.End(nil)
	})
	return l
}

// A client that is cut for its slowness gets what is under way to its end, and
// then the reason; what waited is dropped.
func TestLastWordsOfSlow(t *testing.T) {
	for _, room := range []int{0, 3, 11, 12, 15} {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 3, Stall: time.Hour}})
			l := openPolite(t, hub, room)
			for range 10 {
				check(t, Said.Send(t.Context(), hub.All(), "xxx"))
				synctest.Wait()
			}
			if l.reason != hubwire.ErrSlow || !<-l.said {
				t.Fatalf("closed with %v", l.reason)
			}
			check(t, Said.Send(t.Context(), hub.All(), "more"))
			l.port.Put([]byte("result\n"))
			l.take(-1)
			synctest.Wait()
			whole := strings.Repeat("Said(\"xxx\")\n", room/12+1)
			if got := l.text(); got != whole+"bye\n" {
				t.Errorf("with room for %d: %q", room, got)
			}
		})
	}
}

// All at once: nothing is under way, and the last words are all that comes.
func TestLastWordsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 2, Stall: time.Hour}})
		l := openPolite(t, hub, 0)
		events(t, hub.All(), 0, 64)
		synctest.Wait()
		if l.reason != hubwire.ErrSlow || !<-l.said {
			t.Fatalf("closed with %v", l.reason)
		}
		l.take(-1)
		synctest.Wait()
		if got := l.text(); got != "bye\n" && !strings.HasSuffix(got, ")\nbye\n") {
			t.Errorf("%q", got)
		}
	})
}

// To a client that takes nothing at all nothing can be said, and a link that fails
// under the last words ends them.
func TestLastWordsOfStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 3, Stall: time.Second}})
		l := openPolite(t, hub, 3)
		check(t, Said.Send(t.Context(), hub.All(), "xxx"))
		<-l.closed
		if l.reason != hubwire.ErrSlow || <-l.said {
			t.Fatalf("closed with %v, and can be told", l.reason)
		}
		l.take(-1)
		synctest.Wait()
		if got := l.text(); got != "Said(\"xxx\")\n" {
			t.Errorf("%q", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 1, Stall: time.Hour}})
		l := openPolite(t, hub, 3)
		for range 3 {
			check(t, Said.Send(t.Context(), hub.All(), "xxx"))
			synctest.Wait()
		}
		if !<-l.said {
			t.Error("it can be told nothing")
		}
		l.fail()
		synctest.Wait()
		if !l.port.Mute() {
			t.Error("a link that failed takes words")
		}
		for range 2000 {
			l.port.Control([]byte("ping\n"))
		}
		if kept, msgs, bytes := hubwire.QueueMemory(l.port.Conn()); msgs != 0 || bytes != 0 || kept > 1000 {
			t.Errorf("%d bytes kept, %d messages, %d bytes", kept, msgs, bytes)
		}
	})
}
