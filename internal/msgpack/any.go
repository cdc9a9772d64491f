package msgpack

import (
	"errors"
	"fmt"
	"math"
	"reflect"
)

var (
	errKey     = errors.New("msgpack: a value that cannot be a key")
	errNilKey  = errors.New("msgpack: nil as a key")
	errNaNKey  = errors.New("msgpack: NaN as a key")
	errDoubled = errors.New("msgpack: doubled key")
)

// decodeAny decodes the value at b[i:], which skip has checked, into what an
// empty interface holds.
func decodeAny(b []byte, i int) (v any, end int, err error) {
	h, err := readHead(b, i)
	if err != nil {
		return nil, i, err
	}
	switch h.kind {
	case Nil:
	case Bool:
		v = h.n != 0
	case Int:
		if !h.neg && h.n > math.MaxInt64 {
			v = h.n
		} else {
			v = int64(h.n)
		}
	case Float:
		v, err = h.float64()
	case String:
		v = Text(h.bytes(b))
	case Bytes:
		v = append([]byte{}, h.bytes(b)...)
	case Array:
		return anyArray(b, h)
	case Map:
		return anyMap(b, h)
	case Ext:
		if h.typ != timestamp {
			return nil, i, fmt.Errorf("msgpack: unknown extension type %d", h.typ)
		}
		v, err = h.time(b)
	}
	return v, h.end(), err
}

func anyArray(b []byte, h head) (v any, i int, err error) {
	list := make([]any, h.n)
	i = h.data
	for k := range list {
		if list[k], i, err = decodeAny(b, i); err != nil {
			return nil, i, err
		}
	}
	return list, i, nil
}

// anyMap makes a map[string]any while all keys are strings, and changes to
// map[any]any when one is not.
func anyMap(b []byte, h head) (v any, i int, err error) {
	byString := make(map[string]any, min(h.n, 64))
	var byAny map[any]any
	i = h.data
	for range h.n {
		var key, value any
		if key, i, err = decodeAny(b, i); err != nil {
			return nil, i, err
		}
		if value, i, err = decodeAny(b, i); err != nil {
			return nil, i, err
		}
		s, isString := key.(string)
		if isString && byAny == nil {
			if _, doubled := byString[s]; doubled {
				return nil, i, errDoubled
			}
			byString[s] = value
			continue
		}
		if byAny == nil {
			byAny = make(map[any]any, min(h.n, 64))
			for k, v := range byString {
				byAny[k] = v
			}
		}
		switch {
		case key == nil:
			return nil, i, errNilKey
		case !reflect.TypeOf(key).Comparable():
			return nil, i, errKey
		case isNaN(key):
			return nil, i, errNaNKey
		}
		if _, doubled := byAny[key]; doubled {
			return nil, i, errDoubled
		}
		byAny[key] = value
	}
	if byAny != nil {
		return byAny, i, nil
	}
	return byString, i, nil
}

func isNaN(v any) bool {
	f, ok := v.(float64)
	return ok && math.IsNaN(f)
}
