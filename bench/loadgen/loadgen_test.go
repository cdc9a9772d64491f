package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuantiles(t *testing.T) {
	var h hist
	var all []int64
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		v := rng.Int64N(1 << uint(1+rng.IntN(40)))
		h.add(v)
		all = append(all, v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .01, .5, .9, .99} {
		want := all[int(q*float64(len(all)))]
		got := h.quantile(q)
		if diff := float64(want - got); diff < 0 || diff > float64(want)/64+1 {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if h.max != all[len(all)-1] {
		t.Errorf("max is %d", h.max)
	}
}

func TestStamp(t *testing.T) {
	w := &worker{payload: bytes.Repeat([]byte("x"), 64)}
	const ts = 1_790_000_000_123_456_789
	rec := append([]byte("\x96\x01@\xc0@123@"), w.stamp(ts)...)
	if got, ok := stampOf(rec); !ok || got != ts {
		t.Errorf("%d, %v", got, ok)
	}
	for _, bad := range []string{"", "@", "no stamp", "@12345678901234567", "@123456789012345678x9"} {
		if got, ok := stampOf([]byte(bad)); ok {
			t.Errorf("%q has the stamp %d", bad, got)
		}
	}
}

// TestOrder checks what a worker notes about gathered messages and their order.
func TestOrder(t *testing.T) {
	w := &worker{p: signalR{&config{}}, payload: make([]byte, 21)}
	rec := func(ts int64) []byte { return append(slices.Clone(w.stamp(ts)), 0x1e) }
	c := &conn{dead: true} // nothing is answered
	one, two := rec(1), append(rec(3), rec(2)...)
	for _, m := range [][]byte{one, two} {
		if err := w.message(c, m, false, true); err != nil {
			t.Fatal(err)
		}
	}
	if w.disorder != 1 || w.got != 3 || w.msgs != 2 || w.maxMessage != 44 || w.maxJoined != 44 {
		t.Errorf("%+v", w)
	}
	if err := w.message(c, []byte("{\"type\":7}\x1e"), false, true); err == nil {
		t.Error("a close message is no error")
	}
}

// serverFrame is a frame as a server sends it.
func serverFrame(op byte, fin bool, p []byte) []byte {
	b := []byte{op}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(p); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, p...)
}

func TestFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65_535, 65_536} {
		p := bytes.Repeat([]byte("p"), n)
		b := append(serverFrame(opText, true, p), "rest"...)
		op, fin, got, used, err := frame(b)
		if err != nil || op != opText || !fin || !bytes.Equal(got, p) || string(b[used:]) != "rest" {
			t.Errorf("%d bytes: %v %v %d %v", n, op, fin, used, err)
		}
		for _, cut := range []int{0, 1, used / 2, used - 1} {
			if _, _, _, k, err := frame(b[:cut]); k != 0 || err != nil {
				t.Errorf("%d bytes cut to %d: %d, %v", n, cut, k, err)
			}
		}
		// Our own frames are masked: with the mask off they are the server's.
		own := appendFrame(nil, opBin, p)
		head := len(own) - n
		key := own[head-4 : head]
		for i := range own[head:] {
			own[head+i] ^= key[i&3]
		}
		if !bytes.Equal(own[head:], p) || own[1]&0x80 == 0 {
			t.Errorf("%d bytes: the mask is wrong", n)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(serverFrame(opText, true, []byte("hello")))
	f.Add(serverFrame(opCont, false, bytes.Repeat([]byte("x"), 300)))
	f.Add([]byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0x81, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		op, fin, p, n, err := frame(b)
		if n < 0 || n > len(b) || len(p) > n || err != nil && n != 0 {
			t.Fatalf("%d of %d bytes, payload %d, %v", n, len(b), len(p), err)
		}
		if n == 0 {
			return
		}
		again := serverFrame(op, fin, p)
		if op2, fin2, p2, n2, err := frame(again); op2 != op || fin2 != fin || !bytes.Equal(p, p2) || n2 != len(again) || err != nil {
			t.Fatalf("%x is read again as %x %v", b[:n], again, err)
		}
	})
}
