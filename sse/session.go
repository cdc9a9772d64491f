package sse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// ErrClosed is in the error of a Send after the end of the stream.
var ErrClosed = errors.New("the stream has ended")

// errDrained ends the context of a stream that the server has taken leave of.
var errDrained = errors.New("sse: the server is going down")

// errLifetime ends the context of a stream that has lived its Lifetime.
var errLifetime = errors.New("sse: the stream has reached its lifetime")

// A Session is one stream of events to one client.
//
// All methods may be called at the same time, from any goroutine. A Session of a
// handler must be closed before the handler returns; a detached one lives until
// it is closed or the client leaves. It owns no goroutine, except that a detached
// one has one, which ends with the connection. A silent stream gets heartbeats
// from a timer.
type Session struct {
	opts   Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	lastID string
	enc    encoding
	drain  *drained    // nil if no Drain is over it
	parted func(words) // takes the farewell, if it must wait for its turn

	w    http.ResponseWriter // until it is closed; nil if it is detached
	rc   *http.ResponseController
	conn *rawconn.Conn // of a detached one

	mu      lock   // guards the following, and is held while something is written
	buf     []byte // waits for Flush
	data    []byte // the data of the event at hand, as text
	head    bool   // the head has been sent
	closed  bool
	err     error // of a write
	sum     check32
	written time.Time // when something was written last
	beat    *time.Timer
	end     *time.Timer
}

// Open begins a stream and sends its head at once. The caller closes it before
// its handler returns:
//
//	s, err := sse.Open(w, r, nil)
//	if err != nil {
//		return // it has been answered
//	}
//	defer s.Close()
//
// It fails with http.ErrNotSupported, after answering with 500, if a middleware
// hides that w can be flushed. With Options.Detach it fails with
// http.ErrNotSupported where the connection cannot be taken over, and then has
// answered nothing.
func Open(w http.ResponseWriter, r *http.Request, opts *Options) (*Session, error) {
	s := newSession(w, r, opts)
	if s.opts.Detach {
		if err := s.detach(w, r); err != nil {
			return nil, err
		}
		return s, nil
	}
	err := s.flushable()
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// flushable answers with 500 if the response cannot be flushed.
func (s *Session) flushable() error {
	for w := s.w; ; {
		switch v := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			err := fmt.Errorf("sse: %T hides that the response can be flushed (a middleware without Unwrap or Flush): %w", w, http.ErrNotSupported)
			http.Error(s.w, "streaming is not possible here", http.StatusInternalServerError)
			return err
		}
	}
}

func newSession(w http.ResponseWriter, r *http.Request, opts *Options) *Session {
	s := &Session{mu: make(lock, 1), opts: opts.withDefaults(), lastID: LastEventID(r), sum: none}
	if s.opts.Compress && !s.opts.DotNet {
		s.enc = accepted(w.Header(), r)
	}
	parent := r.Context()
	s.drain = drainOf(parent)
	if s.opts.Detach {
		parent = context.WithoutCancel(parent) // it ends with the handler
	} else {
		s.w, s.rc = w, http.NewResponseController(w)
	}
	s.ctx, s.cancel = context.WithCancelCause(parent)
	return s
}

// Context ends when the stream does: the client has left, a write failed, the
// session was closed, the server drains, or its Lifetime is over. It has the
// values of the request's.
func (s *Session) Context() context.Context { return s.ctx }

// LastEventID is where the client was, "" if it is new.
func (s *Session) LastEventID() string { return s.lastID }

// maxLastEventID is the longest id that is looked at.
const maxLastEventID = 4 << 10

// LastEventID is the last event id of a client that comes back: its Last-Event-ID
// header, or where it has none, since a page cannot set it on an EventSource, the
// query's lastEventId or last_event_id. What cannot be an id, or has more than
// 4 KiB, is "?", which no stream has given.
func LastEventID(r *http.Request) string {
	id, given := "", false
	if v, ok := r.Header["Last-Event-Id"]; ok && len(v) > 0 {
		id, given = v[0], true
	} else if r.URL != nil && r.URL.RawQuery != "" {
		q := r.URL.Query()
		for _, key := range []string{"lastEventId", "last_event_id"} {
			if q.Has(key) {
				id, given = q.Get(key), true
				break
			}
		}
	}
	if given && (len(id) > maxLastEventID || !ValidID(id)) {
		return "?"
	}
	return id
}

// lateHead sends the head if no event has brought it yet.
func (s *Session) lateHead() {
	if s.mu.TryLock() { // else something is being sent
		defer s.mu.Unlock()
		_ = s.flushLocked() // the error stays
	}
}

// A lock is a mutex that is held while something is written. Waiting for it is
// waiting for a channel, so that time goes on for tests of stalled clients in
// synctest bubbles, where whoever waits for a sync.Mutex stops the clock.
type lock chan struct{}

func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

func (l lock) TryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// openLocked writes the head. It is flushed by the caller.
func (s *Session) openLocked() error {
	s.head = true
	s.opts.setHead(s.w.Header(), s.enc)
	// The server's WriteTimeout is for whole responses.
	err := s.rc.SetWriteDeadline(time.Time{})
	if err != nil {
		s.opts.Logger.Warn("sse: a client that does not read cannot be cut off: a middleware's ResponseWriter has no Unwrap or SetWriteDeadline", "err", err)
		s.opts.WriteTimeout = -1
	}
	s.drain.add(s, s.opts.Detach) // before the client knows of the stream
	if err := s.rc.Flush(); err != nil {
		return err
	}
	s.startLocked()
	return nil
}

// startLocked starts the clocks.
func (s *Session) startLocked() {
	s.buf = append(append([]byte(nil), s.enc.head()...), s.buf...)
	s.written = time.Now()
	if d := s.opts.Heartbeat; d > 0 {
		s.beat = time.AfterFunc(math.MaxInt64, s.heartbeat)
		s.beat.Reset(d) // not before heartbeat sees s.beat
	}
	if d := s.opts.Lifetime; d > 0 {
		d -= time.Duration(rand.Int64N(int64(d)/5 + 1))
		s.end = time.AfterFunc(d, func() { s.finish(errLifetime) })
	}
}

// heartbeat writes a comment if nothing has been written for long.
func (s *Session) heartbeat() {
	if !s.mu.TryLock() { // something is being written
		s.beat.Reset(s.opts.Heartbeat)
		return
	}
	defer s.mu.Unlock()
	if s.closed || s.err != nil {
		return
	}
	left := s.opts.Heartbeat - time.Since(s.written)
	if left <= 0 {
		s.buf = s.appendLocked(s.buf, AppendComment(nil, ""))
		if s.flushLocked() != nil {
			return
		}
		left = s.opts.Heartbeat
	}
	s.beat.Reset(left)
}

// appendLocked appends what is to be sent, compressed if that is agreed.
func (s *Session) appendLocked(dst, p []byte) []byte {
	if s.enc == gzipped {
		s.sum = s.sum.then(checkOf(p))
	}
	return s.enc.append(dst, p)
}

// Send sends an event. [Encode] makes text of other data.
func (s *Session) Send(e Event[string]) error {
	if err := s.Buffer(e); err != nil {
		return err
	}
	return s.Flush()
}

// Buffer leaves an event to the next Flush or Send.
func (s *Session) Buffer(e Event[string]) error {
	return s.add(func(dst []byte) ([]byte, error) { return s.appendEvent(dst, e.Type, e.Data, e.ID, e.Retry, e.Set) })
}

// appendEvent is the encoder, but retry: 0 is refused unless .NET is asked for.
func (s *Session) appendEvent(dst []byte, typ, data, id string, retry time.Duration, set Fields) ([]byte, error) {
	if set&RetryField != 0 && retry < time.Millisecond && !s.opts.DotNet {
		return dst, fmt.Errorf("sse: retry %v is less than a millisecond, and 0 makes clients reconnect without a pause: %w", retry, ErrInvalid)
	}
	return appendEvent(dst, typ, data, id, retry, set)
}

// Comment sends a comment, which clients do not see.
func (s *Session) Comment(text string) error {
	return s.addAndFlush(func(dst []byte) ([]byte, error) { return AppendComment(dst, text), nil })
}

// Retry tells the client how long to wait before it reconnects.
func (s *Session) Retry(d time.Duration) error {
	return s.addAndFlush(func(dst []byte) ([]byte, error) { return AppendRetry(dst, d) })
}

// SetID makes id the client's last event id, without an event.
func (s *Session) SetID(id string) error {
	return s.addAndFlush(func(dst []byte) ([]byte, error) { return AppendID(dst, id) })
}

// Write sends what was encoded before, whole events only.
func (s *Session) Write(p []byte) (int, error) {
	err := s.addAndFlush(func(dst []byte) ([]byte, error) { return append(dst, p...), nil })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *Session) addAndFlush(f func([]byte) ([]byte, error)) error {
	if err := s.add(f); err != nil {
		return err
	}
	return s.Flush()
}

// add appends to the buffer.
func (s *Session) add(f func(dst []byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(f)
}

func (s *Session) addLocked(f func(dst []byte) ([]byte, error)) error {
	if err := s.stateLocked(); err != nil {
		return err
	}
	if s.enc == plain {
		b, err := f(s.buf)
		if err == nil {
			s.buf = b
		}
		return err
	}
	p, err := f(nil)
	if err != nil {
		return err
	}
	s.buf = s.appendLocked(s.buf, p)
	return nil
}

func (s *Session) stateLocked() error {
	if s.err != nil {
		return s.err
	}
	if s.closed {
		return fmt.Errorf("sse: send: %w", ErrClosed)
	}
	return nil
}

// Flush sends what waits.
func (s *Session) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushLocked()
}

func (s *Session) flushLocked() error {
	if err := s.stateLocked(); err != nil {
		return err
	}
	if err := s.writeLocked(); err != nil {
		return s.brokenLocked(err)
	}
	return nil
}

// brokenLocked is called when a write has failed.
func (s *Session) brokenLocked(err error) error {
	s.err = fmt.Errorf("sse: write: %w", err)
	s.buf = nil
	s.cancel(s.err)
	return s.err
}

// piece is how much is written under one deadline.
const piece = 64 << 10

// writeLocked writes what waits, and the head before it.
func (s *Session) writeLocked() error {
	if !s.head {
		if err := s.openLocked(); err != nil {
			return err
		}
	}
	if len(s.buf) == 0 {
		return nil
	}
	var err error
	if s.conn != nil {
		err = s.writeRaw()
	} else {
		err = s.writeResponse(s.buf)
	}
	if s.buf = s.buf[:0]; cap(s.buf) > idleBuffer || s.conn != nil {
		s.buf = nil // an idle stream holds no large buffer, a detached one none
	}
	s.written = time.Now()
	return err
}

// idleBuffer is how large a buffer a stream keeps between two writes.
const idleBuffer = 4 << 10

// writeResponse writes p through net/http.
func (s *Session) writeResponse(p []byte) error {
	for len(p) > 0 {
		n := len(p)
		if !s.opts.DotNet { // there an event is one chunk
			n = min(n, piece)
		}
		if d := s.opts.WriteTimeout; d > 0 {
			if err := s.rc.SetWriteDeadline(time.Now().Add(d)); err != nil {
				return err
			}
		}
		if _, err := s.w.Write(p[:n]); err != nil {
			return err
		}
		if err := s.rc.Flush(); err != nil {
			return err
		}
		p = p[n:]
	}
	if s.opts.WriteTimeout > 0 {
		// On HTTP/2 a deadline that passes ends the stream, write or no write.
		return s.rc.SetWriteDeadline(time.Time{})
	}
	return nil
}

// writeRaw writes the buffer to a detached connection, in one chunk.
func (s *Session) writeRaw() error {
	b := chunks.Get().(*[]byte)
	defer putChunk(b)
	*b = appendChunk((*b)[:0], s.buf)
	return writeWithin(s.conn, *b, s.opts.WriteTimeout)
}

// writeWithin writes p; the connection is aborted if the peer makes no room for
// long.
func writeWithin(c *rawconn.Conn, p []byte, timeout time.Duration) error {
	n, err := c.TryWrite(p)
	if err != nil || n == len(p) {
		return err
	}
	var late *time.Timer
	if timeout > 0 {
		late = time.AfterFunc(timeout, c.Abort)
		defer late.Stop()
	}
	for p = p[n:]; len(p) > 0; {
		k := min(len(p), piece)
		if err := c.Write(p[:k]); err != nil {
			return err
		}
		p = p[k:]
		if late != nil && len(p) > 0 {
			late.Reset(timeout)
		}
	}
	return nil
}

// chunks are buffers for writes that need one.
var chunks = sync.Pool{New: func() any { return new([]byte) }}

func putChunk(b *[]byte) {
	if cap(*b) <= 2*piece {
		chunks.Put(b)
	}
}

// appendChunk appends p as a chunk of a body (RFC 9112, section 7.1).
func appendChunk(dst, p []byte) []byte {
	dst = append(appendChunkSize(dst, len(p)), p...)
	return append(dst, "\r\n"...)
}

func appendChunkSize(dst []byte, n int) []byte {
	return append(strconv.AppendInt(dst, int64(n), 16), "\r\n"...)
}

// lastChunk ends a body.
const lastChunk = "0\r\n\r\n"

// Close ends the stream: what waits is sent, then the response's end. The client
// will reconnect, unless it is told not to: by an event that it knows, or by an
// answer of 204 next time. Closing again does nothing.
func (s *Session) Close() error { return s.finish(fmt.Errorf("sse: %w", ErrClosed)) }

// finish ends the stream and its context.
func (s *Session) finish(cause error) error {
	s.mu.Lock()
	err := s.finishLocked()
	s.mu.Unlock()
	s.cancel(cause)
	return err
}

func (s *Session) finishLocked() error {
	if s.closed {
		return nil
	}
	var err error
	if s.head && s.err == nil && s.ctx.Err() == nil {
		s.buf = s.enc.appendEnd(s.buf, s.sum)
		err = s.flushLocked()
	}
	s.closeLocked()
	return err
}

// closeLocked stops the clocks and lets nothing more be written.
func (s *Session) closeLocked() {
	if s.closed {
		return
	}
	s.closed = true
	for _, t := range []*time.Timer{s.beat, s.end} {
		if t != nil {
			t.Stop()
		}
	}
	s.drain.remove(s)
	if s.conn != nil {
		if s.err == nil && s.ctx.Err() == nil {
			s.err = writeWithin(s.conn, []byte(lastChunk), s.opts.WriteTimeout)
		}
		if s.err == nil {
			s.conn.End()
		} else {
			s.conn.Abort()
		}
	}
	s.w, s.buf, s.data = nil, nil, nil
}

// words are the server's last to a client.
type words struct {
	retry  time.Duration
	bye    *Event[string]
	cancel context.CancelCauseFunc // of the request; may be nil
}

// part ends the stream with the last words.
func (s *Session) part(w words) {
	if s.parted != nil {
		s.parted(w)
		return
	}
	s.farewell(w)
}

func (s *Session) farewell(w words) {
	if w.cancel != nil {
		defer w.cancel(errDrained)
	}
	s.mu.Lock()
	// What cannot be said is not: the stream ends anyway.
	_ = s.addLocked(func(dst []byte) ([]byte, error) { return appendFarewell(dst, w.retry, w.bye) })
	_ = s.finishLocked()
	s.mu.Unlock()
	s.cancel(errDrained)
}
