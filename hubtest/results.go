package hubtest

import (
	"context"
	"sync"

	"github.com/hubwire/hubwire/wire"
)

// results are what comes of one call. They are guarded by Client.mu.
type results struct {
	client *Client
	kind   wire.Kind
	id     string // empty: nothing comes

	values [][]byte
	err    error         // after the last value
	came   chan struct{} // closed when something comes; nil where nobody waits

	once sync.Once
	gone chan struct{} // closed when nothing is wanted or will come any more
}

func (r *results) addLocked(raw []byte) {
	r.values = append(r.values, raw)
	r.cameLocked()
}

func (r *results) endLocked(err error) {
	if r.err == nil {
		r.err = err
	}
	r.cameLocked()
	r.once.Do(func() { close(r.gone) })
}

func (r *results) cameLocked() {
	if r.came != nil {
		close(r.came)
		r.came = nil
	}
}

// Next implements wire.Results.
func (r *results) Next(ctx context.Context, into any) error {
	c := r.client
	for {
		c.mu.Lock()
		switch {
		case len(r.values) > 0:
			raw := r.values[0]
			r.values = r.values[1:]
			c.mu.Unlock()
			return c.link.proto.codec.Decode(raw, into)
		case r.err != nil:
			c.mu.Unlock()
			return r.err
		}
		if r.came == nil {
			r.came = make(chan struct{})
		}
		came := r.came
		c.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close implements wire.Results.
func (r *results) Close() error {
	if r.id != "" && !r.over() {
		_ = r.client.end.put(r.client.ctx, (&frame{kind: frameCancel, id: r.id}).whole(), false)
	}
	if r.id != "" {
		r.forget()
	}
	return nil
}

func (r *results) over() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

// forget gives up what still comes.
func (r *results) forget() {
	c := r.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.id != "" {
		delete(c.calls, r.id)
	}
	r.endLocked(context.Canceled)
}

// context ends when nothing is wanted any more, or with the connection.
func (r *results) context() context.Context { return goneContext{r.client.ctx, r} }

type goneContext struct {
	context.Context
	r *results
}

func (g goneContext) Done() <-chan struct{} { return g.r.gone }

func (g goneContext) Err() error {
	if g.r.over() {
		return context.Canceled
	}
	return nil
}
