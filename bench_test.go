package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// A sink is a link that takes everything and counts records.
type sink struct {
	port    *hubwire.Port
	records *atomic.Int64
	done    chan struct{} // gets one for each result
}

type sinkFraming struct{}

func (sinkFraming) Protocol() wire.Protocol { return rawA }

func (sinkFraming) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = append(dst, r.Bytes...)
	}
	return dst
}

func (s *sink) Framing() wire.Framing { return sinkFraming{} }

func (s *sink) TryWrite(p []byte) (int, error) {
	n := 0
	for _, c := range p {
		if c == '\n' {
			n++
		}
	}
	s.records.Add(int64(n))
	return len(p), nil
}

func (s *sink) Write([]byte) error { return errors.New("not called") }

func (s *sink) Close(error, bool) {}

func sinks(tb testing.TB, hub *hubwire.Hub, n int) (*atomic.Int64, []*sink) {
	hub.Expose(rawA)
	records := new(atomic.Int64)
	var all []*sink
	for range n {
		s := &sink{records: records, done: make(chan struct{}, 64)}
		port, err := hub.Open(context.Background(), s, fmt.Sprintf("sink%d", rawIDs.Add(1)), nil, &hubwire.Request{Wire: "sink"})
		check(tb, err)
		s.port = port
		tb.Cleanup(func() { port.End(nil) })
		all = append(all, s)
	}
	return records, all
}

// until waits until n records were written.
func until(records *atomic.Int64, n int64) {
	for records.Load() < n {
		runtime.Gosched()
	}
}

// A broadcast takes no allocation for each delivery: to 1,000 as many as to 1.
func TestBroadcastDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	text := strings.Repeat("x", 100)
	allocs := func(n int) float64 {
		hub := newHub(nil)
		records, _ := sinks(t, hub, n)
		want := int64(0)
		return testing.AllocsPerRun(100, func() {
			check(t, Said.Send(context.Background(), hub.All(), text))
			want += int64(n)
			until(records, want)
		})
	}
	one, many := allocs(1), allocs(1000)
	if many > one+5 {
		t.Errorf("a broadcast takes %v allocations to 1,000 and %v to 1", many, one)
	}
}

// Dispatch of a call and its result, through a wire that does nothing.
func BenchmarkDispatch(b *testing.B) {
	hub := newHub(nil, hubwire.Method[string, string]("Echo").With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }))
	_, all := sinks(b, hub, 1)
	args := list(`"` + strings.Repeat("x", 64) + `"`)
	r := &benchReply{sink: all[0]}
	b.ReportAllocs()
	for b.Loop() {
		all[0].port.Start(&wire.Call{Name: "Echo", Args: args, Reply: r})
		<-all[0].done
	}
}

type benchReply struct{ sink *sink }

func (r *benchReply) Item(context.Context, any) error { return nil }

func (r *benchReply) Done(v any, err error) {
	r.sink.port.Put(resultLine)
	r.sink.done <- struct{}{}
}

var resultLine = []byte("result\n")

// An echo through the wire in memory, client and all.
func BenchmarkEcho(b *testing.B) {
	const Echo hubwire.Method[string, string] = "Echo"
	for _, protocol := range []string{"json", "messagepack"} {
		b.Run(protocol, func(b *testing.B) {
			hub := newHub(nil, Echo.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }))
			c := hubtest.New(b, hub).DialWith(b, &hubtest.DialOptions{Protocol: protocol})
			text := strings.Repeat("x", 64)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Echo.Call(b.Context(), c, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A struct hub's method costs a reflect.Value.Call more.
func BenchmarkMethodsDispatch(b *testing.B) {
	hub := newHub(nil, hubwire.Methods(&benchHub{}, nil)...)
	_, all := sinks(b, hub, 1)
	args := list(`"x"`, `1`)
	r := &benchReply{sink: all[0]}
	b.ReportAllocs()
	for b.Loop() {
		all[0].port.Start(&wire.Call{Name: "Echo", Args: args, Reply: r})
		<-all[0].done
	}
}

type benchHub struct{}

func (*benchHub) Echo(_ context.Context, _ *hubwire.Conn, s string, n int) (string, error) {
	return s, nil
}

// A broadcast to 1,000: allocations are those of the event, none of a delivery.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 1000} {
		for _, underWay := range []int{1, 64} {
			b.Run(fmt.Sprintf("to %d/%d under way", n, underWay), func(b *testing.B) {
				hub := newHub(nil)
				records, _ := sinks(b, hub, n)
				text := strings.Repeat("x", 100)
				want, sent := int64(0), 0
				b.ReportAllocs()
				for b.Loop() {
					check(b, Said.Send(b.Context(), hub.All(), text))
					sent++
					if sent%underWay == 0 {
						want = int64(sent) * int64(n)
						until(records, want)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
			})
		}
	}
}

// Encoding an event, in one protocol and in two.
func BenchmarkEncode(b *testing.B) {
	type message struct{ User, Text string }
	for _, protocols := range []int{1, 2} {
		b.Run(fmt.Sprint(protocols, " protocols"), func(b *testing.B) {
			hub := newHub(nil)
			server := hubtest.New(b, hub)
			server.Dial(b)
			if protocols == 2 {
				server.DialWith(b, &hubtest.DialOptions{Protocol: "messagepack"})
			}
			to := hub.Group("empty")
			b.ReportAllocs()
			for b.Loop() {
				check(b, hubwire.Event[message]("Said").Send(b.Context(), to, message{"ann", "hello"}))
			}
		})
	}
}

// Sends of many goroutines through one line.
func BenchmarkLine(b *testing.B) {
	hub := newHub(nil)
	records, all := sinks(b, hub, 8)
	for _, s := range all {
		check(b, s.port.Conn().Join(context.Background(), "room"))
	}
	text := strings.Repeat("x", 100)
	var sent atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			check(b, Said.Send(context.Background(), hub.Group("room"), text))
			sent.Add(8)
		}
	})
	until(records, sent.Load())
}

// A join and a leave.
func BenchmarkJoin(b *testing.B) {
	hub := newHub(nil)
	_, all := sinks(b, hub, 1)
	c := all[0].port.Conn()
	b.ReportAllocs()
	for b.Loop() {
		check(b, c.Join(b.Context(), "room"))
		check(b, c.Leave(b.Context(), "room"))
	}
}
