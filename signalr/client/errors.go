package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
)

// ErrReconnecting is the error of calls while the connection is lost and
// another is sought. Nothing was sent.
var ErrReconnecting = errors.New("client: not connected: reconnecting")

// An HTTPError is an answer of the server, or of a proxy before it, that is no
// success. Texts of errors hold neither connection tokens nor queries.
type HTTPError struct {
	Act    string // "negotiate", or the name of the transport
	Status int
	Text   string // the beginning of the body, where that is plain text
	Hint   string // what is usually the cause; may be empty
}

func (e *HTTPError) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.Act, e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// hint says what is usually behind a status.
func hint(act string, status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "the server wants an access token or did not accept this one, see Options.AccessToken"
	case status == http.StatusForbidden:
		return "this user may not connect"
	case status == http.StatusNotFound && act == actNegotiate:
		return "no SignalR hub has this URL, or a proxy blocks it"
	case status == http.StatusNotFound:
		return "the server does not know the connection: it has ended, or several servers lack sticky sessions, or the hub does not have this transport"
	case status == http.StatusMethodNotAllowed && act == actNegotiate:
		return "something else than a SignalR hub has this URL"
	}
	return ""
}

const actNegotiate = "negotiate"

// requestError is the error of a request without its URL, which may hold a
// token.
func requestError(act string, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("%s: %w", act, err)
}

// An endError is the error of calls whose connection ended, and of those that
// are made when it has. It matches hubwire.ErrClosed and its cause.
type endError struct{ cause error }

func (e *endError) Error() string {
	if e.cause == nil {
		return "client: the connection is closed"
	}
	return "client: the connection has ended: " + e.cause.Error()
}

func (e *endError) Is(target error) bool { return target == hubwire.ErrClosed }
func (e *endError) Unwrap() error        { return e.cause }

func errSilent(limit time.Duration) error {
	return fmt.Errorf("server timeout: nothing came from the server for %v", limit)
}

// serverClosed is the error of a Close message: an *hubwire.Error with the
// server's text is in it.
func serverClosed(text string) error {
	return fmt.Errorf("the server closed the connection: %w", &hubwire.Error{Code: hubwire.CodeUnknown, Message: text})
}

// A triedError says what became of each transport.
type triedError []error

func (e triedError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return "no transport works: " + strings.Join(texts, "; ")
}

func (e triedError) Unwrap() []error { return e }
