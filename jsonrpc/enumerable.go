package jsonrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"github.com/hubwire/hubwire"
)

// A Sequence is a sequence of values that stands inside of arguments and results,
// and is asked for as it is read: StreamJsonRpc's IAsyncEnumerable<T>. One end
// makes it with [NewSequence], the other reads it once, with All.
//
// In an argument it ends with the request; in a result it lives until it was read
// to its end, is closed, or the connection ends. For results that are nothing but
// a sequence a hubwire.ServerStream is the same on the wire, and makes values
// ahead.
type Sequence[T any] struct {
	form
	make func(context.Context) iter.Seq2[T, error]
	opts SequenceOptions
	in   *incoming
}

// SequenceOptions say how the maker of a Sequence gives its values out. The zero
// value makes one value for each question, when it is asked.
type SequenceOptions struct {
	// MinBatch is how many values an answer has at least, unless the sequence
	// ends. Defaults to 1.
	MinBatch int
	// ReadAhead is how many values are made ahead of the asking.
	ReadAhead int
	// Prefetch is how many values stand in the message itself, which waits for
	// them.
	Prefetch int
}

// NewSequence makes a sequence. fn is called when the first value is asked for, or
// before that with ReadAhead and Prefetch; its ctx ends with the sequence, and a
// yielded error ends it. A nil opts means the defaults.
func NewSequence[T any](fn func(ctx context.Context) iter.Seq2[T, error], opts *SequenceOptions) Sequence[T] {
	s := Sequence[T]{make: fn}
	if opts != nil {
		s.opts = *opts
	}
	return s
}

// incoming is a sequence of the peer.
type incoming struct {
	seq  *sequence
	used atomic.Bool
}

var (
	errNoValues = errors.New("jsonrpc: the sequence is null, or was made here")
	errReadOnce = errors.New("jsonrpc: a sequence can be read once")
)

// Null reports whether a received sequence is null.
func (s Sequence[T]) Null() bool { return s.in == nil }

// All ranges over the values of a received sequence, once. Leaving the loop ends
// the sequence, and so does ctx; an error is always the last.
func (s Sequence[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if s.in == nil {
			yield(zero, errNoValues)
			return
		}
		if s.in.used.Swap(true) {
			yield(zero, errReadOnce)
			return
		}
		defer s.in.seq.close()
		for {
			var v T
			switch err := s.in.seq.next(ctx, &v); {
			case err == io.EOF:
				return
			case err != nil:
				yield(zero, err)
				return
			case !yield(v, nil):
				return
			}
		}
	}
}

// Close ends a received sequence that nobody will read. It does nothing once All
// was used.
func (s Sequence[T]) Close() {
	if s.in != nil && !s.in.used.Swap(true) {
		s.in.seq.close()
	}
}

func (s *Sequence[T]) attach(b *binder) error {
	if s.raw == nil || b.conn.svc.d.isNull(s.raw) {
		return nil
	}
	seq, err := b.conn.sequence(s.raw)
	if err != nil {
		return err
	}
	s.in = &incoming{seq: seq}
	return nil
}

var errPosted = errors.New("jsonrpc: over HTTP POST nobody can ask for the values of a Sequence, or call an Object; use a ServerStream, or a WebSocket")

var errForward = errors.New("jsonrpc: a sequence that was received cannot be sent on; read it")

func (s *Sequence[T]) bind(b *binder) error {
	if s.in != nil {
		return errForward
	}
	if s.make == nil {
		s.raw = b.conn.svc.d.null()
		return nil
	}
	if b.conn.sink != nil {
		return errPosted
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.conn.opts.Context))
	p := b.conn.seqs.add(cancel)
	if p == nil {
		cancel()
		return errSequences
	}
	p.least, p.ahead, p.target = max(1, s.opts.MinBatch), max(0, s.opts.ReadAhead), max(0, s.opts.ReadAhead, s.opts.Prefetch)
	if b.out != nil {
		b.out.own(p)
	}
	fn, conn := s.make, b.conn
	run := func() { // ends with the sequence: at the latest when ctx ends it
		defer cancel()
		p.feed(ctx, conn.codec(binder{}), func(yield func(any, error) bool) {
			seq := fn(ctx)
			if seq == nil {
				return
			}
			for v, err := range seq {
				if !yield(v, err) || err != nil {
					return
				}
			}
		})
	}
	if p.target > 0 {
		go run()
	} else {
		p.start = run
	}
	values, over, err := p.prefetch(b.ctx, s.opts.Prefetch)
	if err != nil {
		p.abort()
		return err
	}
	s.raw = b.conn.svc.d.sequence(p.id, over, values)
	if over {
		p.abort() // nothing more can be asked for
	}
	return nil
}

var errSequences = hubwire.Errorf(hubwire.CodeResourceExhausted, "jsonrpc: too many sequences wait to be read")

// prefetch waits for the first n values, or the end, and takes them.
// A nil ctx is one that does not end.
func (p *producer) prefetch(ctx context.Context, n int) (values [][]byte, over bool, err error) {
	if n <= 0 {
		return nil, false, nil
	}
	var ended <-chan struct{}
	if ctx != nil {
		ended = ctx.Done()
	}
	for {
		p.mu.Lock()
		if len(p.values) >= n || p.over || p.gone {
			break
		}
		if p.news == nil {
			p.news = make(chan struct{})
		}
		news := p.news
		p.mu.Unlock()
		select {
		case <-news: // closed by put, finish and goneLocked
		case <-ended:
			return nil, false, ctx.Err()
		}
	}
	defer p.mu.Unlock()
	if p.gone {
		return nil, false, hubwire.ErrClosed
	}
	if len(p.values) < n && p.err != nil {
		return nil, false, fmt.Errorf("jsonrpc: prefetch: %w", p.err)
	}
	m := min(n, len(p.values))
	for _, v := range p.values[:m] {
		p.bytes -= len(v)
	}
	values, p.values = p.values[:m:m], p.values[m:]
	p.target = p.ahead
	p.wakeLocked()
	return values, p.over && p.err == nil && len(p.values) == 0, nil
}
