package msgpack

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Codec encodes and decodes single values. It implements wire.Codec, is used by
// many goroutines at once, and is comparable.
//
// Integers are written in the shortest form, float32 as float 32, float64 as
// float 64, []byte and [N]byte as bin, time.Time as a timestamp (its location is
// lost), other slices and arrays as arrays, maps as maps with sorted keys, nil
// pointers, slices, maps and interfaces as nil. A struct is a map from the names
// of its fields, or from what the tag `msgpack:"name,omitempty"` says; "-"
// leaves a field out, and embedded structs are flattened, by the rules of
// encoding/json. The json tag does not count. A type with MarshalText is a
// string, one with AppendMsgpack is what that writes.
//
// Reading, every integer that fits is taken for an integer, but no float; a
// float takes integers too; a string takes no bin, and what is not UTF-8 in it
// becomes U+FFFD; []byte also takes a string and an array of numbers from 0 to
// 255. nil is refused where the Go type has no nil (numbers, bools, arrays,
// structs, time.Time); a string takes it as "", the empty struct takes anything.
// A struct passes over keys that it does not know and takes the last of doubled
// ones, but refuses keys that are not strings; a map refuses doubled keys, nil
// and NaN as a key. An empty interface gets nil, bool, int64 (uint64 where it is
// larger), float64, string, []byte, time.Time, []any, map[string]any, or
// map[any]any if not all keys are strings; unknown extensions are refused.
//
// What cannot be encoded or decoded (channels, functions, complex numbers,
// cycles, structs all of whose fields are hidden) is an error, and so is a
// method of the value's own that panics.
type Codec struct{}

// An Appender writes itself, as exactly one value.
type Appender interface {
	AppendMsgpack(dst []byte) ([]byte, error)
}

// A Decoder reads itself from exactly one value, which is whole. It must not
// keep src.
type Decoder interface {
	DecodeMsgpack(src []byte) error
}

var (
	errBehind = errors.New("msgpack: bytes behind the value")
	errCycle  = fmt.Errorf("%w, or cyclic", ErrDepth)
)

// A pathError says in which field something went wrong.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string {
	return "msgpack: " + e.path + ": " + strings.TrimPrefix(e.err.Error(), "msgpack: ")
}

func (e *pathError) Unwrap() error { return e.err }

// at puts a field's name before an error.
func at(name string, err error) error {
	if p, ok := err.(*pathError); ok {
		return &pathError{name + "." + p.path, p.err}
	}
	return &pathError{name, err}
}

// ownError is the error of a value's own method.
func ownError(act string, err error) error {
	if strings.HasPrefix(err.Error(), "msgpack: ") {
		return err // made here
	}
	return fmt.Errorf("msgpack: %s: %w", act, err)
}

// Append appends v to dst.
func (Codec) Append(dst []byte, v any) ([]byte, error) {
	if out, ok := appendBasic(dst, v); ok {
		return out, nil
	}
	return appendGuarded(dst, v)
}

// appendBasic appends what needs no reflection.
func appendBasic(dst []byte, v any) (out []byte, ok bool) {
	switch v := v.(type) {
	case nil:
		return AppendNil(dst), true
	case string:
		return AppendString(dst, v), true
	case bool:
		return AppendBool(dst, v), true
	case int:
		return AppendInt(dst, int64(v)), true
	case int8:
		return AppendInt(dst, int64(v)), true
	case int16:
		return AppendInt(dst, int64(v)), true
	case int32:
		return AppendInt(dst, int64(v)), true
	case int64:
		return AppendInt(dst, v), true
	case uint:
		return AppendUint(dst, uint64(v)), true
	case uint8:
		return AppendUint(dst, uint64(v)), true
	case uint16:
		return AppendUint(dst, uint64(v)), true
	case uint32:
		return AppendUint(dst, uint64(v)), true
	case uint64:
		return AppendUint(dst, v), true
	case float32:
		return AppendFloat32(dst, v), true
	case float64:
		return AppendFloat64(dst, v), true
	case []byte:
		if v != nil {
			return AppendBytes(dst, v), true
		}
	case time.Time:
		return AppendTime(dst, v), true
	case *string:
		if v != nil {
			return AppendString(dst, *v), true
		}
	case *bool:
		if v != nil {
			return AppendBool(dst, *v), true
		}
	case *int:
		if v != nil {
			return AppendInt(dst, int64(*v)), true
		}
	case *int32:
		if v != nil {
			return AppendInt(dst, int64(*v)), true
		}
	case *int64:
		if v != nil {
			return AppendInt(dst, *v), true
		}
	case *float64:
		if v != nil {
			return AppendFloat64(dst, *v), true
		}
	default:
		return dst, false
	}
	return AppendNil(dst), true
}

func appendGuarded(dst []byte, v any) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = dst, fmt.Errorf("msgpack: encode: %T panicked: %v", v, r)
		}
	}()
	if out, err = appendAny(dst, v, maxLevels); err != nil {
		return dst, err
	}
	return out, nil
}

// Decode decodes the one value that src is into what into points to. On an
// error, into may have been written to in part.
func (Codec) Decode(src []byte, into any) error {
	var end int
	var err error
	switch p := into.(type) {
	case *string:
		if b, ok := wholeString(src); ok && p != nil {
			*p = Text(b)
			return nil
		}
		end, err = decodeScalar(src, p, head.string)
	case *bool:
		end, err = decodeScalar(src, p, head.bool)
	case *int:
		end, err = decodeScalar(src, p, signed[int])
	case *int8:
		end, err = decodeScalar(src, p, signed[int8])
	case *int16:
		end, err = decodeScalar(src, p, signed[int16])
	case *int32:
		end, err = decodeScalar(src, p, signed[int32])
	case *int64:
		end, err = decodeScalar(src, p, signed[int64])
	case *uint:
		end, err = decodeScalar(src, p, unsigned[uint])
	case *uint8:
		end, err = decodeScalar(src, p, unsigned[uint8])
	case *uint16:
		end, err = decodeScalar(src, p, unsigned[uint16])
	case *uint32:
		end, err = decodeScalar(src, p, unsigned[uint32])
	case *uint64:
		end, err = decodeScalar(src, p, unsigned[uint64])
	case *float32:
		end, err = decodeScalar(src, p, float[float32])
	case *float64:
		end, err = decodeScalar(src, p, float[float64])
	default:
		return decodeGuarded(src, into)
	}
	if err == nil && end != len(src) {
		err = errBehind
	}
	return err
}

func decodeGuarded(src []byte, into any) (err error) {
	// Before anything is allocated: everything is there, and not too deep.
	end, err := skip(src, 0, DefaultDepth)
	if err != nil {
		return err
	}
	if end != len(src) {
		return errBehind
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("msgpack: decode: %T panicked: %v", into, r)
		}
	}()
	return decodeInto(src, into)
}
