package hubwire_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A turnReader is a wire whose reader runs the calls itself, as SignalR's does:
// what comes is a channel, and whoever is the reader reads from it.
type turnReader struct {
	*rawLink
	in   chan func()
	ends sync.WaitGroup
}

// read starts with one reader; it ends when the connection does.
func turnTaking(t testing.TB, hub *hubwire.Hub) *turnReader {
	r := &turnReader{rawLink: open(t, hub, rawA, -1), in: make(chan func(), 1000)}
	r.pass = func() { r.ends.Go(r.read) }
	r.port.Turns()
	r.ends.Go(r.read)
	t.Cleanup(func() {
		close(r.in)
		r.rawLink.Close(nil, false)
		r.port.End(nil) // before we wait for readers: it cancels their calls
		r.ends.Wait()
	})
	return r
}

func (r *turnReader) read() {
	for do := range r.in {
		do()
		for range len(r.in) { // all that one read brings
			(<-r.in)()
		}
		if !r.port.Turn() {
			return // another is the reader
		}
	}
}

// call sends a call.
func (r *turnReader) call(in wire.Call) *rawCall {
	c := &rawCall{link: r.rawLink, done: make(chan struct{})}
	in.Reply = c
	r.in <- func() { r.port.Start(&in) }
	return c
}

func (r *turnReader) cancel(id string) { r.in <- func() { r.port.Cancel(id) } }

const TurnAsk hubwire.ClientMethod[int, int] = "Ask"

// turnHub has calls that wait in every way.
func turnHub(opts *hubwire.Options, release <-chan struct{}) *hubwire.Hub {
	return newHub(opts,
		hubwire.Method[int, int]("Echo").With(func(_ context.Context, _ *hubwire.Conn, n int) (int, error) { return n, nil }),
		hubwire.Method[string, string]("Do").With(func(ctx context.Context, c *hubwire.Conn, how string) (string, error) {
			switch how {
			case "ctx":
				<-ctx.Done()
				return "", ctx.Err()
			case "block":
				<-release
			case "poll":
				for ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
			case "sleep":
				time.Sleep(10 * time.Millisecond)
			case "ask":
				if _, err := TurnAsk.Call(ctx, c, 1); err != nil {
					return "", err
				}
			case "ask without ctx":
				if _, err := TurnAsk.Call(context.Background(), c, 1); err != nil {
					return "", err
				}
			case "send":
				for range 3 {
					if err := Said.Send(ctx, c, "x"); err != nil {
						return "", err
					}
				}
			case "panic":
				panic("oh")
			case "goexit":
				runtime.Goexit()
			}
			return how, nil
		}),
		hubwire.ServerStream[int, int]("Count").With(func(ctx context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
				if n == 0 {
					<-ctx.Done()
				}
			}
		}))
}

func echoCall(n int) wire.Call { return wire.Call{Name: "Echo", Args: list(fmt.Sprint(n))} }

func doCall(how string) wire.Call {
	return wire.Call{Name: "Do", ID: how, Args: list(`"` + how + `"`)}
}

// answer answers each question of the link once.
func (r *turnReader) answer(seen *int) {
	text := r.text()
	for _, line := range strings.Split(text[*seen:], "\n") {
		if id, _, ok := strings.Cut(line, "?"); ok {
			r.in <- func() { _ = r.port.Answer(id, list(`7`), nil) }
		}
	}
	*seen = len(text)
}

// Whatever a call does while the reader runs it, what lies behind it is read:
// cancels, answers and other connections' calls (D 15).
func TestTurnsAreGivenUp(t *testing.T) {
	for _, test := range []struct {
		how   string
		after time.Duration // at most
	}{
		{"ctx", 0}, {"poll", 5 * time.Millisecond}, {"block", 5 * time.Millisecond}, {"ask", 0}, {"ask without ctx", 5 * time.Millisecond},
	} {
		t.Run(test.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				r := turnTaking(t, turnHub(nil, release))
				first := r.call(echoCall(1))
				<-first.done
				waits := r.call(doCall(test.how))
				synctest.Wait()
				read := make(chan struct{})
				start := time.Now()
				r.in <- func() { close(read) }
				<-read
				if took := time.Since(start); took > test.after {
					t.Errorf("the reader went on after %v", took)
				}
				var seen int
				switch test.how {
				case "block":
					close(release)
				case "ask", "ask without ctx":
					r.answer(&seen)
				default:
					r.cancel(test.how)
				}
				<-waits.done
				last := r.call(echoCall(2))
				<-last.done
				if last.v != 2 || last.err != nil {
					t.Errorf("after it: %v, %v", last.v, last.err)
				}
			})
		})
	}
}

// The outcome of a call does not wait for the next one to end, beyond the moment
// that a turn may last.
func TestAnswersOfATurnAreFlushed(t *testing.T) {
	for _, how := range []string{"ctx", "block"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				r := turnTaking(t, turnHub(nil, release))
				var calls []*rawCall
				r.in <- func() { // one read brings them all
					for i := range 3 {
						c := &rawCall{link: r.rawLink, done: make(chan struct{})}
						in := echoCall(i)
						in.Reply = c
						r.port.Start(&in)
						calls = append(calls, c)
					}
					in := doCall(how)
					in.Reply = &rawCall{link: r.rawLink, done: make(chan struct{})}
					r.port.Start(&in)
				}
				time.Sleep(5 * time.Millisecond)
				if got := r.text(); got != "result 0\nresult 1\nresult 2\n" {
					t.Errorf("after 5 ms: %q", got)
				}
				close(release)
			})
		})
	}
}

// A panic and a Goexit in a turn hurt the call alone, and somebody goes on
// reading.
func TestTurnsThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := turnTaking(t, turnHub(nil, nil))
		for range 3 {
			for _, how := range []string{"panic", "goexit", "send"} {
				c, after := r.call(doCall(how)), r.call(echoCall(7))
				<-c.done
				<-after.done
				if (c.err == nil) != (how == "send") || after.v != 7 || after.err != nil {
					t.Errorf("%s: %v; after it %v, %v", how, c.err, after.v, after.err)
				}
			}
		}
	})
}

// Streams are not for the reader, wherever they stand.
func TestStreamsAreNotInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := turnTaking(t, turnHub(nil, nil))
		var calls []*rawCall
		for i := range 30 {
			in := echoCall(i)
			if i%3 == 1 {
				in = wire.Call{Name: "Count", ID: fmt.Sprint(i), Stream: true, Args: list(`3`)}
			}
			calls = append(calls, r.call(in))
		}
		forever := r.call(wire.Call{Name: "Count", ID: "x", Stream: true, Args: list(`0`)})
		behind := r.call(echoCall(9))
		<-behind.done
		for i, c := range calls {
			<-c.done
			if c.err != nil || i%3 == 1 && len(c.items) != 3 {
				t.Errorf("call %d: %v, %v", i, c.items, c.err)
			}
		}
		r.cancel("x")
		<-forever.done
	})
}

// The goroutine that watches turns is there only while there are some.
func TestWatchOfTurnsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		r := turnTaking(t, turnHub(nil, nil))
		<-r.call(echoCall(1)).done
		time.Sleep(time.Second)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 1 { // the reader
			t.Errorf("%d goroutines", n)
		}
		for range 3 {
			<-r.call(echoCall(1)).done
			time.Sleep(90 * time.Millisecond) // just before it would end
		}
		blocked := r.call(doCall("ctx"))
		r.cancel("ctx")
		<-blocked.done
	})
}

// Shutdown lets the calls of a turn finish.
func TestShutdownInATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := turnHub(nil, nil)
		r := turnTaking(t, hub)
		go func() { // ends with the connection
			<-r.closed
			r.port.End(nil)
		}()
		c := r.call(doCall("sleep"))
		synctest.Wait()
		check(t, hub.Shutdown(t.Context()))
		<-c.done
		if c.err != nil {
			t.Errorf("the call: %v", c.err)
		}
	})
}

// Many connections, calls of every kind: every call has its outcome, in the
// order of the calls.
func TestTurnsUnderLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	hub := turnHub(nil, nil)
	var wg sync.WaitGroup
	for i := range 32 {
		r := turnTaking(t, hub)
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			type sent struct {
				call *rawCall
				want any
			}
			var all []sent
			seen := 0
			for k := range 200 {
				switch n := rnd.IntN(40); {
				case n < 32:
					all = append(all, sent{r.call(echoCall(k)), k})
				case n < 34:
					all = append(all, sent{r.call(doCall("send")), "send"})
				case n < 35:
					all = append(all, sent{r.call(doCall("sleep")), "sleep"})
				case n < 36:
					c := r.call(doCall("ask"))
					for wait := true; wait; {
						select {
						case <-c.done:
							wait = false
						case <-time.After(time.Millisecond):
							r.answer(&seen)
						}
					}
					all = append(all, sent{c, "ask"})
				case n < 37:
					all = append(all, sent{r.call(doCall("goexit")), nil})
				case n < 38:
					c := r.call(doCall("ctx"))
					for wait := true; wait; {
						r.cancel("ctx")
						select {
						case <-c.done:
							wait = false
						case <-time.After(time.Millisecond):
						}
					}
					all = append(all, sent{c, nil})
				default:
					all = append(all, sent{r.call(wire.Call{Name: "Count", ID: fmt.Sprint("s", k), Stream: true, Args: list(`5`)}), nil})
				}
			}
			for k, s := range all {
				select {
				case <-s.call.done:
				case <-time.After(10 * time.Second):
					t.Errorf("connection %d: call %d has no outcome", i, k)
					return
				}
				if s.want != nil && (s.call.v != s.want || s.call.err != nil) {
					t.Errorf("connection %d: call %d: %v, %v; want %v", i, k, s.call.v, s.call.err, s.want)
				}
			}
		})
	}
	wg.Wait()
}
