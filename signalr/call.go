package signalr

import (
	"context"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// A call is one Invocation or StreamInvocation, and the way of its outcome to
// the client.
type call struct {
	wire.Call
	state  hubwire.Call // the hub's
	conn   *conn
	id     []byte // the client's; what of it the answer needs
	target string // as the client spelled it
	list   [2][]byte
	inline [96]byte // the bytes of most calls, so that they take one allocation
}

// calls are the objects of calls that have ended: a fresh one would be half of
// what a call allocates.
var calls = sync.Pool{New: func() any { return new(call) }}

// free gives k back. Its context is not part of it.
func (k *call) free() {
	free := k.Free
	k.Call, k.state, k.conn, k.id, k.target, k.list = wire.Call{Free: free}, hubwire.Call{}, nil, nil, "", [2][]byte{}
	calls.Put(k)
}

// callCost is what a call that waits takes beside its bytes.
const callCost = 128

// maxUploads is how many uploads one call is given: no method has so many. Of
// more, the rest is counted but not fed.
const maxUploads = 64

// call starts a call. What it needs of the message is copied, once.
func (c *conn) call(p *parser, size int) {
	k := calls.Get().(*call)
	k.conn = c
	buf := k.inline[:0]
	if n := len(p.id) + len(p.args); n > len(k.inline) {
		buf = make([]byte, 0, n)
	}
	buf = append(append(buf, p.id...), p.args...)
	k.id = buf[:len(p.id):len(p.id)]
	args := buf[len(p.id):]
	list := k.list[:0]
	if len(p.list) > len(k.list) {
		list = make([][]byte, 0, len(p.list))
	}
	for _, s := range p.list {
		list = append(list, args[s.from:s.to:s.to])
	}
	name, ok := c.mount.names[string(p.target)]
	if !ok {
		name = string(p.target)
	}
	k.Name, k.target = name, name
	k.Args = wire.Values{Codec: c.hub.Codec(), List: list, Err: p.argsErr}
	k.Stream = p.kind == streamInvocation
	k.Headers = p.headers
	k.Size = size + callCost + 24*max(0, len(list)-len(k.list))
	if k.Free == nil {
		k.Free = k.free // once for each object: it is an allocation
	}
	if len(p.id) > 0 {
		if k.Stream {
			k.ID = string(p.id)
		} else {
			c.running.Add(1)
		}
		k.Reply = k
	}
	if len(p.streams) > 0 {
		k.Uploads = c.openUploads(p.streams)
		k.Size += 16 * len(p.streams)
	}
	c.port.StartIn(&k.state, &k.Call)
}

var answers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// maxAnswer is the largest buffer that is kept for another answer.
const maxAnswer = 64 << 10

func freeAnswer(b *[]byte) {
	if cap(*b) <= maxAnswer {
		answers.Put(b)
	}
}

// Item sends an item of a stream.
func (k *call) Item(ctx context.Context, v any) error {
	c := k.conn
	if c.marks.has(isQuiet) {
		return hubwire.ErrClosed
	}
	b := answers.Get().(*[]byte)
	defer freeAnswer(b)
	var err error
	if *b, err = c.hub.appendItem((*b)[:0], k.id, v); err != nil {
		*b = nil
		c.failAside(err)
		return err
	}
	return c.port.Item(ctx, *b)
}

// Done sends the outcome. A result that cannot be encoded ends the connection
// (section 6.8).
func (k *call) Done(v any, err error) {
	c := k.conn
	if !k.Stream {
		defer c.quieter()
	}
	if c.marks.has(isQuiet) {
		return
	}
	b := answers.Get().(*[]byte)
	defer freeAnswer(b)
	switch {
	case err != nil:
		*b = c.hub.appendFailure((*b)[:0], k.id, k.failure(err))
	case k.Stream:
		*b = c.hub.appendEnd((*b)[:0], k.id)
	default:
		var bad error
		if *b, bad = c.hub.appendResult((*b)[:0], k.id, v); bad != nil {
			*b = nil
			c.failAside(bad)
			return
		}
	}
	c.port.Put(*b)
}

// failure is the text of a failed call.
func (k *call) failure(err error) string {
	if f, ok := err.(*wire.Fault); ok {
		switch {
		case f.Kind == wire.IDInUse:
			return idInUse(msgpack.Text(k.id))
		case k.Stream && k.conn.hub == msgpackHub && f.Name != k.target:
			// Here alone .NET echoes the client's spelling (section 6.3).
			f = &wire.Fault{Kind: f.Kind, Name: k.target, Got: f.Got, Want: f.Want, Err: f.Err}
			err = f
		}
	}
	return failureText(err, k.conn.mount.hubOpts.DetailedErrors)
}

// quieter notes that a call has been answered.
func (c *conn) quieter() {
	if c.running.Add(-1) == 0 {
		c.wakes()
	}
}
