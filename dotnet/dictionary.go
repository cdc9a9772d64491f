package dotnet

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// A Dictionary is a Dictionary<string, V>: a map that is written in the order in
// which its keys came, where Go's maps are written sorted. Use it where a .NET
// peer cares for the order.
//
// The zero Dictionary is empty, ready for use, and null on the wire until
// something is set. It is not for use by two goroutines while one of them
// changes it. V is what the codecs take: null is refused where V has no nil.
type Dictionary[V any] struct {
	keys   []string
	values map[string]V
}

var errDictionary = errors.New("dotnet: dictionary: not a map from strings")

// Len is the number of keys.
func (d Dictionary[V]) Len() int { return len(d.keys) }

// Get is the value of a key, and whether there is one.
func (d Dictionary[V]) Get(key string) (V, bool) {
	v, ok := d.values[key]
	return v, ok
}

// Set sets the value of a key: in the key's place if it has one, else behind
// all others.
func (d *Dictionary[V]) Set(key string, v V) {
	d.make()
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = v
}

// Delete removes a key.
func (d *Dictionary[V]) Delete(key string) {
	if _, ok := d.values[key]; ok {
		delete(d.values, key)
		d.keys = slices.DeleteFunc(d.keys, func(k string) bool { return k == key })
	}
}

// All ranges over keys and values, in order.
func (d Dictionary[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range d.keys {
			if !yield(k, d.values[k]) {
				return
			}
		}
	}
}

// Map is a copy as an ordinary map; nil for one that is null.
func (d Dictionary[V]) Map() map[string]V { return maps.Clone(d.values) }

func (d *Dictionary[V]) make() {
	if d.values == nil {
		d.values = map[string]V{}
	}
}

// MarshalJSON is an object, or null.
func (d Dictionary[V]) MarshalJSON() ([]byte, error) {
	if d.values == nil {
		return []byte("null"), nil
	}
	out := []byte{'{'}
	for i, k := range d.keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(jsonwire.AppendString(out, k), ':')
		var err error
		if out, err = (jsonwire.Codec{}).Append(out, d.values[k]); err != nil {
			return nil, fmt.Errorf("dotnet: dictionary: %w", err)
		}
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads an object, or null. Of doubled keys the last counts, in
// the place of the first.
func (d *Dictionary[V]) UnmarshalJSON(src []byte) error {
	var out Dictionary[V]
	s := jsonwire.Scanner{UTF8: true}
	s.Reset(src)
	switch s.Kind() {
	case jsonwire.Null:
		*d = out
		return nil
	case jsonwire.Object:
	default:
		return errDictionary
	}
	out.make()
	s.Object()
	for key, ok := s.Member(); ok; key, ok = s.Member() {
		k := string(key)
		raw, _ := s.Value()
		if s.Err() != nil {
			break
		}
		var v V
		if err := (jsonwire.Codec{}).Decode(raw, &v); err != nil {
			return fmt.Errorf("dotnet: dictionary: %w", err)
		}
		out.Set(k, v)
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("dotnet: dictionary: %w", err)
	}
	*d = out
	return nil
}

// AppendMsgpack appends a map, or nil.
func (d Dictionary[V]) AppendMsgpack(dst []byte) ([]byte, error) {
	if d.values == nil {
		return msgpack.AppendNil(dst), nil
	}
	dst = msgpack.AppendMapHeader(dst, len(d.keys))
	for _, k := range d.keys {
		dst = msgpack.AppendString(dst, k)
		var err error
		if dst, err = (msgpack.Codec{}).Append(dst, d.values[k]); err != nil {
			return dst, fmt.Errorf("dotnet: dictionary: %w", err)
		}
	}
	return dst, nil
}

// DecodeMsgpack reads a map, or nil. A doubled key is an error, as in
// MessagePack-CSharp.
func (d *Dictionary[V]) DecodeMsgpack(src []byte) error {
	var out Dictionary[V]
	var r msgpack.Reader
	r.Reset(src)
	if r.ReadNil() {
		*d = out
		return nil
	}
	n, err := r.ReadMapHeader()
	if err != nil {
		return errDictionary
	}
	out.make()
	for range n {
		key, err := r.ReadString()
		if err != nil {
			return errDictionary
		}
		k := msgpack.Text(key)
		if _, ok := out.values[k]; ok {
			return errors.New("dotnet: dictionary: doubled key")
		}
		raw, err := r.ReadRaw()
		if err != nil {
			return fmt.Errorf("dotnet: dictionary: %w", err)
		}
		var v V
		if err := (msgpack.Codec{}).Decode(raw, &v); err != nil {
			return fmt.Errorf("dotnet: dictionary: %w", err)
		}
		out.Set(k, v)
	}
	*d = out
	return nil
}
