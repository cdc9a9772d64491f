package grpcadapter_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/hubwire/hubwire/grpcwire/grpcadapter"
)

// BenchmarkUnary is a unary call, client and server together.
func BenchmarkUnary(b *testing.B) {
	x := start(b, nil, nil, nil, func(s *grpcadapter.Server) { testpb.RegisterTestServiceServer(s, interop.NewTestServer()) })
	client := testpb.NewTestServiceClient(dial(b, x.addr, nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.EmptyCall(context.Background(), &testpb.Empty{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServerStream is one message of a stream, client and server together.
func BenchmarkServerStream(b *testing.B) {
	x := start(b, nil, nil, nil, func(s *grpcadapter.Server) { testpb.RegisterTestServiceServer(s, interop.NewTestServer()) })
	client := testpb.NewTestServiceClient(dial(b, x.addr, nil))
	sizes := make([]*testpb.ResponseParameters, 10_000)
	for i := range sizes {
		sizes[i] = &testpb.ResponseParameters{Size: 64}
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(sizes) {
		s, err := client.StreamingOutputCall(context.Background(), &testpb.StreamingOutputCallRequest{ResponseParameters: sizes[:min(len(sizes), b.N-n)]})
		for err == nil {
			_, err = s.Recv()
		}
	}
}
