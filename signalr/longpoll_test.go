package signalr_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

const closeReconnect = `{"type":7,"allowReconnect":true}␞`

// The time line of section 2.4: the first poll, the handshake, data, the end.
func TestLongPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		_, token := s.negotiate("")
		r := s.poll(token, 200, "") // 2: at once
		if h := r.header.Get("Content-Type"); h != "application/octet-stream" {
			t.Errorf("first poll: Content-Type %q", h)
		}
		if r.header.Get("Content-Length") != "0" {
			t.Errorf("first poll: %v", r.header)
		}
		p := s.park(token) // 3
		synctest.Wait()
		s.post(token, `{"protocol":"json","version":1}␞`) // 4
		r = p.want(200, "{}␞")                            // 5
		for k, v := range map[string]string{"Content-Type": "application/octet-stream", "Content-Length": "3", "Cache-Control": "no-cache, no-store", "Pragma": "no-cache", "Expires": "Thu, 01 Jan 1970 00:00:00 GMT"} {
			if got := r.header.Get(k); got != v {
				t.Errorf("%s: %q, want %q", k, got, v)
			}
		}
		// 6: all that waits comes at once
		s.post(token, `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞{"type":1,"inv`)
		s.post(token, `ocationId":"2","target":"Echo","arguments":["b"]}␞`)
		synctest.Wait()
		s.poll(token, 200, `{"type":3,"invocationId":"1","result":"a"}␞{"type":3,"invocationId":"2","result":"b"}␞`)
		// 7: nothing for 90 s
		start := time.Now()
		r = s.poll(token, 200, "")
		if d := time.Since(start); d != 90*time.Second || r.header.Get("Content-Type") != "text/plain" || r.header.Get("Content-Length") != "0" {
			t.Errorf("an idle poll: after %v, %v", d, r.header)
		}
		// 8: the hub ends
		p = s.park(token)
		s.post(token, `{"type":7}␞`)
		p.want(200, `{"type":7}␞`)
		hub.wantGone(t, "")
		s.post(token, `{"type":6}␞`) // it is still known
		r = s.poll(token, 204, "")
		if r.header.Get("Content-Type") != "text/plain" || r.header.Get("Expires") == "" {
			t.Errorf("204: %v", r.header)
		}
		s.poll(token, 404, "No Connection with that ID")
		s.wantPost(token, "x", 404, "No Connection with that ID")
	})
}

func TestLongPollingMsgpack(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	token := s.lp("", "messagepack")
	s.wantPost(token, "\x0e\x95\x01\x80\xa1\x31\xa4Echo\x91\xa2hi", 200, "")
	s.poll(token, 200, "\x09\x95\x03\x80\xa1\x31\x03\xa2hi")
}

// There is one poll at a time: a newer one takes over (H14, row 57).
func TestAdversarial57Polls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		token := s.lp("", "json")
		var polls []*pending
		for range 5 {
			polls = append(polls, s.park(token))
			synctest.Wait()
		}
		for _, p := range polls[:4] {
			p.want(204, "")
		}
		s.post(token, `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`)
		polls[4].want(200, `{"type":3,"invocationId":"1","result":"a"}␞`)

		// Many at once: all but one are answered 204, whatever their order.
		polls = nil
		for range 20 {
			polls = append(polls, s.park(token))
		}
		synctest.Wait()
		s.post(token, `{"type":1,"invocationId":"2","target":"Echo","arguments":["b"]}␞`)
		data := 0
		for _, p := range polls {
			if r := <-p.ch; r.status == 200 && strings.Contains(r.body, `"b"`) {
				data++
			} else if r.status != 204 {
				t.Errorf("%d %q", r.status, r.body)
			}
		}
		if data != 1 {
			t.Errorf("%d polls got the answer", data)
		}
	})
}

// A client that drops its poll loses nothing and may come back within 15 s.
func TestPollDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		token := s.lp("", "json")
		p := s.park(token)
		synctest.Wait()
		p.cancel()
		synctest.Wait()
		s.post(token, `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`)
		time.Sleep(14 * time.Second)
		s.poll(token, 200, `{"type":3,"invocationId":"1","result":"a"}␞`)

		// Not within 15 s, whatever it posts: it is given up.
		start := time.Now()
		for range 7 {
			s.post(token, `{"type":6}␞`)
			time.Sleep(2 * time.Second)
		}
		hub.wantGone(t, "")
		if d := time.Since(start); d < 15*time.Second || d > 17*time.Second {
			t.Errorf("given up after %v", d)
		}
		s.poll(token, 404, "No Connection with that ID")
	})
}

// DELETE (H16, F13): the parked poll gets the Close, later requests 404.
func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		for i := range 40 { // no race: always the Close
			token := s.lp("", "json")
			p := s.park(token)
			synctest.Wait()
			if i%2 == 1 {
				s.post(token, `{"type":1,"invocationId":"1","target":"Hang","arguments":[]}␞`)
			}
			if r := s.delete(token); r.status != 202 || r.body != "" || r.header.Get("Content-Type") != "text/plain" {
				t.Fatalf("DELETE: %d %q %v", r.status, r.body, r.header)
			}
			s.wantPost(token, "x", 404, "No Connection with that ID")
			s.poll(token, 404, "No Connection with that ID")
			if r := s.delete(token); r.status != 404 {
				t.Fatalf("second DELETE: %d", r.status)
			}
			p.want(200, closeReconnect)
			hub.wantGone(t, "")
		}

		// Without a poll what waits is lost.
		token := s.lp("", "json")
		s.post(token, `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`)
		synctest.Wait()
		s.delete(token)
		hub.wantGone(t, "")
		s.poll(token, 404, "No Connection with that ID")

		// In the middle of a message.
		token = s.lp("", "json")
		p := s.park(token)
		synctest.Wait()
		s.post(token, `{"type":1,"invo`)
		s.delete(token)
		p.want(200, `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}␞`)
		hub.wantGone(t, "Connection terminated while reading a message.")

		// Before the handshake nothing is said.
		_, token = s.negotiate("")
		s.poll(token, 200, "")
		p = s.park(token)
		synctest.Wait()
		s.delete(token)
		p.want(204, "")
	})
}

// The ends that the hub makes: Abort, an error, with a poll and without.
func TestLongPollingEnds(t *testing.T) {
	const failed = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}␞`
	for _, r := range []struct{ name, sent, want string }{
		{"abort", `{"type":1,"target":"Abort","arguments":[]}␞`, `{"type":7}␞`},
		{"no type", `{}␞`, failed},
		{"too long", strings.Repeat("x", 33<<10), failed},
		{"quick call, then nonsense", `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞{}␞`, `{"type":3,"invocationId":"1","result":"a"}␞` + failed},
	} {
		for _, parked := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", r.name, parked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hub := newHub(t, nil)
					s := serve(t, hub.Hub, nil)
					token := s.lp("", "json")
					var p *pending
					if parked && !strings.HasPrefix(r.name, "quick") {
						p = s.park(token)
						synctest.Wait()
					}
					s.post(token, r.sent)
					<-hub.gone
					synctest.Wait()
					if p == nil {
						p = s.park(token)
					}
					p.want(200, r.want)
					s.poll(token, 204, "")
					s.poll(token, 404, "No Connection with that ID")
				})
			})
		}
	}
	t.Run("nobody fetches it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, nil)
			token := s.lp("", "json")
			s.post(token, `{"type":7}␞`)
			hub.wantGone(t, "")
			time.Sleep(14 * time.Second)
			s.post(token, `{"type":6}␞`)
			time.Sleep(3 * time.Second)
			s.wantPost(token, "x", 404, "No Connection with that ID")
		})
	})
	t.Run("no handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, nil)
			_, token := s.negotiate("")
			s.poll(token, 200, "")
			start := time.Now()
			s.poll(token, 200, `{"error":"Handshake was canceled."}␞`)
			if d := time.Since(start); d != 15*time.Second {
				t.Errorf("after %v", d)
			}
			s.poll(token, 204, "")
			s.poll(token, 404, "No Connection with that ID")
		})
	})
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, &hubwire.Options{Connect: func(contextT, *hubwire.Conn) error { return fmt.Errorf("no") }})
			s := serve(t, hub.Hub, nil)
			_, token := s.negotiate("")
			s.poll(token, 200, "")
			s.post(token, `{"protocol":"json","version":1}␞`)
			synctest.Wait()
			s.poll(token, 200, `{}␞{"type":7,"error":"Connection closed with an error."}␞`)
			s.poll(token, 204, "")
		})
	})
}

// There are no pings over polls, and no timeout for a client that never pings;
// one that does is held to it (section 2.4).
func TestLongPollingClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{KeepAlive: time.Second, ClientTimeout: 2 * time.Second})
		token := s.lp("", "json")
		start := time.Now()
		s.poll(token, 200, "")
		if d := time.Since(start); d != 90*time.Second {
			t.Errorf("a poll was answered after %v", d)
		}
		p := s.park(token)
		s.post(token, `{"type":6}␞`)
		start = time.Now()
		p.want(200, `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}␞`)
		if d := time.Since(start); d < 2*time.Second || d > 4*time.Second {
			t.Errorf("timed out after %v", d)
		}
	})
}

// What waits for a poll is bounded; a client that does not fetch it is too slow
// (D 12), one that does gets all in order.
func TestLongPollingBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		token := s.lp("", "json")
		s.post(token, `{"type":4,"invocationId":"s","target":"Count","arguments":[20000]}␞`)
		next := 0
		for next < 20_000 {
			r := <-s.park(token).ch
			if r.status != 200 || len(r.body) > 200<<10 {
				t.Fatalf("%d, %d bytes", r.status, len(r.body))
			}
			for rec := range strings.SplitSeq(strings.TrimSuffix(r.body, "\x1e"), "\x1e") {
				if want := fmt.Sprintf(`{"type":2,"invocationId":"s","item":%d}`, next); rec != want && next < 20_000 {
					t.Fatalf("got %s, want %s", rec, want)
				}
				next++
			}
		}

		token = s.lp("", "json")
		for range 100 {
			_ = receive.Send(t.Context(), hub.All(), strings.Repeat("a", 10_000)) // 1 MB to a client that is away
		}
		hub.wantGone(t, "hubwire: the client is too slow")
	})
}

// Each message arrives once, though polls are dropped all the time.
func TestPollsDroppedAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		token := s.lp("", "json")
		const n = 300
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				_ = receive.Send(t.Context(), hub.All(), fmt.Sprint(i))
				time.Sleep(time.Millisecond * time.Duration(i%3))
			}
		})
		got := 0
		for i := 0; got < n; i++ {
			p := s.park(token)
			if i%3 == 0 {
				synctest.Wait() // it is parked, or answered
				select {
				case r := <-p.ch:
					got += check(t, r.body, got)
					continue
				default:
				}
				p.cancel()
				if r, ok := <-p.ch; ok {
					got += check(t, r.body, got)
				}
				synctest.Wait()
				continue
			}
			got += check(t, (<-p.ch).body, got)
		}
		wg.Wait()
	})
}

// check counts the messages of a poll, which go on from first.
func check(t *testing.T, body string, first int) (n int) {
	t.Helper()
	for rec := range strings.SplitSeq(strings.TrimSuffix(body, "\x1e"), "\x1e") {
		if want := fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}`, first+n); rec != want {
			t.Fatalf("got %s, want %s", rec, want)
		}
		n++
	}
	return n
}
