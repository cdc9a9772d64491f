package jsonrpc

import (
	"bytes"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// maxDepth is how deep params and results may be nested.
const maxDepth = 1000

type kind uint8

const (
	invalid kind = iota // no JSON-RPC: an error is the answer
	request
	notification
	answer  // a response with a result
	failure // a response with an error
	empty   // a response with neither, if its id is that of a call of ours
	broken  // a response with both
)

type shape uint8

const (
	absent shape = iota
	list
	object
)

// A message is one message, as it stands: all slices are of its text, or of the
// parser.
type message struct {
	kind   kind
	id     []byte // its JSON; nil where there is none
	method []byte // its text
	shape  shape
	params []byte   // the JSON of params
	list   [][]byte // its elements, or the values of its members
	ends   []int    // where they end in params
	keys   []member // the names of the members
	result []byte   // the JSON of the result or of the error
	bad    string   // what is wrong with an invalid one

	parent, state []byte // traceparent and tracestate
}

// A member is the name of a named argument: a slice of parser.names.
type member struct{ from, to int }

// A parser reads envelopes: one pass, no allocation once it is warm.
type parser struct {
	s       jsonwire.Scanner
	names   []byte
	name    []byte
	texts   []byte // MessagePack: ids and trace contexts as JSON
	lenient bool
	v1      bool
	packed  bool
	message
}

var (
	nullID = []byte("null")
	bom    = []byte{0xEF, 0xBB, 0xBF}
)

// parse reads one message. It reports false where body is no JSON.
func (p *parser) parse(body []byte) bool {
	if p.packed {
		return p.parsePacked(body)
	}
	p.s.MaxDepth = maxDepth + 2
	p.s.Reset(body)
	return p.object(body) && p.s.End()
}

// isBatch reports whether body is an array, and cuts off a byte order mark.
func isBatch(body []byte) ([]byte, bool) {
	body = bytes.TrimPrefix(body, bom)
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return body, c == '['
	}
	return body, false
}

// seen is what was seen of the members.
type seen struct {
	version, id, method, params, result, err bool
	twice, idTwice                           bool
	failed                                   bool // error is not null
	badVersion, badID, badMethod, badParams  bool
	says                                     bool // result is not null
}

// object reads the object that is a message.
func (p *parser) object(body []byte) bool {
	p.message = message{list: p.list[:0], keys: p.keys[:0], ends: p.ends[:0]}
	p.names = p.names[:0]
	if p.s.Kind() != jsonwire.Object {
		p.s.Value()
		p.bad = "a message is an object"
		return p.s.Err() == nil
	}
	var x seen
	p.s.Object()
	for key, ok := p.s.Member(); ok; key, ok = p.s.Member() {
		switch string(key) {
		case "jsonrpc":
			raw, _ := p.s.Value()
			x.twice = x.twice || x.version
			x.version, x.badVersion = true, string(raw) != `"2.0"`
		case "id":
			raw, kind := p.s.Value()
			x.twice, x.idTwice = x.twice || x.id, x.idTwice || x.id
			x.id, p.id = true, raw
			x.badID = kind != jsonwire.Number && kind != jsonwire.String && kind != jsonwire.Null
			if kind == jsonwire.String && !utf8.Valid(raw) {
				return false
			}
		case "method":
			raw, kind := p.s.Value()
			x.twice = x.twice || x.method
			x.method, x.badMethod = true, kind != jsonwire.String
			if kind == jsonwire.String {
				if !utf8.Valid(raw) {
					return false
				}
				if p.method, ok = jsonwire.Plain(raw); !ok {
					p.name, _ = jsonwire.AppendText(p.name[:0], raw) // half of a pair names no method
					p.method = p.name
				}
			}
		case "params":
			x.twice = x.twice || x.params
			x.params, x.badParams = true, !p.readParams(body)
		case "result":
			x.twice = x.twice || x.result
			x.result = true
			raw, kind := p.s.Value()
			x.says = kind != jsonwire.Null
			if !x.failed {
				p.result = raw
			}
		case "error":
			raw, kind := p.s.Value()
			x.twice = x.twice || x.err
			x.err = true
			if kind != jsonwire.Null {
				x.failed, p.result = true, raw
			}
		case "traceparent":
			if raw, kind := p.s.Value(); kind == jsonwire.String {
				p.parent = raw
			}
		case "tracestate":
			if raw, kind := p.s.Value(); kind == jsonwire.String {
				p.state = raw
			}
		default:
			p.s.Value()
		}
	}
	if p.s.Err() != nil {
		return false
	}
	p.classify(&x)
	return true
}

// readParams reads params and reports whether they are what params may be.
func (p *parser) readParams(body []byte) bool {
	p.list, p.keys, p.ends, p.names, p.shape = p.list[:0], p.keys[:0], p.ends[:0], p.names[:0], absent
	kind := p.s.Kind()
	from := len(body) - len(p.s.Rest())
	switch kind {
	case jsonwire.Array:
		p.shape = list
		for p.s.Array(); p.s.Element(); {
			raw, _ := p.s.Value()
			p.list = append(p.list, raw)
			p.ends = append(p.ends, len(body)-len(p.s.Rest())-from)
		}
	case jsonwire.Object:
		p.shape = object
		p.s.Object()
		for key, ok := p.s.Member(); ok; key, ok = p.s.Member() {
			at := len(p.names)
			p.names = append(p.names, key...)
			p.keys = append(p.keys, member{at, len(p.names)})
			raw, _ := p.s.Value()
			p.list = append(p.list, raw)
			p.ends = append(p.ends, len(body)-len(p.s.Rest())-from)
		}
	default:
		p.s.Value()
		return kind == jsonwire.Null
	}
	if p.s.Err() != nil {
		return true // there is a worse error
	}
	p.params = body[from : len(body)-len(p.s.Rest())]
	return true
}

// fault says why a text is no JSON.
func (p *parser) fault() string {
	if p.packed {
		return "the message is no MessagePack"
	}
	if e, ok := p.s.Err().(*jsonwire.SyntaxError); ok {
		return e.Msg
	}
	return "a string is not UTF-8"
}

// classify says what kind of message it is.
func (p *parser) classify(x *seen) {
	if p.v1 {
		p.classify1(x)
		return
	}
	if !x.method {
		switch {
		case x.failed && x.says:
			p.kind = broken
		case x.failed:
			p.kind = failure
		case x.result:
			p.kind = answer
		case x.id && !x.badID && !x.params && x.version:
			p.kind, p.bad = empty, "there is no method"
		default:
			p.bad = "there is no method"
		}
		if p.kind == invalid && x.badID {
			p.id = nil
		}
		return
	}
	if x.badID || x.idTwice && !p.lenient {
		p.id = nil
	}
	switch {
	case x.badID:
		p.bad = "an id is a string, a number or null"
	case (!x.version || x.badVersion) && !p.lenient:
		p.bad = `jsonrpc is not "2.0"`
	case x.badMethod:
		p.bad = "a method is a string"
	case x.badParams:
		p.bad = "params are an array or an object"
	case x.twice && !p.lenient:
		p.bad = "a member comes twice"
	case (x.result || x.err) && !p.lenient:
		p.bad = "a request has no result"
	case x.id:
		p.kind = request
	default:
		p.kind = notification
	}
}

// classify1 is classify for JSON-RPC 1.0.
func (p *parser) classify1(x *seen) {
	switch {
	case x.method && x.badMethod:
		p.bad = "a method is a string"
	case x.method && x.badParams:
		p.bad = "params are an array"
	case x.method && x.badID:
		p.bad, p.id = "an id is a string, a number or null", nil
	case x.method && (p.id == nil || string(p.id) == "null"):
		p.kind, p.id = notification, nil
	case x.method:
		p.kind = request
	case x.failed:
		p.kind = failure
	case x.result:
		p.kind = answer
	default:
		p.bad = "there is no method"
	}
}

// key is the name of the i-th named argument.
func (p *parser) key(i int) []byte { return p.names[p.keys[i].from:p.keys[i].to] }
