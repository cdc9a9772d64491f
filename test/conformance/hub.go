package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/dotnet"
)

// A Person is camelCase in JSON and PascalCase in MessagePack. What a client may
// leave out or send as null is a pointer here and in the names below, where the
// difference shows.
type Person struct {
	Name *string   `json:"name"`
	Age  int32     `json:"age"`
	Tags []*string `json:"tags"`
	Nick *string   `json:"nick"`
}

// complete fills in what was left out: in the class of the contract, name and
// tags begin empty. Where both are nil they were sent as null, and stay so.
func (p *Person) complete() *Person {
	if p == nil || p.Name == nil && p.Tags == nil {
		return p
	}
	if p.Name == nil {
		p.Name = new("")
	}
	if p.Tags == nil {
		p.Tags = []*string{}
	}
	return p
}

// What clients call.
const (
	EchoString   hubwire.Method[*string, *string]                                   = "EchoString"
	EchoInt      hubwire.Method[int32, int32]                                       = "EchoInt"
	EchoLong     hubwire.Method[int64, int64]                                       = "EchoLong"
	EchoDouble   hubwire.Method[float64, float64]                                   = "EchoDouble"
	EchoBool     hubwire.Method[bool, bool]                                         = "EchoBool"
	EchoBytes    hubwire.Method[[]byte, []byte]                                     = "EchoBytes"
	EchoTime     hubwire.Method[dotnet.DateTimeOffset, dotnet.DateTimeOffset]       = "EchoTime"
	EchoGuid     hubwire.Method[dotnet.Guid, dotnet.Guid]                           = "EchoGuid"
	EchoNullable hubwire.Method[*string, *string]                                   = "EchoNullable"
	EchoPerson   hubwire.Method[*Person, *Person]                                   = "EchoPerson"
	EchoPeople   hubwire.Method[[]*Person, []*Person]                               = "EchoPeople"
	EchoMap      hubwire.Method[dotnet.Dictionary[int32], dotnet.Dictionary[int32]] = "EchoMap"
	Join3        hubwire.Method[join3, string]                                      = "Join3"
	Nothing      hubwire.Command[hubwire.None]                                      = "Nothing"
	Fail         hubwire.Command[string]                                            = "Fail"
	FailHub      hubwire.Command[string]                                            = "FailHub"
	Original     hubwire.Method[string, string]                                     = "renamed"
	ConnectionID hubwire.Method[hubwire.None, string]                               = "ConnectionId"
	UserID       hubwire.Method[hubwire.None, *string]                              = "UserId"
	Sleep        hubwire.Method[int32, int32]                                       = "Sleep"
	Abort        hubwire.Command[hubwire.None]                                      = "Abort"
	Item         hubwire.Command[item]                                              = "Item"
	GetItem      hubwire.Method[string, *string]                                    = "GetItem"
	Ask          hubwire.Method[string, *string]                                    = "Ask"
	AskClient    hubwire.Method[askClient, *string]                                 = "AskClient"
	AskVoid      hubwire.Method[hubwire.None, *string]                              = "AskVoid"
	Cancelled    hubwire.Method[hubwire.None, int64]                                = "Cancelled"
)

// What the hub calls at its clients.
const (
	Receive hubwire.Event[string]                 = "Receive"
	Many    hubwire.Event[hubwire.List]           = "Many"
	Gone    hubwire.Event[gone]                   = "Gone"
	Answer  hubwire.ClientMethod[string, *string] = "Answer"
)

// Arguments, where there is more than one.
type (
	join3 struct {
		hubwire.Args
		A string
		B int32
		C bool
	}
	item struct {
		hubwire.Args
		Key, Value string
	}
	askClient struct {
		hubwire.Args
		ID, Q string
	}
	gone struct {
		hubwire.Args
		ID    string
		Error *string
	}
)

// An InvalidOperationException is an ordinary error of the application. With
// detailed errors clients see the name of its type and its text.
type InvalidOperationException struct{ Message string }

func (e *InvalidOperationException) Error() string { return e.Message }

// counter is what Cancelled tells: one number for the whole server.
type counter struct{ atomic.Int64 }

// conformance is the list of handlers that serves every endpoint.
func conformance(cancelled *counter) []hubwire.Handler {
	all := []hubwire.Handler{
		EchoString.With(echo),
		EchoInt.With(echo),
		EchoLong.With(echo),
		EchoDouble.With(echo),
		EchoBool.With(echo),
		EchoBytes.With(echo),
		EchoTime.With(echo),
		EchoGuid.With(echo),
		EchoNullable.With(echo),
		EchoPerson.With(func(_ context.Context, _ *hubwire.Conn, p *Person) (*Person, error) { return p.complete(), nil }),
		EchoPeople.With(func(_ context.Context, _ *hubwire.Conn, all []*Person) ([]*Person, error) {
			for _, p := range all {
				p.complete()
			}
			return all, nil
		}),
		EchoMap.With(echo),
		Original.With(echo),
		Join3.With(func(_ context.Context, _ *hubwire.Conn, in join3) (string, error) {
			truth := "False"
			if in.C {
				truth = "True"
			}
			return fmt.Sprintf("%s|%d|%s", in.A, in.B, truth), nil
		}),
		Nothing.With(func(context.Context, *hubwire.Conn, hubwire.None) error { return nil }),
		Fail.With(func(_ context.Context, _ *hubwire.Conn, m string) error { return &InvalidOperationException{m} }),
		FailHub.With(func(_ context.Context, _ *hubwire.Conn, m string) error {
			return hubwire.Errorf(hubwire.CodeUnknown, "%s", m)
		}),
		ConnectionID.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) { return c.ID(), nil }),
		UserID.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (*string, error) {
			if id := c.User().ID; id != "" {
				return &id, nil
			}
			return nil, nil
		}),
		Sleep.With(sleep),
		Abort.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) error {
			c.Abort()
			return nil
		}),
		Item.With(func(_ context.Context, c *hubwire.Conn, in item) error {
			hubwire.Key[string](in.Key).Set(c, in.Value)
			return nil
		}),
		GetItem.With(func(_ context.Context, c *hubwire.Conn, key string) (*string, error) {
			if v, ok := hubwire.Key[string](key).Get(c); ok {
				return &v, nil
			}
			return nil, nil
		}),
		Ask.With(func(ctx context.Context, c *hubwire.Conn, q string) (*string, error) { return Answer.Call(ctx, c, q) }),
		AskVoid.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (*string, error) {
			return Answer.Call(ctx, c, "void")
		}),
		AskClient.With(func(ctx context.Context, c *hubwire.Conn, in askClient) (*string, error) {
			return Answer.Call(ctx, c.Hub().Conn(in.ID), in.Q)
		}),
		Cancelled.With(func(context.Context, *hubwire.Conn, hubwire.None) (int64, error) { return cancelled.Load(), nil }),
	}
	all = append(all, sends()...)
	return append(all, streams(cancelled)...)
}

func echo[T any](_ context.Context, _ *hubwire.Conn, v T) (T, error) { return v, nil }

func sleep(ctx context.Context, _ *hubwire.Conn, ms int32) (int32, error) {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return ms, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
