package jsonrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// An addressee is where an answer goes: to the id of a request, alone or in the
// answer to a batch.
type addressee struct {
	id    []byte
	batch *inBatch
}

var nobody = addressee{id: nullID}

// refuse answers input that is no message; an error ends the connection.
func (c *Conn) refuse(e *Error) error {
	if b := c.sink; b != nil {
		b.expect()
		c.answerError(addressee{nullID, b}, e)
		return nil
	}
	if c.opts.CloseOnBad {
		return &frameError{e.Message}
	}
	c.answerError(nobody, e)
	return nil
}

// text takes what one frame holds: a message or a batch. An error ends the
// connection.
func (c *Conn) text(body []byte) error {
	if !c.parser.packed {
		var batch bool
		if body, batch = isBatch(body); batch {
			return c.batch(body, c.sink)
		}
	}
	if !c.parser.parse(body) {
		return c.refuse(&Error{Code: CodeParse, Message: "Parse error: " + c.parser.fault() + "."})
	}
	return c.take(&c.parser, len(body), c.sink)
}

// take takes one message.
func (c *Conn) take(p *parser, size int, batch *inBatch) error {
	switch p.kind {
	case request, notification:
		c.called(p, size, batch)
	case answer, failure, broken:
		c.answered(p)
	case empty:
		if id, ok := jsonwire.Uint64(p.id); ok && c.pending.has(id) {
			c.answered(p)
			return nil
		}
		fallthrough
	default:
		if c.opts.CloseOnBad && batch == nil {
			return &frameError{"invalid request: " + p.bad}
		}
		to := addressee{nullID, batch}
		if p.id != nil {
			to.id = p.id
		}
		batch.expect()
		c.answerError(to, &Error{Code: CodeInvalidRequest, Message: "Invalid request: " + p.bad + "."})
	}
	return nil
}

// answerError answers with an error.
func (c *Conn) answerError(to addressee, e *Error) { c.answerErrorIn(to, e, c.svc.d.Codec()) }

// answerErrorIn does so with data in that codec.
func (c *Conn) answerErrorIn(to addressee, e *Error, codec wire.Codec) {
	b := buffers.get()
	*b = c.svc.d.appendError((*b)[:0], to.id, e, codec)
	to.batch.fails(e.Code)
	c.answer(to, *b)
	buffers.put(b)
}

// answerValue answers with a result.
func (c *Conn) answerValue(to addressee, v any) {
	b := buffers.get()
	defer buffers.put(b)
	rec, err := c.svc.d.appendResult((*b)[:0], to.id, v, c.svc.d.Codec())
	if err != nil {
		c.answerError(to, &Error{Code: CodeUnserializable, Message: "The result cannot be serialized."})
		return
	}
	*b = rec
	c.answer(to, rec)
}

// answer sends an answer that is written.
func (c *Conn) answer(to addressee, rec []byte) {
	if to.batch != nil {
		to.batch.add(c, to.id, rec)
		return
	}
	c.port.Put(rec)
}

// called takes a call of the peer.
func (c *Conn) called(p *parser, size int, batch *inBatch) {
	note := p.kind == notification
	if len(p.method) > 0 && (p.method[0] == '$' || note && string(p.method) == c.opts.CancelMethod) {
		if c.own(p, batch) {
			return
		}
	}
	m := c.svc.methods[string(p.method)]
	var bad *Error
	if m == nil && bytes.HasPrefix(p.method, []byte(invokePrefix)) {
		m, bad = c.objectMethod(p.method, len(p.list))
	} else if m == nil {
		bad = &Error{Code: CodeMethodNotFound, Message: notFoundText(p.method)}
	}
	if m == nil || note && m.streams {
		if !note {
			batch.expect()
			if string(p.method) == discoverMethod && c.opts.Discover != nil {
				c.answerValue(addressee{p.id, batch}, c.svc.describe())
				return
			}
			c.answerError(addressee{p.id, batch}, bad)
		}
		return
	}
	k := &inCall{conn: c, method: m, note: note}
	k.copy(p)
	k.Size = size + callCost
	switch {
	case note && batch != nil && batch.notes:
		batch.expect()
		k.to.batch = batch
	case !note:
		batch.expect()
		k.to.batch = batch
		if !c.inFlight.add(k) {
			c.answerError(k.to, &Error{Code: CodeInvalidRequest, Message: "Invalid request: the id is in use."})
			return
		}
	}
	if m.flexible && k.Args.Named != nil {
		k.bend()
	}
	if m.uploads != nil {
		k.takeUploads()
	}
	c.under.begin()
	c.gate.start(k)
}

// textOf is a name for an error's text.
func textOf(name []byte) string {
	if len(name) > 200 {
		return string(name[:200]) + "..."
	}
	return string(name)
}

// own takes what is the protocol's own, and reports whether it was.
func (c *Conn) own(p *parser, batch *inBatch) bool {
	note := p.kind == notification
	to := addressee{p.id, batch}
	switch string(p.method) {
	case nextMethod:
		if !note {
			batch.expect()
			to.id = append([]byte(nil), p.id...)
			c.seqs.next(to, p.argument("token"))
		}
	case "$/enumerator/abort":
		c.seqs.abort(p.argument("token"))
		if !note {
			batch.expect()
			c.answerValue(to, nil)
		}
	case releaseMethod:
		c.released(p)
		if !note {
			batch.expect()
			c.answerValue(to, nil)
		}
	case "$/progress":
		// What is not known here may be the application's.
		return note && (c.came(p) || c.svc.methods[string(p.method)] == nil)
	case c.opts.CancelMethod:
		if id := p.argument(c.opts.CancelKey); id != nil {
			c.cancelled(id)
		}
		if !note {
			batch.expect()
			c.answerValue(to, nil)
		}
	default:
		// What begins so and is unknown may be ignored as a notification.
		return p.method[0] == '$' && note && c.svc.methods[string(p.method)] == nil && !bytes.HasPrefix(p.method, []byte(invokePrefix))
	}
	return true
}

// cancelled takes the peer's cancel of a request of its own.
func (c *Conn) cancelled(id []byte) {
	if c.parser.packed {
		var bad bool
		if id, bad = appendID(nil, id); bad {
			return
		}
	}
	c.inFlight.cancel(c, id)
	c.seqs.cancel(id)
}

// argument is a parameter by its name, or the first by position.
func (p *parser) argument(name string) []byte {
	switch p.shape {
	case list:
		if len(p.list) > 0 {
			return p.list[0]
		}
	case object:
		for i := range p.keys {
			if string(p.key(i)) == name {
				return p.list[i]
			}
		}
	}
	return nil
}

// callCost is what a call that waits takes beside its bytes.
const callCost = 256

// An inCall is a call of the peer, and the way of its outcome.
type inCall struct {
	wire.Call
	state  hubwire.Call // the hub's
	conn   *Conn
	method *method
	to     addressee
	note   bool
	held   bool  // counted as waiting input
	num    int64 // of the id, where it is a number in the usual form
	key    uint8 // how inFlight knows it
	gone   bool  // cancelled by the peer; guarded by inFlight.mu
	waits  bool  // the hub does not have it yet; likewise
	next   *inCall
	prod   *producer
	given  int         // arguments
	over   atomic.Bool // it was answered
	extra  *callExtra
	list   [3][]byte
	items  *collected
	inline [112]byte // the bytes of most calls, so that they take one allocation
}

// copy takes what the call needs of its message.
func (k *inCall) copy(p *parser) {
	buf := k.inline[:0]
	if n := len(p.id) + len(p.params); n > len(k.inline) {
		buf = make([]byte, 0, n)
	}
	buf = append(append(buf, p.id...), p.params...)
	k.to.id = buf[:len(p.id):len(p.id)]
	params := buf[len(p.id):]
	k.Name = k.method.name
	k.given = len(p.list)
	if string(p.method) != k.Name {
		k.more().called = textOf(p.method)
	}
	if k.method.refs {
		k.Args.Codec = k.conn.codec(binder{in: k})
	} else {
		k.Args.Codec = k.conn.svc.d.Codec()
	}
	if p.parent != nil && k.conn.port.Headers() {
		k.Headers = map[string]string{}
		k.Headers["traceparent"], _ = jsonwire.Text(p.parent)
		if p.state != nil {
			k.Headers["tracestate"], _ = jsonwire.Text(p.state)
		}
	}
	values := k.list[:0]
	if len(p.list) > len(k.list) {
		values = make([][]byte, 0, len(p.list))
	}
	for i, v := range p.list {
		end := p.ends[i]
		values = append(values, params[end-len(v):end:end])
	}
	k.Stream = k.method.streams
	k.Reply = k
	if p.shape != object {
		k.Args.List = values
		return
	}
	if len(values) == 0 && k.method.none {
		return
	}
	k.Args.Named = make(map[string][]byte, len(values))
	for i, v := range values {
		k.Args.Named[string(p.key(i))] = v
	}
	if len(k.Args.Named) < len(values) {
		k.Args.Err = &Error{Code: CodeInvalidParams, Message: "An argument comes twice."}
	}
	k.Args.List = append(k.list[:0:1], params)
}

// Begin implements wire.Beginner: a stream is answered with its token.
func (k *inCall) Begin() {
	c := k.conn
	if c.sink != nil { // nobody can ask for more: all of it is the answer
		k.items = &collected{}
		return
	}
	k.prod = c.seqs.add(func() { c.port.CancelCall(&k.state) })
	c.inFlight.remove(k)
	if k.prod == nil {
		c.port.CancelCall(&k.state)
		c.answerError(k.to, errorOf(errSequences, true, nil))
		k.to = addressee{}
		return
	}
	c.answerValue(k.to, c.svc.d.verbatim(c.svc.d.sequence(k.prod.id, false, nil)))
}

// Item implements wire.Reply.
func (k *inCall) Item(ctx context.Context, v any) error {
	if k.prod == nil && k.items == nil {
		return hubwire.ErrClosed // there were too many
	}
	raw, err := k.Args.Codec.Append(nil, v)
	if err != nil {
		return err
	}
	if k.items != nil {
		return k.items.add(raw, k.conn.opts.MaxBatchReply)
	}
	return k.prod.put(ctx, raw)
}

// collected are the items of a stream where the peer cannot ask for them.
type collected struct {
	values []byte
	err    error
}

var errTooMuch = &Error{Code: CodeUnserializable, Message: "The answer is too large."}

func (x *collected) add(raw []byte, limit int) error {
	if len(x.values)+len(raw) > limit {
		x.err = errTooMuch
		return x.err
	}
	if len(x.values) > 0 {
		x.values = append(x.values, ',')
	}
	x.values = append(x.values, raw...)
	return nil
}

// sequence is the whole of them, as the value of a sequence without a token.
func (x *collected) sequence() json.RawMessage {
	return append(append([]byte(`{"values":[`), x.values...), "]}"...)
}

// Done implements wire.Reply.
func (k *inCall) Done(v any, err error) {
	c := k.conn
	defer c.under.end()
	if k.note {
		k.end(err != nil)
		c.gate.done()
		k.to.batch.skip(c)
		return
	}
	if k.to.id == nil { // a stream that was one too many
		k.end(true)
		return
	}
	if k.prod != nil {
		k.end(err != nil)
		if err != nil {
			k.prod.finish(errorOf(err, c.svc.detailed, c.opts.ErrorData))
		} else {
			k.prod.finish(nil)
		}
		return
	}
	cancelled := c.inFlight.remove(k)
	if cancelled && c.opts.NoCancelReply {
		k.end(err != nil)
		k.to.batch.skip(c)
		return
	}
	if x := k.items; x != nil {
		if v = x.sequence(); x.err != nil {
			err = x.err
		}
	}
	b := buffers.get()
	defer buffers.put(b)
	if err == nil {
		rec, bad := c.svc.d.appendResult((*b)[:0], k.to.id, v, k.Args.Codec)
		k.end(bad != nil)
		if bad == nil {
			*b = rec
			c.answer(k.to, rec)
			return
		}
		c.svc.hubOpts.Logger.Error("jsonrpc: the result cannot be serialized", "hub", c.svc.hubOpts.Name, "call", k.Name, "err", bad)
		e := &Error{Code: CodeUnserializable, Message: unserializableText}
		if c.svc.detailed {
			e.Message += " " + bad.Error()
		}
		c.answerError(k.to, e)
		return
	}
	k.end(true)
	c.answerErrorIn(k.to, k.fault(err), c.svc.d.Codec())
}
