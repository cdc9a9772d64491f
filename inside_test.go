package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// Who is left out of some sends of a run gets exactly the others, also where
// some of them have no record in its protocol.
func TestAdmitAround(t *testing.T) {
	for _, test := range []struct{ src, out []int32 }{
		{[]int32{0, 1, 2, 3}, []int32{0}},
		{[]int32{0, 1, 2, 3}, []int32{3}},
		{[]int32{0, 1, 2, 3}, []int32{1, 2}},
		{[]int32{0, 1, 2, 3}, []int32{0, 1, 2, 3}},
		{[]int32{0, 1, 2, 3}, []int32{0, 0, 2, 2}},
		{[]int32{2, 3}, []int32{0, 3}},
		{[]int32{1, 3, 5}, []int32{0, 2, 3, 4}},
		{[]int32{1}, []int32{0}},
		{nil, []int32{0}},
	} {
		var want []int
		for _, s := range test.src {
			if !slices.Contains(test.out, s) {
				want = append(want, int(s))
			}
		}
		if got := hubwire.AdmitAround(test.src, test.out); !slices.Equal(got, want) {
			t.Errorf("of %v without %v: %v, want %v", test.src, test.out, got, want)
		}
	}
}

// The line takes 256 KiB; then senders wait, as long as their context lets them,
// and joins and leaves too (D 21).
func TestLineIsBounded(t *testing.T) {
	hub := newHub(nil)
	l := open(t, hub, rawA, -1)
	text := strings.Repeat("x", 1000)
	l.mu.Lock() // whoever writes to it waits
	var wg sync.WaitGroup
	sent := make(chan int, 1000)
	for i := range 1000 {
		wg.Go(func() {
			check(t, Said.Send(t.Context(), hub.All(), text))
			sent <- i
		})
	}
	// When senders wait, a Send with an end to its patience gives up.
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err := Said.Send(ctx, hub.All(), "late")
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		check(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := l.port.Conn()
	for name, err := range map[string]error{
		"Join":           c.Join(ctx, "room"),
		"Leave":          c.Leave(ctx, "room"),
		"Hub.Join":       hub.Join(ctx, c.ID(), "room"),
		"Send to a Conn": Said.Send(ctx, c, "x"),
		"Send to an id":  Said.Send(ctx, hub.Conn(c.ID()), "x"),
		"Send to ids":    Said.Send(ctx, hub.Conns("nobody", c.ID()), "x"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One line was taken and is being written, another is full.
	if n := len(sent); n < 200 || n > 600 {
		t.Errorf("%d KB went in line", n)
	}
	l.mu.Unlock()
	wg.Wait()
	if n := len(sent); n != 1000 {
		t.Errorf("%d were sent", n)
	}
}

// The targets of a connection.
func TestOthers(t *testing.T) {
	hub := newHub(nil)
	server := hubtest.New(t, hub)
	a, b, c := server.Dial(t), server.Dial(t), server.Dial(t)
	for _, x := range []*hubtest.Client{a, b} {
		check(t, x.Conn().Join(t.Context(), "room", "room"))
		check(t, x.Conn().Join(t.Context(), "room"))
	}
	check(t, Said.Send(t.Context(), a.Conn().Others(), "others"))
	check(t, Said.Send(t.Context(), a.Conn().OthersIn("room"), "in room"))
	check(t, Said.Send(t.Context(), a.Conn().Others().Except(b.ID()), "but b"))
	check(t, Said.Send(t.Context(), hub.Group("room", "room"), "twice"))
	check(t, c.Conn().Leave(t.Context(), "room"))
	for i, want := range []string{"[twice twice]", "[others in room twice twice]", "[others but b]"} {
		if got := fmt.Sprint(hubtest.Got(t, []*hubtest.Client{a, b, c}[i], Said)); got != want {
			t.Errorf("client %d got %s, want %s", i, got, want)
		}
	}
	check(t, a.Close())
	if err := a.Conn().Join(t.Context(), "room"); !errors.Is(err, hubwire.ErrClosed) {
		t.Errorf("Join after the end: %v", err)
	}
	check(t, hub.Join(t.Context(), a.ID(), "room"))
	check(t, a.Conn().Leave(t.Context(), "room"))
	check(t, Said.Send(t.Context(), a.Conn(), "x"))
	a.Conn().Abort()
}

// What came before it was known that a client is behind is bounded too when the
// oldest are dropped.
func TestDropOldestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 3, Full: hubwire.DropOldest, Stall: time.Hour}})
		l := open(t, hub, rawA, 0)
		big := strings.Repeat("x", 60<<10) // more than one write gathers
		for i := range 4 {
			check(t, Said.Send(t.Context(), hub.All(), fmt.Sprint(i, big)))
		}
		for i := range 20 {
			check(t, Said.Send(t.Context(), hub.All(), fmt.Sprint(i)))
		}
		synctest.Wait()
		l.take(-1)
		synctest.Wait()
		all := saidTexts(l)
		if n := len(all); n > 5 || !slices.Equal(all[n-3:], []string{"17", "18", "19"}) {
			for i, s := range all {
				all[i] = s[:min(len(s), 5)]
			}
			t.Errorf("got %d: %q", n, all)
		}
	})
}

// headerProtocol is a protocol that can send headers.
type headerProtocol struct{ *rawProtocol }

func (p headerProtocol) AppendEventHeaders(dst []byte, name, callID string, headers map[string]string, args [][]byte) ([]byte, error) {
	return p.AppendEvent(fmt.Appendf(dst, "%v ", headers), name, callID, args)
}

// The headers of TraceOut go with a question, where the protocol has a place for
// them.
func TestTraceOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const Ask hubwire.ClientMethod[int, int] = "Ask"
		hub := newHub(&hubwire.Options{TraceOut: func(ctx context.Context) map[string]string {
			return map[string]string{"traceparent": fmt.Sprint(ctx.Value(key{}))}
		}})
		hub.Expose(headerProtocol{rawA})
		for p, want := range map[wire.Protocol]string{headerProtocol{rawA}: "map[traceparent:v] s", rawA: "s"} {
			l := open(t, hub, p, -1)
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
			done := make(chan error)
			go func() { // ends with ctx
				_, err := Ask.Call(ctx, l.port.Conn(), 1)
				done <- err
			}()
			synctest.Wait()
			if got := l.text(); !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Ask: %v", err)
			}
		}
	})
}
