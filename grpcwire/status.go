package grpcwire

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hubwire/hubwire"
)

// A Status is how a call ends. As an error it is always shown to the client.
type Status struct {
	Code    hubwire.Code // 0 is OK; codes above 16 pass as they are
	Message string
	Details []*anypb.Any // of google.rpc.Status, such as a google.rpc.ErrorInfo
}

func (s *Status) Error() string {
	if s.Message == "" {
		return s.Code.String()
	}
	return s.Message
}

func fail(c hubwire.Code, text string) *Status { return &Status{Code: c, Message: text} }

// The errors that the package makes, in ASP.NET Core's words where it has them.
var (
	errIncomplete  = fail(hubwire.CodeInternal, "Incomplete message.")
	errTooLarge    = fail(hubwire.CodeResourceExhausted, "Received message exceeds the maximum configured message size.")
	errNoMessage   = fail(hubwire.CodeUnimplemented, "The call needs one request message; there was none.")
	errMoreThanOne = fail(hubwire.CodeUnimplemented, "Additional data after the message received.")
	errGzip        = fail(hubwire.CodeInternal, "The message cannot be decompressed.")
	errDeadline    = fail(hubwire.CodeDeadlineExceeded, "Deadline Exceeded")
	errCanceled    = fail(hubwire.CodeCanceled, "The call was cancelled.")
	errDraining    = fail(hubwire.CodeUnavailable, "The server shuts down.")
	errAge         = fail(hubwire.CodeUnavailable, "The connection has reached its age.")
	errExpired     = fail(hubwire.CodeUnauthenticated, "The credentials have expired.")
	errStuck       = fail(hubwire.CodeUnavailable, "The client does not read.")
	errOver        = fail(hubwire.CodeInternal, "The call is over.")
	errHandler     = fail(hubwire.CodeUnknown, "Exception was thrown by handler.")
	errPanic       = fail(hubwire.CodeInternal, "The handler panics.")
	errHeadersSent = fail(hubwire.CodeInternal, "The headers were sent before.")
)

// statusOf makes a status of what a handler returned. shown is false where the
// error itself stays inside.
func (h *Handler) statusOf(err error) (s *Status, shown bool) {
	if err == nil {
		return &Status{}, true
	}
	if s, ok := errors.AsType[*Status](err); ok {
		return s, true
	}
	if e, ok := errors.AsType[*hubwire.Error](err); ok {
		s := &Status{Code: e.Code, Message: e.Message}
		if s.Code == 0 {
			s.Code = hubwire.CodeUnknown
		}
		return s, true
	}
	if h.opts.Convert != nil {
		if s := h.opts.Convert(err); s != nil {
			return s, true
		}
	}
	switch {
	case errors.Is(err, hubwire.ErrUnauthorized):
		return fail(hubwire.CodePermissionDenied, "The user is not authorized."), true
	case errors.Is(err, context.DeadlineExceeded):
		return errDeadline, true
	case errors.Is(err, context.Canceled):
		return errCanceled, true
	case h.opts.DetailedErrors:
		return fail(hubwire.CodeUnknown, err.Error()), true
	}
	return errHandler, false
}

// details is google.rpc.Status (code 1, message 2, details 3).
func (s *Status) details() (string, error) {
	if len(s.Details) == 0 {
		return "", nil
	}
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(s.Code))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, strings.ToValidUTF8(s.Message, "\ufffd"))
	for _, d := range s.Details {
		one, err := proto.Marshal(d)
		if err != nil {
			return "", err
		}
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, one)
	}
	return base64.RawStdEncoding.EncodeToString(b), nil
}

// A field is one header or trailer.
type field struct{ name, value string }

var okFields = slices.Clip([]field{{"Grpc-Status", "0"}})

// fields are the status as headers or trailers.
func (s *Status) fields() []field {
	if s.Code == 0 && s.Message == "" && len(s.Details) == 0 {
		return okFields
	}
	out := []field{{"Grpc-Status", strconv.FormatUint(uint64(s.Code), 10)}}
	if s.Message != "" {
		out = append(out, field{"Grpc-Message", encodeMessage(s.Message)})
	}
	if d, err := s.details(); err == nil && d != "" {
		out = append(out, field{"Grpc-Status-Details-Bin", d})
	}
	return out
}

// encodeMessage percent-encodes what is not printable ASCII, and the percent
// sign (PROTOCOL-HTTP2, Status-Message).
func encodeMessage(s string) string {
	plain := 0
	for plain < len(s) && s[plain] >= 0x20 && s[plain] <= 0x7e && s[plain] != '%' {
		plain++
	}
	if plain == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	b = append(b, s[:plain]...)
	for _, c := range []byte(strings.ToValidUTF8(s[plain:], "\ufffd")) {
		if c >= 0x20 && c <= 0x7e && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// DecodeMessage decodes a grpc-message. It never fails: what is no encoding
// stays as it is.
func DecodeMessage(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// HTTPStatus makes a status of an HTTP status that a middleware answered with
// (grpc/grpc's http-grpc-status-mapping), and of what WWW-Authenticate says
// (RFC 6750, section 3).
func HTTPStatus(code int, header http.Header) *Status {
	text := http.StatusText(code)
	if _, d, ok := strings.Cut(header.Get("WWW-Authenticate"), `error_description="`); ok {
		text, _, _ = strings.Cut(d, `"`)
	}
	switch code {
	case http.StatusUnauthorized:
		return fail(hubwire.CodeUnauthenticated, text)
	case http.StatusForbidden:
		return fail(hubwire.CodePermissionDenied, text)
	case http.StatusNotFound:
		return fail(hubwire.CodeUnimplemented, text)
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		return fail(hubwire.CodeInternal, text)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fail(hubwire.CodeUnavailable, text)
	}
	return fail(hubwire.CodeUnknown, "HTTP status "+strconv.Itoa(code))
}
