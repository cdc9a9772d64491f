package hubwire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"

	"github.com/hubwire/hubwire/wire"
)

// A Handler is a name bound to its implementation at the hub. Names make it
// (With); Hub.Handle takes it. A Handler is a value: Use returns a copy.
type Handler struct {
	name    string
	kind    wire.Kind
	lay     *layout
	uploads int
	in      reflect.Type
	out     reflect.Type // nil: no result
	newIn   func() any
	invoke  Invoke
	place   string // file:line of With, for panics at start-up
	noNames bool   // parameters have no names: struct hubs (D 5)

	item     reflect.Type // of the upload of a ClientStream or BidiStream
	filtered bool         // has filters, which run before the arguments are bound
}

// Name is the name that clients call.
func (h Handler) Name() string { return h.name }

// Kind says which of the client-to-hub kinds the handler is.
func (h Handler) Kind() wire.Kind { return h.kind }

// A Param is one argument of a method, as wires with named arguments and
// descriptions of a hub need it.
type Param struct {
	// Name is what the argument is called: the field's json name, else its own.
	// Empty where it has none: a payload that is no Args struct, and struct hubs.
	Name     string
	Type     reflect.Type // of the value; of a stream, that of its items
	Optional bool         // an Opt
	Stream   bool
}

// Params are the arguments of the method, in order, streams where they stand. ok
// is false for a List, whose arguments are known only at run time.
func (h Handler) Params() (params []Param, ok bool) {
	switch h.lay.shape {
	case list:
		return nil, false
	case single:
		params = []Param{{Type: h.in}}
	}
	for _, f := range h.lay.fields {
		p := Param{Type: h.in.Field(f.index).Type, Optional: f.opt, Stream: f.stream}
		if !h.noNames {
			p.Name = f.name
		}
		switch {
		case f.item != nil:
			p.Type = f.item
		case f.stream:
			p.Type = p.Type.In(0).In(0)
		case f.opt:
			p.Type = p.Type.Field(0).Type
		}
		params = append(params, p)
	}
	if h.item != nil {
		params = append(params, Param{Type: h.item, Stream: true})
	}
	return params, true
}

// Result is the type of the result, or of the items of a stream; nil where there
// is none.
func (h Handler) Result() reflect.Type { return h.out }

// Use wraps h with filters, inside of those that Use added before and of
// Options.Filters; the first is outermost.
func (h Handler) Use(filters ...Filter) Handler {
	h.invoke = wrap(h.invoke, filters)
	h.filtered = h.filtered || len(filters) > 0
	return h
}

func wrap(next Invoke, filters []Filter) Invoke {
	for i := len(filters) - 1; i >= 0; i-- {
		next = filters[i](next)
	}
	return next
}

// An Invoke runs a call to its end: for a stream, past its last item.
type Invoke func(ctx context.Context, call *Call) error

// A Filter wraps calls of every kind, streams and Connect included. What it
// returns instead of calling next is the call's outcome; ErrUnauthorized
// refuses the caller in the wire's own words. Filters run before the arguments
// are looked at.
//
//	func requireUser(next hubwire.Invoke) hubwire.Invoke {
//		return func(ctx context.Context, call *hubwire.Call) error {
//			if call.Conn().User().ID == "" {
//				return hubwire.ErrUnauthorized
//			}
//			return next(ctx, call)
//		}
//	}
type Filter func(next Invoke) Invoke

// A ClientHandler is a name bound to its implementation at a client: the
// receiver of an Event, or the one who answers a ClientMethod. Clients take it
// (On, or when they connect).
type ClientHandler struct {
	name  string
	kind  wire.Kind
	fn    any
	hub   func() Handler
	serve func(ctx context.Context, v wire.Values) (any, error)
}

// Name is the name that the hub calls.
func (h ClientHandler) Name() string { return h.name }

// Kind is wire.Event or wire.ClientMethod.
func (h ClientHandler) Kind() wire.Kind { return h.kind }

// Func is the function that With bound, for tools: its type tells the payload.
func (h ClientHandler) Func() any { return h.fn }

// Handler is h as a handler of a hub, for wires whose ends are alike: the hub of
// a peer that has none of its own.
func (h ClientHandler) Handler() Handler { return h.hub() }

// Serve binds v and calls the implementation; clients call it.
func (h ClientHandler) Serve(ctx context.Context, v wire.Values) (any, error) {
	return h.serve(ctx, v)
}

// A Call is one call in progress, as a Filter sees it. It is valid until the
// filter returns; its methods are not for other goroutines.
type Call struct {
	conn  *Conn
	h     *Handler // nil: Connect, or no such method
	kind  wire.Kind
	in    *wire.Call
	ctx   *callCtx
	input any
	bound bool
	begun bool  // the next call may begin
	bad   error // of binding

	result   any
	released bool   // guarded by conn.calls.mu: the slot was given back while the call runs
	number   uint32 // in the order of the connection's calls
	next     *Call  // among those that wait, or that run; guarded by conn.calls.mu
	prev     *Call  // among those that run
}

// Conn is the connection that calls.
func (c *Call) Conn() *Conn { return c.conn }

// Name is the registered name of the method; empty for Connect.
func (c *Call) Name() string {
	if c.h == nil {
		return ""
	}
	return c.h.name
}

// name is the registered name, else the client's.
func (c *Call) name() string {
	if c.h == nil {
		return c.in.Name
	}
	return c.h.name
}

// Kind is the kind of the method, or wire.Connect.
func (c *Call) Kind() wire.Kind { return c.kind }

// Input is a pointer to the payload (*In of the name; nil for Connect). It is
// decoded on first use; a change that is made before next is seen by the
// handler. An error says that the arguments do not bind; the call cannot
// succeed then.
func (c *Call) Input() (any, error) {
	if c.h == nil {
		return nil, nil
	}
	if !c.bound {
		c.bound = true
		c.bad = c.bind()
		c.begin()
	}
	return c.input, c.bad
}

// Result is the result of a unary call, after next returned nil.
func (c *Call) Result() any { return c.result }

func (c *Call) bind() error {
	h, in := c.h, c.in
	c.input = h.newIn()
	if in.Args.Named != nil && h.noNames && h.lay.plain > 1 {
		return &wire.Fault{Kind: wire.BadArguments, Name: h.name, Err: errors.New("the method takes its arguments by position: Go keeps no parameter names")}
	}
	if err := h.lay.bind(c.ctx, c.input, &in.Args, in.Uploads); err != nil {
		return &wire.Fault{Kind: wire.BadArguments, Name: h.name, Err: err}
	}
	switch {
	case h.kind.Streams() && !in.Stream:
		return &wire.Fault{Kind: wire.MustStream, Name: h.name}
	case !h.kind.Streams() && in.Stream:
		return &wire.Fault{Kind: wire.MustNotStream, Name: h.name}
	case len(in.Uploads) != h.uploads:
		return &wire.Fault{Kind: wire.WrongStreams, Name: h.name, Got: len(in.Uploads), Want: h.uploads}
	}
	return nil
}

// payload is the bound input as its own type.
func payload[In any](c *Call) (*In, error) {
	in, err := c.Input()
	if err != nil {
		return nil, err
	}
	return in.(*In), nil
}

// stream sends the items of seq. An error ends it as a failed stream; leaving
// early is not an error.
func stream[T any](ctx context.Context, c *Call, seq iter.Seq2[T, error]) error {
	if seq == nil {
		return &wire.Fault{Kind: wire.NilStream, Name: c.h.name}
	}
	if b, ok := c.in.Reply.(wire.Beginner); ok {
		b.Begin()
	}
	for v, err := range seq {
		switch {
		case c.ctx.Err() != nil:
			// Cancelled while the handler waited for its next item: what it had
			// is sent, as ever, and an error is that of the cancel.
			if err == nil && c.in.Reply != nil {
				_ = c.in.Reply.Item(ctx, v)
			}
			return nil
		case err != nil:
			c.ctx.cancel(err) // before yield returns false (D 13)
			return &wire.Fault{Kind: wire.StreamFailed, Name: c.h.name, Err: err}
		case c.in.Reply == nil:
			continue
		}
		if err := c.in.Reply.Item(ctx, v); err != nil {
			if c.ctx.Err() != nil {
				return nil
			}
			c.ctx.cancel(err)
			if errors.Is(err, ErrClosed) {
				return nil // the transport, whose end is on its way here
			}
			return &wire.Fault{Kind: wire.StreamFailed, Name: c.h.name, Err: err}
		}
		if c.ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// newHandler makes a handler and finds the place of the call of With.
func newHandler[In, Out any](name string, kind wire.Kind, uploads int, invoke Invoke) Handler {
	h := Handler{name: name, kind: kind, in: reflect.TypeFor[In](), newIn: func() any { return new(In) }, invoke: invoke}
	if _, file, line, ok := runtime.Caller(2); ok {
		h.place = fmt.Sprintf("%s:%d", file, line)
	}
	lay, err := layoutOf(h.in)
	if err != nil {
		panic(fmt.Sprintf("hubwire: %s, at %s: %v", name, h.place, err))
	}
	h.lay, h.uploads = lay, lay.streams+uploads
	if t := reflect.TypeFor[Out](); t != noneType {
		h.out = t
		h.mustBeValue("result", t)
	}
	if name == "" {
		panic(fmt.Sprintf("hubwire: a handler at %s has no name", h.place))
	}
	return h
}

func (h *Handler) mustBeValue(what string, t reflect.Type) {
	err := checkValue(t, nil)
	if lay, _ := layoutOf(t); err == nil && lay != nil && lay.shape == fields {
		err = errors.New("hubwire.Args is for payloads alone")
	}
	if err != nil {
		panic(fmt.Sprintf("hubwire: %s, at %s: %s %v: %v", h.name, h.place, what, t, err))
	}
}
