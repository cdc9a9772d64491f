package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/grpcwire/grpcadapter"
	"github.com/hubwire/hubwire/test/conformance/streamspb"
)

// serveGRPC makes the handler of the gRPC services of the contract: those of
// streams.proto, health and reflection.
func serveGRPC(log *slog.Logger) *grpcwire.Handler {
	rpc := grpcwire.New(&grpcwire.Options{Logger: log, AllowedOrigins: []string{"*"}, ExposedHeaders: []string{"x-end", "x-h"}})
	services := grpcadapter.New(rpc, nil)
	h := services.Health()
	h.SetServingStatus("conformance.v1.Streams", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("conformance.flip", grpc_health_v1.HealthCheckResponse_SERVING)
	streamspb.RegisterStreamsServer(services, &streamsService{health: h, notes: map[string]string{}, attempts: map[string]int32{}})
	reflection.Register(services)
	return rpc
}

// A streamsService is the service of streams.proto, whose comments say what it
// does.
type streamsService struct {
	streamspb.UnimplementedStreamsServer
	health *health.Server

	mu       sync.Mutex // guards the following
	notes    map[string]string
	attempts map[string]int32
}

func (s *streamsService) Unary(ctx context.Context, r *streamspb.Request) (*streamspb.Response, error) {
	attempt, err := s.begin(ctx, r)
	if err == nil {
		err = rest(ctx, r.DelayMs)
	}
	if err == nil {
		err = s.await(ctx, r)
	}
	if err == nil {
		err = failure(r.Fail)
	}
	if err != nil {
		return nil, err
	}
	return s.response(ctx, r, 0, attempt), nil
}

func (s *streamsService) ServerStream(r *streamspb.Request, to grpc.ServerStreamingServer[streamspb.Response]) error {
	ctx := to.Context()
	attempt, err := s.begin(ctx, r)
	if err != nil {
		return err
	}
	for i := range r.Count {
		if r.Fail != nil && i == r.FailAfter {
			if err := failure(r.Fail); err != nil {
				return err
			}
		}
		if err := rest(ctx, r.DelayMs); err != nil {
			return err
		}
		if err := to.Send(s.response(ctx, r, i, attempt)); err != nil {
			return err
		}
	}
	if err := s.await(ctx, r); err != nil {
		return err
	}
	return failure(r.Fail)
}

func (s *streamsService) ClientStream(from grpc.ClientStreamingServer[streamspb.Request, streamspb.Response]) error {
	ctx := from.Context()
	first := &streamspb.Request{}
	out := &streamspb.Response{}
	var n, size int64
	var attempt int32
	for {
		r, err := from.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if n++; n == 1 {
			first = r
			if attempt, err = s.begin(ctx, r); err != nil {
				return err
			}
			if err := s.await(ctx, r); err != nil {
				return err
			}
		}
		size += int64(len(r.Payload))
		if first.Fail != nil && n == int64(first.FailAfter) {
			if err := failure(first.Fail); err != nil {
				return err
			}
		}
		if err := rest(ctx, first.DelayMs); err != nil {
			return err
		}
	}
	if err := failure(first.Fail); err != nil {
		return err
	}
	if n > 0 {
		out = s.response(ctx, first, 0, attempt)
	}
	out.Received, out.ReceivedBytes = n, size
	return from.SendAndClose(out)
}

func (s *streamsService) Bidi(both grpc.BidiStreamingServer[streamspb.Request, streamspb.Response]) error {
	ctx := both.Context()
	var first *streamspb.Request
	var seq, attempt int32
	for {
		r, err := both.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if first == nil {
			first = r
			if attempt, err = s.begin(ctx, r); err != nil {
				return err
			}
			if err := s.await(ctx, r); err != nil {
				return err
			}
		}
		for range max(1, r.Count) {
			if first.Fail != nil && seq == first.FailAfter {
				if err := failure(first.Fail); err != nil {
					return err
				}
			}
			if err := rest(ctx, r.DelayMs); err != nil {
				return err
			}
			if err := both.Send(s.response(ctx, r, seq, attempt)); err != nil {
				return err
			}
			seq++
		}
	}
	if first == nil {
		return nil
	}
	return failure(first.Fail)
}

// begin does what the first request orders before the first response, and gives
// the number of the attempt.
func (s *streamsService) begin(ctx context.Context, r *streamspb.Request) (int32, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if r.RequireToken != "" {
		switch got := md.Get("authorization"); {
		case len(got) == 0:
			return 0, status.Error(codes.Unauthenticated, "missing token")
		case got[0] != "Bearer "+r.RequireToken:
			return 0, status.Error(codes.Unauthenticated, "invalid token")
		}
	}
	if r.SetHealth != "" {
		st := grpc_health_v1.HealthCheckResponse_NOT_SERVING
		if r.SetHealth == "SERVING" {
			st = grpc_health_v1.HealthCheckResponse_SERVING
		}
		s.health.SetServingStatus("conformance.flip", st)
	}
	header, trailer := metadata.MD{}, metadata.MD{}
	for _, e := range r.Headers {
		put(header, e.Key, e)
	}
	for _, e := range r.Trailers {
		put(trailer, e.Key, e)
	}
	if r.EchoMetadataOnWire {
		for _, e := range echoed(r, md) {
			put(header, "echo-"+e.Key, e)
			put(trailer, "echo-t-"+e.Key, e)
		}
	}
	if err := grpc.SetTrailer(ctx, trailer); err != nil {
		return 0, err
	}
	if r.Compress != "" {
		if err := grpcadapter.SetSendCompressor(ctx, r.Compress); err != nil {
			return 0, err
		}
	}
	if st := grpcwire.StreamFrom(ctx); st != nil {
		st.Plain(r.NoCompressMessages)
	}
	switch {
	case r.HeadersFirst:
		if err := grpc.SendHeader(ctx, header); err != nil {
			return 0, err
		}
	case len(header) > 0:
		if err := grpc.SetHeader(ctx, header); err != nil {
			return 0, err
		}
	}
	if r.AttemptKey == "" {
		return 0, nil
	}
	s.mu.Lock()
	s.attempts[r.AttemptKey]++
	n := s.attempts[r.AttemptKey]
	s.mu.Unlock()
	if n < r.SucceedOnAttempt {
		return 0, status.Error(codes.Unavailable, "attempt "+strconv.Itoa(int(n)))
	}
	return n, nil
}

// await waits for the client to cancel, and notes that it did.
func (s *streamsService) await(ctx context.Context, r *streamspb.Request) error {
	if !r.WaitForCancel {
		return nil
	}
	s.note(r.CancelKey, "waiting")
	err := rest(ctx, 30_000)
	if err != nil {
		s.note(r.CancelKey, "cancelled")
	} else {
		s.note(r.CancelKey, "not cancelled")
	}
	return err
}

func (s *streamsService) note(key, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[key] = text
}

func rest(ctx context.Context, ms int32) error {
	if ms <= 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failure is the error that a request orders.
func failure(f *streamspb.Failure) error {
	switch {
	case f == nil || f.Code == 0 && !f.ThrowPlain:
		return nil
	case f.ThrowPlain:
		return errors.New(f.Message)
	case !f.Rich:
		return status.Error(codes.Code(f.Code), f.Message)
	}
	st, err := status.New(codes.Code(f.Code), f.Message).WithDetails(
		protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: f.Reason, Domain: "conformance.v1", Metadata: map[string]string{"k": "v"}}),
		protoadapt.MessageV1Of(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "dé"}}}),
		protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}),
	)
	if err != nil {
		return err
	}
	return st.Err()
}

func put(md metadata.MD, key string, e *streamspb.Entry) {
	if strings.HasSuffix(key, "-bin") {
		md.Append(key, string(e.Bin))
		return
	}
	md.Append(key, e.Text)
}

func echoed(r *streamspb.Request, md metadata.MD) (out []*streamspb.Entry) {
	for _, name := range r.EchoMetadata {
		for _, v := range md[name] {
			e := &streamspb.Entry{Key: name, Text: v}
			if strings.HasSuffix(name, "-bin") {
				e = &streamspb.Entry{Key: name, Bin: []byte(v)}
			}
			out = append(out, e)
		}
	}
	return out
}

func (s *streamsService) response(ctx context.Context, r *streamspb.Request, seq, attempt int32) *streamspb.Response {
	md, _ := metadata.FromIncomingContext(ctx)
	out := &streamspb.Response{Seq: seq, Tag: r.Tag, Attempt: attempt, Received: 1, ReceivedBytes: int64(len(r.Payload)), Echoed: echoed(r, md)}
	switch {
	case r.PayloadSize > 0:
		out.Payload = make([]byte, r.PayloadSize)
		for i := range out.Payload {
			out.Payload[i] = byte((int(seq) + i) % 251)
		}
	case r.EchoPayload:
		out.Payload = r.Payload
	}
	if local, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); ok {
		out.ServedBy = local.String()
	}
	if st := grpcwire.StreamFrom(ctx); st != nil {
		h := st.Request().Header
		out.TimeoutHeader, out.PreviousAttempts, out.RequestEncoding = h.Get("Grpc-Timeout"), h.Get("Grpc-Previous-Rpc-Attempts"), h.Get("Grpc-Encoding")
	}
	if r.QueryKey != "" {
		s.mu.Lock()
		out.Noted = s.notes[r.QueryKey]
		s.mu.Unlock()
	}
	return out
}
