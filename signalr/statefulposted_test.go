package signalr_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/signalr"
)

// Section 8.1: no official client asks for stateful reconnect over an event
// stream or polls, but one that does gets it, as from ASP.NET Core: messages are
// counted, acknowledged and held back. Only a WebSocket may be followed by
// another, so a stream that drops is the end.

const shakeTwoText = `{"protocol":"json","version":2}␞`

func TestStatefulEventStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{StatefulBuffer: 1000, KeepAlive: time.Hour})
		open := func() *eventSource {
			_, token := s.negotiate("&useStatefulReconnect=true")
			e := s.sse(token)
			e.post(shakeTwoText)
			e.want("{}")
			return e
		}
		e := open()
		text := `"` + strings.Repeat("x", 600) + `"`
		for _, id := range []string{"1", "2", "3"} {
			e.call(id, "Echo", text)
		}
		e.want(answered("1", text), answered("2", text), ackID(3))
		synctest.Wait()
		if len(e.lines) > 1 { // the empty line behind the Ack
			t.Fatalf("beyond the buffer: %d lines", len(e.lines))
		}
		e.post(`{"type":8,"sequenceId":1}␞`)
		e.want(answered("3", text))

		// Others are not held back by a full buffer.
		p := s.connect("json")
		synctest.Wait() // it is open
		if err := receive.Send(t.Context(), hub.All(), "news"); err != nil {
			t.Fatal(err)
		}
		p.want(`{"type":1,"target":"Receive","arguments":["news"]}`)
		e.post(`{"type":8,"sequenceId":3}␞`)
		e.want(`{"type":1,"target":"Receive","arguments":["news"]}`)

		// What comes again after a Sequence is dropped, and what is new is not.
		e.post(`{"type":9,"sequenceId":3}␞`)
		e.call("3", "Echo", `"again"`)
		e.call("4", "Echo", `"new"`)
		e.want(answered("4", `"new"`), ackID(4))

		// No socket follows a stream, nor another stream.
		if _, r := s.tryDial("/hub?id=" + e.token); r.status != 400 || r.body != "Cannot change transports mid-connection" {
			t.Errorf("a WebSocket: %d %q", r.status, r.body)
		}
		if _, r := s.trySSE(e.token); r.StatusCode != 409 {
			t.Errorf("a second stream: %d", r.StatusCode)
		}
		e.body.Close()
		hub.wantGone(t, "")
		if _, r := s.trySSE(e.token); r.StatusCode != 404 {
			t.Errorf("a stream after the drop: %d", r.StatusCode)
		}

		// A full buffer is no obstacle to the end.
		e = open()
		for _, id := range []string{"1", "2", "3"} {
			e.call(id, "Echo", text)
		}
		e.want(answered("1", text), answered("2", text))
		e.post(`{"type":7}␞`)
		for rec := e.record(); rec != `{"type":7}`; rec = e.record() {
			if rec != answered("3", text) && rec != ackID(3) {
				t.Fatal(rec)
			}
		}
		e.wantEnd()
		hub.wantGone(t, "")

		// A handshake of version 1 wants nothing of it.
		_, token := s.negotiate("&useStatefulReconnect=true")
		e = s.sse(token)
		e.post(`{"protocol":"json","version":1}␞`)
		e.want("{}")
		for _, id := range []string{"1", "2", "3"} {
			e.call(id, "Echo", text)
		}
		e.want(answered("1", text), answered("2", text), answered("3", text))
	})
}

func TestStatefulPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := lasting(t, hub.Hub, &signalr.Options{StatefulBuffer: 1000})
		_, token := s.negotiate("&useStatefulReconnect=true")
		s.poll(token, 200, "")
		s.post(token, shakeTwoText)
		s.poll(token, 200, "{}␞")
		call := func(id, text string) {
			s.post(token, `{"type":1,"invocationId":"`+id+`","target":"Echo","arguments":[`+text+`]}␞`)
			synctest.Wait()
		}
		text := `"` + strings.Repeat("x", 600) + `"`
		for _, id := range []string{"1", "2", "3"} {
			call(id, text)
		}
		s.poll(token, 200, answered("1", text)+"␞"+answered("2", text)+"␞")
		s.poll(token, 200, ackID(3)+"␞") // within a second
		parked := s.park(token)
		synctest.Wait()
		s.post(token, `{"type":8,"sequenceId":2}␞`)
		parked.want(200, answered("3", text)+"␞")

		s.post(token, `{"type":9,"sequenceId":3}␞`)
		call("3", `"again"`)
		call("4", `"new"`)
		s.poll(token, 200, answered("4", `"new"`)+"␞")
		if r := s.delete(token); r.status != 202 {
			t.Errorf("DELETE: %d", r.status)
		}
		hub.wantGone(t, "")
	})
}
