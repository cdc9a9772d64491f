package signalr_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/signalr"
)

// However the bytes are cut, the same messages come out of them, and the
// parsers neither panic nor read beyond a message.
func fuzzMessages(f *testing.F, protocol string) {
	f.Fuzz(func(t *testing.T, b []byte) {
		list, rest, err := signalr.Records(protocol, b)
		again, left, err2 := signalr.Records(protocol, b[:len(b)-len(rest)])
		if err == nil {
			if err2 != nil || len(left) > 0 || strings.Join(list, "\n") != strings.Join(again, "\n") {
				t.Fatalf("%q and %q, %v", list, again, err2)
			}
		}
	})
}

func FuzzJSONMessages(f *testing.F) {
	for _, r := range jsonReads {
		f.Add(sep(r.record))
	}
	for _, s := range []string{
		strings.Repeat("[", 10_000) + "␞", `{"a":` + strings.Repeat(`{"a":`, 10_000) + "␞", `{"type":1e400}␞`, `{"type":-0}␞`,
		`{"type":1,"target":"\ud800","arguments":["\udc00"]}␞`, "{\"type\":1,\"target\":\"\u2028\x00\",\"arguments\":[]}␞",
		`{"type":255}␞`, "␞␞", `{"type":1,"target":"__proto__","arguments":[9223372036854775808,0x10,01]}␞`,
		`{"type":3,"invocationId":"x","result":1,"error":"e"}␞`, `{"type":1,"headers":{"traceparent":1}}␞`,
	} {
		f.Add(sep(s))
	}
	fuzzMessages(f, "json")
}

func FuzzMsgpackMessages(f *testing.F) {
	for _, r := range msgpackReads {
		f.Add(unhex(r.hex))
	}
	for _, s := range []string{
		"808080808001", "ffffffff0f", "00", "06ddffffffff", "06dfffffffff", "06dbffffffff", "07c9ffffffff01", "0b960180c0a14191" + strings.Repeat("91", 4),
		"0291ff", "0991cb7ff8000000000001", "0a93ca7fc0000180a131", "0c950180a131a14191c70cff", "0b960181c0a161a131a1419090", "02c1c1",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	deep := append([]byte{0xE8, 0x07, 0x96, 1, 0x80, 0xC0, 0xA1, 'A', 0x91}, []byte(strings.Repeat("\x91", 1000))...)
	f.Add(deep)
	fuzzMessages(f, "messagepack")
}
