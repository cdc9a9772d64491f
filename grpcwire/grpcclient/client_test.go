package grpcclient_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/grpcwire/grpcclient"
)

// A node is one server of a service.
type node struct {
	srv   *http.Server
	addr  string
	calls atomic.Int32
	token atomic.Value
	busy  atomic.Int32 // so many calls are answered UNAVAILABLE
}

func start(t *testing.T, l net.Listener) *node {
	t.Helper()
	n := &node{}
	rpc := grpcwire.New(&grpcwire.Options{Logger: slog.New(slog.DiscardHandler)})
	rpc.Handle(grpcwire.Method{Name: "/t.T/Call", Serve: func(s *grpcwire.Stream) error {
		n.calls.Add(1)
		n.token.Store(s.Incoming().Get("authorization"))
		if n.busy.Add(-1) >= 0 {
			return &grpcwire.Status{Code: 14, Message: "later"}
		}
		var m wrapperspb.StringValue
		if err := s.Recv(&m); err != nil {
			return err
		}
		return s.Send(&m)
	}})
	n.srv = &http.Server{Handler: rpc, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	grpcwire.Configure(n.srv)
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	n.addr = l.Addr().String()
	ended := make(chan struct{})
	go func() { // ends with srv.Close
		defer close(ended)
		_ = n.srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = n.srv.Close()
		<-ended
	})
	return n
}

func connect(t *testing.T, opts *grpcclient.Options, addrs ...string) *grpc.ClientConn {
	t.Helper()
	r := manual.NewBuilderWithScheme("nodes") // as dns would find them
	var list []resolver.Address
	for _, a := range addrs {
		list = append(list, resolver.Address{Addr: a})
	}
	r.InitialState(resolver.State{Addresses: list})
	cc, err := grpc.NewClient("nodes:///service", append(grpcclient.DialOptions(opts), grpc.WithResolvers(r))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func call(t *testing.T, cc *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return cc.Invoke(ctx, "/t.T/Call", wrapperspb.String("x"), new(wrapperspb.StringValue))
}

// Calls are spread over the nodes, and go on when one of them ends.
func TestBalance(t *testing.T) {
	a, b := start(t, nil), start(t, nil)
	cc := connect(t, nil, a.addr, b.addr)
	for end := time.Now().Add(20 * time.Second); a.calls.Load() < 10 || b.calls.Load() < 10; {
		if err := call(t, cc); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%d and %d calls", a.calls.Load(), b.calls.Load())
		}
	}
	_ = a.srv.Close()
	before := b.calls.Load()
	for range 20 {
		if err := call(t, cc); err != nil {
			t.Errorf("after one node has ended: %v", err)
		}
	}
	if b.calls.Load()-before < 20 {
		t.Errorf("%d calls came", b.calls.Load()-before)
	}
}

func TestRetry(t *testing.T) {
	n := start(t, nil)
	n.busy.Store(3)
	if err := call(t, connect(t, nil, n.addr)); err != nil || n.calls.Load() != 4 {
		t.Errorf("%v after %d calls", err, n.calls.Load())
	}
	n.busy.Store(1)
	if err := call(t, connect(t, &grpcclient.Options{Attempts: 1}, n.addr)); status.Code(err) != codes.Unavailable {
		t.Errorf("without retry: %v", err)
	}
}

// A call that comes before its server waits for it.
func TestWaitForReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if err := call(t, connect(t, &grpcclient.Options{FailFast: true, Attempts: 1}, addr)); status.Code(err) != codes.Unavailable {
		t.Errorf("FailFast: %v", err)
	}
	cc := connect(t, nil, addr)
	done := make(chan error, 1)
	go func() { done <- call(t, cc) }() // ends with the call
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	start(t, l)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestToken(t *testing.T) {
	n := start(t, nil)
	cc := connect(t, &grpcclient.Options{InsecureToken: true, Token: func(context.Context) (string, error) { return "secret", nil }}, n.addr)
	if err := call(t, cc); err != nil || n.token.Load() != "Bearer secret" {
		t.Errorf("%v, the server sees %v", err, n.token.Load())
	}
	cc = connect(t, &grpcclient.Options{InsecureToken: true, Token: func(context.Context) (string, error) { return "", errors.New("none") }}, n.addr)
	if err := call(t, cc); err == nil {
		t.Error("a call without a token is made")
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]*grpcclient.Options{
		"keep-alive": {KeepAlive: time.Second},
		"attempts":   {Attempts: 9},
		"token":      {Token: func(context.Context) (string, error) { return "", nil }},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			grpcclient.DialOptions(o)
		}()
	}
}
