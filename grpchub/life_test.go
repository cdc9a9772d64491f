package grpchub_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub"
	"github.com/hubwire/hubwire/grpchub/hubgrpc"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
)

// A direct is a call as net/http would make it, without a network, so that time
// can be a bubble's.
type direct struct {
	header http.Header
	in     *io.PipeReader
	out    *io.PipeWriter

	mu     sync.Mutex
	body   bytes.Buffer
	frames int
	over   chan struct{}
	stuck  chan struct{} // while not nil the client does not read
}

func (d *direct) Header() http.Header { return d.header }
func (d *direct) WriteHeader(int)     {}

func (d *direct) Write(p []byte) (int, error) {
	if d.stuck != nil {
		<-d.stuck
		return 0, os.ErrDeadlineExceeded
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.body.Write(p)
}

func (d *direct) Flush() {}

func (d *direct) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		_ = d.in.CloseWithError(os.ErrDeadlineExceeded)
	}
	return nil
}

func (d *direct) SetWriteDeadline(t time.Time) error {
	if d.stuck != nil && t.Before(time.Now()) {
		d.mu.Lock()
		defer d.mu.Unlock()
		select {
		case <-d.stuck:
		default:
			close(d.stuck)
		}
	}
	return nil
}

// start begins a call. Its context is ctx.
func start(ctx context.Context, h http.Handler, path string, d *direct, headers ...string) *direct {
	d.header, d.over = http.Header{}, make(chan struct{})
	d.in, d.out = io.Pipe()
	r := httptest.NewRequest(http.MethodPost, path, d.in).WithContext(ctx)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.Header.Set("Content-Type", "application/grpc")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	go func() { // ends with the call
		defer close(d.over)
		h.ServeHTTP(d, r)
	}()
	return d
}

func (d *direct) send(m proto.Message) {
	b, err := proto.Marshal(m)
	if err == nil {
		_, err = d.out.Write(grpcwire.AppendFrame(nil, b))
	}
	_ = err // the call has ended
}

// got are the frames that came since the last time, by kind.
func (d *direct) got() (kinds string, last *hubpb.ServerFrame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for d.body.Len() >= 5 {
		b := d.body.Bytes()
		n := int(binary.BigEndian.Uint32(b[1:]))
		last = &hubpb.ServerFrame{}
		if err := proto.Unmarshal(b[5:5+n], last); err != nil {
			panic(err)
		}
		d.body.Next(5 + n)
		kind := strings.TrimPrefix(fmt.Sprintf("%T", last.Frame), "*hubpb.ServerFrame_")
		names = append(names, kind)
	}
	return strings.Join(names, " "), last
}

// status is the status of a call that has ended.
func (d *direct) status() string {
	for _, name := range []string{http.TrailerPrefix + "Grpc-Status", "Grpc-Status"} {
		if v := d.header.Get(name); v != "" {
			return v
		}
		if v := d.header[name]; len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

func handlerFor(h *hubwire.Hub, rpcOpts *grpcwire.Options, opts *grpchub.Options) *grpcwire.Handler {
	rpc := grpcwire.New(rpcOpts)
	grpchub.Mount(rpc, hubs(h), opts)
	return rpc
}

const connectPath = "/hubwire.v1.Hub/Connect"

// A client that says nothing at first is not waited for, and one that says
// nothing more is noticed once it has pinged.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(nil)
		rpc := handlerFor(h, nil, nil)
		d := start(t.Context(), rpc, connectPath, &direct{})
		time.Sleep(14 * time.Second)
		select {
		case <-d.over:
			t.Error("it ends before its time")
		default:
		}
		time.Sleep(2 * time.Second)
		<-d.over
		if d.status() != "3" {
			t.Errorf("no Hello: status %q", d.status())
		}

		d = start(t.Context(), rpc, connectPath, &direct{})
		d.send(hello(&hubpb.Hello{Hub: "chat"}))
		synctest.Wait()
		if k, _ := d.got(); k != "Welcome" {
			t.Errorf("got %s", k)
		}
		time.Sleep(46 * time.Second)
		if k, _ := d.got(); k != "Ping Ping Ping" {
			t.Errorf("in 46 s: %s", k)
		}
		d.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Ping{Ping: &hubpb.Ping{}}})
		time.Sleep(29 * time.Second)
		if k, _ := d.got(); !strings.HasPrefix(k, "Ping") || strings.Contains(k, "Close") {
			t.Errorf("in 29 s more: %s", k)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		k, last := d.got()
		if !strings.HasSuffix(k, "Close") || !last.GetClose().Reconnect {
			t.Errorf("a silent client: %s, %v", k, last)
		}
		<-d.over
		if d.status() != "14" {
			t.Errorf("a silent client: status %q", d.status())
		}
	})
}

// A client that has half-closed gets the answers to its calls.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan error, 1)
		h := newHub(&hubwire.Options{Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { gone <- cause }})
		d := start(t.Context(), handlerFor(h, nil, nil), connectPath, &direct{})
		d.send(hello(&hubpb.Hello{Hub: "chat"}))
		d.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Invocation{Invocation: &hubpb.Invocation{Id: "1", Target: "Echo", Args: [][]byte{[]byte(`"x"`)}}}})
		_ = d.out.Close()
		<-d.over
		if k, _ := d.got(); k != "Welcome Completion Close" || d.status() != "0" {
			t.Errorf("got %s, status %s", k, d.status())
		}
		if err := <-gone; err != nil {
			t.Errorf("the cause: %v", err)
		}
	})
}

// Who shuts down, or whose credentials end, says that clients may come back, and
// why.
func TestLeaving(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(h *hubwire.Hub, rpc *grpcwire.Handler) error
		status string
	}{
		"the hub":     {func(h *hubwire.Hub, _ *grpcwire.Handler) error { return h.Shutdown(context.Background()) }, "14"},
		"the handler": {func(_ *hubwire.Hub, rpc *grpcwire.Handler) error { return rpc.Shutdown(context.Background()) }, "14"},
		"the user":    {func(*hubwire.Hub, *grpcwire.Handler) error { time.Sleep(61 * time.Second); return nil }, "16"},
		"abort": {func(h *hubwire.Hub, _ *grpcwire.Handler) error {
			for c := range h.Connections() {
				c.Abort()
			}
			return nil
		}, "0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(nil)
			rpc := handlerFor(h, &grpcwire.Options{CloseOnExpiry: true, Middleware: users}, &grpchub.Options{KeepAlive: time.Hour})
			d := start(t.Context(), rpc, connectPath, &direct{}, "User", "ann", "Expires-In", "1m")
			d.send(hello(&hubpb.Hello{Hub: "chat"}))
			sub := start(t.Context(), rpc, "/hubwire.v1.Hub/Subscribe", &direct{}, "User", "ann", "Expires-In", "1m")
			sub.send(&hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat"}})
			_ = sub.out.Close()
			synctest.Wait()
			if err := c.do(h, rpc); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, d := range []*direct{d, sub} {
				<-d.over
				k, last := d.got()
				if k != "Welcome Close" || last.GetClose().Reconnect != (name != "abort") || d.status() != c.status {
					t.Errorf("%s: %s, %v, status %q", name, k, last, d.status())
				}
			}
		})
	}
}

// What the hub sends while Connect runs follows the Welcome.
func TestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(&hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			for i := range 5 {
				if err := said.Send(ctx, c, note{Text: strings.Repeat("x", i*3000)}); err != nil {
					return err
				}
			}
			return nil
		}})
		d := start(t.Context(), handlerFor(h, nil, nil), connectPath, &direct{})
		d.send(hello(&hubpb.Hello{Hub: "chat"}))
		synctest.Wait()
		if k, _ := d.got(); k != "Welcome Invocation Invocation Invocation Invocation Invocation" {
			t.Errorf("got %s", k)
		}
		_ = d.out.Close()
		<-d.over
	})
}

// A client that does not read is cut off, and no other notices.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan error, 2)
		h := newHub(&hubwire.Options{Queue: hubwire.Queue{Messages: 100}, Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { gone <- cause }})
		rpc := handlerFor(h, nil, &grpchub.Options{KeepAlive: time.Hour})
		slow := start(t.Context(), rpc, connectPath, &direct{stuck: make(chan struct{})})
		quick := start(t.Context(), rpc, connectPath, &direct{})
		for _, d := range []*direct{slow, quick} {
			d.send(hello(&hubpb.Hello{Hub: "chat"}))
		}
		synctest.Wait()
		n := 0
		for range 300 {
			if err := said.Send(t.Context(), h.All(), note{Text: strings.Repeat("x", 500)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			k, _ := quick.got()
			n += strings.Count(k, "Invocation")
		}
		if n != 300 {
			t.Errorf("the quick client has %d events", n)
		}
		<-slow.over
		if err := <-gone; err != hubwire.ErrSlow {
			t.Errorf("the cause: %v", err)
		}
		_ = quick.out.Close()
		<-quick.over
	})
}

// Calls of a client that has gone end, also where so much waits that its stream
// is not read.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan error, 1)
		h := newHub(&hubwire.Options{Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { gone <- cause }})
		ctx, cancel := context.WithCancel(t.Context())
		d := start(ctx, handlerFor(h, nil, nil), connectPath, &direct{})
		d.send(hello(&hubpb.Hello{Hub: "chat"}))
		ask := &hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Invocation{Invocation: &hubpb.Invocation{Id: "1", Target: "Sum", StreamIds: []string{"u"}}}}
		d.send(ask)
		wg := make(chan struct{})
		go func() { // ends when the stream does
			defer close(wg)
			for range 1000 {
				d.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Invocation{Invocation: &hubpb.Invocation{Id: "2", Target: "Ask", Args: [][]byte{[]byte(`"` + strings.Repeat("q", 1000) + `"`)}}}})
			}
		}()
		synctest.Wait()
		cancel()
		<-d.over
		<-wg
		if err := <-gone; err != nil {
			t.Errorf("the cause: %v", err)
		}
	})
}

// Answers of other connections' clients, and messages that are too large, end a
// connection.
func TestTooLarge(t *testing.T) {
	x := serve(t, hubs(newHub(nil)), nil, &grpchub.Options{MaxMessage: 1000})
	c := must(dial(x.conn(t), &hubpb.Hello{Hub: "chat", Encoding: hubpb.Encoding_JSON}))
	if _, err := echo.Call(t.Context(), c, strings.Repeat("x", 2000)); err == nil {
		t.Error("no error")
	}
	<-c.done
	wantCode(t, c.err, codes.ResourceExhausted)
}

// BenchmarkBroadcast is what a delivery to a gRPC member costs: a burst of 100
// events to 100 connections.
func BenchmarkBroadcast(b *testing.B) {
	h := newHub(nil)
	x := serve(b, hubs(h), nil, &grpchub.Options{KeepAlive: time.Hour})
	const members, burst = 100, 100
	var wg sync.WaitGroup
	got := make(chan int, members)
	for range members / 20 {
		cc := x.conn(b)
		for range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			s := must(hubgrpc.NewHubClient(cc).Subscribe(ctx, &hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat"}}, grpc.ForceCodecV2(discard{})))
			if _, err := s.Recv(); err != nil {
				b.Fatal(err)
			}
			wg.Go(func() { // ends with the stream
				for n := 1; ; n++ {
					if _, err := s.Recv(); err != nil {
						return
					}
					if n%burst == 0 {
						got <- n
					}
				}
			})
			b.Cleanup(func() { cancel() })
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			if err := said.Send(context.Background(), h.All(), note{Who: "b", Text: "hello, everybody"}); err != nil {
				b.Fatal(err)
			}
		}
		for range members {
			<-got
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members*burst), "ns/delivery")
}

// FuzzConnect sends any frames behind a Hello: no panic, and the connection ends.
func FuzzConnect(f *testing.F) {
	add := func(frames ...*hubpb.ClientFrame) {
		var b []byte
		for _, m := range frames {
			p, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			b = grpcwire.AppendFrame(b, p)
		}
		f.Add(b, uint8(1))
	}
	add(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Invocation{Invocation: &hubpb.Invocation{Id: "1", Target: "Sum", StreamIds: []string{"u", "u"}}}},
		&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Item{Item: &hubpb.StreamItem{Id: "u", Item: []byte("1")}}},
		&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Completion{Completion: &hubpb.Completion{Id: "u"}}})
	add(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Cancel{Cancel: &hubpb.Cancel{Id: "1"}}}, &hubpb.ClientFrame{})
	add(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Completion{Completion: &hubpb.Completion{Id: "s1"}}}, hello(&hubpb.Hello{}))
	add(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Invocation{Invocation: &hubpb.Invocation{Target: "Double", Args: [][]byte{{8, 1}}, JsonArgs: []uint32{9}}}})
	f.Add([]byte{0, 0, 0, 0, 1, 0xff}, uint8(3))
	h := newHub(nil)
	rpc := handlerFor(h, nil, nil)
	f.Fuzz(func(t *testing.T, b []byte, enc uint8) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		d := start(ctx, rpc, connectPath, &direct{})
		d.send(hello(&hubpb.Hello{Hub: "chat", Encoding: hubpb.Encoding(enc % 4)}))
		_, _ = d.out.Write(b)
		_ = d.out.Close()
		timer := time.AfterFunc(3*time.Second, cancel) // calls that wait for an answer
		defer timer.Stop()
		<-d.over
	})
}
