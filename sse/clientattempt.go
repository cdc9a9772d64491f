package sse

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A ResponseError is an answer that is no event stream.
type ResponseError struct {
	Status int // the HTTP status; 200: the type is not text/event-stream
	Header http.Header
	Body   []byte // what it said: its first 4 KiB at most
}

func (e *ResponseError) Error() string {
	text := "sse: client: status " + strconv.Itoa(e.Status)
	if e.Status == http.StatusOK {
		return fmt.Sprintf("%s, but the type is %.80q", text, e.Header.Get("Content-Type"))
	}
	if name := http.StatusText(e.Status); name != "" {
		text += " " + name
	}
	return text
}

// later reports whether the same request may do better after a while.
func (e *ResponseError) later() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Status >= 500
}

// retryAfter is what a Retry-After header asks for: seconds or a date (RFC 9110,
// section 10.2.3).
func (e *ResponseError) retryAfter() time.Duration {
	v := e.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return time.Until(t)
	}
	return 0
}

// A setupError is one of the client's own making: nothing was sent.
type setupError struct{ error }

func (e *setupError) Unwrap() error { return e.error }

// final reports whether no other attempt can do better.
func final(err error) bool {
	if _, ok := errors.AsType[*setupError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	return errors.Is(err, ErrTooLong) || errors.Is(err, errRedirects)
}

// An attempt is one request and what it brings.
type attempt struct {
	c      *Client
	yield  func(Event[string], error) bool
	left   bool // the loop was left
	events int

	quiet *time.Timer // ends the attempt; nil without ReadTimeout

	moved     string // where permanent redirections led
	temporary bool   // one was not permanent
}

type attemptKey struct{}

// run makes the request and gives its events to the range. Its error is never
// nil: io.EOF is the end of the stream.
func (a *attempt) run(ctx context.Context) error {
	c := a.c
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, attemptKey{}, a))
	defer cancel(nil)
	if d := c.opts.ReadTimeout; d > 0 {
		a.quiet = time.AfterFunc(d, func() { cancel(errQuiet) })
		defer a.quiet.Stop()
	}
	r, err := c.request(ctx)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return a.failed(ctx, err)
	}
	defer resp.Body.Close()
	a.touch()
	if resp.StatusCode == http.StatusNoContent {
		return errEnd
	}
	if resp.StatusCode != http.StatusOK || !isEventStream(resp.Header) {
		return a.refused(resp, cancel)
	}
	if a.moved != "" {
		c.mu.Lock()
		c.moved = a.moved
		c.mu.Unlock()
	}
	if c.opts.Opened != nil {
		c.opts.Opened(resp)
	}
	return a.read(ctx, resp.Body)
}

// failed is why the transport failed: its context's end, if that is why.
func (a *attempt) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("sse: client: %w", err)
}

// Bounds of what is read of an answer that is no stream.
const (
	errorBody = 4 << 10
	errorWait = 5 * time.Second
)

// refused is the error of an answer that is no event stream.
func (a *attempt) refused(resp *http.Response, cancel context.CancelCauseFunc) error {
	late := time.AfterFunc(errorWait, func() { cancel(errQuiet) })
	defer late.Stop()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, errorBody)) // as much as there is
	return &ResponseError{Status: resp.StatusCode, Header: resp.Header, Body: text}
}

// read gives the stream's events to the range.
func (a *attempt) read(ctx context.Context, stream io.Reader) error {
	c := a.c
	r := NewReader(&touching{stream, a}, &ParserOptions{MaxLine: c.opts.MaxLine, MaxEvent: c.opts.MaxEvent, Comment: c.opts.Comment, LastEventID: c.LastEventID()})
	for {
		b, err := r.Next()
		a.note(r)
		if err == io.EOF {
			return err
		} else if err != nil {
			return a.failed(ctx, err)
		}
		ev := b.Event()
		if ctx.Err() != nil { // the event came too late
			return context.Cause(ctx)
		}
		a.events++
		if a.quiet != nil {
			a.quiet.Stop() // the loop's time is not the server's
		}
		if c.opts.End != nil && c.opts.End(ev) {
			return errEnd
		}
		if !a.yield(ev, nil) {
			a.left = true
			return errEnd
		}
		a.touch()
	}
}

// touch notes that something has come.
func (a *attempt) touch() {
	if a.quiet != nil {
		a.quiet.Reset(a.c.opts.ReadTimeout)
	}
}

// note keeps what the stream has said for the next request.
func (a *attempt) note(r *Reader) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.c.lastID = r.LastEventID()
	if d, ok := r.Retry(); ok {
		a.c.retry = d
	}
}

// A touching reader tells when something has come.
type touching struct {
	r io.Reader
	a *attempt
}

func (t *touching) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n > 0 {
		t.a.touch()
	}
	return n, err
}

// isEventStream reports whether a response is an event stream: its type is
// text/event-stream, and if it names a charset, that is UTF-8.
func isEventStream(h http.Header) bool {
	v := h.Get("Content-Type")
	essence, _, _ := strings.Cut(v, ";")
	if !strings.EqualFold(strings.TrimSpace(essence), "text/event-stream") {
		return false
	}
	_, params, err := mime.ParseMediaType(v)
	if err != nil {
		return true // parameters that nobody can read say nothing
	}
	charset := params["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8")
}

// sendable reports whether an id can be the value of a header: HTTP has no place
// for controls.
func sendable(id string) bool {
	for i := range len(id) {
		if c := id[i]; c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}

// body is the body of a request; nil where there is none.
func body(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b) // of which net/http knows how to send it again
}
