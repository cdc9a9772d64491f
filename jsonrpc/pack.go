package jsonrpc

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// MessagePack as StreamJsonRpc's formatters write and read it: a map with the same
// keys as the JSON, params always there, errors of three members. Inside of this
// package an id is its JSON, in every notation.

// parsePacked reads one message. It reports false where body is none.
func (p *parser) parsePacked(body []byte) bool {
	p.message = message{list: p.list[:0], keys: p.keys[:0], ends: p.ends[:0]}
	p.names, p.name, p.texts = p.names[:0], p.name[:0], p.texts[:0]
	var r msgpack.Reader
	r.Reset(body)
	if r.Kind() != msgpack.Map {
		p.bad = "a message is a map"
		return r.Skip() == nil
	}
	n, err := r.ReadMapHeader()
	if err != nil {
		return false
	}
	var x seen
	for range n {
		key, err := r.ReadString()
		if err != nil {
			return false
		}
		kind := r.Kind()
		raw, err := r.ReadRaw()
		if err != nil {
			return false
		}
		p.memberPacked(&x, string(key), kind, raw)
	}
	p.classify(&x)
	return true
}

// memberPacked takes one member of a message.
func (p *parser) memberPacked(x *seen, key string, kind msgpack.Kind, raw []byte) {
	var r msgpack.Reader
	r.Reset(raw)
	switch key {
	case "jsonrpc":
		text, err := r.ReadString()
		x.twice = x.twice || x.version
		x.version, x.badVersion = true, err != nil || string(text) != "2.0"
	case "id":
		x.twice, x.idTwice = x.twice || x.id, x.idTwice || x.id
		x.id = true
		p.id, x.badID = p.packedID(raw)
	case "method":
		text, err := r.ReadString()
		x.twice = x.twice || x.method
		x.method, x.badMethod = true, err != nil || !utf8.Valid(text)
		p.method = text
	case "params":
		x.twice = x.twice || x.params
		x.params, x.badParams = true, !p.paramsPacked(kind, raw)
	case "result":
		x.twice = x.twice || x.result
		x.result, x.says = true, kind != msgpack.Nil
		if !x.failed {
			p.result = raw
		}
	case "error":
		x.twice = x.twice || x.err
		x.err = true
		if kind != msgpack.Nil {
			x.failed, p.result = true, raw
		}
	case "traceparent":
		p.parent = p.parentPacked(raw)
	case "tracestate":
		p.state = p.statePacked(raw)
	}
}

// packedID is the JSON of an id.
func (p *parser) packedID(raw []byte) (id []byte, bad bool) {
	from := len(p.texts)
	p.texts, bad = appendID(p.texts, raw)
	if bad {
		return nil, true
	}
	return p.texts[from:len(p.texts):len(p.texts)], false
}

// appendID appends the JSON of an id in MessagePack.
func appendID(dst, raw []byte) ([]byte, bool) {
	var r msgpack.Reader
	r.Reset(raw)
	switch r.Kind() {
	case msgpack.Nil:
		return append(dst, nullID...), false
	case msgpack.Int:
		if n, err := r.ReadInt64(); err == nil {
			return fmt.Appendf(dst, "%d", n), false
		}
	case msgpack.String:
		if s, err := r.ReadString(); err == nil {
			return jsonwire.AppendString(dst, msgpack.Text(s)), false
		}
	}
	return dst, true
}

// appendPackedID appends an id, which is JSON, as MessagePack.
func appendPackedID(dst, id []byte) []byte {
	if n, ok := jsonwire.Int64(id); ok {
		return msgpack.AppendInt(dst, n)
	}
	if s, err := jsonwire.Text(id); err == nil {
		return msgpack.AppendString(dst, s)
	}
	return msgpack.AppendNil(dst)
}

// paramsPacked reads params and reports whether they are what params may be.
func (p *parser) paramsPacked(kind msgpack.Kind, raw []byte) bool {
	p.list, p.keys, p.ends, p.names, p.shape = p.list[:0], p.keys[:0], p.ends[:0], p.names[:0], absent
	var r msgpack.Reader
	r.Reset(raw)
	var n int
	switch kind {
	case msgpack.Nil:
		return true
	case msgpack.Array:
		p.shape = list
		n, _ = r.ReadArrayHeader() // it was read whole before
	case msgpack.Map:
		p.shape = object
		n, _ = r.ReadMapHeader()
	default:
		return false
	}
	p.params = raw
	for range n {
		if kind == msgpack.Map {
			key, err := r.ReadString()
			if err != nil {
				return false
			}
			at := len(p.names)
			p.names = append(p.names, key...)
			p.keys = append(p.keys, member{at, len(p.names)})
		}
		v, err := r.ReadRaw()
		if err != nil {
			return false
		}
		p.list = append(p.list, v)
		p.ends = append(p.ends, len(raw)-len(r.Rest()))
	}
	return true
}

// parentPacked is a traceparent, [version, [trace, span, flags]] or a string, as the
// JSON of a string; nil where it is neither.
func (p *parser) parentPacked(raw []byte) []byte {
	var r msgpack.Reader
	r.Reset(raw)
	if s, err := r.ReadString(); err == nil {
		return p.quote(msgpack.Text(s))
	}
	var v struct {
		version, flags int64
		trace, span    []byte
	}
	n, err := r.ReadArrayHeader()
	if err != nil || n != 2 {
		return nil
	}
	if v.version, err = r.ReadInt64(); err != nil || v.version < 0 || v.version > 255 {
		return nil
	}
	if n, err = r.ReadArrayHeader(); err != nil || n != 3 {
		return nil
	}
	if v.trace, err = r.ReadBytes(); err != nil || len(v.trace) != 16 {
		return nil
	}
	if v.span, err = r.ReadBytes(); err != nil || len(v.span) != 8 {
		return nil
	}
	if v.flags, err = r.ReadInt64(); err != nil || v.flags < 0 || v.flags > 255 {
		return nil
	}
	return p.quote(fmt.Sprintf("%02x-%x-%x-%02x", v.version, v.trace, v.span, v.flags))
}

// statePacked is a tracestate, [key, value, …] or a string, likewise.
func (p *parser) statePacked(raw []byte) []byte {
	var r msgpack.Reader
	r.Reset(raw)
	if s, err := r.ReadString(); err == nil {
		return p.quote(msgpack.Text(s))
	}
	n, err := r.ReadArrayHeader()
	if err != nil || n%2 != 0 {
		return nil
	}
	var b strings.Builder
	for i := range n {
		s, err := r.ReadString()
		if err != nil {
			return nil
		}
		switch {
		case i%2 == 1:
			b.WriteByte('=')
		case i > 0:
			b.WriteByte(',')
		}
		b.WriteString(msgpack.Text(s))
	}
	return p.quote(b.String())
}

func (p *parser) quote(s string) []byte {
	from := len(p.texts)
	p.texts = jsonwire.AppendString(p.texts, s)
	return p.texts[from:len(p.texts):len(p.texts)]
}

// appendPackedTrace appends the trace context, as many members as traceMembers
// says.
func appendPackedTrace(dst []byte, headers map[string]string) []byte {
	parent, state := headers["traceparent"], headers["tracestate"]
	version, trace, span, flags, ok := splitParent(parent)
	if !ok {
		return dst
	}
	dst = msgpack.AppendString(dst, "traceparent")
	dst = msgpack.AppendInt(msgpack.AppendArrayHeader(dst, 2), int64(version))
	dst = msgpack.AppendBytes(msgpack.AppendBytes(msgpack.AppendArrayHeader(dst, 3), trace), span)
	dst = msgpack.AppendInt(dst, int64(flags))
	if state == "" {
		return dst
	}
	dst = msgpack.AppendString(dst, "tracestate")
	pairs := strings.Split(state, ",")
	dst = msgpack.AppendArrayHeader(dst, 2*len(pairs))
	for _, pair := range pairs {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		dst = msgpack.AppendString(msgpack.AppendString(dst, key), value)
	}
	return dst
}

// traceMembers is how many members appendPackedTrace appends.
func traceMembers(headers map[string]string) int {
	if _, _, _, _, ok := splitParent(headers["traceparent"]); !ok {
		return 0
	}
	if headers["tracestate"] == "" {
		return 1
	}
	return 2
}

// splitParent reads a traceparent (W3C Trace Context, section 3.2).
func splitParent(s string) (version byte, trace, span []byte, flags byte, ok bool) {
	if len(s) != 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return 0, nil, nil, 0, false
	}
	b, err := hex.DecodeString(s[:2] + s[3:35] + s[36:52] + s[53:])
	if err != nil {
		return 0, nil, nil, 0, false
	}
	return b[0], b[1:17], b[17:25], b[25], true
}

// openPacked begins a message that has n members behind jsonrpc.
func openPacked(dst []byte, n int) []byte {
	return msgpack.AppendString(msgpack.AppendString(msgpack.AppendMapHeader(dst, n+1), "jsonrpc"), "2.0")
}

// namedPacked is AppendNamed.
func (d *dialect) namedPacked(dst []byte, name, callID string, headers map[string]string, names []string, args [][]byte) []byte {
	members := 2 + traceMembers(headers)
	if callID != "" {
		members++
	}
	dst = openPacked(dst, members)
	if callID != "" {
		dst = msgpack.AppendString(msgpack.AppendString(dst, "id"), callID)
	}
	dst = msgpack.AppendString(msgpack.AppendString(dst, "method"), name)
	dst = msgpack.AppendString(dst, "params")
	switch {
	case d.style == Named && names == nil && len(args) == 1 && isPackedMap(args[0]):
		dst = append(dst, args[0]...)
	case d.style == Named && len(args) == 0:
		dst = msgpack.AppendNil(dst)
	case d.style == Named && names != nil:
		dst = msgpack.AppendMapHeader(dst, len(args))
		for i, a := range args {
			dst = append(msgpack.AppendString(dst, names[i]), a...)
		}
	default:
		dst = appendPackedList(dst, args)
	}
	return appendPackedTrace(dst, headers)
}

func isPackedMap(raw []byte) bool {
	var r msgpack.Reader
	r.Reset(raw)
	return r.Kind() == msgpack.Map
}

// callPacked is appendCall.
func (d *dialect) callPacked(dst []byte, id uint64, c *wire.OutCall, names []string, args []any, codec wire.Codec, headers map[string]string) (_ []byte, err error) {
	members := 2 + traceMembers(headers)
	if id != 0 {
		members++
	}
	dst = openPacked(dst, members)
	if id != 0 {
		dst = msgpack.AppendUint(msgpack.AppendString(dst, "id"), id)
	}
	dst = msgpack.AppendString(msgpack.AppendString(dst, "method"), c.Name)
	dst = msgpack.AppendString(dst, "params")
	named := d.style == Named
	switch {
	case named && len(args) == 0:
		dst = msgpack.AppendNil(dst)
	case named && names == nil && len(args) == 1:
		v, err := codec.Append(nil, args[0])
		if err != nil {
			return nil, err
		}
		if !isPackedMap(v) {
			dst = msgpack.AppendArrayHeader(dst, 1)
		}
		dst = append(dst, v...)
	case named && names != nil:
		dst = msgpack.AppendMapHeader(dst, len(args))
		for i, a := range args {
			if dst, err = codec.Append(msgpack.AppendString(dst, names[i]), a); err != nil {
				return nil, err
			}
		}
	default:
		dst = msgpack.AppendArrayHeader(dst, len(args))
		for _, a := range args {
			if dst, err = codec.Append(dst, a); err != nil {
				return nil, err
			}
		}
	}
	return appendPackedTrace(dst, headers), nil
}

// resultPacked is appendResult.
func (d *dialect) resultPacked(dst, id []byte, v any, codec wire.Codec) ([]byte, error) {
	dst = appendPackedID(msgpack.AppendString(openPacked(dst, 2), "id"), id)
	return codec.Append(msgpack.AppendString(dst, "result"), v)
}

// errorPacked is appendError.
func (d *dialect) errorPacked(dst, id []byte, e *Error, codec wire.Codec) []byte {
	dst = appendPackedID(msgpack.AppendString(openPacked(dst, 2), "id"), id)
	dst = msgpack.AppendMapHeader(msgpack.AppendString(dst, "error"), 3)
	dst = msgpack.AppendInt(msgpack.AppendString(dst, "code"), e.Code)
	dst = msgpack.AppendString(msgpack.AppendString(dst, "message"), e.Message)
	dst = msgpack.AppendString(dst, "data")
	if e.Data != nil {
		if data, err := codec.Append(nil, e.Data); err == nil && len(data) <= maxErrorData {
			return append(dst, data...)
		}
	}
	return msgpack.AppendNil(dst)
}

// parsePackedError reads the error of an answer. What is missing is zero.
func parsePackedError(raw []byte) *Error {
	e := &Error{}
	d := dialectMessagePack
	if !d.members(raw, func(key string, v []byte) {
		switch key {
		case "code":
			e.Code, _ = d.int(v)
		case "message":
			_ = d.Codec().Decode(v, &e.Message)
		case "data":
			if !d.isNull(v) {
				e.Data = packed(append([]byte(nil), v...))
			}
		}
	}) {
		e.Message = "an error that is no map"
	}
	return e
}

// readPacked is sequence.read: a map with token and values, or a batch, which is an
// array of its values and whether it is the last, or a map.
func (s *sequence) readPacked(raw []byte) (found, other, finished bool, err error) {
	values := func(raw []byte) error {
		var r msgpack.Reader
		r.Reset(raw)
		if r.ReadNil() {
			return nil
		}
		n, err := r.ReadArrayHeader()
		if err != nil {
			return err
		}
		for range n {
			v, err := r.ReadRaw()
			if err != nil {
				return err
			}
			s.values = append(s.values, append([]byte(nil), v...))
		}
		return nil
	}
	d := s.conn.svc.d
	var r msgpack.Reader
	r.Reset(raw)
	if r.Kind() == msgpack.Array {
		if n, err := r.ReadArrayHeader(); err != nil || n != 2 {
			return false, true, false, err
		}
		list, err := r.ReadRaw()
		if err == nil {
			err = values(list)
		}
		if err == nil {
			finished, err = r.ReadBool()
		}
		return true, false, finished, err
	}
	isMap := d.members(raw, func(key string, v []byte) {
		switch key {
		case "token":
			found = true
			if !d.isNull(v) {
				s.token = append([]byte(nil), v...)
			}
		case "values":
			found = true
			if err == nil {
				err = values(v)
			}
		case "finished":
			if err == nil {
				err = d.Codec().Decode(v, &finished)
			}
		default:
			other = true
		}
	})
	return found, other || !isMap, finished, err
}
