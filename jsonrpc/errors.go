package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// Codes of errors. Those of an application are best outside of -32768 to -32000.
const (
	CodeParse          int64 = -32700 // the message is no JSON
	CodeInvalidRequest int64 = -32600 // it is no JSON-RPC
	CodeMethodNotFound int64 = -32601
	CodeInvalidParams  int64 = -32602
	CodeInternal       int64 = -32603 // a panic
	CodeFailed         int64 = -32000 // the handler returned an error
	CodeGone           int64 = -32001 // what a token stands for is no more
	CodeUnserializable int64 = -32003 // the result cannot be encoded
	CodeCancelled      int64 = -32800 // the request was cancelled
)

// An Error is an error as it stands in an answer. A handler returns one to choose
// code and data; a call that was answered with an error returns one. It is also a
// *hubwire.Error, for errors.As: codes 1 to 16 are hubwire's own.
type Error struct {
	Code    int64
	Message string
	// Data is any value; that of a received error is a json.RawMessage.
	Data any
}

func (e *Error) Error() string { return e.Message }

// Unwrap is the error as a *hubwire.Error.
func (e *Error) Unwrap() error {
	x := &hubwire.Error{Code: hubwire.CodeUnknown, Message: e.Message, Data: e.Data}
	switch e.Code {
	case CodeInvalidParams, CodeInvalidRequest, CodeParse:
		x.Code = hubwire.CodeInvalidArgument
	case CodeMethodNotFound:
		x.Code = hubwire.CodeUnimplemented
	case CodeInternal:
		x.Code = hubwire.CodeInternal
	case CodeCancelled:
		x.Code = hubwire.CodeCanceled
	default:
		if e.Code >= 1 && e.Code <= 16 {
			x.Code = hubwire.Code(e.Code)
		}
	}
	return x
}

// codeOf is the code for one of hubwire's.
func codeOf(c hubwire.Code) int64 {
	switch c {
	case hubwire.CodeInvalidArgument:
		return CodeInvalidParams
	case hubwire.CodeUnimplemented:
		return CodeMethodNotFound
	case hubwire.CodeInternal:
		return CodeInternal
	case hubwire.CodeCanceled:
		return CodeCancelled
	case hubwire.CodeUnknown, 0:
		return CodeFailed
	}
	return int64(c)
}

// Texts of StreamJsonRpc.
const missingText = "An argument was not supplied for a required parameter."

func notFoundText(name []byte) string {
	return "No method by the name '" + textOf(name) + "' is found."
}

func unableText(name string, args int, why string) string {
	return fmt.Sprintf("Unable to find method '%s/%d' on {no object} for the following reasons: %s", name, args, why)
}

func decodeText(name string, position int, typ string) string {
	return fmt.Sprintf("Deserializing JSON-RPC argument with name %q and position %d to type %q failed: ", name, position, typ)
}

var errCancelled = &Error{Code: CodeCancelled, Message: "The task was cancelled."}

// errorOf is what the peer is told of a failed call.
func errorOf(err error, detailed bool, data func(error) any) *Error {
	f, ok := err.(*wire.Fault)
	if !ok {
		f = &wire.Fault{Kind: wire.Failed, Err: err}
	}
	switch f.Kind {
	case wire.UnknownMethod:
		return &Error{Code: CodeMethodNotFound, Message: "No method by the name '" + f.Name + "' is found."}
	case wire.BadArguments, wire.WrongStreams, wire.MustStream, wire.MustNotStream:
		e := &Error{Code: CodeInvalidParams, Message: "Invalid arguments for the method '" + f.Name + "'."}
		if f.Err != nil {
			e.Message += " " + f.Err.Error()
			if why := errors.Unwrap(f.Err); why != nil && detailed {
				e.Message += " " + why.Error()
			}
		}
		return e
	case wire.Unauthorized:
		return &Error{Code: int64(hubwire.CodePermissionDenied), Message: "Unauthorized."}
	case wire.NilStream:
		return &Error{Code: CodeInternal, Message: "The method returned no stream."}
	case wire.IDInUse:
		return &Error{Code: CodeInvalidRequest, Message: "The id is in use."}
	}
	e := failed(f.Err, detailed)
	if e.Code != CodeCancelled {
		e.withData(f.Err, data)
	}
	return e
}

// failed is what the peer is told of an error of a handler.
func failed(err error, detailed bool) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		x := *e
		return &x
	}
	if e, ok := errors.AsType[*hubwire.Error](err); ok {
		return &Error{Code: codeOf(e.Code), Message: e.Message, Data: e.Data}
	}
	if errors.Is(err, context.Canceled) {
		x := *errCancelled
		return &x
	}
	code, text := CodeFailed, "The method failed."
	if _, ok := errors.AsType[interface {
		error
		Panicked()
	}](err); ok {
		code, text = CodeInternal, "Internal error."
	}
	if detailed && err != nil {
		text = err.Error()
	}
	return &Error{Code: code, Message: text}
}

// parseError reads the error of an answer. What is missing is zero.
func (c *Conn) parseError(raw []byte) *Error {
	if c.parser.packed {
		return parsePackedError(raw)
	}
	return parseError(raw)
}

func parseError(raw []byte) *Error {
	e := &Error{}
	s := jsonwire.Scanner{MaxDepth: maxDepth + 2}
	s.Reset(raw)
	switch s.Kind() {
	case jsonwire.String: // net/rpc
		e.Message, _ = jsonwire.Text(raw)
		return e
	case jsonwire.Object:
	default:
		e.Message = fmt.Sprintf("%.200s", raw)
		return e
	}
	s.Object()
	for key, ok := s.Member(); ok; key, ok = s.Member() {
		switch string(key) {
		case "code":
			v, _ := s.Value()
			e.Code, _ = jsonwire.Int64(v)
		case "message":
			if v, kind := s.Value(); kind == jsonwire.String {
				e.Message, _ = jsonwire.Text(v)
			}
		case "data":
			if v, kind := s.Value(); kind != jsonwire.Null {
				e.Data = json.RawMessage(append([]byte(nil), v...))
			}
		default:
			s.Value()
		}
	}
	return e
}
