package signalr_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/signalr"
)

// at waits for the next message and says when it came, in whole seconds since
// start, rounded down.
func (p *peer) at(start time.Time) (string, int) {
	p.t.Helper()
	rec := p.record()
	return rec, int(time.Since(start) / time.Second)
}

// Pings come each KeepAlive and up to a second later, whatever else is sent
// (section 7.3).
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("json")
		start := time.Now()
		for i, want := range []int{16, 32, 48, 64} {
			rec, at := p.at(start)
			if rec != `{"type":6}` || at < want-1 || at > want {
				t.Errorf("ping %d: %s after %d s", i, rec, at)
			}
		}
		// A client that never pings is never timed out.
		p.call("1", "Echo", `"a"`)
		p.want(`{"type":3,"invocationId":"1","result":"a"}`)
	})
}

func TestPingsMsgpack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, &signalr.Options{KeepAlive: time.Second})
		p := s.connect("messagepack")
		start := time.Now()
		for range 5 {
			p.want("029106")
		}
		if d := time.Since(start); d < 5*time.Second || d > 10*time.Second {
			t.Errorf("five pings in %v", d)
		}
	})
}

func TestPingsOfABusyConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("json")
		pings := 0
		for range 100 {
			p.call("1", "Echo", `"a"`)
			for p.record() == `{"type":6}` {
				pings++
			}
			time.Sleep(time.Second)
		}
		if pings != 6 {
			t.Errorf("%d pings in 100 s", pings)
		}
	})
}

// The client's clock is armed by its first ping; any whole message winds it up.
func TestClientTimeout(t *testing.T) {
	quick := &signalr.Options{ClientTimeout: 2 * time.Second, KeepAlive: time.Hour}
	const late = "Client hasn't sent a message/ping within the configured ClientTimeoutInterval."
	for _, r := range []struct {
		name string
		do   func(p *peer)
	}{
		{"silence", func(*peer) {}},
		{"half a message does not count", func(p *peer) { time.Sleep(500 * time.Millisecond); p.records(`{"type":1,`) }},
		{"answers do not count", func(p *peer) { p.records(`{"type":1,"invocationId":"1","target":"Hang","arguments":[]}␞`) }},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newHub(t, nil)
				s := serve(t, hub.Hub, quick)
				p := s.connect("json")
				time.Sleep(300 * time.Millisecond)
				p.records(`{"type":6}␞`)
				start := time.Now()
				r.do(p)
				rec, at := p.at(start)
				if rec != closedText || at != 2 {
					t.Errorf("%s after %d s", rec, at)
				}
				p.wantClose(1000)
				hub.wantGone(t, late)
			})
		})
	}
	t.Run("messages wind it up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, quick)
			p := s.connect("json")
			p.records(`{"type":6}␞`)
			for range 20 {
				time.Sleep(1900 * time.Millisecond)
				p.records(`{"type":8,"sequenceId":1}␞`)
			}
			p.call("1", "Echo", `"a"`)
			p.want(`{"type":3,"invocationId":"1","result":"a"}`)
		})
	})
	t.Run("the defaults", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, nil)
			p := s.connect("json")
			p.records(`{"type":6}␞`)
			start := time.Now()
			p.want(`{"type":6}`)
			if rec, at := p.at(start); rec != closedText || at < 30 || at > 31 {
				t.Errorf("%s after %d s", rec, at)
			}
			p.wantClose(1000)
		})
	})
}

// While the reader waits for room the client's clock stands still.
func TestClientTimeoutStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{ClientTimeout: 2 * time.Second, KeepAlive: time.Hour, MaxMessage: -1})
		p := s.connect("json")
		p.records(`{"type":6}␞`)
		p.call("0", "Block", "")
		for _, id := range []string{"1", "2", "3"} { // more than 64 KiB together
			p.call(id, "Echo", `"`+strings.Repeat("a", 30<<10)+`"`)
		}
		time.Sleep(time.Minute)
		if len(p.frames) != 0 {
			t.Fatalf("%v", p.next())
		}
		start := time.Now()
		close(hub.block)
		for range 4 {
			if rec := p.record(); !strings.HasPrefix(rec, `{"type":3,`) {
				t.Fatal(rec)
			}
		}
		if rec, at := p.at(start); rec != closedText || at < 2 || at > 3 {
			t.Errorf("%s after %d s", rec, at)
		}
		p.wantClose(1000)
	})
}
