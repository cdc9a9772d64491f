package jsonwire_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// walk reads a value with Object, Member, Array and Element alone, down to the
// leaves, and builds what encoding/json would.
func walk(s *jsonwire.Scanner) any {
	switch s.Kind() {
	case jsonwire.Object:
		m := map[string]any{}
		s.Object()
		for key, ok := s.Member(); ok; key, ok = s.Member() {
			name := string(key)
			m[name] = walk(s)
		}
		return m
	case jsonwire.Array:
		a := []any{}
		for s.Array(); s.Element(); {
			a = append(a, walk(s))
		}
		return a
	}
	raw, _ := s.Value()
	var v any
	if s.Err() == nil {
		if json.Unmarshal(raw, &v) != nil {
			return fmt.Sprintf("number %s", raw)
		}
	}
	return v
}

// checkWalk: reading step by step accepts and sees what Value does.
func checkWalk(t *testing.T, b []byte) {
	t.Helper()
	s := jsonwire.Scanner{UTF8: true}
	s.Reset(b)
	got := walk(&s)
	end := s.End()
	if want := json.Valid(b) && depth(b) <= jsonwire.DefaultDepth && unicode(b); end != want {
		t.Fatalf("%q: %v, want %v (%v)", b, end, want, s.Err())
	}
	var want any
	if end && json.Unmarshal(b, &want) == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: %#v, want %#v", b, got, want)
	}
}

func TestWalk(t *testing.T) {
	for _, text := range texts {
		checkWalk(t, []byte(text))
		for cut := range min(len(text), 100) {
			checkWalk(t, []byte(text[:cut]))
		}
	}
}

func TestScannerMembers(t *testing.T) {
	var s jsonwire.Scanner
	s.Reset([]byte(" { \"\\u0074ype\" : 1, \"a\\ud800\" : null, \"\xff\":[], \"type\":2 } x"))
	var keys []string
	var kinds []jsonwire.Kind
	s.Object()
	for key, ok := s.Member(); ok; key, ok = s.Member() {
		keys = append(keys, string(key))
		_, kind := s.Value()
		kinds = append(kinds, kind)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	if want := []jsonwire.Kind{jsonwire.Number, jsonwire.Null, jsonwire.Array, jsonwire.Number}; !reflect.DeepEqual(kinds, want) {
		t.Error(kinds)
	}
	if len(keys) != 4 || keys[0] != "type" || keys[3] != "type" || utf8.ValidString(keys[1]) || utf8.ValidString(keys[2]) {
		t.Errorf("%q", keys)
	}
	if string(s.Rest()) != " x" || s.End() || s.Err() == nil {
		t.Errorf("rest %q, %v", s.Rest(), s.Err())
	}
}

// TestScannerStays: after an error nothing goes on.
func TestScannerStays(t *testing.T) {
	var s jsonwire.Scanner
	s.Reset([]byte(`{"a":tru,"b":1}`))
	s.Object()
	s.Member()
	if _, kind := s.Value(); kind != jsonwire.Invalid {
		t.Error(kind)
	}
	first := s.Err()
	if _, ok := s.Member(); ok || s.Array() || s.Object() || s.Element() || s.End() || s.Kind() != jsonwire.Invalid || s.Err() != first {
		t.Error("goes on after", first)
	}
	if want := "jsonwire: unknown word at byte 5"; first.Error() != want {
		t.Error(first)
	}
	s.Reset([]byte(`[]`))
	if !s.Array() || s.Element() || s.Err() != nil || !s.End() {
		t.Error("Reset does not help:", s.Err())
	}
}

func TestScannerDepth(t *testing.T) {
	for _, c := range []struct {
		max, deep int
		ok        bool
	}{{0, 64, true}, {0, 65, false}, {3, 3, true}, {3, 4, false}, {1000, 1000, true}, {1000, 1001, false}} {
		s := jsonwire.Scanner{MaxDepth: c.max}
		s.Reset([]byte(strings.Repeat("[", c.deep) + strings.Repeat("]", c.deep)))
		s.Value()
		if (s.Err() == nil) != c.ok {
			t.Errorf("%+v: %v", c, s.Err())
		}
		s.Reset([]byte(`{"x":` + strings.Repeat("[", c.deep-1) + strings.Repeat("]", c.deep-1) + "}"))
		s.Object()
		s.Member()
		s.Value()
		if (s.Err() == nil) != c.ok {
			t.Errorf("object, %+v: %v", c, s.Err())
		}
	}
}

func TestScannerTrailingCommas(t *testing.T) {
	for src, saw := range map[string]bool{`["a",]`: true, `[[1,],2]`: true, `{"a":1,}`: true, `[{"a":[1,],},]`: true, `[1]`: false, `[]`: false} {
		s := jsonwire.Scanner{TrailingCommas: true}
		s.Reset([]byte(src))
		s.Value()
		if !s.End() || s.SawTrailingComma != saw {
			t.Errorf("%s: %v, %v", src, s.Err(), s.SawTrailingComma)
		}
		s.Reset([]byte(src))
		walk(&s)
		if !s.End() || s.SawTrailingComma != saw {
			t.Errorf("%s, step by step: %v, %v", src, s.Err(), s.SawTrailingComma)
		}
	}
	for _, src := range []string{`[,]`, `[1,,]`, `{,}`, `[1,`, `{"a":1,,}`, `{"a",}`} {
		s := jsonwire.Scanner{TrailingCommas: true}
		s.Reset([]byte(src))
		s.Value()
		if s.Err() == nil {
			t.Errorf("%s is accepted", src)
		}
		s.Reset([]byte(src))
		walk(&s)
		if s.Err() == nil {
			t.Errorf("%s is accepted step by step", src)
		}
	}
}

func TestPlainIntegers(t *testing.T) {
	for raw, want := range map[string]int64{"0": 0, "-0": 0, "7": 7, "-7": -7, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63} {
		if n, ok := jsonwire.Int64([]byte(raw)); n != want || !ok {
			t.Errorf("%s: %d, %v", raw, n, ok)
		}
	}
	for _, raw := range []string{"", "-", "1.0", "1e3", "01", "-01", "+1", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "100000000000000000000", "--1", "0x1", " 1", "null", `"1"`} {
		if n, ok := jsonwire.Int64([]byte(raw)); ok {
			t.Errorf("%q is %d", raw, n)
		}
	}
	for raw, want := range map[string]int32{"2147483647": 1<<31 - 1, "-2147483648": -1 << 31} {
		if n, ok := jsonwire.Int32([]byte(raw)); n != want || !ok {
			t.Errorf("%s: %d, %v", raw, n, ok)
		}
	}
	for _, raw := range []string{"2147483648", "-2147483649", "6e0"} {
		if n, ok := jsonwire.Int32([]byte(raw)); ok {
			t.Errorf("%q is %d", raw, n)
		}
	}
	if n, ok := jsonwire.Uint64([]byte("18446744073709551615")); n != 1<<64-1 || !ok {
		t.Error(n, ok)
	}
}

func TestScannerAllocatesNothing(t *testing.T) {
	var s jsonwire.Scanner
	if n := testing.AllocsPerRun(100, func() {
		s.Reset(invocation)
		s.Object()
		for _, ok := s.Member(); ok; _, ok = s.Member() {
			s.Value()
		}
	}); n != 0 {
		t.Error(n, "allocations")
	}
}
