package jsonrpc

import (
	"context"
	"errors"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A Progress is an argument, or stands inside of one, through which a method tells
// its caller how far it is: StreamJsonRpc's IProgress<T>. The caller makes it with
// [NewProgress]; the method calls Report. The zero Progress is null: nobody wants
// to know.
//
//	type Job struct {
//		Steps    int
//		Progress jsonrpc.Progress[int]
//	}
type Progress[T any] struct {
	form
	fn func(T)
	to *reporter
}

// NewProgress makes a progress for one call, or for many. fn runs on the goroutine
// that waits for the call's result, in order, and before the result is there: it
// may be slow, but what has not been taken holds the connection back. Reports that
// cannot be decoded are dropped.
func NewProgress[T any](fn func(T)) Progress[T] { return Progress[T]{fn: fn} }

// Wanted reports whether the caller wants to know.
func (p Progress[T]) Wanted() bool { return p.to != nil }

// ByName is the same progress with reports whose parameters are named, for callers
// that want them so (ClientRequiresNamedArguments). Connections with the style
// Named report so anyway.
func (p Progress[T]) ByName() Progress[T] {
	if p.to != nil {
		r := *p.to
		r.named = true
		p.to = &r
	}
	return p
}

// Report tells the caller v. It goes out before what is sent behind it, the result
// included, and does nothing where nobody wants to know. It waits while much waits
// for the connection already; ctx bounds that.
func (p Progress[T]) Report(ctx context.Context, v T) error {
	if p.to == nil {
		return nil
	}
	return p.to.report(ctx, v)
}

// A reporter is a progress at the end of the method.
type reporter struct {
	conn  *Conn
	call  *inCall
	token []byte
	named bool
}

var progressNames = []string{"token", "value"}

func (r *reporter) report(ctx context.Context, v any) error {
	if r.call.over.Load() {
		return hubwire.ErrClosed // the caller takes no more
	}
	return r.conn.tell(ctx, "$/progress", progressNames, r.named, r.conn.svc.d.verbatim(r.token), v)
}

var errProgress = errors.New("jsonrpc: a Progress is for the arguments of a request that waits for its result")

func (p *Progress[T]) bind(b *binder) error {
	switch {
	case p.fn == nil:
		p.raw = b.conn.svc.d.null()
		return nil
	case b.out == nil:
		return errProgress
	}
	fn := p.fn
	codec := b.conn.svc.d.Codec()
	p.raw = b.conn.svc.d.number(int64(b.conn.progress.add(b.out, func(raw []byte) {
		var v T
		if codec.Decode(raw, &v) == nil {
			fn(v)
		}
	})))
	return nil
}

func (p *Progress[T]) attach(b *binder) error {
	d := b.conn.svc.d
	switch {
	case p.raw == nil || d.isNull(p.raw):
		return nil
	case !d.isToken(p.raw):
		return errors.New("jsonrpc: a token is a number or a string")
	case b.in == nil:
		return errProgress
	case b.conn.sink != nil:
		return nil // there is no way to tell
	}
	p.to = &reporter{conn: b.conn, call: b.in, token: p.raw}
	return nil
}

// progresses are those that the peer may report to.
type progresses struct {
	mu    sync.Mutex // guards the following
	next  uint64
	sinks map[uint64]sink
}

type sink struct {
	call *outCall
	take func(raw []byte)
}

// add gives a token, which is good until the call is answered.
func (s *progresses) add(o *outCall, take func(raw []byte)) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := s.next
	s.next++
	if s.sinks == nil {
		s.sinks = map[uint64]sink{}
	}
	s.sinks[token] = sink{o, take}
	o.tokens = append(o.tokens, token)
	if o.news == nil {
		o.news = make(chan struct{}, 1)
	}
	return token
}

func (s *progresses) remove(tokens []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tokens {
		delete(s.sinks, t)
	}
}

// came takes a report, and says whether its token is known here.
func (c *Conn) came(p *parser) bool {
	token, ok := c.svc.d.uint(p.argument("token"))
	if !ok {
		return false
	}
	c.progress.mu.Lock()
	s, ok := c.progress.sinks[token]
	c.progress.mu.Unlock()
	if !ok {
		return false
	}
	if raw := p.other("value"); raw != nil {
		s.call.reported(report{append([]byte(nil), raw...), s.take})
	}
	return true
}

// A report waits for the goroutine that waits for the result.
type report struct {
	raw  []byte
	take func(raw []byte)
}

func (r *report) size() int { return len(r.raw) + callCost }

// reported keeps a report. What waits is input that was not taken.
func (o *outCall) reported(r report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.settled || o.left {
		return
	}
	o.conn.port.Hold(r.size())
	o.reports = append(o.reports, r)
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// deliver gives what was reported to the caller's function.
func (o *outCall) deliver() {
	for {
		o.mu.Lock()
		reports := o.reports
		o.reports = nil
		o.mu.Unlock()
		if len(reports) == 0 {
			return
		}
		for i := range reports {
			o.conn.port.Free(reports[i].size())
			reports[i].take(reports[i].raw)
		}
	}
}

// drop gives back what nobody will take.
func (o *outCall) dropLocked() {
	for i := range o.reports {
		o.conn.port.Free(o.reports[i].size())
	}
	o.reports = nil
}

// other is a parameter by its name, or the second by position.
func (p *parser) other(name string) []byte {
	switch p.shape {
	case list:
		if len(p.list) > 1 {
			return p.list[1]
		}
	case object:
		return p.argument(name)
	}
	return nil
}

// tell sends a notification, in line with answers and events: it is ahead of all
// that is sent behind it. ctx bounds the waiting for room; a nil one does not wait,
// and is for what is small and rare.
func (c *Conn) tell(ctx context.Context, method string, names []string, named bool, args ...any) error {
	d := *c.svc.d
	if named && !d.v1 {
		d.style = Named
	}
	b := buffers.get()
	defer buffers.put(b)
	rec, err := d.appendCall((*b)[:0], 0, &wire.OutCall{Name: method, Names: names}, args, c.codec(binder{only: "a notification"}), nil)
	if err != nil {
		return err
	}
	*b = rec
	if ctx == nil {
		c.port.Put(rec)
		return nil
	}
	return c.port.Item(ctx, rec)
}
