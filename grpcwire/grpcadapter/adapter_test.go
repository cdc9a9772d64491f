package grpcadapter_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/grpcwire/grpcadapter"
)

const patience = 30 * time.Second

// A service is grpc-go's interop service, as generated, with a method that waits.
type service struct {
	testpb.TestServiceServer
	ended   atomic.Int32
	entered chan context.Context // of FullDuplexCall, where not nil
}

func (s *service) FullDuplexCall(st grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	if s.entered == nil {
		return s.TestServiceServer.FullDuplexCall(st)
	}
	s.entered <- st.Context()
	<-st.Context().Done() // reads nothing
	s.ended.Add(1)
	return st.Context().Err()
}

func newService() *service { return &service{TestServiceServer: interop.NewTestServer()} }

// A rig is a server on a port.
type rig struct {
	rpc      *grpcwire.Handler
	services *grpcadapter.Server
	srv      *http.Server
	addr     string
}

func start(t testing.TB, rpcOpts *grpcwire.Options, opts *grpcadapter.Options, tlsConf *tls.Config, register func(*grpcadapter.Server)) *rig {
	t.Helper()
	o := grpcwire.Options{}
	if rpcOpts != nil {
		o = *rpcOpts
	}
	o.Logger = slog.New(slog.DiscardHandler)
	x := &rig{rpc: grpcwire.New(&o)}
	x.services = grpcadapter.New(x.rpc, opts)
	register(x.services)
	x.srv = &http.Server{Handler: grpcwire.Route(x.rpc, http.NotFoundHandler()), TLSConfig: tlsConf, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	grpcwire.Configure(x.srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.addr = l.Addr().String()
	ended := make(chan struct{})
	go func() { // ends with srv.Close
		defer close(ended)
		if tlsConf != nil {
			_ = x.srv.ServeTLS(l, "", "")
		} else {
			_ = x.srv.Serve(l)
		}
	}()
	t.Cleanup(func() {
		_ = x.srv.Close()
		<-ended
	})
	return x
}

func dial(t testing.TB, addr string, creds credentials.TransportCredentials, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	cc, err := grpc.NewClient(addr, append(opts, grpc.WithTransportCredentials(creds))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// The same services, with interceptors, reflection and health, on the shared
// port and on a listener of grpc-go's own.
func TestBothListeners(t *testing.T) {
	var mu sync.Mutex
	var course []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		course = append(course, s)
	}
	unary := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			note(name + " " + info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:])
			if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("refuse")) > 0 {
				return nil, status.Error(codes.PermissionDenied, "refused by an interceptor")
			}
			return next(ctx, req)
		}
	}
	stream := func(name string) grpc.StreamServerInterceptor {
		return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			note(fmt.Sprint(name, " ", info.IsClientStream, info.IsServerStream))
			return next(srv, ss)
		}
	}
	x := start(t, &grpcwire.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer bad" {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="It is bad"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "u"})))
		})
	}}, &grpcadapter.Options{Unary: []grpc.UnaryServerInterceptor{unary("a"), unary("b")}, Stream: []grpc.StreamServerInterceptor{stream("a"), stream("b")}}, nil, func(s *grpcadapter.Server) {
		testpb.RegisterTestServiceServer(s, newService())
		s.Health()
		reflection.Register(s)
	})
	second := x.services.GRPC()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = second.Serve(l) }() // ends with second.Stop
	t.Cleanup(second.Stop)

	for name, addr := range map[string]string{"shared": x.addr, "second": l.Addr().String()} {
		cc := dial(t, addr, nil)
		client := testpb.NewTestServiceClient(cc)
		course = nil
		if _, err := client.EmptyCall(within(t), &testpb.Empty{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		interop.DoPingPong(within(t), client)
		if got := fmt.Sprint(course); got != "[a EmptyCall b EmptyCall a true true b true true]" {
			t.Errorf("%s: the course is %s", name, got)
		}
		_, err := client.EmptyCall(metadata.AppendToOutgoingContext(within(t), "refuse", "1"), &testpb.Empty{})
		if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "refused by an interceptor" {
			t.Errorf("%s: %v", name, err)
		}
		_, err = client.EmptyCall(metadata.AppendToOutgoingContext(within(t), "authorization", "Bearer bad"), &testpb.Empty{})
		if status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != "It is bad" {
			t.Errorf("%s: %v", name, err)
		}
		h, err := grpc_health_v1.NewHealthClient(cc).Check(within(t), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || h.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%s: health: %v, %v", name, h, err)
		}
		r, err := reflectpb.NewServerReflectionClient(cc).ServerReflectionInfo(within(t))
		if err != nil {
			t.Fatal(err)
		}
		for ask, want := range map[*reflectpb.ServerReflectionRequest]string{
			{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}:                                                         "grpc.testing.TestService",
			{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "grpc.testing.TestService"}}: "StreamingOutputCallRequest",
		} {
			if err := r.Send(ask); err != nil {
				t.Fatal(err)
			}
			if answer, err := r.Recv(); err != nil || !strings.Contains(answer.String(), want) {
				t.Errorf("%s: reflection: %v, %v", name, answer, err)
			}
		}
		_ = r.CloseSend()
	}
}

// All that grpc-go's interop client knows, in this process; the client itself
// runs in test/e2e/grpc.
func TestInterop(t *testing.T) {
	x := start(t, nil, nil, nil, func(s *grpcadapter.Server) { testpb.RegisterTestServiceServer(s, newService()) })
	client := testpb.NewTestServiceClient(dial(t, x.addr, nil))
	ctx := within(t)
	interop.DoEmptyUnaryCall(ctx, client)
	interop.DoLargeUnaryCall(ctx, client)
	interop.DoClientStreaming(ctx, client)
	interop.DoServerStreaming(ctx, client)
	interop.DoEmptyStream(ctx, client)
	interop.DoStatusCodeAndMessage(ctx, client)
	interop.DoSpecialStatusMessage(ctx, client)
	interop.DoCustomMetadata(ctx, client)
	interop.DoCancelAfterBegin(ctx, client)
	interop.DoCancelAfterFirstResponse(ctx, client)
	interop.DoTimeoutOnSleepingServer(ctx, client)
	interop.DoUnimplementedMethod(ctx, dial(t, x.addr, nil))
}

// Calls that end by their deadline while their handlers look at it: each sees its
// end, and nothing is called late (P1 of the sheet: net/http panics then).
func TestDeadlineRace(t *testing.T) {
	s := newService()
	s.entered = make(chan context.Context, 1000)
	x := start(t, nil, nil, nil, func(a *grpcadapter.Server) { testpb.RegisterTestServiceServer(a, s) })
	client := testpb.NewTestServiceClient(dial(t, x.addr, nil))
	var wg sync.WaitGroup
	places := make(chan struct{}, 50)
	for i := range 500 {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(50+i%250)*time.Millisecond/5)
			defer cancel()
			st, err := client.FullDuplexCall(ctx)
			if err == nil {
				_, err = st.Recv()
			}
			if c := status.Code(err); c != codes.DeadlineExceeded {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(patience); int(s.ended.Load()) != len(s.entered); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d handlers saw the end", s.ended.Load(), len(s.entered))
		}
	}
}

// A handler that does not read holds up its own client and nobody else.
func TestStalledHandler(t *testing.T) {
	s := newService()
	s.entered = make(chan context.Context, 1)
	x := start(t, nil, nil, nil, func(a *grpcadapter.Server) { testpb.RegisterTestServiceServer(a, s) })
	client := testpb.NewTestServiceClient(dial(t, x.addr, nil))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	st, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-s.entered
	calls := func() {
		for range 20 {
			if _, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 64 << 10, Payload: &testpb.Payload{Body: make([]byte, 64<<10)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first one left in pools
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	calls() // buffers of client and connection
	before := heap()
	pushed := make(chan int, 1)
	go func() { // ends when the client has no room left, and its context ends
		n := 0
		for st.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: make([]byte, 16<<10)}}) == nil {
			n++
		}
		pushed <- n
	}()
	calls() // meanwhile, and behind it
	grown := heap() - before
	cancel()
	if n := <-pushed; n > 100 { // windows of 64 KiB at each end
		t.Errorf("%d messages of 16 KiB were taken", n)
	}
	if grown > 2<<20 { // both ends are in this process
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
}

// A client that does not read is cut off; others of its connection live on.
func TestStuckReader(t *testing.T) {
	done := make(chan error, 1)
	var once sync.Once
	x := start(t, &grpcwire.Options{WriteTimeout: 300 * time.Millisecond}, &grpcadapter.Options{Stream: []grpc.StreamServerInterceptor{
		func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			err := next(srv, ss)
			once.Do(func() { done <- err })
			return err
		},
	}}, nil, func(a *grpcadapter.Server) { testpb.RegisterTestServiceServer(a, newService()) })
	client := testpb.NewTestServiceClient(dial(t, x.addr, nil))
	var sizes []*testpb.ResponseParameters
	for range 1000 {
		sizes = append(sizes, &testpb.ResponseParameters{Size: 10_000})
	}
	st, err := client.StreamingOutputCall(within(t), &testpb.StreamingOutputCallRequest{ResponseParameters: sizes})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if c := status.Code(err); c != codes.Unavailable && c != codes.Canceled {
			t.Errorf("the handler is told %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the stream is not cut off")
	}
	if _, err := client.EmptyCall(within(t), &testpb.Empty{}); err != nil {
		t.Errorf("another call: %v", err)
	}
	for err == nil {
		_, err = st.Recv()
	}
	if errors.Is(err, io.EOF) {
		t.Error("a stream that was cut off looks complete")
	}
}

// With TLS, and certificates of clients.
func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	var seen atomic.Value
	x := start(t, nil, &grpcadapter.Options{Unary: []grpc.UnaryServerInterceptor{func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		p, _ := peer.FromContext(ctx)
		info, _ := p.AuthInfo.(credentials.TLSInfo)
		if len(info.State.VerifiedChains) > 0 {
			seen.Store(info.State.VerifiedChains[0][0].Subject.CommonName)
		}
		return next(ctx, req)
	}}}, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}, func(a *grpcadapter.Server) {
		testpb.RegisterTestServiceServer(a, newService())
	})
	good := dial(t, x.addr, credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}))
	if _, err := testpb.NewTestServiceClient(good).EmptyCall(within(t), &testpb.Empty{}); err != nil || seen.Load() != "hubwire test" {
		t.Errorf("%v, the handler sees %v", err, seen.Load())
	}
	none := dial(t, x.addr, credentials.NewTLS(&tls.Config{RootCAs: pool}))
	if _, err := testpb.NewTestServiceClient(none).EmptyCall(within(t), &testpb.Empty{}); err == nil {
		t.Error("a client without a certificate is served")
	}
}

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hubwire test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// A connection that has reached its age is told to go: calls move to another.
func TestConnectionAge(t *testing.T) {
	x := start(t, &grpcwire.Options{MaxConnectionAge: 50 * time.Millisecond}, nil, nil, func(a *grpcadapter.Server) { testpb.RegisterTestServiceServer(a, newService()) })
	var conns atomic.Int32
	cc := dial(t, x.addr, nil, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conns.Add(1)
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}))
	client := testpb.NewTestServiceClient(cc)
	for end := time.Now().Add(patience); conns.Load() < 3; time.Sleep(5 * time.Millisecond) {
		if _, err := client.EmptyCall(within(t), &testpb.Empty{}, grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections", conns.Load())
		}
	}
}

// Health says NOT_SERVING before any call is ended, to those that watch too.
func TestDrain(t *testing.T) {
	s := newService()
	s.entered = make(chan context.Context, 1)
	x := start(t, &grpcwire.Options{Grace: 100 * time.Millisecond}, nil, nil, func(a *grpcadapter.Server) {
		testpb.RegisterTestServiceServer(a, s)
		a.Health()
	})
	cc := dial(t, x.addr, nil)
	w, err := grpc_health_v1.NewHealthClient(cc).Watch(within(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := w.Recv(); err != nil || m.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", m, err)
	}
	st, err := testpb.NewTestServiceClient(cc).FullDuplexCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := <-s.entered
	ended := make(chan error, 1)
	go func() { // ends when the call is cut off
		limit, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		ended <- x.rpc.Shutdown(limit)
	}()
	if m, err := w.Recv(); err != nil || m.Status != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the watcher gets %v, %v", m, err)
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
		t.Errorf("Shutdown: %v, the handler's context: %v", err, ctx.Err())
	}
	if _, err := st.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the call ends with %v", err)
	}
}
