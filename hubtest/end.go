package hubtest

import (
	"context"
	"errors"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// An end is the hub's end of a connection: what reads what the client sends and
// gives it to the Port. Its goroutine, the wire's reader, is there only while
// there is something to read.
type end struct {
	client *Client
	link   *link
	opts   hubwire.Options

	mu     sync.Mutex // guards the following
	port   *hubwire.Port
	queue  [][]byte
	bytes  int
	reads  bool          // the reader runs
	over   bool          // nothing more is taken
	hung   bool          // the reader is about to end the Port, or has
	room   chan struct{} // closed when something was read; nil where nobody waits
	left   chan struct{} // closed when the hub has let the connection go
	source sync.Mutex    // guards the following

	uploads map[string]*upload
}

// inboundBytes is what the transport takes of a client before the hub reads it.
const inboundBytes = 64 << 10

// put sends a frame to the hub. Where wait is set it waits until the transport
// has room.
func (e *end) put(ctx context.Context, f []byte, wait bool) error {
	for {
		e.mu.Lock()
		if e.over {
			e.mu.Unlock()
			return hubwire.ErrClosed
		}
		if !wait || e.bytes < inboundBytes {
			e.queue = append(e.queue, f)
			e.bytes += len(f)
			e.readLocked()
			e.mu.Unlock()
			return nil
		}
		if e.room == nil {
			e.room = make(chan struct{})
		}
		room := e.room
		e.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unread is how many bytes the hub has not read.
func (e *end) unread() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bytes
}

func (e *end) readLocked() {
	if e.reads || e.hung || e.port == nil || !e.over && len(e.queue) == 0 {
		return
	}
	e.reads = true
	e.client.crew().start(e.read) // ends when nothing is left to read
}

// open begins to read.
func (e *end) open(p *hubwire.Port) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.port = p
	e.readLocked()
}

// stop takes nothing more.
func (e *end) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.overLocked()
}

// hangUp makes the reader end the Port; it does not wait.
func (e *end) hangUp() {
	e.mu.Lock()
	e.overLocked()
	port := e.port
	e.readLocked()
	e.mu.Unlock()
	if port != nil {
		port.Unblock()
	}
}

func (e *end) overLocked() {
	e.over = true
	e.queue, e.bytes = nil, 0
	e.wakeLocked()
}

func (e *end) wakeLocked() {
	if e.room != nil {
		close(e.room)
		e.room = nil
	}
}

func (e *end) read() {
	for {
		e.port.Wait()
		e.mu.Lock()
		switch {
		case e.over:
			e.hung = true
			e.mu.Unlock()
			e.last()
			return
		case len(e.queue) == 0:
			e.reads, e.queue = false, nil
			e.mu.Unlock()
			return
		}
		f := e.queue[0]
		e.queue = e.queue[1:]
		e.bytes -= len(f)
		e.wakeLocked()
		e.mu.Unlock()
		e.take(f)
	}
}

// last says goodbye, ends the Port and cuts the transport of a client that has
// gone itself.
func (e *end) last() {
	e.link.mu.Lock()
	told := e.link.closing && !e.link.dead
	e.link.mu.Unlock()
	if told {
		e.port.Control((&frame{kind: frameBye}).whole())
	}
	e.endUploads()
	e.port.End(e.link.ended())
	if !told {
		e.link.kill(nil, false)
	}
	close(e.left)
}

// take gives one frame to the hub.
func (e *end) take(src []byte) {
	f, err := parseFrame(src[headSize:])
	if err != nil {
		panic(err) // the client wrote it
	}
	switch f.kind {
	case frameCall:
		e.call(&f, len(src))
	case frameItem:
		if u := e.upload(f.id); u != nil {
			u.add(f.list[0])
		}
	case frameEnd:
		if u := e.upload(f.id); u != nil {
			u.finish(nil, false)
		}
	case frameFailure:
		if u := e.upload(f.id); u != nil {
			u.finish(&hubwire.Error{Code: hubwire.Code(f.number), Message: f.name}, false)
		}
	case frameCancel:
		e.port.Cancel(f.id)
	case frameAnswer:
		v := wire.Values{Codec: e.link.proto.codec, List: f.list}
		e.answer(f.id, v, nil)
	case frameRefusal:
		e.answer(f.id, wire.Values{}, &hubwire.Error{Code: hubwire.CodeUnknown, Message: f.name})
	case frameBye:
		e.stop()
	}
}

func (e *end) answer(id string, v wire.Values, err error) {
	if bad := e.port.Answer(id, v, err); bad != nil {
		e.link.Close(bad, false)
	}
}

// A call is a call of the client, and the way of its outcome.
type call struct {
	wire.Call
	end *end
	id  string
}

func (e *end) call(f *frame, size int) {
	c := &call{end: e, id: f.id}
	n := int(f.number)
	c.Name, c.Stream, c.Size = f.name, f.flags&flagStream != 0, size
	c.Args = wire.Values{Codec: e.link.proto.codec, List: f.list[:n:n]}
	if f.id != "" {
		c.ID, c.Reply = f.id, c
	}
	for _, id := range f.list[n:] {
		c.Uploads = append(c.Uploads, e.openUpload(string(id)))
	}
	e.port.Start(&c.Call)
}

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 512)) }}

func freeBuffer(b *[]byte) {
	if cap(*b) <= 64<<10 {
		buffers.Put(b)
	}
}

// append appends a frame with one value, or none where v is nil.
func (c *call) append(dst []byte, kind frameKind, v any) ([]byte, error) {
	f := frame{kind: kind, id: c.id}
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	var err error
	if *b, err = c.end.link.proto.codec.Append((*b)[:0], v); err != nil {
		*b = nil
		return dst, err
	}
	f.list = [][]byte{*b}
	return f.append(dst), nil
}

// Item implements wire.Reply.
func (c *call) Item(ctx context.Context, v any) error {
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	var err error
	if *b, err = c.append((*b)[:0], frameItem, v); err != nil {
		return err
	}
	return c.end.port.Item(ctx, *b)
}

// Done implements wire.Reply.
func (c *call) Done(v any, err error) {
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	switch {
	case err != nil:
		*b = c.failure(err).append((*b)[:0])
	case c.Stream:
		*b = (&frame{kind: frameResult, id: c.id}).append((*b)[:0])
	default:
		var bad error
		if *b, bad = c.append((*b)[:0], frameResult, v); bad != nil {
			*b = c.failure(&wire.Fault{Kind: wire.Failed, Name: c.Name, Err: bad}).append((*b)[:0])
		}
	}
	c.end.port.Put(*b)
}

// failure is an error as the client gets it: in the words of the error itself
// where it is an *Error, or with DetailedErrors, or where the hub made it.
func (c *call) failure(err error) *frame {
	e := &hubwire.Error{Code: hubwire.CodeUnknown}
	f, ok := err.(*wire.Fault)
	if !ok {
		f = &wire.Fault{Kind: wire.Failed, Name: c.Name, Err: err}
	}
	e.Message = f.Name + ": " + f.Kind.String()
	if public, ok := errors.AsType[*hubwire.Error](f.Err); ok {
		e = public
	} else if f.Err != nil && (c.end.opts.DetailedErrors || f.Kind == wire.BadArguments) {
		e.Message += ": " + f.Err.Error()
	}
	if code, ok := faultCodes[f.Kind]; ok {
		e.Code = code
	}
	out := &frame{kind: frameFailure, id: c.id, name: e.Message, number: uint64(e.Code), flags: byte(f.Kind)}
	if e.Data != nil {
		if data, err := c.end.link.proto.codec.Append(nil, e.Data); err == nil {
			out.list = [][]byte{data}
		}
	}
	return out
}

var faultCodes = map[wire.FaultKind]hubwire.Code{
	wire.UnknownMethod: hubwire.CodeUnimplemented,
	wire.BadArguments:  hubwire.CodeInvalidArgument,
	wire.Unauthorized:  hubwire.CodePermissionDenied,
	wire.MustStream:    hubwire.CodeInvalidArgument,
	wire.MustNotStream: hubwire.CodeInvalidArgument,
	wire.WrongStreams:  hubwire.CodeInvalidArgument,
	wire.IDInUse:       hubwire.CodeAlreadyExists,
}
