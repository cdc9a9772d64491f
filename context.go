package hubwire

import (
	"context"
	"sync"
	"time"
)

// A callCtx is the context of a call or a connection. Most handlers never wait
// for its end, so what is needed for that is made on first use.
type callCtx struct {
	base context.Context // values only
	call *Call           // nil: of a connection

	mu    sync.Mutex // guards the following
	inner context.Context
	stop  context.CancelCauseFunc
	over  bool
	cause error
}

// callKey finds the call behind a handler's context.
type callKey struct{}

func (c *callCtx) Deadline() (time.Time, bool) { return c.base.Deadline() }

// Done is how a handler waits for the end of its context, so what waits for the
// handler is told first.
func (c *callCtx) Done() <-chan struct{} {
	c.call.waits()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.stop = context.WithCancelCause(c.base)
		if c.over {
			c.stop(c.cause)
		}
	}
	return c.inner.Done()
}

func (c *callCtx) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return context.Canceled
	case c.inner != nil: // what Options.TraceIn gave may end by itself
		return c.inner.Err()
	}
	return c.base.Err()
}

// Value finds the values of the connecting request's context. Once Done was
// called it asks the context made there, so that package context recognises it
// and children need no goroutine.
func (c *callCtx) Value(key any) any {
	if key == (callKey{}) {
		if c.call == nil {
			return nil
		}
		return c.call
	}
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner == nil {
		inner = c.base
	}
	return inner.Value(key)
}

func (c *callCtx) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over, c.cause = true, cause
	if c.stop != nil {
		c.stop(cause)
	}
}

// callOf is the call whose context ctx comes from, or nil.
func callOf(ctx context.Context) *Call {
	call, _ := ctx.Value(callKey{}).(*Call)
	return call
}
