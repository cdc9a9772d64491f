package grpcadapter

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpcwire"
)

// httpLocalAddr is where net/http keeps the address that a connection came to.
var httpLocalAddr = http.LocalAddrContextKey

// GRPC makes a *grpc.Server with the services that are registered by now, for a
// listener of its own: grpc-go's transport costs a third to a half of net/http's
// for unary calls, and a fifth for uploads. It has the interceptors, the
// handler's limit of messages, its Middleware (with a request that has the
// call's path, metadata and TLS state, and no body; before anything is read) and
// keep-alive rules that fit the clients of package client. opts come last.
// Methods that were not registered as services of grpc-go are not served, nor
// is gRPC-Web. The caller serves and stops it.
func (s *Server) GRPC(opts ...grpc.ServerOption) *grpc.Server {
	o := s.rpc.Options()
	all := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(o.MaxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(append([]grpc.UnaryServerInterceptor{s.guardUnary}, s.opts.Unary...)...),
		grpc.ChainStreamInterceptor(append([]grpc.StreamServerInterceptor{s.guardStream}, s.opts.Stream...)...),
	}
	if o.MaxConnectionAge > 0 {
		all = append(all, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: o.MaxConnectionAge, MaxConnectionAgeGrace: o.Grace}))
	}
	if o.Middleware != nil {
		all = append(all, grpc.InTapHandle(admit(o.Middleware)))
	}
	g := grpc.NewServer(append(all, opts...)...)
	for _, x := range s.services {
		g.RegisterService(x.desc, x.impl)
	}
	return g
}

// admit asks HTTP middleware about a call of grpc-go's transport.
func admit(middleware func(http.Handler) http.Handler) tap.ServerInHandle {
	type key struct{}
	h := middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		*r.Context().Value(key{}).(*context.Context) = r.Context()
	}))
	return func(ctx context.Context, info *tap.Info) (context.Context, error) {
		header := http.Header{}
		host := ""
		for k, v := range info.Header {
			if k == ":authority" && len(v) > 0 {
				host = v[0]
			} else if k != "" && k[0] != ':' {
				header[http.CanonicalHeaderKey(k)] = v
			}
		}
		var passed context.Context
		r := (&http.Request{
			Method: http.MethodPost, URL: &url.URL{Path: info.FullMethodName}, RequestURI: info.FullMethodName, Host: host,
			Proto: "HTTP/2.0", ProtoMajor: 2, Header: header, Body: http.NoBody,
		}).WithContext(context.WithValue(ctx, key{}, &passed))
		if p, ok := peer.FromContext(ctx); ok {
			r.RemoteAddr = p.Addr.String()
			if t, ok := p.AuthInfo.(credentials.TLSInfo); ok {
				r.TLS = &t.State
			}
		}
		answer := &answer{header: http.Header{}}
		h.ServeHTTP(answer, r)
		if passed == nil {
			st := grpcwire.HTTPStatus(answer.status, answer.header)
			return nil, status.Error(codes.Code(st.Code), st.Message)
		}
		return passed, nil
	}
}

// An answer takes what middleware says instead of serving a call.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.status == 0 {
		a.status = code
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(p), nil
}

// guardUnary makes of panics and errors what the handler makes of them.
func (s *Server) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (out any, err error) {
	err = s.rpc.Guard(info.FullMethod, func() (err error) { out, err = next(ctx, req); return err })
	return out, asStatus(err)
}

func (s *Server) guardStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx := ss.Context()
	if u := hubwire.UserFrom(ctx); s.rpc.Options().CloseOnExpiry && !u.Expires.IsZero() {
		ctx, cancel := context.WithDeadline(ctx, u.Expires)
		defer cancel()
		ss = &withContext{ss, ctx}
		err := s.rpc.Guard(info.FullMethod, func() error { return next(srv, ss) })
		if time.Now().After(u.Expires) {
			return status.Error(codes.Unauthenticated, "The credentials have expired.")
		}
		return asStatus(err)
	}
	return asStatus(s.rpc.Guard(info.FullMethod, func() error { return next(srv, ss) }))
}

type withContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (w *withContext) Context() context.Context { return w.ctx }

// asStatus is err as grpc-go's transport sends it.
func asStatus(err error) error {
	st, ok := err.(*grpcwire.Status)
	if !ok {
		return err
	}
	out := status.New(codes.Code(st.Code), st.Message)
	p := out.Proto()
	p.Details = st.Details
	return status.FromProto(p).Err()
}
