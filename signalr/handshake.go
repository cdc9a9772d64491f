package signalr

import (
	"strconv"
	"strings"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// The handshake (section 3): one JSON object that names the hub protocol, in
// front of everything else, whatever the protocol. The answer is "{}", or an
// error and the end.

// newestVersion is the newest version of both protocols.
const newestVersion = 2

// handshakeAnswer is what a good handshake is answered with.
const handshakeAnswer = "{}\x1e"

const handshakeCanceled = "Handshake was canceled."

// appendHandshakeError appends the answer to a bad handshake.
func appendHandshakeError(dst []byte, text string) []byte {
	dst = append(dst, `{"error":`...)
	dst = jsonwire.AppendString(dst, text)
	return append(dst, '}', recordSeparator)
}

// A handshake is a client's request.
type handshake struct {
	protocol string
	version  int32
}

// parseHandshake reads a request without its separator. What follows the object
// is not looked at.
func (p *parser) parseHandshake(record []byte) (h handshake, err error) {
	p.reset()
	s := &p.json
	s.Reset(record)
	s.TrailingCommas = false
	if k := s.Kind(); k != jsonwire.Object {
		if k == jsonwire.Invalid || k != jsonwire.Array && !validValue(s) {
			return h, readerError(s, record)
		}
		return h, notAnObject(k)
	}
	s.Object()
	var hasProtocol, hasVersion bool
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "protocol":
			hasProtocol = true
			var text []byte
			if text, err = p.memberText("protocol"); err == nil {
				h.protocol = string(text)
			}
		case "version":
			hasVersion = true
			h.version, err = memberInt32(s, "version")
		default:
			s.Value()
		}
		switch {
		case s.Err() != nil:
			return h, readerError(s, record)
		case err != nil:
			return h, err
		}
	}
	switch {
	case s.Err() != nil:
		return h, readerError(s, record)
	case !hasProtocol:
		return h, missingInHandshake("protocol", record)
	case !hasVersion:
		return h, missingInHandshake("version", record)
	}
	return h, nil
}

func missingInHandshake(name string, record []byte) error {
	return invalidData("Missing required property '%s'. Message content: %s", name, strings.ToValidUTF8(string(record), "\uFFFD"))
}

// readerError is .NET's error for a text that is no JSON; its words are close
// to that parser's, which differ from fault to fault.
func readerError(s *jsonwire.Scanner, record []byte) error {
	e, ok := s.Err().(*jsonwire.SyntaxError)
	at := 0
	if ok {
		at = min(e.Offset, len(record))
	} else {
		at = len(record) - len(s.Rest())
	}
	text := "The input does not contain any JSON tokens. Expected the input to start with a valid JSON token, when isFinalBlock is true."
	switch {
	case at < len(record) && record[at] == '/':
		text = "'/' is invalid after a value. Expected either ',', '}', or ']'."
	case at < len(record):
		text = "'" + printable(record[at]) + "' is invalid where it stands."
		if !ok {
			text = "'" + printable(record[at]) + "' is an invalid start of a value."
		}
	case ok || at > 0:
		text = "Expected depth to be zero at the end of the JSON payload. There is an open JSON object or array that should be closed."
	}
	return &exception{"JsonReaderException", text + place(record, at)}
}

// printable is how .NET shows a byte in such a text.
func printable(c byte) string {
	if c < 0x20 || c > 0x7E {
		return "0x" + strings.ToUpper(strconv.FormatUint(uint64(c), 16))
	}
	return string(rune(c))
}

// choose finds what a request asks for, or the text of the refusal.
func (m *mount) choose(h handshake, on *framings) (protocol, string) {
	p := m.protocol(h.protocol)
	switch {
	case p == nil:
		text := "The protocol '" + h.protocol + "' is not supported."
		if m.hubOpts.DetailedErrors {
			text += " " + m.protocolsText()
		}
		m.hubOpts.Logger.Info("signalr: handshake: a client wants a protocol that is not there. "+m.protocolsText(), "hub", m.hubOpts.Name, "protocol", printableName(h.protocol))
		return nil, text
	case on.of(p) == nil:
		return nil, "Cannot use the '" + p.Name() + "' protocol on the current transport. The transport does not support 'Binary' transfer format."
	case h.version > newestVersion:
		return nil, "The server does not support version " + strconv.Itoa(int(h.version)) + " of the '" + p.Name() + "' protocol."
	}
	return p, ""
}

// printableName is a client's text for the log, cut short.
func printableName(s string) string { return strconv.Quote(s[:min(len(s), 40)]) }
