//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/hubwire/hubwire/test/conformance/streamspb"
)

// A scenario is one kind of load. run gives how many messages there were.
type scenario struct {
	name, about string
	prepare     func(ctx context.Context, t *target) (finish func(), err error)
	run         func(ctx context.Context, t *target) (int, error)
	goals       []goal
	verdict     []string
}

// A goal is what a server shall reach: a ratio of messages a CPU second to
// grpc-go's own transport, or allocations a message.
type goal struct {
	server string
	ratio  float64
	allocs float64
}

func (g goal) text() string {
	if g.allocs > 0 {
		return fmt.Sprintf("at most %.2f allocations a delivery", g.allocs)
	}
	return fmt.Sprintf("at least %.2f times the messages a CPU second of grpc", g.ratio)
}

const (
	payload       = 64
	fanoutConns   = 10
	fanoutStreams = 1000
	fanoutBurst   = 100
	fanoutBursts  = 5
)

var scenarios = []scenario{
	{name: "push", about: "Server streaming: 1,000,000 pushes of 64 bytes to one client", run: push(1_000_000, 1),
		goals: []goal{{server: "hubwire", ratio: 2}, {server: "hub", ratio: 2}}},
	{name: "push/64", about: "Server streaming: 300,000 pushes of 64 bytes to 64 clients", run: push(300_000, 64), goals: []goal{{server: "hubwire", ratio: 2}}},
	{name: "fanout", about: "Broadcast of 64 bytes to 1,000 streams over 10 connections, in bursts of 100", prepare: subscribe, run: broadcast,
		goals: []goal{{server: "hub", allocs: 0.5}, {server: "hub", ratio: 1.2}}},
	{name: "unary/1", about: "Unary calls of 64 bytes, one caller", run: unary(3000, 1), goals: []goal{{server: "hubwire", ratio: 1 / 3.0}}},
	{name: "unary/64", about: "Unary calls of 64 bytes, 64 callers", run: unary(20_000, 64), goals: []goal{{server: "hubwire", ratio: 1 / 3.0}}},
	{name: "ping/1", about: "Bidirectional: ping-pong on one stream", run: ping(5000, 1)},
	{name: "ping/64", about: "Bidirectional: ping-pong on 64 streams", run: ping(64_000, 64)},
	{name: "upload", about: "Client streaming: 150,000 messages of 64 bytes", run: upload(150_000)},
}

// discard is a codec that does not decode: what the client costs is not asked.
type discard struct{}

var codec = encoding.GetCodecV2(proto.Name)

func (discard) Marshal(v any) (mem.BufferSlice, error) { return codec.Marshal(v) }
func (discard) Unmarshal(mem.BufferSlice, any) error   { return nil }
func (discard) Name() string                           { return proto.Name }

func each(n int, run func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = run(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func push(n, streams int) func(ctx context.Context, t *target) (int, error) {
	return func(ctx context.Context, t *target) (int, error) {
		c := streamspb.NewStreamsClient(t.conns[0])
		return n, each(streams, func(int) error {
			s, err := c.ServerStream(ctx, &streamspb.Request{Count: int32(n / streams), PayloadSize: payload}, grpc.ForceCodecV2(discard{}))
			if err != nil {
				return err
			}
			got := 0
			for {
				if _, err := s.Recv(); err == io.EOF {
					break
				} else if err != nil {
					return err
				}
				got++
			}
			if got != n/streams {
				return fmt.Errorf("%d messages, want %d", got, n/streams)
			}
			return nil
		})
	}
}

var members struct {
	got  chan int
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// subscribe opens the streams of a broadcast.
func subscribe(_ context.Context, t *target) (func(), error) {
	ctx, cancel := context.WithCancel(context.Background())
	members.got = make(chan int, fanoutStreams)
	var ready sync.WaitGroup
	for i := range fanoutStreams {
		s, err := streamspb.NewStreamsClient(t.conns[i%fanoutConns]).ServerStream(ctx, &streamspb.Request{Tag: "subscribe"}, grpc.ForceCodecV2(discard{}))
		if err != nil {
			cancel()
			return nil, err
		}
		ready.Add(1)
		members.wg.Go(func() { // ends with ctx
			if _, err := s.Recv(); err != nil { // the first message says that it is a member
				return
			}
			ready.Done()
			for n := 1; ; n++ {
				if _, err := s.Recv(); err != nil {
					return
				}
				if n%fanoutBurst == 0 {
					members.got <- n
				}
			}
		})
	}
	ready.Wait()
	return func() { cancel(); members.wg.Wait() }, nil
}

func broadcast(ctx context.Context, t *target) (int, error) {
	c := streamspb.NewStreamsClient(t.conns[0])
	for range fanoutBursts {
		if _, err := c.Unary(ctx, &streamspb.Request{Tag: "burst", Count: fanoutBurst, PayloadSize: payload}); err != nil {
			return 0, err
		}
		for range fanoutStreams {
			select {
			case <-members.got:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
	return fanoutBursts * fanoutBurst * fanoutStreams, nil
}

func unary(n, callers int) func(ctx context.Context, t *target) (int, error) {
	return func(ctx context.Context, t *target) (int, error) {
		c := streamspb.NewStreamsClient(t.conns[0])
		body := make([]byte, payload)
		return n, each(callers, func(int) error {
			for range n / callers {
				if _, err := c.Unary(ctx, &streamspb.Request{Payload: body, EchoPayload: true}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func ping(n, streams int) func(ctx context.Context, t *target) (int, error) {
	return func(ctx context.Context, t *target) (int, error) {
		c := streamspb.NewStreamsClient(t.conns[0])
		body := make([]byte, payload)
		return n, each(streams, func(int) error {
			s, err := c.Bidi(ctx)
			if err != nil {
				return err
			}
			for range n / streams {
				if err := s.Send(&streamspb.Request{Payload: body, EchoPayload: true}); err != nil {
					return err
				}
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
			return s.CloseSend()
		})
	}
}

func upload(n int) func(ctx context.Context, t *target) (int, error) {
	return func(ctx context.Context, t *target) (int, error) {
		s, err := streamspb.NewStreamsClient(t.conns[0]).ClientStream(ctx)
		if err != nil {
			return 0, err
		}
		body := make([]byte, payload)
		for range n {
			if err := s.Send(&streamspb.Request{Payload: body}); err != nil {
				return 0, err
			}
		}
		out, err := s.CloseAndRecv()
		if err == nil && out.Received != int64(n) {
			err = fmt.Errorf("%d messages arrived", out.Received)
		}
		return n, err
	}
}
