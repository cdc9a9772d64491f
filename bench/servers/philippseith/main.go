// Philippseith is the same hub on github.com/philippseith/signalr, with its
// defaults and no logging.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/hubwire/hubwire/bench/internal/control"
	"github.com/philippseith/signalr"
)

type hub struct{ signalr.Hub }

func (h *hub) Echo(s string) string { return s }
func (h *hub) Broadcast(s string)   { h.Clients().All().Send("Receive", s) }

type quiet struct{}

func (quiet) Log(...any) error { return nil }

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	ctl := flag.String("ctl", "", "where the control port listens")
	flag.Parse()
	control.Serve(*ctl)
	server, err := signalr.NewServer(context.Background(), signalr.SimpleHubFactory(&hub{}), signalr.Logger(quiet{}, false))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	server.MapHTTP(signalr.WithHTTPServeMux(mux), "/bench")
	srv := &http.Server{Addr: *addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
