package jsonwire_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// texts are texts that are JSON and texts that are not, in many ways. They are
// the seeds of the fuzz targets too.
var texts = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `""`, `"a"`, ` [ 1 , 2 ] `, "\t{\r\n\"a\" : 1 }\n",
	`{"type":1,"target":"SendMessage","arguments":["general","hello world, this is a message"]}`,
	`{"\u0074ype":6,"x":{"a":[1,{"b":null}]}}`, `[[[[]]]]`, `{"a":{"b":{}}}`,
	`1.5`, `1e3`, `1E+3`, `1e-3`, `-1.25e10`, `1e400`, `9223372036854775808`, `123456789012345678901234567890`,
	`01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x10`, `-01`, `--1`, `1.e1`, `NaN`, `Infinity`, `1_000`,
	`tru`, `truex`, `nul`, `nulll`, `True`, `'a'`, `undefined`,
	`"\"\\\/\b\f\n\r\t"`, `"\u00e9"`, `"\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud83dx"`, `"\ud83d\u0041"`,
	`"\x"`, `"\u12"`, `"\u12g4"`, `"\`, `"\u`, `"`, `"abc`, "\"a\nb\"", "\"a\x00b\"", "\"\x7f\"",
	"\"\xff\xfe\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"é中😀\"", "\"\u2028\u2029\"", "\xef\xbb\xbf{}", "\xff",
	`{"a":1,}`, `[1,]`, `[,]`, `[,1]`, `[1,,2]`, `[1 2]`, `{,}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`,
	`{"a":1`, `[1`, `[`, `{`, `]`, `}`, `[}`, `{]`, `[1}`, `{"a":1]`, `[1]]`, `{}{}`, `{} x`, `1 2`, `,`, ``, ` `,
	`/*c*/1`, `[1,//c` + "\n2]", "[\v1]", "[\u00a01]",
	`{"type":1,"type":2}`, `{"":""}`, `"` + strings.Repeat("0123456789", 10) + `\n"`,
	strings.Repeat("[", 60) + strings.Repeat("]", 60),
	strings.Repeat("[", 64) + strings.Repeat("]", 64),
	strings.Repeat("[", 65) + strings.Repeat("]", 65),
	strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64),
	strings.Repeat("[", 70000), strings.Repeat(`{"a":`, 20000),
}

func depth(b []byte) int {
	most, open, inside := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '[' || c == '{':
			open++
			most = max(most, open)
		case c == ']' || c == '}':
			open--
		}
	}
	return most
}

// checkValue compares the scanner with encoding/json: what the one accepts the
// other accepts, but for depth, and for Unicode where that is asked for.
func checkValue(t *testing.T, b []byte) {
	t.Helper()
	var s jsonwire.Scanner
	for _, strict := range []bool{false, true} {
		s.UTF8 = strict
		s.Reset(b)
		raw, kind := s.Value()
		got := kind != jsonwire.Invalid && s.End()
		if got != (s.Err() == nil) {
			t.Fatalf("%q: result %v beside error %v", b, got, s.Err())
		}
		want := json.Valid(b) && depth(b) <= jsonwire.DefaultDepth
		if strict && want {
			want = unicode(b)
		}
		if got != want {
			t.Fatalf("%q (UTF8 %v): %v, want %v (%v)", b, strict, got, want, s.Err())
		}
		if got && !bytes.Equal(raw, bytes.Trim(b, " \t\r\n")) {
			t.Fatalf("%q: value is %q", b, raw)
		}
	}
}

// unicode reports whether valid JSON holds Unicode text alone.
func unicode(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	// Each half of a surrogate pair is read as U+FFFD by encoding/json; so are
	// the pair's and the letter's own escapes told apart by counting.
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if b[i+1] != 'u' {
			i++
			continue
		}
		hex := strings.ToLower(string(b[i+2 : i+6]))
		switch {
		case hex[0] != 'd' || hex[1] < '8':
		case hex[1] >= 'c':
			return false
		default:
			if len(b) < i+12 || b[i+6] != '\\' || b[i+7] != 'u' {
				return false
			}
			low := strings.ToLower(string(b[i+8 : i+12]))
			if low[0] != 'd' || low[1] < 'c' {
				return false
			}
			i += 6
		}
		i += 5
	}
	return true
}

func TestScannerAgainstStandard(t *testing.T) {
	for _, text := range texts {
		checkValue(t, []byte(text))
		for cut := range min(len(text), 100) {
			checkValue(t, []byte(text[:cut]))
		}
	}
}
