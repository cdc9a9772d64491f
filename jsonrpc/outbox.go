package jsonrpc

import (
	"context"
	"runtime"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// pool is buffers in which messages are written.
type pool struct{ sync.Pool }

var buffers = pool{sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}}

func (p *pool) get() *[]byte { return p.Get().(*[]byte) }

func (p *pool) put(b *[]byte) {
	if cap(*b) <= 64<<10 {
		p.Put(b)
	}
}

// outboxRoom is how many bytes may wait to be gathered.
const outboxRoom = 64 << 10

// An outbox gathers what many goroutines send at once: where other calls are
// under way, a message is left to a goroutine that lets those that are about to
// send do so first, and writes all of it. There is no timer: with nobody else
// about, that is at once.
type outbox struct {
	conn *Conn

	mu       sync.Mutex // guards the following
	buf      []byte     // a record of whole frames
	spare    []byte
	flushing bool
	room     chan struct{} // closed when buf was taken; nil where nobody waits
	idle     chan struct{} // closed when nothing flushes; likewise
}

// send sends a message of our own. ctx bounds the waiting.
func (o *outbox) send(ctx context.Context, rec []byte) error {
	c := o.conn
	for {
		o.mu.Lock()
		if !o.flushing && c.pending.few() {
			o.mu.Unlock()
			return c.port.Item(ctx, rec)
		}
		if len(o.buf) < outboxRoom {
			break
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			return hubwire.ErrClosed
		}
	}
	if len(o.buf) == 0 {
		o.buf = append(o.buf, framed)
	}
	f := formatOf(c.svc.d, c.t.framing())
	o.buf = f.Append(o.buf, []wire.Record{{Bytes: rec}})
	if !o.flushing {
		o.flushing = true
		go o.run() // ends when nothing waits
	}
	o.mu.Unlock()
	return nil
}

// post sends a message that nobody waits for.
func (o *outbox) post(rec []byte) { _ = o.send(context.Background(), rec) }

// run writes what waits.
func (o *outbox) run() {
	size := 0
	for {
		runtime.Gosched()
		o.mu.Lock()
		if n := len(o.buf); n > size && n < outboxRoom/4 {
			size = n
			o.mu.Unlock()
			continue // others are about to send
		}
		size = 0
		p := o.buf
		o.buf, o.spare = o.spare[:0], nil
		if o.room != nil {
			close(o.room)
			o.room = nil
		}
		if len(p) == 0 {
			o.flushing, o.spare = false, p
			if o.idle != nil {
				close(o.idle)
				o.idle = nil
			}
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		_ = o.conn.port.Item(context.Background(), p) // a connection that has ended fails the calls itself
		o.mu.Lock()
		if cap(p) <= 2*outboxRoom {
			o.spare = p[:0]
		}
		o.mu.Unlock()
	}
}

// flush waits until nothing waits to be gathered.
func (o *outbox) flush() {
	o.mu.Lock()
	if !o.flushing {
		o.mu.Unlock()
		return
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	o.mu.Unlock()
	select {
	case <-idle:
	case <-o.conn.done:
	}
}
