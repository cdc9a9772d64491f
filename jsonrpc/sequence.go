package jsonrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime/debug"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// Sequences are StreamJsonRpc's asynchronous enumerables: one end has a producer
// with a token, the other asks for its values with $/enumerator/next.

// Bounds of what a stream of the hub, or an upload, keeps for a peer that does not
// ask.
const (
	aheadItems = 256
	aheadBytes = 64 << 10
)

// producers are the sequences that the peer may ask for.
type producers struct {
	conn *Conn

	mu    sync.Mutex // guards the following
	last  uint64
	byID  map[uint64]*producer
	asked map[string]*producer // by the id of the request that waits
	ended bool
}

// A producer holds values until the peer asks for them.
type producer struct {
	of     *producers
	id     uint64
	cancel func() // ends who makes the values
	least  int    // how many an answer has, unless the end comes first
	ahead  int    // how many are made ahead
	limit  int    // how many bytes of them; 0: the values say

	mu      sync.Mutex // guards the following
	start   func()     // makes the values, from the first question on; nil once it runs
	values  [][]byte
	bytes   int
	target  int // how many may wait now
	over    bool
	err     *Error
	gone    bool          // nobody asks any more
	asks    bool          // the peer waits
	asker   addressee     // for this
	room    chan struct{} // closed when a value may be made, or nobody asks; nil where nobody waits
	news    chan struct{} // closed when there is a value, or the end; likewise
	aborted chan struct{} // closed with gone
}

// add makes a producer; nil where there are too many.
func (s *producers) add(cancel func()) *producer {
	p := &producer{of: s, cancel: cancel, least: 1, ahead: aheadItems, target: aheadItems, limit: aheadBytes, aborted: make(chan struct{})}
	s.mu.Lock()
	if len(s.byID) >= s.conn.opts.MaxPending {
		s.mu.Unlock()
		return nil
	}
	s.last++
	p.id = s.last
	ended := s.ended
	if !ended {
		if s.byID == nil {
			s.byID, s.asked = map[uint64]*producer{}, map[string]*producer{}
		}
		s.byID[p.id] = p
	}
	s.mu.Unlock()
	if ended {
		p.abort()
	}
	return p
}

func (s *producers) get(token []byte) *producer {
	id, ok := s.conn.svc.d.uint(token)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// remove forgets a producer, and the question that waits for it.
func (s *producers) remove(p *producer, asker []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, p.id)
	delete(s.asked, string(asker))
}

// end ends all, with the connection.
func (s *producers) end() {
	s.mu.Lock()
	s.ended = true
	all := s.byID
	s.byID, s.asked = nil, nil
	s.mu.Unlock()
	for _, p := range all {
		p.abort()
	}
}

// abort is the peer's $/enumerator/abort.
func (s *producers) abort(token []byte) {
	if p := s.get(token); p != nil {
		p.abort()
	}
}

// cancel is the peer's cancel of a question: it ends the sequence.
func (s *producers) cancel(id []byte) {
	s.mu.Lock()
	p := s.asked[string(id)]
	s.mu.Unlock()
	if p != nil {
		p.abort()
	}
}

const nextMethod = "$/enumerator/next"

// next is the peer's $/enumerator/next.
func (s *producers) next(to addressee, token []byte) {
	c := s.conn
	if token == nil {
		c.answerError(to, &Error{Code: CodeInvalidParams, Message: unableText(nextMethod, 0, missingText)})
		return
	}
	if !c.svc.d.isNumber(token) {
		c.answerError(to, &Error{Code: CodeInvalidParams, Message: unableText(nextMethod, 1, decodeText("token", 0, "long")+"it is no number")})
		return
	}
	p := s.get(token)
	if p == nil {
		c.answerError(to, &Error{Code: CodeGone, Message: "This remote object no longer exists."})
		return
	}
	p.mu.Lock()
	switch {
	case p.gone:
		p.mu.Unlock()
		c.answerError(to, &Error{Code: CodeGone, Message: "This remote object no longer exists."})
		return
	case p.asks:
		p.mu.Unlock()
		c.answerError(to, &Error{Code: CodeInvalidRequest, Message: "Invalid request: the sequence is asked for its next values already."})
		return
	}
	p.asks, p.asker = true, to
	s.mu.Lock()
	if s.asked != nil {
		s.asked[string(to.id)] = p
	}
	s.mu.Unlock()
	start := p.start
	p.start = nil
	p.giveLocked()
	p.wakeLocked()
	p.mu.Unlock()
	if start != nil {
		go start() // ends with the sequence
	}
}

// wakeLocked lets the next value be made, where it may.
func (p *producer) wakeLocked() {
	if p.room != nil && (p.gone || p.wantsLocked()) {
		close(p.room)
		p.room = nil
	}
}

// wantsLocked reports whether another value is wanted.
func (p *producer) wantsLocked() bool {
	return p.asks || len(p.values) < p.target && (p.limit == 0 || p.bytes < p.limit)
}

// put adds a value, and waits until another one is wanted.
func (p *producer) put(ctx context.Context, raw []byte) error {
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return hubwire.ErrClosed
	}
	p.values = append(p.values, raw)
	p.bytes += len(raw)
	p.newsLocked()
	p.giveLocked()
	for !p.gone && !p.wantsLocked() {
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.gone {
		return hubwire.ErrClosed
	}
	return nil
}

// finish says that no more values come.
func (p *producer) finish(err *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.err = true, err
	p.newsLocked()
	p.giveLocked()
}

func (p *producer) newsLocked() {
	if p.news != nil {
		close(p.news)
		p.news = nil
	}
}

// giveLocked answers who asks, if there is enough to give.
func (p *producer) giveLocked() {
	if !p.asks || len(p.values) < p.least && !p.over {
		return
	}
	c := p.of.conn
	to := p.asker
	p.asks = false
	p.of.mu.Lock()
	delete(p.of.asked, string(to.id))
	p.of.mu.Unlock()
	if len(p.values) == 0 && p.err != nil {
		p.goneLocked()
		c.answerError(to, p.err)
		return
	}
	finished := p.over && p.err == nil
	raw := c.svc.d.batch(p.values, p.bytes, finished)
	clear(p.values)
	p.values, p.bytes = p.values[:0], 0
	if finished {
		p.goneLocked()
	} else {
		p.wakeLocked()
	}
	c.answerValue(to, c.svc.d.verbatim(raw))
}

func (p *producer) goneLocked() {
	if p.gone {
		return
	}
	p.gone = true
	p.values, p.bytes, p.start = nil, 0, nil
	close(p.aborted)
	p.wakeLocked()
	p.newsLocked()
	p.of.remove(p, p.asker.id)
}

// abort ends the sequence early.
func (p *producer) abort() {
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return
	}
	asks, to := p.asks, p.asker
	p.asks = false
	p.goneLocked()
	p.mu.Unlock()
	if asks && p.of.conn.port != nil {
		p.of.conn.answerError(to, errCancelled)
	}
	if p.cancel != nil {
		p.cancel()
	}
}

// feed makes the values of an upload or a Sequence. ctx ends with the sequence.
func (p *producer) feed(ctx context.Context, codec wire.Codec, items iter.Seq2[any, error]) {
	c := p.of.conn
	c.feeds.begin()
	defer c.feeds.end()
	done := false
	defer func() {
		if done {
			return
		}
		v := recover() // nil: runtime.Goexit
		c.svc.hubOpts.Logger.Error("jsonrpc: a sequence panics", "hub", c.svc.hubOpts.Name, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		p.finish(&Error{Code: CodeInternal, Message: "The sequence failed."})
	}()
	for v, err := range items {
		if err != nil {
			if !p.isGone() {
				p.finish(c.failure(err))
			}
			done = true
			return
		}
		raw, err := codec.Append(nil, v)
		if err != nil {
			p.finish(&Error{Code: CodeUnserializable, Message: err.Error()})
			done = true
			return
		}
		if p.put(ctx, raw) != nil {
			done = true
			return
		}
	}
	done = true
	p.finish(nil)
}

// failure is what the peer is told of an error among the values that it asks for.
func (c *Conn) failure(err error) *Error {
	return errorOf(&wire.Fault{Kind: wire.Failed, Err: err}, true, c.opts.ErrorData)
}

func (p *producer) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// upload runs the items of an upload. It ends with them, with the answer to the
// call, or with the connection.
func (p *producer) upload(items iter.Seq2[any, error]) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer p.of.conn.feeds.end()
	p.feed(ctx, p.of.conn.codec(binder{}), items)
}

// uploads puts the tokens of a call's uploads among its arguments.
func (c *Conn) uploads(out *wire.OutCall) (args []any, prods []*producer, err error) {
	rest := out.Args
	n := len(out.Args) + len(out.Uploads)
	for i := range n {
		u := len(prods)
		here := u < len(out.Uploads) && (u < len(out.Places) && out.Places[u] == i || len(rest) == 0)
		if here {
			p := c.seqs.add(nil)
			if p == nil {
				for _, p := range prods {
					p.abort()
				}
				return nil, nil, errSequences
			}
			prods = append(prods, p)
			args = append(args, c.svc.d.verbatim(c.svc.d.sequence(p.id, false, nil)))
			continue
		}
		args = append(args, rest[0])
		rest = rest[1:]
	}
	return args, prods, nil
}

// A sequence is one of the peer's, as it is read here. It is read by one goroutine
// at a time.
type sequence struct {
	conn   *Conn
	token  []byte // nil: there is no more to ask for
	values [][]byte
	err    error
	over   bool
}

var errNoSequence = &Error{Code: CodeUnserializable, Message: "jsonrpc: the result is no sequence"}

// sequence reads what stands in place of a sequence.
func (c *Conn) sequence(raw []byte) (*sequence, error) {
	s := &sequence{conn: c}
	found, other, _, err := s.read(raw)
	if err != nil || !found && other {
		return nil, errNoSequence
	}
	return s, nil
}

// read takes the values and the token out of an object.
func (s *sequence) read(raw []byte) (found, other, finished bool, err error) {
	if s.conn.svc.d.pack != 0 {
		return s.readPacked(raw)
	}
	x := jsonwire.Scanner{MaxDepth: maxDepth + 2}
	x.Reset(raw)
	x.Object()
	for key, ok := x.Member(); ok; key, ok = x.Member() {
		switch string(key) {
		case "token":
			v, kind := x.Value()
			found = true
			if kind != jsonwire.Null {
				s.token = append([]byte(nil), v...)
			}
		case "values":
			found = true
			if x.Kind() == jsonwire.Null {
				x.Value()
				continue
			}
			for x.Array(); x.Element(); {
				v, _ := x.Value()
				s.values = append(s.values, append([]byte(nil), v...))
			}
		case "finished":
			v, _ := x.Value()
			finished = string(v) == "true"
		default:
			other = true
			x.Value()
		}
	}
	if !x.End() {
		return false, false, false, x.Err()
	}
	return found, other, finished, nil
}

// next decodes the next value; io.EOF is the end.
func (s *sequence) next(ctx context.Context, into any) error {
	for {
		if len(s.values) > 0 {
			v := s.values[0]
			s.values[0] = nil
			s.values = s.values[1:]
			if err := s.conn.codec(binder{}).Decode(v, into); err != nil {
				s.close()
				return &Error{Code: CodeUnserializable, Message: "jsonrpc: an item cannot be read: " + err.Error()}
			}
			return nil
		}
		switch {
		case s.err != nil:
			return s.err
		case s.token == nil || s.over:
			return io.EOF
		}
		if err := s.more(ctx); err != nil {
			return err
		}
	}
}

// more asks for more values.
func (s *sequence) more(ctx context.Context) error {
	var raw []byte
	r, err := s.conn.StartCall(ctx, &wire.OutCall{
		Name: nextMethod, Kind: wire.Method,
		Args: []any{s.conn.svc.d.verbatim(s.token)}, Names: tokenNames,
	})
	if err == nil {
		defer r.Close()
		raw, err = r.(*outCall).result(ctx)
	}
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			s.close()
			return err
		}
		s.over, s.err = true, err // an error is the end
		return err
	}
	token := s.token
	found, _, finished, err := s.read(raw)
	s.token = token
	switch {
	case err != nil || !found && !finished:
		s.close()
		s.err = errNoSequence
		return s.err
	case finished:
		s.token = nil
	case len(s.values) == 0:
		s.close()
		s.err = errNoSequence
		return s.err
	}
	return nil
}

// close gives the sequence up.
func (s *sequence) close() {
	if s.token == nil || s.over {
		return
	}
	s.over = true
	// In line with the answer to the call whose argument it may be, and ahead of it.
	_ = s.conn.tell(nil, "$/enumerator/abort", tokenNames, false, s.conn.svc.d.verbatim(s.token))
}

var tokenNames = []string{"token"}

// A source is a sequence among the arguments of a call, as the hub reads it.
type source struct {
	mu   sync.Mutex
	seq  *sequence
	over bool
}

// Next implements wire.Source.
func (s *source) Next(ctx context.Context, into any) error {
	err := s.seq.next(ctx, into)
	if err != nil && err != io.EOF && ctx.Err() == nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			return &Error{Code: CodeFailed, Message: err.Error()}
		}
	}
	return err
}

// Close implements wire.Source. The handler has ended by then.
func (s *source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		s.seq.close()
	}
}

// takeUploads takes the sequences out of the arguments.
func (k *inCall) takeUploads() {
	if k.Args.Err != nil {
		return
	}
	take := func(raw []byte) {
		s, err := k.conn.sequence(raw)
		switch {
		case k.conn.svc.d.isNull(raw):
			s = &sequence{conn: k.conn}
		case err != nil:
			k.Args.Err = &Error{Code: CodeInvalidParams, Message: "An argument is no sequence."}
			return
		}
		k.Uploads = append(k.Uploads, &source{seq: s})
	}
	if k.Args.Named != nil {
		for i, up := range k.method.uploads {
			if !up {
				continue
			}
			name := k.method.params[i].Name
			if raw, ok := k.Args.Named[name]; ok {
				delete(k.Args.Named, name)
				take(raw)
			} else if len(k.Args.Named) == 1 && name == "" {
				for key, raw := range k.Args.Named {
					delete(k.Args.Named, key)
					take(raw)
				}
			}
		}
		if len(k.Args.Named) == 0 {
			k.Args.Named, k.Args.List = nil, nil
		}
		return
	}
	plain := make([][]byte, 0, len(k.Args.List))
	for i, raw := range k.Args.List {
		if i < len(k.method.uploads) && k.method.uploads[i] {
			take(raw)
		} else {
			plain = append(plain, raw)
		}
	}
	k.Args.List = plain
}
