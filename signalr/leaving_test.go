package signalr_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

const note hubwire.Command[string] = "Note"

// A notebook is what Note was told, in order. Each takes 100 ms.
type notebook struct {
	mu   sync.Mutex
	said []string
}

func (n *notebook) handler() hubwire.Handler {
	return note.With(func(ctx context.Context, _ *hubwire.Conn, s string) error {
		time.Sleep(100 * time.Millisecond)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.said = append(n.said, s)
		return nil
	})
}

// notes are calls of Note, which want no answer.
func notes(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"type":1,"target":"Note","arguments":["%d"]}␞`, i)
	}
	return b.String()
}

// What a client calls before it leaves runs, however it leaves; Disconnect comes
// after that.
func TestLeavingRunsWhatWasCalled(t *testing.T) {
	const calls = 70
	half := notes(0, calls/2)
	rest := notes(calls/2, calls)
	for name, leave := range map[string]func(s *site){
		"a Close message behind them": func(s *site) {
			p := s.connect("json")
			p.records(half + rest + `{"type":7}␞`)
			p.want(closedPlain)
			p.wantClose(1000)
		},
		"a message that is wrong": func(s *site) {
			p := s.connect("json")
			p.records(half + rest + `{}␞`)
			p.want(closedText)
			p.wantClose(1000)
		},
		"a close frame": func(s *site) {
			p := s.connect("json")
			p.records(half)
			p.records(rest)
			p.send(0x88, []byte{3, 232})
			if f := p.next(); f.op != 8 {
				t.Errorf("%d %q", f.op, f.payload)
			}
			p.wantEnd()
		},
		"a cut": func(s *site) {
			p := s.connect("json")
			p.records(half + rest)
			p.c.Close()
		},
		"a cut of a stateful one that does not come back": func(s *site) {
			p, _ := s.stateful("json")
			p.records(half + rest)
			p.c.Close()
		},
		"an event stream that is cut": func(s *site) {
			e := s.events()
			e.post(half)
			e.post(rest)
			e.body.Close()
		},
		"a Close message beside an event stream": func(s *site) {
			e := s.events()
			e.post(half)
			e.post(rest + `{"type":7}␞`)
			e.want(closedPlain)
			e.wantEnd()
		},
		"a DELETE": func(s *site) {
			token := s.lp("", "json")
			s.post(token, half+rest)
			if r := s.delete(token); r.status != http.StatusAccepted {
				t.Errorf("DELETE: %d", r.status)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var book notebook
				hub := newHub(t, &hubwire.Options{Disconnect: func(context.Context, *hubwire.Conn, error) {
					book.mu.Lock()
					defer book.mu.Unlock()
					if len(book.said) < calls {
						t.Errorf("Disconnect after %d calls", len(book.said))
					}
				}})
				hub.Handle(book.handler())
				s := serve(t, hub.Hub, &signalr.Options{StatefulReconnect: true, KeepAlive: time.Hour})
				leave(s)
				<-hub.gone
				var want []string
				for i := range calls {
					want = append(want, fmt.Sprint(i))
				}
				if !slices.Equal(book.said, want) {
					t.Errorf("%d calls ran: %q", len(book.said), book.said)
				}
			})
		})
	}
}

// What the hub ends it ends at once: calls that wait do not run.
func TestAbortDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book notebook
		hub := newHub(t, nil)
		hub.Handle(book.handler())
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		p.records(`{"type":1,"target":"Abort","arguments":[]}␞` + notes(0, 50))
		p.want(closedPlain)
		p.wantClose(1000)
		<-hub.gone
		if len(book.said) > 1 {
			t.Errorf("%q ran", book.said)
		}
	})
}

// A client that has said goodbye has left, though it keeps its socket.
func TestDisconnectDoesNotWaitForTheSocket(t *testing.T) {
	for name, before := range map[string]string{"": "", `{"type":1,`: "Connection terminated while reading a message."} {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, nil)
			p := s.connect("json")
			if name != "" {
				p.records(name)
			}
			start := time.Now()
			p.send(0x88, []byte{3, 232})
			hub.wantGone(t, before)
			if d := time.Since(start); d != 0 {
				t.Errorf("Disconnect after %v", d)
			}
			p.c.Close()
		})
	}
}

// Who has the answer to its handshake misses nothing that is sent to all.
func TestHandshakeAnswerMeansAll(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			hold := make(chan struct{})
			hub := newHub(t, &hubwire.Options{Connect: func(context.Context, *hubwire.Conn) error {
				<-hold
				return nil
			}})
			s := serve(t, hub.Hub, nil)
			p, e := s.connect("json"), s.events()
			if err := receive.Send(t.Context(), hub.All(), "hi"); err != nil {
				t.Fatal(err)
			}
			const hi = `{"type":1,"target":"Receive","arguments":["hi"]}`
			p.want(hi)
			e.want(hi)
			close(hold)
			synctest.Wait()
		})
	}
}

// A client of which all that it sends again is old is told so: the
// acknowledgement that it missed would else never come, and with a full buffer
// it would wait for good.
func TestStatefulAckIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, nil)
		p, token := s.stateful("json")
		p.call("1", "Echo", `"a"`)
		p.want(answered("1", `"a"`), ackID(1))
		p.records(`{"type":8,"sequenceId":1}␞`)
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(2))
		p.records(`{"type":9,"sequenceId":1}␞`) // as if the Ack had not come
		p.call("1", "Echo", `"a"`)
		p.want(ackID(1))
		time.Sleep(5 * time.Second)
		if len(p.frames) != 0 {
			t.Errorf("once is enough: %q", p.next().payload)
		}
	})
}

// Those who are not let in are counted.
func TestRefusalsAreCounted(t *testing.T) {
	m := &counts{n: map[string]int64{}}
	hub := newHub(t, &hubwire.Options{Metrics: m})
	s := serve(t, hub.Hub, &signalr.Options{MaxConnections: 1, AllowedHosts: []string{"example.com"}})
	p := s.connect("json")
	for status, answer := range map[int]reply{
		503: s.request("POST", "/hub/negotiate"),
		403: s.request("GET", "/hub", append(slices.Clone(upgrade), "Origin: http://evil.example")...),
	} {
		if answer.status != status {
			t.Errorf("%d, want %d", answer.status, status)
		}
	}
	p.c.Close()
	<-hub.gone
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, what := range []string{"refused full", "refused origin"} {
		if m.n[what] != 1 {
			t.Errorf("%s: %d", what, m.n[what])
		}
	}
}

type counts struct {
	mu sync.Mutex
	n  map[string]int64 // by name and label
}

func (c *counts) Add(name, label string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[name+" "+label] += n
}

// A client that is refused by Connect has its first Ping on the way: that is
// answered as if it had come a moment earlier, for a while.
func TestPostAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Connect: func(context.Context, *hubwire.Conn) error { return errors.New("refused") }})
		s := serve(t, hub.Hub, nil)
		e := s.events()
		e.want(`{"type":7,"error":"Connection closed with an error."}`)
		e.wantEnd()
		e.post(`{"type":6}␞`)
		if _, r := s.trySSE(e.token); r.StatusCode != 404 {
			t.Errorf("another stream: %d", r.StatusCode)
		}
		time.Sleep(2 * time.Second)
		s.wantPost(e.token, "{\"type\":6}\x1e", 404, "No Connection with that ID")
	})
}
