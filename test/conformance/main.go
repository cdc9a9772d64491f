// Command conformance serves the contracts that the end-to-end tests, the
// recordings and the peers speak, all in one server. It is written as a user
// would write it, with public API only: one list of handlers (hub.go,
// streams.go, sends.go) serves every endpoint (endpoints.go).
//
//	go run ./test/conformance -addr 127.0.0.1:5000
//
// Its first line on standard output is READY http://HOST:PORT, with -jsonrpc the
// second is JSONRPC HOST:PORT; its log goes to standard error, and it ends within a second of SIGTERM: clients are told to
// reconnect, calls that run are given half of that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub"
	_ "github.com/hubwire/hubwire/grpchub/hubgrpc" // for reflection
	"github.com/hubwire/hubwire/grpcwire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: opts.level}))
	if opts.stdio {
		return serveRPCStdio(ctx, log, &opts)
	}

	mux := http.NewServeMux()
	hubs := mount(mux, log, &opts)

	rpc := serveGRPC(log)
	byName := map[string]*hubwire.Hub{}
	for _, h := range hubs {
		byName[strings.TrimPrefix(h.path, "/")] = h.Hub
	}
	grpchub.Mount(rpc, byName, &grpchub.Options{
		Join:    func(context.Context, *hubwire.Conn, string) error { return nil },
		Publish: func(*hubwire.User) bool { return true },
	})
	srv := &http.Server{Handler: grpcwire.Route(rpc, mux), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	grpcwire.Configure(srv)

	listener, err := net.Listen("tcp", opts.addr)
	if err != nil {
		return fmt.Errorf("conformance: %w", err)
	}
	ended := make(chan error, 2)
	if opts.second != "" {
		second, err := net.Listen("tcp", opts.second)
		if err != nil {
			_ = listener.Close()
			return fmt.Errorf("conformance: %w", err)
		}
		go func() { ended <- srv.Serve(second) }() // ends with srv.Close
	}
	go func() { ended <- srv.Serve(listener) }() // ends with srv.Close
	lines := fmt.Sprintf("READY http://%s\n", listener.Addr())
	if opts.jsonrpc != "" {
		addr, stop, err := serveRPC(ctx, log, &opts)
		if err != nil {
			_ = srv.Close()
			<-ended
			return err
		}
		defer stop()
		lines += fmt.Sprintf("JSONRPC %s\n", addr)
	}
	fmt.Fprint(stdout, lines)

	select {
	case err := <-ended:
		return fmt.Errorf("conformance: %w", err)
	case <-ctx.Done():
	}
	shutdown(hubs, rpc, log)
	if err := srv.Close(); err != nil {
		log.Warn("close the listener", "err", err)
	}
	<-ended
	return nil
}

// shutdown ends all hubs at once and gives them half a second. What they say
// of calls that ignore their context is worth a line, no more.
func shutdown(hubs []hub, rpc *grpcwire.Handler, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() { // likewise
		if err := rpc.Shutdown(ctx); err != nil {
			log.Info("shutdown of gRPC", "err", err)
		}
		done <- struct{}{}
	}()
	for _, h := range hubs {
		go func() { // ends with ctx at the latest
			if err := h.Shutdown(ctx); err != nil {
				log.Info("shutdown", "hub", h.path, "err", err)
			}
			done <- struct{}{}
		}()
	}
	for range len(hubs) + 1 {
		<-done
	}
}
