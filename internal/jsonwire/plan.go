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

// A plan is what has to be known of a Go type before encoding/json is let loose
// on it; above all, where in its JSON a null has no place. Only values in which
// a null occurs are walked with it.
type plan struct {
	name    string      // the type's, for errors
	refuses bool        // a null in this place
	inside  bool        // something inside may refuse; worked out when all is known
	to      *plan       // of what a pointer points to
	elem    *plan       // of elements or map values
	fields  []fieldPlan // of an object, in the order in which names are looked up

	// Below is set in the plan that planOf returns, not in those inside.
	endless   bool // somewhere is a pointer type that points to itself
	hiddenIn  bool // a struct all of whose fields are hidden, when decoded
	hiddenOut bool // the same, when encoded
}

type fieldPlan struct {
	name string
	plan *plan
}

var (
	timeType = reflect.TypeFor[time.Time]()
	jsonIn   = reflect.TypeFor[json.Unmarshaler]()
	jsonOut  = reflect.TypeFor[json.Marshaler]()
	textIn   = reflect.TypeFor[encoding.TextUnmarshaler]()
	textOut  = reflect.TypeFor[encoding.TextMarshaler]()

	plans sync.Map // reflect.Type to *plan
)

// check walks the value that comes next in s, which is valid JSON, and refuses
// it where it has a null in a place for which the Go type has no nil.
func (p *plan) check(s *Scanner) error {
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
func (p *plan) field(name string) *plan {
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

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	made := map[reflect.Type]*plan{}
	root := makePlan(t, made)
	for again := true; again; { // types may contain themselves
		again = false
		for _, p := range made {
			root.endless = root.endless || p.endless
			if !p.inside && p.anyInside() {
				p.inside, again = true, true
			}
		}
	}
	to := t
	for to.Kind() == reflect.Pointer && !root.endless {
		to = to.Elem()
	}
	if to.Kind() == reflect.Struct && fields.Hidden(to, "json") {
		p := reflect.PointerTo(to) // has the methods of both
		root.hiddenIn = !p.Implements(jsonIn) && !p.Implements(textIn)
		root.hiddenOut = !p.Implements(jsonOut) && !p.Implements(textOut)
	}
	p, _ := plans.LoadOrStore(t, root)
	return p.(*plan)
}

func (p *plan) anyInside() bool {
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

func makePlan(t reflect.Type, made map[reflect.Type]*plan) *plan {
	if p := made[t]; p != nil {
		return p
	}
	p := &plan{name: t.String()}
	made[t] = p
	kind := t.Kind()
	if kind != reflect.Pointer && reflect.PointerTo(t).Implements(jsonIn) {
		p.refuses = t == timeType // its UnmarshalJSON takes null, as all of the standard library's do
		return p
	}
	text := kind != reflect.Pointer && reflect.PointerTo(t).Implements(textIn)
	switch kind {
	case reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		p.refuses = true
	case reflect.Array:
		p.refuses = true
		if !text {
			p.elem = makePlan(t.Elem(), made)
		}
	case reflect.Slice, reflect.Map:
		if !text {
			p.elem = makePlan(t.Elem(), made)
		}
	case reflect.Pointer:
		p.to = makePlan(t.Elem(), made)
		for to := p.to; to != nil && !p.endless; to = to.to {
			p.endless = to == p || to.endless
		}
	case reflect.Struct:
		p.refuses = t.NumField() > 0
		if !text {
			p.fields = []fieldPlan{}
			for _, f := range fields.Of(t, "json") {
				p.fields = append(p.fields, fieldPlan{f.Name, makePlan(f.Type, made)})
			}
		}
	}
	return p
}
