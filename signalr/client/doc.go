// Package client is the SignalR client, for hubwire's server and for ASP.NET
// Core's: WebSockets, Server-Sent Events and long polling, in JSON and
// MessagePack, with automatic and stateful reconnect.
//
// The names that a server binds with With are called, and their events
// received, at a [Conn]:
//
//	const (
//		Send     hubwire.Command[Message]            = "Send"
//		Prices   hubwire.ServerStream[string, Price] = "StreamPrices"
//		Received hubwire.Event[Message]              = "ReceiveMessage"
//	)
//
//	conn, err := client.Dial(ctx, "https://example.com/chat", &client.Options{
//		Handlers:  []hubwire.ClientHandler{Received.With(show)},
//		Reconnect: client.Delays(),
//	})
//	if err != nil {
//		return err
//	}
//	defer conn.Close()
//	err = Send.Call(ctx, conn, Message{"ada", "hello"})
//	for price, err := range Prices.Open(ctx, conn, "ACME") { … } // leaving the loop cancels the stream
//
// Section numbers in comments are those of the project's SignalR specification.
package client
