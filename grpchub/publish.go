package grpchub

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
)

// allowed says whether the caller may publish.
func (s *server) allowed(st *grpcwire.Stream) error {
	u := hubwire.UserFrom(st.Context())
	if s.opts.Publish == nil || !s.opts.Publish(u) {
		if u.ID == "" {
			return fail(hubwire.CodeUnauthenticated, "Publishing needs a user who may.")
		}
		return fail(hubwire.CodePermissionDenied, "The user may not publish.")
	}
	return nil
}

func (s *server) publish(st *grpcwire.Stream) error {
	if err := s.allowed(st); err != nil {
		return err
	}
	var r hubpb.PublishRequest
	if err := st.Recv(&r); err != nil {
		return err
	}
	out := &hubpb.PublishResult{}
	if err := s.send(st.Context(), &r, out); err != nil {
		return err
	}
	return st.Send(out)
}

func (s *server) publishStream(st *grpcwire.Stream) error {
	if err := s.allowed(st); err != nil {
		return err
	}
	out := &hubpb.PublishResult{}
	for {
		var r hubpb.PublishRequest
		err := st.Recv(&r)
		if errors.Is(err, io.EOF) {
			return st.Send(out)
		} else if err != nil {
			return err
		}
		if err := s.send(st.Context(), &r, out); err != nil {
			return err
		}
	}
}

func (s *server) editGroup(st *grpcwire.Stream) error {
	if err := s.allowed(st); err != nil {
		return err
	}
	var r hubpb.EditGroupRequest
	if err := st.Recv(&r); err != nil {
		return err
	}
	h, bad := s.hub(r.Hub)
	if bad != nil {
		return bad
	}
	if r.ConnectionId == "" {
		return fail(hubwire.CodeInvalidArgument, "connection_id is empty.")
	}
	err := h.Join(st.Context(), r.ConnectionId, r.Join...)
	if err == nil {
		err = h.Leave(st.Context(), r.ConnectionId, r.Leave...)
	}
	if err != nil {
		return sent(err)
	}
	return st.Send(&hubpb.EditGroupResult{})
}

// send sends one event.
func (s *server) send(ctx context.Context, r *hubpb.PublishRequest, out *hubpb.PublishResult) error {
	h, bad := s.hub(r.Hub)
	if bad != nil {
		return bad
	}
	to, bad := audience(h, r.To)
	if bad != nil {
		return bad
	}
	if r.Target == "" {
		return fail(hubwire.CodeInvalidArgument, "target is empty.")
	}
	args := hubwire.List{}
	for i, a := range r.Args {
		v, bad := published(r.Encoding, a, has(r.JsonArgs, i))
		if bad != nil {
			return bad
		}
		args = append(args, v)
	}
	if r.DedupId != "" && !s.dedup.first(r.Hub+"\x00"+r.DedupId) {
		out.Duplicates++
		return nil
	}
	if err := hubwire.Event[hubwire.List](r.Target).Send(ctx, to, args); err != nil {
		if r.DedupId != "" {
			s.dedup.forget(r.Hub + "\x00" + r.DedupId)
		}
		return sent(err)
	}
	out.Published++
	return nil
}

// sent is the status of an event that was not sent.
func sent(err error) error {
	switch {
	case errors.Is(err, hubwire.ErrClosed):
		return fail(hubwire.CodeUnavailable, "The hub shuts down.")
	case errors.Is(err, hubwire.ErrUnconfirmed):
		return fail(hubwire.CodeUnavailable, "The backplane did not confirm the event.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fail(hubwire.CodeInvalidArgument, "The event cannot be sent: "+valid(err.Error()))
}

// audience is the target that a request names.
func audience(h *hubwire.Hub, to *hubpb.Audience) (hubwire.Target, *grpcwire.Status) {
	except := func(a hubwire.Audience) hubwire.Target {
		if len(to.Except) > 0 {
			return a.Except(to.Except...)
		}
		return a
	}
	switch x := to.GetTo().(type) {
	case *hubpb.Audience_All:
		if x.All {
			return except(h.All()), nil
		}
	case *hubpb.Audience_Group:
		return except(h.Group(x.Group)), nil
	case *hubpb.Audience_User:
		if len(to.Except) == 0 && x.User != "" {
			return h.User(x.User), nil
		}
	case *hubpb.Audience_Connection:
		if len(to.Except) == 0 && x.Connection != "" {
			return h.Conns(x.Connection), nil
		}
	}
	return nil, fail(hubwire.CodeInvalidArgument, "to must be all, a group, a user or a connection; except is for all and groups.")
}

// published is an argument of an event, for members of any encoding.
func published(enc hubpb.Encoding, raw []byte, json bool) (any, *grpcwire.Status) {
	switch {
	case enc == hubpb.Encoding_JSON, enc == hubpb.Encoding_ENCODING_UNSPECIFIED, enc == hubpb.Encoding_PROTOBUF && json:
		return newJSONValue(raw)
	case enc == hubpb.Encoding_MSGPACK:
		return newMsgpackValue(raw)
	case enc != hubpb.Encoding_PROTOBUF:
		return nil, fail(hubwire.CodeInvalidArgument, "There is no such encoding.")
	}
	// No type says what the bytes are, so they have to.
	var a anypb.Any
	if proto.Unmarshal(raw, &a) == nil && a.TypeUrl != "" {
		if m, err := a.UnmarshalNew(); err == nil {
			return m, nil
		}
	}
	return nil, fail(hubwire.CodeInvalidArgument, "An argument of PROTOBUF must be a google.protobuf.Any of a type that the server knows, or JSON.")
}

// A dedup remembers ids for a while, in two generations.
type dedup struct {
	window time.Duration

	mu      sync.Mutex // guards the following
	began   time.Time  // of now
	now     map[string]struct{}
	earlier map[string]struct{}
}

// maxDedup is how many ids a generation has room for.
const maxDedup = 50_000

// first notes an id and reports whether it is new.
func (d *dedup) first(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := time.Now(); d.now == nil || t.Sub(d.began) > d.window || len(d.now) >= maxDedup {
		d.earlier = d.now
		if t.Sub(d.began) > 2*d.window {
			d.earlier = nil
		}
		d.now, d.began = map[string]struct{}{}, t
	}
	if _, ok := d.now[id]; ok {
		return false
	}
	if _, ok := d.earlier[id]; ok {
		return false
	}
	d.now[id] = struct{}{}
	return true
}

func (d *dedup) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.now, id)
}
