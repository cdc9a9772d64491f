// Package hubwire is a framework for real-time communication: one hub, every
// wire.
//
// A [Hub] is a table of typed handlers with the connections, groups and users
// that it serves. Names are typed constants; the compiler checks every use:
//
//	const (
//		Send     hubwire.Command[Message] = "Send"           // client to hub
//		Received hubwire.Event[Message]   = "ReceiveMessage" // hub to clients
//	)
//
//	hub := hubwire.New(nil)
//	hub.Handle(Send.With(func(ctx context.Context, c *hubwire.Conn, m Message) error {
//		return Received.Send(ctx, c.Hub().All(), m)
//	}))
//	signalr.Mount(http.DefaultServeMux, "/chat", hub, nil)
//
// The same hub may be mounted on several wires at once (package signalr, and
// others to come); its groups and users span them all.
//
// # Concurrency
//
// All methods of Hub, Conn, Event and the other names may be called from any
// goroutine at any time, before serving too. Handlers run on goroutines of the
// hub: the ordinary calls of one connection one after the other (see
// [Options.ParallelCalls]), streams beside them. A panic in a handler ends that
// call alone.
//
// # What Send promises
//
// A nil error means that the event is in line: ahead of every later Send, Join,
// Leave and result of this node, for each connection that it is meant for. Send
// does not wait for the network, except where its doc says so.
package hubwire
