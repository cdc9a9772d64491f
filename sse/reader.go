package sse

import (
	"io"
	"iter"
)

// A Reader reads events from a stream, such as a response's body. It is for one
// goroutine.
type Reader struct {
	*Parser
	r   io.Reader
	buf []byte
	err error // of the last read; given when what it brought is parsed
}

// bufferSize is what a Reader reads at once.
const bufferSize = 16 << 10

// NewReader makes a Reader of r. It reads ahead.
func NewReader(r io.Reader, opts *ParserOptions) *Reader {
	return &Reader{Parser: NewParser(opts), r: r, buf: make([]byte, bufferSize)}
}

// Next returns the next event, whose bytes are valid until the next call. At the
// end of the stream it returns io.EOF: an event that has no blank line yet is
// none. Other errors are the stream's, or wrap ErrTooLong.
func (r *Reader) Next() (Block, error) {
	for empty := 0; ; {
		b, ok := r.Parser.Next()
		if ok {
			return b, nil
		}
		if err := r.Parser.Err(); err != nil {
			return Block{}, err
		}
		if r.err != nil {
			return Block{}, r.err
		}
		n, err := r.r.Read(r.buf)
		r.err = err
		if n > 0 {
			empty = 0
		} else if empty++; empty == 100 && err == nil {
			r.err = io.ErrNoProgress
		}
		r.Feed(r.buf[:n])
	}
}

// All ranges over the events to the end of the stream. An error is the last
// item; the end is none.
func (r *Reader) All() iter.Seq2[Event[string], error] {
	return func(yield func(Event[string], error) bool) {
		for {
			b, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Event[string]{}, err)
				return
			}
			if !yield(b.Event(), nil) {
				return
			}
		}
	}
}

// Read ranges over the events of a stream: NewReader and All in one.
func Read(r io.Reader, opts *ParserOptions) iter.Seq2[Event[string], error] {
	return NewReader(r, opts).All()
}
