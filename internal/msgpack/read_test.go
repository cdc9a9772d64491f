package msgpack_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/internal/msgpack"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAppend has the number spectrum of vector M19 and the forms on both sides
// of every border.
func TestAppend(t *testing.T) {
	var got []byte
	for _, n := range []int64{0, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<53 - 1, -1, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1} {
		got = msgpack.AppendInt(got, n)
	}
	got = msgpack.AppendFloat64(got, 1.5)
	got = msgpack.AppendFloat64(got, -0.25)
	got = msgpack.AppendBool(got, true)
	got = msgpack.AppendBool(got, false)
	got = msgpack.AppendNil(got)
	want := unhex(t, "007fcc80ccffcd0100cdffffce00010000ceffffffffcf0000000100000000cf001fffffffffffffffe0d0dfd080d1ff7fd18000d2ffff7fffd280000000d3ffffffff7fffffffcb3ff8000000000000cbbfd0000000000000c3c2c0")
	if !bytes.Equal(got, want) {
		t.Errorf("numbers:\n got %x\nwant %x", got, want)
	}
	for n, want := range map[int]string{0: "a0", 31: "bf", 32: "d920", 255: "d9ff", 256: "da0100", 65535: "daffff", 65536: "db00010000"} {
		s := strings.Repeat("a", n)
		if got := msgpack.AppendString(nil, s); !bytes.Equal(got, append(unhex(t, want), s...)) {
			t.Errorf("string of %d: begins with %x", n, got[:min(5, len(got))])
		}
		if got := msgpack.AppendStringBytes(nil, []byte(s)); !bytes.Equal(got, append(unhex(t, want), s...)) {
			t.Errorf("string of %d bytes: begins with %x", n, got[:min(5, len(got))])
		}
	}
	for n, want := range map[int]string{0: "c400", 255: "c4ff", 256: "c50100", 65535: "c5ffff", 65536: "c600010000"} {
		b := make([]byte, n)
		if got := msgpack.AppendBytes(nil, b); !bytes.Equal(got, append(unhex(t, want), b...)) {
			t.Errorf("%d bytes: begin with %x", n, got[:min(5, len(got))])
		}
	}
	for n, want := range map[int][2]string{0: {"90", "80"}, 15: {"9f", "8f"}, 16: {"dc0010", "de0010"}, 65535: {"dcffff", "deffff"}, 65536: {"dd00010000", "df00010000"}} {
		if got := hex.EncodeToString(msgpack.AppendArrayHeader(nil, n)); got != want[0] {
			t.Errorf("array of %d: %s", n, got)
		}
		if got := hex.EncodeToString(msgpack.AppendMapHeader(nil, n)); got != want[1] {
			t.Errorf("map of %d: %s", n, got)
		}
	}
	for text, want := range map[string]string{
		"2000-01-01T00:00:00Z": "d6ff386d4380", "2002-04-01T10:20:15Z": "d6ff3ca8345f", "2002-04-01T12:20:15+02:00": "d6ff3ca8345f",
		"2002-04-01T10:20:15.123Z": "d7ff1d5353003ca8345f", "2002-04-01T10:20:15.0000001Z": "d7ff000001903ca8345f",
		"2106-02-07T06:28:15Z": "d6ffffffffff", "2106-02-07T06:28:16Z": "d7ff0000000100000000",
		"2514-05-30T01:53:03Z": "d7ff00000003ffffffff", "2514-05-30T01:53:04Z": "c70cff000000000000000400000000",
		"1969-12-31T23:59:59Z": "c70cff00000000ffffffffffffffff", "0001-01-01T00:00:00Z": "c70cff00000000fffffff1886e0900",
		"9999-12-31T23:59:59.9999999Z": "c70cff3b9ac99c0000003afff4417f",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(msgpack.AppendTime(nil, at)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestReader(t *testing.T) {
	// M5: Invocation with a stream.
	var r msgpack.Reader
	r.Reset(unhex(t, "960180a133af53747265616d696e67436f6e6361749091a132"))
	if n, err := r.ReadArrayHeader(); n != 6 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := r.ReadInt32(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := r.ReadMapHeader(); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if r.ReadNil() {
		t.Fatal("a string is no nil")
	}
	if s, err := r.ReadString(); string(s) != "3" || err != nil {
		t.Fatal(s, err)
	}
	if s, err := r.ReadString(); string(s) != "StreamingConcat" || err != nil {
		t.Fatal(s, err)
	}
	if raw, err := r.ReadRaw(); !bytes.Equal(raw, []byte{0x90}) || err != nil {
		t.Fatal(raw, err)
	}
	if r.Kind() != msgpack.Array {
		t.Fatal(r.Kind())
	}
	if err := r.Skip(); err != nil || len(r.Rest()) != 0 || r.Kind() != msgpack.Invalid {
		t.Fatal(err, r.Rest())
	}
	if err := r.Skip(); err != msgpack.ErrShort {
		t.Fatal(err)
	}
	if r.ReadNil() {
		t.Fatal("nil at the end")
	}
}

func TestReaderWrongKind(t *testing.T) {
	for _, c := range []struct {
		hex  string
		read func(*msgpack.Reader) error
		want string
	}{
		{"81a0c0", arrayHeader, "msgpack: code 129 (fixmap) instead of array"},
		{"06", arrayHeader, "msgpack: code 6 (positive fixint) instead of array"},
		{"90", mapHeader, "msgpack: code 144 (fixarray) instead of map"},
		{"c0", mapHeader, "msgpack: code 192 (nil) instead of map"},
		{"c40161", str, "msgpack: code 196 (bin 8) instead of string"},
		{"a161", bin, "msgpack: code 161 (fixstr) instead of bytes"},
		{"cb3ff0000000000000", int32s, "msgpack: code 203 (float 64) instead of int"},
		{"ff", boolean, "msgpack: code 255 (negative fixint) instead of bool"},
		{"c1", int32s, "msgpack: code 193 ((never used)) instead of a value"},
		{"ce80000000", int32s, msgpack.ErrRange.Error()},
		{"cf8000000000000000", int64s, msgpack.ErrRange.Error()},
		{"", int32s, msgpack.ErrShort.Error()},
		{"cd01", int32s, msgpack.ErrShort.Error()},
		{"a261", str, msgpack.ErrShort.Error()},
		{"dbffffffff61", str, msgpack.ErrShort.Error()},
		{"c6ffffffff61", bin, msgpack.ErrShort.Error()},
		{"ddffffffff01", arrayHeader, msgpack.ErrShort.Error()},
		{"dfffffffff0102", mapHeader, msgpack.ErrShort.Error()},
		{"820102", mapHeader, msgpack.ErrShort.Error()},
		{"9101", func(r *msgpack.Reader) error { return r.Skip() }, ""},
		{"92cd01", func(r *msgpack.Reader) error { return r.Skip() }, msgpack.ErrShort.Error()},
	} {
		var r msgpack.Reader
		src := unhex(t, c.hex)
		r.Reset(src)
		err := c.read(&r)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.hex, err)
			}
			continue
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.hex, err, c.want)
		}
		if len(r.Rest()) != len(src) {
			t.Errorf("%s: the reader moved", c.hex)
		}
	}
}

func arrayHeader(r *msgpack.Reader) error { _, err := r.ReadArrayHeader(); return err }
func mapHeader(r *msgpack.Reader) error   { _, err := r.ReadMapHeader(); return err }
func str(r *msgpack.Reader) error         { _, err := r.ReadString(); return err }
func bin(r *msgpack.Reader) error         { _, err := r.ReadBytes(); return err }
func int32s(r *msgpack.Reader) error      { _, err := r.ReadInt32(); return err }
func int64s(r *msgpack.Reader) error      { _, err := r.ReadInt64(); return err }
func boolean(r *msgpack.Reader) error     { _, err := r.ReadBool(); return err }

func TestReadEach(t *testing.T) {
	var r msgpack.Reader
	src := unhex(t, "c3 d6ff3ca8345f c40201ff ca3fc00000 81c0c0 91c0 d9016105 e0 d40501")
	r.Reset(src)
	want := []msgpack.Kind{msgpack.Bool, msgpack.Ext, msgpack.Bytes, msgpack.Float, msgpack.Map, msgpack.Array, msgpack.String, msgpack.Int, msgpack.Int, msgpack.Ext, msgpack.Invalid}
	var kinds []msgpack.Kind
	for {
		kind := r.Kind()
		if kinds = append(kinds, kind); kind == msgpack.Invalid {
			break
		}
		if err := r.Skip(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(kinds, want) {
		t.Error(kinds)
	}
	r.Reset(src)
	if b, err := r.ReadBool(); !b || err != nil {
		t.Error(b, err)
	}
	if at, err := r.ReadTime(); !at.Equal(noon) || err != nil {
		t.Error(at, err)
	}
	if b, err := r.ReadBytes(); string(b) != "\x01\xff" || err != nil {
		t.Error(b, err)
	}
	if _, err := r.ReadTime(); err == nil || len(r.Rest()) != 18 {
		t.Error(err, len(r.Rest()))
	}
}

func TestReadIntWidths(t *testing.T) {
	for h, want := range map[string]int64{
		"05": 5, "cc05": 5, "cd0005": 5, "ce00000005": 5, "cf0000000000000005": 5, "d005": 5, "d10005": 5, "d200000005": 5, "d30000000000000005": 5,
		"ff": -1, "d0ff": -1, "d1ffff": -1, "d2ffffffff": -1, "d3ffffffffffffffff": -1, "e0": -32, "d38000000000000000": math.MinInt64, "cf7fffffffffffffff": math.MaxInt64,
	} {
		var r msgpack.Reader
		r.Reset(unhex(t, h))
		if n, err := r.ReadInt64(); n != want || err != nil || len(r.Rest()) != 0 {
			t.Errorf("%s: %d, %v", h, n, err)
		}
	}
}

func TestDepth(t *testing.T) {
	for _, open := range [][]byte{{0x91}, {0x81, 0xC0}, {0xDC, 0, 1}, {0xDF, 0, 0, 0, 1, 0xA0}} {
		for n, want := range map[int]error{msgpack.DefaultDepth: nil, msgpack.DefaultDepth + 1: msgpack.ErrDepth, 1_000_000: msgpack.ErrDepth} {
			var r msgpack.Reader
			r.Reset(append(bytes.Repeat(open, n), 0xC0))
			if err := r.Skip(); err != want {
				t.Errorf("%d levels of %x: %v", n, open, err)
			}
		}
	}
}

func TestLength(t *testing.T) {
	for n, want := range map[int]string{
		0: "00", 127: "7f", 128: "8001", 16383: "ff7f", 16384: "808001", 32768: "808002", 2097151: "ffff7f", 2097152: "80808001",
		268435455: "ffffff7f", 268435456: "8080808001", 2147483647: "ffffffff07",
	} {
		b := msgpack.AppendLength(nil, n)
		if hex.EncodeToString(b) != want {
			t.Errorf("%d: %x, want %s", n, b, want)
		}
		if got, size, err := msgpack.ReadLength(append(b, 0xFF)); got != n || size != len(b) || err != nil {
			t.Errorf("%x: %d, %d, %v", b, got, size, err)
		}
		for cut := range b {
			if _, size, err := msgpack.ReadLength(b[:cut]); size != 0 || err != nil {
				t.Errorf("%x cut at %d: %d, %v", b, cut, size, err)
			}
		}
	}
	for h, want := range map[string]int{"8000": 0, "85808000": 5, "8580808000": 5, "ff8000": 127} {
		b := unhex(t, h)
		if n, size, err := msgpack.ReadLength(b); n != want || size != len(b) || err != nil {
			t.Errorf("%s: %d, %d, %v", h, n, size, err)
		}
	}
	for _, h := range []string{"ffffffff08", "ffffffff0f", "8080808080", "948080808000", "ffffffffff"} {
		b := unhex(t, h)
		_, _, err := msgpack.ReadLength(b)
		if h == "948080808000" && err == nil || h != "948080808000" && !errors.Is(err, msgpack.ErrLength) {
			t.Errorf("%s: %v", h, err)
		}
	}
	for _, n := range []int{0, 1, 127, 128, 20000} {
		body := bytes.Repeat([]byte{7}, n)
		got := msgpack.InsertLength(append([]byte("before"), body...), 6)
		want := append(msgpack.AppendLength([]byte("before"), n), body...)
		if !bytes.Equal(got, want) {
			t.Errorf("insert %d: %x", n, got[:min(20, len(got))])
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"hi": "hi", "é中😀": "é中😀", "": "", "\xff": "\uFFFD", "\xff\xfe": "\uFFFD\uFFFD", "\xc3(": "\uFFFD(",
		"\xe2\x82": "\uFFFD", "a\xe2\x82b": "a\uFFFDb", "\xe2\x28\xa1": "\uFFFD(\uFFFD", "\xf0\x9f\x98": "\uFFFD",
		"\xed\xa0\x80": "\uFFFD\uFFFD\uFFFD", "\xc0\xaf": "\uFFFD\uFFFD", "\xf4\x90\x80\x80": "\uFFFD\uFFFD\uFFFD\uFFFD", "\xf0\x80": "\uFFFD\uFFFD",
		"x\x80y": "x\uFFFDy",
	} {
		if got := msgpack.Text([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := msgpack.Text(msgpack.AppendString(nil, in)[1:]); got != want {
			t.Errorf("%q written: %q, want %q", in, got, want)
		}
	}
}

// seeds are messages that are whole, cut and wrong: of every code, with claims
// of 4 Gi elements, timestamps with bad nanoseconds, keys that cannot be keys.
func seeds(t testing.TB) [][]byte {
	var all [][]byte
	for c := range 256 {
		all = append(all, []byte{byte(c)}, append([]byte{byte(c)}, make([]byte, 20)...), append([]byte{byte(c)}, bytes.Repeat([]byte{0xFF}, 9)...))
	}
	for _, h := range []string{
		"960180c0a45465737494a178 2a c0 c3 90", "82a44e616d65a3416461a341676524", "82a16101a16102", "81c001", "810101",
		"d6ff3ca8345f", "d7ff1d5353003ca8345f", "d7fffffffffc00000000", "d7ffee6b280000000000", "c70cff3b9aca0000000000 00000000",
		"c70cffffffffffffffffffffffffff", "c70cff00000000 8000000000000000", "c705ff0102030405", "d40501", "d4ff01", "92d6ff3ca8345f78", "92d6ff3ca8345fcd1388",
		"81cb7ff800000000000001", "82cb7ff800000000000001cb7ff800000000000002", "8190c0", "8180c0", "81c4016101", "81d6ff3ca8345f01", "81d4050101",
		"ca7fc00001", "cb7ff0000000000000", "ca3fc00000", "a1ff", "a3e28261", "ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff05",
		"c4020102", "9301020a", "9201cd0100", "9201ff", "d92430303031303230332d303430352d303630372d303730362d303530343033303230313030",
	} {
		all = append(all, unhex(t, h))
	}
	for _, open := range []byte{0x91, 0x81} {
		all = append(all, bytes.Repeat([]byte{open}, 600), append(bytes.Repeat([]byte{open}, 500), 0xC0))
	}
	return all
}

// slowSkip is what Skip must do, written for certainty alone: it returns what
// follows the first value, and how deep that is nested.
func slowSkip(b []byte) (rest []byte, depth int, ok bool) {
	if len(b) == 0 {
		return nil, 0, false
	}
	c, b := b[0], b[1:]
	number := func(size int) (n int) {
		if ok = len(b) >= size; !ok {
			return 0
		}
		n = int(min(binary.BigEndian.Uint64(append(make([]byte, 8-size), b[:size]...)), 1<<29)) // more than any test has
		b = b[size:]
		return n
	}
	bytesOf := func(n int) ([]byte, int, bool) {
		if n < 0 || n > len(b) {
			return nil, 0, false
		}
		return b[n:], 0, true
	}
	values := func(n int) ([]byte, int, bool) {
		most := 0
		for range n {
			var d int
			if b, d, ok = slowSkip(b); !ok {
				return nil, 0, false
			}
			most = max(most, d)
		}
		return b, most + 1, true
	}
	sized := func(size int, then func(int) ([]byte, int, bool), extra, times int) ([]byte, int, bool) {
		n := number(size)
		if !ok {
			return nil, 0, false
		}
		return then(n*times + extra)
	}
	switch {
	case c <= 0x7F || c >= 0xE0 || c == 0xC0 || c == 0xC2 || c == 0xC3:
		return b, 0, true
	case c <= 0x8F:
		return values(2 * int(c-0x80))
	case c <= 0x9F:
		return values(int(c - 0x90))
	case c <= 0xBF:
		return bytesOf(int(c - 0xA0))
	case c == 0xC1:
		return nil, 0, false
	case c <= 0xC6:
		return sized(1<<(c-0xC4), bytesOf, 0, 1)
	case c <= 0xC9:
		return sized(1<<(c-0xC7), bytesOf, 1, 1)
	case c <= 0xCB:
		return bytesOf(4 << (c - 0xCA))
	case c <= 0xCF:
		return bytesOf(1 << (c - 0xCC))
	case c <= 0xD3:
		return bytesOf(1 << (c - 0xD0))
	case c <= 0xD8:
		return bytesOf(1 + 1<<(c-0xD4))
	case c <= 0xDB:
		return sized(1<<(c-0xD9), bytesOf, 0, 1)
	case c <= 0xDD:
		return sized(2<<(c-0xDC), values, 0, 1)
	}
	return sized(2<<(c-0xDE), values, 0, 2)
}

func checkSkip(t *testing.T, b []byte) {
	t.Helper()
	rest, depth, ok := slowSkip(b)
	var r msgpack.Reader
	r.Reset(b)
	err := r.Skip()
	switch {
	case ok && depth <= msgpack.DefaultDepth:
		if err != nil || !bytes.Equal(r.Rest(), rest) {
			t.Fatalf("%x: %v, rest %x, want %x", b, err, r.Rest(), rest)
		}
	case err == nil:
		t.Fatalf("%x: accepted", b)
	case ok && err != msgpack.ErrDepth:
		t.Fatalf("%x: %v", b, err)
	}
}

func TestSkip(t *testing.T) {
	for _, b := range seeds(t) {
		checkSkip(t, b)
		checkSkip(t, slices.Concat([]byte{0x93}, b, b, b))
		for cut := range min(len(b), 30) {
			checkSkip(t, b[:cut])
		}
	}
}

func FuzzMsgpackSkip(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1<<16 {
			checkSkip(t, b)
		}
	})
}

func BenchmarkReadEnvelope(b *testing.B) {
	msg := unhex(b, "960180c0ab53656e644d65737361676592a767656e6572616cbd68656c6c6f20776f726c642c20746869732069732061206d65737361676590")
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		var r msgpack.Reader
		r.Reset(msg)
		n, _ := r.ReadArrayHeader()
		kind, _ := r.ReadInt32()
		h, _ := r.ReadMapHeader()
		none := r.ReadNil()
		target, _ := r.ReadString()
		args, _ := r.ReadArrayHeader()
		for range args {
			if _, err := r.ReadRaw(); err != nil {
				b.Fatal(err)
			}
		}
		err := r.Skip()
		if n != 6 || kind != 1 || h != 0 || !none || len(target) != 11 || err != nil {
			b.Fatal(n, kind, h, none, target, err)
		}
	}
}
