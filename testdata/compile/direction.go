package p

import (
	"context"

	"github.com/hubwire/hubwire"
)

const (
	Send     hubwire.Command[string]            = "Send"
	Received hubwire.Event[string]              = "Received"
	Confirm  hubwire.ClientMethod[string, bool] = "Confirm"
)

func wrongEnd(hub *hubwire.Hub, on func(...hubwire.ClientHandler)) {
	hub.Handle(Received.With(func(context.Context, string) error { return nil }))              // want `cannot use Received.With.* as hubwire.Handler value`
	hub.Handle(Confirm.With(func(context.Context, string) (bool, error) { return true, nil })) // want `cannot use Confirm.With.* as hubwire.Handler value`
	on(Send.With(func(context.Context, *hubwire.Conn, string) error { return nil }))           // want `cannot use Send.With.* as hubwire.ClientHandler value`
	hub.Handle(hubwire.ClientHandler{})                                                        // want `cannot use hubwire.ClientHandler{} .* as hubwire.Handler value`
}

func wrongWay(ctx context.Context, hub *hubwire.Hub, c *hubwire.Conn, to hubwire.Caller) {
	_ = Send.Send(ctx, hub.All(), "hi") // want `hubwire.Audience does not implement hubwire.Caller`
	_ = Received.Send(ctx, to, "hi")    // want `does not implement hubwire.Target`
	_, _ = Received.Call(ctx, c, "hi")  // want `Received.Call undefined`
}
