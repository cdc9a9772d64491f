package grpcwire

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A codec is how messages are written: protobuf, or JSON as protobuf has it.
type codec interface {
	append(dst []byte, m proto.Message) ([]byte, error)
	decode(src []byte, m proto.Message) error
}

type protoCodec struct{}

func (protoCodec) append(dst []byte, m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(dst, m)
}

func (protoCodec) decode(src []byte, m proto.Message) error { return proto.Unmarshal(src, m) }

type jsonCodec struct{}

func (jsonCodec) append(dst []byte, m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{}.MarshalAppend(dst, m)
}

func (jsonCodec) decode(src []byte, m proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(src, m)
}

// A form is a content type: which protocol, and how messages are written.
type form struct {
	mime  string // as it is answered
	web   bool
	text  bool // base64
	codec codec
	// header is mime as a header's value, with no room to append to.
	header []string
}

var forms = map[string]form{}

func init() {
	for _, f := range []form{{mime: "application/grpc"}, {mime: "application/grpc-web", web: true}, {mime: "application/grpc-web-text", web: true, text: true}} {
		for sub, c := range map[string]codec{"": protoCodec{}, "+proto": protoCodec{}, "+json": jsonCodec{}} {
			g := f
			g.mime += sub
			g.codec = c
			g.header = []string{g.mime}
			forms[g.mime] = g
		}
	}
}
