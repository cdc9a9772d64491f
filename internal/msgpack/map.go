package msgpack

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// A pair is the place of one key and its value in what has been written.
type pair struct{ key, value, end int }

// encodeMap writes maps in the order of their keys: strings as text, all others
// as they are written.
func encodeMap(t reflect.Type) encodeFunc {
	key, elem := planOf(t.Key()), planOf(t.Elem())
	return func(dst []byte, v reflect.Value, levels int) (_ []byte, err error) {
		if v.IsNil() {
			return AppendNil(dst), nil
		}
		if uint64(v.Len()) > math.MaxUint32 {
			return dst, errLong
		}
		dst = AppendMapHeader(dst, v.Len())
		start := len(dst)
		var some [16]pair
		pairs := some[:0]
		k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		for it := v.MapRange(); it.Next(); {
			k.SetIterKey(it)
			e.SetIterValue(it)
			p := pair{key: len(dst)}
			if dst, err = key.encode(dst, k, levels); err != nil {
				return dst, err
			}
			p.value = len(dst)
			if dst, err = elem.encode(dst, e, levels); err != nil {
				return dst, err
			}
			p.end = len(dst)
			pairs = append(pairs, p)
		}
		slices.SortFunc(pairs, func(a, b pair) int { return compareKeys(dst[a.key:a.value], dst[b.key:b.value]) })
		end := len(dst)
		for i, p := range pairs {
			if i > 0 && bytes.Equal(dst[p.key:p.value], dst[pairs[i-1].key:pairs[i-1].value]) {
				return dst, fmt.Errorf("msgpack: two keys of a %v are written alike", t)
			}
			dst = append(dst, dst[p.key:p.end]...)
		}
		copy(dst[start:end], dst[end:])
		return dst[:end], nil
	}
}

func compareKeys(a, b []byte) int {
	x, _ := readHead(a, 0)
	y, _ := readHead(b, 0)
	if x.kind == String && y.kind == String {
		return bytes.Compare(x.bytes(a), y.bytes(b))
	}
	return bytes.Compare(a, b)
}

// decodeMap makes a new map for each value.
func decodeMap(t reflect.Type) decodeFunc {
	key, elem := planOf(t.Key()), planOf(t.Elem())
	return func(b []byte, i int, v reflect.Value, levels int) (int, error) {
		h, err := readHead(b, i)
		switch {
		case err != nil:
			return i, err
		case h.kind == Nil:
			v.SetZero()
			return h.data, nil
		case h.kind != Map:
			return i, h.mismatch("map")
		}
		m := reflect.MakeMapWithSize(t, int(min(h.n, 64)))
		k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		i = h.data
		for range h.n {
			if b[i] == codeNil {
				return i, errNilKey
			}
			k.SetZero()
			if i, err = key.decode(b, i, k, levels); err != nil {
				return i, err
			}
			switch {
			case !k.Comparable():
				return i, errKey
			case !k.Equal(k):
				return i, errNaNKey
			case m.MapIndex(k).IsValid():
				return i, errDoubled
			}
			e.SetZero()
			if i, err = elem.decode(b, i, e, levels); err != nil {
				return i, err
			}
			m.SetMapIndex(k, e)
		}
		v.Set(m)
		return i, nil
	}
}
