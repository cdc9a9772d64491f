package signalr_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// lasting serves a hub with stateful reconnect.
func lasting(t testing.TB, hub *hubwire.Hub, opts *signalr.Options) *site {
	o := signalr.Options{}
	if opts != nil {
		o = *opts
	}
	o.StatefulReconnect = true
	s := serve(t, hub, &o)
	t.Cleanup(func() { _ = hub.Shutdown(context.Background()) }) // of those who are away
	return s
}

// stateful opens a connection that can come back, and returns its token.
func (s *site) stateful(protocol string) (p *peer, token string) {
	s.t.Helper()
	_, token = s.negotiate("&useStatefulReconnect=true")
	p = s.dial("/hub?id=" + token)
	p.shakeTwo(protocol)
	return p, token
}

func (p *peer) shakeTwo(protocol string) {
	p.t.Helper()
	p.text(`{"protocol":"` + protocol + `","version":2}` + "\x1e")
	if got := p.record(); got != "{}" {
		p.t.Fatalf("handshake: %q", got)
	}
	p.binary = protocol == "messagepack"
}

// drop ends the connection without a word, and returns when the server knows.
func (p *peer) drop() { p.c.Close(); synctest.Wait() }

// gone checks that no connection has the token any more.
func (s *site) gone(token string) {
	s.t.Helper()
	if _, r := s.tryDial("/hub?id=" + token); r.status != http.StatusNotFound {
		s.t.Errorf("a return is answered %d %q, want 404", r.status, r.body)
	}
}

func sequenceID(n int) string { return fmt.Sprintf(`{"type":9,"sequenceId":%d}`, n) }
func ackID(n int) string      { return fmt.Sprintf(`{"type":8,"sequenceId":%d}`, n) }

func answered(id, result string) string {
	return `{"type":3,"invocationId":"` + id + `","result":` + result + `}`
}

func TestStatefulNegotiate(t *testing.T) {
	for _, r := range []struct {
		query   string
		allowed bool
		granted bool
	}{
		{"&useStatefulReconnect=true", true, true},
		{"&UseStatefulReconnect=True", true, true},
		{"&useStatefulReconnect=false", true, false},
		{"&useStatefulReconnect=1", true, false},
		{"", true, false},
		{"&useStatefulReconnect=true", false, false},
	} {
		s := serve(t, newHub(t, nil).Hub, &signalr.Options{StatefulReconnect: r.allowed})
		body := s.request(http.MethodPost, "/hub/negotiate?negotiateVersion=1"+r.query).body
		if got := strings.HasPrefix(body, `{"useStatefulReconnect":true,"negotiateVersion":1,`); got != r.granted {
			t.Errorf("%+v: %s", r, body)
		}
		if got := strings.Contains(body, "useStatefulReconnect"); got != r.granted {
			t.Errorf("%+v: %s", r, body)
		}
	}
}

// Section 8.1: without any one of the conditions nothing is counted, and the
// connection ends with its socket.
func TestStatefulNotActive(t *testing.T) {
	for _, r := range []struct {
		name    string
		query   string
		allowed bool
		version int
	}{
		{"not asked for", "", true, 2},
		{"not allowed", "&useStatefulReconnect=true", false, 2},
		{"version 1", "&useStatefulReconnect=true", true, 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newHub(t, nil)
				s := serve(t, hub.Hub, &signalr.Options{StatefulReconnect: r.allowed, StatefulBuffer: 10})
				_, token := s.negotiate(r.query)
				p := s.dial("/hub?id=" + token)
				p.text(fmt.Sprintf(`{"protocol":"json","version":%d}`+"\x1e", r.version))
				p.want("{}")
				p.records(`{"type":9,"sequenceId":77}␞{"type":8,"sequenceId":5}␞`) // mean nothing
				for _, id := range []string{"1", "2", "3"} {
					p.call(id, "Echo", `"more than ten bytes"`)
					p.want(answered(id, `"more than ten bytes"`))
				}
				time.Sleep(3 * time.Second)
				if len(p.frames) != 0 {
					t.Errorf("%q", p.next().payload)
				}
				p.drop()
				hub.wantGone(t, "")
				s.gone(token)
			})
		})
	}
}

// Sections 8.4 and 8.5: what was not acknowledged comes again, in order, behind
// the Sequence; what the client sends again is not heard again.
func TestStatefulReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan string, 100)
		hub := newHub(t, nil)
		hub.Handle(hubwire.Method[string, int]("Heard").With(func(_ context.Context, c *hubwire.Conn, v string) (int, error) {
			heard <- v
			return len(heard), c.Join(c.Context(), "room")
		}))
		s := lasting(t, hub.Hub, nil)
		p, token := s.stateful("json")
		p.call("1", "Heard", `"a"`)
		p.call("2", "Heard", `"b"`)
		p.want(answered("1", "1"), answered("2", "2"), ackID(2))
		p.records(`{"type":8,"sequenceId":1}␞`)
		p.drop()

		// The hub's code notices nothing.
		if err := receive.Send(t.Context(), hub.Group("room"), "while away"); err != nil {
			t.Fatal(err)
		}
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(2), answered("2", "2"), `{"type":1,"target":"Receive","arguments":["while away"]}`)
		p.records(`{"type":9,"sequenceId":2}␞`)
		p.call("2", "Heard", `"b"`) // again
		p.call("3", "Heard", `"c"`)
		p.want(answered("3", "3"), ackID(3))
		p.records(`{"type":8,"sequenceId":4}␞`)
		p.drop()

		// All is acknowledged: the next number is said.
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(5))
		// Without a Sequence the counting goes on.
		p.call("4", "Heard", `"d"`)
		p.want(answered("4", "4"), ackID(4))
		if len(hub.gone) != 0 {
			t.Error("Disconnect ran")
		}
		if got := <-heard + <-heard + <-heard + <-heard; got != "abcd" {
			t.Errorf("heard %s", got)
		}
	})
}

func TestStatefulReturnMsgpack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, nil)
		p, token := s.stateful("messagepack")
		const call = "0e960180a131a44563686f91a16190"
		p.records(call)
		p.want("08950380a13103a161", "03920801")
		p.drop()
		p, _ = s.tryDial("/hub?id=" + token)
		p.binary = true
		p.want("03920901", "08950380a13103a161")
		p.records("03920901") // Sequence 1
		p.records(call)       // again
		p.records("0e960180a132a44563686f91a16290")
		p.want("08950380a13203a162", "03920802")
	})
}

// An Ack comes each second in which something did, and no more often (8.4).
func TestStatefulAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, &signalr.Options{KeepAlive: time.Hour})
		p, _ := s.stateful("json")
		time.Sleep(3500 * time.Millisecond)
		p.records(`{"type":6}␞`) // does not count
		p.call("1", "Add", `"not a number",1`)
		p.call("2", "NoSuchMethod", ``)
		p.records(`{"type":5,"invocationId":"none"}␞{"type":2,"invocationId":"none","item":1}␞{"type":3,"invocationId":"none","result":1}␞`)
		start := time.Now()
		for range 2 {
			if rec := p.record(); !strings.Contains(rec, "Failed to invoke") {
				t.Error(rec)
			}
		}
		if rec, at := p.at(start); rec != ackID(5) || at > 1 {
			t.Errorf("%s after %d s", rec, at)
		}
		time.Sleep(5 * time.Second)
		if len(p.frames) != 0 {
			t.Errorf("%q", p.next().payload)
		}
	})
}

// Section 8.4: a Sequence is honoured at any time.
func TestStatefulSequence(t *testing.T) {
	for _, n := range []string{"1", "0", "-1"} {
		synctest.Test(t, func(t *testing.T) {
			s := lasting(t, newHub(t, nil).Hub, &signalr.Options{KeepAlive: time.Hour})
			p, _ := s.stateful("json")
			p.call("1", "Echo", `"a"`)
			p.want(answered("1", `"a"`), ackID(1))
			p.records(`{"type":9,"sequenceId":` + n + `}␞`)
			drops := map[string]int{"1": 1, "0": 2, "-1": 3}[n]
			for range drops {
				p.call("x", "Echo", `"dropped"`)
			}
			p.call("2", "Echo", `"b"`)
			p.want(answered("2", `"b"`), ackID(2))
		})
	}
	t.Run("a gap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, &hubwire.Options{DetailedErrors: true})
			s := lasting(t, hub.Hub, nil)
			p, token := s.stateful("json")
			p.call("1", "Echo", `"a"`)
			p.want(answered("1", `"a"`))
			p.records(`{"type":9,"sequenceId":3}␞`)
			const text = "Sequence ID greater than amount of messages we've received."
			p.want(`{"type":7,"error":"Connection closed with an error. InvalidOperationException: ` + text + `","allowReconnect":true}`)
			s.gone(token) // before the close frame was even seen
			p.wantClose(1000)
			hub.wantGone(t, text)
		})
	})
}

// Section 8.3, F2 and F3: a full buffer holds answers back, as long as it takes;
// Acks are read all the same, and pings pass.
func TestStatefulFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, &signalr.Options{StatefulBuffer: 1000})
		p, token := s.stateful("json")
		text := `"` + strings.Repeat("x", 600) + `"`
		for _, id := range []string{"1", "2", "3", "4"} {
			p.call(id, "Echo", text)
		}
		p.want(answered("1", text), answered("2", text), ackID(4))
		time.Sleep(2 * time.Minute)
		for range 7 {
			p.want(`{"type":6}`)
		}
		if len(p.frames) != 0 {
			t.Fatalf("%q", p.next().payload)
		}
		p.records(`{"type":8,"sequenceId":1}␞`)
		p.want(answered("3", text))
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(2), answered("2", text), answered("3", text)) // what waits is no part of a resend
		p.records(`{"type":8,"sequenceId":2}␞`)
		p.want(answered("4", text))
	})
}

// F2: however much input waits, what the client has to say of its own buffer is
// read; and it is told nothing that would let it send without end.
func TestStatefulAcksAreReadBehindCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 4}})
		s := lasting(t, hub.Hub, &signalr.Options{StatefulBuffer: 1000, KeepAlive: time.Hour})
		p, _ := s.stateful("json")
		text := `"` + strings.Repeat("x", 1000) + `"`
		const calls = 200 // three times what is read of an ordinary connection
		for i := range calls {
			p.call(fmt.Sprint(i), "Echo", text)
		}
		time.Sleep(time.Minute)
		p.want(answered("0", text))
		if len(p.frames) != 0 {
			t.Fatalf("%.40q", p.next().payload)
		}
		acked := 0
		for i := 1; i < calls; i++ {
			p.records(fmt.Sprintf(`{"type":8,"sequenceId":%d}␞`, i))
			rec := p.record()
			for strings.HasPrefix(rec, `{"type":8`) {
				acked++
				rec = p.record()
			}
			if rec != answered(fmt.Sprint(i), text) {
				t.Fatalf("%.60s", rec)
			}
		}
		for acked == 0 {
			p.want(ackID(calls))
			acked++
		}
	})
}

// Sections 8.5 and 8.6: 15 seconds.
func TestStatefulTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, nil)
		p, token := s.stateful("json")
		p.records(`{"type":6}␞`) // the client's clock runs
		for range 5 {
			p.drop()
			time.Sleep(14500 * time.Millisecond)
			p = s.dial("/hub?id=" + token)
			p.want(sequenceID(1))
		}
		p.drop()
		start := time.Now()
		hub.wantGone(t, "")
		if d := time.Since(start); d != 15*time.Second {
			t.Errorf("the connection ended after %v", d)
		}
		s.gone(token)
	})
}

// While the client is away its clock stands still.
func TestStatefulClientTimeoutStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{ClientTimeout: 2 * time.Second, KeepAlive: time.Hour})
		p, token := s.stateful("json")
		p.records(`{"type":6}␞`)
		time.Sleep(time.Second)
		p.drop()
		time.Sleep(10 * time.Second)
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1))
		start := time.Now()
		if rec, at := p.at(start); rec != closedText || at < 2 || at > 3 {
			t.Errorf("%s after %d s", rec, at)
		}
		s.gone(token)
		p.wantClose(1000)
	})
}

// F4: a socket that is still open is taken over.
func TestStatefulTakeOver(t *testing.T) {
	for _, polite := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := lasting(t, hub.Hub, nil)
			old, token := s.stateful("json")
			old.call("1", "Echo", `"a"`)
			old.want(answered("1", `"a"`))
			synctest.Wait() // nobody writes to it: a close frame can leave at once
			p := s.dial("/hub?id=" + token)
			p.want(sequenceID(1), answered("1", `"a"`))
			if f := old.next(); f.op != 8 || string(f.payload) != "\x03\xe8" {
				t.Fatalf("the old socket got %d %q (%v)", f.op, f.payload, f.err)
			}
			// Whatever it still says is not heard.
			_ = old.trySend(0x81, []byte(`{"type":1,"invocationId":"9","target":"Abort","arguments":[]}`+"\x1e"))
			if polite {
				_ = old.trySend(0x88, []byte{0x03, 0xe8})
			}
			time.Sleep(10500 * time.Millisecond) // between two ticks
			p.call("2", "Echo", `"b"`)
			p.want(ackID(1), answered("2", `"b"`), ackID(2))
			if len(hub.gone) != 0 {
				t.Error("Disconnect ran")
			}
		})
	}
}

// F6: half a message is thrown away.
func TestStatefulDropInsideAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, nil)
		p, token := s.stateful("json")
		p.records(`{"type":1,"invocationId":"1","target":"Echo",`)
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1))
		p.records(`{"type":9,"sequenceId":1}␞`)
		p.call("1", "Echo", `"a"`)
		p.want(answered("1", `"a"`))
	})
}

// Dropped before the handshake, which may then be sent on the next socket.
func TestStatefulDropBeforeTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, nil)
		_, token := s.negotiate("&useStatefulReconnect=true")
		p := s.dial("/hub?id=" + token)
		p.records(`{"protocol":`)
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.shakeTwo("json")
		p.call("1", "Echo", `"a"`)
		p.want(answered("1", `"a"`))
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1), answered("1", `"a"`))
		// A second handshake is a message, and none that is known.
		p.text(`{"protocol":"json","version":2}` + "\x1e")
		p.want(closedText)
		p.wantClose(1000)
		hub.wantGone(t, "Missing required property 'type'.")

		// One that never shakes hands does not stay.
		_, token = s.negotiate("&useStatefulReconnect=true")
		s.dial("/hub?id=" + token).drop()
		time.Sleep(16 * time.Second)
		s.gone(token)
	})
}

// The socket drops while Connect runs, and the client comes back meanwhile.
func TestStatefulDropDuringConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hub := newHub(t, &hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			if err := receive.Send(ctx, c, "before"); err != nil {
				return err
			}
			<-release
			return receive.Send(ctx, c, "after")
		}})
		s := lasting(t, hub.Hub, nil)
		p, token := s.stateful("json")
		const before, after = `{"type":1,"target":"Receive","arguments":["before"]}`, `{"type":1,"target":"Receive","arguments":["after"]}`
		p.want(before)
		p.drop()
		p = s.dial("/hub?id=" + token) // 101 at once
		close(release)
		p.want(sequenceID(1), before, after)
		p.call("1", "Echo", `"a"`)
		p.want(answered("1", `"a"`))
	})
}

// Section 8.6: what ends the connection ends the feature first, so that a return
// finds nothing.
func TestStatefulEnds(t *testing.T) {
	for _, r := range []struct {
		name  string
		do    func(t *testing.T, hub *spy, p *peer)
		words string
		cause string
	}{
		{"Abort", func(_ *testing.T, _ *spy, p *peer) { p.call("", "Abort", "") }, `{"type":7}`, ""},
		{"the client's Close", func(_ *testing.T, _ *spy, p *peer) { p.records(`{"type":7}␞`) }, `{"type":7}`, ""},
		{"a protocol error", func(_ *testing.T, _ *spy, p *peer) { p.records(`[]␞`) }, closedText, "Unexpected JSON Token Type 'Array'. Expected a JSON Object."},
		{"a result that cannot be encoded", func(_ *testing.T, _ *spy, p *peer) { p.call("1", "NaN", "") }, closedText, "*"},
		{"shutdown", func(t *testing.T, hub *spy, _ *peer) {
			go func() { _ = hub.Shutdown(t.Context()) }() // ends with the connection
		}, `{"type":7,"allowReconnect":true}`, ""},
		{"a close frame", func(_ *testing.T, _ *spy, p *peer) { p.send(0x88, []byte{0x03, 0xe9}) }, "", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newHub(t, nil)
				s := lasting(t, hub.Hub, nil)
				p, token := s.stateful("json")
				synctest.Wait() // it is open
				r.do(t, hub, p)
				if r.words != "" {
					p.want(r.words)
				} else {
					synctest.Wait() // it was heard
				}
				s.gone(token)
				p.wantClose(1000)
				if r.cause == "*" {
					<-hub.gone
				} else {
					hub.wantGone(t, r.cause)
				}
			})
		})
	}
	t.Run("while away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conns := make(chan *hubwire.Conn, 1)
			hub := newHub(t, &hubwire.Options{Connect: func(_ context.Context, c *hubwire.Conn) error { conns <- c; return nil }})
			s := lasting(t, hub.Hub, nil)
			p, token := s.stateful("json")
			p.drop()
			(<-conns).Abort()
			hub.wantGone(t, "")
			s.gone(token)
		})
	})
	t.Run("shutdown while away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := lasting(t, hub.Hub, nil)
			p, token := s.stateful("json")
			p.drop()
			start := time.Now()
			if err := hub.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("the shutdown took %v", d)
			}
			hub.wantGone(t, "")
			s.gone(token)
		})
	})
}

// What waits for acknowledgements leaves before the last words.
func TestStatefulEndsWithAFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, &signalr.Options{StatefulBuffer: 10})
		p, _ := s.stateful("json")
		p.call("1", "Echo", `"a"`)
		p.call("2", "Echo", `"b"`)
		p.call("3", "Echo", `"c"`)
		p.want(answered("1", `"a"`))
		synctest.Wait()
		p.records(`{"type":7}␞`)
		p.want(answered("2", `"b"`), answered("3", `"c"`), `{"type":7}`)
		p.wantClose(1000)
	})
}

// A client that is away is bounded as one that does not read.
func TestStatefulQueueWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 3}})
		s := lasting(t, hub.Hub, nil)
		p, token := s.stateful("json")
		p.drop()
		for i := range 4 {
			if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := <-hub.gone; !errors.Is(err, hubwire.ErrSlow) {
			t.Errorf("Disconnect was told %v", err)
		}
		s.gone(token)
	})
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 3, Full: hubwire.DropOldest}})
		s := lasting(t, hub.Hub, nil)
		p, token := s.stateful("json")
		p.call("1", "Echo", `"kept"`)
		p.want(answered("1", `"kept"`), ackID(1))
		p.drop()
		for i := range 10 {
			if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1), answered("1", `"kept"`)) // nothing that has a number is dropped
		for _, n := range []string{"7", "8", "9"} {
			p.want(`{"type":1,"target":"Receive","arguments":["` + n + `"]}`)
		}
	})
}

// A call, a stream and an upload go on over a cut.
func TestStatefulCallsOverACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{KeepAlive: time.Hour})
		p, token := s.stateful("json")
		p.call("b", "Block", "")
		p.records(`{"type":4,"invocationId":"m","target":"Mirror","arguments":[],"streamIds":["u"]}␞`)
		p.records(`{"type":2,"invocationId":"u","item":1}␞`)
		p.want(`{"type":2,"invocationId":"m","item":2}`, ackID(3))
		p.records(`{"type":8,"sequenceId":1}␞`)
		p.drop()
		close(hub.block)
		synctest.Wait()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(2), answered("b", "null"))
		p.records(`{"type":9,"sequenceId":3}␞{"type":2,"invocationId":"u","item":1}␞{"type":2,"invocationId":"u","item":2}␞`)
		p.want(`{"type":2,"invocationId":"m","item":4}`)
		p.drop()
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(2), answered("b", "null"), `{"type":2,"invocationId":"m","item":4}`)
		p.records(`{"type":3,"invocationId":"u"}␞`)
		p.want(`{"type":3,"invocationId":"m"}`)
	})
}

// F5: a cut during the resend is one more drop.
func TestStatefulCutDuringTheResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lasting(t, newHub(t, nil).Hub, &signalr.Options{StatefulBuffer: 1 << 20, MaxMessage: -1})
		p, token := s.stateful("json")
		big := `"` + strings.Repeat("x", 200_000) + `"`
		for _, id := range []string{"1", "2", "3"} {
			p.call(id, "Echo", big)
			p.want(answered(id, big))
		}
		p.drop()
		for n := range 20 {
			c, err := s.net.dial()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				b := make([]byte, 1+n*20_000)
				for got := 0; got < len(b); { // ends with the bytes, or the pipe
					k, err := c.Read(b)
					if got += k; err != nil {
						break
					}
				}
				c.Close()
			}()
			_, _ = fmt.Fprintf(c, "GET /hub?id=%s HTTP/1.1\r\nHost: example.com\r\n%s\r\n\r\n", token, strings.Join(upgrade, "\r\n")) // may be cut
			synctest.Wait()
		}
		p = s.dial("/hub?id=" + token)
		p.want(sequenceID(1), answered("1", big), answered("2", big), answered("3", big))
	})
}

// A return is of the same user, or finds nothing.
func TestStatefulOtherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u := &hubwire.User{ID: r.URL.Query().Get("user")}
				next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), u)))
			})
		}})
		_, token := s.negotiate("&useStatefulReconnect=true&user=ann")
		p := s.dial("/hub?user=ann&id=" + token)
		p.shakeTwo("json")
		p.drop()
		for _, who := range []string{"bob", ""} {
			s.gone(token + "&user=" + who)
		}
		p = s.dial("/hub?user=ann&id=" + token)
		p.want(sequenceID(1))
		p.call("1", "User", "")
		p.want(answered("1", `"ann"`))
	})
}

// A connection that is away takes its place, and gives it back once.
func TestStatefulCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{MaxConnections: 1})
		for range 3 {
			p, token := s.stateful("json")
			for range 3 {
				p.drop()
				if r := s.request(http.MethodPost, "/hub/negotiate?negotiateVersion=1"); r.status != http.StatusServiceUnavailable {
					t.Errorf("%d", r.status)
				}
				p = s.dial("/hub?id=" + token)
				p.want(sequenceID(1))
			}
			p.drop()
			hub.wantGone(t, "")
			synctest.Wait()
		}
	})
}
