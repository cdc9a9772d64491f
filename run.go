package hubwire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/hubwire/hubwire/wire"
)

// run runs one call and sends its outcome.
func (c *Conn) run(call *Call) {
	const (
		runs = iota
		replies
		done
	)
	at := runs
	defer func() {
		switch at {
		case done:
			return
		case runs:
			c.finish(call, &wire.Fault{Kind: wire.Failed, Name: call.name(), Err: &panicError{errGoexit}})
		case replies:
			call.ctx.cancel(nil)
		}
		c.exit(call)
	}()
	call.await()
	fault := c.invoke(call)
	at = replies
	c.finish(call, fault)
	at = done
}

// errGoexit stands for what runtime.Goexit does not say.
var errGoexit = errors.New("runtime.Goexit")

// finish sends the outcome of a call and ends it.
func (c *Conn) finish(call *Call, fault *wire.Fault) {
	call.begin() // where no handler did
	if fault != nil {
		c.hub.count("errors", fault.Kind.String(), 1)
		c.logFault(call, fault)
	}
	closeAll(call.in.Uploads)
	if r := call.in.Reply; r != nil {
		c.reply(call, r, fault)
	}
	call.ctx.cancel(nil)
}

// reply sends the outcome. Encoding may run user code, which may panic.
func (c *Conn) reply(call *Call, r wire.Reply, fault *wire.Fault) {
	done := false
	defer func() {
		if v := recover(); v != nil || !done {
			c.hub.log.Error("hubwire: result panics", "hub", c.hub.opts.Name, "conn", c.id, "call", call.in.Name, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			c.close(&panicError{v}, true)
		}
	}()
	if fault != nil {
		r.Done(nil, fault)
	} else {
		r.Done(call.result, nil)
	}
	done = true
}

// invoke runs the handler inside its filters. A panic ends this call alone, and
// so does a Goexit, which goes on in run.
func (c *Conn) invoke(call *Call) (fault *wire.Fault) {
	done := false
	defer func() {
		if done {
			return
		}
		v := recover()
		if v == nil {
			v = errGoexit
		}
		c.hub.log.Error("hubwire: handler panics", "hub", c.hub.opts.Name, "conn", c.id, "call", call.name(), "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		fault = &wire.Fault{Kind: wire.Failed, Name: call.name(), Err: &panicError{v}}
	}()
	if call.h == nil {
		done = true
		return &wire.Fault{Kind: wire.UnknownMethod, Name: call.in.Name}
	}
	if call.h.filtered {
		call.begin()
	}
	err := call.h.invoke(call.ctx, call)
	done = true
	if err == nil {
		// A filter that does not call next skips binding: the mode is checked
		// all the same, or a stream would be answered with a result.
		if !call.bound && call.h.kind.Streams() != call.in.Stream {
			_, err = call.Input()
		}
		if err == nil {
			return nil
		}
	}
	if f, ok := err.(*wire.Fault); ok {
		return f
	}
	if errors.Is(err, ErrUnauthorized) {
		return &wire.Fault{Kind: wire.Unauthorized, Name: call.h.name, Err: err}
	}
	return &wire.Fault{Kind: wire.Failed, Name: call.h.name, Err: err}
}

func (c *Conn) logFault(call *Call, f *wire.Fault) {
	if _, isPanic := errors.AsType[*panicError](f.Err); isPanic {
		return // logged with its stack
	}
	err := f.Err
	if b, ok := errors.AsType[*bindError](err); ok {
		err = b.reason
	}
	if err == nil {
		err = f
	}
	if call.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		c.hub.log.Debug("hubwire: call cancelled", "hub", c.hub.opts.Name, "conn", c.id, "call", f.Name)
		return
	}
	if f.Kind == wire.Failed || f.Kind == wire.StreamFailed {
		if _, public := errors.AsType[*Error](err); !public {
			c.hub.log.Error("hubwire: call failed", "hub", c.hub.opts.Name, "conn", c.id, "call", f.Name, "err", err)
			return
		}
	}
	c.hub.log.Debug("hubwire: call refused", "hub", c.hub.opts.Name, "conn", c.id, "call", f.Name, "err", err)
}

func closeAll(ups []wire.Source) {
	for _, up := range ups {
		up.Close()
	}
}
