package fields_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/hubwire/hubwire/internal/fields"
)

type (
	inner struct {
		A int
		B int `json:"b"`
		hidden
	}
	hidden struct{ H, A int }
	Deep   struct{ Z, B int }
	Left   struct {
		X int
		Y int `json:"y"`
		Deep
	}
	Right  struct{ X, Y int }
	Tagged struct {
		Other int `json:"X"`
	}
	Text   string
	lower  string
	Twice1 struct{ Deep }
	Twice2 struct{ Deep }
	Loop   struct {
		*Loop
		N int
	}
)

type all struct {
	inner
	*Left
	Right
	Text
	lower
	Named   Deep `json:"named"`
	Renamed Deep `json:"re-named,omitempty"`
	Skip    int  `json:"-"`
	Dash    int  `json:"-,"`
	Bad     int  `json:"a\"b"`
	Quoted  int  `json:",string"`
	Zero    int  `json:",omitzero,omitempty"`
	private int
	Other   int `msgpack:"o"`
}

// TestOf compares with the names that encoding/json writes.
func TestOf(t *testing.T) {
	for _, v := range []any{
		all{Left: &Left{}}, inner{}, hidden{}, Left{}, Loop{}, struct{}{}, struct{ a int }{},
		struct {
			Twice1
			Twice2
		}{},
		struct {
			Twice1
			Deep
		}{},
		struct {
			Left
			Right
			Tagged
		}{},
		struct {
			X int
			Y int `json:"X"`
		}{},
	} {
		var got []string
		for _, f := range fields.Of(reflect.TypeOf(v), "json") {
			if !f.OmitEmpty {
				got = append(got, f.Name)
			}
			if want := reflect.TypeOf(v).FieldByIndex(f.Index).Type; f.Type != want {
				t.Errorf("%T.%s: %v, want %v", v, f.Name, f.Type, want)
			}
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		want := make([]string, 0, len(m))
		for name := range m {
			if name != "re-named" { // omitempty has no effect on a struct
				want = append(want, name)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%T: %q, want %q", v, got, want)
		}
	}
}

func TestOfOptions(t *testing.T) {
	byName := map[string]fields.Field{}
	var order []string
	for _, f := range fields.Of(reflect.TypeFor[all](), "json") {
		byName[f.Name] = f
		order = append(order, f.Name)
	}
	if f := byName["Zero"]; !f.OmitZero || !f.OmitEmpty {
		t.Errorf("%+v", f)
	}
	if f := byName["re-named"]; f.OmitZero || !f.OmitEmpty {
		t.Errorf("%+v", f)
	}
	if !slices.Equal(order[:2], []string{"A", "b"}) {
		t.Error("not in the order of declaration:", order)
	}
	if f := fields.Of(reflect.TypeFor[all](), "msgpack"); f[len(f)-1].Name != "o" {
		t.Errorf("%+v", f[len(f)-1])
	}
}
