package jsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// maxInner is how many errors inside of errors are shown, or read.
const maxInner = 50

// CommonErrorData is the data of an error as StreamJsonRpc writes and reads it by
// default. [DataOf] makes it of an error, and Options.ErrorData asks for it:
//
//	opts := jsonrpc.StreamJsonRpc()
//	opts.ErrorData = func(err error) any { return jsonrpc.DataOf(err) }
type CommonErrorData struct {
	Type    string           `json:"type"`    // of the exception
	Message string           `json:"message"` // its own
	Stack   string           `json:"stack"`   // empty: null
	Code    int32            `json:"code"`    // its HRESULT
	Inner   *CommonErrorData `json:"inner"`   // what caused it
}

// What .NET gives an exception that has no code of its own.
const hresult = -2146233088

// DataOf describes an error and those that it wraps. A type is that of the Go
// value, with its package; an error that has a method ErrorType() string says it
// itself.
func DataOf(err error) *CommonErrorData {
	var first, last *CommonErrorData
	for n := 0; err != nil && n < maxInner; n++ {
		d := &CommonErrorData{Type: errorType(err), Message: err.Error(), Code: hresult}
		if last == nil {
			first = d
		} else {
			last.Inner = d
		}
		last = d
		err = errors.Unwrap(err)
	}
	return first
}

func errorType(err error) string {
	if t, ok := err.(interface{ ErrorType() string }); ok {
		return t.ErrorType()
	}
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.String()
}

// MarshalJSON is an object with all members.
func (d CommonErrorData) MarshalJSON() ([]byte, error) {
	type plain CommonErrorData
	x := struct {
		plain
		Stack *string `json:"stack"`
	}{plain: plain(d)}
	if d.Stack != "" {
		x.Stack = &d.Stack
	}
	return jsonwire.Codec{}.Append(nil, x)
}

// UnmarshalJSON takes what there is.
func (d *CommonErrorData) UnmarshalJSON(src []byte) error {
	type member struct {
		Type    *string         `json:"type"`
		Message *string         `json:"message"`
		Stack   *string         `json:"stack"`
		Code    *int32          `json:"code"`
		Inner   json.RawMessage `json:"inner"`
	}
	*d = CommonErrorData{}
	at := d
	for range maxInner {
		var m member
		if err := (jsonwire.Codec{}).Decode(src, &m); err != nil {
			return err
		}
		at.Type, at.Message, at.Stack = text(m.Type), text(m.Message), text(m.Stack)
		if m.Code != nil {
			at.Code = *m.Code
		}
		if len(m.Inner) == 0 || string(m.Inner) == "null" {
			return nil
		}
		at.Inner = &CommonErrorData{}
		at, src = at.Inner, m.Inner
	}
	return nil
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// AppendMsgpack appends an array of the five.
func (d CommonErrorData) AppendMsgpack(dst []byte) ([]byte, error) {
	for at, n := &d, 1; ; n++ {
		dst = msgpack.AppendString(msgpack.AppendArrayHeader(dst, 5), at.Type)
		dst = msgpack.AppendString(dst, at.Message)
		if at.Stack != "" {
			dst = msgpack.AppendString(dst, at.Stack)
		} else {
			dst = msgpack.AppendNil(dst)
		}
		dst = msgpack.AppendInt(dst, int64(at.Code))
		if at = at.Inner; at == nil || n == maxInner {
			return msgpack.AppendNil(dst), nil
		}
	}
}

var errCommon = errors.New("jsonrpc: the data of the error is no CommonErrorData")

// DecodeMsgpack reads an array of the five.
func (d *CommonErrorData) DecodeMsgpack(src []byte) error {
	*d = CommonErrorData{}
	at := d
	for range maxInner {
		var r msgpack.Reader
		r.Reset(src)
		n, err := r.ReadArrayHeader()
		if err != nil || n < 5 {
			return errCommon
		}
		for _, p := range []*string{&at.Type, &at.Message, &at.Stack} {
			if r.ReadNil() {
				continue
			}
			s, err := r.ReadString()
			if err != nil {
				return errCommon
			}
			*p = msgpack.Text(s)
		}
		if !r.ReadNil() {
			if at.Code, err = r.ReadInt32(); err != nil {
				return errCommon
			}
		}
		if r.ReadNil() {
			return nil
		}
		if src, err = r.ReadRaw(); err != nil {
			return errCommon
		}
		at.Inner = &CommonErrorData{}
		at = at.Inner
	}
	return nil
}

// ExceptionData is the data of an error under StreamJsonRpc's strategy
// ISerializable: .NET's own form of an exception. As what Options.ErrorData gives,
// it makes the error's code CodeException.
type ExceptionData struct {
	ClassName              string         `json:"ClassName"`
	Message                string         `json:"Message"`
	Data                   any            `json:"Data"`
	InnerException         *ExceptionData `json:"InnerException"`
	HelpURL                *string        `json:"HelpURL"`
	StackTraceString       *string        `json:"StackTraceString"`
	RemoteStackTraceString *string        `json:"RemoteStackTraceString"`
	RemoteStackIndex       int32          `json:"RemoteStackIndex"`
	ExceptionMethod        *string        `json:"ExceptionMethod"`
	HResult                int32          `json:"HResult"`
	Source                 *string        `json:"Source"`
}

// NewExceptionData describes an error and those that it wraps.
func NewExceptionData(err error) *ExceptionData { return exception(DataOf(err)) }

func exception(d *CommonErrorData) *ExceptionData {
	var first, last *ExceptionData
	for ; d != nil; d = d.Inner {
		e := &ExceptionData{ClassName: d.Type, Message: d.Message, HResult: d.Code}
		if d.Stack != "" {
			e.StackTraceString = &d.Stack
		}
		if last == nil {
			first = e
		} else {
			last.InnerException = e
		}
		last = e
	}
	return first
}

// common is the same as CommonErrorData.
func (e *ExceptionData) common() *CommonErrorData {
	var first, last *CommonErrorData
	for n := 0; e != nil && n < maxInner; n++ {
		d := &CommonErrorData{Type: e.ClassName, Message: e.Message, Stack: text(e.StackTraceString), Code: e.HResult}
		if last == nil {
			first = d
		} else {
			last.Inner = d
		}
		last, e = d, e.InnerException
	}
	return first
}

// DecodeData decodes the data of a received error, in the notation in which it
// came.
func (e *Error) DecodeData(into any) error {
	switch d := e.Data.(type) {
	case nil:
		return errors.New("jsonrpc: the error has no data")
	case json.RawMessage:
		return jsonwire.Codec{}.Decode(d, into)
	case packed:
		return msgpack.Codec{}.Decode(d, into)
	}
	return fmt.Errorf("jsonrpc: the error's data is a %T", e.Data)
}

// RemoteData is the exception behind a call that a StreamJsonRpc peer has failed, in
// either of its forms; nil where there is none.
func RemoteData(err error) *CommonErrorData {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	if x, ok := e.Data.(*ExceptionData); ok {
		return x.common()
	}
	var d CommonErrorData
	if e.Code != CodeException && e.DecodeData(&d) == nil && d.Type != "" {
		return &d
	}
	var x ExceptionData
	if e.DecodeData(&x) == nil && x.ClassName != "" {
		return x.common()
	}
	return nil
}

// CodeException is the code of an error whose data is an ExceptionData.
const CodeException int64 = -32004

// withData gives an error its data.
func (e *Error) withData(err error, data func(error) any) {
	if e.Data != nil || data == nil {
		return
	}
	if _, own := errors.AsType[*Error](err); own {
		return // a handler's own: it has said what it has to say
	}
	if _, own := errors.AsType[*hubwire.Error](err); own {
		return
	}
	e.Data = data(err)
	switch e.Data.(type) {
	case *ExceptionData, ExceptionData:
		if e.Code == CodeFailed {
			e.Code = CodeException
		}
	}
}
