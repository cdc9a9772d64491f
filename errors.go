package hubwire

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned when the hub or the connection has ended.
	ErrClosed = errors.New("hubwire: closed")
	// ErrSlow ends a connection whose queue is full or stands still; see Queue.
	ErrSlow = errors.New("hubwire: the client is too slow")
	// ErrShutdown ends the connections of a hub that shuts down. Clients are
	// told to reconnect.
	ErrShutdown = errors.New("hubwire: the hub shuts down")
	// ErrUnauthorized, returned by a Filter, refuses a call; every wire has its
	// own words for it.
	ErrUnauthorized = errors.New("hubwire: unauthorized")
	// ErrUnconfirmed is returned by a Send over a backplane that cannot tell
	// whether the event was taken: it may or may not arrive.
	ErrUnconfirmed = errors.New("hubwire: the backplane did not confirm the event")
	// ErrFull refuses a connection above Options.MaxConnections.
	ErrFull = errors.New("hubwire: too many connections")
)

// A Code says what kind of error an Error is. The names and numbers are gRPC's.
type Code uint32

// The codes, as in google.golang.org/grpc/codes.
const (
	CodeCanceled           Code = 1
	CodeUnknown            Code = 2
	CodeInvalidArgument    Code = 3
	CodeDeadlineExceeded   Code = 4
	CodeNotFound           Code = 5
	CodeAlreadyExists      Code = 6
	CodePermissionDenied   Code = 7
	CodeResourceExhausted  Code = 8
	CodeFailedPrecondition Code = 9
	CodeAborted            Code = 10
	CodeOutOfRange         Code = 11
	CodeUnimplemented      Code = 12
	CodeInternal           Code = 13
	CodeUnavailable        Code = 14
	CodeDataLoss           Code = 15
	CodeUnauthenticated    Code = 16
)

var codes = [...]string{"ok", "canceled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists", "permission denied", "resource exhausted", "failed precondition", "aborted", "out of range", "unimplemented", "internal", "unavailable", "data loss", "unauthenticated"}

// String is the code in words.
func (c Code) String() string {
	if int(c) < len(codes) {
		return codes[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// An Error is an error that the client may see. Its Message reaches the client
// on every wire; Code and Data where the wire has a place for them (SignalR has
// none). Any other error reaches the client as the wire's generic text, unless
// Options.DetailedErrors is set. The error of a remote call is an *Error too.
type Error struct {
	Code    Code
	Message string
	Data    any
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an *Error that the client may see.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// A panicError is what a panic in user code becomes.
type panicError struct{ v any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.v) }

// Panicked marks the error for wires that have a code for it.
func (*panicError) Panicked() {}
