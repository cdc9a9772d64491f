package jsonwire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

var _ wire.Codec = jsonwire.Codec{}

var codec jsonwire.Codec

type person struct {
	Name string   `json:"name"`
	Age  int      `json:"age"`
	Tags []string `json:"tags"`
	Nick *string  `json:"nick"`
}

type base struct {
	ID    int
	Inner struct{ N float64 }
}

type tree struct {
	base
	Next   *tree
	Kids   []tree
	ByName map[string]*tree
	When   time.Time
	Any    any
	Addr   netip.Addr
	Pair   [2]int
	Mark   bool `json:"mark,omitempty"`
	Text   string
	Big    *big.Int
	Raw    json.RawMessage
}

type (
	text   string
	number int
	loop   *loop
	loopA  *loopB
	loopB  *loopA
	panics struct{}
	fails  struct{}
	raws   string
	hidden struct{ a, b int }
)

func (panics) MarshalJSON() ([]byte, error)     { panic("no") }
func (*panics) UnmarshalJSON([]byte) error      { panic("no") }
func (fails) MarshalJSON() ([]byte, error)      { return nil, errors.New("sorry") }
func (r raws) MarshalJSON() ([]byte, error)     { return []byte(r), nil }
func (t text) MarshalText() ([]byte, error)     { return []byte("<" + t + ">"), nil }
func (t *text) UnmarshalText(src []byte) error  { *t = text(src); return nil }
func ptr[T any](v T) *T                         { return &v }
func standard(t testing.TB, v any) (out string) { return strings.TrimSuffix(encode(t, v), "\n") }

func encode(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAppendAsStandard: the same bytes as encoding/json without HTML escaping.
func TestAppendAsStandard(t *testing.T) {
	var nilString *string
	var nilInt *int
	all := []any{
		nil, "", "hi", "é中😀", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "<>&'+`", "\u2028\u2029\u00a0\ufeff", "\xff", "a\xc3", "\xed\xa0\x80x", "é\xffé",
		true, false, 0, -1, int8(-128), int16(-32768), int32(math.MinInt32), int64(math.MinInt64), int64(math.MaxInt64),
		uint(7), uint8(200), uint16(60000), uint32(math.MaxUint32), uint64(math.MaxUint64),
		0.0, math.Copysign(0, -1), 1.5, 100.0, 1e15, 1e16, 1.2345678901234568e17, 1e20, 1e21, 0.001, 1e-5, 1e-6, 1e-7, 1e-9, 1.0 / 3, 5e-324, math.MaxFloat64, 1e100, -1e-10,
		float32(0.1), float32(1e21), float32(1e-7), float32(16777216), float32(math.MaxFloat32), float32(0),
		[]byte{1, 2, 3}, []byte{}, []byte(nil), []byte{0xfb, 0xff}, []int{1}, []string(nil), []string{"a<b"}, [2]bool{true},
		json.RawMessage(`{"a":[1,2]}`), json.RawMessage(" { \"a b\" : [ 1 , \"\\\" \" ] }\n"), json.RawMessage(nil), json.RawMessage(`"<\u003c>"`),
		ptr("x"), nilString, ptr(true), ptr(5), nilInt, ptr(int32(5)), ptr(int64(5)), ptr(uint32(5)), ptr(uint64(5)), ptr(1e-9), ptr([]byte{1}), ptr(json.RawMessage(`[]`)),
		(*bool)(nil), (*int32)(nil), (*int64)(nil), (*uint32)(nil), (*uint64)(nil), (*float64)(nil), (*[]byte)(nil), (*json.RawMessage)(nil), (*int8)(nil), ptr(int8(1)), ptr(ptr("x")),
		text("t"), number(5), person{Name: "Ada", Age: 36, Tags: []string{"x", "y"}}, &person{Nick: ptr("A")}, (*person)(nil), []person{{}}, map[string]int{"b": 1, "a": 2}, map[int]string{1: "a"},
		tree{When: time.Date(2002, 4, 1, 10, 20, 15, 0, time.UTC), Any: []any{1, "a", nil}}, struct{}{}, any(raws(`{ "x" : 1 }`)), time.Second, big.NewInt(5), json.Number("12"),
	}
	for _, v := range all {
		got, err := codec.Append([]byte("before "), v)
		if err != nil {
			t.Errorf("%T %v: %v", v, v, err)
			continue
		}
		want := "before " + standard(t, v)
		want = strings.ReplaceAll(want, "\uFFFD", `\ufffd`) // v2 does not escape what it put in
		if string(got) != want {
			t.Errorf("%T: %q, want %q", v, got, want)
		}
	}
}

// TestAppendErrors: what cannot be JSON is an error, whatever it is.
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
		"NaN": math.NaN(), "infinity": math.Inf(1), "float32": float32(math.Inf(-1)), "NaN pointer": ptr(math.NaN()), "NaN inside": []any{math.NaN()},
		"channel": make(chan int), "func": func() {}, "complex": 1i, "inside": struct{ C chan int }{}, "key": map[struct{ A int }]int{{1}: 1},
		"ring": ring, "map in itself": m, "slice in itself": s, "pointer to itself": l, "pointers inside to themselves": struct{ A []loopA }{}, "any in itself": a, "hidden": hidden{1, 2}, "hidden pointer": &hidden{1, 2}, "error value": errors.New("x"), "ring in a map": &node{M: m}, "ring in a slice": &node{S: s},
		"panic": panics{}, "panic inside": []any{1, panics{}}, "error": fails{}, "bad marshaler": raws("{"), "bad marshaler inside": []raws{"1 2"},
		"raw bad": json.RawMessage("{"), "raw empty": json.RawMessage{}, "raw not UTF-8": json.RawMessage("\"\xff\""), "raw two": json.RawMessage("1 2"),
		"marshaler not UTF-8": raws("\"\xff\""), "raw inside not UTF-8": []any{json.RawMessage("\"\xff\"")},
	} {
		if got, err := codec.Append(nil, v); err == nil {
			t.Errorf("%s: no error but %q", name, got)
		} else if !strings.HasPrefix(err.Error(), "jsonwire: encode: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Errors leave nothing behind in what is pooled.
	for range 3 {
		if got, err := codec.Append(nil, []int{1, 2}); string(got) != "[1,2]" || err != nil {
			t.Errorf("%s, %v", got, err)
		}
	}
}

// TestDecode has the values of the recordings of ASP.NET Core (/json/echo-*) and
// more. A want that is nil is an error.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		src  string
		want any
		into any // only where want does not say it
	}{
		{src: `"hi"`, want: "hi"}, {src: ` "hi" `, want: "hi"}, {src: `""`, want: ""}, {src: `"\"\\\/\b\f\n\r\t"`, want: "\"\\/\b\f\n\r\t"},
		{src: `"é中😀"`, want: "é中😀"}, {src: `"\ud83d\ude00\u00E9"`, want: "😀é"}, {src: `"\u2028\u0000\u007f"`, want: "\u2028\x00\x7f"},
		{src: `null`, want: ""}, {src: `"\ud800"`, into: ""}, {src: `"\udc00\ud800"`, into: ""}, {src: "\"\xff\xfe\"", into: ""}, {src: "\"\xed\xa0\x80\"", into: ""},
		{src: `5`, into: ""}, {src: `true`, into: ""}, {src: `{}`, into: ""}, {src: `["a"]`, into: ""}, {src: `"a" "b"`, into: ""}, {src: `"a`, into: ""}, {src: ``, into: ""}, {src: "\"a\nb\"", into: ""},
		{src: `true`, want: true}, {src: `false`, want: false}, {src: `1`, into: true}, {src: `"true"`, into: true}, {src: `null`, into: true}, {src: `truee`, into: true},
		{src: `5`, want: int32(5)}, {src: `-1`, want: int32(-1)}, {src: `0`, want: int32(0)}, {src: `-0`, want: int32(0)}, {src: `2147483647`, want: int32(math.MaxInt32)}, {src: `-2147483648`, want: int32(math.MinInt32)},
		{src: `2147483648`, into: int32(0)}, {src: `-2147483649`, into: int32(0)}, {src: `1.0`, into: int32(0)}, {src: `1.5`, into: int32(0)}, {src: `1e3`, into: int32(0)}, {src: `"5"`, into: int32(0)},
		{src: `null`, into: int32(0)}, {src: `true`, into: int32(0)}, {src: `[]`, into: int32(0)}, {src: `01`, into: int32(0)}, {src: `1.0`, into: 0}, {src: `null`, into: 0}, {src: `-5`, want: -5},
		{src: `127`, want: int8(127)}, {src: `128`, into: int8(0)}, {src: `-129`, into: int8(0)}, {src: `32768`, into: int16(0)}, {src: `-32768`, want: int16(-32768)},
		{src: `9007199254740993`, want: int64(9007199254740993)}, {src: `9223372036854775807`, want: int64(math.MaxInt64)}, {src: `-9223372036854775808`, want: int64(math.MinInt64)},
		{src: `9223372036854775808`, into: int64(0)}, {src: `-9223372036854775809`, into: int64(0)}, {src: `99999999999999999999999`, into: int64(0)}, {src: `1e400`, into: int64(0)},
		{src: `255`, want: uint8(255)}, {src: `256`, into: uint8(0)}, {src: `-1`, into: uint8(0)}, {src: `65535`, want: uint16(65535)}, {src: `65536`, into: uint16(0)}, {src: `4294967295`, want: uint32(math.MaxUint32)},
		{src: `18446744073709551615`, want: uint64(math.MaxUint64)}, {src: `18446744073709551616`, into: uint64(0)}, {src: `28446744073709551615`, into: uint64(0)}, {src: `7`, want: uint(7)}, {src: `null`, into: uint(0)},
		{src: `1.5`, want: 1.5}, {src: `0`, want: 0.0}, {src: `5`, want: 5.0}, {src: `123456789012345680`, want: 1.2345678901234568e17}, {src: `5e-324`, want: 5e-324}, {src: `1.7976931348623157e308`, want: math.MaxFloat64},
		{src: `1e309`, want: math.Inf(1)}, {src: `-1e309`, want: math.Inf(-1)}, {src: `1e39`, want: float32(math.Inf(1))}, {src: `0.1`, want: float32(0.1)}, {src: `1e-400`, want: 0.0},
		{src: `"1"`, into: 0.0}, {src: `null`, into: 0.0}, {src: `NaN`, into: 0.0}, {src: `.5`, into: 0.0}, {src: `null`, into: float32(0)},
		{src: `"AQID"`, want: []byte{1, 2, 3}}, {src: `""`, want: []byte{}}, {src: `"AQI="`, want: []byte{1, 2}}, {src: `"AQI"`, into: []byte{}}, {src: `"_-8="`, into: []byte{}}, {src: `"+/8="`, want: []byte{0xfb, 0xff}},
		{src: `"AQ ID"`, want: []byte{1, 2, 3}}, {src: `" A\tQ\r\n I\u0044 "`, want: []byte{1, 2, 3}}, {src: `"\u002B\/8="`, want: []byte{0xfb, 0xff}}, {src: `[1,2,3]`, into: []byte{}}, {src: `null`, want: []byte(nil)}, {src: `5`, into: []byte{}}, {src: `"AQ*D"`, into: []byte{}},
		{src: ` {"a" : 1} `, want: json.RawMessage(`{"a" : 1}`)}, {src: `null`, want: json.RawMessage(`null`)}, {src: `{`, into: json.RawMessage{}}, {src: "\"\xff\"", into: json.RawMessage{}},
		{src: `{"a":1}{`, into: json.RawMessage{}},
		{src: `"a"`, want: ptr("a")}, {src: `null`, want: (*string)(nil)}, {src: `1`, into: (*string)(nil)}, {src: `5`, want: ptr(5)}, {src: `null`, want: (*int)(nil)}, {src: `1.0`, into: (*int)(nil)},
		{src: `true`, want: ptr(true)}, {src: `6`, want: ptr(int32(6))}, {src: `7`, want: ptr(int64(7))}, {src: `1e309`, want: ptr(math.Inf(1))}, {src: `5`, want: ptr(ptr(5))}, {src: `null`, want: (**int)(nil)}, {src: `5`, want: ptr(uint8(5))},
		{src: `{"name":"Ada","age":36,"tags":["x","y"],"nick":"A"}`, want: person{"Ada", 36, []string{"x", "y"}, ptr("A")}},
		{src: `{"Name":"Ada","AGE":36,"Tags":["x"]}`, want: person{"Ada", 36, []string{"x"}, nil}}, {src: `{}`, want: person{}}, {src: `{"name":null,"tags":null,"nick":null}`, want: person{}},
		{src: `{"name":"Ada","extra":{"a":[1,null]},"age":1}`, want: person{Name: "Ada", Age: 1}}, {src: `{"name":"a","name":"b"}`, want: person{Name: "b"}}, {src: `{"tags":["x",null]}`, want: person{Tags: []string{"x", ""}}},
		{src: `{"name":1}`, into: person{}}, {src: `{"age":"36"}`, into: person{}}, {src: `{"age":1.5}`, into: person{}}, {src: `{"age":null}`, into: person{}}, {src: `{"AGE":null}`, into: person{}}, {src: `{"\u0061ge":null}`, into: person{}},
		{src: `{"tags":"x"}`, into: person{}}, {src: `null`, into: person{}}, {src: `"Ada"`, into: person{}}, {src: `[]`, into: person{}}, {src: `null`, want: (*person)(nil)}, {src: `{"age":null}`, into: (*person)(nil)},
		{src: `[{"name":"Ada"},null]`, want: []*person{{Name: "Ada"}, nil}}, {src: `[null]`, into: []person{}}, {src: `null`, want: []person(nil)}, {src: `[]`, want: []person{}}, {src: `{"name":"Ada"}`, into: []person{}},
		{src: `{"b":1,"a":2}`, want: map[string]int{"a": 2, "b": 1}}, {src: `{"a":1,"a":2}`, want: map[string]int{"a": 2}}, {src: `{"a":null}`, into: map[string]int{}}, {src: `null`, want: map[string]int(nil)}, {src: `[]`, into: map[string]int{}},
		{src: `{"a":"1"}`, into: map[string]int{}}, {src: `{"a":null}`, want: map[string]*int{"a": nil}}, {src: `{"a":null}`, want: map[string]any{"a": nil}}, {src: `{"a":[null]}`, into: map[string][]int{}},
		{src: `{"Next":{"Next":{"ID":null}}}`, into: tree{}}, {src: `{"Next":{"Next":null}}`, want: tree{Next: &tree{}}}, {src: `{"Kids":[{"Kids":[{"Inner":null}]}]}`, into: tree{}}, {src: `{"Inner":{"N":null}}`, into: tree{}},
		{src: `{"ByName":{"a":{"mark":null}}}`, into: tree{}}, {src: `{"ByName":{"a":null}}`, want: tree{ByName: map[string]*tree{"a": nil}}}, {src: `{"When":null}`, into: tree{}}, {src: `{"Any":{"x":null}}`, want: tree{Any: map[string]any{"x": nil}}},
		{src: `{"Addr":null}`, into: tree{}}, {src: `{"Pair":null}`, into: tree{}}, {src: `{"Pair":[1,null]}`, into: tree{}}, {src: `{"Text":null,"Big":null,"Raw":null}`, want: tree{Raw: json.RawMessage("null")}},
		{src: `{"base":null,"Mark":false}`, want: tree{}}, {src: `"2002-04-01T10:20:15Z"`, want: time.Date(2002, 4, 1, 10, 20, 15, 0, time.UTC)}, {src: `null`, into: time.Time{}},
		{src: `null`, want: struct{}{}}, {src: `{}`, want: struct{}{}}, {src: `"t"`, want: text("t")}, {src: `5`, want: number(5)}, {src: `null`, into: number(0)}, {src: `1.0`, into: number(0)}, {src: `null`, want: text("")},
		{src: `{"name":"\ud800"}`, into: person{}}, {src: "{\"name\":\"\xff\"}", into: person{}}, {src: "{\"\xff\":1}", into: person{}}, {src: `{"name":"a",}`, into: person{}}, {src: `{"name":"a"} x`, into: person{}},
		{src: `1`, into: loop(nil)}, {src: `null`, into: loop(nil)}, {src: `1`, into: loopA(nil)}, {src: `{"A":1}`, into: struct{ A []loopA }{}}, {src: `{}`, into: panics{}}, {src: `1`, into: make(chan int)}, {src: `1`, into: func() {}},
		{src: `{"a":1}`, into: hidden{}}, {src: `{}`, into: &hidden{}}, {src: `[1]`, want: struct{}{}}, {src: `5`, want: struct{}{}}, {src: `5 5`, into: struct{}{}},
		{src: `"AR=="`, into: []byte{}}, {src: `"AQ\u000bID"`, into: []byte{}}, {src: `" "`, want: []byte{}}, {src: `"AQI ="`, want: []byte{1, 2}},
		{src: strings.Repeat("[", 100000), into: ""}, {src: strings.Repeat("[", 100000), into: []any{}}, {src: strings.Repeat(`{"a":`, 100000), into: map[string]any{}},
	} {
		like := c.want
		if c.want == nil {
			like = c.into
		}
		p := reflect.New(reflect.TypeOf(like))
		src := []byte(c.src)
		err := codec.Decode(src, p.Interface())
		name := c.src[:min(len(c.src), 60)]
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%q into %T: no error but %v", name, like, p.Elem())
		case c.want == nil:
			if !strings.HasPrefix(err.Error(), "jsonwire: decode: ") {
				t.Errorf("%q into %T: %v", name, like, err)
			}
		case err != nil:
			t.Errorf("%q into %T: %v", name, like, err)
		case !reflect.DeepEqual(p.Elem().Interface(), c.want):
			t.Errorf("%q into %T: %#v, want %#v", name, like, p.Elem().Interface(), c.want)
		}
		clear(src) // nothing that was decoded may look at it
		if c.want != nil && err == nil && !reflect.DeepEqual(p.Elem().Interface(), c.want) {
			t.Errorf("%q into %T: keeps the source", name, like)
		}
	}
}

func TestDecodeNegativeZero(t *testing.T) {
	var f float64
	if err := codec.Decode([]byte("-0.0"), &f); err != nil || !math.Signbit(f) {
		t.Error(f, err)
	}
	if b, err := codec.Append(nil, f); string(b) != "-0" || err != nil {
		t.Errorf("%s %v", b, err)
	}
}

func TestDecodeIntoNothing(t *testing.T) {
	for _, into := range []any{nil, "", 5, person{}, (*string)(nil), (*bool)(nil), (*int)(nil), (*uint)(nil), (*float64)(nil), (*json.RawMessage)(nil), (*[]byte)(nil), (*any)(nil), (**string)(nil), (*person)(nil)} {
		for _, src := range []string{`"a"`, `1`, `true`, `null`, `{}`, `[]`} {
			if err := codec.Decode([]byte(src), into); err == nil {
				t.Errorf("%s into %T: no error", src, into)
			}
		}
	}
}

func TestDecodeAny(t *testing.T) {
	for src, want := range map[string]any{
		`null`: nil, `true`: true, `false`: false, `"a\n"`: "a\n", `1.5`: 1.5, `1`: 1.0, `[1,"a",null]`: []any{1.0, "a", nil}, `{"a":{"b":[]}}`: map[string]any{"a": map[string]any{"b": []any{}}},
	} {
		var got any
		if err := codec.Decode([]byte(src), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v", src, got, err)
		}
	}
	for _, src := range []string{`1e309`, `[1e309]`, `"\ud800"`, `{"a":"\ud800"}`, `[1,]`, ``, `nul`, `1 1`} {
		var got any
		if err := codec.Decode([]byte(src), &got); err == nil {
			t.Errorf("%s: %#v", src, got)
		}
	}
	var n any = new(int)
	if err := codec.Decode([]byte("5"), &n); err != nil || *n.(*int) != 5 {
		t.Error("a pointer inside of any is decoded into", n, err)
	}
}

func TestText(t *testing.T) {
	for quoted, want := range map[string]string{`"a"`: "a", `""`: "", `"\u0041\ud83d\ude00\/"`: "A😀/", `"é"`: "é"} {
		if got, err := jsonwire.Text([]byte(quoted)); got != want || err != nil {
			t.Errorf("%s: %q, %v", quoted, got, err)
		}
		if got, err := jsonwire.AppendText([]byte("x"), []byte(quoted)); string(got) != "x"+want || err != nil {
			t.Errorf("%s: %q, %v", quoted, got, err)
		}
	}
	for _, quoted := range []string{`"\ud800"`, "\"\xff\"", `a`, `"`, ``, `1`} {
		if got, err := jsonwire.Text([]byte(quoted)); err == nil {
			t.Errorf("%s: %q", quoted, got)
		}
	}
	if _, ok := jsonwire.Plain([]byte(`"a\n"`)); ok {
		t.Error("an escape is not plain")
	}
	if _, ok := jsonwire.Plain([]byte("\"\xff\"")); ok {
		t.Error("a byte that is not UTF-8 is not plain")
	}
}

// TestEveryCharacter: all of Unicode is written as encoding/json writes it, and
// comes back the same.
func TestEveryCharacter(t *testing.T) {
	var b strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		b.WriteRune(r)
		if b.Len() < 5000 && r < utf8.MaxRune {
			continue
		}
		s := b.String()
		b.Reset()
		quoted := jsonwire.AppendString(nil, s)
		if string(quoted) != standard(t, s) || string(jsonwire.AppendStringBytes(nil, []byte(s))) != string(quoted) {
			t.Fatalf("%q is written as %s", s, quoted)
		}
		var back string
		if err := codec.Decode(quoted, &back); err != nil || back != s {
			t.Fatalf("%q comes back as %q, %v", s, back, err)
		}
	}
}

// checkDecode compares Decode with encoding/json: what that refuses is refused
// (but for floats out of range), what is accepted has the same value.
func checkDecode(t *testing.T, src []byte) {
	t.Helper()
	for _, like := range []any{"", true, 0, int8(0), int64(0), uint8(0), uint64(0), 0.0, float32(0), json.RawMessage{}, person{}, tree{}, []person{}, map[string]int{}, map[string]any{}, []any{}, ptr("x"), ptr(5), text(""), number(0), [2]int{}, time.Time{}, netip.Addr{}, []string{}} {
		mine, theirs := reflect.New(reflect.TypeOf(like)), reflect.New(reflect.TypeOf(like))
		err := codec.Decode(src, mine.Interface())
		want := json.Unmarshal(src, theirs.Interface())
		if err != nil {
			continue // stricter: the table says where
		}
		if want != nil {
			if f := mine.Elem(); f.CanFloat() && math.IsInf(f.Float(), 0) {
				continue
			}
			t.Fatalf("%q into %T: accepted, encoding/json says %v", src, like, want)
		}
		if !reflect.DeepEqual(mine.Elem().Interface(), theirs.Elem().Interface()) {
			t.Fatalf("%q into %T: %#v, want %#v", src, like, mine.Elem().Interface(), theirs.Elem().Interface())
		}
		out, err := codec.Append(nil, mine.Elem().Interface())
		if err != nil {
			if f := mine.Elem(); f.CanFloat() && math.IsInf(f.Float(), 0) {
				continue
			}
			t.Fatalf("%q into %T: cannot be written again: %v", src, like, err)
		}
		if !json.Valid(out) || !utf8.Valid(out) {
			t.Fatalf("%q into %T: written as %q", src, like, out)
		}
	}
	var v, w any
	err := codec.Decode(src, &v)
	if want := json.Unmarshal(src, &w); err == nil && (want != nil || !reflect.DeepEqual(v, w)) {
		t.Fatalf("%q into any: %#v, want %#v, %v", src, v, w, want)
	} else if err != nil && want == nil && unicode(src) && depth(src) <= jsonwire.DefaultDepth {
		t.Fatalf("%q into any: %v", src, err)
	}
	var b []byte
	if codec.Decode(src, &b) == nil {
		out, err := codec.Append(nil, b)
		var again []byte
		if err != nil || codec.Decode(out, &again) != nil || !bytes.Equal(b, again) {
			t.Fatalf("%q: bytes %x come back as %x", src, b, again)
		}
	}
}

func TestDecodeAgainstStandard(t *testing.T) {
	for _, text := range texts {
		checkDecode(t, []byte(text))
	}
}

func FuzzJSONDecode(f *testing.F) {
	for _, text := range append(texts, `{"name":"Ada","age":36,"tags":["x",null],"nick":null}`, `{"Next":{"Kids":[{"ID":1}],"ByName":{"a":null}}}`, `"AQ ID"`, `[null]`, `{"a":null}`, `"1.2.3.4"`, `"2002-04-01T10:20:15Z"`) {
		f.Add([]byte(text))
	}
	f.Fuzz(checkDecode)
}

func FuzzJSONScanner(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkValue(t, b)
		checkWalk(t, b)
	})
}
