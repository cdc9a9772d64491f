package dotnet_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/hubwire/hubwire/dotnet"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

func TestDictionaryJSON(t *testing.T) {
	for _, c := range []struct{ in, out string }{ // out empty: refused
		{`{"b":1,"a":2}`, `{"b":1,"a":2}`},
		{` { "" : 0 , "é\n" : -1 } `, `{"":0,"é\n":-1}`},
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{`{}`, `{}`},
		{`null`, `null`},
		{`[]`, ``},
		{`"x"`, ``},
		{`{"a":null}`, ``},
		{`{"a":"1"}`, ``},
		{`{"a":1.5}`, ``},
		{`{"\ud800":1}`, ``},
	} {
		var d dotnet.Dictionary[int]
		err := jsonwire.Codec{}.Decode([]byte(c.in), &d)
		if c.out == "" {
			if err == nil {
				t.Errorf("%s is taken", c.in)
			}
			continue
		}
		out, err2 := jsonwire.Codec{}.Append(nil, d)
		if err != nil || err2 != nil || string(out) != c.out {
			t.Errorf("%s: %s, %v, %v, want %s", c.in, out, err, err2, c.out)
		}
	}
}

func TestDictionaryMsgpack(t *testing.T) {
	for _, c := range []struct{ in, out string }{ // hex; out empty: refused
		{"82a16201a16102", "82a16201a16102"},
		{"de0001d90161d200000001", "81a16101"},
		{"80", "80"},
		{"c0", "c0"},
		{"82a16101a16102", ""},
		{"810101", ""},
		{"81a161c0", ""},
		{"81a161a131", ""},
		{"dfffffffff", ""},
		{"90", ""},
	} {
		src, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		var d dotnet.Dictionary[int]
		err = msgpack.Codec{}.Decode(src, &d)
		if c.out == "" {
			if err == nil {
				t.Errorf("%s is taken", c.in)
			}
			continue
		}
		out, err2 := msgpack.Codec{}.Append(nil, d)
		if err != nil || err2 != nil || hex.EncodeToString(out) != c.out {
			t.Errorf("%s: %x, %v, %v, want %s", c.in, out, err, err2, c.out)
		}
	}
}

func TestDictionaryChanges(t *testing.T) {
	var d dotnet.Dictionary[string]
	if d.Map() != nil || d.Len() != 0 {
		t.Error("the zero dictionary is not null")
	}
	d.Delete("nothing")
	for _, k := range []string{"c", "a", "b", "a"} {
		d.Set(k, k+"!")
	}
	d.Delete("c")
	d.Set("c", "last")
	var keys []string
	for k := range d.All() {
		keys = append(keys, k)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(keys, want) || d.Len() != 3 {
		t.Errorf("keys %v, want %v", keys, want)
	}
	if v, ok := d.Get("c"); !ok || v != "last" {
		t.Errorf("c is %q, %v", v, ok)
	}
	if m := d.Map(); len(m) != 3 || m["a"] != "a!" {
		t.Errorf("as a map: %v", m)
	}
	for k := range d.All() {
		if k == "a" {
			break // leaving is allowed
		}
	}
}

func FuzzDictionary(f *testing.F) {
	f.Add([]byte(`{"b":1,"a":2}`))
	f.Add([]byte("\x82\xa1b\x01\xa1a\x02"))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, src []byte) {
		var d, again dotnet.Dictionary[any]
		if (jsonwire.Codec{}).Decode(src, &d) == nil {
			out, err := jsonwire.Codec{}.Append(nil, d)
			if err != nil {
				t.Fatalf("%q was read but cannot be written: %v", src, err)
			}
			if err := (jsonwire.Codec{}).Decode(out, &again); err != nil || again.Len() != d.Len() {
				t.Fatalf("%q became %q: %v", src, out, err)
			}
		}
		if (msgpack.Codec{}).Decode(src, &d) == nil {
			out, err := msgpack.Codec{}.Append(nil, d)
			if err != nil {
				return // an extension among the values
			}
			if err := (msgpack.Codec{}).Decode(out, &again); err != nil || again.Len() != d.Len() {
				t.Fatalf("%x became %x: %v", src, out, err)
			}
		}
	})
}

func ExampleDictionary() {
	var scores dotnet.Dictionary[int]
	scores.Set("zoe", 3)
	scores.Set("ann", 1)
	text, err := scores.MarshalJSON()
	fmt.Println(string(text), err)
	// Output: {"zoe":3,"ann":1} <nil>
}
