package jsonrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/jsonrpc"
)

// The contract that every wire keeps, over streams in memory and over Unix
// sockets, which Serve accepts.
func TestWireStreams(t *testing.T) {
	t.Run("pipe", func(t *testing.T) {
		hubtest.TestWire(t, hubtest.Wire{Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
			return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
				a, b := jsonrpc.Pipe()
				served := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Order: jsonrpc.HubOrder})
				c := jsonrpc.NewConn(b, nil, &jsonrpc.Options{Handlers: handlers})
				t.Cleanup(func() {
					_ = b.Close()
					<-c.Done()
					<-served.Done()
				})
				return dropped{c, b}, nil
			}
		}})
	})
	t.Run("unix", func(t *testing.T) {
		hubtest.TestWire(t, hubtest.Wire{Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
			dir, err := os.MkdirTemp("", "jsonrpc") // a name that is short enough
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Skip("there are no Unix sockets here: ", err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			served := make(chan error)
			go func() { served <- jsonrpc.Serve(ctx, l, hub, &jsonrpc.Options{Framing: jsonrpc.Sniff}) }() // ends with ctx
			t.Cleanup(func() {
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
				_ = os.RemoveAll(dir)
			})
			return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
				nc, err := net.Dial("unix", path)
				if err != nil {
					return nil, err
				}
				c := jsonrpc.NewConn(nc, nil, &jsonrpc.Options{Handlers: handlers, Framing: jsonrpc.Newline})
				// Sniff opens the connection with its first byte.
				if _, err := nc.Write([]byte("\n{}\n")); err != nil {
					return nil, err
				}
				t.Cleanup(func() {
					_ = nc.Close()
					<-c.Done()
				})
				return dropped{c, nc}, nil
			}
		}})
	})
}

type dropped struct {
	*jsonrpc.Conn
	c io.Closer
}

func (d dropped) Drop() { _ = d.c.Close() }

// Dial and Serve, and their ends.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	var d diary
	hub := mountHub(&d, nil)
	go func() { served <- jsonrpc.Serve(ctx, l, hub, nil) }() // ends with ctx
	c, err := jsonrpc.Dial(t.Context(), "tcp", l.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := hubAdd.Call(t.Context(), c, hubAddArgs{A: 1, B: 2}); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if s, err := hubWhoAmI.Call(t.Context(), c, hubwire.None{}); s != " jsonrpc tcp " || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	<-c.Done()
	if err := c.Err(); err != nil {
		t.Errorf("Err: %v", err)
	}
	if _, err := jsonrpc.Dial(t.Context(), "tcp", l.Addr().String(), nil, nil); err == nil || !strings.HasPrefix(err.Error(), "jsonrpc: dial tcp") {
		t.Errorf("Dial: %v", err)
	}

	// A listener that somebody closes is an error; a hub that has shut down takes
	// nobody.
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := hub.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	go func() { served <- jsonrpc.Serve(t.Context(), l, hub, nil) }() // ends with l
	if c, err = jsonrpc.Dial(t.Context(), "tcp", l.Addr().String(), nil, nil); err == nil {
		<-c.Done()
	}
	_ = l.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// What a peer asked before its output ended is answered, as long as one answer
// follows another; what never ends is cancelled.
func TestHalfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		hub := hubwire.New(&hubwire.Options{Logger: quiet, Disconnect: func(context.Context, *hubwire.Conn, error) { d.add("disconnect") }})
		hub.Handle(
			hubwire.Method[int, int]("Slow").With(func(ctx context.Context, _ *hubwire.Conn, n int) (int, error) {
				time.Sleep(900 * time.Millisecond)
				return n, ctx.Err()
			}),
			hubwire.Command[int]("Note").With(func(_ context.Context, _ *hubwire.Conn, n int) error {
				time.Sleep(100 * time.Millisecond)
				d.add("note %d", n)
				return nil
			}),
			hubwire.Command[hubwire.None]("Wait").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error {
				<-ctx.Done()
				d.add("waited")
				return ctx.Err()
			}),
		)
		for _, order := range []jsonrpc.Order{jsonrpc.Barrier, jsonrpc.Serial, jsonrpc.HubOrder} {
			a, b := jsonrpc.Pipe()
			served := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: jsonrpc.Newline, Order: order})
			_, _ = io.WriteString(b, `{"jsonrpc":"2.0","id":1,"method":"Slow","params":[1]}
{"jsonrpc":"2.0","method":"Note","params":[1]}
{"jsonrpc":"2.0","method":"Note","params":[2]}
{"jsonrpc":"2.0","id":2,"method":"Slow","params":[2]}
{"jsonrpc":"2.0","id":3,"method":"Slow","params":[3]}`)
			_ = b.(interface{ CloseWrite() error }).CloseWrite()
			got, err := io.ReadAll(b)
			for id := 1; id <= 3; id++ {
				if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%d}`, id, id); !strings.Contains(string(got), want) {
					t.Errorf("order %d: %s, %v; want %s", order, got, err, want)
				}
			}
			<-served.Done()
			if got, want := d.take(), "note 1, note 2, disconnect"; got != want {
				t.Errorf("order %d: %s; want %s", order, got, want)
			}
			_ = b.Close()
		}
		a, b := jsonrpc.Pipe()
		served := jsonrpc.NewConn(a, hub, nil)
		c := jsonrpc.NewConn(b, nil, nil)
		if err := hubwire.Command[hubwire.None]("Wait").Send(t.Context(), c, hubwire.None{}); err != nil {
			t.Error(err)
		}
		began := time.Now()
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		<-served.Done()
		if took := time.Since(began); took != time.Second {
			t.Errorf("the end of a call that waits took %v", took)
		}
		<-c.Done()
		if got, want := d.take(), "waited, disconnect"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}

// CloseWrite ends our output alone: our calls are still answered.
func TestCloseWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := jsonrpc.Pipe()
		hub := hubwire.New(&hubwire.Options{Logger: quiet})
		hub.Handle(hubwire.Method[int, int]("Slow").With(func(ctx context.Context, c *hubwire.Conn, n int) (int, error) {
			time.Sleep(100 * time.Millisecond)
			return n, hubTold.Send(ctx, c, "soon")
		}))
		served := jsonrpc.NewConn(a, hub, nil)
		var d diary
		c := jsonrpc.NewConn(b, nil, &jsonrpc.Options{Handlers: []hubwire.ClientHandler{
			hubTold.With(func(_ context.Context, s string) error { d.add("%s", s); return nil }),
		}})
		got := make(chan error, 1)
		go func() { // ends with the answer
			n, err := hubwire.Method[int, int]("Slow").Call(t.Context(), c, 7)
			if n != 7 {
				t.Errorf("%d, %v", n, err)
			}
			got <- err
		}()
		synctest.Wait()
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		<-served.Done()
		<-c.Done()
		if got := d.take(); got != "soon" {
			t.Error(got)
		}
		a, b = jsonrpc.Pipe()
		c = jsonrpc.NewConn(struct{ io.ReadWriteCloser }{a}, nil, nil)
		if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
		_ = b.Close()
		<-c.Done()
	})
}

// A handler may close its own connection, on either end and in Connect and
// Disconnect: nothing waits for anything then.
func TestCloseAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, where := range []string{"event", "method", "connect", "disconnect"} {
			var c, served *jsonrpc.Conn
			made := make(chan struct{})
			closes := func(c **jsonrpc.Conn) {
				began := time.Now()
				if err := (*c).Close(); err != nil || time.Since(began) > 100*time.Millisecond {
					t.Errorf("%s: Close: %v in %v", where, err, time.Since(began))
				}
			}
			hub := hubwire.New(&hubwire.Options{Logger: quiet,
				Disconnect: func(context.Context, *hubwire.Conn, error) {
					if where == "disconnect" {
						closes(&served)
					}
				}})
			hub.Handle(
				hubwire.Method[hubwire.None, int]("Close").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (int, error) {
					closes(&served)
					<-ctx.Done()
					return 1, nil
				}),
				hubwire.Command[hubwire.None]("Tell").With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) error {
					return hubTold.Send(ctx, c, "exit")
				}),
			)
			a, b := jsonrpc.Pipe()
			served = jsonrpc.NewConn(a, hub, nil)
			c = jsonrpc.NewConn(b, nil, &jsonrpc.Options{Handlers: []hubwire.ClientHandler{
				hubTold.With(func(context.Context, string) error { <-made; closes(&c); return nil }),
			}})
			close(made)
			switch where {
			case "event":
				_ = hubwire.Command[hubwire.None]("Tell").Send(t.Context(), c, hubwire.None{})
			case "method":
				if _, err := hubwire.Method[hubwire.None, int]("Close").Call(t.Context(), c, hubwire.None{}); err == nil {
					t.Error("a connection that was closed has answered")
				}
			default:
				_ = c.Close()
			}
			began := time.Now()
			<-c.Done()
			<-served.Done()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: the end took %v", where, took)
			}
		}
	})
}

// A Connect that leaves with runtime.Goexit, as a test that fails does, or panics
// refuses the connection.
func TestConnectExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []func(){func() { panic("x") }, runtime.Goexit} {
			hub := hubwire.New(&hubwire.Options{Logger: quiet, Connect: func(context.Context, *hubwire.Conn) error { how(); return nil }})
			a, b := jsonrpc.Pipe()
			done := make(chan struct{})
			go func() { // ends with Connect
				defer close(done)
				jsonrpc.NewConn(a, hub, nil)
			}()
			<-done
			if _, err := b.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the refused end: %v", err)
			}
			_ = b.Close()
		}
	})
}

// Many ends find the framing while others send to them: nothing races.
func TestSniffRace(t *testing.T) {
	hub := mountHub(&diary{}, nil)
	for i := range 50 {
		a, b := jsonrpc.Pipe()
		served := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: jsonrpc.Sniff})
		f := []jsonrpc.Framing{jsonrpc.Header, jsonrpc.Newline, jsonrpc.Length}[i%3]
		c := jsonrpc.NewConn(b, nil, &jsonrpc.Options{Framing: f, Handlers: []hubwire.ClientHandler{
			hubAnswer.With(func(_ context.Context, s string) (string, error) { return s, nil }),
			hubTold.With(func(context.Context, string) error { return nil }),
		}})
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := hubAdd.Call(t.Context(), c, hubAddArgs{A: i, B: 1}); n != i+1 || err != nil {
				t.Errorf("%v: %d, %v", f, n, err)
			}
		})
		wg.Go(func() { // waits until the connection is open
			if s, err := hubAnswer.Call(t.Context(), served.Hub(), "x"); s != "x" || err != nil {
				t.Errorf("%v: %q, %v", f, s, err)
			}
		})
		wg.Go(func() { _ = hubTold.Send(t.Context(), hub.All(), "x") })
		wg.Go(func() {
			if s, err := hubAnswer.Call(t.Context(), served.Hub(), "y"); s != "y" || err != nil {
				t.Errorf("%v: %q, %v", f, s, err)
			}
		})
		wg.Wait()
		_ = c.Close()
		_ = served.Close()
		<-c.Done()
		<-served.Done()
	}
	// One that never hears a byte can be closed.
	a, b := jsonrpc.Pipe()
	c := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: jsonrpc.Sniff})
	_ = c.Close()
	<-c.Done()
	_ = b.Close()
}

// The goroutine that feeds a sequence ends with the call that it is for, and with
// the connection, whatever waits for room.
func TestFeedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := hubwire.New(&hubwire.Options{Logger: quiet})
		hub.Handle(hubwire.ClientStream[int, int]("Sum").With(func(ctx context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}))
		for _, how := range []string{"cancel", "close"} {
			a, b := jsonrpc.Pipe()
			served := jsonrpc.NewConn(a, hub, nil)
			c := jsonrpc.NewConn(b, nil, nil)
			ctx, cancel := context.WithCancel(t.Context())
			fed := make(chan struct{})
			called := make(chan error, 1)
			go func() { // ends with the call
				_, err := hubwire.ClientStream[int, int]("Sum").Call(ctx, c, func(yield func(int, error) bool) {
					defer close(fed)
					for yield(1, nil) {
					}
				})
				called <- err
			}()
			synctest.Wait()
			if how == "cancel" {
				cancel()
			} else {
				_ = c.Close()
				<-c.Done()
				select {
				case <-fed:
				default:
					t.Error("the sequence has outlasted its connection")
				}
			}
			if err := <-called; err == nil {
				t.Error("the call has not failed")
			}
			<-fed
			cancel()
			_ = c.Close()
			<-c.Done()
			<-served.Done()
		}
	})
}

// A pipe holds what is written, in order and within bounds, and knows both kinds
// of ends.
func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := jsonrpc.Pipe()
		const total = 1 << 20
		go func() { // ends when all is read
			for i := 0; i < total; i += 1 << 10 {
				p := make([]byte, 1<<10)
				for j := range p {
					p[j] = byte((i + j) % 251)
				}
				if n, err := a.Write(p); n != len(p) || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
			_ = a.(interface{ CloseWrite() error }).CloseWrite()
		}()
		synctest.Wait() // it is full
		got, err := io.ReadAll(b)
		if len(got) != total || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		for i, c := range got {
			if c != byte(i%251) {
				t.Fatalf("byte %d is %d", i, c)
			}
		}
		try := b.(interface{ TryWrite([]byte) (int, error) })
		if n, err := try.TryWrite(make([]byte, total)); n != 64<<10 || err != nil {
			t.Errorf("TryWrite: %d, %v", n, err)
		}
		if n, err := try.TryWrite([]byte("x")); n != 0 || err != nil {
			t.Errorf("TryWrite: %d, %v", n, err)
		}
		blocked := make(chan error)
		go func() { _, err := b.Write([]byte("x")); blocked <- err }() // ends with a
		synctest.Wait()
		_ = a.Close()
		if err := <-blocked; err != io.ErrClosedPipe {
			t.Errorf("Write: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); err != io.ErrClosedPipe {
			t.Errorf("Read: %v", err)
		}
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read: %d, %v", n, err)
		}
	})
}
