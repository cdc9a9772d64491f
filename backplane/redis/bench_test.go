package redis_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/backplane/redis"
	"github.com/redis/rueidis"
)

// BenchmarkSend sends to all through Redis; each Send returns when its echo is in
// line. BenchmarkBare is what a publisher and a subscriber without a hub do with
// the same client, the same bytes and the same wait for the echo.
func BenchmarkSend(b *testing.B) {
	for _, senders := range []int{1, 64} {
		b.Run(map[int]string{1: "1", 64: "64"}[senders], func(b *testing.B) {
			s := startRedis(b)
			hub := hubwire.New(&hubwire.Options{Name: "Chat", Backplane: node(s.addr), Logger: slog.New(slog.DiscardHandler)})
			hub.Expose(protoName("json"), protoName("messagepack"))
			defer hub.Shutdown(context.Background())
			ev := hubwire.Event[hubwire.None](strings.Repeat("x", 50))
			if err := ev.Send(context.Background(), hub.All(), hubwire.None{}); err != nil {
				b.Fatal(err)
			}
			parallel(b, senders, func() {
				if err := ev.Send(context.Background(), hub.All(), hubwire.None{}); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkBare(b *testing.B) {
	for _, senders := range []int{1, 64} {
		b.Run(map[int]string{1: "1", 64: "64"}[senders], func(b *testing.B) {
			s := startRedis(b)
			c, err := rueidis.NewClient(redis.Tuned(rueidis.ClientOption{InitAddress: []string{s.addr}}))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			sub, release := c.Dedicate()
			defer release()
			echoes := make(chan struct{}, 1<<16)
			sub.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) { echoes <- struct{}{} }})
			ctx := context.Background()
			if err := sub.Do(ctx, sub.B().Subscribe().Channel("Chat:all").Build()).Error(); err != nil {
				b.Fatal(err)
			}
			payload := strings.Repeat("x", 130)
			parallel(b, senders, func() {
				if err := c.Do(ctx, c.B().Publish().Channel("Chat:all").Message(payload).Build()).Error(); err != nil {
					b.Error(err)
				}
				<-echoes
			})
		})
	}
}

func parallel(b *testing.B, n int, f func()) {
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range n {
		k := b.N / n
		if i < b.N%n {
			k++
		}
		wg.Go(func() {
			for range k {
				f()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
