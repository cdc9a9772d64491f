package jsonrpc_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

type exampleSum struct {
	hubwire.Args
	A int `json:"a"`
	B int `json:"b"`
}

const (
	exampleAdd  hubwire.Method[exampleSum, int] = "add"
	exampleTold hubwire.Event[string]           = "told"
)

func exampleHub() *hubwire.Hub {
	hub := hubwire.New(nil)
	hub.Handle(exampleAdd.With(func(ctx context.Context, c *hubwire.Conn, s exampleSum) (int, error) {
		if err := exampleTold.Send(ctx, c, "I am adding"); err != nil {
			return 0, err
		}
		return s.A + s.B, nil
	}))
	return hub
}

// Two ends in one process. The one without a hub hears events.
func Example() {
	a, b := jsonrpc.Pipe()
	server := jsonrpc.NewConn(a, exampleHub(), nil)
	client := jsonrpc.NewConn(b, nil, &jsonrpc.Options{Handlers: []hubwire.ClientHandler{
		exampleTold.With(func(_ context.Context, text string) error { fmt.Println(text); return nil }),
	}})

	sum, err := exampleAdd.Call(context.Background(), client, exampleSum{A: 1, B: 2})
	client.Close()
	<-client.Done()
	<-server.Done()
	fmt.Println(sum, err)
	// Output:
	// I am adding
	// 3 <nil>
}

// A hub at a path: POST, with a batch.
func ExampleMount() {
	mux := http.NewServeMux()
	jsonrpc.Mount(mux, "/jsonrpc", exampleHub(), nil)

	r := httptest.NewRequest("POST", "/jsonrpc", strings.NewReader(`[{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]},{"jsonrpc":"2.0","id":"x","method":"add","params":{"b":4,"a":3}}]`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 200 [{"jsonrpc":"2.0","id":1,"result":3},{"jsonrpc":"2.0","id":"x","result":7}]
}

// A hub over WebSockets.
func ExampleDialWebSocket() {
	hub := exampleHub()
	srv := httptest.NewServer(jsonrpc.Handler(hub, nil))
	defer srv.Close()

	conn, err := jsonrpc.DialWebSocket(context.Background(), srv.URL, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, err := exampleAdd.Call(context.Background(), conn, exampleSum{A: 1, B: 2})
	fmt.Println(sum, err)
	conn.Close()
	_ = hub.Shutdown(context.Background())
	// Output:
	// 3 <nil>
}

// A hub over TCP, a message a line.
func ExampleServe() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := &jsonrpc.Options{Framing: jsonrpc.Newline}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error)
	go func() { served <- jsonrpc.Serve(ctx, l, exampleHub(), lines) }()

	conn, err := jsonrpc.Dial(ctx, "tcp", l.Addr().String(), nil, lines)
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, err := exampleAdd.Call(ctx, conn, exampleSum{A: 1, B: 2})
	fmt.Println(sum, err)
	conn.Close()
	cancel()
	fmt.Println(<-served)
	// Output:
	// 3 <nil>
	// <nil>
}
