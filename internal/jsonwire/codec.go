package jsonwire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Codec encodes and decodes single values. It implements wire.Codec, is used by
// many goroutines at once, and is comparable.
//
// Encoding is encoding/json's without HTML escaping. In Go strings that are not
// UTF-8 the wrong bytes become U+FFFD; a marshaler that returns such bytes, a
// NaN or an infinity, a cycle, a channel, a function or a complex number is an
// error, and so are a marshaler that panics and a struct, as the whole value,
// that has fields but no exported ones.
//
// Decoding is encoding/json's, but for:
//
//   - null. It is refused where the Go type has no nil: for numbers, bools,
//     arrays, structs and time.Time, at any depth. A string takes it as "". A
//     type with an UnmarshalJSON method decides for itself. Whoever wants to
//     know null from zero declares a pointer.
//   - struct{} takes anything: it is what one declares who wants no result.
//   - text that is not UTF-8, and escapes that are half of a surrogate pair,
//     are refused.
//   - []byte, where it is the whole value, is the standard base64 alphabet with
//     padding and may have white space inside; an array of numbers is refused.
//   - float32 and float64, where they are the whole value, take numbers that
//     are too large as infinities, as .NET and JavaScript do.
//
// Common types (strings, numbers, bools, []byte, json.RawMessage, any with one
// of these in it, and pointers to them) take neither reflection nor more
// allocations than their own value needs.
type Codec struct{}

// Append appends the JSON of v to dst.
func (Codec) Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil: // null, below
	case string:
		return AppendString(dst, v), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int8:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int16:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int32:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint8:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint16:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint32:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case float32:
		return appendFloat(dst, float64(v), 32)
	case float64:
		return appendFloat(dst, v, 64)
	case []byte:
		return appendBase64(dst, v), nil
	case json.RawMessage:
		return appendRaw(dst, v)
	case *string:
		if v != nil {
			return AppendString(dst, *v), nil
		}
	case *bool:
		if v != nil {
			return strconv.AppendBool(dst, *v), nil
		}
	case *int:
		if v != nil {
			return strconv.AppendInt(dst, int64(*v), 10), nil
		}
	case *int32:
		if v != nil {
			return strconv.AppendInt(dst, int64(*v), 10), nil
		}
	case *int64:
		if v != nil {
			return strconv.AppendInt(dst, *v, 10), nil
		}
	case *uint32:
		if v != nil {
			return strconv.AppendUint(dst, uint64(*v), 10), nil
		}
	case *uint64:
		if v != nil {
			return strconv.AppendUint(dst, *v, 10), nil
		}
	case *float64:
		if v != nil {
			return appendFloat(dst, *v, 64)
		}
	case *[]byte:
		if v != nil {
			return appendBase64(dst, *v), nil
		}
	case *json.RawMessage:
		if v != nil {
			return appendRaw(dst, *v)
		}
	default:
		return stdAppend(dst, v)
	}
	return append(dst, "null"...), nil // nil, or a nil pointer
}

// appendFloat writes f as encoding/json does: shortest, with an exponent where
// JavaScript has one.
func appendFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("jsonwire: encode: %v is no JSON number", f)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 &&
		(bits == 64 && (abs < 1e-6 || abs >= 1e21) || bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21)) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1] // 1e-09 is 1e-9
		dst = dst[:n-1]
	}
	return dst, nil
}

func appendBase64(dst, b []byte) []byte {
	if b == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendRaw appends raw as it is, or without white space.
func appendRaw(dst, raw []byte) ([]byte, error) {
	if raw == nil {
		return append(dst, "null"...), nil
	}
	s := Scanner{MaxDepth: stdDepth, UTF8: true}
	s.Reset(raw)
	s.Value()
	if !s.End() {
		return dst, fmt.Errorf("jsonwire: encode: json.RawMessage: %w", s.Err())
	}
	if !s.spaces {
		return append(dst, raw...), nil
	}
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case ' ', '\t', '\r', '\n':
		case '"':
			end, _ := s.str(i)
			dst = append(dst, raw[i:end]...)
			i = end - 1
		default:
			dst = append(dst, c)
		}
	}
	return dst, nil
}
