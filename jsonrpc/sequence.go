package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strconv"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// Sequences are StreamJsonRpc's asynchronous enumerables: one end has a producer
// with a token, the other asks for its values with $/enumerator/next.

// Bounds of what a producer keeps for a peer that does not ask.
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
	ended bool
}

// A producer holds values until the peer asks for them.
type producer struct {
	of     *producers
	id     uint64
	cancel func() // ends who makes the values

	mu      sync.Mutex // guards the following
	values  [][]byte
	bytes   int
	over    bool
	err     *Error
	gone    bool          // nobody asks any more
	asked   bool          // the peer waits
	asker   addressee     // for this
	room    chan struct{} // closed when there is room, or nobody asks; nil where nobody waits
	aborted chan struct{} // closed with gone
}

func (s *producers) add(cancel func()) *producer {
	p := &producer{of: s, cancel: cancel, aborted: make(chan struct{})}
	s.mu.Lock()
	s.last++
	p.id = s.last
	ended := s.ended
	if !ended {
		if s.byID == nil {
			s.byID = map[uint64]*producer{}
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
	id, ok := jsonwire.Uint64(token)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

func (s *producers) remove(p *producer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, p.id)
}

// end ends all, with the connection.
func (s *producers) end() {
	s.mu.Lock()
	s.ended = true
	all := s.byID
	s.byID = nil
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

// next is the peer's $/enumerator/next.
func (s *producers) next(to addressee, token []byte) {
	p := s.get(token)
	if p == nil {
		s.conn.answerError(to, &Error{Code: CodeGone, Message: "This remote object no longer exists."})
		return
	}
	p.mu.Lock()
	if p.asked {
		p.mu.Unlock()
		s.conn.answerError(to, &Error{Code: CodeInvalidRequest, Message: "Invalid request: the sequence is asked for its next values already."})
		return
	}
	p.asked, p.asker = true, to
	p.giveLocked()
	p.mu.Unlock()
}

// token is the sequence as it stands in a message.
func (p *producer) token() []byte {
	return append(strconv.AppendUint([]byte(`{"token":`), p.id, 10), '}')
}

// put adds a value, when there is room.
func (p *producer) put(ctx context.Context, raw []byte) error {
	for {
		p.mu.Lock()
		switch {
		case p.gone:
			p.mu.Unlock()
			return hubwire.ErrClosed
		case len(p.values) < aheadItems && p.bytes < aheadBytes:
			p.values = append(p.values, raw)
			p.bytes += len(raw)
			p.giveLocked()
			p.mu.Unlock()
			return nil
		}
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
	}
}

// finish says that no more values come.
func (p *producer) finish(err *Error) {
	p.mu.Lock()
	p.over, p.err = true, err
	p.giveLocked()
	p.mu.Unlock()
}

// giveLocked answers who asks, if there is something to give.
func (p *producer) giveLocked() {
	if !p.asked || len(p.values) == 0 && !p.over {
		return
	}
	c := p.of.conn
	p.asked = false
	if len(p.values) == 0 && p.err != nil {
		p.goneLocked()
		c.answerError(p.asker, p.err)
		return
	}
	b := make([]byte, 0, 32+p.bytes+len(p.values))
	b = append(b, `{"values":[`...)
	for i, v := range p.values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	finished := p.over && p.err == nil
	b = append(b, `],"finished":`...)
	b = strconv.AppendBool(b, finished)
	b = append(b, '}')
	clear(p.values)
	p.values, p.bytes = p.values[:0], 0
	if finished {
		p.goneLocked()
	} else if p.room != nil {
		close(p.room)
		p.room = nil
	}
	c.answerValue(p.asker, json.RawMessage(b))
}

func (p *producer) goneLocked() {
	if p.gone {
		return
	}
	p.gone = true
	p.values, p.bytes = nil, 0
	close(p.aborted)
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
	p.of.remove(p)
}

// abort ends the sequence early.
func (p *producer) abort() {
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return
	}
	asked, to := p.asked, p.asker
	p.asked = false
	p.goneLocked()
	p.mu.Unlock()
	if asked && p.of.conn.port != nil {
		p.of.conn.answerError(to, errCancelled)
	}
	if p.cancel != nil {
		p.cancel()
	}
}

// feed makes values of an upload.
func (p *producer) feed(items iter.Seq2[any, error]) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			p.finish(&Error{Code: CodeInternal, Message: "The stream failed."})
		}
	}()
	codec := p.of.conn.svc.d.Codec()
	for v, err := range items {
		if err != nil {
			p.finish(failed(err, true))
			return
		}
		raw, err := codec.Append(nil, v)
		if err != nil {
			p.finish(&Error{Code: CodeUnserializable, Message: err.Error()})
			return
		}
		if p.put(ctx, raw) != nil {
			return
		}
	}
	p.finish(nil)
}

// uploads puts the tokens of a call's uploads among its arguments.
func (c *Conn) uploads(out *wire.OutCall) (args []any, prods []*producer) {
	rest := out.Args
	n := len(out.Args) + len(out.Uploads)
	for i := range n {
		u := len(prods)
		here := u < len(out.Uploads) && (u < len(out.Places) && out.Places[u] == i || len(rest) == 0)
		if here {
			p := c.seqs.add(nil)
			prods = append(prods, p)
			args = append(args, json.RawMessage(p.token()))
			continue
		}
		args = append(args, rest[0])
		rest = rest[1:]
	}
	return args, prods
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
			if err := s.conn.svc.d.Codec().Decode(v, into); err != nil {
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
	var raw json.RawMessage
	r, err := s.conn.StartCall(ctx, &wire.OutCall{
		Name: "$/enumerator/next", Kind: wire.Method,
		Args: []any{json.RawMessage(s.token)}, Names: []string{"token"},
	})
	if err == nil {
		defer r.Close()
		err = r.Next(ctx, &raw)
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
	s.conn.notify("$/enumerator/abort", "token", json.RawMessage(s.token))
}

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
		case string(raw) == "null":
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
