package jsonrpc

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// pending are our own calls that wait for their answers.
type pending struct {
	mu    sync.Mutex // guards the following
	last  uint64
	calls map[uint64]*outCall
	err   error // set at the end
}

// gatherAt is how many calls under way make it likely that others are about to
// send.
const gatherAt = 2

func (p *pending) few() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls) <= gatherAt
}

func (p *pending) has(id uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id] != nil
}

var errPending = hubwire.Errorf(hubwire.CodeResourceExhausted, "jsonrpc: too many calls wait for their answers")

// add makes a call.
func (p *pending) add(c *Conn, out *wire.OutCall) (*outCall, error) {
	o := &outCall{conn: c, kind: out.Kind, came: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return nil, p.err
	case len(p.calls) >= c.opts.MaxPending:
		return nil, errPending
	}
	if p.calls == nil {
		p.calls = map[uint64]*outCall{}
	}
	p.last++
	o.id = p.last
	p.calls[o.id] = o
	return o, nil
}

// take takes a call that was answered.
func (p *pending) take(id uint64) *outCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.calls[id]
	delete(p.calls, id)
	return o
}

// fail fails all calls, and those to come.
func (p *pending) fail(err error) {
	if err == nil {
		err = hubwire.ErrClosed
	}
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	p.err = err
	calls := p.calls
	p.calls = nil
	p.mu.Unlock()
	for _, o := range calls {
		o.settle(nil, err)
	}
}

// answered takes an answer of the peer.
func (c *Conn) answered(p *parser) {
	if id, ok := jsonwire.Uint64(p.id); ok {
		o := c.pending.take(id)
		if o == nil {
			c.ignored.Add(1)
			return
		}
		switch p.kind {
		case answer:
			o.settle(p.result, nil)
		case failure:
			o.settle(nil, c.parseError(p.result))
		case broken:
			o.settle(nil, &Error{Code: CodeInvalidRequest, Message: "The answer has a result and an error."})
		default:
			o.settle(nil, &Error{Code: CodeInvalidRequest, Message: "The answer has neither a result nor an error."})
		}
		return
	}
	id, err := jsonwire.Text(p.id)
	if err != nil {
		c.ignored.Add(1)
		return
	}
	// A string is the id of a question of the hub.
	var failed error
	v := wire.Values{Codec: c.svc.d.Codec()}
	switch p.kind {
	case answer:
		v.List = [][]byte{p.result}
	case failure:
		failed = c.parseError(p.result)
	default:
		failed = &Error{Code: CodeInvalidRequest, Message: "The answer has neither a result nor an error, or both."}
	}
	if c.port.Answer(id, v, failed) != nil {
		c.ignored.Add(1)
	}
}

// An outCall is a call of the peer, as wire.Results. Next is called by one
// goroutine at a time.
type outCall struct {
	conn *Conn
	id   uint64 // 0: no answer is wanted
	kind wire.Kind
	came chan struct{} // has one when the answer is there

	mu      sync.Mutex // guards the following
	settled bool
	left    bool // nobody waits
	raw     []byte
	err     error

	taken bool // Next has taken the answer
	items *sequence
	prods []*producer // guarded by mu once the call is sent

	// What references among the arguments have made.
	tokens  []uint64      // of progresses
	lent    []lent        // objects
	reports []report      // guarded by mu
	news    chan struct{} // has one when there are reports
}

// own makes a sequence one that ends with the call.
func (o *outCall) own(p *producer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prods = append(o.prods, p)
}

// give ends what was lent and made for the arguments.
func (o *outCall) give(failed bool) {
	if o.tokens != nil {
		o.conn.progress.remove(o.tokens)
	}
	if o.lent != nil {
		o.conn.settleLent(o.lent, failed)
	}
}

// settle gives the call its answer. raw is not kept.
func (o *outCall) settle(raw []byte, err error) {
	o.mu.Lock()
	left := o.left
	o.settled = true
	if !left {
		o.raw, o.err = append(o.raw[:0], raw...), err
		o.came <- struct{}{}
	}
	conn, prods := o.conn, o.prods
	o.mu.Unlock()
	o.give(err != nil)
	if err != nil || !o.kind.Streams() {
		for _, p := range prods {
			p.abort() // sequences in arguments end with the answer
		}
	}
	if left && raw != nil {
		// Nobody will read a sequence that comes too late.
		if s, err := conn.sequence(raw); err == nil && s.token != nil {
			s.close()
		}
	}
}

// wait waits until the connection is open.
func (c *Conn) wait(ctx context.Context) error {
	if c.ready.Load() {
		return nil
	}
	select {
	case <-c.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !c.ready.Load() {
		if err := c.Err(); err != nil {
			return err
		}
		return hubwire.ErrClosed
	}
	return nil
}

// StartCall implements hubwire.Caller. It returns when the call is in line to be
// sent, and waits only where much waits already: for ctx at most.
func (c *Conn) StartCall(ctx context.Context, out *wire.OutCall) (wire.Results, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	if c.sink != nil {
		return nil, errOneWay
	}
	var o *outCall
	var id uint64
	if out.NoReply {
		if err := c.over(); err != nil {
			return nil, err
		}
	} else {
		var err error
		if o, err = c.pending.add(c, out); err != nil {
			return nil, err
		}
		id = o.id
	}
	args := out.Args
	var prods []*producer
	if len(out.Uploads) > 0 {
		var err error
		if args, prods, err = c.uploads(out); err != nil {
			if o != nil {
				c.pending.take(id)
			}
			return nil, err
		}
		if o != nil {
			o.mu.Lock()
			o.prods = prods
			o.mu.Unlock()
		}
	}
	var headers map[string]string
	if trace := c.svc.hubOpts.TraceOut; trace != nil {
		headers = trace(ctx)
	}
	b := buffers.get()
	rec, err := c.svc.d.appendCall((*b)[:0], id, out, args, c.codecOf(ctx, o, args), headers)
	if err != nil {
		err = fmt.Errorf("jsonrpc: %s: %w", out.Name, err)
	} else {
		*b = rec
		err = c.out.send(ctx, rec)
	}
	buffers.put(b)
	if err != nil {
		if o != nil {
			c.pending.take(id)
			o.give(true)
			prods = o.prods // those inside of arguments too
		}
		for _, p := range prods {
			p.abort()
		}
		return nil, err
	}
	for i, items := range out.Uploads {
		c.feeds.begin()
		go prods[i].upload(items) // ends with the items, the answer or the connection
	}
	if o == nil {
		return noResults{}, nil
	}
	return o, nil
}

// errOneWay is the error of calls of whoever has sent a POST.
var errOneWay = hubwire.Errorf(hubwire.CodeUnimplemented, "jsonrpc: who has sent a POST cannot be called")

// over is the error of a connection that has ended.
func (c *Conn) over() error {
	c.pending.mu.Lock()
	defer c.pending.mu.Unlock()
	return c.pending.err
}

type noResults struct{}

func (noResults) Next(context.Context, any) error { return io.EOF }
func (noResults) Close() error                    { return nil }

// Next implements wire.Results.
func (o *outCall) Next(ctx context.Context, into any) error {
	if o.items != nil {
		return o.items.next(ctx, into)
	}
	if o.taken {
		return io.EOF
	}
	raw, err := o.result(ctx)
	switch {
	case err != nil:
		return err
	case o.kind == wire.Command:
		return io.EOF
	case o.kind.Streams():
		s, err := o.conn.sequence(raw)
		if err != nil {
			return err
		}
		o.items = s
		return s.next(ctx, into)
	case into == nil:
		return nil
	}
	if err := o.conn.codecFor(into).Decode(raw, into); err != nil {
		return &Error{Code: CodeUnserializable, Message: "jsonrpc: the result cannot be read: " + err.Error()}
	}
	return nil
}

// result waits for the answer.
func (o *outCall) result(ctx context.Context) ([]byte, error) {
	for came := false; !came; {
		select {
		case <-o.came:
			came = true
		default:
			o.conn.port.Release(ctx) // calls that call back need places too
			select {
			case <-o.came:
				came = true
			case <-o.news: // nil where there are no progresses
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if o.news != nil {
			o.deliver()
		}
	}
	o.taken = true
	return o.raw, o.err
}

// codecOf is the codec for the arguments of a call; a nil o is a notification.
func (c *Conn) codecOf(ctx context.Context, o *outCall, args []any) wire.Codec {
	for _, a := range args {
		if plain(a) {
			continue
		}
		if o == nil {
			return c.codec(binder{only: "a notification"})
		}
		return c.codec(binder{ctx: ctx, out: o})
	}
	return c.svc.d.Codec()
}

// codecFor is the codec for a result.
func (c *Conn) codecFor(into any) wire.Codec {
	if t := reflect.TypeOf(into); t == nil || t.Kind() != reflect.Pointer || holdingOf(t.Elem()) != holdsSome {
		return c.svc.d.Codec()
	}
	return c.codec(binder{})
}

// Close implements wire.Results: it cancels what still runs.
func (o *outCall) Close() error {
	if o.items != nil {
		o.items.close()
	}
	o.mu.Lock()
	if o.left {
		o.mu.Unlock()
		return nil
	}
	o.left = true
	settled, c, id, prods := o.settled, o.conn, o.id, o.prods
	o.dropLocked()
	o.mu.Unlock()
	for _, p := range prods {
		p.abort()
	}
	if !settled {
		o.give(true)
		c.cancel(id, o.kind)
		return nil
	}
	if !o.taken && o.err == nil && o.kind.Streams() {
		if s, err := c.sequence(o.raw); err == nil {
			s.close() // it came when nobody waited any more
		}
	}
	return nil
}

// cancel tells the peer that nobody waits for a call any more.
func (c *Conn) cancel(id uint64, k wire.Kind) {
	if !k.Streams() {
		c.pending.take(id)
	}
	c.notify(c.opts.CancelMethod, c.opts.CancelKey, id)
}

// notify sends a notification with one named argument.
func (c *Conn) notify(method, key string, v any) {
	b := buffers.get()
	defer buffers.put(b)
	d := *c.svc.d
	if !d.v1 {
		d.style = Named
	}
	rec, err := d.appendCall((*b)[:0], 0, &wire.OutCall{Name: method, Names: []string{key}}, []any{v}, c.svc.d.Codec(), nil)
	if err == nil {
		*b = rec
		c.out.post(rec)
	}
}
