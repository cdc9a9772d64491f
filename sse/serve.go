package sse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// A StatusError answers a request instead of a stream. A source that yields it
// before its first event chooses the status: 204 tells an EventSource to stop for
// good.
type StatusError struct {
	Code int
	Text string // the body; "" is the code's own text
	// RetryAfter, in whole seconds, is told to the client if it is not zero.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	if e.Text != "" {
		return e.Text
	}
	return http.StatusText(e.Code)
}

// answer answers with the error's status.
func (e *StatusError) answer(w http.ResponseWriter) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	code := e.Code
	if code < 200 || code > 999 {
		code = http.StatusInternalServerError
	}
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	http.Error(w, e.Error(), code)
}

func refuseStatus(w http.ResponseWriter, code int, retry time.Duration) {
	if retry <= 0 {
		retry = defaultRetry
	}
	(&StatusError{Code: code, RetryAfter: retry}).answer(w)
}

// Serve answers a request with the events of a source, until that ends or the
// client leaves, and returns why it ended before the source did, if so.
//
// The source should end when the request's context does: a client that leaves,
// or does not read for 10 s, ends it. A source that yields an error ends with it.
// Before the first event (and within Options.HeadDelay) it becomes the response's
// status: that of a [StatusError], else 500. Later it is logged and the response
// is cut after all events that came before, by a panic with http.ErrAbortHandler,
// so that no client takes it for the end.
//
// Data is sent as [Event] says. What TypedResults.ServerSentEvents of .NET sends
// is sent byte for byte with Options.DotNet, by [ServeWith].
func Serve[T any](w http.ResponseWriter, r *http.Request, events iter.Seq2[Event[T], error]) error {
	return ServeWith(w, r, nil, events)
}

// ServeWith is Serve with options. Detach has no effect.
func ServeWith[T any](w http.ResponseWriter, r *http.Request, opts *Options, events iter.Seq2[Event[T], error]) error {
	if opts != nil && opts.Detach {
		o := *opts
		o.Detach = false
		opts = &o
	}
	s := newSession(w, r, opts)
	defer s.abandon()
	if r.Method == http.MethodHead {
		s.opts.setHead(w.Header(), s.enc)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := s.flushable(); err != nil {
		return err
	}
	if events == nil {
		return s.fail(errors.New("sse: serve: no source"))
	}
	if !s.opts.DotNet {
		if s.opts.HeadDelay < 0 {
			if err := s.Flush(); err != nil {
				return err
			}
		} else {
			t := time.AfterFunc(s.opts.HeadDelay, s.lateHead)
			defer t.Stop()
		}
	}
	for e, err := range events {
		if err == nil {
			err = sendAny(s, e)
		}
		if err != nil {
			return s.fail(err)
		}
	}
	if err := s.over(); err != nil {
		return err
	}
	return s.Close()
}

// sendAny sends an event of any data.
func sendAny[T any](s *Session, e Event[T]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stateLocked(); err != nil {
		return err
	}
	data, err := appendData(s.data[:0], any(e.Data), s.opts.DotNet)
	if err != nil {
		return err
	}
	if s.data = data; cap(data) > piece {
		s.data = nil
	}
	err = s.addLocked(func(dst []byte) ([]byte, error) {
		return s.appendEvent(dst, e.Type, text(data), e.ID, e.Retry, e.Set)
	})
	if err != nil {
		return err
	}
	return s.flushLocked()
}

// over sends the head of a stream that had no event. .NET's then has no body to
// wait for.
func (s *Session) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.err != nil:
		return s.quietLocked(nil)
	case s.head:
		return nil
	case s.opts.DotNet:
		s.head = true
		s.opts.setHead(s.w.Header(), s.enc)
		s.closeLocked()
		return nil
	}
	return s.flushLocked()
}

// quietLocked is why a stream ended whose end needs no more words. That it was
// taken leave of is no error.
func (s *Session) quietLocked(err error) error {
	if s.err != nil {
		return s.err
	}
	switch cause := context.Cause(s.ctx); cause {
	case errDrained, errLifetime:
		return nil
	case nil:
		return err
	default:
		return cause
	}
}

// fail ends a stream whose source has failed.
func (s *Session) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.err != nil || s.ctx.Err() != nil { // then the source fails because it was told to end
		return s.quietLocked(err)
	}
	w, head := s.w, s.head
	s.closeLocked()
	s.cancel(err)
	if head {
		s.opts.Logger.Error("sse: a stream is cut", "err", err)
		panic(http.ErrAbortHandler)
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		status.answer(w)
	} else if s.opts.DotNet {
		w.WriteHeader(http.StatusInternalServerError)
	} else {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
	return err
}

// abandon makes sure that nothing is written when the handler has returned.
func (s *Session) abandon() {
	s.mu.Lock()
	s.closeLocked()
	s.mu.Unlock()
	s.cancel(ErrClosed)
}

// appendData appends an event's data: strings and bytes as they are, anything
// else as JSON.
func appendData(dst []byte, v any, dotnet bool) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return append(dst, v...), nil
	case []byte:
		return append(dst, v...), nil
	}
	if dotnet && isNil(v) {
		return dst, nil
	}
	n := len(dst)
	dst, err := jsonwire.Codec{}.Append(dst, v)
	if err != nil {
		return dst[:n], fmt.Errorf("sse: encode: %w", err)
	}
	if dotnet {
		dst = dotnetJSON(dst, n)
	}
	return dst, nil
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return r.IsNil()
	}
	return false
}

// Encode makes an event's data text: JSON, unless it is text or bytes already.
func Encode[T any](e Event[T]) (Event[string], error) {
	b, err := appendData(nil, any(e.Data), false)
	return Event[string]{Type: e.Type, Data: string(b), ID: e.ID, Retry: e.Retry, Set: e.Set, LastEventID: e.LastEventID}, err
}

// Values makes a source of plain values: events of one type.
func Values[T any](typ string, values iter.Seq2[T, error]) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		for v, err := range values {
			if !yield(Event[T]{Type: typ, Data: v}, err) || err != nil {
				return
			}
		}
	}
}

// Chan makes a source of a channel, which ends when that is closed or ctx ends.
func Chan[T any](ctx context.Context, events <-chan Event[T]) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		for {
			select {
			case <-ctx.Done():
				yield(Event[T]{}, context.Cause(ctx))
				return
			case e, ok := <-events:
				if !ok || !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Func makes a source of a function that sends. send returns an error when the
// stream has ended; it must not be called by another goroutine, nor after f has
// returned.
func Func[T any](f func(send func(Event[T]) error) error) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		ended := false
		err := f(func(e Event[T]) error {
			if ended || !yield(e, nil) {
				ended = true
				return fmt.Errorf("sse: send: %w", ErrClosed)
			}
			return nil
		})
		if err != nil && !ended {
			yield(Event[T]{}, err)
		}
	}
}
