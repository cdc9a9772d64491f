package hubtest

import (
	"fmt"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// A protocol is frames around values of one codec.
type protocol struct {
	name  string
	codec wire.Codec
}

// The protocols that a client may speak. They differ in their codec, as
// SignalR's do.
var (
	jsonProtocol    = &protocol{"hubtest.json", jsonwire.Codec{}}
	msgpackProtocol = &protocol{"hubtest.messagepack", msgpack.Codec{}}
)

// protocolByName finds what DialOptions.Protocol names.
func protocolByName(name string) (*protocol, error) {
	switch name {
	case "", "json":
		return jsonProtocol, nil
	case "messagepack":
		return msgpackProtocol, nil
	}
	return nil, fmt.Errorf("hubtest: protocol %q is neither json nor messagepack", name)
}

func (p *protocol) Name() string { return p.name }

func (p *protocol) Codec() wire.Codec { return p.codec }

func (p *protocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	f := frame{kind: frameEvent, id: callID, name: name, list: args}
	if callID != "" {
		f.kind = frameQuestion
	}
	return f.append(dst), nil
}

// framing puts the length in front of each record.
type framing struct{ p *protocol }

func (f framing) Protocol() wire.Protocol { return f.p }

func (f framing) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = appendFramed(dst, r.Bytes)
	}
	return dst
}
