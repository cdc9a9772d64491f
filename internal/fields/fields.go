// Package fields works out which fields of a struct a codec reads and writes,
// by the rules of encoding/json: names and options from a tag, embedded structs
// flattened, the field at the least depth wins, a tagged one before one that is
// not, and those that still clash are left out.
package fields

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A Field is one field of a struct, or of a struct embedded in it.
type Field struct {
	Name      string // from the tag, else the field's
	Type      reflect.Type
	Index     []int // for reflect.Value.FieldByIndex
	OmitEmpty bool  // option omitempty
	OmitZero  bool  // option omitzero

	tagged bool
}

// Of lists the fields of the struct type t, in the order of their declaration.
// key is the tag's, such as "json".
func Of(t reflect.Type, key string) []Field {
	var all []Field
	type embedded struct {
		t     reflect.Type
		index []int
	}
	level := []embedded{{t: t}}
	seen := map[reflect.Type]bool{}
	times := map[reflect.Type]int{t: 1} // how often a type is embedded at this level
	for len(level) > 0 {
		var deeper []embedded
		deeperTimes := map[reflect.Type]int{}
		for _, e := range level {
			if seen[e.t] {
				continue
			}
			seen[e.t] = true
			for i := range e.t.NumField() {
				sf := e.t.Field(i)
				f, structType, ok := parse(sf, key)
				if !ok {
					continue
				}
				f.Index = append(slices.Clone(e.index), i)
				if structType != nil {
					if deeperTimes[structType]++; deeperTimes[structType] == 1 {
						deeper = append(deeper, embedded{structType, f.Index})
					}
					continue
				}
				all = append(all, f)
				if times[e.t] > 1 {
					all = append(all, f) // twins, so that they clash
				}
			}
		}
		level, times = deeper, deeperTimes
	}
	return dominant(all)
}

// parse looks at one field. ok is false where a codec passes it over;
// embeds is the struct whose fields take the place of this one, if any.
func parse(sf reflect.StructField, key string) (f Field, embeds reflect.Type, ok bool) {
	t := sf.Type
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !sf.IsExported() && (!sf.Anonymous || t.Kind() != reflect.Struct) {
		return f, nil, false
	}
	tag := sf.Tag.Get(key)
	if tag == "-" {
		return f, nil, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if !validName(name) {
		name = ""
	}
	f = Field{Name: name, Type: sf.Type, tagged: name != ""}
	if !f.tagged {
		if sf.Anonymous && t.Kind() == reflect.Struct {
			return f, t, true
		}
		f.Name = sf.Name
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.OmitEmpty = true
		case "omitzero":
			f.OmitZero = true
		}
	}
	return f, nil, true
}

func validName(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return s != ""
}

// dominant leaves, for each name, the one field that wins, if there is one.
func dominant(all []Field) []Field {
	slices.SortFunc(all, func(a, b Field) int {
		if c := cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(len(a.Index), len(b.Index))); c != 0 {
			return c
		}
		if a.tagged != b.tagged {
			if a.tagged {
				return -1
			}
			return 1
		}
		return slices.Compare(a.Index, b.Index)
	})
	var out []Field
	for i := 0; i < len(all); {
		f, n := all[i], 1
		for i+n < len(all) && all[i+n].Name == f.Name {
			n++
		}
		if n == 1 || len(all[i+1].Index) != len(f.Index) || all[i+1].tagged != f.tagged {
			out = append(out, f)
		}
		i += n
	}
	slices.SortFunc(out, func(a, b Field) int { return slices.Compare(a.Index, b.Index) })
	return out
}

// Hidden reports whether the struct type t has something inside, but nothing
// that a codec would see, because its fields are not exported: a value that
// would get lost without a word.
func Hidden(t reflect.Type, key string) bool {
	if t.Size() == 0 || len(Of(t, key)) > 0 {
		return false
	}
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			return true
		}
	}
	return false
}
