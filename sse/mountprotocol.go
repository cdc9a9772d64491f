package sse

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// protocol is the hub's events as Server-Sent Events: the event's name, and as
// data the JSON array of its arguments. A record is the lines of one event
// without the blank line, as a position may follow.
var protocol = &hubProtocol{}

type hubProtocol struct{ _ byte } // of a size, so that its address is its own

func (*hubProtocol) Name() string { return "sse" }

func (*hubProtocol) Codec() wire.Codec { return jsonwire.Codec{} }

func (*hubProtocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	if callID != "" {
		return dst, wire.ErrNoAnswer
	}
	if breaks(name) || bytes.IndexByte([]byte(name), mark) >= 0 {
		return dst, fmt.Errorf("sse: event name %.40q has a line break or a NUL: %w", name, ErrInvalid)
	}
	dst = append(append(append(dst, "event: "...), name...), '\n')
	lines := false
	for _, a := range args {
		lines = lines || bytes.IndexByte(a, '\n') >= 0 || bytes.IndexByte(a, '\r') >= 0
	}
	if lines { // white space of a marshaler's
		list := appendList(nil, args)
		return appendLines(dst, "data: ", text(list)), nil
	}
	return append(appendList(append(dst, "data: "...), args), '\n'), nil
}

func appendList(dst []byte, args [][]byte) []byte {
	dst = append(dst, '[')
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, a...)
	}
	return append(dst, ']')
}

// A hubFraming makes events of records. On a connection that was taken over it
// puts all that there are into one chunk (RFC 9112, section 7.1).
type hubFraming struct{ chunked bool }

func (hubFraming) Protocol() wire.Protocol { return protocol }

func (f hubFraming) Append(dst []byte, recs []wire.Record) []byte {
	if !f.chunked {
		return appendRecords(dst, recs)
	}
	n := 0
	for _, r := range recs {
		n += len(r.Bytes) + 1
		if r.At != (wire.Position{}) {
			n += len(appendPosition(make([]byte, 0, 64), r.At))
		}
	}
	dst = append(strconv.AppendInt(dst, int64(n), 16), "\r\n"...)
	return append(appendRecords(dst, recs), "\r\n"...)
}

// frame frames text that is no record.
func (f hubFraming) frame(text []byte) []byte {
	if f.chunked {
		return appendChunk(nil, text)
	}
	return text
}

func appendRecords(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = append(dst, r.Bytes...)
		if r.At != (wire.Position{}) {
			dst = appendPosition(dst, r.At)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendPosition appends the id of a logged event.
func appendPosition(dst []byte, at wire.Position) []byte {
	dst = strconv.AppendUint(append(dst, "id: "...), at.Epoch, 16)
	dst = strconv.AppendUint(append(dst, '-'), at.Offset, 10)
	return append(dst, '\n')
}

// mark is the byte behind the last one of a stream, for its transport: no event
// has it.
const mark = 0

// endID is the id of the last event of what is not to begin again.
const endID = "hubwire:end"

// ending is the last words of a stream, framed.
func (f hubFraming) ending(words []byte) []byte {
	var b []byte
	if len(words) > 0 {
		b = f.frame(words)
	}
	if f.chunked {
		b = append(b, lastChunk...)
	}
	return append(b, mark)
}
