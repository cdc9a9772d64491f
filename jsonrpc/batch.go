package jsonrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// An inBatch gathers the answers to a batch; a nil one is none. It is sent when
// the last of them is there, and not at all where there is none. The answers to a
// POST come together likewise: a plain one is that to a single message, and send
// is called without an answer too, once the notifications have ended.
type inBatch struct {
	plain bool // no array
	notes bool // notifications count
	send  func([]byte)

	mu   sync.Mutex // guards the following
	left int        // answers that are to come, and one while the batch is read
	buf  []byte
	code int64 // of the last error; 0: there was none
}

// expect says that one more answer comes.
func (b *inBatch) expect() {
	if b != nil {
		b.mu.Lock()
		b.left++
		b.mu.Unlock()
	}
}

// add adds the answer to the request with that id.
func (b *inBatch) add(c *Conn, id, rec []byte) {
	b.mu.Lock()
	if !b.plain && len(b.buf)+len(rec) > c.opts.MaxBatchReply {
		rec = c.svc.d.appendError(nil, id, &Error{Code: CodeUnserializable, Message: "The answer to the batch is too large."}, c.svc.d.Codec())
	}
	switch {
	case b.plain:
	case len(b.buf) == 0:
		b.buf = append(b.buf, '[')
	default:
		b.buf = append(b.buf, ',')
	}
	b.buf = append(b.buf, rec...)
	b.mu.Unlock()
	b.skip(c)
}

// fails says that an answer that comes is an error.
func (b *inBatch) fails(code int64) {
	if b != nil {
		b.mu.Lock()
		b.code = code
		b.mu.Unlock()
	}
}

// skip says that an answer does not come.
func (b *inBatch) skip(c *Conn) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.left--
	over := b.left == 0 && (len(b.buf) > 0 || b.notes)
	b.mu.Unlock()
	if over && len(b.buf) > 0 && !b.plain {
		b.buf = append(b.buf, ']')
	}
	if over {
		b.send(b.buf)
	}
}

// batch takes an array of messages. The answers go to b, if there is one.
func (c *Conn) batch(body []byte, b *inBatch) error {
	s := jsonwire.Scanner{MaxDepth: maxDepth + 3}
	s.Reset(body)
	n := 0
	for s.Array(); s.Element(); n++ {
		s.Value()
	}
	if !s.End() {
		c.parser.s = s
		return c.refuse(&Error{Code: CodeParse, Message: "Parse error: " + c.parser.fault() + "."})
	}
	switch {
	case n == 0:
		return c.refuse(&Error{Code: CodeInvalidRequest, Message: "Invalid request: the batch is empty."})
	case n > c.opts.MaxBatch:
		return c.refuse(&Error{Code: CodeInvalidRequest, Message: fmt.Sprintf("Invalid request: a batch of %d messages.", n)})
	}
	if b == nil {
		b = &inBatch{send: c.port.Put}
	}
	b.plain = false
	b.expect()
	s.Reset(body)
	for s.Array(); s.Element(); {
		raw, _ := s.Value()
		if !c.parser.parse(raw) { // a string that is not UTF-8
			c.parser.message = message{bad: c.parser.fault()}
		}
		if err := c.take(&c.parser, len(raw), b); err != nil {
			return err
		}
	}
	b.skip(c)
	return nil
}

// A Batch is a number of calls that are sent as one message. Not all peers take
// batches: StreamJsonRpc, language servers and MCP do not. A Batch is for one
// goroutine and may be sent once.
type Batch struct {
	conn  *Conn
	calls []batched
}

type batched struct {
	out  *wire.OutCall
	into any
	err  *error
}

// Batch begins a batch.
func (c *Conn) Batch() *Batch { return &Batch{conn: c} }

// errTaken is how a name is told that its call was taken.
var errTaken = errors.New("jsonrpc: the call is in a batch")

// startCall keeps a call.
func (b *Batch) startCall(c *wire.OutCall, into any, err *error) {
	b.calls = append(b.calls, batched{c, into, err})
}

type taker struct{ out *wire.OutCall }

func (t *taker) StartCall(_ context.Context, c *wire.OutCall) (wire.Results, error) {
	t.out = c
	return nil, errTaken
}

// Add adds a call of a method to a batch. Once Send has returned, out has the
// result, or the error that is returned here says what became of it.
func Add[In, Out any](b *Batch, m hubwire.Method[In, Out], in In, out *Out) *error {
	var t taker
	_, err := m.Call(context.Background(), &t, in)
	result := new(error)
	if err != errTaken {
		*result = err
		return result
	}
	b.startCall(t.out, out, result)
	return result
}

// Notify adds a notification to a batch.
func Notify[In any](b *Batch, m hubwire.Command[In], in In) error {
	var t taker
	if err := m.Send(context.Background(), &t, in); err != errTaken {
		return err
	}
	b.startCall(t.out, nil, nil)
	return nil
}

// Send sends the batch and waits for all its answers, until ctx or the connection
// ends. Its error is about the batch as a whole; what became of a call Add says.
func (b *Batch) Send(ctx context.Context) error {
	if len(b.calls) == 0 {
		return nil // an empty one is no batch
	}
	c := b.conn
	if c.opts.Notation != JSON {
		return errors.New("jsonrpc: there are no batches in MessagePack")
	}
	if err := c.wait(ctx); err != nil {
		return err
	}
	var headers map[string]string
	if trace := c.svc.hubOpts.TraceOut; trace != nil {
		headers = trace(ctx)
	}
	rec := []byte{'['}
	var waits []*outCall
	for i, k := range b.calls {
		if i > 0 {
			rec = append(rec, ',')
		}
		var o *outCall
		var id uint64
		if k.err != nil {
			var err error
			if o, err = c.pending.add(c, k.out); err != nil {
				b.forget(waits)
				return err
			}
			id = o.id
		}
		next, err := c.svc.d.appendCall(rec, id, k.out, k.out.Args, c.codec(binder{only: "a batch"}), headers)
		if o != nil {
			waits = append(waits, o)
		}
		if err != nil {
			b.forget(waits)
			return fmt.Errorf("jsonrpc: %s: %w", k.out.Name, err)
		}
		rec = next
	}
	if err := c.out.send(ctx, append(rec, ']')); err != nil {
		b.forget(waits)
		return err
	}
	defer b.forget(waits)
	i := 0
	for _, k := range b.calls {
		if k.err == nil {
			continue
		}
		err := waits[i].Next(ctx, k.into)
		if err != io.EOF {
			*k.err = err
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err
		}
		i++
	}
	return nil
}

func (b *Batch) forget(waits []*outCall) {
	for _, o := range waits {
		_ = o.Close()
	}
}
