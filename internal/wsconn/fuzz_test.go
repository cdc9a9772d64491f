package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/internal/wsconn/cases"
)

// A tape is a connection whose input is known: each read gets one piece.
type tape struct {
	net.Conn
	pieces [][]byte
	wrote  []byte
	closed bool
}

func (t *tape) Read(p []byte) (int, error) {
	if len(t.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.pieces[0])
	if t.pieces[0] = t.pieces[0][n:]; len(t.pieces[0]) == 0 {
		t.pieces = t.pieces[1:]
	}
	return n, nil
}

func (t *tape) Write(p []byte) (int, error) { t.wrote = append(t.wrote, p...); return len(p), nil }
func (t *tape) Close() error                { t.closed = true; return nil }
func (t *tape) CloseWrite() error           { return nil }
func (t *tape) SetReadDeadline(time.Time) error {
	return nil
}

// cut cuts b into pieces at places that seed names. Seed 0 leaves it whole.
func cut(b []byte, seed uint64) (pieces [][]byte) {
	r := rand.New(rand.NewPCG(seed, 1))
	for len(b) > 0 {
		n := len(b)
		if seed != 0 {
			n = 1 + r.IntN(min(len(b), 1+r.IntN(20)))
		}
		pieces = append(pieces, append([]byte(nil), b[:n]...))
		b = b[n:]
	}
	return pieces
}

// A recorder is a Handler that remembers what it was told.
type recorder struct {
	c      *wsconn.Conn
	out    outcome
	kind   string // of the message under way
	msg    []byte
	reads  int // Idle calls
	faults []string
}

func (r *recorder) Data(p []byte, binary, last bool) error {
	kind := "text"
	if binary {
		kind = "binary"
	}
	if r.kind != "" && r.kind != kind {
		r.faults = append(r.faults, "the kind changed inside a message")
	}
	if len(p) == 0 && !last {
		r.faults = append(r.faults, "an empty piece")
	}
	r.kind = kind
	r.msg = append(r.msg, p...)
	if last {
		r.out.events = append(r.out.events, event{kind: kind, payload: string(r.msg)})
		r.kind, r.msg = "", nil
	}
	return nil
}

func (r *recorder) Control(frame []byte) {
	p := string(frame[2:])
	switch frame[0] {
	case 0x8a:
		r.out.events = append(r.out.events, event{kind: "pong", payload: p})
	case 0x88:
		if r.kind != "" {
			r.out.events = append(r.out.events, event{kind: "part", payload: string(r.msg)})
			r.kind = ""
		}
		r.out.code = int(p[0])<<8 | int(p[1])
		r.out.events = append(r.out.events, event{kind: "close", code: r.out.code})
	default:
		r.faults = append(r.faults, fmt.Sprintf("control frame % x", frame))
	}
	r.c.Write(frame)
}

func (r *recorder) Idle() error { r.reads++; return nil }

// record lets a Conn read b, cut by seed.
func record(b []byte, seed uint64, maxFragments int) (*recorder, error) {
	tp := &tape{pieces: cut(b, seed)}
	r := &recorder{c: wsconn.New(tp, &wsconn.Config{MaxFragments: maxFragments})}
	err := r.c.Serve(r)
	if r.kind != "" {
		r.out.events = append(r.out.events, event{kind: "part", payload: string(r.msg)})
	}
	if !tp.closed {
		r.faults = append(r.faults, "the connection was not closed")
	}
	return r, err
}

// compare says in what got is not what it should be; empty if in nothing.
func compare(want outcome, r *recorder, err error) string {
	got := r.out
	if len(r.faults) > 0 {
		return strings.Join(r.faults, "; ")
	}
	if got.code != want.code {
		return fmt.Sprintf("code %d, want %d", got.code, want.code)
	}
	switch e, ok := errors.AsType[*wsconn.CloseError](err); {
	case want.code == 0 && !errors.Is(err, io.ErrUnexpectedEOF),
		want.code == 1000 && err != nil,
		want.code > 1000 && (!ok || e.Code != want.code):
		return fmt.Sprintf("Serve: %v, want code %d", err, want.code)
	}
	pings := 0
	for _, e := range want.events {
		if e.kind == "pong" {
			pings++
		}
	}
	if pings > 16 {
		// Some need no answer: each that was given must be one in its order,
		// and the rest is compared without them.
		wp, wr := split(want.events)
		gp, gr := split(got.events)
		i := 0
		for _, e := range gp {
			for i < len(wp) && wp[i] != e {
				i++
			}
			if i++; i > len(wp) {
				return fmt.Sprintf("pong %q answers no ping", e.payload)
			}
		}
		want.events, got.events = wr, gr
	}
	if len(got.events) > 0 && got.events[len(got.events)-1].kind == "close" && want.code == 1007 {
		// Of a text that goes wrong, how much was delivered depends on the reads.
		want.events, got.events = unpart(want.events), unpart(got.events)
	}
	if a, b := fmt.Sprint(unempty(want.events)), fmt.Sprint(unempty(got.events)); a != b {
		return fmt.Sprintf("\n got %.500q\nwant %.500q", b, a)
	}
	return ""
}

func split(all []event) (pongs, rest []event) {
	for _, e := range all {
		if e.kind == "pong" {
			pongs = append(pongs, e)
		} else {
			rest = append(rest, e)
		}
	}
	return pongs, rest
}

func unpart(all []event) (rest []event) {
	for _, e := range all {
		if e.kind != "part" {
			rest = append(rest, e)
		}
	}
	return rest
}

// unempty leaves out parts of which nothing came.
func unempty(all []event) (rest []event) {
	for _, e := range all {
		if e.kind != "part" || e.payload != "" {
			rest = append(rest, e)
		}
	}
	return rest
}

// seeds are the cases of the table, and some more.
func seeds() (all [][]byte) {
	for _, c := range append(cases.Autobahn(), cases.Hostile()...) {
		if b := c.Bytes(); len(b) < 1<<12 {
			all = append(all, b)
		}
	}
	many := ping("1")
	for range 40 {
		many = append(many, ping("22")...)
	}
	return append(all, many,
		[]byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4},
		[]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		pieces("123456789", 1))
}

func FuzzServe(f *testing.F) {
	for i, b := range seeds() {
		f.Add(b, uint64(i%3))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		b = b[:min(len(b), 4096)] // the reference is slow
		r, err := record(b, seed, 8)
		if diff := compare(reference(b, 8), r, err); diff != "" {
			t.Fatalf("% x, cut by %d: %s", b, seed, diff)
		}
	})
}

// TestReference makes sure that the reference knows what the table knows.
func TestReference(t *testing.T) {
	for _, b := range seeds() {
		want := reference(b, 8)
		for seed := range uint64(20) {
			r, err := record(b, seed, 8)
			if diff := compare(want, r, err); diff != "" {
				t.Errorf("% x, cut by %d: %s", b, seed, diff)
			}
		}
	}
	for _, c := range append(cases.Autobahn(), cases.Hostile()...) {
		b := c.Bytes()
		if len(b) > 1<<13 {
			continue // the reference is too slow for them
		}
		if got := reference(b, 1<<16).code; got != c.Code {
			t.Errorf("%s: the reference says %d", c.Name, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range append(cases.GoodText, cases.BadText...) {
		f.Add([]byte(s), uint64(1))
		f.Add([]byte("ascii in front "+s), uint64(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		b = b[:min(len(b), 256)]
		var x wsconn.Text
		var so string
		for _, p := range cut(b, seed) {
			known := len(so) // all that far was judged, and viable
			so += string(p)
			ok, want := x.Add(p), viableText(so, known)
			if ok != want {
				t.Fatalf("after %q: %v, want %v", so, ok, want)
			}
			if !ok {
				return
			}
			if x.Whole() != utf8.ValidString(so) {
				t.Fatalf("after %q: whole is %v", so, x.Whole())
			}
		}
	})
}

// viableText judges the prefixes of s that are longer than from bytes. Each is
// judged once, since that is slow.
func viableText(s string, from int) bool {
	for i := from; i < len(s); i++ {
		if !viable(s[:i+1]) {
			return false
		}
	}
	return true
}
