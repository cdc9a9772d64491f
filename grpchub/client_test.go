package grpchub_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub"
	"github.com/hubwire/hubwire/grpchub/hubgrpc"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- a:
		return b, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A rig is a server in memory.
type rig struct {
	rpc   *grpcwire.Handler
	pipes *pipes
}

// serve serves hubs until the test ends.
func serve(t testing.TB, hubs map[string]*hubwire.Hub, rpcOpts *grpcwire.Options, opts *grpchub.Options, more ...func(*grpcwire.Handler)) *rig {
	t.Helper()
	o := grpcwire.Options{}
	if rpcOpts != nil {
		o = *rpcOpts
	}
	o.Logger = slog.New(slog.DiscardHandler)
	x := &rig{rpc: grpcwire.New(&o), pipes: newPipes()}
	grpchub.Mount(x.rpc, hubs, opts)
	for _, f := range more {
		f(x.rpc)
	}
	srv := &http.Server{Handler: grpcwire.Route(x.rpc, http.NotFoundHandler()), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	grpcwire.Configure(srv)
	ended := make(chan struct{})
	go func() { // ends with srv.Close
		defer close(ended)
		_ = srv.Serve(x.pipes)
	}()
	t.Cleanup(func() {
		for _, h := range hubs {
			_ = h.Shutdown(context.Background())
		}
		_ = srv.Close()
		<-ended
	})
	return x
}

// conn is a connection of grpc-go to the rig.
func (x *rig) conn(t testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///hub", append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(x.pipes.dial)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// A client is a client of Hub.Connect, for the contract of wires.
type client struct {
	cc     *grpc.ClientConn
	s      grpc.BidiStreamingClient[hubpb.ClientFrame, hubpb.ServerFrame]
	cancel context.CancelFunc
	enc    hubpb.Encoding
	codec  wire.Codec
	wel    *hubpb.Welcome
	bye    *hubpb.Close // valid once done is closed
	err    error        // likewise
	done   chan struct{}

	sending  sync.Mutex
	handlers map[string]hubwire.ClientHandler
	events   chan *hubpb.Invocation

	mu    sync.Mutex // guards the following
	last  int
	calls map[string]*results
}

var codecs = map[hubpb.Encoding]wire.Codec{hubpb.Encoding_JSON: jsonwire.Codec{}, hubpb.Encoding_MSGPACK: msgpack.Codec{}}

func dial(cc *grpc.ClientConn, hello *hubpb.Hello, handlers ...hubwire.ClientHandler) (*client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := hubgrpc.NewHubClient(cc).Connect(ctx)
	if err == nil {
		err = s.Send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Hello{Hello: hello}})
	}
	var f *hubpb.ServerFrame
	if err == nil {
		f, err = s.Recv()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	c := &client{cc: cc, s: s, cancel: cancel, enc: hello.Encoding, codec: codecs[hello.Encoding], wel: f.GetWelcome(), done: make(chan struct{}),
		handlers: map[string]hubwire.ClientHandler{}, calls: map[string]*results{}, events: make(chan *hubpb.Invocation, 10_000)}
	if c.wel == nil {
		cancel()
		return nil, errors.New("the first frame is no Welcome")
	}
	for _, h := range handlers {
		c.handlers[h.Name()] = h
	}
	go c.read()  // ends with the stream
	go c.serve() // ends with read
	return c, nil
}

func (c *client) send(f *hubpb.ClientFrame) error {
	select {
	case <-c.done:
		return hubwire.ErrClosed
	default:
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.s.Send(f)
}

func (c *client) read() {
	for {
		f, err := c.s.Recv()
		if err != nil {
			c.err = err
			break
		}
		switch x := f.Frame.(type) {
		case *hubpb.ServerFrame_Invocation:
			c.events <- x.Invocation
		case *hubpb.ServerFrame_Item:
			if r := c.call(x.Item.Id, false); r != nil {
				r.add(x.Item.Item)
			}
		case *hubpb.ServerFrame_Completion:
			if r := c.call(x.Completion.Id, true); r != nil {
				if e := x.Completion.GetError(); e != nil {
					r.end(&hubwire.Error{Code: hubwire.Code(e.Code), Message: e.Message})
				} else {
					if v := x.Completion.GetResult(); !r.kind.Streams() && r.kind != wire.Command {
						r.add(v)
					}
					r.end(io.EOF)
				}
			}
		case *hubpb.ServerFrame_Close:
			c.bye = x.Close
		}
	}
	close(c.events)
	c.mu.Lock()
	for _, r := range c.calls {
		r.end(hubwire.ErrClosed)
	}
	c.mu.Unlock()
	close(c.done)
	c.cancel()
}

func (c *client) call(id string, over bool) *results {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.calls[id]
	if over {
		delete(c.calls, id)
	}
	return r
}

// serve runs handlers: events in order, questions beside each other.
func (c *client) serve() {
	for m := range c.events {
		h, ok := c.handlers[m.Target]
		values := wire.Values{Codec: c.codec, List: m.Args}
		switch {
		case m.Id != "":
			go c.answer(m, h, ok, values) // ends with the handler
		case ok:
			_, _ = h.Serve(context.Background(), values)
		}
	}
}

func (c *client) answer(m *hubpb.Invocation, h hubwire.ClientHandler, ok bool, values wire.Values) {
	out := &hubpb.Completion{Id: m.Id}
	if ok {
		v, err := h.Serve(context.Background(), values)
		b, bad := c.codec.Append(nil, v)
		switch {
		case err != nil:
			out.Outcome = &hubpb.Completion_Error{Error: &hubpb.HubError{Message: err.Error()}}
		case bad == nil:
			out.Outcome = &hubpb.Completion_Result{Result: b}
		}
	} else {
		out.Outcome = &hubpb.Completion_Error{Error: &hubpb.HubError{Message: "there is no handler"}}
	}
	_ = c.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Completion{Completion: out}})
}

func (c *client) StartCall(ctx context.Context, o *wire.OutCall) (wire.Results, error) {
	m := &hubpb.Invocation{Target: o.Name, WantsStream: o.Kind.Streams()}
	for _, a := range o.Args {
		b, err := c.codec.Append(nil, a)
		if err != nil {
			return nil, err
		}
		m.Args = append(m.Args, b)
	}
	r := &results{c: c, kind: o.Kind, came: make(chan struct{}, 1), over: make(chan struct{})}
	c.mu.Lock()
	for range o.Uploads {
		c.last++
		m.StreamIds = append(m.StreamIds, strconv.Itoa(c.last))
	}
	if o.NoReply {
		r.end(io.EOF)
	} else {
		c.last++
		m.Id = strconv.Itoa(c.last)
		r.id = m.Id
		c.calls[m.Id] = r
	}
	c.mu.Unlock()
	if err := c.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Invocation{Invocation: m}}); err != nil {
		return nil, hubwire.ErrClosed
	}
	for i, items := range o.Uploads {
		go c.upload(r, m.StreamIds[i], items) // ends with the items or the call
	}
	return r, nil
}

func (c *client) upload(r *results, id string, items iter.Seq2[any, error]) {
	out := &hubpb.Completion{Id: id}
	for v, err := range items {
		select {
		case <-r.over:
			return
		default:
		}
		if err != nil {
			out.Outcome = &hubpb.Completion_Error{Error: &hubpb.HubError{Message: err.Error()}}
			break
		}
		b, err := c.codec.Append(nil, v)
		if err != nil || c.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Item{Item: &hubpb.StreamItem{Id: id, Item: b}}}) != nil {
			return
		}
	}
	_ = c.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Completion{Completion: out}})
}

// Close leaves in order.
func (c *client) Close() error {
	_ = c.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Close{Close: &hubpb.Close{}}})
	<-c.done
	return nil
}

// Drop cuts the transport.
func (c *client) Drop() { c.cancel() }

func (c *client) Done() <-chan struct{} { return c.done }

// results are the outcome of one call.
type results struct {
	c    *client
	kind wire.Kind
	id   string
	came chan struct{}
	over chan struct{}

	mu     sync.Mutex // guards the following
	values [][]byte
	err    error
}

func (r *results) notify() {
	select {
	case r.came <- struct{}{}:
	default:
	}
}

func (r *results) add(v []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values = append(r.values, v)
	r.notify()
}

func (r *results) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
		close(r.over)
	}
	r.notify()
}

func (r *results) Next(ctx context.Context, into any) error {
	for {
		r.mu.Lock()
		switch {
		case len(r.values) > 0:
			v := r.values[0]
			r.values = r.values[1:]
			r.notify()
			r.mu.Unlock()
			return r.c.codec.Decode(v, into)
		case r.err != nil:
			r.notify()
			r.mu.Unlock()
			return r.err
		}
		r.mu.Unlock()
		select {
		case <-r.came:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *results) Close() error {
	if r.id != "" && r.c.call(r.id, true) != nil {
		_ = r.c.send(&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Cancel{Cancel: &hubpb.Cancel{Id: r.id}}})
	}
	r.end(context.Canceled)
	return nil
}

func code(err error) string { return status.Code(err).String() + ": " + status.Convert(err).Message() }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var _ proto.Message = (*hubpb.Hello)(nil)
