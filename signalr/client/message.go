package client

import (
	"fmt"
	"sync"

	"github.com/hubwire/hubwire/wire"
)

// A kind is the type of a hub message. Numbers that are not listed are skipped.
type kind int32

// The message types of both protocols.
const (
	invocation       kind = 1
	streamItem       kind = 2
	completion       kind = 3
	streamInvocation kind = 4
	cancelInvocation kind = 5
	ping             kind = 6
	closeMessage     kind = 7
	ack              kind = 8
	sequence         kind = 9
)

// counted reports whether stateful reconnect counts messages of the kind.
func (k kind) counted() bool { return k >= invocation && k <= cancelInvocation }

// A message is one hub message from the server. Its slices are parts of the
// message's bytes, or of scratch, and valid until the next is parsed.
type message struct {
	kind      kind
	id        []byte // invocationId; empty where there is none
	target    []byte
	args      [][]byte
	argsErr   error  // what is wrong with the arguments as a whole
	value     []byte // item or result; nil where there is none
	text      []byte // error of a Completion or Close
	failed    bool   // there is an error
	reconnect bool   // allowReconnect
	sequence  int64  // of an Ack or a Sequence

	scratch []byte
}

func (m *message) reset() {
	*m = message{args: m.args[:0], scratch: m.scratch[:0]}
}

// maxArgs is how many arguments an event may have. Each takes memory beyond its
// bytes.
const maxArgs = 1 << 16

// A protocol is one of the two hub protocols (spec, sections 4 and 5).
type protocol interface {
	name() string
	binary() bool
	codec() wire.Codec
	// next finds the first message in b. size is what it takes with its
	// framing, or 0 if it is not whole; from is how much of b was looked at
	// before, in vain.
	next(b []byte, from int) (body []byte, size int, err error)
	// parse reads one message. Errors end the connection.
	parse(m *message, body []byte) error

	// The appenders add one whole message to dst. Errors are the codec's.
	appendCall(dst []byte, c *outgoing) ([]byte, error)
	appendItem(dst []byte, id string, item any) ([]byte, error)
	appendResult(dst []byte, id string, result any) ([]byte, error)
	appendEnd(dst []byte, id string) []byte
	appendFailure(dst []byte, id, text string) []byte
	appendCancel(dst []byte, id string) []byte
	appendPing(dst []byte) []byte
	appendClose(dst []byte) []byte
	appendAck(dst []byte, n int64) []byte
	appendSequence(dst []byte, n int64) []byte
}

// An outgoing is an Invocation or StreamInvocation to the hub.
type outgoing struct {
	id      string // empty: no answer is wanted
	stream  bool
	target  string
	args    []any
	streams []string
}

// An argError says which argument could not be encoded.
func argError(i int, err error) error { return fmt.Errorf("argument %d: %w", i, err) }

func protocolByName(name string) protocol {
	switch name {
	case "json":
		return jsonHub
	case "messagepack":
		return msgpackHub
	}
	return nil
}

// A badMessage is a message that breaks the protocol. It ends the connection.
type badMessage string

func (e badMessage) Error() string { return "message from the server: " + string(e) }

func missing(name string) error { return badMessage("'" + name + "' is missing") }

func mistyped(name, want string) error { return badMessage("'" + name + "' is no " + want) }

// buffers are for messages on their way out.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// maxPooled is the largest buffer that is kept for another message.
const maxPooled = 64 << 10

func freeBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		buffers.Put(b)
	}
}
