package jsonwire

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire/internal/fields"
)

// A nullPlan says for one Go type where in its JSON a null has no place. Only
// values in which a null occurs are walked with it.
type nullPlan struct {
	name    string      // the type's, for errors
	refuses bool        // a null in this place
	inside  bool        // something inside may refuse; worked out when all is known
	endless bool        // a pointer type that points to itself, or (in a root) something inside
	to      *nullPlan   // of what a pointer points to
	elem    *nullPlan   // of elements or map values
	fields  []fieldPlan // of an object, in the order in which names are looked up
}

type fieldPlan struct {
	name string
	plan *nullPlan
}

var (
	timeType = reflect.TypeFor[time.Time]()
	jsonType = reflect.TypeFor[json.Unmarshaler]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()

	nullPlans sync.Map // reflect.Type to *nullPlan
)

// check walks the value that comes next in s, which is valid JSON, and refuses
// it where it has a null in a place for which the Go type has no nil.
func (p *nullPlan) check(s *Scanner) error {
	kind := s.Kind()
	for kind != Null && p.inside && p.to != nil {
		p = p.to
	}
	switch {
	case kind == Null && p.refuses:
		return fmt.Errorf("%w (%s)", errNull, p.name)
	case kind == Array && p.inside && p.elem != nil:
		for s.Array(); s.Element(); {
			if err := p.elem.check(s); err != nil {
				return err
			}
		}
	case kind == Object && p.inside && p.fields != nil:
		s.Object()
		for key, ok := s.Member(); ok; key, ok = s.Member() {
			if f := p.field(string(key)); f == nil {
				s.Value()
			} else if err := f.check(s); err != nil {
				return err
			}
		}
	case kind == Object && p.inside && p.elem != nil:
		s.Object()
		for _, ok := s.Member(); ok; _, ok = s.Member() {
			if err := p.elem.check(s); err != nil {
				return err
			}
		}
	default:
		s.Value()
	}
	return nil
}

// field is the field that encoding/json takes for a name: the one of that name,
// else the first that differs in case only.
func (p *nullPlan) field(name string) *nullPlan {
	for _, f := range p.fields {
		if f.name == name {
			return f.plan
		}
	}
	for _, f := range p.fields {
		if strings.EqualFold(f.name, name) {
			return f.plan
		}
	}
	return nil
}

func nullPlanOf(t reflect.Type) *nullPlan {
	if p, ok := nullPlans.Load(t); ok {
		return p.(*nullPlan)
	}
	made := map[reflect.Type]*nullPlan{}
	root := makeNullPlan(t, made)
	for again := true; again; { // types may contain themselves
		again = false
		for _, p := range made {
			root.endless = root.endless || p.endless
			if !p.inside && p.anyInside() {
				p.inside, again = true, true
			}
		}
	}
	p, _ := nullPlans.LoadOrStore(t, root)
	return p.(*nullPlan)
}

func (p *nullPlan) anyInside() bool {
	if p.to != nil {
		return p.to.inside
	}
	if p.elem != nil && (p.elem.refuses || p.elem.inside) {
		return true
	}
	for _, f := range p.fields {
		if f.plan.refuses || f.plan.inside {
			return true
		}
	}
	return false
}

func makeNullPlan(t reflect.Type, made map[reflect.Type]*nullPlan) *nullPlan {
	if p := made[t]; p != nil {
		return p
	}
	p := &nullPlan{name: t.String()}
	made[t] = p
	kind := t.Kind()
	if kind != reflect.Pointer && reflect.PointerTo(t).Implements(jsonType) {
		p.refuses = t == timeType // its UnmarshalJSON takes null, as all of the standard library's do
		return p
	}
	text := kind != reflect.Pointer && reflect.PointerTo(t).Implements(textType)
	switch kind {
	case reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		p.refuses = true
	case reflect.Array:
		p.refuses = true
		if !text {
			p.elem = makeNullPlan(t.Elem(), made)
		}
	case reflect.Slice, reflect.Map:
		if !text {
			p.elem = makeNullPlan(t.Elem(), made)
		}
	case reflect.Pointer:
		p.to = makeNullPlan(t.Elem(), made)
		for to := p.to; to != nil && !p.endless; to = to.to {
			p.endless = to == p || to.endless
		}
	case reflect.Struct:
		p.refuses = t.NumField() > 0
		if !text {
			p.fields = []fieldPlan{}
			for _, f := range fields.Of(t, "json") {
				p.fields = append(p.fields, fieldPlan{f.Name, makeNullPlan(f.Type, made)})
			}
		}
	}
	return p
}
