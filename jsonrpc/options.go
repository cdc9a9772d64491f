package jsonrpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/hubwire/hubwire"
)

// An Order says which calls of one connection may run at the same time. In every
// order they begin in the order of their arrival, and answers, cancels and
// progress pass the calls that wait.
type Order uint8

const (
	// DefaultOrder is Barrier for a Conn, and HubOrder for mounts and listeners.
	DefaultOrder Order = iota
	// Barrier lets a notification end before anything behind it begins; requests
	// run beside each other. What a language server wants: a request sees the
	// changes that came before it.
	Barrier
	// Serial runs one call at a time.
	Serial
	// Unordered runs all beside each other, notifications too.
	Unordered
	// HubOrder is what the hub's ParallelCalls says.
	HubOrder
)

// A Style is how arguments of outgoing calls are written.
type Style uint8

const (
	// Positional arguments are an array.
	Positional Style = iota
	// Named arguments are an object: the fields of an Args struct by their names,
	// or the single argument itself where it is an object. Whatever has no names
	// is an array.
	Named
)

// Options configure a Conn, or the connections of a mount. A nil *Options and
// the zero value of each field mean the default.
type Options struct {
	// Framing is how messages stand in a stream of bytes. Defaults to Header.
	// WebSockets and HTTP have no use for it.
	Framing Framing
	// Notation is how messages are written. Defaults to JSON. MessagePack makes
	// Framing default to Length, the only one that can carry it.
	Notation Notation
	// Order is which calls may run at the same time.
	Order Order
	// MaxCalls is how many calls run at a time with Barrier and Unordered; more
	// wait. Defaults to 1024.
	MaxCalls int
	// Style is how arguments of outgoing calls and events are written.
	Style Style

	// Handlers are what the peer can call, for a Conn without a hub: events and
	// questions of a hub at the other end. With a hub there must be none.
	Handlers []hubwire.ClientHandler
	// Names gives the names under which a handler of the hub can be called; none
	// hides it. One that is another handler's own is that one's. Defaults to its own.
	Names func(name string) []string
	// Flexible says which methods are called by name with some freedom, as with
	// StreamJsonRpc's AllowFlexibleNamedArgumentMatching: arguments that they do not
	// know are ignored, and those that are missing are zero, but for the required
	// ones. Nil: none.
	Flexible func(name string) (required []string, ok bool)

	// MaxMessage is how many bytes a message may have. A larger one, up to twice
	// that, is skipped and answered with an error; beyond, the connection ends.
	// Defaults to 64 MiB.
	MaxMessage int
	// MaxBatch is how many messages a batch may have. Defaults to 1000.
	MaxBatch int
	// MaxBatchReply is how many bytes the answer to a batch may have; what goes
	// beyond is answered with errors. Defaults to 25 MiB.
	MaxBatchReply int
	// MaxPending is how many own calls may wait for their answers. More fail.
	// Defaults to 65,536.
	MaxPending int

	// Lenient takes messages without or with another version, members that come
	// twice (the last counts), and requests with a result.
	Lenient bool
	// CloseOnBad ends the connection at a message that is no JSON-RPC, where it is
	// else answered with an error: for peers that end at such an answer.
	CloseOnBad bool
	// Version1 speaks JSON-RPC 1.0.
	Version1 bool

	// CancelMethod is the notification that cancels a request, and CancelKey the
	// parameter with its id. Default to $/cancelRequest and id.
	CancelMethod, CancelKey string
	// NoCancelReply leaves a request unanswered that was cancelled.
	NoCancelReply bool

	// Discover lets the peer ask what there is, with rpc.discover; see Info. Defaults
	// to nil: it cannot.
	Discover *Info

	// ErrorData gives the data member of errors that handlers return, but for those
	// of type *Error and *hubwire.Error, which have their own. DataOf is that of
	// StreamJsonRpc. Nil gives none.
	ErrorData func(error) any
	// User is who is behind the connection. Defaults to that of Context.
	User *hubwire.User
	// Context has the values that handlers see. Its end means nothing.
	Context context.Context

	lastID uint64 // the id before that of the first request
}

// LSP are the options of the Language Server Protocol.
func LSP() *Options { return &Options{Style: Named} }

// MCP are the options of the Model Context Protocol over stdio.
func MCP() *Options {
	return &Options{
		Framing: Newline, Style: Named,
		CancelMethod: "notifications/cancelled", CancelKey: "requestId", NoCancelReply: true,
	}
}

// StreamJsonRpc are the options for StreamJsonRpc, the .NET library: what it does
// with odd messages, methods that can be called without their Async, and the first
// id that it would take.
func StreamJsonRpc() *Options {
	return &Options{Lenient: true, CloseOnBad: true, Names: TrimAsync, lastID: 1}
}

func (o *Options) withDefaults(order Order) *Options {
	var x Options
	if o != nil {
		x = *o
	}
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&x.MaxCalls, 1024)
	if x.Order == DefaultOrder {
		x.Order = order
	}
	def(&x.MaxMessage, 64<<20)
	def(&x.MaxBatch, 1000)
	def(&x.MaxBatchReply, 25<<20)
	def(&x.MaxPending, 1<<16)
	if x.CancelMethod == "" {
		x.CancelMethod = "$/cancelRequest"
	}
	if x.CancelKey == "" {
		x.CancelKey = "id"
	}
	if x.Context == nil {
		x.Context = context.Background()
	}
	if x.User == nil {
		x.User = hubwire.UserFrom(x.Context)
	}
	if x.Version1 {
		x.Style = Positional
	}
	if x.Notation != JSON && x.Framing == Header {
		x.Framing = Length
	}
	if bad := x.check(); len(bad) > 0 {
		panic("jsonrpc: options: " + strings.Join(bad, "; "))
	}
	return &x
}

func (o *Options) check() (bad []string) {
	for _, v := range []struct {
		name string
		n    int
	}{{"MaxCalls", o.MaxCalls}, {"MaxMessage", o.MaxMessage}, {"MaxBatch", o.MaxBatch}, {"MaxBatchReply", o.MaxBatchReply}, {"MaxPending", o.MaxPending}} {
		if v.n < 0 {
			bad = append(bad, fmt.Sprintf("%s is %d, and must not be negative", v.name, v.n))
		}
	}
	if o.Order > HubOrder {
		bad = append(bad, fmt.Sprintf("Order is %d, which there is not", o.Order))
	}
	if o.Notation > NerdbankMessagePack {
		bad = append(bad, fmt.Sprintf("Notation is %d, which there is not", o.Notation))
	} else if o.Notation != JSON && (o.Framing == Newline || o.Framing == Sniff || o.Version1) {
		bad = append(bad, "MessagePack needs the framing Length or a WebSocket, and JSON-RPC 2.0")
	}
	if o.Framing > Sniff {
		bad = append(bad, fmt.Sprintf("Framing is %d, which there is not", o.Framing))
	}
	return bad
}
