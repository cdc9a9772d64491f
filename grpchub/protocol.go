package grpchub

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/wire"
)

// A protocol is an encoding of values, with frames around them. Its records are
// ServerFrames without seq.
type protocol struct {
	name  string
	codec wire.Codec
	enc   hubpb.Encoding
	mute  bool // clients cannot be asked: Subscribe
}

var protocols = [...]*protocol{
	{name: "grpc-json", codec: jsonCodec, enc: hubpb.Encoding_JSON},
	{name: "grpc-msgpack", codec: msgpackCodec, enc: hubpb.Encoding_MSGPACK},
	{name: "grpc-protobuf", codec: pbCodec, enc: hubpb.Encoding_PROTOBUF},
	{name: "grpc-json-receive", codec: jsonCodec, enc: hubpb.Encoding_JSON, mute: true},
	{name: "grpc-msgpack-receive", codec: msgpackCodec, enc: hubpb.Encoding_MSGPACK, mute: true},
	{name: "grpc-protobuf-receive", codec: pbCodec, enc: hubpb.Encoding_PROTOBUF, mute: true},
}

// protocolOf is nil for an encoding that there is not.
func protocolOf(enc hubpb.Encoding, mute bool) *protocol {
	if enc == hubpb.Encoding_ENCODING_UNSPECIFIED {
		enc = hubpb.Encoding_JSON
	}
	for _, p := range protocols {
		if p.enc == enc && p.mute == mute {
			return p
		}
	}
	return nil
}

func (p *protocol) Name() string      { return p.name }
func (p *protocol) Codec() wire.Codec { return p.codec }

// Field numbers of ServerFrame and Invocation, for the way of events.
const (
	frameSeq, frameInvocation, frameClose               = 1, 3, 9
	invID, invTarget, invArgs, invHeaders, invJSON      = 1, 2, 3, 6, 8
	tagInvocation                                  byte = frameInvocation<<3 | byte(protowire.BytesType)
	tagClose                                       byte = frameClose<<3 | byte(protowire.BytesType)
)

// AppendEvent appends a ServerFrame with an Invocation.
func (p *protocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	return p.AppendEventHeaders(dst, name, callID, nil, args)
}

// AppendEventHeaders implements wire.HeaderProtocol.
func (p *protocol) AppendEventHeaders(dst []byte, name, callID string, headers map[string]string, args [][]byte) ([]byte, error) {
	if callID != "" && p.mute {
		return dst, wire.ErrNoAnswer
	}
	size := 1 + protowire.SizeBytes(len(name))
	if callID != "" {
		size += 1 + protowire.SizeBytes(len(callID))
	}
	jsons := 0
	for i, a := range args {
		if p.codec == pbCodec {
			if a[0] == isJSON {
				jsons += protowire.SizeVarint(uint64(i))
			}
			a = a[1:]
		}
		size += 1 + protowire.SizeBytes(len(a))
	}
	if jsons > 0 {
		size += 1 + protowire.SizeBytes(jsons)
	}
	for k, v := range headers {
		size += 1 + protowire.SizeBytes(headerSize(k, v))
	}
	dst = append(dst, tagInvocation)
	dst = protowire.AppendVarint(dst, uint64(size))
	if callID != "" {
		dst = appendText(dst, invID, callID)
	}
	dst = appendText(dst, invTarget, name)
	for _, a := range args {
		if p.codec == pbCodec {
			a = a[1:]
		}
		dst = protowire.AppendTag(dst, invArgs, protowire.BytesType)
		dst = protowire.AppendBytes(dst, a)
	}
	for k, v := range headers {
		dst = protowire.AppendTag(dst, invHeaders, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(headerSize(k, v)))
		dst = appendText(appendText(dst, 1, k), 2, v)
	}
	if jsons > 0 {
		dst = protowire.AppendTag(dst, invJSON, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(jsons))
		for i, a := range args {
			if a[0] == isJSON {
				dst = protowire.AppendVarint(dst, uint64(i))
			}
		}
	}
	return dst, nil
}

func headerSize(k, v string) int {
	return 2 + protowire.SizeBytes(len(k)) + protowire.SizeBytes(len(v))
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
}

// value splits what the codec wrote.
func (p *protocol) value(b []byte) (v []byte, json bool) {
	if p.codec != pbCodec || len(b) == 0 {
		return b, false
	}
	return b[1:], b[0] == isJSON
}

// raw is the opposite: what the codec reads.
func (p *protocol) raw(v []byte, json bool) []byte {
	if p.codec != pbCodec {
		return v
	}
	kind := isProto
	if json {
		kind = isJSON
	}
	return append([]byte{kind}, v...)
}

// args are arguments as they came.
func (p *protocol) args(args [][]byte, jsons []uint32) wire.Values {
	v := wire.Values{Codec: p.codec, List: args}
	if p.codec != pbCodec {
		return v
	}
	v.List = make([][]byte, len(args))
	for i, a := range args {
		v.List[i] = p.raw(a, has(jsons, i))
	}
	return v
}

func has(list []uint32, i int) bool {
	for _, x := range list {
		if int(x) == i {
			return true
		}
	}
	return false
}

// A framing puts records on a stream whose messages are protobuf.
type framing struct{ p *protocol }

func (f framing) Protocol() wire.Protocol { return f.p }

// Append appends the records as frames of gRPC. The position is a field behind
// the shared bytes.
func (framing) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		if r.At == (wire.Position{}) {
			dst = grpcwire.AppendFrame(dst, r.Bytes)
			continue
		}
		dst = grpcwire.AppendPrefix(dst, len(r.Bytes)+1+protowire.SizeVarint(r.At.Offset))
		dst = append(dst, r.Bytes...)
		dst = protowire.AppendTag(dst, frameSeq, protowire.VarintType)
		dst = protowire.AppendVarint(dst, r.At.Offset)
	}
	return dst
}

// A jsonFraming puts records on a stream whose messages are JSON
// (application/grpc+json).
type jsonFraming struct{ p *protocol }

func (f jsonFraming) Protocol() wire.Protocol { return f.p }

func (jsonFraming) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		var m hubpb.ServerFrame
		if proto.Unmarshal(r.Bytes, &m) != nil {
			continue // we wrote it
		}
		m.Seq = r.At.Offset
		b, err := protojson.Marshal(&m)
		if err != nil {
			continue // likewise; names that are no UTF-8 do not get here
		}
		dst = grpcwire.AppendFrame(dst, b)
	}
	return dst
}

// A follower looks for the Close frame in what is written, however it is cut.
type follower struct {
	head [5 + closeHead]byte
	n    int // of head
	rest int // of the frame, behind head
}

// closeHead is how much of a frame's message tells a Close, in protobuf or JSON.
const closeHead = len(`{"cl`)

// next reports whether the first bytes of a Close frame end in p.
func (f *follower) next(p []byte) (closes bool) {
	for len(p) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(p))
			f.rest -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.n:f.want()], p)
		f.n += n
		p = p[n:]
		if f.n < f.want() { // which is more once the size is known
			continue
		}
		body := f.head[5:f.n]
		closes = closes || len(body) > 0 && (body[0] == tagClose || string(body) == `{"cl`)
		f.rest = f.size() - len(body)
		f.n = 0
	}
	return closes
}

func (f *follower) size() int { return int(binary.BigEndian.Uint32(f.head[1:])) }

func (f *follower) want() int {
	if f.n < 5 {
		return 5
	}
	return 5 + min(closeHead, f.size())
}
