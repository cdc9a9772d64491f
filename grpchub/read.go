package grpchub

import (
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/wire"
)

// read takes what the client sends, until the connection ends.
func (c *conn) read() {
	var m hubpb.ClientFrame
	for {
		err := c.s.Recv(&m)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			c.settle()
			c.end(&ending{})
			return
		case errors.Is(err, grpcwire.ErrStopped):
			return
		case c.s.Context().Err() != nil:
			c.end(&ending{silent: true, status: err})
			return
		default: // what came is no frame, or too large
			c.end(&ending{reason: err.Error(), status: err, cause: err})
			return
		}
		if !c.message(&m) {
			return
		}
		if c.port.Full() {
			c.waits.Store(true)
			c.port.Wait()
			c.heard()
			c.waits.Store(false)
		}
	}
}

// message takes one frame and reports whether the connection goes on.
func (c *conn) message(m *hubpb.ClientFrame) bool {
	c.heard()
	switch f := m.Frame.(type) {
	case *hubpb.ClientFrame_Invocation:
		c.call(f.Invocation, proto.Size(f.Invocation))
	case *hubpb.ClientFrame_Item:
		if u := c.findUpload(f.Item.Id); u != nil {
			u.add(c.proto.raw(f.Item.Item, f.Item.Json))
		}
	case *hubpb.ClientFrame_Completion:
		return c.completed(f.Completion)
	case *hubpb.ClientFrame_Cancel:
		c.port.Cancel(f.Cancel.Id)
	case *hubpb.ClientFrame_Ping:
		c.armed.Store(true)
	case *hubpb.ClientFrame_Close:
		e := &ending{}
		if f.Close.Reason != "" {
			e.cause = &hubwire.Error{Code: hubwire.CodeUnknown, Message: f.Close.Reason}
		}
		c.settle()
		c.end(e)
		return false
	case *hubpb.ClientFrame_Hello:
		bad := fail(hubwire.CodeInvalidArgument, "A second Hello.")
		c.end(&ending{reason: bad.Message, status: bad, cause: bad})
		return false
	}
	// Acks have no meaning without resuming; frames of types to come are skipped.
	return !c.quit.Load()
}

// completed takes the end of an upload, or the answer to a question.
func (c *conn) completed(m *hubpb.Completion) bool {
	var failure error
	if e := m.GetError(); e != nil {
		code := hubwire.Code(e.Code)
		if code == 0 {
			code = hubwire.CodeUnknown
		}
		failure = &hubwire.Error{Code: code, Message: e.Message}
	}
	if u := c.findUpload(m.Id); u != nil {
		u.end(failure)
		return true
	}
	v := wire.Values{Codec: c.proto.codec}
	if r, ok := m.Outcome.(*hubpb.Completion_Result); ok {
		v.List = [][]byte{c.proto.raw(r.Result, m.Json)}
	} else {
		v.Err = &hubwire.Error{Code: hubwire.CodeUnknown, Message: "The client gave no result."}
	}
	if err := c.port.Answer(m.Id, v, failure); err != nil {
		bad := fail(hubwire.CodePermissionDenied, "The question was put to another connection.")
		c.end(&ending{reason: bad.Message, status: bad, cause: err})
		return false
	}
	return true
}

// settleTime is how long the answers to calls are awaited when the client has
// said that it sends no more.
const settleTime = 5 * time.Second

func (c *conn) settle() {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	c.port.Kick()
	for c.running.Load() > 0 {
		select {
		case <-c.idle:
		case <-timer.C:
			return
		case <-c.done:
			return
		case <-c.s.Context().Done():
			return
		}
	}
}

// answered notes that a call has its outcome.
func (c *conn) answered() {
	if c.running.Add(-1) == 0 {
		select {
		case c.idle <- struct{}{}:
		default:
		}
	}
}
