package client

import (
	"errors"

	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// msgpackProtocol is the hub protocol "messagepack" (sections 5.1 to 5.3).
type msgpackProtocol struct{}

var msgpackHub protocol = msgpackProtocol{}

func (msgpackProtocol) name() string      { return "messagepack" }
func (msgpackProtocol) binary() bool      { return true }
func (msgpackProtocol) codec() wire.Codec { return msgpack.Codec{} }

func (msgpackProtocol) next(b []byte, _ int) (body []byte, size int, err error) {
	n, prefix, err := msgpack.ReadLength(b)
	switch {
	case err != nil:
		return nil, 0, err
	case prefix == 0 || n > len(b)-prefix:
		return nil, 0, nil
	}
	size = prefix + n
	return b[prefix:size:size], size, nil
}

// The kinds of a Completion.
const (
	resultError = 1
	resultVoid  = 2
	resultValue = 3
)

var errArguments = errors.New("the arguments are no array of values")

// parse reads elements in order. What follows the last one that the type has is
// not looked at.
func (msgpackProtocol) parse(m *message, body []byte) error {
	m.reset()
	var r msgpack.Reader
	r.Reset(body)
	elements, err := r.ReadArrayHeader()
	if err != nil {
		return badMessage("no MessagePack array")
	}
	n, err := r.ReadInt32()
	if err != nil {
		return mistyped("type", "message type")
	}
	switch m.kind = kind(n); m.kind {
	case invocation:
		if err := m.headersAndID(&r, false); err != nil {
			return err
		}
		if m.target, err = r.ReadString(); err != nil || len(m.target) == 0 {
			return mistyped("target", "name")
		}
		return m.msgpackArgs(&r)
	case streamItem:
		if err := m.headersAndID(&r, true); err != nil {
			return err
		}
		if m.value, err = r.ReadRaw(); err != nil {
			return mistyped("item", "value")
		}
	case completion:
		if err := m.headersAndID(&r, true); err != nil {
			return err
		}
		k, err := r.ReadInt32()
		if err != nil {
			return mistyped("resultKind", "integer")
		}
		switch k {
		case resultError:
			m.failed = true
			m.text, err = m.msgpackText(&r, "error")
			return err
		case resultVoid:
		case resultValue:
			if m.value, err = r.ReadRaw(); err != nil {
				return mistyped("result", "value")
			}
		default:
			return badMessage("a result of no known kind")
		}
	case closeMessage:
		if m.text, err = m.msgpackText(&r, "error"); err != nil {
			return err
		}
		m.failed = m.text != nil
		if elements > 2 {
			if m.reconnect, err = r.ReadBool(); err != nil {
				return mistyped("allowReconnect", "boolean")
			}
		}
	case ack, sequence:
		if m.sequence, err = r.ReadInt64(); err != nil {
			return mistyped("sequenceId", "integer")
		}
	}
	return nil
}

// msgpackText reads a string, or nil: then it is nil.
func (m *message) msgpackText(r *msgpack.Reader, name string) ([]byte, error) {
	if r.ReadNil() {
		return nil, nil
	}
	b, err := r.ReadString()
	if err != nil {
		return nil, mistyped(name, "string")
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func (m *message) headersAndID(r *msgpack.Reader, required bool) (err error) {
	if !r.ReadNil() {
		n, err := r.ReadMapHeader()
		if err != nil {
			return mistyped("headers", "map")
		}
		for range 2 * n {
			if r.Skip() != nil {
				return mistyped("headers", "map")
			}
		}
	}
	if m.id, err = m.msgpackText(r, "invocationId"); err != nil {
		return err
	}
	if required && len(m.id) == 0 {
		return missing("invocationId")
	}
	return nil
}

// msgpackArgs: what is wrong with arguments spoils the event alone.
func (m *message) msgpackArgs(r *msgpack.Reader) error {
	n, err := r.ReadArrayHeader()
	if err != nil {
		m.argsErr = errArguments
		return nil
	}
	if n > maxArgs {
		return badMessage("too many arguments")
	}
	for range n {
		raw, err := r.ReadRaw()
		if err != nil {
			m.argsErr = errArguments
			return nil
		}
		m.args = append(m.args, raw)
	}
	return nil
}

// What the client writes has as many elements as .NET's has.

func (p msgpackProtocol) appendCall(dst []byte, c *outgoing) (_ []byte, err error) {
	at := len(dst)
	k := invocation
	if c.stream {
		k = streamInvocation
	}
	dst = append(dst, 0x96, byte(k), 0x80)
	if c.id == "" {
		dst = msgpack.AppendNil(dst)
	} else {
		dst = msgpack.AppendString(dst, c.id)
	}
	dst = msgpack.AppendString(dst, c.target)
	dst = msgpack.AppendArrayHeader(dst, len(c.args))
	for i, v := range c.args {
		if dst, err = p.codec().Append(dst, v); err != nil {
			return dst, argError(i, err)
		}
	}
	dst = msgpack.AppendArrayHeader(dst, len(c.streams))
	for _, id := range c.streams {
		dst = msgpack.AppendString(dst, id)
	}
	return msgpack.InsertLength(dst, at), nil
}

func (p msgpackProtocol) appendItem(dst []byte, id string, item any) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0x94, byte(streamItem), 0x80)
	return p.appendValue(msgpack.AppendString(dst, id), at, item)
}

func (p msgpackProtocol) appendResult(dst []byte, id string, result any) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0x95, byte(completion), 0x80)
	dst = append(msgpack.AppendString(dst, id), resultValue)
	return p.appendValue(dst, at, result)
}

func (p msgpackProtocol) appendValue(dst []byte, at int, v any) ([]byte, error) {
	dst, err := p.codec().Append(dst, v)
	if err != nil {
		return dst, err
	}
	return msgpack.InsertLength(dst, at), nil
}

func (msgpackProtocol) appendEnd(dst []byte, id string) []byte {
	at := len(dst)
	dst = append(dst, 0x94, byte(completion), 0x80)
	dst = msgpack.AppendString(dst, id)
	return msgpack.InsertLength(append(dst, resultVoid), at)
}

func (msgpackProtocol) appendFailure(dst []byte, id, text string) []byte {
	at := len(dst)
	dst = append(dst, 0x95, byte(completion), 0x80)
	dst = append(msgpack.AppendString(dst, id), resultError)
	return msgpack.InsertLength(msgpack.AppendString(dst, text), at)
}

func (msgpackProtocol) appendCancel(dst []byte, id string) []byte {
	at := len(dst)
	dst = append(dst, 0x93, byte(cancelInvocation), 0x80)
	return msgpack.InsertLength(msgpack.AppendString(dst, id), at)
}

func (msgpackProtocol) appendPing(dst []byte) []byte { return append(dst, 0x02, 0x91, byte(ping)) }

func (msgpackProtocol) appendClose(dst []byte) []byte {
	return append(dst, 0x04, 0x93, byte(closeMessage), 0xC0, 0xC2)
}

func (msgpackProtocol) appendAck(dst []byte, n int64) []byte {
	at := len(dst)
	return msgpack.InsertLength(msgpack.AppendInt(append(dst, 0x92, byte(ack)), n), at)
}

func (msgpackProtocol) appendSequence(dst []byte, n int64) []byte {
	at := len(dst)
	return msgpack.InsertLength(msgpack.AppendInt(append(dst, 0x92, byte(sequence)), n), at)
}
