// Hubwire is a hub as a user of hubwire would write it, with all defaults.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/bench/internal/control"
	"github.com/hubwire/hubwire/signalr"
)

const (
	Echo      hubwire.Method[string, string] = "Echo"
	Broadcast hubwire.Command[string]        = "Broadcast"
	Receive   hubwire.Event[string]          = "Receive"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	ctl := flag.String("ctl", "", "where the control port listens")
	flag.Parse()
	control.Serve(*ctl)

	hub := hubwire.New(nil)
	hub.Handle(
		Echo.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }),
		Broadcast.With(func(ctx context.Context, c *hubwire.Conn, s string) error {
			return Receive.Send(ctx, c.Hub().All(), s)
		}),
	)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/bench", hub, nil)
	srv := &http.Server{Addr: *addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
