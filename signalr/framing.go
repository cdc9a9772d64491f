package signalr

import (
	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

// A messages puts records into WebSocket messages: text for JSON, binary for
// MessagePack. As many as there are share a message, up to maxJoined bytes; a
// record is never split, since clients cannot join what is (section 0.4.1), and
// a larger one is a message alone.
type messages struct {
	hub protocol
	op  byte
}

// Protocol is the hub protocol whose records these are.
func (f *messages) Protocol() wire.Protocol { return f.hub }

// Append appends the framed records.
func (f *messages) Append(dst []byte, recs []wire.Record) []byte {
	for len(recs) > 0 {
		n, size := joined(recs)
		dst = wsconn.AppendHeader(dst, f.op, size)
		for _, r := range recs[:n] {
			dst = append(dst, r.Bytes...)
		}
		recs = recs[n:]
	}
	return dst
}

// maxJoined is the largest message that is made out of smaller ones.
const maxJoined = 64 << 10

// joined is how many of the records share a message, and their bytes.
func joined(recs []wire.Record) (n, size int) {
	n, size = 1, len(recs[0].Bytes)
	for n < len(recs) && size+len(recs[n].Bytes) <= maxJoined {
		size += len(recs[n].Bytes)
		n++
	}
	return n, size
}

// pinging is a framing with its ping.
func pinging(f wire.Framing, p protocol) *framed {
	return &framed{f, f.Append(nil, []wire.Record{{Bytes: p.appendPing(nil)}})}
}

var socketFramings = framings{
	json:    pinging(&messages{jsonHub, wsconn.OpText}, jsonHub),
	msgpack: pinging(&messages{msgpackHub, wsconn.OpBinary}, msgpackHub),
}
