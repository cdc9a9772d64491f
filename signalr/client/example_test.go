package client_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
)

type Message struct{ User, Text string }

// The contract: constants that the hub and its clients share.
const (
	Send     hubwire.Command[Message]       = "Send"
	Count    hubwire.ServerStream[int, int] = "Count"
	Received hubwire.Event[Message]         = "ReceiveMessage"
)

func Example() {
	hub := hubwire.New(nil)
	hub.Handle(
		Send.With(func(ctx context.Context, c *hubwire.Conn, m Message) error {
			return Received.Send(ctx, c.Hub().All(), m)
		}),
		Count.With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 0; i < n && yield(i, nil); i++ {
				}
			}
		}),
	)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/chat", hub, nil)
	server := httptest.NewServer(mux)
	defer server.Close()

	ctx := context.Background()
	shown := make(chan struct{})
	conn, err := client.Dial(ctx, server.URL+"/chat", &client.Options{
		Reconnect: client.Delays(),
		Handlers: []hubwire.ClientHandler{
			Received.With(func(_ context.Context, m Message) error {
				fmt.Printf("%s: %s\n", m.User, m.Text)
				close(shown)
				return nil
			}),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	if err := Send.Call(ctx, conn, Message{"ada", "hello"}); err != nil {
		log.Fatal(err)
	}
	<-shown
	for n, err := range Count.Open(ctx, conn, 1_000_000) {
		if err != nil {
			log.Fatal(err)
		}
		if fmt.Println(n); n == 2 {
			break // cancels the stream
		}
	}
	// Output:
	// ada: hello
	// 0
	// 1
	// 2
}

// A hub forgets the groups of a connection that is lost: join them again.
func ExampleOptions_reconnect() {
	const join hubwire.Command[string] = "Join"
	opts := &client.Options{
		Reconnect: client.Delays(),
		OnReconnecting: func(_ *client.Conn, err error) {
			log.Printf("away: %v", err)
		},
		OnReconnected: func(c *client.Conn) {
			if err := join.Call(context.Background(), c, "lobby"); err != nil {
				log.Printf("join: %v", err)
			}
		},
	}
	_ = opts // for client.Dial
}
