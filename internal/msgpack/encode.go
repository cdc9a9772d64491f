package msgpack

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/hubwire/hubwire/internal/fields"
)

// appendAny appends v, whatever it is.
func appendAny(dst []byte, v any, levels int) ([]byte, error) {
	if out, ok := appendBasic(dst, v); ok {
		return out, nil
	}
	return planOf(reflect.TypeOf(v)).encode(dst, reflect.ValueOf(v), levels)
}

// encoderOf makes the encoder of a type, once.
func encoderOf(t reflect.Type) encodeFunc {
	if has, byPointer := method(t, appenderType); has {
		return encodeMethod(byPointer, appendOwn)
	}
	if t == timeType {
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) {
			if v.CanAddr() { // spares an allocation
				return AppendTime(dst, *v.Addr().Interface().(*time.Time)), nil
			}
			return AppendTime(dst, v.Interface().(time.Time)), nil
		}
	}
	if has, byPointer := method(t, marshalTextType); has {
		return encodeMethod(byPointer, appendMarshaledText)
	}
	switch t.Kind() {
	case reflect.Bool:
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) { return AppendBool(dst, v.Bool()), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) { return AppendInt(dst, v.Int()), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) { return AppendUint(dst, v.Uint()), nil }
	case reflect.Float32:
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) {
			return AppendFloat32(dst, float32(v.Float())), nil
		}
	case reflect.Float64:
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) { return AppendFloat64(dst, v.Float()), nil }
	case reflect.String:
		return func(dst []byte, v reflect.Value, _ int) ([]byte, error) { return AppendString(dst, v.String()), nil }
	case reflect.Interface:
		return func(dst []byte, v reflect.Value, levels int) ([]byte, error) {
			if v.IsNil() {
				return AppendNil(dst), nil
			}
			return appendAny(dst, v.Elem().Interface(), levels)
		}
	case reflect.Pointer:
		elem := planOf(t.Elem())
		return func(dst []byte, v reflect.Value, levels int) ([]byte, error) {
			if v.IsNil() {
				return AppendNil(dst), nil
			}
			return elem.encode(dst, v.Elem(), levels)
		}
	case reflect.Slice:
		if isByte(t.Elem()) {
			return func(dst []byte, v reflect.Value, _ int) ([]byte, error) {
				if v.IsNil() {
					return AppendNil(dst), nil
				}
				return appendLong(dst, v.Bytes())
			}
		}
		return encodeList(planOf(t.Elem()), true)
	case reflect.Array:
		if isByte(t.Elem()) {
			return func(dst []byte, v reflect.Value, _ int) ([]byte, error) {
				if !v.CanAddr() { // Bytes wants it
					c := reflect.New(t).Elem()
					c.Set(v)
					v = c
				}
				return appendLong(dst, v.Bytes())
			}
		}
		return encodeList(planOf(t.Elem()), false)
	case reflect.Map:
		return encodeMap(t)
	case reflect.Struct:
		return encodeStruct(t)
	}
	return func(dst []byte, _ reflect.Value, _ int) ([]byte, error) {
		return dst, fmt.Errorf("msgpack: %v cannot be encoded", t)
	}
}

var errLong = errors.New("msgpack: more than 2^32-1 bytes or elements")

func appendLong(dst, b []byte) ([]byte, error) {
	if uint64(len(b)) > math.MaxUint32 {
		return dst, errLong
	}
	return AppendBytes(dst, b), nil
}

// encodeMethod is for types that write themselves.
func encodeMethod(byPointer bool, call func(dst []byte, v any) ([]byte, error)) encodeFunc {
	return func(dst []byte, v reflect.Value, _ int) ([]byte, error) {
		if !byPointer {
			return call(dst, v.Interface())
		}
		if v.CanAddr() {
			return call(dst, v.Addr().Interface())
		}
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		return call(dst, p.Interface())
	}
}

func appendOwn(dst []byte, v any) ([]byte, error) {
	// The method gets the room behind dst, but not dst itself, to spoil.
	own, err := v.(Appender).AppendMsgpack(dst[len(dst):])
	if err != nil {
		return dst, ownError("encode", err)
	}
	if end, err := skip(own, 0, DefaultDepth); err != nil || end != len(own) {
		return dst, fmt.Errorf("msgpack: encode: %T did not append one value", v)
	}
	return append(dst, own...), nil
}

func appendMarshaledText(dst []byte, v any) ([]byte, error) {
	text, err := v.(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return dst, ownError("encode", err)
	}
	return AppendStringBytes(dst, text), nil
}

func encodeList(elem *plan, slice bool) encodeFunc {
	return func(dst []byte, v reflect.Value, levels int) (_ []byte, err error) {
		if slice && v.IsNil() {
			return AppendNil(dst), nil
		}
		n := v.Len()
		if uint64(n) > math.MaxUint32 {
			return dst, errLong
		}
		dst = AppendArrayHeader(dst, n)
		for i := range n {
			if dst, err = elem.encode(dst, v.Index(i), levels); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
}

// A field is a field of a struct, ready for use.
type field struct {
	fields.Field
	key  []byte // the name as it is written
	plan *plan
}

func fieldsOf(t reflect.Type) []field {
	var all []field
	for _, f := range fields.Of(t, "msgpack") {
		all = append(all, field{f, AppendString(nil, f.Name), planOf(f.Type)})
	}
	return all
}

// in is the field's value in the struct v, and false if that is inside of an
// embedded nil pointer.
func (f *field) in(v reflect.Value) (reflect.Value, bool) {
	for k, i := range f.Index {
		if k > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

func (f *field) omits(v reflect.Value) bool {
	if f.OmitZero && isZero(v) {
		return true
	}
	if !f.OmitEmpty {
		return false
	}
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// isZero asks the value's own method, where it has one.
func isZero(v reflect.Value) bool {
	if v.IsZero() {
		return true
	}
	type zeroer interface{ IsZero() bool }
	own, ok := v.Interface().(zeroer)
	if !ok && v.CanAddr() {
		own, ok = v.Addr().Interface().(zeroer)
	}
	return ok && own.IsZero()
}

func encodeStruct(t reflect.Type) encodeFunc {
	if fields.Hidden(t, "msgpack") {
		return func(dst []byte, _ reflect.Value, _ int) ([]byte, error) {
			return dst, fmt.Errorf("msgpack: %v cannot be encoded: its fields are not exported", t)
		}
	}
	all := fieldsOf(t)
	name := t.Name()
	if name == "" {
		name = "struct"
	}
	return func(dst []byte, v reflect.Value, levels int) (_ []byte, err error) {
		n := 0
		for i := range all {
			if fv, ok := all[i].in(v); ok && !all[i].omits(fv) {
				n++
			}
		}
		dst = AppendMapHeader(dst, n)
		for i := range all {
			f := &all[i]
			fv, ok := f.in(v)
			if !ok || f.omits(fv) {
				continue
			}
			dst = append(dst, f.key...)
			if dst, err = f.plan.encode(dst, fv, levels); err != nil {
				return dst, at(name, at(f.Name, err))
			}
		}
		return dst, nil
	}
}
