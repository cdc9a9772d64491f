//go:build !race

package wsconn_test

import (
	"io"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// Without the race detector, which empties pools at random, and would see that
// the reader is looked at.

// TestAllocations: an echo allocates nothing on the server, whatever the kind of
// frame; nor does a delivery.
func TestAllocations(t *testing.T) {
	s := serve(t, &server{})
	p := dial(t, s)
	c := <-s.conns
	got := make([]byte, 1<<16)
	check := func(name string, b []byte, n int) {
		t.Helper()
		round := func() {
			p.Write(b)
			if _, err := io.ReadFull(p.r, got[:n]); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			round()
		}
		if n := testing.AllocsPerRun(200, round); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	check("text", text(strings.Repeat("x", 64)), 2+64)
	check("long binary", f(0x82, strings.Repeat("\xff", 20_000)), 4+20_000)
	check("fragments", pieces("abcdef", 2), 2+6)
	check("ping", ping("ping"), 2+4)
	out := wsconn.AppendFrame(nil, true, []byte(strings.Repeat("x", 100)))
	if n := testing.AllocsPerRun(200, func() {
		c.TryWrite(out)
		io.ReadFull(p.r, got[:len(out)])
	}); n > 0 {
		t.Errorf("TryWrite: %v allocations", n)
	}
}

// An idle reader holds no buffer, whatever came before.
func TestIdleHoldsNothing(t *testing.T) {
	idle := make(chan struct{}, 100)
	s := serve(t, &server{})
	s.handler = func(c *wsconn.Conn) wsconn.Handler {
		return &funcs{idle: func() error { idle <- struct{}{}; return nil }}
	}
	p := dial(t, s)
	c := <-s.conns
	for _, b := range [][]byte{text("x"), text(strings.Repeat("x", 5000)), ping("x"), f(0x81, "abc")[:8], f(0x81, "abc")[8:], {0x82}, {0x80 | 5, 1}} {
		for len(idle) > 0 {
			<-idle
		}
		p.send(t, b)
		<-idle
		waits(t, "wsconn.(*Conn).park")
		if c.Held() {
			t.Errorf("after % .20x it holds something", b)
		}
	}
	c.Abort()
	s.end(t)
}
