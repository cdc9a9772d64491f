package signalr

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// An exception is an error that .NET has under the name of a type: clients see
// that name under DetailedErrors, and a Disconnect callback sees the text.
type exception struct{ name, text string }

func (e *exception) Error() string { return e.text }

func invalidData(format string, args ...any) *exception {
	return &exception{"InvalidDataException", fmt.Sprintf(format, args...)}
}

var (
	errEndOfStream = &exception{"EndOfStreamException", "Attempted to read past the end of the stream."}
	errTwoGB       = &exception{"FormatException", "Messages over 2GB in size are not supported."}
	errTimeout     = &exception{"OperationCanceledException", "Client hasn't sent a message/ping within the configured ClientTimeoutInterval."}
	errPartial     = &exception{"InvalidDataException", "Connection terminated while reading a message."}
)

func errTooLarge(limit int) error {
	return invalidData("The maximum message size of %dB was exceeded. The message size can be configured in AddHubOptions.", limit)
}

// typeName is how an error's type is shown: that of an exception, else the
// exported Go name without package and star, else Error.
func typeName(err error) string {
	if e, ok := err.(*exception); ok {
		return e.name
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if r, _ := utf8.DecodeRuneInString(t.Name()); unicode.IsUpper(r) {
		return t.Name()
	}
	return "Error"
}

// detail is what follows a generic text: " HubException: text" for an
// *hubwire.Error, always; " Type: text" for others, if details are shown; else
// nothing (section 6.3).
func detail(err error, detailed bool) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*hubwire.Error](err); ok {
		return " HubException: " + e.Message
	}
	if !detailed {
		return ""
	}
	if e, ok := err.(*wire.ConnError); ok {
		return " IOException: " + e.Text()
	}
	return " " + typeName(err) + ": " + err.Error()
}

// closedWithError is the text of a Close message.
func closedWithError(err error, detailed bool) string {
	return "Connection closed with an error." + detail(err, detailed)
}

// failureText is the error of a Completion (section 6.3).
func failureText(err error, detailed bool) string {
	f, ok := errors.AsType[*wire.Fault](err)
	if !ok {
		return "An unexpected error occurred." + detail(err, detailed)
	}
	failed := func(d string) string {
		return "Failed to invoke '" + f.Name + "' due to an error on the server." + d
	}
	unexpected := func(d string) string {
		return "An unexpected error occurred invoking '" + f.Name + "' on the server." + d
	}
	switch f.Kind {
	case wire.UnknownMethod:
		return failed(" HubException: Method does not exist.")
	case wire.BadArguments:
		return failed(bindDetail(f.Err, detailed))
	case wire.Unauthorized:
		return "Failed to invoke '" + f.Name + "' because user is unauthorized"
	case wire.MustStream:
		return "The client attempted to invoke the streaming '" + f.Name + "' method with a non-streaming invocation."
	case wire.MustNotStream:
		return "The client attempted to invoke the non-streaming '" + f.Name + "' method with a streaming invocation."
	case wire.WrongStreams:
		return unexpected(" HubException: Client sent " + strconv.Itoa(f.Got) + " stream(s), Hub method expects " + strconv.Itoa(f.Want) + ".")
	case wire.StreamFailed:
		return "An error occurred on the server while streaming results." + detail(f.Err, detailed)
	case wire.NilStream:
		return "The value returned by the streaming method '" + f.Name + "' is not a ChannelReader<> or IAsyncEnumerable<>."
	case wire.IDInUse:
		return idInUse(f.Name)
	default:
		return unexpected(detail(f.Err, detailed))
	}
}

func idInUse(id string) string { return "Invocation ID '" + id + "' is already in use." }

// bindDetail: what the hub says of arguments has no type of its own; .NET's is
// InvalidDataException.
func bindDetail(err error, detailed bool) string {
	d := detail(err, detailed)
	if rest, ok := strings.CutPrefix(d, " Error: "); ok {
		return " InvalidDataException: " + rest
	}
	return d
}

// dotnetName is how .NET calls the type that into points to, for texts about
// values of the wrong type.
func dotnetName(into any) string {
	t := reflect.TypeOf(into)
	if t == nil {
		return "Object"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int32:
		return "Int32"
	case reflect.Int, reflect.Int64:
		return "Int64"
	case reflect.Int16:
		return "Int16"
	case reflect.Int8:
		return "SByte"
	case reflect.Uint8:
		return "Byte"
	case reflect.Uint16:
		return "UInt16"
	case reflect.Uint32:
		return "UInt32"
	case reflect.Uint, reflect.Uint64:
		return "UInt64"
	case reflect.Float32:
		return "Single"
	case reflect.Float64:
		return "Double"
	case reflect.Bool:
		return "Boolean"
	case reflect.String:
		return "String"
	case reflect.Slice, reflect.Array:
		return dotnetName(reflect.Zero(reflect.PointerTo(t.Elem())).Interface()) + "[]"
	case reflect.Map:
		return "Dictionary`2"
	case reflect.Interface:
		return "Object"
	}
	return t.Name()
}
