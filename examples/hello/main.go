package main

import (
	"context"
	"log"
	"net/http"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

type Message struct{ User, Text string }

const (
	Send     hubwire.Command[Message] = "Send"           // a client calls it
	Received hubwire.Event[Message]   = "ReceiveMessage" // every client hears it
)

func main() {
	hub := hubwire.New(nil)
	hub.Handle(Send.With(func(ctx context.Context, c *hubwire.Conn, m Message) error {
		return Received.Send(ctx, c.Hub().All(), m)
	}))
	signalr.Mount(http.DefaultServeMux, "/chat", hub, nil)
	log.Fatal(http.ListenAndServe("localhost:8080", nil))
}
