package grpchub

import (
	"encoding/json"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// A protoCodec writes protobuf messages as themselves and all else as JSON. A
// byte in front of each value says which; it never leaves the process.
type protoCodec struct{}

const (
	isProto byte = iota
	isJSON
)

func (protoCodec) Append(dst []byte, v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok && m.ProtoReflect().IsValid() {
		return proto.MarshalOptions{}.MarshalAppend(append(dst, isProto), m)
	}
	return jsonwire.Codec{}.Append(append(dst, isJSON), v)
}

var messageType = reflect.TypeFor[proto.Message]()

// target is the message that into points to, or points to a pointer to; nil
// where it is none.
func target(into any) (m proto.Message, pointer reflect.Value) {
	if m, ok := into.(proto.Message); ok {
		return m, reflect.Value{}
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, reflect.Value{}
	}
	v = v.Elem()
	if v.Kind() != reflect.Pointer || !v.Type().Implements(messageType) {
		return nil, reflect.Value{}
	}
	return reflect.New(v.Type().Elem()).Interface().(proto.Message), v
}

func (protoCodec) Decode(src []byte, into any) (err error) {
	if len(src) == 0 {
		return fmt.Errorf("grpchub: no value")
	}
	kind, src := src[0], src[1:]
	if s, ok := into.(*json.RawMessage); ok && kind == isJSON {
		*s = append((*s)[:0], src...)
		return nil
	}
	m, pointer := target(into)
	switch {
	case m == nil && kind == isProto:
		if b, ok := into.(*any); ok {
			*b = append([]byte(nil), src...)
			return nil
		}
		return fmt.Errorf("grpchub: %v is no protobuf message; send it as JSON", reflect.TypeOf(into).Elem())
	case m == nil:
		return jsonwire.Codec{}.Decode(src, into)
	case kind == isProto:
		err = proto.Unmarshal(src, m)
	case string(src) == "null" && pointer.IsValid():
		pointer.SetZero()
		return nil
	default:
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(src, m)
	}
	if err == nil && pointer.IsValid() {
		pointer.Set(reflect.ValueOf(m))
	}
	return err
}

// codecs by encoding.
var (
	jsonCodec    wire.Codec = jsonwire.Codec{}
	msgpackCodec wire.Codec = msgpack.Codec{}
	pbCodec      wire.Codec = protoCodec{}
)
