package main

import (
	"context"
	"strconv"

	"github.com/hubwire/hubwire"
)

// Calls that send Receive to somebody, and those that change groups.
const (
	ToAll           hubwire.Command[string]        = "ToAll"
	ToAllExcept     hubwire.Command[toMany]        = "ToAllExcept"
	ToOthers        hubwire.Command[string]        = "ToOthers"
	ToCaller        hubwire.Command[string]        = "ToCaller"
	ToClient        hubwire.Command[toOne]         = "ToClient"
	ToClients       hubwire.Command[toMany]        = "ToClients"
	ToGroup         hubwire.Command[toOne]         = "ToGroup"
	ToGroups        hubwire.Command[toMany]        = "ToGroups"
	ToGroupExcept   hubwire.Command[toGroupExcept] = "ToGroupExcept"
	ToOthersInGroup hubwire.Command[toOne]         = "ToOthersInGroup"
	ToUser          hubwire.Command[toOne]         = "ToUser"
	ToUsers         hubwire.Command[toMany]        = "ToUsers"
	ToCallerMany    hubwire.Command[int32]         = "ToCallerMany"
	ToCallerArgs    hubwire.Command[hubwire.None]  = "ToCallerArgs"
	AddTo           hubwire.Command[string]        = "AddTo"
	RemoveFrom      hubwire.Command[string]        = "RemoveFrom"
	AddOther        hubwire.Command[membership]    = "AddOther"
	RemoveOther     hubwire.Command[membership]    = "RemoveOther"
)

type (
	toOne struct { // a connection, a group or a user, and the message
		hubwire.Args
		To, M string
	}
	toMany struct {
		hubwire.Args
		To []string
		M  string
	}
	toGroupExcept struct {
		hubwire.Args
		Group string
		IDs   []string
		M     string
	}
	membership struct {
		hubwire.Args
		ID, Group string
	}
)

func sends() []hubwire.Handler {
	return []hubwire.Handler{
		ToAll.With(func(ctx context.Context, c *hubwire.Conn, m string) error {
			return Receive.Send(ctx, c.Hub().All(), m)
		}),
		ToAllExcept.With(func(ctx context.Context, c *hubwire.Conn, in toMany) error {
			return Receive.Send(ctx, c.Hub().All().Except(in.To...), in.M)
		}),
		ToOthers.With(func(ctx context.Context, c *hubwire.Conn, m string) error {
			return Receive.Send(ctx, c.Others(), m)
		}),
		ToCaller.With(func(ctx context.Context, c *hubwire.Conn, m string) error {
			return Receive.Send(ctx, c, m)
		}),
		ToClient.With(func(ctx context.Context, c *hubwire.Conn, in toOne) error {
			return Receive.Send(ctx, c.Hub().Conn(in.To), in.M)
		}),
		ToClients.With(func(ctx context.Context, c *hubwire.Conn, in toMany) error {
			return Receive.Send(ctx, c.Hub().Conns(in.To...), in.M)
		}),
		ToGroup.With(func(ctx context.Context, c *hubwire.Conn, in toOne) error {
			return Receive.Send(ctx, c.Hub().Group(in.To), in.M)
		}),
		ToGroups.With(func(ctx context.Context, c *hubwire.Conn, in toMany) error {
			return Receive.Send(ctx, c.Hub().Group(in.To...), in.M)
		}),
		ToGroupExcept.With(func(ctx context.Context, c *hubwire.Conn, in toGroupExcept) error {
			return Receive.Send(ctx, c.Hub().Group(in.Group).Except(in.IDs...), in.M)
		}),
		ToOthersInGroup.With(func(ctx context.Context, c *hubwire.Conn, in toOne) error {
			return Receive.Send(ctx, c.OthersIn(in.To), in.M)
		}),
		ToUser.With(func(ctx context.Context, c *hubwire.Conn, in toOne) error {
			return Receive.Send(ctx, c.Hub().User(in.To), in.M)
		}),
		ToUsers.With(func(ctx context.Context, c *hubwire.Conn, in toMany) error {
			return Receive.Send(ctx, c.Hub().User(in.To...), in.M)
		}),
		ToCallerMany.With(func(ctx context.Context, c *hubwire.Conn, n int32) error {
			for i := range int(n) {
				if err := Receive.Send(ctx, c, strconv.Itoa(i)); err != nil {
					return err
				}
			}
			return nil
		}),
		ToCallerArgs.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) error {
			ada := Person{Name: new("Ada"), Age: 36, Tags: []*string{new("x"), new("y")}}
			return Many.Send(ctx, c, hubwire.List{"a", 1, true, nil, ada})
		}),
		AddTo.With(func(ctx context.Context, c *hubwire.Conn, group string) error { return c.Join(ctx, group) }),
		RemoveFrom.With(func(ctx context.Context, c *hubwire.Conn, group string) error { return c.Leave(ctx, group) }),
		AddOther.With(func(ctx context.Context, c *hubwire.Conn, in membership) error {
			return c.Hub().Join(ctx, in.ID, in.Group)
		}),
		RemoveOther.With(func(ctx context.Context, c *hubwire.Conn, in membership) error {
			return c.Hub().Leave(ctx, in.ID, in.Group)
		}),
	}
}

// The hub for load.
const (
	Echo      hubwire.Method[string, string] = "Echo"
	Broadcast hubwire.Command[string]        = "Broadcast"
)

func benchHandlers() []hubwire.Handler {
	return []hubwire.Handler{
		Echo.With(echo),
		Broadcast.With(func(ctx context.Context, c *hubwire.Conn, m string) error {
			return Receive.Send(ctx, c.Hub().All(), m)
		}),
	}
}
