//go:build conformance

// Command sut is the server under test of connectrpc.com/conformance: package
// grpcwire with a service that was generated for grpc-go. The generated code
// is made by the test that builds it, hence the build tag.
//
// It reads a ServerCompatRequest from standard input and answers with a
// ServerCompatResponse, both with a length of four bytes in front.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/grpcwire/grpcadapter"
	pb "github.com/hubwire/hubwire/test/e2e/grpc/conformancepb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var req pb.ServerCompatRequest
	if err := read(os.Stdin, &req); err != nil {
		return err
	}
	rpc := grpcwire.New(&grpcwire.Options{MaxMessage: int(req.MessageReceiveLimit)})
	pb.RegisterConformanceServiceServer(grpcadapter.New(rpc, nil), &service{})
	srv := &http.Server{Handler: grpcwire.Route(rpc, http.NotFoundHandler())}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	grpcwire.Configure(srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	resp := &pb.ServerCompatResponse{Host: "127.0.0.1", Port: uint32(l.Addr().(*net.TCPAddr).Port)}
	if req.UseTls {
		cert, err := tls.X509KeyPair(req.ServerCreds.Cert, req.ServerCreds.Key)
		if err != nil {
			return err
		}
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		resp.PemCert = req.ServerCreds.Cert
		if len(req.ClientTlsCert) > 0 {
			srv.TLSConfig.ClientAuth = tls.RequireAndVerifyClientCert
			srv.TLSConfig.ClientCAs = x509.NewCertPool()
			srv.TLSConfig.ClientCAs.AppendCertsFromPEM(req.ClientTlsCert)
		}
	}
	ended := make(chan error, 1)
	go func() { // ends with srv.Close
		if req.UseTls {
			ended <- srv.ServeTLS(l, "", "")
		} else {
			ended <- srv.Serve(l)
		}
	}()
	if err := write(os.Stdout, resp); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	return srv.Close()
}

func read(r io.Reader, m proto.Message) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return proto.Unmarshal(b, m)
}

func write(w io.Writer, m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

type service struct {
	pb.UnimplementedConformanceServiceServer
}

func list(headers []*pb.Header) metadata.MD {
	md := metadata.MD{}
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		for _, v := range h.Value {
			md[name] = append(md[name], v)
		}
	}
	return md
}

// about is what the client is told of its request.
func about(ctx context.Context, reqs ...proto.Message) *pb.ConformancePayload_RequestInfo {
	info := &pb.ConformancePayload_RequestInfo{}
	md, _ := metadata.FromIncomingContext(ctx)
	for k, v := range md {
		info.RequestHeaders = append(info.RequestHeaders, &pb.Header{Name: k, Value: v})
	}
	if d, ok := ctx.Deadline(); ok {
		info.TimeoutMs = proto.Int64(max(0, time.Until(d).Milliseconds()))
	}
	for _, r := range reqs {
		a, err := anypb.New(r)
		if err != nil {
			panic(err)
		}
		info.Requests = append(info.Requests, a)
	}
	return info
}

func failure(e *pb.Error, info *pb.ConformancePayload_RequestInfo) error {
	p := status.New(codes.Code(e.Code), e.GetMessage()).Proto()
	p.Details = e.Details
	if info != nil {
		a, err := anypb.New(info)
		if err != nil {
			return err
		}
		p.Details = append(slices.Clone(p.Details), a)
	}
	return status.ErrorProto(p)
}

func pause(ctx context.Context, ms uint32) {
	// The suite wants the status of a deadline even from a handler that notices
	// late, so this one does not look at its context.
	time.Sleep(time.Duration(ms) * time.Millisecond)
}

func one(ctx context.Context, def *pb.UnaryResponseDefinition, reqs ...proto.Message) (*pb.ConformancePayload, error) {
	info := about(ctx, reqs...)
	_ = grpc.SetHeader(ctx, list(def.GetResponseHeaders()))
	_ = grpc.SetTrailer(ctx, list(def.GetResponseTrailers()))
	pause(ctx, def.GetResponseDelayMs())
	if e := def.GetError(); e != nil {
		return nil, failure(e, info)
	}
	return &pb.ConformancePayload{Data: def.GetResponseData(), RequestInfo: info}, nil
}

func (*service) Unary(ctx context.Context, r *pb.UnaryRequest) (*pb.UnaryResponse, error) {
	p, err := one(ctx, r.ResponseDefinition, r)
	if err != nil {
		return nil, err
	}
	return &pb.UnaryResponse{Payload: p}, nil
}

func (*service) IdempotentUnary(ctx context.Context, r *pb.IdempotentUnaryRequest) (*pb.IdempotentUnaryResponse, error) {
	p, err := one(ctx, r.ResponseDefinition, r)
	if err != nil {
		return nil, err
	}
	return &pb.IdempotentUnaryResponse{Payload: p}, nil
}

func (*service) ClientStream(s grpc.ClientStreamingServer[pb.ClientStreamRequest, pb.ClientStreamResponse]) error {
	var def *pb.UnaryResponseDefinition
	var reqs []proto.Message
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if len(reqs) == 0 {
			def = r.ResponseDefinition
		}
		reqs = append(reqs, r)
	}
	p, err := one(s.Context(), def, reqs...)
	if err != nil {
		return err
	}
	return s.SendAndClose(&pb.ClientStreamResponse{Payload: p})
}

func (*service) ServerStream(r *pb.ServerStreamRequest, s grpc.ServerStreamingServer[pb.ServerStreamResponse]) error {
	def := r.ResponseDefinition
	info := about(s.Context(), r)
	if def == nil {
		return nil
	}
	s.SetTrailer(list(def.ResponseTrailers))
	if err := s.SendHeader(list(def.ResponseHeaders)); err != nil {
		return err
	}
	for _, d := range def.ResponseData {
		pause(s.Context(), def.ResponseDelayMs)
		if err := s.Send(&pb.ServerStreamResponse{Payload: &pb.ConformancePayload{Data: d, RequestInfo: info}}); err != nil {
			return err
		}
		info = nil
	}
	if def.Error != nil {
		if len(def.ResponseData) == 0 {
			pause(s.Context(), def.ResponseDelayMs)
		}
		return failure(def.Error, info)
	}
	return nil
}

func (*service) BidiStream(s grpc.BidiStreamingServer[pb.BidiStreamRequest, pb.BidiStreamResponse]) error {
	var def *pb.StreamResponseDefinition
	var fresh []proto.Message // requests that no reply told of
	var sent, got int
	full := false
	reply := func() error {
		pause(s.Context(), def.ResponseDelayMs)
		info := &pb.ConformancePayload_RequestInfo{}
		if sent == 0 {
			info = about(s.Context(), fresh...)
		} else {
			for _, r := range fresh {
				a, err := anypb.New(r)
				if err != nil {
					return err
				}
				info.Requests = append(info.Requests, a)
			}
		}
		if sent > 0 && len(info.Requests) == 0 {
			info = nil
		}
		fresh = nil
		err := s.Send(&pb.BidiStreamResponse{Payload: &pb.ConformancePayload{Data: def.ResponseData[sent], RequestInfo: info}})
		sent++
		return err
	}
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		got++
		fresh = append(fresh, r)
		if got == 1 {
			def, full = r.ResponseDefinition, r.FullDuplex
			if def != nil {
				s.SetTrailer(list(def.ResponseTrailers))
				if err := s.SendHeader(list(def.ResponseHeaders)); err != nil {
					return err
				}
			}
		}
		if !full || def == nil {
			continue
		}
		if sent >= len(def.ResponseData) {
			break
		}
		if err := reply(); err != nil {
			return err
		}
	}
	if def == nil {
		return nil
	}
	for sent < len(def.ResponseData) {
		if err := reply(); err != nil {
			return err
		}
	}
	if def.Error == nil {
		return nil
	}
	var info *pb.ConformancePayload_RequestInfo
	if sent == 0 {
		pause(s.Context(), def.ResponseDelayMs)
		info = about(s.Context(), fresh...)
	}
	return failure(def.Error, info)
}
