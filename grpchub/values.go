package grpchub

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// A jsonValue is a value that came as JSON: members of JSON get its bytes, those
// of MessagePack what they mean, whole numbers as such.
type jsonValue struct{ raw json.RawMessage }

func newJSONValue(raw []byte) (any, *grpcwire.Status) {
	if !json.Valid(raw) {
		return nil, fail(hubwire.CodeInvalidArgument, "An argument is no JSON.")
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, fail(hubwire.CodeInvalidArgument, "An argument is no JSON.")
	}
	return jsonValue{b.Bytes()}, nil
}

func (v jsonValue) MarshalJSON() ([]byte, error) { return v.raw, nil }

// AppendMsgpack implements msgpack.Appender.
func (v jsonValue) AppendMsgpack(dst []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(v.raw))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return nil, err
	}
	return msgpack.Codec{}.Append(dst, numbers(x))
}

// numbers makes Go's numbers of JSON's.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return u
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		f, _ := new(big.Float).SetString(string(v)) // beyond float64: infinite
		x, _ := f.Float64()
		return x
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// A msgpackValue is a value that came as MessagePack.
type msgpackValue struct{ raw []byte }

func newMsgpackValue(raw []byte) (any, *grpcwire.Status) {
	var x any
	if err := (msgpack.Codec{}).Decode(raw, &x); err != nil {
		return nil, fail(hubwire.CodeInvalidArgument, "An argument is no MessagePack.")
	}
	return msgpackValue{raw}, nil
}

// AppendMsgpack implements msgpack.Appender.
func (v msgpackValue) AppendMsgpack(dst []byte) ([]byte, error) { return append(dst, v.raw...), nil }

func (v msgpackValue) MarshalJSON() ([]byte, error) {
	var x any
	if err := (msgpack.Codec{}).Decode(v.raw, &x); err != nil {
		return nil, err
	}
	return jsonwire.Codec{}.Append(nil, x)
}
