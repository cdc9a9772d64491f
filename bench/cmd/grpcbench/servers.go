//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/grpcwire/grpcadapter"
	"github.com/hubwire/hubwire/test/conformance/streamspb"
)

// serverNames are the candidates. hubwire is grpcwire with the service that grpc
// has; hub is the same, but its pushes are encoded once and its broadcasts are a
// hub's.
var serverNames = []string{"grpc", "grpchttp", "connect", "hubwire", "hub"}

func runServer(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	s := &service{members: map[chan *streamspb.Response]bool{}}
	srv := &http.Server{}
	grpcwire.Configure(srv) // the same windows and protocols for all on net/http
	switch name {
	case "grpc":
		g := grpc.NewServer()
		streamspb.RegisterStreamsServer(g, s)
		return g.Serve(l)
	case "grpchttp":
		g := grpc.NewServer()
		streamspb.RegisterStreamsServer(g, s)
		srv.Handler = g
	case "connect":
		srv.Handler = connectMux(s)
	case "hubwire":
		rpc := grpcwire.New(nil)
		streamspb.RegisterStreamsServer(grpcadapter.New(rpc, nil), s)
		srv.Handler = rpc
	case "hub":
		rpc := grpcwire.New(nil)
		streamspb.RegisterStreamsServer(grpcadapter.New(rpc, nil), newHubService(s))
		srv.Handler = rpc
	default:
		return fmt.Errorf("grpcbench: there is no server %q", name)
	}
	return srv.Serve(l)
}

// A service is what all but hub serve, as one would write it.
type service struct {
	streamspb.UnimplementedStreamsServer
	mu      sync.Mutex // guards members
	members map[chan *streamspb.Response]bool
}

func stats() *streamspb.Response {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &streamspb.Response{Received: u.Utime.Nano() + u.Stime.Nano(), ReceivedBytes: int64(m.Mallocs)}
}

// memory is what is held after a collection: goroutines, heap and stacks.
func memory() *streamspb.Response {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &streamspb.Response{Seq: int32(runtime.NumGoroutine()), Received: int64(m.HeapAlloc), ReceivedBytes: int64(m.StackInuse)}
}

func (s *service) Unary(_ context.Context, r *streamspb.Request) (*streamspb.Response, error) {
	switch r.Tag {
	case "stats":
		return stats(), nil
	case "memory":
		return memory(), nil
	case "burst":
		for i := range r.Count {
			m := &streamspb.Response{Seq: i, Payload: make([]byte, r.PayloadSize)}
			s.mu.Lock()
			for c := range s.members {
				c <- m // it waits: nothing is to be lost here
			}
			s.mu.Unlock()
		}
	}
	return &streamspb.Response{Payload: r.Payload}, nil
}

func (s *service) ServerStream(r *streamspb.Request, to grpc.ServerStreamingServer[streamspb.Response]) error {
	return s.stream(to.Context(), r, to.Send)
}

func (s *service) stream(ctx context.Context, r *streamspb.Request, send func(*streamspb.Response) error) error {
	if r.Tag != "subscribe" {
		m := &streamspb.Response{Payload: make([]byte, r.PayloadSize)}
		for i := range r.Count {
			m.Seq = i
			if err := send(m); err != nil {
				return err
			}
		}
		return nil
	}
	queue := make(chan *streamspb.Response, 256)
	s.mu.Lock()
	s.members[queue] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.members, queue)
		s.mu.Unlock()
	}()
	if err := send(&streamspb.Response{}); err != nil {
		return err
	}
	for {
		select {
		case m := <-queue:
			if err := send(m); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *service) ClientStream(from grpc.ClientStreamingServer[streamspb.Request, streamspb.Response]) error {
	n := int64(0)
	for {
		if _, err := from.Recv(); errors.Is(err, io.EOF) {
			return from.SendAndClose(&streamspb.Response{Received: n})
		} else if err != nil {
			return err
		}
		n++
	}
}

func (s *service) Bidi(both grpc.BidiStreamingServer[streamspb.Request, streamspb.Response]) error {
	for {
		r, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := both.Send(&streamspb.Response{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// connectMux is the service for connect-go.
func connectMux(s *service) http.Handler {
	const path = "/conformance.v1.Streams/"
	mux := http.NewServeMux()
	opts := connect.WithCompressMinBytes(1 << 10)
	mux.Handle(path+"Unary", connect.NewUnaryHandler(path+"Unary", func(ctx context.Context, r *connect.Request[streamspb.Request]) (*connect.Response[streamspb.Response], error) {
		out, err := s.Unary(ctx, r.Msg)
		return connect.NewResponse(out), err
	}, opts))
	mux.Handle(path+"ServerStream", connect.NewServerStreamHandler(path+"ServerStream", func(ctx context.Context, r *connect.Request[streamspb.Request], to *connect.ServerStream[streamspb.Response]) error {
		return s.stream(ctx, r.Msg, to.Send)
	}, opts))
	mux.Handle(path+"ClientStream", connect.NewClientStreamHandler(path+"ClientStream", func(_ context.Context, from *connect.ClientStream[streamspb.Request]) (*connect.Response[streamspb.Response], error) {
		n := int64(0)
		for from.Receive() {
			n++
		}
		return connect.NewResponse(&streamspb.Response{Received: n}), from.Err()
	}, opts))
	mux.Handle(path+"Bidi", connect.NewBidiStreamHandler(path+"Bidi", func(_ context.Context, both *connect.BidiStream[streamspb.Request, streamspb.Response]) error {
		for {
			r, err := both.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := both.Send(&streamspb.Response{Payload: r.Payload}); err != nil {
				return err
			}
		}
	}, opts))
	return mux
}

// tick is the event of the hub's broadcasts.
const tick hubwire.Event[[]byte] = "Tick"

// A hubService pushes what is encoded, and broadcasts by a hub, to whose events
// the streams are attached.
type hubService struct {
	*service
	hub     *hubwire.Hub
	mapping *grpchub.Mapping
}

func newHubService(s *service) *hubService {
	return &hubService{s, hubwire.New(nil), grpchub.NewMapping(grpchub.Map(tick, func(b []byte) *streamspb.Response { return &streamspb.Response{Payload: b} }))}
}

func (s *hubService) Unary(ctx context.Context, r *streamspb.Request) (*streamspb.Response, error) {
	if r.Tag != "burst" {
		return s.service.Unary(ctx, r)
	}
	body := make([]byte, r.PayloadSize)
	for range r.Count {
		if err := tick.Send(ctx, s.hub.Group("all"), body); err != nil {
			return nil, err
		}
	}
	return &streamspb.Response{}, nil
}

func (s *hubService) ServerStream(r *streamspb.Request, to grpc.ServerStreamingServer[streamspb.Response]) error {
	st := grpcwire.StreamFrom(to.Context())
	if r.Tag == "subscribe" {
		return s.watch(to)
	}
	// The message as a broadcast has it: encoded once.
	b, err := grpcwire.Encode(nil, &streamspb.Response{Payload: make([]byte, r.PayloadSize)})
	if err != nil {
		return err
	}
	for range r.Count {
		if err := st.SendFrames(b); err != nil {
			return err
		}
	}
	return nil
}

// watch says that it is a member by a first message, as the others do.
func (s *hubService) watch(to grpc.ServerStreamingServer[streamspb.Response]) error {
	if err := to.Send(&streamspb.Response{}); err != nil {
		return err
	}
	return s.mapping.Watch(to.Context(), s.hub, "all")
}
