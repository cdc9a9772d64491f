package grpchub

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/wire"
)

// A single is one call of Invoke, InvokeStream or Upload, on a connection that
// there is or on one of its own. It is the call's Reply, and the link of a
// connection of its own.
type single struct {
	srv     *server
	s       *grpcwire.Stream
	proto   *protocol
	hub     *hubwire.Hub
	hubOpts hubwire.Options
	conn    *conn         // nil: of its own
	port    *hubwire.Port // of its own, else nil
	call    wire.Call

	once sync.Once
	done chan struct{}
	out  *hubpb.Completion // valid once done is closed
}

func (s *server) invoke(st *grpcwire.Stream) error {
	var r hubpb.InvokeRequest
	if err := st.Recv(&r); err != nil {
		return err
	}
	x, err := s.single(st, &r)
	if err != nil {
		return err
	}
	out, err := x.run()
	if err != nil {
		return err
	}
	return st.Send(out)
}

func (s *server) invokeStream(st *grpcwire.Stream) error {
	var r hubpb.InvokeRequest
	if err := st.Recv(&r); err != nil {
		return err
	}
	x, err := s.single(st, &r)
	if err != nil {
		return err
	}
	x.call.Stream = true
	out, err := x.run()
	if err != nil {
		return err
	}
	// A stream of items has no place for a Completion: its error is the status.
	if e := out.GetError(); e != nil {
		return &grpcwire.Status{Code: hubwire.Code(e.Code), Message: e.Message, Details: e.Details}
	}
	return nil
}

func (s *server) upload(st *grpcwire.Stream) error {
	var first hubpb.UploadFrame
	if err := st.Recv(&first); err != nil {
		if errors.Is(err, io.EOF) {
			err = fail(hubwire.CodeInvalidArgument, "The first frame must be a start.")
		}
		return err
	}
	start := first.GetStart()
	if start == nil {
		return fail(hubwire.CodeInvalidArgument, "The first frame must be a start.")
	}
	x, err := s.single(st, start)
	if err != nil {
		return err
	}
	items := &pulled{x: x}
	x.call.Uploads = []wire.Source{items}
	out, err := x.run()
	items.stop()
	if err != nil {
		return err
	}
	return st.Send(out)
}

// single prepares a call.
func (s *server) single(st *grpcwire.Stream, r *hubpb.InvokeRequest) (*single, error) {
	x := &single{srv: s, s: st, done: make(chan struct{})}
	user := hubwire.UserFrom(st.Context())
	if r.ConnectionId != "" {
		c := s.find(r.ConnectionId)
		// Ids are public; what proves that the caller is the connection's client is
		// the token, or that both are the same user.
		known := c != nil && (subtle.ConstantTimeCompare([]byte(r.ConnectionToken), []byte(c.token)) == 1 ||
			r.ConnectionToken == "" && user.ID != "" && user.ID == c.port.Conn().User().ID)
		if !known {
			return nil, fail(hubwire.CodeNotFound, "There is no such connection.")
		}
		x.conn, x.hub, x.hubOpts, x.proto = c, c.hub, c.hubOpts, c.proto
	} else {
		h, bad := s.hub(r.Hub)
		if bad != nil {
			return nil, bad
		}
		x.hub, x.hubOpts, x.proto = h, h.Options(), protocolOf(r.Encoding, true)
		if x.proto == nil {
			return nil, fail(hubwire.CodeInvalidArgument, "There is no such encoding.")
		}
		var err error
		if x.port, err = h.OpenOnce(st.Context(), x, random(), user, s.request(st, "Invoke", x.proto, r.Query)); err != nil {
			return nil, refusal(err)
		}
	}
	x.call.Name = r.Target
	x.call.Args = x.proto.args(r.Args, r.JsonArgs)
	x.call.Size = proto.Size(r) + callCost
	x.call.Reply = x
	x.call.ID = "single " + random() // for the cancel; clients choose no such ids
	return x, nil
}

// run makes the call and waits for its outcome.
func (x *single) run() (*hubpb.Completion, error) {
	port := x.port
	if x.conn != nil {
		port = x.conn.port
		if port.Full() {
			return nil, fail(hubwire.CodeResourceExhausted, "Too much of the connection waits.")
		}
		x.conn.starting.Lock()
		port.Start(&x.call)
		x.conn.starting.Unlock()
		port.Kick()
	} else {
		defer port.End(nil)
		port.Start(&x.call)
		port.Kick()
	}
	ctx := x.s.Context()
	cancel := context.AfterFunc(ctx, func() { port.Cancel(x.call.ID) })
	defer cancel()
	x.s.Notify(func(error) {
		if x.call.Stream {
			port.Cancel(x.call.ID)
		}
	})
	var gone <-chan struct{}
	if x.conn != nil {
		gone = x.conn.done
	}
	select {
	case <-x.done:
		return x.out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-gone:
		select {
		case <-x.done:
			return x.out, nil
		default:
			return nil, fail(hubwire.CodeUnavailable, "The connection has ended.")
		}
	}
}

// Item implements wire.Reply.
func (x *single) Item(ctx context.Context, v any) error {
	b, err := x.proto.codec.Append(nil, v)
	if err != nil {
		return err
	}
	value, json := x.proto.value(b)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return x.s.Send(&hubpb.StreamItem{Item: value, Json: json})
}

// Done implements wire.Reply.
func (x *single) Done(v any, err error) {
	out := x.proto.completion("", x.call.Stream, v, err, x.hubOpts)
	x.once.Do(func() {
		x.out = out
		close(x.done)
	})
}

// Framing implements wire.Link, for a connection of its own.
func (x *single) Framing() wire.Framing { return framing{x.proto} }

// TryWrite implements wire.Link. Nothing is sent to such a connection.
func (x *single) TryWrite(p []byte) (int, error) { return len(p), nil }

// Write implements wire.Link.
func (x *single) Write([]byte) error { return nil }

// Close implements wire.Link.
func (x *single) Close(reason error, _ bool) {
	st := fail(hubwire.CodeUnavailable, "The hub has closed the connection.")
	if errors.Is(reason, hubwire.ErrShutdown) {
		st.Message = "The server shuts down."
	}
	x.s.Cut(st)
}

// A pulled is the upload of Upload: its handler reads the stream itself, so that
// a slow one holds the client up and nobody else.
type pulled struct {
	x    *single
	mu   sync.Mutex // held while the stream is read
	over bool
}

// Next implements wire.Source.
func (u *pulled) Next(ctx context.Context, into any) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return io.EOF
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var f hubpb.UploadFrame
	if err := u.x.s.Recv(&f); err != nil {
		u.over = true
		return err
	}
	it := f.GetItem()
	if it == nil {
		u.over = true
		return hubwire.Errorf(hubwire.CodeInvalidArgument, "A frame of the upload is no item.")
	}
	if err := u.x.proto.codec.Decode(u.x.proto.raw(it.Item, it.Json), into); err != nil {
		u.over = true
		return hubwire.Errorf(hubwire.CodeInvalidArgument, "An item of the upload cannot be decoded.")
	}
	return nil
}

// stop waits until nobody reads the stream any more: its call returns.
func (u *pulled) stop() {
	u.x.s.StopReading()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
}

// Close implements wire.Source. The rest of the stream is left unread.
func (u *pulled) Close() { u.x.s.StopReading() }
