package signalr

import (
	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

// A framing puts records into WebSocket messages: text for JSON, binary for
// MessagePack. As many as there are share a message, up to maxJoined bytes; a
// record is never split, since clients cannot join what is (section 0.4.1), and
// a larger one is a message alone.
type framing struct {
	hub  protocol
	op   byte
	ping []byte // the hub's Ping, framed
}

var (
	jsonFraming    = newFraming(jsonHub, wsconn.OpText)
	msgpackFraming = newFraming(msgpackHub, wsconn.OpBinary)
)

func newFraming(p protocol, op byte) *framing {
	f := &framing{hub: p, op: op}
	f.ping = f.Append(nil, []wire.Record{{Bytes: p.appendPing(nil)}})
	return f
}

// maxJoined is the largest message that is made out of smaller ones.
const maxJoined = 64 << 10

// Protocol is the hub protocol whose records these are.
func (f *framing) Protocol() wire.Protocol { return f.hub }

// Append appends the framed records.
func (f *framing) Append(dst []byte, recs []wire.Record) []byte {
	for len(recs) > 0 {
		n, size := 1, len(recs[0].Bytes)
		for n < len(recs) && size+len(recs[n].Bytes) <= maxJoined {
			size += len(recs[n].Bytes)
			n++
		}
		dst = wsconn.AppendHeader(dst, f.op, size)
		for _, r := range recs[:n] {
			dst = append(dst, r.Bytes...)
		}
		recs = recs[n:]
	}
	return dst
}
