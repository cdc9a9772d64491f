package grpcwire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// A reader reads a body with few calls and, while it waits, little memory: what
// an idle stream waits with is inline, and large reads borrow a buffer.
type reader struct {
	src    io.Reader
	inline [128]byte
	big    *[bigRead]byte
	buf    []byte // of inline or big
	r, w   int
	full   bool // the last read filled its buffer
}

const bigRead = 16 << 10

var bigReads = sync.Pool{New: func() any { return new([bigRead]byte) }}

func (b *reader) buffered() int { return b.w - b.r }

func (b *reader) fill() error {
	b.r, b.w = 0, 0
	if b.full {
		if b.big == nil {
			b.big = bigReads.Get().(*[bigRead]byte)
		}
		b.buf = b.big[:]
	} else {
		b.release()
		b.buf = b.inline[:]
	}
	for range 100 {
		n, err := b.src.Read(b.buf)
		b.w = n
		if n > 0 {
			b.full = n == len(b.buf)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (b *reader) release() {
	if b.big != nil {
		bigReads.Put(b.big)
		b.big = nil
	}
	b.buf, b.r, b.w = b.inline[:0], 0, 0
}

// readFull is io.ReadFull.
func (b *reader) readFull(p []byte) (n int, err error) {
	for n < len(p) {
		if b.r == b.w {
			if len(p)-n >= bigRead { // past the buffer
				m, err := io.ReadFull(b.src, p[n:])
				n += m
				b.full = true
				if err != nil {
					return n, cutShort(err, n)
				}
				return n, nil
			}
			if err := b.fill(); err != nil {
				return n, cutShort(err, n)
			}
		}
		m := copy(p[n:], b.buf[b.r:b.w])
		b.r += m
		n += m
	}
	return n, nil
}

func cutShort(err error, n int) error {
	if err == io.EOF && n > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

var messages = sync.Pool{New: func() any { return new(make([]byte, 0, 4<<10)) }}

// keptMessage is the largest buffer that is kept for another message.
const keptMessage = 64 << 10

func freeMessage(b *[]byte) {
	if cap(*b) <= keptMessage {
		messages.Put(b)
	}
}

// firstPart is how much of a message is believed to come before it has.
const firstPart = 64 << 10

// next reads the payload of the next frame into a buffer that it borrows where
// *into is nil. io.EOF is the end of the request.
func (s *Stream) next(into **[]byte) ([]byte, error) {
	s.reading.Store(true)
	defer s.reading.Store(false)
	switch {
	case s.ctx.Err() != nil: // unblock may have looked before
		return nil, s.ended()
	case s.stopped.Load(): // likewise
		return nil, ErrStopped
	}
	var prefix [5]byte
	if _, err := s.in.readFull(prefix[:]); err != nil {
		return nil, s.readError(err)
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	switch {
	case prefix[0]&^1 != 0:
		return nil, fail(13, "The frame has unknown flags.")
	case size > int64(s.limit()):
		s.skip(size)
		return nil, errTooLarge
	case prefix[0] == 1 && !s.inGzip:
		if s.r.Header.Get("Grpc-Encoding") == "" {
			return nil, fail(13, "Request did not include grpc-encoding value with compressed message.")
		}
		return nil, fail(13, "Request sent 'identity' grpc-encoding value with compressed message.")
	}
	if *into == nil {
		*into = messages.Get().(*[]byte)
	}
	dst := *into
	b := (*dst)[:0]
	for int64(len(b)) < size {
		// What is declared may never come: grow by what has.
		n := min(int(size)-len(b), max(firstPart, len(b)))
		if cap(b)-len(b) < n {
			b = append(make([]byte, 0, len(b)+n), b...)
		}
		part := b[len(b) : len(b)+n]
		if m, err := s.in.readFull(part); err != nil {
			if err == io.EOF || m < n && err == io.ErrUnexpectedEOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, s.readError(err)
		}
		b = b[:len(b)+n]
	}
	*dst = b
	if prefix[0] == 1 && size > 0 {
		out, err := inflate(b, s.limit())
		if err != nil {
			return nil, err
		}
		*dst = out
		return out, nil
	}
	return b, nil
}

// limit is the largest message of the call.
func (s *Stream) limit() int {
	if s.m.MaxMessage > 0 {
		return s.m.MaxMessage
	}
	return s.h.opts.MaxMessage
}

// skipWait is how long a message that is too large is read, to be thrown away.
const skipWait = time.Second

// skip reads past a message that is too large, unless it is far too large: a
// client that is still writing it when its stream ends may take that for a
// failure of the connection and lose the status.
func (s *Stream) skip(size int64) {
	if size > 4*int64(s.limit()) {
		return
	}
	s.late(func() { _ = s.rc.SetReadDeadline(time.Now().Add(skipWait)) })
	size -= int64(s.in.buffered())
	s.in.release()
	_, _ = io.CopyN(io.Discard, s.in.src, size)
	s.late(func() { _ = s.rc.SetReadDeadline(time.Time{}) })
}

// readError says why the body cannot be read.
func (s *Stream) readError(err error) error {
	switch {
	case err == io.EOF:
		return io.EOF
	case s.ctx.Err() != nil:
		return s.ended()
	case s.stopped.Load():
		return ErrStopped
	case err == io.ErrUnexpectedEOF:
		return errIncomplete
	case errors.Is(err, os.ErrDeadlineExceeded): // a moment before the context notices
		return errDeadline
	case err == errNotBase64:
		return fail(13, "The body is not base64.")
	}
	return errCanceled
}

var inflaters sync.Pool

// inflate decompresses a message, to no more than limit bytes.
func inflate(src []byte, limit int) ([]byte, error) {
	in := bytes.NewReader(src)
	z, _ := inflaters.Get().(*gzip.Reader)
	var err error
	if z == nil {
		z, err = gzip.NewReader(in)
	} else {
		err = z.Reset(in)
	}
	if err != nil {
		return nil, errGzip
	}
	defer inflaters.Put(z)
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(z, int64(limit)+1))
	switch {
	case err != nil:
		return nil, errGzip
	case n > int64(limit):
		return nil, errTooLarge
	}
	return out.Bytes(), nil
}
