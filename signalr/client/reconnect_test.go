package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

func TestReconnect(t *testing.T) {
	everywhere(t, func(e *env) {
		p := newProxy(e, e.peer.at(e, "/conformance?greet=1"))
		var happened course
		opts := happened.options()
		opts.Handlers = []hubwire.ClientHandler{receive.With(func(_ context.Context, m string) error { happened.put(m); return nil })}
		attempts := make(chan struct{})
		opts.Reconnect = func(r client.Retry) (time.Duration, bool) {
			if r.Attempts == 1 {
				<-attempts // the first attempt has failed
			}
			return time.Duration(r.Attempts) * time.Millisecond, true
		}
		c := e.dial(p.url, opts)
		equal(e, happened.next(e), "connected")
		check(e, addTo.Call(e.ctx, c, "room"))
		old := c.ID()

		failed := make(chan error, 1)
		began := make(chan struct{}, 1)
		go func() { // ends with the cut
			for v, err := range forever.Open(e.ctx, c, hubwire.None{}) {
				if v == 1 {
					began <- struct{}{}
				}
				if err != nil {
					failed <- err
				}
			}
		}()
		<-began
		p.door(false)
		p.cut()
		if err := <-failed; !errors.Is(err, hubwire.ErrClosed) || !strings.HasPrefix(err.Error(), "client: the connection has ended: ") {
			e.Errorf("the stream ends with %v", err)
		}
		if m := happened.next(e); !strings.HasPrefix(m, "reconnecting: ") || m == "reconnecting: none" {
			e.Errorf("after the cut: %s", m)
		}
		equal(e, c.State(), client.Reconnecting)
		equal(e, c.ID(), "")
		_, err := echoInt.Call(e.ctx, c, 1)
		if !errors.Is(err, client.ErrReconnecting) {
			e.Errorf("a call while reconnecting: %v", err)
		}
		p.door(true)
		close(attempts)
		equal(e, happened.take(e, 2), []string{"reconnected", "connected"})
		equal(e, c.State(), client.Connected)
		equal(e, c.Err(), nil)
		if c.ID() == "" || c.ID() == old {
			e.Errorf("the new id is %q", c.ID())
		}
		echoes(e, c, echoInt, 1)
		check(e, c.Close())
		equal(e, happened.next(e), "closed: none")
	})
}

func TestReconnectGivesUp(t *testing.T) {
	everywhere(t, func(e *env) {
		p := newProxy(e, e.peer.at(e, "/conformance"))
		var happened course
		opts := happened.options()
		opts.Reconnect = client.Delays(time.Millisecond, time.Millisecond)
		c := e.dial(p.url, opts)
		p.door(false)
		p.cut()
		closedWithin(e, c, 10*time.Second)
		if m := happened.next(e); !strings.HasPrefix(m, "reconnecting: ") {
			e.Error(m)
		}
		if m := happened.next(e); !strings.HasPrefix(m, "closed: no connection after 2 attempts in ") || !strings.Contains(m, ": negotiate: ") {
			e.Error(m)
		}
		wantText(e, c.Err(), "no connection after 2 attempts")
		wantText(e, nothing.Call(e.ctx, c, hubwire.None{}), "no connection after 2 attempts")
	})
}

func TestNoReconnect(t *testing.T) {
	everywhere(t, func(e *env) {
		p := newProxy(e, e.peer.at(e, "/conformance"))
		var happened course
		c := e.dial(p.url, happened.options())
		p.door(false)
		p.cut()
		closedWithin(e, c, 10*time.Second)
		if m := happened.next(e); !strings.HasPrefix(m, "closed: ") || m == "closed: none" {
			e.Error(m)
		}
		if c.Err() == nil {
			e.Error("there is no error")
		}
	})
}

func TestCloseWhileReconnecting(t *testing.T) {
	everywhere(t, func(e *env) {
		p := newProxy(e, e.peer.at(e, "/conformance"))
		for _, delay := range []time.Duration{0, time.Hour} {
			var happened course
			opts := happened.options()
			opts.Reconnect = func(client.Retry) (time.Duration, bool) { return delay, true }
			c := e.dial(p.url, opts)
			p.door(false)
			p.cut()
			if m := happened.next(e); !strings.HasPrefix(m, "reconnecting: ") {
				e.Error(m)
			}
			check(e, c.Close())
			equal(e, happened.next(e), "closed: none")
			equal(e, c.State(), client.Closed)
			equal(e, c.Err(), nil)
			p.door(true)
		}
	})
}

// The policy is told what it decides on; one that panics says no.
func TestPolicy(t *testing.T) {
	s := newStub(t)
	var asked box[client.Retry]
	var happened course
	opts := happened.options()
	opts.Reconnect = func(r client.Retry) (time.Duration, bool) {
		asked.put(r)
		if r.Attempts == 2 {
			panic("boom")
		}
		return 0, true
	}
	c := s.mustDial(opts)
	k := <-s.sockets
	s.set(func(s *stub) { s.offer = "{}" })
	k.close(1011)
	closedWithin(t, c, 5*time.Second)
	equal(t, happened.take(t, 2)[0], "reconnecting: WebSocket closed with status code: 1011 (no reason given)")
	for i, r := range asked.take(t, 3) {
		equal(t, r.Attempts, i)
		if i == 0 {
			equal(t, r.Elapsed, 0)
			wantText(t, r.Err, "1011")
		} else {
			wantText(t, r.Err, "it has no connectionId")
		}
	}

	// Asked first, and saying no: reconnecting is never entered.
	s.set(func(s *stub) { s.offer = defaultOffer })
	happened = course{}
	opts = happened.options()
	opts.Reconnect = func(client.Retry) (time.Duration, bool) { return 0, false }
	c = s.mustDial(opts)
	k = <-s.sockets
	k.close(1000)
	closedWithin(t, c, 5*time.Second)
	equal(t, happened.next(t), "closed: none")
}

func TestDelays(t *testing.T) {
	policy := client.Delays()
	for i, d := range []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second} {
		spread := map[time.Duration]bool{}
		for range 100 {
			got, again := policy(client.Retry{Attempts: i})
			if !again || got < d/2 || got > d+d/2 {
				t.Errorf("attempt %d: %v, %v", i, got, again)
			}
			spread[got] = true
		}
		if d > 0 && len(spread) < 90 {
			t.Errorf("attempt %d: the delays are not spread", i)
		}
	}
	if _, again := policy(client.Retry{Attempts: 4}); again {
		t.Error("a fifth attempt")
	}
}
