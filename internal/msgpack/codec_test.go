package msgpack_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

var _ wire.Codec = msgpack.Codec{}

var codec msgpack.Codec

type person struct {
	Name string
	Age  int
	Tags []string
	Nick *string
}

type base struct {
	A int
	B string `msgpack:"b"`
}

type tree struct {
	base
	*Other
	Name   string `json:"name" msgpack:"n,omitempty"`
	Skip   int    `msgpack:"-"`
	Next   *tree  `msgpack:",omitempty"`
	Kids   []tree `msgpack:",omitempty"`
	ByName map[string]*tree
	When   time.Time `msgpack:",omitzero"`
	Any    any
	hidden int
}

type Other struct{ X, Y int }

type (
	loop    *loop
	hidden  struct{ a, b int }
	text    string
	number  int
	bytes2  []byte
	own     struct{ n int }
	ownPtr  struct{ n int }
	bad     string
	letter  byte
	panics  struct{}
	pointer struct{ P *pointer }
)

func (l letter) MarshalText() ([]byte, error) {
	if l == 0 {
		return nil, errors.New("no letter")
	}
	return []byte{byte(l)}, nil
}
func (t text) MarshalText() ([]byte, error) { return []byte("<" + t + ">"), nil }
func (t *text) UnmarshalText(src []byte) error {
	*t = text(strings.Trim(string(src), "<>"))
	return nil
}
func (o own) AppendMsgpack(dst []byte) ([]byte, error) {
	return msgpack.AppendInt(dst, int64(o.n)), nil
}
func (o *own) DecodeMsgpack(src []byte) error {
	var r msgpack.Reader
	r.Reset(src)
	if r.ReadNil() {
		o.n = -1
		return nil
	}
	n, err := r.ReadInt64()
	o.n = int(n)
	return err
}
func (o *ownPtr) AppendMsgpack(dst []byte) ([]byte, error) {
	return msgpack.AppendString(dst, fmt.Sprint(o.n)), nil
}
func (b bad) AppendMsgpack(dst []byte) ([]byte, error) {
	raw, err := hex.DecodeString(string(b))
	return append(dst, raw...), err
}
func (panics) AppendMsgpack(dst []byte) ([]byte, error) { panic("no") }
func (*panics) DecodeMsgpack([]byte) error              { panic("no") }
func ptr[T any](v T) *T                                 { return &v }

var noon = time.Date(2002, 4, 1, 10, 20, 15, 0, time.UTC)

// TestCodec has pairs of values and bytes that hold in both directions; among
// them those of the recordings of ASP.NET Core and of its protocol classes.
func TestCodec(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{true, "c3"}, {false, "c2"}, {0, "00"}, {int64(1), "01"}, {128, "cc80"}, {256, "cd0100"}, {32767, "cd7fff"}, {32768, "cd8000"}, {65535, "cdffff"}, {65536, "ce00010000"},
		{int32(2147483647), "ce7fffffff"}, {int64(4294967295), "ceffffffff"}, {int64(math.MaxInt64), "cf7fffffffffffffff"}, {-1, "ff"}, {-32, "e0"}, {-33, "d0df"}, {-128, "d080"}, {-129, "d1ff7f"},
		{int64(-2147483648), "d280000000"}, {int64(-2147483649), "d3ffffffff7fffffff"}, {int64(math.MinInt64), "d38000000000000000"}, {uint64(math.MaxUint64), "cfffffffffffffffff"},
		{int8(-1), "ff"}, {uint8(200), "ccc8"}, {int16(-200), "d1ff38"}, {uint16(60000), "cdea60"}, {uint(7), "07"}, {uint32(5), "05"}, {number(5), "05"},
		{0.0, "cb0000000000000000"}, {100.0, "cb4059000000000000"}, {1.5, "cb3ff8000000000000"}, {math.Inf(1), "cb7ff0000000000000"}, {5e-324, "cb0000000000000001"}, {float32(0.1), "ca3dcccccd"},
		{"", "a0"}, {"hi", "a26869"}, {"é中😀", "a9c3a9e4b8adf09f9880"}, {strings.Repeat("a", 32), "d920" + strings.Repeat("61", 32)}, {"\"\\/\b", "a4225c2f08"},
		{[]byte{1, 2, 3}, "c403010203"}, {[]byte{}, "c400"}, {[]byte(nil), "c0"}, {bytes2{1}, "c40101"}, {[2]byte{1, 2}, "c4020102"}, {[]int8{1, -1}, "9201ff"}, {[0]byte{}, "c400"},
		{noon, "d6ff3ca8345f"}, {noon.Add(123 * time.Millisecond), "d7ff1d5353003ca8345f"}, {time.Unix(-1, 0).UTC(), "c70cff00000000ffffffffffffffff"}, {time.Time{}, "c70cff00000000fffffff1886e0900"},
		{ptr("a"), "a161"}, {(*string)(nil), "c0"}, {ptr(5), "05"}, {ptr(true), "c3"}, {ptr(ptr(int32(5))), "05"}, {ptr(1.5), "cb3ff8000000000000"}, {(*int)(nil), "c0"}, {ptr(int64(1)), "01"},
		{[]int{1, 2, 3}, "93010203"}, {[]int{}, "90"}, {[]int(nil), "c0"}, {[]*string{ptr("a"), nil}, "92a161c0"}, {[2][]int{{1}, {}}, "92910190"}, {[]any{int64(1), "a", nil, true, 1.5, []any{int64(1)}}, "9601a161c0c3cb3ff80000000000009101"},
		{map[string]int{"B": 1, "a b": 2}, "82a14201a361206202"}, {map[string]int{"b": 1, "a": 2, "aa": 3}, "83a16102a2616103a16201"}, {map[string]int{}, "80"}, {map[string]int(nil), "c0"}, {map[int]string{1: "a"}, "8101a161"}, {map[uint16]bool{300: true, 2: false}, "8202c2cd012cc3"},
		{map[string]any{"A": int64(1), "b": nil, "c": []any{"x"}}, "83a14101a162c0a16391a178"}, {map[text]int{"k": 1}, "81a33c6b3e01"}, {map[any]any{int64(1): "a", true: nil}, "8201a161c3c0"},
		{person{"Ada", 36, []string{"x", "y"}, ptr("A")}, "84a44e616d65a3416461a341676524a45461677392a178a179a44e69636ba141"},
		{person{Tags: []string{}}, "84a44e616d65a0a341676500a45461677390a44e69636bc0"}, {[]person{}, "90"}, {[]*person{nil}, "91c0"}, {(*person)(nil), "c0"},
		{tree{}, "84a14100a162a0a642794e616d65c0a3416e79c0"}, {tree{Other: &Other{1, 2}, Name: "x", base: base{5, "y"}}, "87a14105a162a179a15801a15902a16ea178a642794e616d65c0a3416e79c0"},
		{struct{}{}, "80"}, {text("t"), "a33c743e"}, {own{300}, "cd012c"}, {[]own{{1}, {2}}, "920102"}, {map[string]own{"a": {5}}, "81a16105"}, {netip.MustParseAddr("10.0.0.1"), "a831302e302e302e31"}, {big.NewInt(5), "a135"},
		{pointer{&pointer{}}, "81a15081a150c0"},
	} {
		got, err := codec.Append([]byte("before"), c.v)
		if err != nil || "before"+string(unhex(t, c.want)) != string(got) {
			t.Errorf("%T %v: %x, %v, want %s", c.v, c.v, strings.TrimPrefix(string(got), "before"), err, c.want)
			continue
		}
		p := reflect.New(reflect.TypeOf(c.v))
		src := unhex(t, c.want)
		if err := codec.Decode(src, p.Interface()); err != nil {
			t.Errorf("%T %v back from %s: %v", c.v, c.v, c.want, err)
			continue
		}
		clear(src) // nothing that was decoded may look at it
		if !reflect.DeepEqual(p.Elem().Interface(), c.v) {
			t.Errorf("%s: %#v, want %#v", c.want, p.Elem().Interface(), c.v)
		}
	}
}

// TestDecode has what is only read; a want that is nil is an error.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want any
		into any // only where want does not say it
	}{
		{hex: "d0 05", want: 5}, {hex: "cc05", want: 5}, {hex: "cf0000000000000005", want: 5}, {hex: "d30000000000000005", want: int32(5)}, {hex: "ce80000000", into: int32(0)}, {hex: "ce80000000", want: int64(1 << 31)},
		{hex: "cf8000000000000000", into: int64(0)}, {hex: "ff", into: uint8(0)}, {hex: "cd0100", into: uint8(0)}, {hex: "ff", into: uint64(0)}, {hex: "cc80", into: int8(0)}, {hex: "d0ff", want: int8(-1)}, {hex: "ff", into: number(0), want: number(-1)},
		{hex: "cb4014000000000000", into: 0}, {hex: "ca40a00000", into: 0}, {hex: "cb3ff8000000000000", into: 0}, {hex: "a135", into: 0}, {hex: "c0", into: 0}, {hex: "c3", into: 0}, {hex: "c0", into: number(0)},
		{hex: "05", want: 5.0}, {hex: "ff", want: -1.0}, {hex: "ca3fc00000", want: 1.5}, {hex: "cfffffffffffffffff", want: 18446744073709551615.0}, {hex: "a3312e35", into: 0.0}, {hex: "c0", into: 0.0}, {hex: "cb3ff8000000000000", want: float32(1.5)}, {hex: "05", want: float32(5)},
		{hex: "01", into: true}, {hex: "c0", into: true}, {hex: "a474727565", into: true},
		{hex: "d90161", want: "a"}, {hex: "da000161", want: "a"}, {hex: "db0000000161", want: "a"}, {hex: "c40161", into: ""}, {hex: "a1ff", want: "\uFFFD"}, {hex: "a2c328", want: "\uFFFD("}, {hex: "c0", want: ""}, {hex: "05", into: ""}, {hex: "c3", into: ""}, {hex: "80", into: ""}, {hex: "91a161", into: ""},
		{hex: "a3616263", want: []byte("abc")}, {hex: "93010203", want: []byte{1, 2, 3}}, {hex: "90", want: []byte{}}, {hex: "92ccff00", want: []byte{255, 0}}, {hex: "9201cd0100", into: []byte{}}, {hex: "9201ff", into: []byte{}}, {hex: "9201cb3ff0000000000000", into: []byte{}}, {hex: "05", into: []byte{}},
		{hex: "920102", want: [2]byte{1, 2}}, {hex: "c40101", into: [2]byte{}}, {hex: "c0", into: [2]byte{}}, {hex: "a26162", want: [2]byte{'a', 'b'}},
		{hex: "9101", into: [2]int{}}, {hex: "93010203", into: [2]int{}}, {hex: "c0", into: [2]int{}}, {hex: "80", into: []int{}}, {hex: "91c0", into: []int{}}, {hex: "92a161c0", want: []string{"a", ""}},
		{hex: "d7ffee6b280000000000", into: time.Time{}}, {hex: "d7fffffffffc00000000", into: time.Time{}}, {hex: "c70cff3b9aca000000000000000000", into: time.Time{}}, {hex: "c70cff000000007fffffffffffffff", into: time.Time{}}, {hex: "c70cff000000008000000000000000", into: time.Time{}},
		{hex: "d7ff000000003ca8345f", want: noon}, {hex: "c70cff00000000000000003ca8345f", want: noon}, {hex: "c704ff3ca8345f", want: noon}, {hex: "d4ff00", into: time.Time{}}, {hex: "d6053ca8345f", into: time.Time{}}, {hex: "c0", into: time.Time{}}, {hex: "a161", into: time.Time{}}, {hex: "05", into: time.Time{}},
		{hex: "82a46e616d65a3416461a361676524", want: person{}}, {hex: "81a44e616d65a3416461", want: person{Name: "Ada"}}, {hex: "80", want: person{}}, {hex: "83a5457874726181a1619101a44e616d65a3416461a341676501", want: person{Name: "Ada", Age: 1}},
		{hex: "82a44e616d65a161a44e616d65a162", want: person{Name: "b"}}, {hex: "82a45461677392a178a179a45461677391a17a", want: person{Tags: []string{"z"}}}, {hex: "81a44e616d6501", into: person{}}, {hex: "81a3416765a23336", into: person{}}, {hex: "81a3416765c0", into: person{}}, {hex: "81a44e616d65c0", want: person{}},
		{hex: "81a45461677392a178c0", want: person{Tags: []string{"x", ""}}}, {hex: "81a454616773a178", into: person{}}, {hex: "8201a178a44e616d65a3416461", into: person{}}, {hex: "81c4044e616d65a161", into: person{}}, {hex: "81c0a161", into: person{}},
		{hex: "94a34164612490c0", into: person{}}, {hex: "c0", into: person{}}, {hex: "a3416461", into: person{}}, {hex: "c0", want: (*person)(nil)}, {hex: "91c0", into: []person{}},
		{hex: "82a16101a16102", into: map[string]int{}}, {hex: "81a161a131", into: map[string]int{}}, {hex: "810101", into: map[string]int{}}, {hex: "81c001", into: map[string]int{}}, {hex: "81a161c0", into: map[string]int{}}, {hex: "90", into: map[string]int{}}, {hex: "81c001", into: map[*int]int{}}, {hex: "81c001", into: map[any]any{}},
		{hex: "81cb7ff800000000000001", into: map[float64]int{}}, {hex: "81ca7fc0000001", into: map[float32]int{}}, {hex: "82010102cc0101", into: map[int]int{}}, {hex: "8201010101", into: map[int]int{}}, {hex: "8201010202", want: map[int]int{1: 1, 2: 2}},
		{hex: "82a15801a15802", want: struct{ X int }{2}}, {hex: "82a15801a15902", want: tree{Other: &Other{1, 2}}}, {hex: "81a16ea178", want: tree{Name: "x"}}, {hex: "81a46e616d65a178", want: tree{}}, {hex: "81a4536b697005", want: tree{}}, {hex: "81a668696464656e05", want: tree{}},
		{hex: "c0", want: struct{}{}}, {hex: "05", want: struct{}{}}, {hex: "820102a161c0", want: struct{}{}}, {hex: "c0", want: own{-1}}, {hex: "a161", into: own{}}, {hex: "a33c743e", want: text("t")}, {hex: "05", into: text("")}, {hex: "c0", want: text("")}, {hex: "c0", into: netip.Addr{}}, {hex: "a17a", into: netip.Addr{}},
		{hex: "c0", want: loop(nil)}, {hex: "01", into: loop(nil)}, {hex: "80", into: hidden{}}, {hex: "80", into: panics{}}, {hex: "01", into: make(chan int)}, {hex: "01", into: func() {}}, {hex: "01", into: 1i}, {hex: "9101", into: []error{}}, {hex: "91c0", want: []error{nil}},
		{hex: "c1", into: ""}, {hex: "c1", into: 0}, {hex: "c1", into: person{}}, {hex: "", into: ""}, {hex: "", into: person{}}, {hex: "0101", into: 0}, {hex: "8080", into: person{}}, {hex: "a16101", into: ""}, {hex: "a261", into: ""}, {hex: "9201", into: []int{}},
		{hex: "ddffffffff", into: []int{}}, {hex: "ddffffffff01", into: []byte{}}, {hex: "dfffffffff", into: map[string]int{}}, {hex: "dbffffffff", into: ""}, {hex: "c6ffffffff", into: []byte{}}, {hex: "c9ffffffff05", into: time.Time{}},
		{hex: "81a44e65787401", into: tree{}}, {hex: "81a642794e616d6581a16181a142c0", want: tree{ByName: map[string]*tree{"a": {}}}},
	} {
		like := c.want
		if c.want == nil {
			like = c.into
		}
		p := reflect.New(reflect.TypeOf(like))
		err := codec.Decode(unhex(t, c.hex), p.Interface())
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%s into %T: no error but %v", c.hex, like, p.Elem())
		case c.want == nil:
			if !strings.HasPrefix(err.Error(), "msgpack: ") || strings.Count(err.Error(), "msgpack: ") > 1 {
				t.Errorf("%s into %T: %v", c.hex, like, err)
			}
		case err != nil:
			t.Errorf("%s into %T: %v", c.hex, like, err)
		case err == nil && !reflect.DeepEqual(p.Elem().Interface(), c.want):
			t.Errorf("%s into %T: %#v, want %#v", c.hex, like, p.Elem().Interface(), c.want)
		}
	}
}

func TestDecodeAny(t *testing.T) {
	for h, want := range map[string]any{
		"c0": nil, "c3": true, "05": int64(5), "ff": int64(-1), "cf7fffffffffffffff": int64(math.MaxInt64), "cf8000000000000000": uint64(1 << 63), "ca3fc00000": 1.5, "cb3ff8000000000000": 1.5, "a161": "a", "a1ff": "\uFFFD",
		"c4020102": []byte{1, 2}, "c400": []byte{}, "90": []any{}, "9301a161c0": []any{int64(1), "a", nil}, "80": map[string]any{}, "82a16101a16280": map[string]any{"a": int64(1), "b": map[string]any{}},
		"8201a161c302": map[any]any{int64(1): "a", true: int64(2)}, "82a16101c302": map[any]any{"a": int64(1), true: int64(2)}, "d6ff3ca8345f": noon, "81d6ff3ca8345f01": map[any]any{noon: int64(1)}, "81cb3ff000000000000001": map[any]any{1.0: int64(1)},
	} {
		var got any = "something"
		if err := codec.Decode(unhex(t, h), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v, want %#v", h, got, err, want)
		}
	}
	for _, h := range []string{
		"d40501", "c705ff0102030405", "d4ff01", "d7ffee6b280000000000", "8190c0", "8180c0", "81c4016101", "81c0c0", "81cb7ff800000000000001", "81ca7fc0000001", "82a16101a16102", "8201c0cc01c0", "81d4050101",
		"83a16101c302a16103", "c1", "91c1", "", "ddffffffff", "dfffffffff0101", "0505",
	} {
		var got any
		if err := codec.Decode(unhex(t, h), &got); err == nil {
			t.Errorf("%s: %#v", h, got)
		}
	}
}

// TestDeep: what is nested too deep is refused before anything is made of it.
func TestDeep(t *testing.T) {
	for _, open := range [][]byte{{0x91}, {0x81, 0xA0}, {0xDD, 0, 0, 0, 1}} {
		b := append(bytes.Repeat(open, 100_000), 0xC0)
		for _, into := range []any{new(any), new([]any), new(map[string]any), new(person), new(tree), new(time.Time), new(own), new([]byte), new(struct{})} {
			if err := codec.Decode(b, into); !errors.Is(err, msgpack.ErrDepth) {
				t.Errorf("%x into %T: %v", open, into, err)
			}
		}
		b = append(bytes.Repeat(open, msgpack.DefaultDepth), 0xC0)
		var v any
		if err := codec.Decode(b, &v); err != nil {
			t.Errorf("%x: %v", open, err)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	type node struct {
		Next *node
		M    map[string]any
		S    []any
	}
	ring := &node{}
	ring.Next = ring
	m := map[string]any{}
	m["m"] = m
	s := []any{nil}
	s[0] = s
	var l loop
	l = loop(&l)
	var a any
	a = &a
	for name, v := range map[string]any{
		"channel": make(chan int), "func": func() {}, "complex": 1i, "channel inside": struct{ C chan int }{}, "func in any": []any{func() {}}, "hidden": hidden{1, 2}, "hidden inside": []hidden{{}}, "hidden pointer": &hidden{},
		"error value": errors.New("x"), "ring": ring, "map in itself": m, "slice in itself": s, "pointer to itself": l, "any in itself": a, "ring in a map": &node{M: m}, "panic": panics{}, "panic inside": []any{1, &panics{}},
		"no value": bad(""), "two values": bad("0101"), "cut value": bad("a2"), "never": bad("c1"), "method fails": bad("x"), "keys alike": map[bad]int{"a16a": 1, "A16A": 2}, "bad key": map[any]int{make(chan int): 1},
		"equal keys": map[any]int{1: 1, int8(1): 2},
	} {
		if got, err := codec.Append(nil, v); err == nil {
			t.Errorf("%s: no error but %x", name, got)
		} else if !strings.HasPrefix(err.Error(), "msgpack: ") || strings.Count(err.Error(), "msgpack: ") > 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := codec.Append(nil, person{}); err != nil {
		t.Error(err)
	}
}

// TestErrorsSayWhere: the path of fields is in the text.
func TestErrorsSayWhere(t *testing.T) {
	var p struct{ People []person }
	err := codec.Decode(unhex(t, "81a650656f706c659181a3416765a0"), &p)
	if want := "msgpack: struct.People.person.Age: code 160 (fixstr) instead of int"; err == nil || err.Error() != want {
		t.Error(err)
	}
	code, ok := errors.AsType[*msgpack.CodeError](err)
	if !ok || code.Code != 0xA0 {
		t.Error(err)
	}
}

// TestEmbedded: what lies in an embedded pointer that is nil is not written, and
// made when it is read, if it can be.
func TestEmbedded(t *testing.T) {
	v := struct {
		*Other
		*base
		N int
	}{N: 1}
	if b, err := codec.Append(nil, v); string(b) != "\x81\xa1N\x01" || err != nil {
		t.Errorf("%x, %v", b, err)
	}
	if err := codec.Decode([]byte("\x82\xa1X\x05\xa1N\x02"), &v); err != nil || v.Other == nil || v.X != 5 || v.N != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := codec.Decode([]byte("\x81\xa1A\x05"), &v); err == nil {
		t.Errorf("%+v", v)
	}
	v.base = new(base)
	if err := codec.Decode([]byte("\x81\xa1A\x05"), &v); err != nil || v.A != 5 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestOmit(t *testing.T) {
	type all struct {
		I int            `msgpack:"i,omitempty"`
		S string         `msgpack:",omitempty"`
		B bool           `msgpack:",omitempty"`
		L []int          `msgpack:",omitempty"`
		M map[string]int `msgpack:",omitempty"`
		P *int           `msgpack:",omitempty"`
		E Other          `msgpack:",omitempty"` // has no effect
		Z Other          `msgpack:",omitzero"`
		T time.Time      `msgpack:",omitzero"`
		U *time.Time     `msgpack:",omitzero"`
	}
	zero := "\x81\xa1E\x82\xa1X\x00\xa1Y\x00"
	// A zero time in another location is zero by its own method.
	for _, v := range []any{all{}, all{L: []int{}, M: map[string]int{}}, &all{T: time.Time{}.In(time.FixedZone("", 60)), U: new(time.Time)}, all{T: time.Time{}.In(time.FixedZone("", 60))}} {
		if b, err := codec.Append(nil, v); string(b) != zero || err != nil {
			t.Errorf("%+v: %q, %v", v, b, err)
		}
	}
	full := all{1, "s", true, []int{0}, map[string]int{"": 0}, new(int), Other{}, Other{X: 1}, noon, &noon}
	b, err := codec.Append(nil, full)
	if err != nil || b[0] != 0x8A {
		t.Errorf("%x, %v", b, err)
	}
	var back all
	if err := codec.Decode(b, &back); err != nil || !reflect.DeepEqual(back, full) {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestBytesWithMethods: a slice of bytes that write themselves is an array.
func TestBytesWithMethods(t *testing.T) {
	if b, err := codec.Append(nil, []letter{'a', 'b'}); string(b) != "\x92\xa1a\xa1b" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := codec.Append(nil, &[2]letter{'a', 'b'}); string(b) != "\x92\xa1a\xa1b" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := codec.Append(nil, letter(0)); err == nil {
		t.Errorf("%q", b)
	}
	if b, err := codec.Append(nil, &[2]byte{1, 2}); string(b) != "\xc4\x02\x01\x02" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestOwnMethods(t *testing.T) {
	// A method on the pointer is found for values that have no address too.
	for _, v := range []any{ownPtr{7}, &ownPtr{7}, []ownPtr{{7}}[0]} {
		if b, err := codec.Append(nil, v); string(b) != "\xa17" || err != nil {
			t.Errorf("%T: %x, %v", v, b, err)
		}
	}
	if b, err := codec.Append(nil, map[string]ownPtr{"a": {7}}); string(b) != "\x81\xa1a\xa17" || err != nil {
		t.Errorf("%x, %v", b, err)
	}
	if b, err := codec.Append(nil, (*ownPtr)(nil)); string(b) != "\xc0" || err != nil {
		t.Errorf("%x, %v", b, err)
	}
	var p *own
	if err := codec.Decode([]byte{0xC0}, &p); p != nil || err != nil {
		t.Error(p, err)
	}
}

func TestDecodeIntoNothing(t *testing.T) {
	for _, into := range []any{nil, "", 5, person{}, (*string)(nil), (*bool)(nil), (*int)(nil), (*uint)(nil), (*float64)(nil), (*[]byte)(nil), (*any)(nil), (**string)(nil), (*person)(nil), (*time.Time)(nil)} {
		for _, h := range []string{"a161", "05", "c3", "c0", "80", "90", "d6ff3ca8345f"} {
			if err := codec.Decode(unhex(t, h), into); err == nil {
				t.Errorf("%s into %T: no error", h, into)
			}
		}
	}
}

// checkDecode: no input makes a panic, and what is accepted can be written and
// read again with the same value.
func checkDecode(t *testing.T, b []byte) {
	t.Helper()
	_, _, whole := slowSkip(b)
	for _, like := range []any{"", true, 0, int8(0), uint8(0), uint64(0), 0.0, float32(0), []byte{}, [4]byte{}, time.Time{}, person{}, tree{}, []person{}, []string{}, map[string]int{}, map[int]string{}, map[float64]any{}, map[any]any{}, []any{}, ptr("x"), ptr(ptr(5)), text(""), own{}, netip.Addr{}, [2]int{}, struct{}{}, pointer{}} {
		p := reflect.New(reflect.TypeOf(like))
		if codec.Decode(b, p.Interface()) != nil {
			continue
		}
		if !whole {
			t.Fatalf("%x into %T: accepted, but it is no value", b, like)
		}
		checkAgain(t, b, p)
	}
	var v any
	if codec.Decode(b, &v) == nil {
		if !whole {
			t.Fatalf("%x into any: accepted, but it is no value", b)
		}
		checkAgain(t, b, reflect.ValueOf(&v))
	}
}

func checkAgain(t *testing.T, b []byte, p reflect.Value) {
	t.Helper()
	out, err := codec.Append(nil, p.Elem().Interface())
	if err != nil {
		t.Fatalf("%x into %v: cannot be written again: %v", b, p.Type(), err)
	}
	q := reflect.New(p.Type().Elem())
	if err := codec.Decode(out, q.Interface()); err != nil {
		t.Fatalf("%x into %v: written as %x: %v", b, p.Type(), out, err)
	}
	again, err := codec.Append(nil, q.Elem().Interface())
	if err != nil || !bytes.Equal(out, again) {
		t.Fatalf("%x into %v: written as %x, then as %x, %v", b, p.Type(), out, again, err)
	}
}

func TestDecodeSeeds(t *testing.T) {
	for _, b := range seeds(t) {
		checkDecode(t, b)
		checkDecode(t, append([]byte{0x91}, b...))
		checkDecode(t, append([]byte{0x81, 0xA1, 'a'}, b...))
	}
}

func FuzzMsgpackDecode(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1<<16 {
			checkDecode(t, b)
		}
	})
}

func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, 200)
	for _, v := range []any{"hello", 5, int64(-500), true, 1.5, []byte{1, 2}, nil, noon, ptr("x")} {
		if n := testing.AllocsPerRun(100, func() { buf, _ = codec.Append(buf[:0], v) }); n != 0 {
			t.Errorf("encoding %T: %v allocations", v, n)
		}
	}
	var s string
	src := []byte("\xa5hello")
	if n := testing.AllocsPerRun(100, func() { _ = codec.Decode(src, &s) }); n != 1 {
		t.Errorf("decoding a string: %v allocations", n)
	}
	var i int
	src = []byte{0xcd, 1, 0}
	if n := testing.AllocsPerRun(100, func() { _ = codec.Decode(src, &i) }); n != 0 {
		t.Errorf("decoding an int: %v allocations", n)
	}
}

func BenchmarkCodec(b *testing.B) {
	p := person{"Ada", 36, []string{"x", "y"}, nil}
	for _, c := range []struct {
		name string
		v    any
		into any
	}{
		{"string", "hello world, this is a message", new(string)}, {"int", 123456, new(int)}, {"float", 1.5, new(float64)}, {"bytes", []byte("0123456789"), new([]byte)},
		{"struct", &p, new(person)}, {"map", map[string]int{"a": 1, "b": 2, "c": 3}, new(map[string]int)}, {"any", []any{1, "a", nil, 1.5}, new(any)},
	} {
		src, err := codec.Append(nil, c.v)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf, _ = codec.Append(buf[:0], c.v)
			}
		})
		b.Run(c.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Decode(src, c.into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
