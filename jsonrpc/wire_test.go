package jsonrpc_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/jsonrpc"
)

type peer struct {
	*jsonrpc.Conn
	nc net.Conn
}

func (p peer) Drop() { _ = p.nc.Close() }

// The contract that every wire keeps, over TCP and over pipes that cannot be
// written to without waiting.
func TestWire(t *testing.T) {
	for _, f := range []jsonrpc.Framing{jsonrpc.Header, jsonrpc.Newline, jsonrpc.Length} {
		t.Run(f.String(), func(t *testing.T) {
			hubtest.TestWire(t, hubtest.Wire{Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
				return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
					a, b := net.Pipe()
					served := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: f, Order: jsonrpc.HubOrder})
					c := jsonrpc.NewConn(b, nil, &jsonrpc.Options{Framing: f, Handlers: handlers})
					t.Cleanup(func() {
						_ = b.Close()
						<-c.Done()
						<-served.Done()
					})
					return peer{c, b}, nil
				}
			}})
		})
	}
}

// The specification's examples, one message a line.
func TestSpecification(t *testing.T) {
	hub := hubwire.New(nil)
	type pair struct {
		hubwire.Args
		Minuend    int `json:"minuend"`
		Subtrahend int `json:"subtrahend"`
	}
	hub.Handle(hubwire.Method[pair, int]("subtract").With(func(_ context.Context, _ *hubwire.Conn, p pair) (int, error) {
		return p.Minuend - p.Subtrahend, nil
	}))
	a, b := net.Pipe()
	c := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: jsonrpc.Newline})
	go func() { // ends with the pipe
		_, _ = io.WriteString(b, strings.Join([]string{
			`{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}`,
			`{"jsonrpc":"2.0","method":"foobar","id":"1"}`,
			`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
			`[]`,
			`[1]`,
			`{"jsonrpc":"2.0","method":"subtract","params":{"subtrahend":23,"minuend":42},"id":1.0}`,
		}, "\n")+"\n")
	}()
	got := make([]byte, 0, 4<<10)
	for strings.Count(string(got), "\n") < 6 {
		n, err := b.Read(got[len(got):cap(got)])
		if err != nil {
			t.Fatal(err)
		}
		got = got[:len(got)+n]
	}
	for _, want := range []string{
		`"id":1,"result":19}`, `"id":"1","error":{"code":-32601`, `"id":null,"error":{"code":-32700`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32600`, `[{"jsonrpc":"2.0","id":null,"error":{"code":-32600`, `"id":1.0,"result":19}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("there is no %s in\n%s", want, got)
		}
	}
	_ = b.Close()
	<-c.Done()
}

// However broken a stream is, the decoder takes no more than is there, and never
// what a length declares.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("Content-Length: 9223372036854775808\r\n\r\n{}"))
	f.Add([]byte("\x7f\xff\xff\xff{}"))
	f.Add([]byte("{}\n\n[1]\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, framing := range []jsonrpc.Framing{jsonrpc.Header, jsonrpc.Newline, jsonrpc.Length, jsonrpc.Sniff} {
			a, b := net.Pipe()
			c := jsonrpc.NewConn(a, nil, &jsonrpc.Options{Framing: framing, MaxMessage: 1 << 10})
			go func() { _, _ = io.Copy(io.Discard, b) }() // ends with the pipe
			_, _ = b.Write(in)
			_ = b.Close()
			<-c.Done()
		}
	})
}
