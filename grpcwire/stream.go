package grpcwire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
)

// A Stream is one call, of whatever kind: a unary call is a stream of one.
//
// One goroutine may receive and another one send; SetHeader and SetTrailer may
// be called from any. All of them have returned when the handler returns;
// a Send after that is an error.
type Stream struct {
	h    *Handler
	m    *Method
	r    *http.Request
	w    http.ResponseWriter
	rc   *http.ResponseController
	form form

	ctx  context.Context
	stop context.CancelCauseFunc // ends ctx; see cancel
	md   Metadata

	ending sync.Mutex    // guards the following
	end    chan struct{} // closed when the stream shall end; nil until asked for
	endErr error         // why
	onEnd  func(why error)

	in      reader
	inGzip  bool
	outGzip bool
	plain   atomic.Bool // messages are not compressed from now on
	got     bool        // a message was received
	reading atomic.Bool // a read may wait for the client
	stopped atomic.Bool // nothing is read any more
	answers atomic.Bool // a message was received, and not answered

	out writer

	meta      sync.Mutex // guards the following
	header    Metadata
	trailer   Metadata
	committed atomic.Bool // the header is on its way; written under meta

	ctl  sync.Mutex // guards over: net/http panics when it is controlled after its handler
	over bool

	before, after *Stream // in Handler.running
}

type streamKey struct{}

// StreamFrom is the call whose handler's context ctx is, or nil.
func StreamFrom(ctx context.Context) *Stream {
	s, _ := ctx.Value(streamKey{}).(*Stream)
	return s
}

// Context ends with the call: with its deadline, the client's cancel, the end
// of the connection, and after the handler.
func (s *Stream) Context() context.Context { return s.ctx }

// Method is the full name of the method, such as "/pkg.Service/Method".
func (s *Stream) Method() string { return s.m.Name }

// Request is the HTTP request of the call. Its body is the stream's.
func (s *Stream) Request() *http.Request { return s.r }

// Web reports whether the call came by gRPC-Web.
func (s *Stream) Web() bool { return s.form.web }

// JSON reports whether the call's messages are JSON.
func (s *Stream) JSON() bool { return s.form.codec == jsonCodec{} }

// Ending is closed when the call shall come to its end, before its context ends:
// when the server shuts down, the connection reaches its age, or the user's
// credentials end. Why says which.
func (s *Stream) Ending() <-chan struct{} {
	s.ending.Lock()
	defer s.ending.Unlock()
	if s.end == nil {
		s.end = make(chan struct{})
		if s.endErr != nil {
			close(s.end)
		}
	}
	return s.end
}

// Notify has f called when Ending is closed, or at once: for those who have no
// goroutine to wait with. f must not block.
func (s *Stream) Notify(f func(why error)) {
	s.ending.Lock()
	why := s.endErr
	s.onEnd = f
	s.ending.Unlock()
	if why != nil {
		f(why)
	}
}

// Why is the *Status with which a call is to end after Ending, nil before.
func (s *Stream) Why() error {
	s.ending.Lock()
	defer s.ending.Unlock()
	return s.endErr
}

// finish asks the call to end.
func (s *Stream) finish(why error) {
	s.ending.Lock()
	if s.endErr != nil {
		s.ending.Unlock()
		return
	}
	s.endErr = why
	if s.end != nil {
		close(s.end)
	}
	f := s.onEnd
	s.ending.Unlock()
	if f != nil {
		f(why)
	}
}

// ErrStopped is what Recv returns after StopReading.
var ErrStopped = errors.New("grpcwire: the stream is not read any more")

// StopReading ends a Recv that waits, and those to come. Sending goes on. It may
// be called from any goroutine, and does nothing to a call whose handler has
// returned.
func (s *Stream) StopReading() {
	s.stopped.Store(true)
	s.late(func() {
		if s.reading.Load() {
			_ = s.rc.SetReadDeadline(time.Unix(1, 0))
		}
	})
}

// Cut ends the context of the call, whose status is then st, from any goroutine.
func (s *Stream) Cut(st *Status) { s.cancel(st) }

// Recv receives the next message. io.EOF is the end of a stream of requests.
func (s *Stream) Recv(m proto.Message) error {
	var b *[]byte // borrowed once something comes: an idle stream holds none
	defer func() {
		if b != nil {
			freeMessage(b)
		}
	}()
	p, err := s.next(&b)
	if err != nil {
		if err == io.EOF && !s.m.ClientStreams && !s.got {
			return errNoMessage
		}
		return err
	}
	s.got = true
	if err := s.form.codec.decode(p, m); err != nil {
		return fail(13, "The request message cannot be decoded.")
	}
	if !s.m.ClientStreams {
		switch _, err := s.next(&b); {
		case err == nil || err == errIncomplete:
			return errMoreThanOne
		case err != io.EOF:
			return err
		}
	}
	s.answers.Store(s.in.buffered() == 0)
	return nil
}

// SetHeader adds to the headers of the response.
func (s *Stream) SetHeader(md Metadata) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	if s.committed.Load() {
		return errHeadersSent
	}
	return s.header.merge(md)
}

// SendHeader adds to the headers and sends them at once.
func (s *Stream) SendHeader(md Metadata) error {
	if err := s.SetHeader(md); err != nil {
		return err
	}
	if err := s.commit(); err != nil {
		return err
	}
	s.out.io.Lock()
	defer s.out.io.Unlock()
	return s.push()
}

// SetTrailer adds to the trailers.
func (s *Stream) SetTrailer(md Metadata) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	return s.trailer.merge(md)
}

// SetCompression compresses what the call sends, where the client can read it,
// or does not. "gzip" is the only compression. It must be called before the
// headers are sent.
func (s *Stream) SetCompression(name string) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	switch {
	case s.committed.Load():
		return errHeadersSent
	case name == "gzip":
		s.outGzip = s.offersGzip()
	case name == "" || name == "identity":
		s.outGzip = false
	default:
		return fail(12, "Compression "+name+" is not supported.")
	}
	return nil
}

// Plain sends the messages that follow uncompressed, or compressed again.
func (s *Stream) Plain(plain bool) { s.plain.Store(plain) }

func (s *Stream) offersGzip() bool {
	return s.inGzip || lists(s.r.Header["Grpc-Accept-Encoding"], "gzip")
}

// commit sends the headers with what follows.
func (s *Stream) commit() error {
	if s.committed.Load() {
		return nil
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	if s.committed.Load() {
		return nil
	}
	s.out.mu.Lock()
	closed := s.out.closed
	s.out.mu.Unlock()
	if closed {
		return errOver
	}
	s.commitLocked()
	return nil
}

func (s *Stream) commitLocked() {
	h := s.w.Header()
	for _, f := range s.header.fields() {
		h[f.name] = append(h[f.name], f.value)
	}
	if s.outGzip {
		h["Grpc-Encoding"] = []string{"gzip"}
	}
	s.w.WriteHeader(http.StatusOK)
	s.committed.Store(true)
}

// ended says why the context has ended.
func (s *Stream) ended() error {
	switch cause := context.Cause(s.ctx); cause {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return errDeadline
	case context.Canceled:
		return errCanceled
	default:
		if st, ok := cause.(*Status); ok {
			return st
		}
		return errCanceled
	}
}

// cancel ends the context, and a read that waits.
func (s *Stream) cancel(cause error) {
	s.stop(cause)
	s.unblock()
}

// late does something to the response unless the handler has returned.
func (s *Stream) late(do func()) {
	s.ctl.Lock()
	defer s.ctl.Unlock()
	if !s.over {
		do()
	}
}

// deadlineWait is how long a write that was under way at the deadline may go on.
const deadlineWait = 5 * time.Second

// unblock ends a read, and soon a write, that waits when the context has ended.
func (s *Stream) unblock() {
	s.late(func() {
		if s.reading.Load() { // on HTTP/1.1 anything else would end the connection
			_ = s.rc.SetReadDeadline(time.Unix(1, 0))
		}
		if s.out.io.TryLock() { // nothing is being written
			s.out.io.Unlock()
			return
		}
		_ = s.rc.SetWriteDeadline(time.Now().Add(deadlineWait))
	})
}

// close ends the call with a status. No handler runs any more.
func (s *Stream) close(st *Status) {
	o := &s.out
	o.mu.Lock()
	o.closed = true
	o.wakeLocked()
	o.mu.Unlock()
	o.flusher.Wait()
	o.io.Lock() // a Send that another goroutine makes against the rules
	defer o.io.Unlock()

	s.meta.Lock()
	defer s.meta.Unlock()
	fields := append(st.fields(), s.trailer.fields()...)
	h := s.w.Header()
	if !s.committed.Load() && len(s.header) == 0 && len(o.buf) == 0 {
		// Trailers-Only: net/http makes one HEADERS frame of it that ends the
		// stream. Clients retry after such an answer alone.
		s.linger(false)
		for _, f := range fields {
			h[f.name] = append(h[f.name], f.value)
		}
		s.w.WriteHeader(http.StatusOK)
		s.committed.Store(true)
		return
	}
	if !s.committed.Load() {
		s.linger(false)
		s.commitLocked()
	}
	if len(o.buf) > 0 {
		_ = s.write(o.buf) // a client that has gone needs no status
	}
	if s.form.web {
		_ = s.write(webTrailers(fields)) // likewise; a run of base64 of its own
		s.linger(true)
	} else if st.Code == 0 && len(fields) == 1 {
		h[http.TrailerPrefix+"Grpc-Status"] = isOK
	} else {
		for _, f := range fields {
			name := http.TrailerPrefix + f.name
			h[name] = append(h[name], f.value)
		}
	}
	s.freeClosed()
}

// lingerWait is how long the rest of a request is waited for.
const lingerWait = 5 * time.Second

// linger reads the rest of a request that came by HTTP/1.1, within bounds: who
// closes a connection while the client still writes takes the answer from it.
// What a client sends at once is read before the answer, because net/http would
// give up on it; what it streams is read after.
func (s *Stream) linger(after bool) {
	if s.r.ProtoMajor >= 2 || s.m.ClientStreams != after || s.ctx.Err() != nil || s.in.src == nil {
		return
	}
	if after {
		if s.push() != nil {
			return
		}
	}
	_ = s.rc.SetReadDeadline(time.Now().Add(lingerWait))
	_, _ = io.CopyN(io.Discard, s.r.Body, 2*int64(s.h.opts.MaxMessage))
	_ = s.rc.SetReadDeadline(time.Time{})
}

func (s *Stream) freeClosed() {
	freeOut(s.out.buf)
	freeOut(s.out.spare)
	s.out.buf, s.out.spare = nil, nil
}

// webTrailers are trailers as the last frame of a gRPC-Web response.
func webTrailers(fields []field) []byte {
	b := []byte{0x80, 0, 0, 0, 0}
	for _, f := range fields {
		for _, c := range []byte(f.name) {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
		}
		b = append(b, ": "...)
		b = append(b, f.value...)
		b = append(b, "\r\n"...)
	}
	n := len(b) - 5
	b[1], b[2], b[3], b[4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return b
}
