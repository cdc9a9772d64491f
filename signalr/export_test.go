package signalr

import (
	"fmt"
	"sort"
	"strings"
	"unsafe"

	"github.com/hubwire/hubwire/wire"
)

// What tests of the outside need of the inside.

// Records cuts b into messages of a protocol and describes each; the rest is
// what is not whole. It stops at the first fatal error.
func Records(name string, b []byte) (list []string, rest []byte, err error) {
	hub := protocolByName(name)
	p := parsers.Get().(*parser)
	p.wantHeaders = true
	defer p.release()
	for len(b) > 0 {
		body, size, err := hub.next(b, 0)
		if err == nil && size == 0 {
			return list, b, nil
		}
		if err == nil {
			err = hub.parse(p, body)
		}
		if err != nil {
			return list, b, fmt.Errorf("%s: %w", typeName(err), err)
		}
		list = append(list, p.describe())
		b = b[size:]
	}
	return list, nil, nil
}

// describe shows what was parsed.
func (p *parser) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", p.kind)
	if p.id != nil {
		fmt.Fprintf(&b, " id=%s", p.id)
	}
	if p.kind == invocation || p.kind == streamInvocation {
		fmt.Fprintf(&b, " target=%s args=", p.target)
		for _, s := range p.list {
			fmt.Fprintf(&b, "(%s)", printableValue(p.args[s.from:s.to]))
		}
		if p.argsErr != nil {
			fmt.Fprintf(&b, "!%s", p.argsErr)
		}
		if len(p.streams) > 0 {
			fmt.Fprintf(&b, " streams=%s", p.streams)
		}
	}
	if p.kind == streamItem {
		fmt.Fprintf(&b, " item=%s", printableValue(p.item))
	}
	if p.result != nil && p.kind == completion {
		fmt.Fprintf(&b, " result=%s", printableValue(p.result))
	}
	if p.failed && (p.kind == completion || p.kind == closeMessage) {
		fmt.Fprintf(&b, " error=%q", p.text)
	}
	if p.kind == closeMessage && p.allowReconnect {
		b.WriteString(" reconnect")
	}
	if p.kind == ack || p.kind == sequence {
		fmt.Fprintf(&b, " %d", p.sequenceID)
	}
	var names []string
	for k, v := range p.headers {
		names = append(names, k+"="+v)
	}
	sort.Strings(names)
	if names != nil {
		fmt.Fprintf(&b, " headers=%s", names)
	}
	return b.String()
}

// printableValue shows MessagePack in hex.
func printableValue(raw []byte) string {
	for _, c := range raw {
		if c >= 0x7F || c < 0x20 {
			return fmt.Sprintf("%x", raw)
		}
	}
	return string(raw)
}

// Handshake reads a handshake and says what it asks for, or the fault.
func Handshake(record []byte) string {
	p := parsers.Get().(*parser)
	defer p.release()
	h, err := p.parseHandshake(record)
	if err != nil {
		return typeName(err) + ": " + err.Error()
	}
	return fmt.Sprintf("%s %d", h.protocol, h.version)
}

// A Writer writes messages of a protocol.
type Writer struct{ hub protocol }

func NewWriter(name string) Writer { return Writer{protocolByName(name)} }

func (w Writer) Protocol() wire.Protocol { return w.hub }
func (w Writer) Framing() wire.Framing   { return socketFramings.of(w.hub).Framing }
func (w Writer) Item(id string, v any) []byte {
	b, err := w.hub.appendItem(nil, []byte(id), v)
	if err != nil {
		panic(err)
	}
	return b
}
func (w Writer) Result(dst []byte, id string, v any) []byte {
	b, err := w.hub.appendResult(dst, []byte(id), v)
	if err != nil {
		panic(err)
	}
	return b
}
func (w Writer) End(id string) []byte           { return w.hub.appendEnd(nil, []byte(id)) }
func (w Writer) Failure(id, text string) []byte { return w.hub.appendFailure(nil, []byte(id), text) }
func (w Writer) Close(text *string, reconnect bool) []byte {
	return w.hub.appendClose(nil, text, reconnect)
}
func (w Writer) Ping() []byte { return w.hub.appendPing(nil) }

// Token makes a connection token that expires at a Unix second.
func Token(key []byte, node, hub, user string, version byte, expires int64) string {
	s := signer{key, node, hub}
	return s.sign(claim{version, false, expires, newConnID()}, user)
}

// RequestedVersion is what a negotiation speaks, or what is wrong.
var RequestedVersion = requestedVersion

// FailureText is the error of a Completion.
var FailureText = failureText

// ConnSize is what a connection takes here, without the hub's and the socket's.
const ConnSize = unsafe.Sizeof(conn{})

// SettleTime is how long quick calls may answer before the end.
const SettleTime = settleTime

// A Reader reads messages of a protocol, as a connection does.
type Reader struct {
	hub protocol
	p   *parser
}

func NewReader(name string) *Reader { return &Reader{protocolByName(name), new(parser)} }

// Read reads one message.
func (r *Reader) Read(b []byte) error {
	body, size, err := r.hub.next(b, 0)
	if err != nil || size == 0 {
		return fmt.Errorf("%d of %d bytes: %w", size, len(b), err)
	}
	return r.hub.parse(r.p, body)
}

// AppendEvent makes an event of a payload.
var AppendEvent = appendEvent

// EventChunks frames records for an event stream.
func EventChunks(records ...string) string {
	var recs []wire.Record
	for _, r := range records {
		recs = append(recs, wire.Record{Bytes: []byte(r)})
	}
	return string(eventFramings.json.Append(nil, recs))
}

// PollChunks frames records for polls, with the end behind them.
func PollChunks(recs []wire.Record) []byte {
	return append(pollFramings.msgpack.Append(nil, recs), lastChunk...)
}

// Follow follows chunks that come in pieces: their data, and what each part ended
// with.
func Follow(pieces [][]byte) (data []byte, ends []string) {
	var f follower
	for _, p := range pieces {
		for len(p) > 0 {
			n, d, end := f.next(p)
			data = append(data, d...)
			p = p[n:]
			if end != cut {
				ends = append(ends, map[chunkEnd]string{whole: "whole", last: "last"}[end])
			}
		}
	}
	return data, ends
}
