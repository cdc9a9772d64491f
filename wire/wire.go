// Package wire is the narrow waist between the hub and the wires that serve it.
//
// A wire (package signalr, sse, jsonrpc, …) turns bytes into a [Call] and gives
// it to the hub; the hub turns an event into a [Record] for every [Protocol] in
// use and gives it to a [Link]. A wire knows nothing of groups, the hub knows
// nothing of framing. Applications need this package only to write a wire, a
// client or a backplane of their own.
package wire

import (
	"context"
	"errors"
	"io"
	"iter"
)

// A Kind says what a name is: who calls whom, and what streams.
type Kind uint8

// The kinds of names, and Connect, which only filters see.
const (
	Command      Kind = iota + 1 // client to hub, no result
	Method                       // client to hub, one result
	ServerStream                 // client to hub, the hub streams back
	ClientStream                 // client to hub, the client streams
	BidiStream                   // client to hub, both stream
	Event                        // hub to clients, no answer
	ClientMethod                 // hub to one client, one answer
	Connect                      // the Connect callback, as a filter sees it
)

var kinds = [...]string{"", "command", "method", "server stream", "client stream", "bidi stream", "event", "client method", "connect"}

// String is the kind in words, as used in errors and logs.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// Streams reports whether a call of this kind answers with a sequence of items.
func (k Kind) Streams() bool { return k == ServerStream || k == BidiStream }

// A Codec encodes and decodes single values: arguments, items and results.
// It is used by many goroutines at once, unless a wire makes one for each call.
type Codec interface {
	// Append appends the encoded v to dst. On an error dst is not to be used.
	Append(dst []byte, v any) ([]byte, error)
	// Decode decodes src into the value that into points to. It keeps no
	// reference to src.
	Decode(src []byte, into any) error
}

// Values are arguments, or one result, as they came: raw until the types that
// they shall have are known.
type Values struct {
	Codec Codec
	List  [][]byte          // by position
	Named map[string][]byte // by name; List then holds the whole as its one value
	// Err is what is wrong with the list as a whole: binding fails with it. For
	// the answer to a question it is what an answer without a result means
	// where one was wanted.
	Err error
}

// A Position is the place of an event in a log. The zero Position is none.
type Position struct{ Epoch, Offset uint64 }

// A Record is one encoded message of a Protocol. Its bytes are shared by all
// connections that get it and never change.
type Record struct {
	Bytes []byte
	At    Position
}

// A Protocol encodes events. Its Name is the key of the backplane's blobs.
// Implementations are comparable values, usually pointers to package variables.
type Protocol interface {
	Name() string
	Codec() Codec
	// AppendEvent appends one message that calls name at the client. args are
	// encoded by Codec. callID is empty for an event and set where the client
	// shall answer. Where clients cannot, the error is ErrNoAnswer.
	AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error)
}

// ErrNoAnswer is AppendEvent's error for a question to clients that have no way
// to answer.
var ErrNoAnswer = errors.New("wire: clients of this protocol cannot be asked")

// A HeaderProtocol can send headers with a call to the client, for trace hooks.
type HeaderProtocol interface {
	Protocol
	AppendEventHeaders(dst []byte, name, callID string, headers map[string]string, args [][]byte) ([]byte, error)
}

// A NamedProtocol can call a client with named arguments. names are those of args,
// or nil.
type NamedProtocol interface {
	Protocol
	AppendNamed(dst []byte, name, callID string, headers map[string]string, names []string, args [][]byte) ([]byte, error)
}

// A Framing puts records on a transport: for SignalR over WebSockets, as few
// WebSocket messages as its limit allows. Implementations are comparable: equal
// framings share framed bytes.
type Framing interface {
	Protocol() Protocol
	// Append appends the framed records. It never splits a record over two
	// frames.
	Append(dst []byte, recs []Record) []byte
}

// A Link is the transport of one connection, as the hub sees it. The hub never
// calls TryWrite and Write at the same time, and neither after Close.
type Link interface {
	Framing() Framing
	// TryWrite writes what can be written without blocking and says how much
	// that was; the hub gives the rest to Write. A link that cannot write
	// without blocking (TLS, a poll) returns 0, nil. p is not kept.
	TryWrite(p []byte) (n int, err error)
	// Write writes all of p, or fails. It may block; only the hub's drain
	// goroutine calls it, and Close ends it. p is not kept.
	Write(p []byte) error
	// Close ends the connection: the wire tells the client why where it still
	// can, whether it may reconnect, and calls [Port.End] when its reader has
	// ended. Close does not block, may be called from any goroutine and more
	// than once; the first call counts. A nil reason is an ordinary end.
	Close(reason error, reconnect bool)
}

// A Resumable is a Link whose connection keeps what it sends until the client has
// acknowledged it, so that it can go on over another link (stateful reconnect).
type Resumable interface {
	Link
	// Unacked is asked once, when the connection opens: how many bytes may be
	// unacknowledged before records wait. Zero or less: nothing is kept.
	Unacked() int
}

// A Passer is a Link whose reader may run calls itself (hubwire.Port.Turns).
type Passer interface {
	Link
	// Pass makes another goroutine the reader: the one that reads runs a call that
	// lasts. It is called at most once for each Port.Turn, from any goroutine, and
	// does not block.
	Pass()
}

// A Greeter is a Link that has something to say before all else, such as the
// answer to a handshake. It goes out when the connection is in its targets and
// before Connect runs, so that what is sent to all from that moment on follows
// it and nothing precedes it.
type Greeter interface {
	Link
	// Greeting is asked once, when the connection opens: a frame as it is, nil
	// for none. Where Hub.Open returns no Port it has not been sent.
	Greeting() []byte
}

// ErrLost is the reason with which the hub closes a link that failed, where the
// connection may go on over another: a drop like any other, and not the end.
var ErrLost = errors.New("wire: the link is lost")

// A Source is an uploaded stream. Next decodes the next item; io.EOF is the
// end. Next is called by one goroutine at a time. The hub calls Close once the
// call has ended: what still comes is dropped.
type Source interface {
	Next(ctx context.Context, into any) error
	Close()
}

// EOF is what Source.Next and Results.Next return at the end.
var EOF = io.EOF

// A Reply is where a call's outcome goes. The hub calls Item only for kinds
// that stream, and Done exactly once, last. Neither is called when the client
// wants no answer (a nil Reply).
type Reply interface {
	// Item sends one item. It waits for room in the connection's queue and
	// returns an error when ctx or the connection has ended; nothing of v is
	// kept.
	Item(ctx context.Context, v any) error
	// Done sends the result or the error. Errors that the hub itself makes are
	// of type *Fault. It does not block.
	Done(v any, err error)
}

// A Beginner is a Reply that wants to know when a stream has begun: when its
// arguments were good and before its first item.
type Beginner interface {
	Reply
	Begin()
}

// A Call is one call that a client makes.
type Call struct {
	Name string
	// ID is the client's name for the call, for Port.Cancel. Empty: the call
	// cannot be cancelled.
	ID      string
	Stream  bool // the client expects a stream of results
	Args    Values
	Uploads []Source
	Reply   Reply // nil: the client wants no answer
	// Headers are what came with the call besides its arguments, for trace
	// hooks. Nil where there were none.
	Headers map[string]string
	// Size is how many bytes of input the call holds while it waits.
	Size int
	// Free, where it is not nil, is called when the hub has done with a call that
	// is no stream and has no uploads: nothing of it, the memory of its arguments
	// included, is referred to any more. It is not called for every call: those of
	// a connection that has ended are left to the collector, and those that went
	// through a filter, which may have left something running that still has the
	// call. It must not call the hub.
	Free func()
}

// An OutCall is one call that a client makes of a hub.
type OutCall struct {
	Name    string
	Kind    Kind
	NoReply bool // Command.Send: do not wait for an answer
	Args    []any
	Uploads []iter.Seq2[any, error]
	// Names are what the Args are called, as many or more, for wires with named
	// arguments; nil where they have no names. They are shared and never change.
	Names []string
	// Places says where the Uploads stand among all arguments, for wires where
	// they take a place; nil: behind the Args. Shared likewise.
	Places []int
}

// Results are the outcome of an OutCall: any number of items for a kind that
// streams, else one result, or none for a Command.
type Results interface {
	// Next decodes the next item or the result. io.EOF is the end.
	Next(ctx context.Context, into any) error
	// Close gives the call up: it cancels what still runs. It may be called
	// more than once.
	Close() error
}

// A FaultKind says at which step a call failed.
type FaultKind uint8

// The steps at which a call can fail.
const (
	UnknownMethod FaultKind = iota + 1 // no handler has that name
	BadArguments                       // wrong number or types: Err says which
	Unauthorized                       // a filter refused with ErrUnauthorized
	MustStream                         // a streaming name was called as a unary one
	MustNotStream                      // the other way round
	WrongStreams                       // the number of uploads: Got, Want
	Failed                             // the handler or a filter failed: Err
	StreamFailed                       // the stream failed after it began: Err
	NilStream                          // the handler returned a nil sequence
	IDInUse                            // a stream with that id is running
)

// A Fault is how the hub tells a wire that a call failed, so that each wire can
// say it in its own words.
type Fault struct {
	Kind      FaultKind
	Name      string // the registered name, or the client's where there is none
	Got, Want int    // for WrongStreams
	Err       error  // what the handler said, or what did not bind
}

func (f *Fault) Error() string {
	if f.Err != nil {
		return f.Name + ": " + f.Err.Error()
	}
	return f.Name + ": " + f.Kind.String()
}

func (f *Fault) Unwrap() error { return f.Err }

// A ConnError is the error of a question to a connection that is not there, or
// that left before it answered.
type ConnError struct {
	Conn string // its id
	Left bool
}

func (e *ConnError) Error() string { return "hubwire: " + e.Text() }

// Text is the error in .NET's words.
func (e *ConnError) Text() string {
	if e.Left {
		return "Connection '" + e.Conn + "' disconnected."
	}
	return "Connection '" + e.Conn + "' does not exist."
}

var faults = [...]string{"", "unknown method", "arguments do not bind", "unauthorized", "is a stream", "is not a stream", "wrong number of streams", "failed", "stream failed", "returned no stream", "call id is in use"}

// String is the kind in words.
func (k FaultKind) String() string {
	if int(k) < len(faults) {
		return faults[k]
	}
	return "failed"
}
