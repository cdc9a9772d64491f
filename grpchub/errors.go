package grpchub

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/wire"
)

// hubError is how a client is told of a failed call.
func hubError(err error, detailed bool) *hubpb.HubError {
	var f *wire.Fault
	name := ""
	if errors.As(err, &f) {
		name = f.Name
	}
	if e, ok := errors.AsType[*hubwire.Error](err); ok {
		code := e.Code
		if code == 0 {
			code = hubwire.CodeUnknown
		}
		return &hubpb.HubError{Message: valid(e.Message), Code: int32(code), Details: details(e.Data)}
	}
	out := func(code hubwire.Code, text string) *hubpb.HubError {
		return &hubpb.HubError{Message: valid(text), Code: int32(code)}
	}
	if f == nil {
		return out(hubwire.CodeUnknown, "An unexpected error occurred."+detail(err, detailed))
	}
	switch f.Kind {
	case wire.UnknownMethod:
		return out(hubwire.CodeUnimplemented, "There is no method "+name+".")
	case wire.BadArguments:
		return out(hubwire.CodeInvalidArgument, "The arguments of "+name+" do not bind."+detail(f.Err, detailed))
	case wire.Unauthorized:
		return out(hubwire.CodePermissionDenied, name+" is refused: the user is not authorized.")
	case wire.MustStream:
		return out(hubwire.CodeInvalidArgument, name+" is a stream; it was called as a method.")
	case wire.MustNotStream:
		return out(hubwire.CodeInvalidArgument, name+" is no stream; it was called as one.")
	case wire.WrongStreams:
		return out(hubwire.CodeInvalidArgument, name+" takes "+strconv.Itoa(f.Want)+" uploads; the call has "+strconv.Itoa(f.Got)+".")
	case wire.IDInUse:
		return out(hubwire.CodeAlreadyExists, "The id of the call is in use.")
	case wire.NilStream:
		return out(hubwire.CodeInternal, name+" returned no stream.")
	case wire.StreamFailed:
		return out(hubwire.CodeUnknown, "The stream "+name+" failed."+detail(f.Err, detailed))
	}
	return out(hubwire.CodeUnknown, name+" failed."+detail(f.Err, detailed))
}

// detail is the text of an error that is shown where details are (D 18).
func detail(err error, detailed bool) string {
	if err == nil || !detailed {
		return ""
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		name = "Error"
	}
	return fmt.Sprintf(" %s: %v", name, err)
}

func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// details are Error.Data as google.rpc has it: a message as it is, messages one
// by one, and anything else as a google.protobuf.Value.
func details(data any) []*anypb.Any {
	var out []*anypb.Any
	add := func(m proto.Message) {
		if a, err := anypb.New(m); err == nil {
			out = append(out, a)
		}
	}
	switch d := data.(type) {
	case nil:
	case *anypb.Any:
		out = append(out, d)
	case proto.Message:
		add(d)
	case []proto.Message:
		for _, m := range d {
			add(m)
		}
	default:
		b, err := json.Marshal(d)
		v := new(structpb.Value)
		if err == nil && v.UnmarshalJSON(b) == nil {
			add(v)
		}
	}
	return out
}

// refusal is the status of a connection that the hub does not take.
func refusal(err error) error {
	switch {
	case errors.Is(err, hubwire.ErrClosed), errors.Is(err, hubwire.ErrShutdown):
		return fail(hubwire.CodeUnavailable, "The hub shuts down.")
	case errors.Is(err, hubwire.ErrFull):
		return fail(hubwire.CodeUnavailable, "The hub has too many connections.")
	}
	if e, ok := errors.AsType[*hubwire.Error](err); ok {
		code := e.Code
		if code == 0 || code == hubwire.CodeUnknown {
			code = hubwire.CodePermissionDenied
		}
		return fail(code, e.Message)
	}
	return fail(hubwire.CodePermissionDenied, "The hub refuses the connection.")
}
