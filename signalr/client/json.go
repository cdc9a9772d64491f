package client

import (
	"bytes"
	"strconv"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// recordSeparator ends every JSON message, and the handshake's (section 4.1).
const recordSeparator = 0x1E

// maxDepth is how deep a message may be nested: deeper than the 64 of .NET's
// servers, as others may have other limits.
const maxDepth = 1000

// jsonProtocol is the hub protocol "json" (sections 4.1 to 4.3).
type jsonProtocol struct{}

var jsonHub protocol = jsonProtocol{}

func (jsonProtocol) name() string      { return "json" }
func (jsonProtocol) binary() bool      { return false }
func (jsonProtocol) codec() wire.Codec { return jsonwire.Codec{} }

func (jsonProtocol) next(b []byte, from int) (body []byte, size int, err error) {
	i := bytes.IndexByte(b[from:], recordSeparator)
	if i < 0 {
		return nil, 0, nil
	}
	i += from
	return b[:i:i], i + 1, nil
}

// parse reads members in any order; of doubled ones the last counts, unknown
// ones are passed over, and null where a text is optional is none. (.NET's
// client refuses that null, JavaScript's does not.)
func (jsonProtocol) parse(m *message, record []byte) error {
	m.reset()
	s := jsonwire.Scanner{MaxDepth: maxDepth}
	s.Reset(record)
	if s.Kind() != jsonwire.Object || !s.Object() {
		return badMessage("no JSON object")
	}
	var hasType, hasArgs, hasSequence bool
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		var err error
		switch string(name) {
		case "type":
			hasType = true
			var n int64
			n, err = jsonInt(&s, "type")
			m.kind = kind(n)
			if int64(m.kind) != n {
				err = mistyped("type", "message type")
			}
		case "invocationId":
			m.id, err = m.jsonText(&s, "invocationId")
		case "target":
			m.target, err = m.jsonText(&s, "target")
		case "error":
			m.text, err = m.jsonText(&s, "error")
			m.failed = m.text != nil
		case "arguments":
			hasArgs = true
			err = m.jsonArgs(&s)
		case "item", "result":
			m.value, _ = s.Value() // a message has the one or the other; which, its type says
		case "allowReconnect":
			_, k := s.Value()
			m.reconnect = k == jsonwire.True
			if k != jsonwire.True && k != jsonwire.False && k != jsonwire.Null {
				err = mistyped("allowReconnect", "boolean")
			}
		case "sequenceId":
			hasSequence = true
			m.sequence, err = jsonInt(&s, "sequenceId")
		default:
			s.Value()
		}
		if err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return badMessage(err.Error())
	}
	if !hasType {
		return missing("type")
	}
	switch m.kind {
	case invocation:
		switch {
		case m.target == nil:
			return missing("target")
		case !hasArgs:
			return missing("arguments")
		}
	case streamItem:
		switch {
		case len(m.id) == 0:
			return missing("invocationId")
		case m.value == nil:
			return missing("item")
		}
	case completion:
		switch {
		case len(m.id) == 0:
			return missing("invocationId")
		case m.failed && m.value != nil:
			return badMessage("'error' and 'result' exclude each other")
		}
	case ack, sequence:
		if !hasSequence {
			return missing("sequenceId")
		}
	}
	return nil
}

// jsonText reads a member that is a string, or null: then it is nil.
func (m *message) jsonText(s *jsonwire.Scanner, name string) ([]byte, error) {
	raw, k := s.Value()
	switch k {
	case jsonwire.Null:
		return nil, nil
	case jsonwire.String:
	default:
		return nil, mistyped(name, "string")
	}
	if b, ok := jsonwire.Plain(raw); ok {
		return b, nil
	}
	n := len(m.scratch)
	b, err := jsonwire.AppendText(m.scratch, raw)
	if err != nil {
		return nil, badMessage("'" + name + "': " + err.Error())
	}
	m.scratch = b
	return b[n:len(b):len(b)], nil
}

func jsonInt(s *jsonwire.Scanner, name string) (int64, error) {
	raw, k := s.Value()
	if k == jsonwire.Number {
		if n, ok := jsonwire.Int64(raw); ok {
			return n, nil
		}
	}
	return 0, mistyped(name, "integer")
}

func (m *message) jsonArgs(s *jsonwire.Scanner) error {
	m.args = m.args[:0]
	if s.Kind() != jsonwire.Array || !s.Array() {
		return mistyped("arguments", "array")
	}
	for s.Element() {
		raw, k := s.Value()
		if k == jsonwire.Invalid {
			break
		}
		if len(m.args) == maxArgs {
			return badMessage("too many arguments")
		}
		m.args = append(m.args, raw)
	}
	return nil // the caller looks at s.Err
}

// What the client writes has .NET's order of members.

func (p jsonProtocol) appendCall(dst []byte, c *outgoing) ([]byte, error) {
	dst = append(dst, `{"type":1`...)
	if c.stream {
		dst[len(dst)-1] = '0' + byte(streamInvocation)
	}
	if c.id != "" {
		dst = append(dst, `,"invocationId":`...)
		dst = jsonwire.AppendString(dst, c.id)
	}
	dst = append(dst, `,"target":`...)
	dst = jsonwire.AppendString(dst, c.target)
	dst = append(dst, `,"arguments":[`...)
	for i, v := range c.args {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = p.codec().Append(dst, v); err != nil {
			return dst, argError(i, err)
		}
	}
	dst = append(dst, ']')
	for i, id := range c.streams {
		if i == 0 {
			dst = append(dst, `,"streamIds":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = jsonwire.AppendString(dst, id)
	}
	if len(c.streams) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}', recordSeparator), nil
}

func (p jsonProtocol) appendItem(dst []byte, id string, item any) ([]byte, error) {
	dst = jsonwire.AppendString(append(dst, `{"type":2,"invocationId":`...), id)
	return p.appendValue(append(dst, `,"item":`...), item)
}

func (p jsonProtocol) appendResult(dst []byte, id string, result any) ([]byte, error) {
	dst = jsonwire.AppendString(append(dst, `{"type":3,"invocationId":`...), id)
	return p.appendValue(append(dst, `,"result":`...), result)
}

func (p jsonProtocol) appendValue(dst []byte, v any) ([]byte, error) {
	dst, err := p.codec().Append(dst, v)
	return append(dst, '}', recordSeparator), err
}

func (jsonProtocol) appendEnd(dst []byte, id string) []byte {
	dst = jsonwire.AppendString(append(dst, `{"type":3,"invocationId":`...), id)
	return append(dst, '}', recordSeparator)
}

func (jsonProtocol) appendFailure(dst []byte, id, text string) []byte {
	dst = jsonwire.AppendString(append(dst, `{"type":3,"invocationId":`...), id)
	dst = jsonwire.AppendString(append(dst, `,"error":`...), text)
	return append(dst, '}', recordSeparator)
}

func (jsonProtocol) appendCancel(dst []byte, id string) []byte {
	dst = jsonwire.AppendString(append(dst, `{"type":5,"invocationId":`...), id)
	return append(dst, '}', recordSeparator)
}

func (jsonProtocol) appendPing(dst []byte) []byte  { return append(dst, `{"type":6}`+"\x1e"...) }
func (jsonProtocol) appendClose(dst []byte) []byte { return append(dst, `{"type":7}`+"\x1e"...) }

func (jsonProtocol) appendAck(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"type":8,"sequenceId":`...), n, 10)
	return append(dst, '}', recordSeparator)
}

func (jsonProtocol) appendSequence(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"type":9,"sequenceId":`...), n, 10)
	return append(dst, '}', recordSeparator)
}
