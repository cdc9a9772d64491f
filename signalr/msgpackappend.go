package signalr

import (
	"maps"

	"github.com/hubwire/hubwire/internal/msgpack"
)

// .NET writes an Invocation with six elements and a Close with three, always.

// AppendEvent appends an Invocation (M22, M23).
func (m *msgpackProtocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	return m.AppendEventHeaders(dst, name, callID, nil, args)
}

// AppendEventHeaders appends an Invocation with headers, for trace hooks. Those
// without name or value are left out: a reader would refuse them.
func (*msgpackProtocol) AppendEventHeaders(dst []byte, name, callID string, headers map[string]string, args [][]byte) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0x96, byte(invocation))
	if len(headers) > 0 {
		headers = maps.Clone(headers)
		maps.DeleteFunc(headers, func(k, v string) bool { return k == "" || v == "" })
	}
	dst = msgpack.AppendMapHeader(dst, len(headers))
	if len(headers) > 0 {
		for _, k := range sortedKeys(headers) {
			dst = msgpack.AppendString(msgpack.AppendString(dst, k), headers[k])
		}
	}
	if callID == "" {
		dst = msgpack.AppendNil(dst)
	} else {
		dst = msgpack.AppendString(dst, callID)
	}
	dst = msgpack.AppendString(dst, name)
	dst = msgpack.AppendArrayHeader(dst, len(args))
	for _, a := range args {
		dst = append(dst, a...)
	}
	return msgpack.InsertLength(append(dst, 0x90), at), nil
}

func (m *msgpackProtocol) appendItem(dst, id []byte, item any) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0x94, byte(streamItem), 0x80)
	return m.appendValue(msgpack.AppendStringBytes(dst, id), at, item)
}

func (m *msgpackProtocol) appendResult(dst, id []byte, result any) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0x95, byte(completion), 0x80)
	dst = append(msgpack.AppendStringBytes(dst, id), resultValue)
	return m.appendValue(dst, at, result)
}

func (m *msgpackProtocol) appendValue(dst []byte, at int, v any) ([]byte, error) {
	dst, err := m.codec.Append(dst, v)
	if err != nil {
		return dst, err
	}
	return msgpack.InsertLength(dst, at), nil
}

func (*msgpackProtocol) appendEnd(dst, id []byte) []byte {
	at := len(dst)
	dst = append(dst, 0x94, byte(completion), 0x80)
	dst = msgpack.AppendStringBytes(dst, id)
	return msgpack.InsertLength(append(dst, resultVoid), at)
}

func (*msgpackProtocol) appendFailure(dst, id []byte, text string) []byte {
	at := len(dst)
	dst = append(dst, 0x95, byte(completion), 0x80)
	dst = append(msgpack.AppendStringBytes(dst, id), resultError)
	return msgpack.InsertLength(msgpack.AppendString(dst, text), at)
}

// appendClose: an empty text is written as nil, as in .NET.
func (*msgpackProtocol) appendClose(dst []byte, text *string, reconnect bool) []byte {
	at := len(dst)
	dst = append(dst, 0x93, byte(closeMessage))
	if text == nil || *text == "" {
		dst = msgpack.AppendNil(dst)
	} else {
		dst = msgpack.AppendString(dst, *text)
	}
	return msgpack.InsertLength(msgpack.AppendBool(dst, reconnect), at)
}

func (*msgpackProtocol) appendPing(dst []byte) []byte {
	return append(dst, 0x02, 0x91, byte(ping))
}
