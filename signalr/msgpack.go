package signalr

import (
	"fmt"
	"unicode/utf8"

	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/wire"
)

// msgpackProtocol is the hub protocol "messagepack" (sections 5.1 to 5.3).
type msgpackProtocol struct{ codec wire.Codec }

var msgpackHub protocol = &msgpackProtocol{msgpack.Codec{}}

func (*msgpackProtocol) Name() string        { return "messagepack" }
func (m *msgpackProtocol) Codec() wire.Codec { return m.codec }

func (*msgpackProtocol) next(b []byte, _ int) (body []byte, size int, err error) {
	n, prefix, err := msgpack.ReadLength(b)
	switch {
	case err != nil:
		return nil, 0, errTwoGB
	case prefix == 0 || n > len(b)-prefix:
		return nil, 0, nil
	}
	size = prefix + n
	return b[prefix:size:size], size, nil
}

// parse reads the elements in order and, as .NET does, whatever the length that
// the array claims; what follows the last one that the type has is not looked
// at.
func (*msgpackProtocol) parse(p *parser, body []byte) error {
	p.reset()
	r := &p.mp
	r.Reset(body)
	elements, err := r.ReadArrayHeader()
	if err != nil {
		return codeError(err)
	}
	n, err := r.ReadInt32()
	if err != nil {
		return readFailed("messageType", "Int32")
	}
	switch p.kind = kind(n); p.kind {
	case invocation, streamInvocation:
		return p.msgpackCall(body, elements)
	case streamItem:
		if err := p.headersAndID("StreamItem"); err != nil {
			return err
		}
		p.item, _ = r.ReadRaw() // what is no value binds to nothing
		return nil
	case completion:
		return p.msgpackCompletion()
	case cancelInvocation:
		return p.headersAndID("CancelInvocation")
	case closeMessage:
		if p.text, err = p.nullableText("error"); err != nil {
			return err
		}
		p.failed = p.text != nil
		if elements > 2 {
			if p.allowReconnect, err = r.ReadBool(); err != nil {
				return readFailed("allowReconnect", "Boolean")
			}
		}
		return nil
	case ack, sequence:
		if p.sequenceID, err = r.ReadInt64(); err != nil {
			return readFailed("sequenceId", "Int64")
		}
	}
	return nil
}

func readFailed(field, typ string) error {
	return invalidData("Reading '%s' as %s failed.", field, typ)
}

// codeError is .NET's error for a value of the wrong kind, or none.
func codeError(err error) error {
	if e, ok := err.(*msgpack.CodeError); ok {
		return &exception{"MessagePackSerializationException", fmt.Sprintf("Unexpected msgpack code %d (%s) encountered.", e.Code, msgpack.CodeName(e.Code))}
	}
	return errEndOfStream
}

// nullableText reads a string or nil; nil is nil, and "" is not.
func (p *parser) nullableText(field string) ([]byte, error) {
	if p.mp.ReadNil() {
		return nil, nil
	}
	b, err := p.mp.ReadString()
	if err != nil {
		return nil, readFailed(field, "String")
	}
	return unicodeText(b), nil
}

// unicodeText is b with U+FFFD for what is not UTF-8, and never nil.
func unicodeText(b []byte) []byte {
	switch {
	case b == nil:
		return []byte{}
	case utf8.Valid(b):
		return b
	}
	return []byte(msgpack.Text(b))
}

// headersAndID reads what all messages of types 1 to 5 begin with, where the id
// is required.
func (p *parser) headersAndID(message string) (err error) {
	if err = p.msgpackHeaders(); err != nil {
		return err
	}
	if p.id, err = p.nullableText("invocationId"); err != nil {
		return err
	}
	if len(p.id) == 0 {
		return invalidData("Null or empty invocation ID for %s message.", message)
	}
	return nil
}

func (p *parser) msgpackCall(body []byte, elements int) (err error) {
	message := "Invocation"
	if p.kind == streamInvocation {
		message = "StreamInvocation"
		err = p.headersAndID(message)
	} else if err = p.msgpackHeaders(); err == nil {
		p.id, err = p.nullableText("invocationId")
	}
	if err != nil {
		return err
	}
	if p.target, err = p.nullableText("target"); err != nil {
		return err
	}
	if len(p.target) == 0 {
		return invalidData("Null or empty target for %s message.", message)
	}
	if !p.msgpackArguments(body) || elements <= 5 {
		return nil
	}
	n, err := p.mp.ReadArrayHeader()
	if err != nil {
		return invalidData("Reading array length for 'streamIds' failed.")
	}
	for range n {
		if p.mp.ReadNil() {
			return errStreamID
		}
		id, err := p.mp.ReadString()
		if err != nil {
			return codeError(err)
		}
		if len(id) == 0 {
			return errStreamID
		}
		p.streams = append(p.streams, unicodeText(id))
	}
	return nil
}

var errStreamID = invalidData("Null or empty value in streamIds received.")

var errArguments = invalidData("Reading array length for 'arguments' failed.")

// msgpackArguments notes where each argument lies. What is wrong there fails
// the call alone: the rest of the message is then out of reach, and it reports
// false. The number of arguments is what the array's head says, whatever
// follows (section 5.3).
func (p *parser) msgpackArguments(body []byte) bool {
	r := &p.mp
	n, err := r.ReadArrayHeader()
	if err != nil {
		p.argsErr = errArguments
		return false
	}
	from := len(body) - len(r.Rest())
	p.args = body[from:len(body):len(body)]
	for range n {
		at := len(body) - len(r.Rest()) - from
		if err == nil {
			err = r.Skip()
		}
		end := len(body) - len(r.Rest()) - from
		p.list = append(p.list, span{at, end})
	}
	if err != nil {
		return false
	}
	p.args = p.args[:len(body)-len(r.Rest())-from]
	return true
}

func (p *parser) msgpackCompletion() error {
	if err := p.headersAndID("Completion"); err != nil {
		return err
	}
	r := &p.mp
	k, err := r.ReadInt32()
	if err != nil {
		return readFailed("resultKind", "Int32")
	}
	switch k {
	case resultError:
		p.text, err = p.nullableText("error")
		p.failed = p.text != nil
		return err
	case resultVoid:
		return nil
	case resultValue:
		if p.result, err = r.ReadRaw(); err != nil {
			return codeError(err)
		}
		return nil
	}
	return invalidData("Invalid invocation result kind.")
}

// The kinds of a Completion.
const (
	resultError = 1
	resultVoid  = 2
	resultValue = 3
)

// headerText reads a string; nil is empty.
func (p *parser) headerText() ([]byte, error) {
	if p.mp.ReadNil() {
		return nil, nil
	}
	b, err := p.mp.ReadString()
	if err != nil {
		return nil, err
	}
	return unicodeText(b), nil
}

func (p *parser) msgpackHeaders() error {
	r := &p.mp
	n, err := r.ReadMapHeader()
	if err != nil {
		return invalidData("Reading map length for 'headers' failed.")
	}
	if n == 0 {
		return nil
	}
	// A name that comes twice is fatal, so that the names are needed even where
	// the headers are not.
	headers := make(map[string]string, min(n, 16))
	for i := range n {
		name, err := p.headerText()
		switch {
		case err != nil:
			return readFailed(fmt.Sprintf("headers[%d].Key", i), "String")
		case len(name) == 0:
			return invalidData("Null or empty key in header.")
		}
		value, err := p.headerText()
		switch {
		case err != nil:
			return readFailed(fmt.Sprintf("headers[%d].Value", i), "String")
		case len(value) == 0:
			return invalidData("Null or empty value in header.")
		}
		if _, ok := headers[string(name)]; ok {
			return &exception{"ArgumentException", "An item with the same key has already been added. Key: " + string(name)}
		}
		headers[string(name)] = string(value)
	}
	if p.wantHeaders {
		p.headers = headers
	}
	return nil
}

func (m *msgpackProtocol) wrongValue(_ []byte, into any, what string) *exception {
	return invalidData("Deserializing object of the `%s` type for '%s' failed.", dotnetName(into), what)
}
