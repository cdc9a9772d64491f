package sse

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// statuses are the HTTP statuses of the codes, as google.rpc.Code has them.
var statuses = [...]int{
	hubwire.CodeCanceled:           499,
	hubwire.CodeUnknown:            http.StatusInternalServerError,
	hubwire.CodeInvalidArgument:    http.StatusBadRequest,
	hubwire.CodeDeadlineExceeded:   http.StatusGatewayTimeout,
	hubwire.CodeNotFound:           http.StatusNotFound,
	hubwire.CodeAlreadyExists:      http.StatusConflict,
	hubwire.CodePermissionDenied:   http.StatusForbidden,
	hubwire.CodeResourceExhausted:  http.StatusTooManyRequests,
	hubwire.CodeFailedPrecondition: http.StatusBadRequest,
	hubwire.CodeAborted:            http.StatusConflict,
	hubwire.CodeOutOfRange:         http.StatusBadRequest,
	hubwire.CodeUnimplemented:      http.StatusNotImplemented,
	hubwire.CodeInternal:           http.StatusInternalServerError,
	hubwire.CodeUnavailable:        http.StatusServiceUnavailable,
	hubwire.CodeDataLoss:           http.StatusInternalServerError,
	hubwire.CodeUnauthenticated:    http.StatusForbidden, // 401 is the middleware's, which has a challenge
}

func statusOf(c hubwire.Code) int {
	if int(c) < len(statuses) && statuses[c] != 0 {
		return statuses[c]
	}
	return http.StatusInternalServerError
}

var (
	errUploads  = hubwire.Errorf(hubwire.CodeUnimplemented, "Clients cannot stream to the hub over Server-Sent Events.")
	errEnded    = hubwire.Errorf(hubwire.CodeCanceled, "The connection ended before the call.")
	errFull     = hubwire.Errorf(hubwire.CodeUnavailable, "Too many connections")
	errClosing  = hubwire.Errorf(hubwire.CodeUnavailable, "The server is shutting down")
	errNotArray = hubwire.Errorf(hubwire.CodeInvalidArgument, "The arguments are no JSON array.")
)

// A refusedError is the refusal of a call's own connection.
type refusedError struct {
	status int
	public *hubwire.Error
}

func (e *refusedError) Error() string { return e.public.Message }

// failure is how a failed call is told: the status, where one can be told, and
// the error.
func (m *mount) failure(err error) (int, *hubwire.Error) {
	if r, ok := err.(*refusedError); ok {
		return r.status, r.public
	}
	f, ok := errors.AsType[*wire.Fault](err)
	if err == errEnded {
		return http.StatusGone, errEnded
	} else if !ok {
		e := m.public(err, "The call failed.")
		return statusOf(e.Code), e
	}
	switch f.Kind {
	case wire.UnknownMethod:
		return http.StatusNotFound, hubwire.Errorf(hubwire.CodeNotFound, "There is no method %s.", f.Name)
	case wire.BadArguments:
		e := m.public(f.Err, "The arguments do not fit "+f.Name+".")
		e.Code = hubwire.CodeInvalidArgument
		return http.StatusBadRequest, e
	case wire.Unauthorized:
		return http.StatusForbidden, hubwire.Errorf(hubwire.CodePermissionDenied, "You may not call %s.", f.Name)
	case wire.MustStream, wire.MustNotStream:
		return http.StatusMethodNotAllowed, hubwire.Errorf(hubwire.CodeUnimplemented, "%s %v.", f.Name, f.Kind)
	case wire.WrongStreams:
		return http.StatusNotImplemented, errUploads
	}
	if errors.Is(f.Err, context.Canceled) {
		return http.StatusGone, errEnded
	}
	e := m.public(f.Err, f.Name+" failed.")
	return statusOf(e.Code), e
}

// public is what clients may know of an error (D 18): an *Error as it is, of
// others their type and text under DetailedErrors, else the generic text.
func (m *mount) public(err error, generic string) *hubwire.Error {
	if e, ok := errors.AsType[*hubwire.Error](err); ok {
		c := *e
		return &c
	}
	if m.hubOpts.DetailedErrors && err != nil {
		generic += " " + typeName(err) + ": " + err.Error()
	}
	return &hubwire.Error{Code: hubwire.CodeUnknown, Message: generic}
}

// typeName is how an error's type is shown: the exported Go name without package
// and star, else Error.
func typeName(err error) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if r, _ := utf8.DecodeRuneInString(t.Name()); unicode.IsUpper(r) {
		return t.Name()
	}
	return "Error"
}

// appendError appends an error as JSON. Data that cannot be JSON is left out.
func appendError(dst []byte, e *hubwire.Error) []byte {
	dst = append(dst, `{"code":"`...)
	dst = append(dst, strings.ReplaceAll(e.Code.String(), " ", "_")...)
	dst = jsonwire.AppendString(append(dst, `","message":`...), e.Message)
	if e.Data != nil {
		if b, err := (jsonwire.Codec{}).Append(nil, e.Data); err == nil {
			dst = append(append(dst, `,"data":`...), b...)
		}
	}
	return append(dst, '}')
}

// answer answers with an error.
func (m *mount) answer(w http.ResponseWriter, status int, e *hubwire.Error) {
	m.answerJSON(w, status, appendError(nil, e))
}

func (m *mount) answerJSON(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(1+rand.IntN(10)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that has gone needs no answer
}

func (m *mount) notAllowed(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	m.answer(w, http.StatusMethodNotAllowed, hubwire.Errorf(hubwire.CodeUnimplemented, "Use %s.", allow))
}

// refusal is how the refusal of a connection is told.
func (m *mount) refusal(err error) (int, *hubwire.Error) {
	switch {
	case errors.Is(err, hubwire.ErrClosed):
		return http.StatusServiceUnavailable, errClosing
	case errors.Is(err, hubwire.ErrFull):
		return http.StatusServiceUnavailable, errFull
	case errors.Is(err, hubwire.ErrUnauthorized):
		return http.StatusForbidden, hubwire.Errorf(hubwire.CodePermissionDenied, "You may not connect.")
	}
	e := m.public(err, "The connection was refused.")
	if _, ok := errors.AsType[*hubwire.Error](err); !ok {
		return http.StatusForbidden, e
	}
	return statusOf(e.Code), e
}

// later turns a stream away that may come back. A browser would take a status for
// the end of its EventSource, so it gets a stream that says when to come back and
// ends; others get the status.
func (m *mount) later(w http.ResponseWriter, r *http.Request, e *hubwire.Error) {
	if r.Header.Get("Sec-Fetch-Mode") == "" && !strings.HasPrefix(r.UserAgent(), "Mozilla/") {
		m.answer(w, http.StatusServiceUnavailable, e)
		return
	}
	(&Options{}).setHead(w.Header(), plain)
	b, _ := AppendRetry(nil, spread(0)) // a time of ours
	_, _ = w.Write(b)
}
