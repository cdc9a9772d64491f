package hubwire

import (
	"context"
	"sync"
	"time"
)

// A callCtx is the context of a call or a connection. Most handlers never wait
// for its end, so what is needed for that is made on first use. It is an object
// of its own, because a handler may keep it when the call has gone.
type callCtx struct {
	base context.Context // values only
	conn *Conn           // whose call it is; nil: of a connection, or of Connect
	call *Call           // guarded by conn.calls.mu: nil once the call has ended

	mu   sync.Mutex // guards the following
	over bool
	end  *ctxEnd
}

// A ctxEnd is what somebody who waits for the end of a callCtx waits for.
type ctxEnd struct {
	context.Context
	stop context.CancelCauseFunc
}

// callKey finds the call behind a handler's context.
type callKey struct{}

func (c *callCtx) Deadline() (time.Time, bool) { return c.base.Deadline() }

// Done is how a handler waits for the end of its context, so what waits for the
// handler is told first.
func (c *callCtx) Done() <-chan struct{} {
	if c.conn != nil {
		c.conn.passTurn(0)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		c.endLocked()
		if c.over {
			c.end.stop(nil)
		}
	}
	return c.end.Done()
}

func (c *callCtx) endLocked() {
	inner, stop := context.WithCancelCause(c.base)
	c.end = &ctxEnd{inner, stop}
}

func (c *callCtx) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return context.Canceled
	case c.end != nil: // what Options.TraceIn gave may end by itself
		return c.end.Err()
	}
	return c.base.Err()
}

// Value finds the values of the connecting request's context. Once Done was
// called it asks the context made there, so that package context recognises it
// and children need no goroutine.
func (c *callCtx) Value(key any) any {
	if key == (callKey{}) {
		if c.conn == nil {
			return nil
		}
		return c
	}
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	if end == nil {
		return c.base.Value(key)
	}
	return end.Value(key)
}

func (c *callCtx) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	if c.end == nil && cause != nil {
		c.endLocked() // which keeps the cause
	}
	if c.end != nil {
		c.end.stop(cause)
	}
}

// callOf is the context of the call that ctx comes from, or nil.
func callOf(ctx context.Context) *callCtx {
	x, _ := ctx.Value(callKey{}).(*callCtx)
	return x
}
