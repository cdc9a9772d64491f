package msgpack

import (
	"encoding"
	"fmt"
	"math"
	"reflect"

	"github.com/hubwire/hubwire/internal/fields"
)

// decodeInto decodes b, which skip has checked, into what into points to.
func decodeInto(b []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("msgpack: decode: into %T, which is no pointer or nil", into)
	}
	_, err := planOf(v.Type().Elem()).decode(b, 0, v.Elem(), maxLevels)
	return err
}

// decoderOf makes the decoder of a type, once.
func decoderOf(t reflect.Type) decodeFunc {
	if has, _ := method(t, decoderType); has {
		return decodeOwn
	}
	if t == timeType {
		return decodeHead(func(h head, b []byte, v reflect.Value) error {
			at, err := h.time(b)
			v.Set(reflect.ValueOf(at))
			return err
		})
	}
	if has, _ := method(t, unmarshalTextType); has {
		return decodeHead(decodeText)
	}
	switch t.Kind() {
	case reflect.Bool:
		return decodeHead(func(h head, b []byte, v reflect.Value) error {
			x, err := h.bool(b)
			v.SetBool(x)
			return err
		})
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeHead(func(h head, _ []byte, v reflect.Value) error {
			n, err := h.int64()
			if err == nil && v.OverflowInt(n) {
				err = ErrRange
			}
			v.SetInt(n)
			return err
		})
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return decodeHead(func(h head, _ []byte, v reflect.Value) error {
			n, err := h.uint64()
			if err == nil && v.OverflowUint(n) {
				err = ErrRange
			}
			v.SetUint(n)
			return err
		})
	case reflect.Float32, reflect.Float64:
		return decodeHead(func(h head, _ []byte, v reflect.Value) error {
			f, err := h.float64()
			v.SetFloat(f)
			return err
		})
	case reflect.String:
		return decodeHead(func(h head, b []byte, v reflect.Value) error {
			s, err := h.string(b)
			v.SetString(s)
			return err
		})
	case reflect.Interface:
		return decodeInterface(t)
	case reflect.Pointer:
		return decodePointer(t)
	case reflect.Slice:
		if isByte(t.Elem()) {
			return decodeBytes
		}
		return decodeSlice(t)
	case reflect.Array:
		if isByte(t.Elem()) {
			return decodeByteArray
		}
		return decodeArray(t)
	case reflect.Map:
		return decodeMap(t)
	case reflect.Struct:
		return decodeStruct(t)
	}
	return func(_ []byte, i int, _ reflect.Value, _ int) (int, error) {
		return i, fmt.Errorf("msgpack: %v cannot be decoded", t)
	}
}

// decodeHead is for what is decoded from a head and the bytes behind it.
func decodeHead(set func(h head, b []byte, v reflect.Value) error) decodeFunc {
	return func(b []byte, i int, v reflect.Value, _ int) (int, error) {
		h, err := readHead(b, i)
		if err != nil {
			return i, err
		}
		if err := set(h, b, v); err != nil {
			return i, err
		}
		return h.end(), nil
	}
}

func decodeText(h head, b []byte, v reflect.Value) error {
	if h.kind == Nil && (v.Kind() == reflect.Slice || v.Kind() == reflect.Map || v.Kind() == reflect.String) {
		v.SetZero()
		return nil
	}
	if h.kind != String {
		return h.mismatch("string")
	}
	text := []byte(Text(h.bytes(b))) // its own to keep
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil {
		return ownError("decode", err)
	}
	return nil
}

func decodeOwn(b []byte, i int, v reflect.Value, _ int) (int, error) {
	end, err := skip(b, i, DefaultDepth)
	if err != nil {
		return i, err
	}
	if err := v.Addr().Interface().(Decoder).DecodeMsgpack(b[i:end:end]); err != nil {
		return i, ownError("decode", err)
	}
	return end, nil
}

func decodeInterface(t reflect.Type) decodeFunc {
	return func(b []byte, i int, v reflect.Value, levels int) (int, error) {
		if b[i] == codeNil {
			v.SetZero()
			return i + 1, nil
		}
		if t.NumMethod() > 0 {
			return i, fmt.Errorf("msgpack: %v cannot be decoded: it is an interface with methods", t)
		}
		x, end, err := decodeAny(b, i)
		if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return end, err
	}
}

func decodePointer(t reflect.Type) decodeFunc {
	elem := planOf(t.Elem())
	return func(b []byte, i int, v reflect.Value, levels int) (int, error) {
		if b[i] == codeNil {
			v.SetZero()
			return i + 1, nil
		}
		p := reflect.New(t.Elem())
		end, err := elem.decode(b, i, p.Elem(), levels)
		if err == nil {
			v.Set(p)
		}
		return end, err
	}
}

// readBytes reads what bytes can be read from: bin, a string, or an array of
// numbers. It does not copy the first two.
func readBytes(b []byte, i int) (data []byte, end int, err error) {
	h, err := readHead(b, i)
	if err != nil {
		return nil, i, err
	}
	switch h.kind {
	case Bytes, String:
		return h.bytes(b), h.end(), nil
	case Array:
		data = make([]byte, h.n)
		i = h.data
		for k := range data {
			e, err := readHead(b, i)
			if err != nil {
				return nil, i, err
			}
			if data[k], err = unsigned[uint8](e, b); err != nil {
				return nil, i, err
			}
			i = e.data
		}
		return data, i, nil
	}
	return nil, i, h.mismatch("bytes")
}

func decodeBytes(b []byte, i int, v reflect.Value, _ int) (int, error) {
	if b[i] == codeNil {
		v.SetZero()
		return i + 1, nil
	}
	data, end, err := readBytes(b, i)
	if err == nil {
		v.SetBytes(append(make([]byte, 0, len(data)), data...))
	}
	return end, err
}

func decodeByteArray(b []byte, i int, v reflect.Value, _ int) (int, error) {
	data, end, err := readBytes(b, i)
	if err != nil {
		return i, err
	}
	if len(data) != v.Len() {
		return i, fmt.Errorf("msgpack: %d bytes for %v", len(data), v.Type())
	}
	copy(v.Bytes(), data)
	return end, nil
}

func decodeSlice(t reflect.Type) decodeFunc {
	elem := planOf(t.Elem())
	// No more than 4 KiB at once are taken for elements that were not read yet.
	first := max(1, 4096/max(1, int(t.Elem().Size())))
	return func(b []byte, i int, v reflect.Value, levels int) (int, error) {
		h, err := readHead(b, i)
		switch {
		case err != nil:
			return i, err
		case h.kind == Nil:
			v.SetZero()
			return h.data, nil
		case h.kind != Array:
			return i, h.mismatch("array")
		}
		n := int(h.n)
		v.Set(reflect.MakeSlice(t, 0, min(n, first)))
		i = h.data
		for k := range n {
			if k == v.Cap() {
				v.Grow(1)
			}
			v.SetLen(k + 1)
			if i, err = elem.decode(b, i, v.Index(k), levels); err != nil {
				return i, err
			}
		}
		return i, nil
	}
}

func decodeArray(t reflect.Type) decodeFunc {
	elem := planOf(t.Elem())
	return func(b []byte, i int, v reflect.Value, levels int) (int, error) {
		h, err := readHead(b, i)
		switch {
		case err != nil:
			return i, err
		case h.kind != Array:
			return i, h.mismatch("array")
		case h.n != uint64(t.Len()):
			return i, fmt.Errorf("msgpack: %d elements for %v", h.n, t)
		}
		i = h.data
		for k := range t.Len() {
			if i, err = elem.decode(b, i, v.Index(k), levels); err != nil {
				return i, err
			}
		}
		return i, nil
	}
}

func decodeStruct(t reflect.Type) decodeFunc {
	if fields.Hidden(t, "msgpack") {
		return func(_ []byte, i int, _ reflect.Value, _ int) (int, error) {
			return i, fmt.Errorf("msgpack: %v cannot be decoded: its fields are not exported", t)
		}
	}
	if t.NumField() == 0 {
		return func(b []byte, i int, _ reflect.Value, _ int) (int, error) { return skip(b, i, math.MaxInt) }
	}
	all := fieldsOf(t)
	byName := make(map[string]*field, len(all))
	for i := range all {
		byName[all[i].Name] = &all[i]
	}
	name := t.Name()
	if name == "" {
		name = "struct"
	}
	return func(b []byte, i int, v reflect.Value, levels int) (int, error) {
		h, err := readHead(b, i)
		if err != nil {
			return i, err
		}
		if h.kind != Map {
			return i, h.mismatch("map")
		}
		i = h.data
		for range h.n {
			k, err := readHead(b, i)
			if err != nil {
				return i, err
			}
			if k.kind != String {
				return i, k.mismatch("string as a key")
			}
			f := byName[string(k.bytes(b))]
			i = k.end()
			if f == nil {
				if i, err = skip(b, i, DefaultDepth); err != nil {
					return i, err
				}
				continue
			}
			fv, err := f.make(v)
			if err == nil {
				fv.SetZero() // a doubled key counts as if it was the only one
				i, err = f.plan.decode(b, i, fv, levels)
			}
			if err != nil {
				return i, at(name, at(f.Name, err))
			}
		}
		return i, nil
	}
}

// make is in, but makes embedded structs where their pointers are nil.
func (f *field) make(v reflect.Value) (reflect.Value, error) {
	for k, i := range f.Index {
		if k > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, fmt.Errorf("msgpack: %v is embedded by a pointer and not exported", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}
