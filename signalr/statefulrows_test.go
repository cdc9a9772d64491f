package signalr_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// Row 76: Acks that name what was never sent, and tokens of others.
func TestRow76FalseAcksAndTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, &signalr.Options{KeepAlive: time.Hour})
		p, token := s.stateful("json")
		for _, n := range []string{"-1", "0", "-9223372036854775808"} {
			p.call("1", "Echo", `"a"`)
			p.want(answered("1", `"a"`))
			p.records(`{"type":8,"sequenceId":` + n + `}␞`)
		}
		p.want(ackID(3))
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1), answered("1", `"a"`), answered("1", `"a"`), answered("1", `"a"`)) // none was acknowledged
		for _, n := range []string{"99", "9223372036854775807"} {
			p.records(`{"type":8,"sequenceId":` + n + `}␞`) // of the last that was sent (F7)
		}
		p.call("2", "Echo", `"b"`)
		p.want(answered("2", `"b"`), ackID(4))
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(4), answered("2", `"b"`))

		// Another's connection, by a token that was tampered with, or cut.
		for _, bad := range []string{token[:len(token)-1], token + "A", strings.ToUpper(token), "x" + token} {
			s.gone(bad)
		}
		// An Ack that is no 64-bit number is no message.
		p.records(`{"type":8,"sequenceId":9223372036854775808}␞`)
		p.want(closedText)
		s.gone(token)
		p.wantClose(1000)
	})
}

// Row 76: returns race; the connection has one socket in the end, and goes on.
func TestRow76TwoReturnsRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{KeepAlive: time.Hour})
		p, token := s.stateful("json")
		p.call("1", "Echo", `"a"`)
		p.want(answered("1", `"a"`), ackID(1))
		for round := range 20 {
			p.drop()
			peers := make([]*peer, 3)
			var wg sync.WaitGroup
			for i := range peers {
				wg.Go(func() { peers[i] = s.dial("/hub?id=" + token) }) // ends with the answer
			}
			wg.Wait()
			synctest.Wait()
			var live []*peer
			for _, x := range peers {
				ended := false
				for len(x.frames) > 0 {
					switch f := x.next(); {
					case f.err != nil, f.op == 8:
						ended = true
					default:
						x.have = append(x.have, f.payload...)
					}
				}
				if !ended {
					live = append(live, x)
				}
			}
			if len(live) != 1 {
				t.Fatalf("round %d: %d sockets are alive", round, len(live))
			}
			p = live[0]
			p.want(sequenceID(1), answered("1", `"a"`))
			p.records(`{"type":9,"sequenceId":2}␞`)
		}
		if len(hub.gone) != 0 {
			t.Error("Disconnect ran")
		}
	})
}

// Row 77: what cannot be resumed is not: the client hears it by a 404, and
// nothing is pretended.
func TestRow77NotRecovered(t *testing.T) {
	t.Run("overflow while away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 5}})
			s := lasting(t, hub.Hub, nil)
			p, token := s.stateful("json")
			synctest.Wait()
			p.drop()
			for i := range 6 {
				if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			hub.wantGone(t, hubwire.ErrSlow.Error())
			s.gone(token)
		})
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := lasting(t, hub.Hub, &signalr.Options{DisconnectTimeout: 3 * time.Second})
			p, token := s.stateful("json")
			synctest.Wait()
			p.drop()
			time.Sleep(3*time.Second + time.Millisecond)
			s.gone(token)
			hub.wantGone(t, "")
		})
	})
	t.Run("another server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			key := []byte("a key that the nodes share")
			a := lasting(t, newHub(t, nil).Hub, &signalr.Options{Node: "a", TokenKey: key})
			b := lasting(t, newHub(t, nil).Hub, &signalr.Options{Node: "b", TokenKey: key})
			again := lasting(t, newHub(t, nil).Hub, &signalr.Options{Node: "a", TokenKey: key})
			p, token := a.stateful("json")
			synctest.Wait()
			p.drop()
			if _, r := b.tryDial("/hub?id=" + token); r.status != http.StatusNotFound || !strings.Contains(r.body, "another server than b") {
				t.Errorf("%d %q", r.status, r.body)
			}
			time.Sleep(16 * time.Second)
			again.gone(token) // the same node after a restart, once the token has expired
		})
	})
}

// Row 78: what comes twice is heard once, and what is sent while the sockets
// change arrives, in its place.
func TestRow78SentDuringTheSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{StatefulBuffer: 1 << 20, KeepAlive: time.Hour})
		p, token := s.stateful("json")
		synctest.Wait()
		stop := make(chan struct{})
		var sent int
		var wg sync.WaitGroup
		wg.Go(func() { // ends with stop
			for ; ; sent++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(sent)); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond) // of the bubble
			}
		})
		count, latest := 1, 0
		take := func(p *peer) {
			for len(p.frames) > 0 || len(p.have) > 0 {
				rec := p.record()
				var n int
				if k, _ := fmt.Sscanf(rec, `{"type":9,"sequenceId":%d}`, &n); k == 1 {
					if n > latest+1 {
						t.Fatalf("%s after %d", rec, latest)
					}
					count = n
					continue
				}
				if want := fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}`, count-1); rec != want {
					t.Fatalf("got %s, want %s", rec, want)
				}
				latest = max(latest, count)
				count++
			}
		}
		for i := range 50 {
			time.Sleep(3 * time.Millisecond)
			synctest.Wait()
			take(p)
			old := p
			if i%2 == 0 {
				old.c.Close() // the server may not know yet
			}
			p = s.dial("/hub?id=" + token)
			synctest.Wait()
			take(p)
			old.c.Close()
		}
		close(stop)
		wg.Wait()
		synctest.Wait()
		take(p)
		if latest != sent {
			t.Errorf("%d of %d came", latest, sent)
		}
	})
}

// A resend that was cut, after which the client acknowledges more than came of
// it: its next Sequence is no gap, nor is ours.
func TestStatefulAckAfterACutResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, nil)
		p, token := s.stateful("json")
		for _, id := range []string{"1", "2", "3"} {
			p.call(id, "Echo", `"a"`)
			p.want(answered(id, `"a"`))
		}
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1))
		p.records(`{"type":9,"sequenceId":1}␞`)
		p.call("1", "Echo", `"a"`) // and the rest of the resend does not come
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1))
		p.records(`{"type":9,"sequenceId":4}␞`)
		p.call("4", "Echo", `"b"`)
		for _, id := range []string{"1", "2", "3"} {
			p.want(answered(id, `"a"`))
		}
		p.want(answered("4", `"b"`), ackID(4))
	})
}
