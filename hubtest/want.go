package hubtest

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// Next is the next event of that name that was sent to c: it waits for it, and
// fails the test when it does not come, or the connection ends. Events that Dial
// was given a handler for do not come here.
func Next[T any](t testing.TB, c *Client, e hubwire.Event[T]) T {
	t.Helper()
	v, err := c.next(string(e))
	if err != nil {
		t.Fatalf("hubtest: event %s: %v", string(e), err)
	}
	return decode(t, e, v)
}

// Got is what came of an event since the last Next or Got: all that was sent to
// c until now.
func Got[T any](t testing.TB, c *Client, e hubwire.Event[T]) (all []T) {
	t.Helper()
	c.Sync(t)
	for _, v := range c.waiting(string(e)) {
		all = append(all, decode(t, e, v))
	}
	return all
}

// WantNone fails the test where an event of that name was sent to c and has not
// been taken by Next or Got. It needs no wait: it knows what is on its way.
func WantNone[T any](t testing.TB, c *Client, e hubwire.Event[T]) {
	t.Helper()
	for _, v := range Got(t, c, e) {
		t.Errorf("hubtest: event %s came: %v", string(e), v)
	}
}

// WantClosed waits until the connection has ended and fails the test where it
// does not, or where the reason is not want (see Client.Err), as errors.Is has
// it.
func WantClosed(t testing.TB, c *Client, want error) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.Done():
	case <-timer.C:
		t.Fatalf("hubtest: the connection is still open; want it closed: %v", want)
	}
	if err := c.Err(); !errors.Is(err, want) {
		t.Errorf("hubtest: the connection was closed with %v, want %v", err, want)
	}
}

func decode[T any](t testing.TB, e hubwire.Event[T], v wire.Values) (out T) {
	t.Helper()
	_, err := e.With(func(_ context.Context, v T) error { out = v; return nil }).Serve(context.Background(), v)
	if err != nil {
		t.Fatalf("hubtest: event %s: %v", string(e), err)
	}
	return out
}

// Sync returns when all that was sent to c until now has come, and the handlers
// of its events have ended, or when the connection has ended. It fails the test
// where the client is stalled.
func (c *Client) Sync(t testing.TB) {
	t.Helper()
	passed := make(chan struct{})
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.lastID++
	number := c.lastID
	if c.fences == nil {
		c.fences = map[uint64]chan struct{}{}
	}
	c.fences[number] = passed
	c.mu.Unlock()
	c.end.port.Control((&frame{kind: frameFence, number: number}).whole())
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-passed:
	case <-timer.C:
		t.Fatalf("hubtest: what was sent to the client does not come: it is stalled, or one of its handlers is")
	}
}

// passed notes that a fence has come.
func (c *Client) passed(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if passed := c.fences[number]; passed != nil {
		delete(c.fences, number)
		close(passed)
	}
}

var errLate = errors.New("it does not come")

func (c *Client) next(name string) (v wire.Values, err error) {
	if len(c.bound[name]) > 0 {
		return v, errors.New("a handler takes it")
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if all := c.inbox[name]; len(all) > 0 {
			if c.inbox[name] = all[1:]; len(all) == 1 {
				delete(c.inbox, name)
			}
			c.mu.Unlock()
			return all[0], nil
		}
		if c.over {
			c.mu.Unlock()
			return v, errors.Join(errors.New("the connection has ended"), c.Err())
		}
		if c.came == nil {
			c.came = make(chan struct{})
		}
		came := c.came
		c.mu.Unlock()
		select {
		case <-came:
		case <-timer.C:
			return v, errLate
		}
	}
}

func (c *Client) waiting(name string) []wire.Values {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.inbox[name]
	delete(c.inbox, name)
	return all
}

type clientKey struct{}

// context is the context of the client's handlers.
func (c *Client) context() context.Context { return context.WithValue(c.ctx, clientKey{}, c) }

// Block is the handler of a client that stops reading, for good, when the event
// is sent to it: the event does not leave the hub's queue any more.
//
//	slow := server.Dial(t, Received.With(hubtest.Block))
//
// In a function of its own it stalls the client when it is called; what was
// written before has been taken by then.
func Block[T any](ctx context.Context, _ T) error {
	if c, ok := ctx.Value(clientKey{}).(*Client); ok {
		c.link.block()
	}
	<-ctx.Done()
	return ctx.Err()
}

// isBlock reports whether h was made of Block itself.
func isBlock(h hubwire.ClientHandler) bool {
	if h.Kind() != wire.Event {
		return false
	}
	f := runtime.FuncForPC(reflect.ValueOf(h.Func()).Pointer())
	return f != nil && strings.HasSuffix(f.Name(), "/hubtest.Block[...]")
}

// Discard is the handler of an event that is of no interest.
func Discard[T any](context.Context, T) error { return nil }
