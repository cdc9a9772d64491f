package jsonwire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// stdDepth is how deep encoding/json goes. How deep a message may be is the
// affair of the protocol, whose Scanner has passed it before.
const stdDepth = 10_000

var errNull = errors.New("jsonwire: decode: null for a type that has no nil")

// Decode decodes the JSON in src, and nothing but one value, into what into
// points to. On an error, into may have been written to in part.
func (c Codec) Decode(src []byte, into any) error {
	switch p := into.(type) {
	case *string:
		return decodeString(src, p)
	case *bool:
		return decodeBool(src, p)
	case *int:
		return decodeInt(src, p, strconv.IntSize)
	case *int8:
		return decodeInt(src, p, 8)
	case *int16:
		return decodeInt(src, p, 16)
	case *int32:
		return decodeInt(src, p, 32)
	case *int64:
		return decodeInt(src, p, 64)
	case *uint:
		return decodeUint(src, p, strconv.IntSize)
	case *uint8:
		return decodeUint(src, p, 8)
	case *uint16:
		return decodeUint(src, p, 16)
	case *uint32:
		return decodeUint(src, p, 32)
	case *uint64:
		return decodeUint(src, p, 64)
	case *float32:
		return decodeFloat(src, p, 32)
	case *float64:
		return decodeFloat(src, p, 64)
	case *json.RawMessage:
		return decodeRaw(src, p)
	case *[]byte:
		return decodeBase64(src, p)
	case *any:
		return decodeAny(src, p)
	case *struct{}:
		_, _, err := one(src)
		return err
	case **string:
		return decodePointer(src, p)
	case **bool:
		return decodePointer(src, p)
	case **int:
		return decodePointer(src, p)
	case **int32:
		return decodePointer(src, p)
	case **int64:
		return decodePointer(src, p)
	case **float64:
		return decodePointer(src, p)
	}
	return decodeStd(src, into)
}

// one reads the one value that src is.
func one(src []byte) (raw []byte, kind Kind, err error) {
	s := Scanner{MaxDepth: stdDepth, UTF8: true}
	s.Reset(src)
	raw, kind = s.Value()
	if !s.End() {
		return nil, Invalid, fmt.Errorf("jsonwire: decode: %w", s.Err())
	}
	return raw, kind, nil
}

//go:noinline
func mismatch(kind Kind, into any) error {
	if kind == Null {
		return errNull
	}
	return fmt.Errorf("jsonwire: decode: %v for %T", kind, into)
}

//go:noinline
func badNumber(raw []byte, into any) error {
	if len(raw) > 40 {
		raw = append(raw[:40:40], "..."...)
	}
	return fmt.Errorf("jsonwire: decode: number %s for %T", raw, into)
}

//go:noinline
func nilPointer(into any) error { return fmt.Errorf("jsonwire: decode: into a nil %T", into) }

func decodeString(src []byte, p *string) error {
	raw, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind == Null:
		*p = ""
	case kind != String:
		return mismatch(kind, p)
	case bytes.IndexByte(raw, '\\') < 0:
		*p = string(raw[1 : len(raw)-1])
	default:
		*p = unescaped(raw[1 : len(raw)-1])
	}
	return nil
}

// unescaped has a frame of its own, which most strings do not need.
//
//go:noinline
func unescaped(raw []byte) string {
	var buf [256]byte
	return string(appendUnescaped(buf[:0], raw))
}

func decodeBool(src []byte, p *bool) error {
	_, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind != True && kind != False:
		return mismatch(kind, p)
	}
	*p = kind == True
	return nil
}

func decodeInt[T int | int8 | int16 | int32 | int64](src []byte, p *T, bits int) error {
	raw, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind != Number:
		return mismatch(kind, p)
	}
	n, ok := Int64(raw)
	if !ok || n != n<<(64-bits)>>(64-bits) {
		return badNumber(raw, p)
	}
	*p = T(n)
	return nil
}

func decodeUint[T uint | uint8 | uint16 | uint32 | uint64](src []byte, p *T, bits int) error {
	raw, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind != Number:
		return mismatch(kind, p)
	}
	n, ok := Uint64(raw)
	if !ok || n != n<<(64-bits)>>(64-bits) {
		return badNumber(raw, p)
	}
	*p = T(n)
	return nil
}

func decodeFloat[T float32 | float64](src []byte, p *T, bits int) error {
	raw, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind != Number:
		return mismatch(kind, p)
	}
	// The only error that is left is a number out of range, with an infinity as
	// the result.
	f, _ := strconv.ParseFloat(string(raw), bits)
	*p = T(f)
	return nil
}

func decodeRaw(src []byte, p *json.RawMessage) error {
	raw, _, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	}
	*p = append((*p)[:0], raw...)
	return nil
}

func decodeBase64(src []byte, p *[]byte) error {
	raw, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind == Null:
		*p = nil
		return nil
	case kind != String:
		return mismatch(kind, p)
	}
	text := raw[1 : len(raw)-1]
	if bytes.ContainsAny(text, "\\ \t") { // line breaks can only be escaped; the decoder skips them
		text = appendUnescaped(make([]byte, 0, len(text)), text)
		n := 0
		for _, c := range text {
			if c != ' ' && c != '\t' {
				text[n] = c
				n++
			}
		}
		text = text[:n]
	}
	b := make([]byte, 0, base64.StdEncoding.DecodedLen(len(text)))
	if b, err = base64.StdEncoding.Strict().AppendDecode(b, text); err != nil {
		return fmt.Errorf("jsonwire: decode: %w", err)
	}
	*p = b
	return nil
}

// decodeAny decodes what encoding/json makes of a value when it is not told:
// string, float64, bool, nil, []any, map[string]any.
func decodeAny(src []byte, p *any) error {
	if p == nil || *p != nil { // encoding/json decodes into what a pointer in there points to
		return decodeStd(src, p)
	}
	raw, kind, err := one(src)
	if err != nil {
		return err
	}
	switch kind {
	case Null:
	case True, False:
		*p = kind == True
	case String:
		var s string
		err = decodeString(raw, &s)
		*p = s
	case Number:
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return badNumber(raw, p)
		}
		*p = f
	default:
		return stdDecode(raw, p)
	}
	return err
}

func decodePointer[T any](src []byte, p **T) error {
	_, kind, err := one(src)
	switch {
	case err != nil:
		return err
	case p == nil:
		return nilPointer(p)
	case kind == Null:
		*p = nil
		return nil
	}
	v := *p
	if v == nil {
		v = new(T)
	}
	if err := (Codec{}).Decode(src, v); err != nil {
		return err
	}
	*p = v
	return nil
}

// decodeStd checks what encoding/json does not, and leaves the rest to it.
func decodeStd(src []byte, into any) error {
	s := Scanner{MaxDepth: stdDepth, UTF8: true}
	s.Reset(src)
	s.Value()
	if !s.End() {
		return fmt.Errorf("jsonwire: decode: %w", s.Err())
	}
	if t := reflect.TypeOf(into); t != nil && t.Kind() == reflect.Pointer {
		plan := planOf(t.Elem())
		switch {
		case plan.endless:
			return fmt.Errorf("jsonwire: decode: %T has a pointer that points to itself", into)
		case plan.hiddenIn:
			return fmt.Errorf("jsonwire: decode: %T: its fields are not exported", into)
		}
		if s.nulls && (plan.refuses || plan.inside) {
			s.Reset(src)
			if err := plan.check(&s); err != nil {
				return err
			}
		}
	}
	return stdDecode(src, into)
}
