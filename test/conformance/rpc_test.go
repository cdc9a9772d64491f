package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// The contract of JSON-RPC over TCP, WebSockets and POST.
func TestRPC(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-log", "error", "-jsonrpc", "127.0.0.1:0"}, in, t.Output()) }() // ends with ctx
	lines := bufio.NewReader(out)
	ready := func(prefix string) string {
		line, err := lines.ReadString('\n')
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
		if err != nil || !ok {
			t.Fatalf("a line is %q, %v; want %s", line, err, prefix)
		}
		return rest
	}
	url, addr := ready("READY "), ready("JSONRPC ")
	opts := &jsonrpc.Options{Lenient: true, Handlers: []hubwire.ClientHandler{
		hubwire.ClientMethod[rpcTwo, int]("ClientAdd").With(func(_ context.Context, p rpcTwo) (int, error) { return p.A + p.B, nil }),
	}}
	tcp, err := jsonrpc.Dial(ctx, "tcp", addr, nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := jsonrpc.DialWebSocket(ctx, url+"/jsonrpc", nil, &jsonrpc.DialOptions{Conn: opts})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*jsonrpc.Conn{tcp, ws} {
		if n, err := hubwire.Method[rpcTwo, int]("CallBack").Call(ctx, c, rpcTwo{A: 2, B: 3}); n != 5 || err != nil {
			t.Errorf("CallBack: %d, %v", n, err)
		}
		sum := 0
		for v, err := range hubwire.ServerStream[int, int]("Numbers").Open(ctx, c, 4) {
			if err != nil {
				t.Error(err)
			}
			sum += v
		}
		if sum != 10 {
			t.Errorf("Numbers: %d", sum)
		}
		if s, err := hubwire.Method[rpcSum, string]("Sum").Call(ctx, c, rpcSum{A: 1, B: hubwire.Opt[int]{Value: 2, Set: true}}); s != "2:3" || err != nil {
			t.Errorf("Sum: %s, %v", s, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	res, err := http.Post(url+"/jsonrpc", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"Divide","params":{"b":0,"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"b must not be zero"}}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
