package nats

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/hubwire/hubwire"
)

var frames = []frame{
	{kind: frameEvent, by: stamp{1764066000000, 7}, seq: 300, prev: 2, sender: 9, nonce: 1 << 40, body: []byte("m")},
	{kind: frameEvent, seq: 1},
	{kind: frameDirect, body: []byte("m")},
	{kind: frameAsk, body: []byte("m")},
	{kind: frameAsk},
	{kind: frameGot},
	{kind: frameRequest, by: stamp{1, 1 << 63}, sender: 2, nonce: 3, before: 2, ack: true, token: "g.nroom", body: []byte("m")},
	{kind: frameRequest, by: stamp{1, 1}, sender: 2, nonce: 3, ack: true},
	{kind: frameAck, by: stamp{1, 2}, nonce: 3},
	{kind: frameRefuse, by: stamp{1, 2}, nonce: 3},
	{kind: frameMark, nonce: 3},
	{kind: frameElect, what: electResign, by: stamp{1, 2}, to: 3},
}

func TestFrames(t *testing.T) {
	for _, want := range frames {
		b := want.append([]byte("x"))[1:]
		if len(b) > headRoom+len(want.token)+len(want.body) {
			t.Errorf("%+v: %d bytes of head", want, len(b))
		}
		var got frame
		if err := got.parse(b); err != nil {
			t.Errorf("%+v: %v", want, err)
			continue
		}
		if len(got.body) == 0 {
			got.body = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for n := range len(b) - len(want.body) {
			if err := got.parse(b[:n]); err == nil && want.kind != frameAsk {
				t.Errorf("%+v: %d of %d bytes are taken", want, n, len(b))
			}
		}
	}
	var f frame
	for _, bad := range []string{"", "\x00", "\x21", "\x16\x01x", "\x17\x06\x01........" + "........", "\x11\x01........\x00\x00........\x00"} {
		if err := f.parse([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, x := range frames {
		f.Add(x.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var x, y frame
		if x.parse(b) != nil {
			return
		}
		again := x.append(nil)
		if err := y.parse(again); err != nil || !bytes.Equal(y.append(nil), again) {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
	})
}

func TestNameTokens(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"", "a", "A", "na", "b", "a.b", "a b", ">", "*", "ä", "\x00", "-", "_", strings.Repeat("x", 128), strings.Repeat("x", 129), strings.Repeat("x", 1024), strings.Repeat("x", 1025), strings.Repeat("x", 5000), "YQ", "nYQ", "bYQ"} {
		got := nameToken(name)
		if got == "" || strings.ContainsAny(got, ".*> \t\r\n\x00") || len(got) > 1500 {
			t.Errorf("%.20q: %q is no token", name, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%.20q and %.20q are both %q", name, other, got)
		}
		seen[got] = name
	}
	if _, ok := token(hubwire.Address{Kind: 99}); ok {
		t.Error("an address of no kind")
	}
}
