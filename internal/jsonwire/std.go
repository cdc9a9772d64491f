package jsonwire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"unicode/utf8"
)

// This is the one file that calls encoding/json. Its meaning is v1's (D 19).
// Go 1.27 rewrites encoding/json on top of v2 and keeps that meaning for the
// functions used here, so nothing changes when the toolchain does. Should this
// file ever call encoding/json/v2 itself, behind a go1.27 build tag, it has to
// pass json.DefaultOptionsV1() and jsontext.EscapeForHTML(false).

// An encoder is a json.Encoder that appends to dst.
type encoder struct {
	dst []byte
	enc *json.Encoder
}

func (e *encoder) Write(p []byte) (int, error) {
	e.dst = append(e.dst, p...)
	return len(p), nil
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.enc = json.NewEncoder(e)
	e.enc.SetEscapeHTML(false)
	return e
}}

// stdAppend is json.Marshal without HTML escaping. A marshaler of the value's
// own that panics, or that returns what is not UTF-8, makes an error.
func stdAppend(dst []byte, v any) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = dst, fmt.Errorf("jsonwire: encode: %T panicked: %v", v, r)
		}
	}()
	if err := encodable(v); err != nil {
		return dst, err
	}
	e := encoders.Get().(*encoder)
	e.dst = dst
	err = e.enc.Encode(v)
	out = e.dst
	e.dst = nil
	encoders.Put(e) // not after a panic: nobody knows what state it is in
	if err != nil {
		return dst, fmt.Errorf("jsonwire: encode: %w", err)
	}
	out = out[:len(out)-1] // the newline
	if !utf8.Valid(out[len(dst):]) {
		return dst, fmt.Errorf("jsonwire: encode: %T made JSON that is not UTF-8", v)
	}
	return out, nil
}

// encodable refuses what encoding/json would lose or be lost in.
func encodable(v any) error {
	plan := planOf(reflect.TypeOf(v))
	if plan.hiddenOut {
		return fmt.Errorf("jsonwire: encode: %T: its fields are not exported", v)
	}
	// Of all cycles, encoding/json does not see pointers that lead to nothing but
	// themselves, once it is built on v2.
	endless := plan.endless
	r := reflect.ValueOf(v)
	for n := 0; !endless && (r.Kind() == reflect.Pointer || r.Kind() == reflect.Interface); n++ {
		r = r.Elem()
		endless = n == 100
	}
	if endless {
		return fmt.Errorf("jsonwire: encode: %T has a pointer that points to itself", v)
	}
	return nil
}

// stdDecode is json.Unmarshal. An unmarshaler of the value's own that panics
// makes an error.
func stdDecode(src []byte, into any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("jsonwire: decode: %T panicked: %v", into, r)
		}
	}()
	if err := json.Unmarshal(src, into); err != nil {
		return fmt.Errorf("jsonwire: decode: %w", err)
	}
	return nil
}
