// Package grpcadapter serves services that were generated for grpc-go by package
// grpcwire: unmodified, with interceptors, reflection and health of grpc-go.
//
//	rpc := grpcwire.New(nil)
//	services := grpcadapter.New(rpc, &grpcadapter.Options{Unary: …})
//	pb.RegisterGreeterServer(services, &greeter{})
//	services.Health()             // grpc.health.v1, NOT_SERVING while it drains
//	reflection.Register(services) // in development
//
// The same services can be served by grpc-go's own transport on a listener of
// its own, which costs less for unary calls and uploads: see Server.GRPC.
//
// What of grpc-go does not reach here: grpc.SetSendCompressor (there is
// SetSendCompressor), stats handlers, server options but those named in
// Options, channelz and xDS. Metadata, deadlines, peers, headers and trailers,
// status errors and their details do.
package grpcadapter

import (
	"context"
	"fmt"
	"net"
	"reflect"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpcwire"
)

// Options configure a Server. A nil *Options means no interceptors.
type Options struct {
	// Unary and Stream are interceptors; the first is outermost.
	Unary  []grpc.UnaryServerInterceptor
	Stream []grpc.StreamServerInterceptor
}

// A Server registers services of grpc-go with a grpcwire.Handler. It is a
// grpc.ServiceRegistrar, and what grpc-go's reflection asks for services.
// Services are registered before the handler serves.
type Server struct {
	rpc      *grpcwire.Handler
	unary    grpc.UnaryServerInterceptor
	stream   grpc.StreamServerInterceptor
	opts     Options
	services []service
	info     map[string]grpc.ServiceInfo
}

type service struct {
	desc *grpc.ServiceDesc
	impl any
}

// New makes a Server that registers with rpc. Errors of package status become
// the statuses of rpc's calls.
func New(rpc *grpcwire.Handler, opts *Options) *Server {
	s := &Server{rpc: rpc, info: map[string]grpc.ServiceInfo{}}
	if opts != nil {
		s.opts = *opts
	}
	s.unary, s.stream = chainUnary(s.opts.Unary), chainStream(s.opts.Stream)
	rpc.SetConvert(convert)
	return s
}

// convert makes a status of an error that has one.
func convert(err error) *grpcwire.Status {
	st, ok := status.FromError(err)
	if !ok || st.Code() == codes.OK {
		return nil
	}
	out := &grpcwire.Status{Code: hubwire.Code(st.Code()), Message: st.Message()}
	out.Details = st.Proto().GetDetails()
	return out
}

// GetServiceInfo describes the services, for reflection: those that were
// registered here, and those of the handler's other methods.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo {
	out := make(map[string]grpc.ServiceInfo, len(s.info))
	for name, info := range s.info {
		out[name] = info
	}
	for _, m := range s.rpc.Methods() {
		name, method := split(m.Name)
		if _, ours := s.info[name]; ours {
			continue
		}
		info := out[name]
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: method, IsClientStream: m.ClientStreams, IsServerStream: m.ServerStreams})
		out[name] = info
	}
	return out
}

func split(full string) (service, method string) {
	for i := len(full) - 1; i > 0; i-- {
		if full[i] == '/' {
			return full[1:i], full[i+1:]
		}
	}
	return full, ""
}

// RegisterService implements grpc.ServiceRegistrar. It panics where impl is not
// what the service needs, or the service is registered twice.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) { s.register(desc, impl, false) }

func (s *Server) register(desc *grpc.ServiceDesc, impl any, attendant bool) {
	if impl != nil && desc.HandlerType != nil {
		want := reflect.TypeOf(desc.HandlerType).Elem()
		if got := reflect.TypeOf(impl); !got.Implements(want) {
			panic(fmt.Sprintf("grpcadapter: %s: %v does not implement %v", desc.ServiceName, got, want))
		}
	}
	info := grpc.ServiceInfo{Metadata: desc.Metadata}
	for i := range desc.Methods {
		m := &desc.Methods[i]
		name := "/" + desc.ServiceName + "/" + m.MethodName
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
		s.rpc.Handle(grpcwire.Method{Name: name, Attendant: attendant, Serve: func(st *grpcwire.Stream) error {
			out, err := m.Handler(impl, s.context(st), func(in any) error { return recv(st, in) }, s.unary)
			if err != nil {
				return err
			}
			return send(st, out)
		}})
	}
	for i := range desc.Streams {
		d := &desc.Streams[i]
		name := "/" + desc.ServiceName + "/" + d.StreamName
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: d.StreamName, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams})
		about := &grpc.StreamServerInfo{FullMethod: name, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams}
		s.rpc.Handle(grpcwire.Method{Name: name, Attendant: attendant, ClientStreams: d.ClientStreams, ServerStreams: d.ServerStreams, Serve: func(st *grpcwire.Stream) error {
			ss := &serverStream{s: st, ctx: s.context(st)}
			if s.stream != nil {
				return s.stream(impl, ss, about, d.Handler)
			}
			return d.Handler(impl, ss)
		}})
	}
	s.info[desc.ServiceName] = info
	s.services = append(s.services, service{desc, impl})
}

// context is what handlers and interceptors of grpc-go expect.
func (s *Server) context(st *grpcwire.Stream) context.Context {
	r := st.Request()
	ctx := metadata.NewIncomingContext(st.Context(), metadata.MD(st.Incoming()))
	p := &peer.Peer{Addr: addr(r.RemoteAddr)}
	if local, ok := ctx.Value(httpLocalAddr).(net.Addr); ok {
		p.LocalAddr = local
	}
	if r.TLS != nil {
		p.AuthInfo = credentials.TLSInfo{State: *r.TLS, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	}
	ctx = peer.NewContext(ctx, p)
	return grpc.NewContextWithServerTransportStream(ctx, transport{st})
}

// addr is the remote address as net/http knows it.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func message(m any) (proto.Message, error) {
	switch m := m.(type) {
	case proto.Message:
		return m, nil
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m), nil
	}
	return nil, status.Errorf(codes.Internal, "%T is no protobuf message", m)
}

func recv(st *grpcwire.Stream, into any) error {
	m, err := message(into)
	if err != nil {
		return err
	}
	return statusError(st.Recv(m))
}

func send(st *grpcwire.Stream, v any) error {
	m, err := message(v)
	if err != nil {
		return err
	}
	return statusError(st.Send(m))
}

// statusError makes errors of a stream those that code for grpc-go looks for.
func statusError(err error) error {
	if st, ok := err.(*grpcwire.Status); ok {
		return status.Error(codes.Code(st.Code), st.Message)
	}
	return err
}

// A serverStream is a grpc.ServerStream.
type serverStream struct {
	s   *grpcwire.Stream
	ctx context.Context
}

func (s *serverStream) SetHeader(md metadata.MD) error {
	return statusError(s.s.SetHeader(grpcwire.Metadata(md)))
}

func (s *serverStream) SendHeader(md metadata.MD) error {
	return statusError(s.s.SendHeader(grpcwire.Metadata(md)))
}

// SetTrailer has no error to return; metadata that cannot be sent is left out.
func (s *serverStream) SetTrailer(md metadata.MD) { _ = s.s.SetTrailer(grpcwire.Metadata(md)) }

func (s *serverStream) Context() context.Context { return s.ctx }
func (s *serverStream) SendMsg(m any) error      { return send(s.s, m) }
func (s *serverStream) RecvMsg(m any) error      { return recv(s.s, m) }

// A transport is a grpc.ServerTransportStream, for grpc.SetHeader and the like.
type transport struct{ s *grpcwire.Stream }

func (t transport) Method() string { return t.s.Method() }

func (t transport) SetHeader(md metadata.MD) error {
	return statusError(t.s.SetHeader(grpcwire.Metadata(md)))
}

func (t transport) SendHeader(md metadata.MD) error {
	return statusError(t.s.SendHeader(grpcwire.Metadata(md)))
}

func (t transport) SetTrailer(md metadata.MD) error {
	return statusError(t.s.SetTrailer(grpcwire.Metadata(md)))
}

// SetSendCompressor compresses what the call sends, as grpc.SetSendCompressor
// does on grpc-go's own transport; it works on both.
func SetSendCompressor(ctx context.Context, name string) error {
	if st := grpcwire.StreamFrom(ctx); st != nil {
		return statusError(st.SetCompression(name))
	}
	return grpc.SetSendCompressor(ctx, name)
}
