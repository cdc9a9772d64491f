package jsonrpc

import (
	"encoding/json"
	"strconv"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// A Notation is how messages, and the values in them, are written.
type Notation uint8

const (
	// JSON is JSON.
	JSON Notation = iota
	// MessagePack is what StreamJsonRpc's MessagePackFormatter writes. It stands in
	// frames of Length, or in binary messages of WebSockets.
	MessagePack
	// NerdbankMessagePack is that of its NerdbankMessagePackFormatter: the same,
	// but for the answers to questions for a sequence's values.
	NerdbankMessagePack
)

var notationNames = [...]string{"json", "msgpack", "nbmsgpack"}

// String is the name of the notation.
func (n Notation) String() string { return notationNames[min(int(n), len(notationNames)-1)] }

// Below is what the protocol itself puts into messages, in each notation.

// packed is MessagePack that stands for itself.
type packed []byte

// AppendMsgpack is for the codec.
func (p packed) AppendMsgpack(dst []byte) ([]byte, error) { return append(dst, p...), nil }

// DecodeMsgpack is for the codec.
func (p *packed) DecodeMsgpack(src []byte) error {
	*p = append((*p)[:0], src...)
	return nil
}

// verbatim is a value that is encoded already.
func (d *dialect) verbatim(raw []byte) any {
	if d.pack != JSON {
		return packed(raw)
	}
	return json.RawMessage(raw)
}

func (d *dialect) null() []byte {
	if d.pack != JSON {
		return msgpack.AppendNil(nil)
	}
	return nullID
}

func (d *dialect) isNull(raw []byte) bool {
	if d.pack != JSON {
		var r msgpack.Reader
		r.Reset(raw)
		return r.Kind() == msgpack.Nil
	}
	return string(raw) == "null"
}

// number is a number, in bytes of its own.
func (d *dialect) number(n int64) []byte {
	if d.pack != JSON {
		return msgpack.AppendInt(nil, n)
	}
	return strconv.AppendInt(nil, n, 10)
}

func (d *dialect) isNumber(raw []byte) bool {
	if d.pack != JSON {
		var r msgpack.Reader
		r.Reset(raw)
		return r.Kind() == msgpack.Int
	}
	return len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
}

// isToken reports whether raw is a number or a string.
func (d *dialect) isToken(raw []byte) bool {
	if d.pack != JSON {
		var r msgpack.Reader
		r.Reset(raw)
		return r.Kind() == msgpack.Int || r.Kind() == msgpack.String
	}
	return d.isNumber(raw) || len(raw) > 0 && raw[0] == '"'
}

// uint reads a number that is a token of ours.
func (d *dialect) uint(raw []byte) (uint64, bool) {
	if d.pack != JSON {
		var r msgpack.Reader
		r.Reset(raw)
		n, err := r.ReadInt64()
		return uint64(n), err == nil && n >= 0
	}
	return jsonwire.Uint64(raw)
}

// sequence is what stands for a sequence: its token, unless the values are all
// there are, and its first values.
func (d *dialect) sequence(id uint64, over bool, values [][]byte) []byte {
	if d.pack != JSON {
		n := 0
		if !over {
			n++
		}
		if values != nil {
			n++
		}
		b := msgpack.AppendMapHeader(nil, n)
		if !over {
			b = msgpack.AppendUint(msgpack.AppendString(b, "token"), id)
		}
		if values != nil {
			b = appendPackedList(msgpack.AppendString(b, "values"), values)
		}
		return b
	}
	b := []byte{'{'}
	if !over {
		b = strconv.AppendUint(append(b, `"token":`...), id, 10)
	}
	if values != nil {
		if !over {
			b = append(b, ',')
		}
		b = appendList(append(b, `"values":`...), values)
	}
	return append(b, '}')
}

// batch is the answer to a question for values.
func (d *dialect) batch(values [][]byte, size int, finished bool) []byte {
	b := make([]byte, 0, 40+size+len(values))
	switch d.pack {
	case MessagePack:
		b = appendPackedList(msgpack.AppendArrayHeader(b, 2), values)
		return msgpack.AppendBool(b, finished)
	case NerdbankMessagePack:
		b = msgpack.AppendString(msgpack.AppendMapHeader(b, 2), "values")
		b = msgpack.AppendString(appendPackedList(b, values), "finished")
		return msgpack.AppendBool(b, finished)
	}
	b = appendList(append(b, `{"values":`...), values)
	b = strconv.AppendBool(append(b, `,"finished":`...), finished)
	return append(b, '}')
}

func appendList(dst []byte, values [][]byte) []byte {
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, v...)
	}
	return append(dst, ']')
}

func appendPackedList(dst []byte, values [][]byte) []byte {
	dst = msgpack.AppendArrayHeader(dst, len(values))
	for _, v := range values {
		dst = append(dst, v...)
	}
	return dst
}

// lent is what stands for an object.
type lent struct {
	mine     bool // the sender has it
	handle   int64
	scoped   bool // lives as long as the request
	optional []int32
}

// Members of what stands for an object.
const (
	marshaledKey  = "__jsonrpc_marshaled"
	handleKey     = "handle"
	lifetimeKey   = "lifetime"
	interfacesKey = "optionalInterfaces"
)

func (d *dialect) lent(o lent) []byte {
	marker := int64(0)
	if o.mine {
		marker = 1
	}
	if d.pack != JSON {
		b := msgpack.AppendInt(msgpack.AppendString(msgpack.AppendMapHeader(nil, 4), marshaledKey), marker)
		b = msgpack.AppendInt(msgpack.AppendString(b, handleKey), o.handle)
		b = msgpack.AppendString(b, lifetimeKey)
		if o.scoped {
			b = msgpack.AppendString(b, "call")
		} else {
			b = msgpack.AppendNil(b)
		}
		b = msgpack.AppendString(b, interfacesKey)
		if len(o.optional) == 0 {
			return msgpack.AppendNil(b)
		}
		b = msgpack.AppendArrayHeader(b, len(o.optional))
		for _, code := range o.optional {
			b = msgpack.AppendInt(b, int64(code))
		}
		return b
	}
	b := strconv.AppendInt(append([]byte(nil), `{"`+marshaledKey+`":`...), marker, 10)
	b = strconv.AppendInt(append(b, `,"`+handleKey+`":`...), o.handle, 10)
	if o.scoped {
		b = append(b, `,"`+lifetimeKey+`":"call"`...)
	}
	if len(o.optional) > 0 {
		b = append(b, `,"`+interfacesKey+`":[`...)
		for i, code := range o.optional {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(code), 10)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// readLent reads what stands for an object. What it does not know means nothing.
func (d *dialect) readLent(raw []byte) (o lent, ok bool) {
	var marker, handle bool
	member := func(key string, v []byte) {
		n, err := d.int(v)
		switch {
		case key == marshaledKey && err == nil && (n == 0 || n == 1):
			marker, o.mine = true, n == 1
		case key == handleKey && err == nil:
			handle, o.handle = true, n
		case key == lifetimeKey:
			var text string
			o.scoped = d.Codec().Decode(v, &text) == nil && text == "call"
		case key == interfacesKey:
			if d.Codec().Decode(v, &o.optional) != nil {
				o.optional = nil
			}
		}
	}
	if !d.members(raw, member) {
		return o, false
	}
	return o, marker && handle
}

func (d *dialect) int(raw []byte) (n int64, err error) {
	return n, d.Codec().Decode(raw, &n)
}

// members shows the members of an object, and reports whether raw is one.
func (d *dialect) members(raw []byte, member func(key string, value []byte)) bool {
	if d.pack != JSON {
		var r msgpack.Reader
		r.Reset(raw)
		n, err := r.ReadMapHeader()
		if err != nil {
			return false
		}
		for range n {
			key, err := r.ReadString()
			if err != nil {
				return false
			}
			v, err := r.ReadRaw()
			if err != nil {
				return false
			}
			member(string(key), v)
		}
		return true
	}
	s := jsonwire.Scanner{MaxDepth: maxDepth + 2}
	s.Reset(raw)
	if s.Kind() != jsonwire.Object {
		return false
	}
	s.Object()
	for key, ok := s.Member(); ok; key, ok = s.Member() {
		name := string(key)
		v, _ := s.Value()
		if s.Err() != nil {
			return false
		}
		member(name, v)
	}
	return s.End()
}
