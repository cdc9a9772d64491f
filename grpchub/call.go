package grpchub

import (
	"context"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/wire"
)

// A call is one Invocation, and the way of its outcome to the client.
type call struct {
	wire.Call
	state hubwire.Call // the hub's
	conn  *conn
	id    string
}

// callCost is what a call that waits takes beside its bytes.
const callCost = 256

// maxUploads is how many uploads one call may have: no method has so many.
const maxUploads = 64

// call starts a call.
func (c *conn) call(m *hubpb.Invocation, size int) {
	k := &call{conn: c, id: m.Id}
	k.Name = m.Target
	k.Args = c.proto.args(m.Args, m.JsonArgs)
	k.Stream = m.WantsStream
	k.Headers = m.Headers
	k.Size = size + callCost
	if m.Id != "" {
		k.ID = m.Id
		k.Reply = k
		c.running.Add(1)
	}
	ids := m.StreamIds
	if len(ids) > maxUploads {
		ids = ids[:maxUploads] // no method takes so many: the hub says so
	}
	k.Uploads = c.openUploads(ids)
	c.starting.Lock()
	c.port.StartIn(&k.state, &k.Call)
	c.starting.Unlock()
}

// Item implements wire.Reply.
func (k *call) Item(ctx context.Context, v any) error {
	c := k.conn
	if c.quit.Load() {
		return hubwire.ErrClosed
	}
	b, err := c.proto.codec.Append(nil, v)
	if err != nil {
		return err
	}
	value, json := c.proto.value(b)
	return c.port.Item(ctx, frame(&hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Item{Item: &hubpb.StreamItem{Id: k.id, Item: value, Json: json}}}))
}

// Done implements wire.Reply.
func (k *call) Done(v any, err error) {
	c := k.conn
	if !c.quit.Load() {
		m := c.proto.completion(k.id, k.Stream, v, err, c.hubOpts)
		c.port.Put(frame(&hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Completion{Completion: m}}))
	}
	c.answered()
}

// completion is the outcome of a call.
func (p *protocol) completion(id string, stream bool, v any, err error, o hubwire.Options) *hubpb.Completion {
	m := &hubpb.Completion{Id: id}
	if err == nil && !stream {
		b, bad := p.codec.Append(nil, v)
		if bad == nil {
			value, json := p.value(b)
			m.Outcome, m.Json = &hubpb.Completion_Result{Result: value}, json
			return m
		}
		o.Logger.Error("grpchub: a result cannot be encoded", "hub", o.Name, "err", bad)
		err = hubwire.Errorf(hubwire.CodeInternal, "The result cannot be encoded.")
	}
	if err != nil {
		m.Outcome = &hubpb.Completion_Error{Error: hubError(err, o.DetailedErrors)}
	}
	return m
}
