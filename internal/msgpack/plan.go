package msgpack

import (
	"encoding"
	"reflect"
	"sync"
	"time"
)

// maxLevels is how many levels of containers, pointers and interfaces an
// encoder or decoder goes through. Pointers and interfaces are no levels of a
// message, so this is more than DefaultDepth.
const maxLevels = 4 * DefaultDepth

type (
	// An encodeFunc appends v, going down at most so many levels.
	encodeFunc func(dst []byte, v reflect.Value, levels int) ([]byte, error)
	// A decodeFunc decodes the value at b[i:] into v, which can be set, and
	// returns the index behind it. b has been checked by skip.
	decodeFunc func(b []byte, i int, v reflect.Value, levels int) (int, error)
)

// A plan is how values of one type are encoded and decoded. The two halves are
// made on first use, each by itself, so that a type may contain itself.
type plan struct {
	t reflect.Type

	encOnce sync.Once
	enc     encodeFunc
	decOnce sync.Once
	dec     decodeFunc
}

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(t, &plan{t: t})
	return p.(*plan)
}

func (p *plan) encode(dst []byte, v reflect.Value, levels int) ([]byte, error) {
	if levels <= 0 {
		return dst, errCycle
	}
	p.encOnce.Do(func() { p.enc = encoderOf(p.t) })
	return p.enc(dst, v, levels-1)
}

func (p *plan) decode(b []byte, i int, v reflect.Value, levels int) (int, error) {
	if levels <= 0 {
		return i, ErrDepth
	}
	p.decOnce.Do(func() { p.dec = decoderOf(p.t) })
	return p.dec(b, i, v, levels-1)
}

var (
	timeType          = reflect.TypeFor[time.Time]()
	appenderType      = reflect.TypeFor[Appender]()
	decoderType       = reflect.TypeFor[Decoder]()
	marshalTextType   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalTextType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// method says whether t itself, or only a pointer to it, implements an
// interface. Pointers and interfaces do not count: what they lead to does.
func method(t, iface reflect.Type) (has, byPointer bool) {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return false, false
	case t.Implements(iface):
		return true, false
	case reflect.PointerTo(t).Implements(iface):
		return true, true
	}
	return false, false
}

// isByte reports whether a slice or array of t is bytes.
func isByte(t reflect.Type) bool {
	if t.Kind() != reflect.Uint8 {
		return false
	}
	for _, iface := range []reflect.Type{appenderType, decoderType, marshalTextType, unmarshalTextType} {
		if has, _ := method(t, iface); has {
			return false
		}
	}
	return true
}
