package p

import (
	"context"
	"iter"

	"github.com/hubwire/hubwire"
)

type Message struct{ Text string }

const (
	Send     hubwire.Command[Message]           = "Send"
	Join     hubwire.Method[string, int]        = "Join"
	Prices   hubwire.ServerStream[string, int]  = "Prices"
	Upload   hubwire.ClientStream[int, int]     = "Upload"
	Received hubwire.Event[Message]             = "Received"
	Confirm  hubwire.ClientMethod[string, bool] = "Confirm"
)

func wrongPayload(ctx context.Context, hub *hubwire.Hub, c *hubwire.Conn, to hubwire.Caller) {
	_ = Received.Send(ctx, hub.All(), "hi")         // want `cannot use "hi" .* as Message value in argument to Received.Send`
	_ = Received.Send(ctx, c, &Message{})           // want `cannot use &Message{} .* as Message value`
	_, _ = Confirm.Call(ctx, c, 1)                  // want `cannot use 1 .* as string value`
	_ = Send.Call(ctx, to, "hi")                    // want `cannot use "hi" .* as Message value`
	_, _ = Join.Call(ctx, to, Message{})            // want `cannot use Message{} .* as string value`
	var s string = first(Prices.Open(ctx, to, "x")) // want `cannot use first.* \(value of type int\) as string value`
	_ = s
	_, _ = Upload.Call(ctx, to, iter.Seq2[string, error](nil)) // want `cannot use .* as iter.Seq2\[int, error\] value`
}

func first[T any](seq iter.Seq2[T, error]) (v T) {
	for v = range seq {
		return v
	}
	return v
}

func wrongHandler() {
	_ = Send.With(func(ctx context.Context, c *hubwire.Conn, m string) error { return nil })               // want `cannot use .func.* in argument to Send.With`
	_ = Join.With(func(ctx context.Context, c *hubwire.Conn, m string) (string, error) { return "", nil }) // want `cannot use .func.* in argument to Join.With`
	_ = Received.With(func(ctx context.Context, m string) error { return nil })                            // want `cannot use .func.* in argument to Received.With`
}
