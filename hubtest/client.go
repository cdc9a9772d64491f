package hubtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A Client is a client in memory, and a [hubwire.Caller]. All methods may be
// called at the same time. Its handlers run one after the other on a goroutine
// of their own, so they may call the hub.
type Client struct {
	server *Server
	id     string
	bound  map[string][]hubwire.ClientHandler
	link   *link // from the hub
	end    *end  // to the hub
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when the connection has ended

	handlers mailbox

	mu        sync.Mutex // guards the following
	lastID    uint64
	calls     map[string]*results
	inbox     map[string][]wire.Values // events without a handler, by name
	came      chan struct{}            // closed when one comes; nil where nobody waits
	fences    map[uint64]chan struct{}
	over      bool
	reason    error
	reconnect bool
}

func (c *Client) crew() *crew { return &c.server.crew }

// ID is the public id of the connection.
func (c *Client) ID() string { return c.id }

// Conn is the hub's end of the connection.
func (c *Client) Conn() *hubwire.Conn {
	c.end.mu.Lock()
	defer c.end.mu.Unlock()
	return c.end.port.Conn()
}

// Done is closed when the connection has ended, as far as the client can know:
// the hub closed it, or Close or Drop was called.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the connection ended: nil for Close and for Conn.Abort, else the
// hub's reason (such as hubwire.ErrSlow or hubwire.ErrShutdown). Before the end
// it is nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// Reconnect reports whether the hub told the client that it may come back.
func (c *Client) Reconnect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reconnect
}

// Close leaves the hub: what was sent before is read, and Close returns when the
// hub's Disconnect has. Not for handlers of the hub, which Disconnect waits for.
func (c *Client) Close() error {
	_ = c.end.put(c.ctx, (&frame{kind: frameBye}).whole(), false) // else it has ended already
	<-c.end.left
	c.link.kill(nil, false)
	<-c.done
	return nil
}

// Drop cuts the transport, as a lost network does: what is under way is lost.
// It does not wait.
func (c *Client) Drop() {
	c.end.stop()
	c.link.kill(errDropped, true)
	c.end.hangUp()
}

// Stall makes the client stop reading: the transport takes nothing any more, or
// what DialOptions.Limit leaves room for.
func (c *Client) Stall() { c.link.stall(true) }

// Resume makes a stalled client read on. After it, Block stalls no more.
func (c *Client) Resume() { c.link.stall(false) }

// Limit changes DialOptions.Limit.
func (c *Client) Limit(n int) { c.link.setLimit(n) }

// Unread is how many bytes the hub has not read of what the client sent.
func (c *Client) Unread() int { return c.end.unread() }

// take takes a frame from the hub. It is called by one goroutine at a time; f
// is valid until it returns.
func (c *Client) take(f *frame) {
	switch f.kind {
	case frameEvent:
		c.event(f.name, c.values(f))
	case frameQuestion:
		id, v, hs := f.id, c.values(f), c.bound[f.name]
		if len(hs) == 0 || hs[0].Kind() != wire.ClientMethod {
			c.refuse(id, fmt.Sprintf("client method %s has no handler", f.name))
			return
		}
		c.handlers.put(func() { c.answer(id, hs[0], v) })
	case frameItem, frameResult, frameFailure:
		c.mu.Lock()
		defer c.mu.Unlock()
		if r := c.calls[f.id]; r != nil {
			c.resultLocked(r, f)
		}
	case frameFence:
		number := f.number
		c.handlers.put(func() { c.passed(number) })
	case frameBye:
		c.link.kill(nil, false)
	}
}

// values are copied: f's are not ours.
func (c *Client) values(f *frame) wire.Values {
	v := wire.Values{Codec: c.link.proto.codec, List: make([][]byte, len(f.list))}
	for i, raw := range f.list {
		v.List[i] = bytes.Clone(raw)
	}
	return v
}

func (c *Client) event(name string, v wire.Values) {
	if hs := c.bound[name]; len(hs) > 0 {
		c.handlers.put(func() {
			for _, h := range hs {
				_, _ = h.Serve(c.context(), v) // an event has nobody to tell
			}
		})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == nil {
		c.inbox = map[string][]wire.Values{}
	}
	c.inbox[name] = append(c.inbox[name], v)
	c.cameLocked()
}

func (c *Client) cameLocked() {
	if c.came != nil {
		close(c.came)
		c.came = nil
	}
}

func (c *Client) answer(id string, h hubwire.ClientHandler, v wire.Values) {
	out, err := h.Serve(c.context(), v)
	if err != nil {
		c.refuse(id, err.Error())
		return
	}
	f := frame{kind: frameAnswer, id: id}
	raw, err := c.link.proto.codec.Append(nil, out)
	if err != nil {
		c.refuse(id, err.Error())
		return
	}
	f.list = [][]byte{raw}
	_ = c.end.put(c.ctx, f.whole(), false) // else nobody waits for it
}

func (c *Client) refuse(id, text string) {
	_ = c.end.put(c.ctx, (&frame{kind: frameRefusal, id: id, name: text}).whole(), false)
}

// finish is called once, when the connection has ended.
func (c *Client) finish(reason error, reconnect bool) {
	c.mu.Lock()
	c.over, c.reason, c.reconnect = true, reason, reconnect
	calls, fences := c.calls, c.fences
	c.calls, c.fences = nil, nil
	err := hubwire.ErrClosed
	if reason != nil {
		err = fmt.Errorf("%w: %w", err, reason)
	}
	for _, r := range calls {
		r.endLocked(err)
	}
	for _, passed := range fences {
		close(passed)
	}
	c.cameLocked()
	c.mu.Unlock()
	c.cancel()
	close(c.done)
	c.server.remove(c)
}

// StartCall implements [hubwire.Caller].
func (c *Client) StartCall(ctx context.Context, out *wire.OutCall) (wire.Results, error) {
	f := frame{kind: frameCall, name: out.Name, number: uint64(len(out.Args))}
	if out.Kind.Streams() {
		f.flags = flagStream
	}
	for i, arg := range out.Args {
		raw, err := c.link.proto.codec.Append(nil, arg)
		if err != nil {
			return nil, fmt.Errorf("hubtest: %s: argument %d: %w", out.Name, i, err)
		}
		f.list = append(f.list, raw)
	}
	r := &results{client: c, kind: out.Kind, gone: make(chan struct{})}
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return nil, hubwire.ErrClosed
	}
	c.lastID++
	id := strconv.FormatUint(c.lastID, 10)
	if !out.NoReply {
		f.id, r.id = id, id
		if c.calls == nil {
			c.calls = map[string]*results{}
		}
		c.calls[id] = r
	}
	c.mu.Unlock()
	for i := range out.Uploads {
		f.list = append(f.list, fmt.Appendf(nil, "%s.%d", id, i))
	}
	if err := c.end.put(ctx, f.whole(), true); err != nil {
		r.forget()
		return nil, err
	}
	for i, items := range out.Uploads {
		c.crew().start(func() { c.send(r, fmt.Sprintf("%s.%d", id, i), items) }) // ends with the items, the call or the connection
	}
	return r, nil
}

// send streams items to the hub.
func (c *Client) send(r *results, id string, items iter.Seq2[any, error]) {
	last := frame{kind: frameEnd, id: id}
	for v, err := range items {
		if r.over() {
			return
		}
		raw := []byte(nil)
		if err == nil {
			raw, err = c.link.proto.codec.Append(nil, v)
		}
		if err != nil {
			last = frame{kind: frameFailure, id: id, name: err.Error(), number: uint64(hubwire.CodeUnknown)}
			break
		}
		if c.end.put(r.context(), (&frame{kind: frameItem, id: id, list: [][]byte{raw}}).whole(), true) != nil {
			return
		}
	}
	_ = c.end.put(c.ctx, last.whole(), false) // else the connection has ended
}

func (c *Client) resultLocked(r *results, f *frame) {
	switch f.kind {
	case frameItem:
		r.addLocked(bytes.Clone(f.list[0]))
		return
	case frameResult:
		if len(f.list) > 0 && r.kind != wire.Command {
			r.addLocked(bytes.Clone(f.list[0]))
		}
		r.endLocked(io.EOF)
	case frameFailure:
		err := &hubwire.Error{Code: hubwire.Code(f.number), Message: f.name}
		if len(f.list) > 0 {
			_ = c.link.proto.codec.Decode(f.list[0], &err.Data) // what we cannot read is not there
		}
		r.endLocked(err)
	}
	delete(c.calls, r.id)
}
