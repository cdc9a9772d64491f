package jsonrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// Objects by reference: StreamJsonRpc's marshaled objects. One end lends an object,
// the other calls its methods ($/invokeProxy/HANDLE/METHOD) until it gives it back
// ($/releaseMarshaledObject), or the request ends with which it came.

// An Object is an object that one end lends to the other: an argument, a result, or
// inside of one. The end that has it makes it with [NewObject]; at the other end it
// is a hubwire.Caller, and the names of its methods are typed names like any:
//
//	const Increment hubwire.Method[int, int] = "IncrementAsync"
//
//	n, err := Increment.Call(ctx, counter, 5)
//	err = counter.Dispose(ctx)
//
// The zero Object is null. Sent back to where it came from, an Object is the one
// that was lent.
type Object struct {
	form
	own    *ownObject
	remote *remoteObject
}

// ObjectOptions say more about an Object.
type ObjectOptions struct {
	// CallScoped lends it for the time of the request whose argument it is. Objects
	// in results are lent until they are given back.
	CallScoped bool
	// Dispose is called when the other end disposes of the object: it is its method
	// Dispose. Nil is none.
	Dispose func()
	// Interfaces are methods of other interfaces that the object has too, by the
	// numbers that both ends know them by.
	Interfaces map[int32][]hubwire.Handler
}

// ownObject is an object of this end.
type ownObject struct {
	methods  map[string]*method
	scoped   bool
	optional []int32
	dispose  func()
}

// NewObject makes an object of handlers, which [hubwire.Methods] makes of a value. A
// method whose name ends in Async can be called without that too. A nil opts means
// the defaults. It panics where two methods have one name.
func NewObject(opts *ObjectOptions, handlers ...hubwire.Handler) Object {
	if opts == nil {
		opts = &ObjectOptions{}
	}
	o := &ownObject{methods: map[string]*method{}, scoped: opts.CallScoped, dispose: opts.Dispose}
	o.add("", handlers)
	for code, hs := range opts.Interfaces {
		o.optional = append(o.optional, code)
		o.add(strconv.FormatInt(int64(code), 10)+".", hs)
	}
	slices.Sort(o.optional)
	if opts.Dispose != nil {
		o.add("", []hubwire.Handler{disposer("Dispose", opts.Dispose)})
	}
	return Object{own: o}
}

func disposer(name string, fn func()) hubwire.Handler {
	return hubwire.Command[hubwire.None](name).With(func(context.Context, *hubwire.Conn, hubwire.None) error {
		fn()
		return nil
	})
}

func (o *ownObject) add(prefix string, handlers []hubwire.Handler) {
	for _, h := range handlers {
		m := newMethod(h)
		m.handler = &h
		name := prefix + m.name
		if o.methods[name] != nil {
			panic("jsonrpc: an object has two methods " + name)
		}
		o.methods[name] = m
	}
	for name, m := range o.methods {
		for _, also := range TrimAsync(name) {
			if o.methods[also] == nil {
				o.methods[also] = m
			}
		}
	}
}

// remoteObject is an object of the peer.
type remoteObject struct {
	conn *Conn
	lent lent
	call *inCall // the request that it ends with; nil where it does not
	gone atomic.Bool
}

var (
	errObjectNull  = errors.New("jsonrpc: the object is null, or this end's own")
	errObjectGone  = errors.New("jsonrpc: the object was given back")
	errObjectOther = errors.New("jsonrpc: an object of another connection cannot be sent on")
	errObjectNote  = errors.New("jsonrpc: an object is for requests and results")
)

// Null reports whether the object is null.
func (o Object) Null() bool { return o.own == nil && o.remote == nil }

// Interfaces are the numbers of the other interfaces that a received object has.
func (o Object) Interfaces() []int32 {
	if o.remote == nil {
		return nil
	}
	return slices.Clone(o.remote.lent.optional)
}

// Interface is the caller for the methods of another interface of a received
// object.
func (o Object) Interface(code int32) hubwire.Caller {
	return objectCaller{o.remote, strconv.FormatInt(int64(code), 10) + "."}
}

// StartCall implements hubwire.Caller for a received object.
func (o Object) StartCall(ctx context.Context, out *wire.OutCall) (wire.Results, error) {
	return objectCaller{o.remote, ""}.StartCall(ctx, out)
}

// Dispose disposes of a received object, where it can be disposed of, and gives it
// back. Only the first of Dispose and Release does anything.
func (o Object) Dispose(ctx context.Context) error { return o.remote.giveBack(ctx, "Dispose") }

// Release gives a received object back: it cannot be called any more.
func (o Object) Release(ctx context.Context) error { return o.remote.giveBack(ctx, "") }

// objectCaller calls a received object.
type objectCaller struct {
	remote *remoteObject
	prefix string
}

// StartCall implements hubwire.Caller.
func (c objectCaller) StartCall(ctx context.Context, out *wire.OutCall) (wire.Results, error) {
	r := c.remote
	if err := r.usable(); err != nil {
		return nil, err
	}
	x := *out
	x.Name = r.method(c.prefix + out.Name)
	return r.conn.StartCall(ctx, &x)
}

func (r *remoteObject) usable() error {
	switch {
	case r == nil:
		return errObjectNull
	case r.gone.Load() || r.call != nil && r.call.over.Load():
		return errObjectGone
	}
	return nil
}

func (r *remoteObject) method(name string) string {
	return invokePrefix + strconv.FormatInt(r.lent.handle, 10) + "/" + name
}

// giveBack calls a method that takes nothing and answers nothing, if there is one,
// and releases the object.
func (r *remoteObject) giveBack(ctx context.Context, method string) error {
	if r == nil {
		return errObjectNull
	}
	if r.gone.Swap(true) || r.call != nil && r.call.over.Load() {
		return nil
	}
	if method != "" {
		if err := r.conn.tell(ctx, r.method(method), nil, false); err != nil {
			return err
		}
	}
	if r.call != nil {
		return nil // it ends with the request
	}
	return r.conn.tell(ctx, releaseMethod, releaseNames, true, r.lent.handle, false)
}

const (
	invokePrefix  = "$/invokeProxy/"
	releaseMethod = "$/releaseMarshaledObject"
)

var releaseNames = []string{"handle", "ownedBySender"}

func (o *Object) bind(b *binder) error {
	switch {
	case o.remote != nil:
		raw, err := o.remote.returned(b)
		o.raw = raw
		return err
	case o.own == nil:
		o.raw = b.conn.svc.d.null()
		return nil
	}
	raw, err := b.lend(o.own)
	o.raw = raw
	return err
}

// returned is what stands for an object of the peer that goes back to it.
func (r *remoteObject) returned(b *binder) ([]byte, error) {
	if err := r.usable(); err != nil {
		return nil, err
	}
	if r.conn != b.conn {
		return nil, errObjectOther
	}
	return b.conn.svc.d.lent(lent{handle: r.lent.handle}), nil
}

// lend lends an object of this end.
func (b *binder) lend(o *ownObject) ([]byte, error) {
	if b.conn.sink != nil {
		return nil, errPosted
	}
	handle, err := b.conn.objects.add(b.conn, o)
	if err != nil {
		return nil, err
	}
	if b.out != nil {
		b.out.lent = append(b.out.lent, lent{handle: handle, scoped: o.scoped})
	}
	return b.conn.svc.d.lent(lent{mine: true, handle: handle, scoped: o.scoped && b.out != nil, optional: o.optional}), nil
}

func (o *Object) attach(b *binder) (err error) {
	if o.raw == nil || b.conn.svc.d.isNull(o.raw) {
		return nil
	}
	o.own, o.remote, err = b.borrow(o.raw)
	return err
}

// borrow takes an object that is lent, or comes back.
func (b *binder) borrow(raw []byte) (*ownObject, *remoteObject, error) {
	l, ok := b.conn.svc.d.readLent(raw)
	if !ok {
		return nil, nil, errors.New("jsonrpc: a value is no object that was lent")
	}
	if !l.mine {
		if own := b.conn.objects.get(l.handle); own != nil {
			return own, nil, nil
		}
		return nil, nil, fmt.Errorf("jsonrpc: there is no object %d here", l.handle)
	}
	r := &remoteObject{conn: b.conn, lent: l}
	if l.scoped {
		r.call = b.in // nil in a result, where it cannot end with a request
	}
	return nil, r, nil
}

// objects are the objects that this end has lent to the peer.
type objects struct {
	mu   sync.Mutex // guards the following
	next int64
	byID map[int64]*ownObject
}

var errObjects = hubwire.Errorf(hubwire.CodeResourceExhausted, "jsonrpc: too many objects are lent to the peer")

func (s *objects) add(c *Conn, o *ownObject) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= c.opts.MaxPending {
		return 0, errObjects
	}
	if s.byID == nil {
		s.byID = map[int64]*ownObject{}
	}
	h := s.next
	s.next++
	s.byID[h] = o
	return h, nil
}

func (s *objects) get(handle int64) *ownObject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[handle]
}

func (s *objects) release(handle int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, handle)
}

// was reports whether there ever was that handle.
func (s *objects) was(handle int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return handle >= 0 && handle < s.next
}

// settleLent gives back the objects that were lent for a request: all after an
// error, else those that end with it.
func (c *Conn) settleLent(all []lent, failed bool) {
	for _, l := range all {
		if l.scoped || failed {
			c.objects.release(l.handle)
		}
	}
}

// objectMethod finds the method of an object that is called; for none, what is
// wrong.
func (c *Conn) objectMethod(name []byte, args int) (*method, *Error) {
	unknown := &Error{Code: CodeMethodNotFound, Message: notFoundText(name)}
	digits, rest, ok := bytes.Cut(name[len(invokePrefix):], []byte{'/'})
	handle, err := strconv.ParseInt(string(digits), 10, 64)
	if !ok || err != nil {
		return nil, unknown
	}
	o := c.objects.get(handle)
	switch {
	case o == nil && c.objects.was(handle):
		return nil, &Error{Code: CodeInvalidParams, Message: unableText(textOf(name), args, "")}
	case o == nil || o.methods[string(rest)] == nil:
		return nil, unknown
	}
	return o.methods[string(rest)], nil
}

// released takes the peer's $/releaseMarshaledObject.
func (c *Conn) released(p *parser) {
	if raw := p.argument(handleKey); raw != nil {
		if handle, err := c.svc.d.int(raw); err == nil {
			c.objects.release(handle)
		}
	}
}
