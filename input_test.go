package hubwire_test

import (
	"context"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// Input of calls that wait is bounded: the reader waits above 64 KiB, and goes
// on when there is room. Calls that run do not count, or a client could not
// answer what a large call asks it (D 15).
func TestInputIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hub := newHub(nil, hubwire.Command[string]("Do").With(func(context.Context, *hubwire.Conn, string) error { <-release; return nil }))
		c := hubtest.New(t, hub).Dial(t)
		big := strings.Repeat("x", 100<<10)
		send := func(s string) { check(t, hubwire.Command[string]("Do").Send(t.Context(), c, s)) }
		send(big)
		synctest.Wait()
		if c.Unread() != 0 {
			t.Errorf("a large call that runs stops the reader: %d unread", c.Unread())
		}
		send(strings.Repeat("x", 40<<10))
		send(strings.Repeat("x", 40<<10))
		send("small")
		synctest.Wait()
		if n := c.Unread(); n == 0 {
			t.Error("80 KiB wait, and the reader goes on")
		}
		if waiting, _ := hubwire.Inputs(c.Conn()); waiting < 80<<10 || waiting > 90<<10 {
			t.Errorf("%d bytes wait", waiting)
		}
		release <- struct{}{} // the first of 40 KiB starts
		synctest.Wait()
		if n := c.Unread(); n != 0 {
			t.Errorf("there is room, and %d are unread", n)
		}
		close(release)
		synctest.Wait()
		if waiting, held := hubwire.Inputs(c.Conn()); waiting != 0 || held != 0 {
			t.Errorf("at the end %d wait and %d are held", waiting, held)
		}
	})
}

// A client that is not read, since its calls wait, can still leave and be
// dropped.
func TestReaderThatWaitsCanEnd(t *testing.T) {
	for name, end := range map[string]func(*hubtest.Client){
		"drop":  func(c *hubtest.Client) { c.Drop() },
		"abort": func(c *hubtest.Client) { c.Conn().Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				hub := newHub(&hubwire.Options{Disconnect: func(context.Context, *hubwire.Conn, error) { close(gone) }},
					hubwire.Command[string]("Do").With(func(ctx context.Context, _ *hubwire.Conn, _ string) error { <-ctx.Done(); return nil }))
				c := hubtest.New(t, hub).Dial(t)
				for range 4 {
					check(t, hubwire.Command[string]("Do").Send(t.Context(), c, strings.Repeat("x", 50<<10)))
				}
				synctest.Wait()
				if c.Unread() == 0 {
					t.Fatal("the reader does not wait")
				}
				start := time.Now()
				end(c)
				<-gone
				if took := time.Since(start); took > 0 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Items of uploads that nobody reads count as waiting input, but for the first
// few; those of a call that has ended do not.
func TestUploadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hub := newHub(nil, hubwire.ClientStream[string, int]("Up").With(func(ctx context.Context, _ *hubwire.Conn, items iter.Seq2[string, error]) (int, error) {
			n := 0
			for range items {
				if n++; n == 1 {
					<-release
				}
				if n == 500 {
					break
				}
			}
			return n, nil
		}), hubwire.Command[hubwire.None]("Do").With(nothing))
		c := hubtest.New(t, hub).Dial(t)
		var sent atomic.Int32
		item := strings.Repeat("x", 1000)
		endless := func(yield func(string, error) bool) {
			for yield(item, nil) {
				sent.Add(1)
			}
		}
		var n int
		var err error
		done := make(chan struct{})
		go func() { // ends with the call
			defer close(done)
			n, err = hubwire.ClientStream[string, int]("Up").Call(t.Context(), c, endless)
		}()
		synctest.Wait()
		if kib := sent.Load(); kib < 128 || kib > 160 { // 64 KiB with the hub, 64 KiB on the way
			t.Errorf("%d KB were sent to a handler that does not read", kib)
		}
		close(release)
		<-done
		if n != 500 || err != nil {
			t.Errorf("Up = %v, %v", n, err)
		}
		check(t, hubwire.Command[hubwire.None]("Do").Call(t.Context(), c, hubwire.None{}))
		synctest.Wait()
		if waiting, held := hubwire.Inputs(c.Conn()); waiting != 0 || held != 0 {
			t.Errorf("at the end %d wait and %d are held", waiting, held)
		}
	})
}
