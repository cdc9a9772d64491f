package grpchub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/wire"
)

// A Mapping makes messages of a user's own server-streaming method out of a
// hub's events, so that its callers see what browsers in the same groups see:
//
//	var prices = grpchub.NewMapping(grpchub.Map(PriceChanged, func(p Price) *pb.Price { … }))
//
//	func (s *server) WatchPrices(r *pb.WatchRequest, to grpc.ServerStreamingServer[pb.Price]) error {
//		return prices.Watch(to.Context(), s.hub, r.Symbol)
//	}
//
// An event is mapped and encoded once, however many watch. A Mapping is made
// once, and may be used from many goroutines. Over a backplane the hub must be
// mounted by Mount on all nodes, whether somebody watches there or not.
type Mapping struct {
	byName map[string]hubwire.ClientHandler
}

// A Mapper is one event of a Mapping.
type Mapper struct{ h hubwire.ClientHandler }

// Map maps an event to a message; nil passes over it. to is called by
// the hub when it delivers, with its locks: it must not block, nor send.
func Map[T any, M proto.Message](event hubwire.Event[T], to func(T) M) Mapper {
	return Mapper{event.With(func(ctx context.Context, v T) error {
		m := proto.Message(to(v))
		if m == nil || !m.ProtoReflect().IsValid() {
			return nil
		}
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		out := ctx.Value(mappedKey{}).(*[]byte)
		*out = grpcwire.AppendFrame(*out, b)
		return nil
	})}
}

type mappedKey struct{}

// NewMapping makes a Mapping. It panics where an event is mapped twice.
func NewMapping(mappers ...Mapper) *Mapping {
	m := &Mapping{byName: map[string]hubwire.ClientHandler{}}
	for _, x := range mappers {
		if _, twice := m.byName[x.h.Name()]; twice {
			panic("grpchub: " + x.h.Name() + " is mapped twice")
		}
		m.byName[x.h.Name()] = x.h
	}
	return m
}

// A mapped is the framing of a Mapping: what events of JSON connections become.
// The hub frames a run of events once for all who watch.
type mapped struct {
	m   *Mapping
	log *slog.Logger
}

func (mapped) Protocol() wire.Protocol { return watched }

// watched is the protocol whose records are mapped.
var watched = protocolOf(hubpb.Encoding_JSON, true)

// Append appends the messages. What is not mapped, or fails to be, is nothing.
func (f mapped) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		var m hubpb.ServerFrame
		if proto.Unmarshal(r.Bytes, &m) != nil {
			continue // we wrote it
		}
		if h, ok := f.m.byName[m.GetInvocation().GetTarget()]; ok {
			dst = f.one(dst, h, m.GetInvocation().Args)
		}
	}
	return dst
}

// one maps an event. A panic of the user's function loses that event alone: this
// is called with locks of the hub.
func (f mapped) one(dst []byte, h hubwire.ClientHandler, args [][]byte) (out []byte) {
	out = dst
	made := []byte(nil)
	defer func() {
		if v := recover(); v != nil {
			out = dst
			f.log.Error("grpchub: a mapper panics", "event", h.Name(), "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	if _, err := h.Serve(context.WithValue(context.Background(), mappedKey{}, &made), wire.Values{Codec: jsonCodec, List: args}); err != nil {
		f.log.Error("grpchub: an event cannot be mapped", "event", h.Name(), "err", err)
		return dst
	}
	return append(dst, made...)
}

// A watcher is the link of a call that watches.
type watcher struct {
	grpcwire.Raw
	framing mapped
	done    chan struct{}

	mu     sync.Mutex // guards the following
	closed bool
	err    error
}

func (w *watcher) Framing() wire.Framing { return w.framing }

// Close implements wire.Link.
func (w *watcher) Close(reason error, reconnect bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	switch {
	case reason == nil && !reconnect:
	case errors.Is(reason, hubwire.ErrSlow):
		w.err = fail(hubwire.CodeResourceExhausted, "The client is too slow.")
		w.Abort()
	default:
		w.err = fail(hubwire.CodeUnavailable, "The server shuts down.")
	}
	close(w.done)
}

// Watch makes the call whose handler's context ctx is a connection of the hub
// and a member of groups, and returns when it ends: with nil when the client has
// left, else with a status for the caller. The connection is an ordinary one:
// Connect and Disconnect run for it, and the hub's queue bounds what waits for
// it. When the caller has the headers the connection is a member of the groups.
// JSON streams (application/grpc+json) are refused.
func (m *Mapping) Watch(ctx context.Context, hub *hubwire.Hub, groups ...string) error {
	st := grpcwire.StreamFrom(ctx)
	if st == nil {
		return fail(hubwire.CodeUnimplemented, "Watching works on the shared port alone.")
	}
	if st.JSON() {
		return fail(hubwire.CodeUnimplemented, "Watching works with protobuf alone.")
	}
	hub.Expose(watched)
	raw, err := st.Raw()
	if err != nil {
		return err
	}
	w := &watcher{Raw: raw, framing: mapped{m, hub.Options().Logger}, done: make(chan struct{})}
	r := st.Request()
	port, err := hub.Open(ctx, w, random(), hubwire.UserFrom(ctx), &hubwire.Request{Wire: "grpc", Transport: "Watch", Protocol: "protobuf", Remote: r.RemoteAddr})
	if err != nil {
		return refusal(err)
	}
	var cause error
	defer func() { port.End(cause) }()
	if err := port.Conn().Join(ctx, groups...); err != nil {
		return refusal(err)
	}
	if err := raw.Flush(); err != nil {
		return nil // the client has left
	}
	select {
	case <-w.done:
		w.mu.Lock()
		defer w.mu.Unlock()
		cause = w.err
		return w.err
	case <-st.Ending():
		return st.Why()
	case <-ctx.Done():
		return nil
	}
}
