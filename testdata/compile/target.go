package p

import (
	"context"

	"github.com/hubwire/hubwire"
)

const Confirm hubwire.ClientMethod[string, bool] = "Confirm"

func exceptWhereThereIsNone(hub *hubwire.Hub, c *hubwire.Conn) {
	_ = hub.User("ann").Except("id")                  // want `hub.User\("ann"\).Except undefined`
	_ = hub.Conns("a", "b").Except("id")              // want `hub.Conns\("a", "b"\).Except undefined`
	_ = hub.Conn("a").Except("id")                    // want `hub.Conn\("a"\).Except undefined`
	_ = c.Except("id")                                // want `c.Except undefined`
	_ = hubwire.Latest(hub.All(), "key").Except("id") // want `Except undefined`
	_ = hub.All().Except("id").Except("other")
	_ = c.OthersIn("room").Except("id")
}

func askOfMany(ctx context.Context, hub *hubwire.Hub, c *hubwire.Conn) {
	_, _ = Confirm.Call(ctx, hub.All(), "?")         // want `hubwire.Audience does not implement hubwire.Peer`
	_, _ = Confirm.Call(ctx, hub.Group("room"), "?") // want `hubwire.Audience does not implement hubwire.Peer`
	_, _ = Confirm.Call(ctx, hub.User("ann"), "?")   // want `hubwire.Target does not implement hubwire.Peer`
	_, _ = Confirm.Call(ctx, hub.Conns("a"), "?")    // want `hubwire.Target does not implement hubwire.Peer`
	_, _ = Confirm.Call(ctx, c.Others(), "?")        // want `hubwire.Audience does not implement hubwire.Peer`
	_, _ = Confirm.Call(ctx, hub.Conn("a"), "?")
	_, _ = Confirm.Call(ctx, c, "?")
}

type mine struct{}

func (mine) Hub() *hubwire.Hub { return nil }

var _ hubwire.Target = mine{} // want `mine does not implement hubwire.Target`
