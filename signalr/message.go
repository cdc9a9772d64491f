package signalr

import (
	"sync"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
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

// A protocol is one of the two hub protocols. Both are package variables, so
// that they can be compared.
type protocol interface {
	wire.HeaderProtocol
	// next finds the first message in b, which begins with a message. size is
	// what the message takes with its framing, or 0 if it is not whole; from is
	// how much of b was looked at before, in vain.
	next(b []byte, from int) (body []byte, size int, err error)
	// parse reads one message into p. Errors are fatal: the connection ends.
	parse(p *parser, body []byte) error

	// The appenders add one whole message to dst. An error is the codec's.
	appendItem(dst, id []byte, item any) ([]byte, error)
	appendResult(dst, id []byte, result any) ([]byte, error)
	appendEnd(dst, id []byte) []byte
	appendFailure(dst, id []byte, text string) []byte
	// appendClose: a nil text is no error.
	appendClose(dst []byte, text *string, reconnect bool) []byte
	appendPing(dst []byte) []byte

	// wrongValue is .NET's exception for a value that is none of into's type;
	// what says where it stood: item (of an upload) or argument (the answer to a
	// question).
	wrongValue(raw []byte, into any, what string) *exception
}

// protocols are all there are, in the order in which they are exposed.
var protocols = []protocol{jsonHub, msgpackHub}

// A span is a part of a message, by index.
type span struct{ from, to int }

// A parser reads messages, one after the other; what it holds of one is valid
// until it reads the next, and as long as the message's bytes. It allocates
// nothing once it has warmed up, and is kept in a pool while nobody reads.
type parser struct {
	kind    kind
	id      []byte // invocationId; nil where there is none
	target  []byte
	args    []byte // what the spans of list are parts of
	list    []span // the arguments; an empty span does not decode
	argsErr error  // what is wrong with the list as a whole
	streams [][]byte

	item   []byte // empty if it could not be cut out
	result []byte // nil where there is none
	text   []byte // error of a Completion or Close
	failed bool   // there is an error

	allowReconnect bool
	sequenceID     int64
	headers        map[string]string

	wantHeaders bool // headers are wanted, not only checked
	json        jsonwire.Scanner
	mp          msgpack.Reader
	scratch     []byte // texts that needed decoding
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// maxPooled is the largest scratch or list that a pooled parser keeps.
const maxPooled = 4 << 10

func (p *parser) release() {
	p.reset()
	p.json.Reset(nil)
	p.mp.Reset(nil)
	if cap(p.scratch) > maxPooled {
		p.scratch = nil
	}
	if cap(p.list) > maxPooled/16 {
		p.list = nil
	}
	if cap(p.streams) > maxPooled/24 {
		p.streams = nil
	}
	parsers.Put(p)
}

func (p *parser) reset() {
	p.kind, p.id, p.target, p.args, p.argsErr = 0, nil, nil, nil, nil
	p.list = p.list[:0]
	clear(p.streams)
	p.streams = p.streams[:0]
	p.item, p.result, p.text, p.failed = nil, nil, nil, false
	p.allowReconnect, p.sequenceID, p.headers = false, 0, nil
	p.scratch = p.scratch[:0]
}
