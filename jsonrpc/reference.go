package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// References are values that stand for something at one end of a connection: a
// Progress, a Sequence, an Object, an Observer, a Disposable, a Pipe. They may
// stand anywhere inside of arguments and results. What is written of one belongs
// to one message of one connection, so values that have references in them are
// copied, and the copies bound, before they are encoded; what was decoded is
// attached to its connection afterwards.

// A reference is a pointer to one of them.
type reference interface {
	// bind gives the reference its form in a message that is about to be written.
	// It is called on a copy.
	bind(b *binder) error
	// attach makes what was read of it work.
	attach(b *binder) error
}

// A form is what stands for a reference in a message, in the notation of the
// connection.
type form struct{ raw []byte }

var errUnbound = errors.New("jsonrpc: a reference can only be sent in a call of a *jsonrpc.Conn, or in the answer to one")

// MarshalJSON is for the codec.
func (f form) MarshalJSON() ([]byte, error) { return f.AppendMsgpack(nil) }

// UnmarshalJSON is for the codec.
func (f *form) UnmarshalJSON(src []byte) error { return f.DecodeMsgpack(src) }

// AppendMsgpack is for the codec.
func (f form) AppendMsgpack(dst []byte) ([]byte, error) {
	if f.raw == nil {
		return dst, errUnbound
	}
	return append(dst, f.raw...), nil
}

// DecodeMsgpack is for the codec.
func (f *form) DecodeMsgpack(src []byte) error {
	f.raw = append([]byte(nil), src...)
	return nil
}

// A binder is one message: what its references are bound and attached to.
type binder struct {
	conn *Conn
	ctx  context.Context // bounds the writing, with out
	out  *outCall        // the request of ours whose arguments are written
	in   *inCall         // the request of the peer whose arguments are read, or whose result is written
	only string          // not empty: what this is, where there must be no references
}

// holding says whether values of a type have references in them.
type holding uint8

const (
	holdsNone holding = iota
	holdsMaybe
	holdsSome
)

var (
	holdings sync.Map // reflect.Type to holding

	referenceType = reflect.TypeFor[reference]()
)

func isReference(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(referenceType)
}

func holdingOf(t reflect.Type) holding {
	if h, ok := holdings.Load(t); ok {
		return h.(holding)
	}
	h := findHolding(t, map[reflect.Type]bool{})
	holdings.Store(t, h)
	return h
}

var timeType = reflect.TypeFor[time.Time]()

func findHolding(t reflect.Type, seen map[reflect.Type]bool) (most holding) {
	if seen[t] || t == timeType {
		return holdsNone
	}
	seen[t] = true
	if isReference(t) {
		return holdsSome
	}
	switch t.Kind() {
	case reflect.Interface:
		return holdsMaybe
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return findHolding(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() || f.Anonymous {
				most = max(most, findHolding(f.Type, seen))
			}
		}
	}
	return most
}

// plain reports whether a value certainly has no reference in it: most have not,
// and this must cost nothing.
func plain(v any) bool {
	switch v.(type) {
	case nil, string, bool, int, int32, int64, uint, uint32, uint64, float32, float64, []byte, json.RawMessage, []string, []int:
		return true
	}
	return holdingOf(reflect.TypeOf(v)) == holdsNone
}

// maxWalk is how deep values are searched for references. Codecs refuse what is
// deeper.
const maxWalk = 1000

// A walker calls do for every reference in a value.
type walker struct {
	do func(reference) error
	// copies says that memory which values share is copied before it is changed.
	copies bool
}

// walk goes through v, which can be set.
func (w *walker) walk(v reflect.Value, depth int) error {
	t := v.Type()
	if depth > maxWalk || holdingOf(t) == holdsNone {
		return nil
	}
	if isReference(t) {
		return w.do(v.Addr().Interface().(reference))
	}
	switch t.Kind() {
	case reflect.Interface:
		if v.IsNil() || !v.CanSet() || !holds(v.Elem(), depth) {
			return nil
		}
		return w.replace(v, v.Elem(), depth)
	case reflect.Pointer:
		if v.IsNil() || !holds(v.Elem(), depth) {
			return nil
		}
		if w.copies {
			p := reflect.New(t.Elem())
			p.Elem().Set(v.Elem())
			v.Set(p)
		}
		return w.walk(v.Elem(), depth+1)
	case reflect.Slice:
		if w.copies {
			if !holds(v, depth) {
				return nil
			}
			s := reflect.MakeSlice(t, v.Len(), v.Len())
			reflect.Copy(s, v)
			v.Set(s)
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			if err := w.walk(v.Index(i), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		return w.walkMap(v, depth)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				if err := w.walk(v.Field(i), depth+1); err != nil {
					return fmt.Errorf("%s: %w", f.Name, err)
				}
			}
		}
	}
	return nil
}

// replace walks through a copy of from and puts it into v.
func (w *walker) replace(v, from reflect.Value, depth int) error {
	c := reflect.New(from.Type()).Elem()
	c.Set(from)
	if err := w.walk(c, depth+1); err != nil {
		return err
	}
	v.Set(c)
	return nil
}

func (w *walker) walkMap(v reflect.Value, depth int) error {
	if v.IsNil() || !holds(v, depth) {
		return nil
	}
	m := reflect.MakeMapWithSize(v.Type(), v.Len())
	for it := v.MapRange(); it.Next(); {
		c := reflect.New(v.Type().Elem()).Elem()
		c.Set(it.Value())
		if err := w.walk(c, depth+1); err != nil {
			return err
		}
		m.SetMapIndex(it.Key(), c)
	}
	v.Set(m)
	return nil
}

// holds reports whether there is a reference in v.
func holds(v reflect.Value, depth int) bool {
	t := v.Type()
	switch holdingOf(t) {
	case holdsNone:
		return false
	case holdsSome:
		return true
	}
	if depth > maxWalk {
		return false
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer:
		return !v.IsNil() && holds(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holds(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if holds(it.Value(), depth+1) {
				return true
			}
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); (f.IsExported() || f.Anonymous) && holds(v.Field(i), depth+1) {
				return true
			}
		}
	}
	return false
}

// A bindingCodec is the codec of one message.
type bindingCodec struct {
	base wire.Codec
	binder
}

// codec is a codec for a message that may have references in it.
func (c *Conn) codec(b binder) wire.Codec {
	b.conn = c
	return &bindingCodec{c.svc.d.Codec(), b}
}

// Append implements wire.Codec.
func (c *bindingCodec) Append(dst []byte, v any) ([]byte, error) {
	if plain(v) || !holds(reflect.ValueOf(v), 0) {
		return c.base.Append(dst, v)
	}
	if c.only != "" {
		return dst, fmt.Errorf("jsonrpc: %T has a reference in it, which %s cannot carry", v, c.only)
	}
	p := reflect.New(reflect.TypeOf(v)).Elem()
	p.Set(reflect.ValueOf(v))
	w := walker{copies: true, do: func(r reference) error { return r.bind(&c.binder) }}
	if err := w.walk(p, 0); err != nil {
		return dst, err
	}
	return c.base.Append(dst, p.Interface())
}

// Decode implements wire.Codec.
func (c *bindingCodec) Decode(src []byte, into any) error {
	if err := c.base.Decode(src, into); err != nil {
		return err
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || holdingOf(v.Type().Elem()) != holdsSome {
		return nil // what an empty interface gets is plain
	}
	w := walker{do: func(r reference) error { return r.attach(&c.binder) }}
	return w.walk(v.Elem(), 0)
}
