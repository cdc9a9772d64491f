package hubwire

import (
	"context"
	"fmt"
	"io"
	"iter"
	"reflect"

	"github.com/hubwire/hubwire/wire"
)

// Names. A constant of one of these types is the contract of one call: who
// calls whom, with what, for what. Payload types are arguments by one rule: a
// struct that embeds Args is its fields, a List its elements, None nothing,
// anything else one argument.
type (
	// A Command names a call of the hub that has no result.
	Command[In any] string

	// A Method names a call of the hub that answers with an Out.
	Method[In, Out any] string

	// A ServerStream names a call that the hub answers with any number of Out.
	ServerStream[In, Out any] string

	// A ClientStream names a call to which the client streams Items and the hub
	// answers with one Out.
	ClientStream[Item, Out any] string

	// A BidiStream names a call in which both ends stream.
	BidiStream[Item, Out any] string

	// An Event names a message from the hub to any number of clients.
	Event[T any] string

	// A ClientMethod names a question from the hub to one client ("client
	// results" in SignalR).
	ClientMethod[In, Out any] string
)

// A Caller is a client's end of a connection, of any wire.
type Caller interface {
	StartCall(ctx context.Context, c *wire.OutCall) (wire.Results, error)
}

// With binds fn at the hub. It panics where In cannot be arguments.
func (n Command[In]) With(fn func(context.Context, *Conn, In) error) Handler {
	return newHandler[In, None](string(n), wire.Command, 0, func(ctx context.Context, c *Call) error {
		in, err := payload[In](c)
		if err != nil {
			return err
		}
		return fn(ctx, c.conn, *in)
	})
}

// Send calls the hub and does not wait for the outcome.
func (n Command[In]) Send(ctx context.Context, to Caller, in In) error {
	r, err := start[In](ctx, to, string(n), wire.Command, true, in, nil)
	if err != nil {
		return err
	}
	return r.Close()
}

// Call calls the hub and waits until the command is done.
func (n Command[In]) Call(ctx context.Context, to Caller, in In) error {
	_, err := unary[In, None](ctx, to, string(n), wire.Command, in, nil)
	return err
}

// With binds fn at the hub. It panics where In cannot be arguments.
func (n Method[In, Out]) With(fn func(context.Context, *Conn, In) (Out, error)) Handler {
	return newHandler[In, Out](string(n), wire.Method, 0, func(ctx context.Context, c *Call) error {
		in, err := payload[In](c)
		if err != nil {
			return err
		}
		out, err := fn(ctx, c.conn, *in)
		if err == nil {
			c.result = resultOf(out)
		}
		return err
	})
}

// Call calls the hub and waits for the result. Ending ctx cancels the call.
func (n Method[In, Out]) Call(ctx context.Context, to Caller, in In) (Out, error) {
	return unary[In, Out](ctx, to, string(n), wire.Method, in, nil)
}

// With binds fn at the hub. The hub ranges over what fn returns; leaving early
// (a cancel, a lost connection) ends ctx first. A yielded error ends the stream.
func (n ServerStream[In, Out]) With(fn func(context.Context, *Conn, In) iter.Seq2[Out, error]) Handler {
	return newHandler[In, Out](string(n), wire.ServerStream, 0, func(ctx context.Context, c *Call) error {
		in, err := payload[In](c)
		if err != nil {
			return err
		}
		return stream(ctx, c, fn(ctx, c.conn, *in))
	})
}

// Open calls the hub and ranges over its items, once. Leaving the loop or
// ending ctx cancels the stream; an error is always the last.
func (n ServerStream[In, Out]) Open(ctx context.Context, to Caller, in In) iter.Seq2[Out, error] {
	return results[In, Out](ctx, to, string(n), wire.ServerStream, in, nil)
}

// With binds fn at the hub. An error among the items is always the last.
func (n ClientStream[Item, Out]) With(fn func(context.Context, *Conn, iter.Seq2[Item, error]) (Out, error)) Handler {
	h := newHandler[None, Out](string(n), wire.ClientStream, 1, func(ctx context.Context, c *Call) error {
		if _, err := c.Input(); err != nil {
			return err
		}
		out, err := fn(ctx, c.conn, sourceSeq[Item](ctx, c.in.Uploads[0]))
		if err == nil {
			c.result = resultOf(out)
		}
		return err
	})
	h.mustBeValue("item", reflect.TypeFor[Item]())
	h.item = reflect.TypeFor[Item]()
	return h
}

// Call streams items to the hub and waits for the result.
func (n ClientStream[Item, Out]) Call(ctx context.Context, to Caller, items iter.Seq2[Item, error]) (Out, error) {
	return unary[None, Out](ctx, to, string(n), wire.ClientStream, None{}, anySeq(items))
}

// With binds fn at the hub, as for ServerStream and ClientStream.
func (n BidiStream[Item, Out]) With(fn func(context.Context, *Conn, iter.Seq2[Item, error]) iter.Seq2[Out, error]) Handler {
	h := newHandler[None, Out](string(n), wire.BidiStream, 1, func(ctx context.Context, c *Call) error {
		if _, err := c.Input(); err != nil {
			return err
		}
		return stream(ctx, c, fn(ctx, c.conn, sourceSeq[Item](ctx, c.in.Uploads[0])))
	})
	h.mustBeValue("item", reflect.TypeFor[Item]())
	h.item = reflect.TypeFor[Item]()
	return h
}

// Open streams items to the hub and ranges over its items, once.
func (n BidiStream[Item, Out]) Open(ctx context.Context, to Caller, items iter.Seq2[Item, error]) iter.Seq2[Out, error] {
	return results[None, Out](ctx, to, string(n), wire.BidiStream, None{}, anySeq(items))
}

// Send sends v to every connection of to. It encodes v, hands it over and
// returns: nil means in line, ahead of every later Send, Join, Leave and result
// of this node. v may be changed afterwards. An empty group, a user or a
// connection that is not there, and a slow client are no errors.
//
// ctx bounds waiting and nothing else: a Send that need not wait ignores a
// cancelled ctx. It waits while 256 KiB of events are in line, for the
// backplane, and, where to is a *Conn, for room in that connection's queue.
func (n Event[T]) Send(ctx context.Context, to Target, v T) error {
	lay, err := layoutOf(reflect.TypeFor[T]())
	if err == nil && lay.streams > 0 {
		err = fmt.Errorf("%v: an event cannot carry a Stream", reflect.TypeFor[T]())
	}
	if err != nil {
		return fmt.Errorf("hubwire: event %s: %w", string(n), err)
	}
	if to == nil {
		return fmt.Errorf("hubwire: event %s: the target is nil", string(n))
	}
	return sendEvent(ctx, to, string(n), lay, v)
}

// With binds fn at a client as a receiver of the event.
func (n Event[T]) With(fn func(context.Context, T) error) ClientHandler {
	return clientHandler(string(n), wire.Event, fn, func(ctx context.Context, in T) (None, error) { return None{}, fn(ctx, in) })
}

// Call asks the client behind to and waits for its answer, until ctx or the
// connection ends. An error of the client is an *Error with its text. Asked
// with a handler's ctx, the call gives its place (see Options.ParallelCalls)
// to the next while it waits. In Connect it fails.
func (n ClientMethod[In, Out]) Call(ctx context.Context, to Peer, in In) (Out, error) {
	var out Out
	lay, err := layoutOf(reflect.TypeFor[In]())
	if err == nil && lay.streams > 0 {
		err = fmt.Errorf("%v: a question cannot carry a Stream", reflect.TypeFor[In]())
	}
	if err != nil {
		return out, fmt.Errorf("hubwire: client method %s: %w", string(n), err)
	}
	var into any = &out
	if reflect.TypeFor[Out]() == noneType {
		into = nil
	}
	if to == nil {
		return out, fmt.Errorf("hubwire: client method %s: the peer is nil", string(n))
	}
	err = to.ask(ctx, string(n), lay, in, into)
	return out, err
}

// With binds fn at a client as the one who answers.
func (n ClientMethod[In, Out]) With(fn func(context.Context, In) (Out, error)) ClientHandler {
	return clientHandler(string(n), wire.ClientMethod, fn, fn)
}

func clientHandler[In, Out any](name string, kind wire.Kind, bound any, fn func(context.Context, In) (Out, error)) ClientHandler {
	lay, err := layoutOf(reflect.TypeFor[In]())
	if err == nil && lay.streams > 0 {
		err = fmt.Errorf("a Stream cannot be sent to a client")
	}
	if err != nil {
		panic(fmt.Sprintf("hubwire: %s %s: %v", kind, name, err))
	}
	hub := func() Handler {
		return newHandler[In, Out](name, wire.Method, 0, func(ctx context.Context, c *Call) error {
			in, err := payload[In](c)
			if err != nil {
				return err
			}
			out, err := fn(ctx, *in)
			if err == nil {
				c.result = resultOf(out)
			}
			return err
		})
	}
	return ClientHandler{name: name, kind: kind, fn: bound, hub: hub, serve: func(ctx context.Context, v wire.Values) (any, error) {
		in := new(In)
		if err := lay.bind(ctx, in, &v, nil); err != nil {
			return nil, err
		}
		out, err := fn(ctx, *in)
		if err != nil || reflect.TypeFor[Out]() == noneType {
			return nil, err
		}
		return out, nil
	}}
}

// resultOf is a result as wires get it: None is null.
func resultOf[T any](v T) any {
	if _, none := any(v).(None); none {
		return nil
	}
	return v
}

// start is the one way of every call of a hub.
func start[In any](ctx context.Context, to Caller, name string, kind wire.Kind, noReply bool, in In, up iter.Seq2[any, error]) (wire.Results, error) {
	if to == nil {
		return nil, fmt.Errorf("hubwire: %s %s: the caller is nil", kind, name)
	}
	lay, err := layoutOf(reflect.TypeFor[In]())
	if err != nil {
		return nil, fmt.Errorf("hubwire: %s %s: %w", kind, name, err)
	}
	c := &wire.OutCall{Name: name, Kind: kind, NoReply: noReply, Names: lay.names, Places: lay.places}
	if c.Args, c.Uploads, err = lay.split(in, nil, nil); err != nil {
		return nil, fmt.Errorf("hubwire: %s %s: %w", kind, name, err)
	}
	if up != nil {
		c.Uploads = append(c.Uploads, up)
	}
	return to.StartCall(ctx, c)
}

func unary[In, Out any](ctx context.Context, to Caller, name string, kind wire.Kind, in In, up iter.Seq2[any, error]) (out Out, err error) {
	r, err := start(ctx, to, name, kind, false, in, up)
	if err != nil {
		return out, err
	}
	defer r.Close()
	err = r.Next(ctx, &out)
	if err == io.EOF && reflect.TypeFor[Out]() == noneType {
		err = nil
	}
	return out, err
}

func results[In, Out any](ctx context.Context, to Caller, name string, kind wire.Kind, in In, up iter.Seq2[any, error]) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		var zero Out
		r, err := start(ctx, to, name, kind, false, in, up)
		if err != nil {
			yield(zero, err)
			return
		}
		defer r.Close()
		for {
			var v Out
			switch err := r.Next(ctx, &v); {
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
