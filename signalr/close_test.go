package signalr_test

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
)

const (
	closedText  = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`
	closedPlain = `{"type":7}`
)

// What ends a connection, what the client sees of it, and what Disconnect is
// told: the table of section 6.8.
func TestEndings(t *testing.T) {
	for _, r := range []struct {
		name     string
		detailed bool
		do       func(s *site, p *peer)
		want     string
		cause    string
	}{
		{"Close from the client", false, func(_ *site, p *peer) { p.records(`{"type":7}␞`) }, closedPlain, ""},
		{"Close with an error", false, func(_ *site, p *peer) { p.records(`{"type":7,"error":"client trouble"}␞`) }, closedPlain, "client trouble"},
		{"Close with reconnect", false, func(_ *site, p *peer) { p.records(`{"type":7,"allowReconnect":true}␞`) }, closedPlain, ""},
		{"a call behind the Close", false, func(_ *site, p *peer) {
			p.records(`{"type":7}␞{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`)
		}, closedPlain, ""},
		{"Abort", false, func(_ *site, p *peer) { p.call("1", "Abort", "") }, closedPlain, ""},
		{"protocol error", false, func(_ *site, p *peer) { p.records(`{}␞`) }, closedText, "Missing required property 'type'."},
		{"protocol error, detailed", true, func(_ *site, p *peer) { p.records(`{}␞`) },
			`{"type":7,"error":"Connection closed with an error. InvalidDataException: Missing required property 'type'.","allowReconnect":true}`, "Missing required property 'type'."},
		{"second handshake", true, func(_ *site, p *peer) { p.records(`{"protocol":"json","version":1}␞`) },
			`{"type":7,"error":"Connection closed with an error. InvalidDataException: Missing required property 'type'.","allowReconnect":true}`, "Missing required property 'type'."},
		{"too large", true, func(_ *site, p *peer) { p.text(strings.Repeat("a", 32<<10+1)) },
			`{"type":7,"error":"Connection closed with an error. InvalidDataException: The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions.","allowReconnect":true}`,
			"The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions."},
		{"a result that cannot be sent", false, func(_ *site, p *peer) { p.call("1", "NaN", "") }, closedText, "jsonwire: encode: NaN is no JSON number"},
		{"an item that cannot be sent", false, func(_ *site, p *peer) {
			p.records(`{"type":4,"invocationId":"1","target":"NaNs","arguments":[]}␞`)
		}, closedText, "jsonwire: encode: +Inf is no JSON number"},
		{"answer to another's question", true, func(s *site, p *peer) {
			q := s.connect("json")
			q.call("1", "WhoAmI", "")
			id := member(q.record(), "result")
			q.call("2", "Ask", `"?"`)
			id2 := member(q.record(), "invocationId")
			p.call("1", "WhoAmI", "")
			own := member(p.record(), "result")
			p.records(`{"type":3,"invocationId":"` + id2 + `","result":"mine"}␞`)
			p.want(`{"type":7,"error":"Connection closed with an error. InvalidOperationException: Connection ID '` + own + `' is not valid for invocation ID '` + id2 + `'.","allowReconnect":true}`)
			q.records(`{"type":3,"invocationId":"` + id2 + `","result":"yours"}␞`)
			q.want(`{"type":3,"invocationId":"2","result":"yours"}`)
			_ = id
		}, "", "*"},
		{"shutdown (F8)", false, func(s *site, p *peer) {
			p.call("1", "Nothing", "") // the hub has it
			p.want(`{"type":3,"invocationId":"1","result":null}`)
			go s.hub.Shutdown(context.Background()) // ends when the connection has
		}, `{"type":7,"allowReconnect":true}`, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			hub := newHub(t, &hubwire.Options{DetailedErrors: r.detailed})
			s := serve(t, hub.Hub, nil)
			p := s.connect("json")
			r.do(s, p)
			if r.want != "" {
				p.want(r.want)
			}
			p.wantClose(1000)
			if r.cause != "*" {
				hub.wantGone(t, r.cause)
			}
		})
	}
}

func TestEndingsMsgpack(t *testing.T) {
	for in, want := range map[string]string{
		"039207c0":                               "049307c0c2", // M12, M31
		"049307c0c3":                             "049307c0c2",
		"129307ae636c69656e742074726f75626c65c2": "049307c0c2",
		"0190":                                   "259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec3", // M33
		"0d960180a131a541626f72749090":           "049307c0c2",
	} {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("messagepack")
		p.records(in)
		p.want(want)
		p.wantClose(1000)
	}
}

// The client's close frame is answered with 1000 and nothing else, whatever its
// code; Disconnect is told of half a message.
func TestClosedByClientsFrame(t *testing.T) {
	for _, r := range []struct {
		name, before string
		payload      []byte
		cause        string
	}{
		{"1000", "", []byte{3, 232}, ""},
		{"1001", "", append([]byte{3, 233}, "bye"...), ""},
		{"none", "", nil, ""},
		{"3000", "", []byte{11, 184}, ""},
		{"inside a message", `{"type":1,`, []byte{3, 232}, "Connection terminated while reading a message."},
		{"while a call runs", `{"type":1,"invocationId":"1","target":"Hang","arguments":[]}␞`, []byte{3, 232}, ""},
		{"while an upload runs", `{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["a"]}␞`, []byte{3, 232}, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, nil)
			p := s.connect("json")
			if r.before != "" {
				p.records(r.before)
			}
			p.send(0x88, r.payload)
			if f := p.next(); f.op != 8 || string(f.payload) != "\x03\xe8" {
				t.Errorf("%d %q", f.op, f.payload)
			}
			p.wantEnd()
			hub.wantGone(t, r.cause)
		})
	}
}

// A connection that is lost ends without a word: Disconnect is told nothing,
// or of half a message.
func TestLost(t *testing.T) {
	for before, cause := range map[string]string{"": "", `{"type":1,`: "Connection terminated while reading a message."} {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		if before != "" {
			p.records(before)
		}
		p.c.Close()
		hub.wantGone(t, cause)
	}
}

// A frame that breaks RFC 6455 ends the connection at that level.
func TestBrokenFrame(t *testing.T) {
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, nil)
	p := s.connect("json")
	p.send(0xC1, []byte("x"))
	if f := p.next(); f.op != 8 || string(f.payload) != "\x03\xea" {
		t.Errorf("%d %q", f.op, f.payload)
	}
	p.c.Close()
	hub.wantGone(t, "wsconn: closed with 1002: a reserved bit is set")
}

// The order at the end: Close message, the call's context, Disconnect, the close
// frame (section 6.8).
func TestOrderAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		hub := newHub(t, &hubwire.Options{Disconnect: func(ctx contextT, c *hubwire.Conn, cause error) {
			if c.Context().Err() == nil {
				t.Error("Disconnect before the end of the context")
			}
			<-hold
		}})
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		p.call("1", "Hang", "")
		p.records(`{"type":7}␞`)
		p.want(closedPlain)
		synctest.Wait()
		if len(p.frames) != 0 {
			t.Error("the close frame came before the end of Disconnect")
		}
		close(hold)
		p.wantClose(1000)
	})
}

// A quick call in front of what ends the connection is answered; a slow one does
// not hold the end up.
func TestCallsInFrontOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("json")
		p.records(`{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞{"type":1,"invocationId":"2","target":"Echo","arguments":["b"]}␞{"type":7}␞`)
		p.want(`{"type":3,"invocationId":"1","result":"a"}`, `{"type":3,"invocationId":"2","result":"b"}`, closedPlain)
		p.wantClose(1000)

		p = s.connect("json")
		start := time.Now()
		p.records(`{"type":1,"invocationId":"1","target":"Hang","arguments":[]}␞␞`)
		p.want(closedText)
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("after %v", d)
		}
		p.wantClose(1000)
	})
}

// A client that does not answer the close frame is cut off.
func TestCloseNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("json")
		p.call("1", "Abort", "")
		p.want(closedPlain)
		start := time.Now()
		if f := p.next(); f.op != 8 {
			t.Fatalf("frame %d", f.op)
		}
		p.wantEnd()
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// When the hub shuts down, all that there is to say has been said when Shutdown
// returns; a client that does not answer does not hold it up for long.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		p, q, late := s.connect("json"), s.connect("messagepack"), s.dial("/hub")
		synctest.Wait() // until the hub has them
		done := make(chan error)
		start := time.Now()
		go func() { done <- hub.Shutdown(t.Context()) }() // ends with Shutdown
		p.want(`{"type":7,"allowReconnect":true}`)
		p.wantClose(1000)
		q.want("049307c0c3") // M32
		if f := q.next(); f.op != 8 || string(f.payload) != "\x03\xe8" {
			t.Errorf("%d %q", f.op, f.payload)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("after %v", d)
		}
		hub.wantGone(t, "")
		hub.wantGone(t, "")
		if _, r := s.tryDial("/hub"); r.status != 503 {
			t.Errorf("a new one: %d", r.status)
		}
		late.shake("json")
		late.want(`{"type":7,"allowReconnect":true}`)
		late.wantClose(1000)
	})
}

// Whoever ends a connection, and however often, it ends once.
func TestManyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		for c := range hub.Connections() {
			for range 10 {
				go c.Abort()
			}
		}
		p.records(`{"type":7}␞`)
		p.want(closedPlain)
		p.wantClose(1000)
		hub.wantGone(t, "")
		synctest.Wait()
		if len(hub.gone) != 0 {
			t.Error("Disconnect was called twice")
		}
	})
}

// A slow client is cut off: in the middle of a frame there is nothing to say.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 2}})
		s := serve(t, hub.Hub, nil)
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, c: c, frames: make(chan frame, 1)}
		slow(t, p)
		for range 10 {
			if err := receive.Send(t.Context(), hub.All(), strings.Repeat("a", 100)); err != nil {
				t.Fatal(err)
			}
		}
		hub.wantGone(t, hubwire.ErrSlow.Error())
	})
}

// slow shakes hands on a connection and does not read on.
func slow(t *testing.T, p *peer) {
	t.Helper()
	p.br = bufio.NewReader(p.c)
	t.Cleanup(func() { p.c.Close() })
	if r, err := exchange(p.c, p.br, "GET", "/hub", upgrade); err != nil || r.status != 101 {
		t.Fatal(r, err)
	}
	p.text("{\"protocol\":\"json\",\"version\":1}\x1e")
	if op, payload, err := readFrame(p.br); op != 1 || string(payload) != handshakeAnswer {
		t.Fatal(op, payload, err)
	}
	synctest.Wait()
}

// Connections that are ended in the moment in which they open leave nothing
// behind (TestMain looks for the clock's goroutine).
func TestEndsWhileItOpens(t *testing.T) {
	hub := newHub(t, &hubwire.Options{Connect: func(_ contextT, c *hubwire.Conn) error {
		go c.Abort() // ends at once
		return nil
	}})
	s := serve(t, hub.Hub, nil)
	for range 300 {
		p := s.connect("json")
		p.want(`{"type":7}`)
		p.wantClose(1000)
		hub.wantGone(t, "")
	}
}
