package hubwire_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A keptLink is a rawLink of a connection that can be resumed.
type keptLink struct {
	*rawLink
	limit int
}

func (l keptLink) Unacked() int { return l.limit }

// openKept opens a connection that can be resumed.
func openKept(t *testing.T, hub *hubwire.Hub, limit int) (*hubwire.Port, *rawLink) {
	t.Helper()
	l := freshLink()
	port, err := hub.Open(t.Context(), keptLink{l, limit}, "kept", nil, &hubwire.Request{Wire: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	l.port = port
	return port, l
}

func freshLink() *rawLink {
	return &rawLink{proto: rawA, room: -1, wake: make(chan struct{}), closed: make(chan struct{})}
}

func hello(first uint64) []byte { return fmt.Appendf(nil, "<%d>", first) }

func wantText(t *testing.T, l *rawLink, want string) {
	t.Helper()
	synctest.Wait()
	if got := l.text(); got != want {
		t.Fatalf("the link took %q, want %q", got, want)
	}
}

// What is not acknowledged is kept; above the limit records wait, and control
// frames do not.
func TestResumeKeepsWhatIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(nil)
		port, l := openKept(t, hub, 4)
		defer port.End(nil)
		for _, rec := range []string{"aaa", "bbb", "ccc", "ddd"} {
			port.Put([]byte(rec))
		}
		wantText(t, l, "aaabbb")
		if !port.Unacked() {
			t.Error("six bytes are not above four")
		}
		port.Control([]byte("!"))
		wantText(t, l, "aaabbb!")
		port.Acked(0)
		port.Acked(1)
		wantText(t, l, "aaabbb!ccc")
		port.Acked(1) // again
		port.Acked(99)
		wantText(t, l, "aaabbb!cccddd")

		second := freshLink()
		if err := port.Swap(second, hello); err != nil {
			t.Fatal(err)
		}
		wantText(t, second, "<4>ddd")
		port.Acked(4)
		third := freshLink()
		if err := port.Swap(third, hello); err != nil {
			t.Fatal(err)
		}
		wantText(t, third, "<5>") // the next number where all were acknowledged
		if port.Unacked() {
			t.Error("nothing is unacknowledged")
		}
	})
}

// A link that fails is closed with wire.ErrLost, and the connection waits.
func TestResumeAfterALostLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(nil)
		port, l := openKept(t, hub, 100)
		defer port.End(nil)
		port.Put([]byte("a"))
		l.fail()
		port.Put([]byte("b"))
		port.Put([]byte("c"))
		<-l.closed
		if l.reason != wire.ErrLost {
			t.Errorf("the link was closed with %v", l.reason)
		}
		second := freshLink()
		second.room = 4 // the resend stops in its midst
		if err := port.Swap(second, hello); err != nil {
			t.Fatal(err)
		}
		port.Put([]byte("d"))
		wantText(t, second, "<1>a")
		third := freshLink() // a cut during the resend is one more drop (F5)
		port.Detach()
		port.Detach()
		port.Put([]byte("e"))
		if err := port.Swap(third, hello); err != nil {
			t.Fatal(err)
		}
		wantText(t, third, "<1>abcde")
		second.fail()
		synctest.Wait()
		port.Put([]byte("f"))
		wantText(t, third, "<1>abcdef")
		if second.text() != "<1>a" {
			t.Errorf("the old link took %q", second.text())
		}
	})
}

// Final lets go what waited for acknowledgements, and nothing is kept then.
func TestResumeFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(nil)
		port, l := openKept(t, hub, 1)
		defer port.End(nil)
		for _, rec := range []string{"aa", "bb", "cc"} {
			port.Put([]byte(rec))
		}
		wantText(t, l, "aa")
		port.Final()
		port.Final()
		port.Acked(1)
		port.Put([]byte("dd"))
		wantText(t, l, "aabbccdd")
		if err := port.Swap(freshLink(), hello); err != hubwire.ErrClosed {
			t.Errorf("Swap after Final: %v", err)
		}
	})
	t.Run("in the midst of a resend", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := hubwire.New(nil)
			port, _ := openKept(t, hub, 1<<20)
			defer port.End(nil)
			var all strings.Builder
			for i := range 20 {
				rec := strings.Repeat(string(rune('a'+i)), 10_000)
				all.WriteString(rec)
				port.Put([]byte(rec))
			}
			second := freshLink()
			second.room = 5
			if err := port.Swap(second, hello); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			port.Put([]byte("!"))
			port.Final()
			second.take(-1)
			wantText(t, second, "<1>"+all.String()+"!")
		})
	})
}
