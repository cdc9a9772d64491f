package signalr

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// recordSeparator ends every JSON message, and the handshake's (section 4.1).
const recordSeparator = 0x1E

// jsonProtocol is the hub protocol "json" (sections 4.1 to 4.3).
type jsonProtocol struct{ codec wire.Codec }

var jsonHub protocol = &jsonProtocol{jsonwire.Codec{}}

func (*jsonProtocol) Name() string        { return "json" }
func (j *jsonProtocol) Codec() wire.Codec { return j.codec }

func (*jsonProtocol) next(b []byte, from int) (body []byte, size int, err error) {
	i := bytes.IndexByte(b[from:], recordSeparator)
	if i < 0 {
		return nil, 0, nil
	}
	i += from
	return b[:i:i], i + 1, nil
}

var (
	errJSON       = invalidData("Error reading JSON.")
	errNotInt32   = &exception{"FormatException", "Either the JSON value is not in a supported format, or is out of bounds for an Int32."}
	errNotInt64   = &exception{"FormatException", "Either the JSON value is not in a supported format, or is out of bounds for an Int64."}
	errTranscode  = &exception{"InvalidOperationException", "Cannot transcode invalid UTF-8 JSON text to UTF-16 string."}
	errSurrogate  = &exception{"InvalidOperationException", "Cannot read incomplete UTF-16 JSON text as string with missing low surrogate."}
	errBothValues = invalidData("The 'error' and 'result' properties are mutually exclusive.")
)

// parse reads members in any order, as .NET does: each is checked where it
// stands, whatever the type; the last of doubled ones counts; unknown ones are
// passed over. What a type needs is looked at when all members are known, and
// arguments are bound later still, so that they always belong to the target
// that counts (F11).
func (*jsonProtocol) parse(p *parser, record []byte) error {
	p.reset()
	s := &p.json
	s.Reset(record)
	s.TrailingCommas = false
	if k := s.Kind(); k != jsonwire.Object {
		return rootError(s, k)
	}
	s.Object()
	var hasType, hasArgs, hasSequence bool
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		var err error
		switch string(name) {
		case "type":
			hasType = true
			var n int32
			if n, err = memberInt32(s, "type"); err == nil {
				p.kind = kind(n)
			}
		case "invocationId":
			p.id, err = p.memberText("invocationId")
		case "target":
			p.target, err = p.memberText("target")
		case "error":
			p.failed = true
			p.text, err = p.memberText("error")
		case "arguments":
			hasArgs = true
			err = p.arguments(record)
		case "streamIds":
			err = p.streamIDs()
		case "item", "result":
			// A message has the one or the other; which, its type says.
			value, k := s.Value()
			if k == jsonwire.Invalid {
				return errJSON
			}
			if name[0] == 'i' {
				p.item = value
			} else {
				p.result = value
			}
		case "allowReconnect":
			p.allowReconnect, err = memberBool(s, "allowReconnect")
		case "sequenceId":
			hasSequence = true
			p.sequenceID, err = memberInt64(s, "sequenceId")
		case "headers":
			err = p.jsonHeaders()
		default:
			s.Value()
		}
		if err != nil {
			return err
		}
	}
	if s.Err() != nil {
		return errJSON
	}
	missing := func(name string) error { return invalidData("Missing required property '%s'.", name) }
	if !hasType {
		return missing("type")
	}
	switch p.kind {
	case invocation, streamInvocation:
		switch {
		case p.kind == streamInvocation && p.id == nil:
			return missing("invocationId")
		case p.target == nil:
			return missing("target")
		case !hasArgs:
			return missing("arguments")
		}
	case streamItem:
		switch {
		case p.id == nil:
			return missing("invocationId")
		case p.item == nil:
			return missing("item")
		}
	case completion:
		switch {
		case p.id == nil:
			return missing("invocationId")
		case p.failed && p.result != nil:
			return errBothValues
		}
	case cancelInvocation:
		if p.id == nil {
			return missing("invocationId")
		}
	case ack, sequence:
		if !hasSequence {
			return missing("sequenceId")
		}
	}
	return nil
}

// rootError says what a record is that is no object.
func rootError(s *jsonwire.Scanner, k jsonwire.Kind) error {
	if k == jsonwire.Invalid || k != jsonwire.Array && !validValue(s) {
		return errJSON
	}
	return notAnObject(k)
}

func notAnObject(k jsonwire.Kind) error {
	return invalidData("Unexpected JSON Token Type '%s'. Expected a JSON Object.", k)
}

func validValue(s *jsonwire.Scanner) bool {
	_, k := s.Value()
	return k != jsonwire.Invalid
}

// memberText reads a member that must be a string. Its text is not nil.
func (p *parser) memberText(name string) ([]byte, error) {
	raw, k := p.json.Value()
	switch k {
	case jsonwire.Invalid:
		return nil, errJSON
	case jsonwire.String:
		return p.unquote(raw)
	}
	return nil, invalidData("Expected '%s' to be of type String.", name)
}

// unquote is the text of a string value; empty, but not nil, for "".
func (p *parser) unquote(quoted []byte) ([]byte, error) {
	if b, ok := jsonwire.Plain(quoted); ok {
		return b, nil
	}
	if !utf8.Valid(quoted) {
		return nil, errTranscode
	}
	n := len(p.scratch)
	b, err := jsonwire.AppendText(p.scratch, quoted)
	if err != nil {
		return nil, errSurrogate
	}
	p.scratch = b
	return b[n:len(b):len(b)], nil
}

func memberNumber(s *jsonwire.Scanner, name string) ([]byte, error) {
	raw, k := s.Value()
	switch k {
	case jsonwire.Invalid:
		return nil, errJSON
	case jsonwire.Number:
		return raw, nil
	}
	return nil, invalidData("Expected '%s' to be of type Number.", name)
}

func memberInt32(s *jsonwire.Scanner, name string) (int32, error) {
	raw, err := memberNumber(s, name)
	if err != nil {
		return 0, err
	}
	n, ok := jsonwire.Int32(raw)
	if !ok {
		return 0, errNotInt32
	}
	return n, nil
}

func memberInt64(s *jsonwire.Scanner, name string) (int64, error) {
	raw, err := memberNumber(s, name)
	if err != nil {
		return 0, err
	}
	n, ok := jsonwire.Int64(raw)
	if !ok {
		return 0, errNotInt64
	}
	return n, nil
}

func memberBool(s *jsonwire.Scanner, name string) (bool, error) {
	_, k := s.Value()
	switch k {
	case jsonwire.Invalid:
		return false, errJSON
	case jsonwire.True, jsonwire.False:
		return k == jsonwire.True, nil
	}
	return false, invalidData("Expected '%s' to be true or false.", name)
}

// enterArray enters the array of a member.
func enterArray(s *jsonwire.Scanner, name string) error {
	if k := s.Kind(); k != jsonwire.Array {
		if !validValue(s) {
			return errJSON
		}
		return invalidData("Expected '%s' to be of type Array.", name)
	}
	if !s.Array() {
		return errJSON
	}
	return nil
}

// arguments notes where each argument lies. A comma behind the last one spoils
// the call alone, if its target is known by then (section 4.3).
func (p *parser) arguments(record []byte) error {
	s := &p.json
	p.list, p.argsErr = p.list[:0], nil
	if err := enterArray(s, "arguments"); err != nil {
		return err
	}
	s.TrailingCommas = p.target != nil
	from := len(record) - len(s.Rest())
	for s.Element() {
		raw, k := s.Value()
		if k == jsonwire.Invalid {
			return errJSON
		}
		s.SawTrailingComma = false // inside of an argument: the codec's affair
		end := len(record) - len(s.Rest()) - from
		p.list = append(p.list, span{end - len(raw), end})
	}
	if s.Err() != nil {
		return errJSON
	}
	end := len(record) - len(s.Rest())
	p.args = record[from:end:end]
	if s.SawTrailingComma {
		p.argsErr = &exception{"JsonReaderException", "The JSON array contains a trailing comma at the end which is not supported in this mode. Change the reader options." + place(record, end-1)}
	}
	s.TrailingCommas, s.SawTrailingComma = false, false
	return nil
}

// place is how .NET names a byte of a text.
func place(record []byte, at int) string {
	line := bytes.Count(record[:at], []byte{'\n'})
	at -= bytes.LastIndexByte(record[:at], '\n') + 1
	return " LineNumber: " + strconv.Itoa(line) + " | BytePositionInLine: " + strconv.Itoa(at) + "."
}

func (p *parser) streamIDs() error {
	s := &p.json
	p.streams = p.streams[:0]
	if err := enterArray(s, "streamIds"); err != nil {
		return err
	}
	for s.Element() {
		raw, k := s.Value()
		switch k {
		case jsonwire.Invalid:
			return errJSON
		case jsonwire.Null:
			return invalidData("Null value for 'streamIds' is not valid.")
		case jsonwire.String:
		default:
			return &exception{"InvalidOperationException", "Cannot get the value of a token type '" + tokenName(k) + "' as a string."}
		}
		id, err := p.unquote(raw)
		if err != nil {
			return err
		}
		p.streams = append(p.streams, id)
	}
	if s.Err() != nil {
		return errJSON
	}
	return nil
}

// tokenName is .NET's name of the token with which a value begins.
func tokenName(k jsonwire.Kind) string {
	if k == jsonwire.Array || k == jsonwire.Object {
		return "Start" + k.String()
	}
	return k.String()
}

func (p *parser) jsonHeaders() error {
	s := &p.json
	p.headers = nil
	if k := s.Kind(); k != jsonwire.Object {
		if !validValue(s) {
			return errJSON
		}
		return invalidData("Expected 'headers' to be of type StartObject.")
	}
	if !s.Object() {
		return errJSON
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if !utf8.Valid(name) {
			return errTranscode
		}
		raw, k := s.Value()
		switch k {
		case jsonwire.Invalid:
			return errJSON
		case jsonwire.String:
		default:
			return invalidData("Expected header '%s' to be of type String.", name)
		}
		if !p.wantHeaders {
			continue
		}
		text, err := p.unquote(raw)
		if err != nil {
			return err
		}
		if p.headers == nil {
			p.headers = make(map[string]string)
		}
		p.headers[string(name)] = string(text)
	}
	if s.Err() != nil {
		return errJSON
	}
	return nil
}

func (j *jsonProtocol) wrongValue(raw []byte, into any, _ string) *exception {
	at := len(raw)
	if at > 0 && (raw[0] == '{' || raw[0] == '[') {
		at = 1 // it does not read on
	}
	return &exception{"JsonException", "The JSON value could not be converted to System." + dotnetName(into) + ". Path: $ | LineNumber: 0 | BytePositionInLine: " + strconv.Itoa(at) + "."}
}
