package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hubwire/hubwire/cmd/hubwire/internal/demo"
)

// demoAddr is where the demo listens unless -addr says otherwise. Where the
// port is taken, it takes any.
const demoAddr = "127.0.0.1:4280"

// drainTime is how long a shutdown may take.
const drainTime = 5 * time.Second

func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("hubwire demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "", "loopback `address` to listen on, such as localhost:8080 (default "+demoAddr+", or any free port)")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: hubwire demo [-addr host:port]\n\nServes a page on this machine alone, and prints its address.\n\n")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "hubwire demo: %q is no flag; hubwire demo -h lists them\n", flags.Arg(0))
		return 2
	}
	l, err := listenLoopback(*addr)
	if err != nil {
		fmt.Fprintf(stderr, "hubwire demo: %v\n", err)
		if errors.Is(err, errNotLoopback) {
			return 2
		}
		return 1
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	switch err := serveDemo(ctx, l, signals, stdout, stderr); {
	case errors.Is(err, errInterrupted):
		return 130 // as a shell has it for a process that Ctrl-C ended
	case err != nil:
		fmt.Fprintf(stderr, "hubwire demo: %v\n", err)
		return 1
	}
	return 0
}

var errNotLoopback = errors.New("the demo has no passwords, so it serves this machine alone: -addr takes localhost, 127.0.0.1 or [::1] with a port")

// listenLoopback listens on addr, which must name a loopback address. Without
// one it takes demoAddr, or a free port where that is taken.
func listenLoopback(addr string) (net.Listener, error) {
	if addr == "" {
		if l, err := net.Listen("tcp", demoAddr); err == nil {
			return l, nil
		}
		return net.Listen("tcp", "127.0.0.1:0")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-addr: %w", err)
	}
	if host == "localhost" {
		// Not looked up: a hosts file may say anything.
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return nil, errNotLoopback
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

var errInterrupted = errors.New("interrupted while shutting down")

// serveDemo serves on l until ctx ends or a signal comes. A second signal ends
// the wait for what still runs.
func serveDemo(ctx context.Context, l net.Listener, signals <-chan os.Signal, stdout, stderr io.Writer) error {
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d := demo.New(logger)
	addr := l.Addr().(*net.TCPAddr)
	server := &http.Server{
		Handler:           d.Handler(addr.Port),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // what broken clients do is no news
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // ends with server.Close, below

	fmt.Fprintf(stdout, "hubwire demo: http://%s/\nOpen it in a browser, and in a second tab to meet yourself. Ctrl-C ends it.\n", addr)
	select {
	case err := <-served:
		return errors.Join(err, d.Shutdown(ctx))
	case <-ctx.Done():
	case <-signals:
	}
	fmt.Fprintln(stdout, "Shutting down. Open pages wait for the demo to come back. Ctrl-C again ends it at once.")

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	drained := make(chan error, 1)
	go func() { // ends with ctx at the latest
		err := d.Shutdown(ctx)
		if err == nil {
			err = server.Shutdown(ctx)
		}
		drained <- err
	}()
	var err error
	select {
	case err = <-drained:
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("something was still running after %v", drainTime)
		}
	case <-signals:
		err = errInterrupted
	}
	server.Close()
	<-served
	return err
}
