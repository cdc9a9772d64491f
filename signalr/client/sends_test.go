package client_test

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

// A listener is a connection with what it received. Other tests' messages do
// not count: a test's own begin with its tag.
type listener struct {
	*client.Conn
	got box[string]
}

func (e *env) listen(tag, query string) *listener {
	e.Helper()
	l := new(listener)
	l.Conn = e.dial("/conformance"+query, &client.Options{Handlers: []hubwire.ClientHandler{
		receive.With(func(_ context.Context, m string) error {
			if m, ok := strings.CutPrefix(m, tag); ok {
				l.got.put(m)
			}
			return nil
		}),
	}})
	if !e.peer.isOurs() { // ASP.NET Core answers the handshake before the connection is in All
		check(e, nothing.Call(e.ctx, l, hubwire.None{}))
	}
	return l
}

func TestSends(t *testing.T) {
	everywhere(t, func(e *env) {
		tag := rand.Text() + " "
		group, group2 := rand.Text(), rand.Text()
		ann, bob := rand.Text(), rand.Text()
		a, b, c := e.listen(tag, "?user="+ann), e.listen(tag, "?user="+bob), e.listen(tag, "?user="+bob)
		equal(e, *result[*string](e)(userID.Call(e.ctx, a, hubwire.None{})), ann)
		check(e, addTo.Call(e.ctx, a, group))
		check(e, addTo.Call(e.ctx, b, group))
		check(e, addOther.Call(e.ctx, a, pair{To: c.ID(), M: group2}))

		// Each send is followed by one to all, so that what did not come is known.
		sent := 0
		step := func(err error, want string) {
			e.Helper()
			check(e, err)
			sent++
			end := "end " + strconv.Itoa(sent)
			check(e, toAll.Call(e.ctx, a, tag+end))
			for i, l := range []*listener{a, b, c} {
				var came []string
				for {
					m := l.got.next(e)
					if m == end {
						break
					}
					came = append(came, m)
				}
				if heard := strings.Join(came, ","); heard != strings.Repeat("m", strings.Count(want, string("abc"[i]))) {
					e.Errorf("send %d: %c got %q, want it at %s", sent, "abc"[i], heard, want)
				}
			}
		}
		m := tag + "m"
		step(toAll.Call(e.ctx, a, m), "abc")
		step(toAllExcept.Call(e.ctx, a, listArgs{To: []string{b.ID()}, M: m}), "ac")
		step(toOthers.Call(e.ctx, a, m), "bc")
		step(toCaller.Call(e.ctx, b, m), "b")
		step(toClient.Call(e.ctx, a, pair{To: c.ID(), M: m}), "c")
		step(toClients.Call(e.ctx, a, listArgs{To: []string{a.ID(), c.ID()}, M: m}), "ac")
		step(toGroup.Call(e.ctx, c, pair{To: group, M: m}), "ab")
		step(toGroups.Call(e.ctx, c, listArgs{To: []string{group, group2}, M: m}), "abc")
		step(toGroupExcept.Call(e.ctx, c, exceptArgs{Group: group, IDs: []string{a.ID()}, M: m}), "b")
		step(toOthersInGroup.Call(e.ctx, a, pair{To: group, M: m}), "b")
		step(toUser.Call(e.ctx, a, pair{To: bob, M: m}), "bc")
		step(toUsers.Call(e.ctx, a, listArgs{To: []string{ann, bob}, M: m}), "abc")
		check(e, removeFrom.Call(e.ctx, a, group))
		step(toGroup.Call(e.ctx, c, pair{To: group, M: m}), "b")
		check(e, removeOther.Call(e.ctx, a, pair{To: c.ID(), M: group2}))
		step(toGroup.Call(e.ctx, c, pair{To: group2, M: m}), "")
	})
}

func TestEventsInOrder(t *testing.T) {
	everywhere(t, func(e *env) {
		var got box[string]
		c := e.dial("/conformance", &client.Options{Handlers: []hubwire.ClientHandler{got.on(receive)}})
		check(e, toCallerMany.Call(e.ctx, c, 3000))
		for i, m := range got.take(e, 3000) {
			if m != strconv.Itoa(i) {
				e.Fatalf("event %d is %q", i, m)
			}
		}
	})
}

func TestEventArguments(t *testing.T) {
	everywhere(t, func(e *env) {
		var got box[manyArgs]
		var first, second box[string]
		c := e.dial("/conformance", &client.Options{Handlers: []hubwire.ClientHandler{
			got.on(many),
			hubwire.Event[int]("Many").With(func(context.Context, int) error { panic("it does not bind") }),
			first.on(receive),
			receive.With(func(context.Context, string) error { panic("boom") }),
			second.on(receive),
			hubwire.Event[string]("RECEIVE").With(func(context.Context, string) error {
				t.Error("names match exactly")
				return nil
			}),
		}})
		check(e, toCallerArgs.Call(e.ctx, c, hubwire.None{}))
		ada := person{Name: "Ada", Age: 36, Tags: []string{"x", "y"}}
		equal(e, got.next(e), manyArgs{S: "a", N: 1, B: true, P: ada})
		check(e, toCaller.Call(e.ctx, c, "m"))
		equal(e, first.next(e), "m")
		equal(e, second.next(e), "m")
	})
}

// A handler that waits does not hold back answers.
func TestHandlersMayCall(t *testing.T) {
	everywhere(t, func(e *env) {
		var got box[string]
		c := e.dial("/conformance", &client.Options{Handlers: []hubwire.ClientHandler{
			receive.With(func(ctx context.Context, m string) error {
				s, err := echoString.Call(ctx, client.FromContext(ctx), m)
				got.put(s)
				return err
			}),
		}})
		check(e, toCallerMany.Call(e.ctx, c, 20))
		for i, m := range got.take(e, 20) {
			equal(e, m, strconv.Itoa(i))
		}
	})
}

func TestGreeting(t *testing.T) {
	everywhere(t, func(e *env) {
		var got box[string]
		e.dial("/conformance?greet=1", &client.Options{Handlers: []hubwire.ClientHandler{got.on(receive)}})
		equal(e, got.next(e), "connected")
	})
}

func TestRefused(t *testing.T) {
	everywhere(t, func(e *env) {
		for query, text := range map[string]string{
			"?refuse=1":   "Connection closed with an error.",
			"?refuse=hub": "Connection closed with an error. HubException: refused",
		} {
			var happened course
			opts := happened.options()
			opts.Reconnect = client.Delays(0)
			c := e.dial("/conformance"+query, opts) // the handshake comes first
			equal(e, happened.next(e), "closed: the server closed the connection: "+text)
			wantHubError(e, c.Err(), text)
			_, err := echoInt.Call(e.ctx, c, 1)
			wantText(e, err, "client: the connection has ended: the server closed the connection: "+text)
		}
	})
}

func TestAbort(t *testing.T) {
	everywhere(t, func(e *env) {
		var happened course
		opts := happened.options()
		opts.Reconnect = client.Delays(0)
		c := e.dial("/conformance", opts)
		_ = abort.Send(e.ctx, c, hubwire.None{})
		equal(e, happened.next(e), "closed: none")
		closedWithin(e, c, time.Second)
		equal(e, c.State(), client.Closed)
		equal(e, c.Err(), nil)
		equal(e, c.ID(), "")
		wantText(e, nothing.Call(e.ctx, c, hubwire.None{}), "client: the connection is closed")
	})
}

// The hub hears of a client that leaves at once, and that it was no failure.
func TestCloseIsHeard(t *testing.T) {
	everywhere(t, func(e *env) {
		var watched box[goneArgs]
		watcher := e.dial("/conformance", &client.Options{Handlers: []hubwire.ClientHandler{watched.on(gone)}})
		check(e, addTo.Call(e.ctx, watcher, "watchers"))
		var happened course
		c := e.dial("/conformance", happened.options())
		id := c.ID()
		began := time.Now()
		check(e, c.Close())
		if took := time.Since(began); took > 2*time.Second {
			e.Errorf("Close took %v", took)
		}
		equal(e, happened.rest(), []string{"closed: none"})
		for {
			if w := watched.next(e); w.ID == id {
				equal(e, w.Error, nil)
				break
			}
		}
		check(e, c.Close())
		wantText(e, nothing.Call(e.ctx, c, hubwire.None{}), "client: the connection is closed")
	})
}

// What was sent before Close gets there.
func TestCloseSendsWhatWaits(t *testing.T) {
	everywhere(t, func(e *env) {
		tag := rand.Text() + " "
		l := e.listen(tag, "")
		c := e.dial("/conformance", nil)
		for i := range 50 {
			check(e, toOthers.Send(e.ctx, c, tag+strconv.Itoa(i)))
		}
		check(e, c.Close())
		for i, m := range l.got.take(e, 50) {
			equal(e, m, strconv.Itoa(i))
		}
	})
}

func TestCloseFailsCalls(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		failed := make(chan error, 2)
		started := make(chan struct{})
		go func() { // ends with c
			_, err := all(forever.Open(e.ctx, c, hubwire.None{}))
			failed <- err
		}()
		go func() { // ends with c
			close(started)
			_, err := sleep.Call(e.ctx, c, 30_000)
			failed <- err
		}()
		<-started
		check(e, c.Close())
		for range 2 {
			wantText(e, <-failed, "client: the connection is closed")
		}
	})
}

// A message that the server does not take ends the connection, and the policy
// may find another.
func TestTooLargeForTheServer(t *testing.T) {
	everywhere(t, func(e *env) {
		var happened course
		opts := happened.options()
		opts.Reconnect = client.Delays(0)
		c := e.dial("/small", opts)
		old := c.ID()
		_, err := echoString.Call(e.ctx, c, strings.Repeat("x", 2000))
		wantText(e, err, "the server closed the connection: Connection closed with an error.")
		equal(e, happened.take(e, 2), []string{"reconnecting: the server closed the connection: Connection closed with an error.", "reconnected"})
		if c.ID() == old {
			e.Error("the id is the old one")
		}
		echoes(e, c, echoInt, 1)
	})
}

func TestTooLargeForTheClient(t *testing.T) {
	everywhere(t, func(e *env) {
		var happened course
		opts := happened.options()
		opts.MaxMessage = 2000
		c := e.dial("/conformance", opts)
		echoes(e, c, echoString, strings.Repeat("x", 1900))
		_, err := echoString.Call(e.ctx, c, strings.Repeat("x", 20_000))
		wantText(e, err, "the server sent a message of more than 2000 bytes, see Options.MaxMessage")
		equal(e, happened.next(e), "closed: the server sent a message of more than 2000 bytes, see Options.MaxMessage")
	})
}

func TestProtocolIsRefused(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			e := newEnv(t, p, way{client.WebSockets, "messagepack"})
			_, err := e.tryDial("/json-only", nil)
			wantHubError(e, err, "The protocol 'messagepack' is not supported.")
			wantText(e, err, "client: handshake over WebSockets: The protocol 'messagepack' is not supported.")
		})
	}
}
