package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
	"github.com/hubwire/hubwire/jsonrpc/stdio"
)

var rpcFramings = map[string]jsonrpc.Framing{"header": jsonrpc.Header, "newline": jsonrpc.Newline, "length": jsonrpc.Length}

// rpcHub is the hub of the contract of JSON-RPC.
func rpcHub(log *slog.Logger) *hubwire.Hub {
	hub := hubwire.New(&hubwire.Options{DetailedErrors: true, Logger: log, TraceIn: traceIn})
	hub.Handle(rpcHandlers()...)
	return hub
}

// rpcOptions are those for StreamJsonRpc, but for what is no JSON-RPC: that is
// answered.
func rpcOptions(framing string) *jsonrpc.Options {
	o := jsonrpc.StreamJsonRpc()
	o.CloseOnBad = false
	o.Framing = rpcFramings[framing]
	o.Order = jsonrpc.Barrier
	return o
}

// mountRPC serves the contract over WebSockets and POST.
func mountRPC(mux *http.ServeMux, log *slog.Logger, o *options) hub {
	h := rpcHub(log)
	jsonrpc.Mount(mux, "/jsonrpc", h, &jsonrpc.MountOptions{Conn: rpcOptions(o.handler), AllowedOrigins: []string{"*"}})
	return hub{h, "/jsonrpc"}
}

// serveRPC serves it over TCP, until ctx ends or stop is called, which waits half a
// second at most.
func serveRPC(ctx context.Context, log *slog.Logger, o *options) (addr net.Addr, stop func(), err error) {
	l, err := net.Listen("tcp", o.jsonrpc)
	if err != nil {
		return nil, nil, fmt.Errorf("conformance: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		if err := jsonrpc.Serve(ctx, l, rpcHub(log), rpcOptions(o.handler)); err != nil {
			log.Error("serve JSON-RPC", "err", err)
		}
	}()
	return l.Addr(), func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(500 * time.Millisecond):
		}
	}, nil
}

// serveRPCStdio serves it on standard input and output.
func serveRPCStdio(ctx context.Context, log *slog.Logger, o *options) error {
	return stdio.Serve(ctx, rpcHub(log), rpcOptions(o.handler))
}
