package jsonrpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A Framing is how messages stand in a stream of bytes.
type Framing uint8

const (
	// Header is that of the Language Server Protocol: Content-Length: N, a blank
	// line, N bytes.
	Header Framing = iota
	// Newline ends each message with a line feed.
	Newline
	// Length puts four bytes in front, the length, big-endian.
	Length
	// Sniff is one of the three, by the first byte that the peer sends. Until
	// then this end writes with Header.
	Sniff

	wsText   // the server's text frames
	wsBinary // likewise
)

var framingNames = [...]string{"header", "newline", "length", "sniff", "websocket", "websocket"}

// String is the name of the framing.
func (f Framing) String() string { return framingNames[min(int(f), len(framingNames)-1)] }

// Bounds of a header.
const (
	maxHeader = 8 << 10
	maxLine   = 4 << 10
)

var (
	errTooLarge = errors.New("the message is too large")
	errCharset  = errors.New("the message is in a charset that is not known here")
	errHeader   = errors.New("a header is too long")
)

// A frameError says that the framing is lost.
type frameError struct{ text string }

func (e *frameError) Error() string { return "jsonrpc: framing: " + e.text }

// A decoder finds the messages in a stream of bytes. It keeps no bytes: what is
// not whole yet is shown to it again, with more behind it.
type decoder struct {
	framing Framing
	max     int

	begun   bool  // Sniff has decided
	known   bool  // the header of the message was read
	need    int   // bytes of its body
	charset uint8 // of the body
	looked  int   // bytes that were looked at for an end
	skip    int64 // bytes of a message that is too large
	skips   bool
}

const (
	utf8Set uint8 = iota
	utf16LE
	utf16BE
	otherSet
)

// next takes the next message from the beginning of b. It returns how many bytes
// were used; none means that more are needed. whole says that body is a message.
// An error that is no *frameError is about one message, which was used.
func (d *decoder) next(b []byte) (body []byte, whole bool, used int, err error) {
	if d.skips {
		n := int(min(int64(len(b)), d.skip))
		if d.skip -= int64(n); d.skip > 0 {
			return nil, false, n, nil
		}
		d.skips = false
		return nil, false, n, errTooLarge
	}
	if d.framing == Sniff && !d.sniff(b) {
		return nil, false, 0, nil
	}
	switch d.framing {
	case Newline:
		return d.line(b)
	case Length:
		return d.length(b)
	}
	return d.header(b)
}

// sniff decides by the first byte that is no white space.
func (d *decoder) sniff(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case 0, 1, 2, 3, 4:
			d.framing = Length
		case '{', '[', 0xEF:
			d.framing = Newline
		default:
			d.framing = Header
		}
		d.begun = true
		return true
	}
	return len(b) > maxLine && func() bool { d.framing = Header; return true }()
}

// line takes a line; blank ones are skipped.
func (d *decoder) line(b []byte) ([]byte, bool, int, error) {
	i := bytes.IndexByte(b[d.looked:], '\n')
	if i < 0 {
		if d.looked = len(b); len(b) > d.max {
			if d.skip += int64(len(b)); d.skip > 2*int64(d.max) {
				return nil, false, 0, &frameError{"a line does not end"}
			}
			// The rest of the line is skipped piece by piece.
			d.known, d.looked = true, 0
			return nil, false, len(b), nil
		}
		return nil, false, 0, nil
	}
	i += d.looked
	d.looked = 0
	if d.known || i > d.max {
		d.known, d.skip = false, 0
		return nil, false, i + 1, errTooLarge
	}
	body := bytes.TrimRight(b[:i], " \t\r")
	return body, len(body) > 0, i + 1, nil
}

// last is the message that ends with the input, without a terminator.
func (d *decoder) last(b []byte) []byte {
	if d.framing != Newline || d.known {
		return nil
	}
	return bytes.TrimSpace(b)
}

// inside reports whether the input must not end here.
func (d *decoder) inside(b []byte) bool {
	return d.skips || d.known || d.framing != Newline && len(bytes.TrimSpace(b)) > 0
}

func (d *decoder) length(b []byte) ([]byte, bool, int, error) {
	if len(b) < 4 {
		return nil, false, 0, nil
	}
	n := int64(int32(binary.BigEndian.Uint32(b)))
	if n < 0 {
		return nil, false, 0, &frameError{"a length is negative"}
	}
	if err := d.fits(n); err != nil {
		return nil, false, 0, err
	}
	if d.skips {
		return nil, false, 4, nil
	}
	if len(b)-4 < int(n) {
		return nil, false, 0, nil
	}
	return b[4 : 4+n : 4+n], true, 4 + int(n), nil
}

// fits looks at a declared length, and decides to skip the message.
func (d *decoder) fits(n int64) error {
	switch {
	case n <= int64(d.max):
		return nil
	case n/2 > int64(d.max):
		return &frameError{fmt.Sprintf("a message of %d bytes", n)}
	}
	d.skip, d.skips = n, true
	return nil
}

func (d *decoder) header(b []byte) ([]byte, bool, int, error) {
	if d.known {
		return d.body(b, 0)
	}
	lead := 0
	for lead < len(b) && (b[lead] == '\r' || b[lead] == '\n') {
		lead++
	}
	if lead == len(b) {
		return nil, false, lead, nil
	}
	end := headerEnd(b, max(lead, d.looked-3))
	if end < 0 {
		d.looked = len(b)
		if len(b)-lead > maxHeader {
			return nil, false, 0, &frameError{errHeader.Error()}
		}
		return nil, false, 0, nil
	}
	d.looked = 0
	if end-lead > maxHeader {
		return nil, false, 0, &frameError{errHeader.Error()}
	}
	n, err := d.fields(b[lead:end])
	if err == nil {
		err = d.fits(n)
	}
	if err != nil {
		return nil, false, 0, err
	}
	if d.skips {
		return nil, false, end, nil
	}
	d.known, d.need = true, int(n)
	return d.body(b, end)
}

// headerEnd is the index behind the blank line, or -1.
func headerEnd(b []byte, from int) int {
	for i := from; i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		switch {
		case i+1 < len(b) && b[i+1] == '\n':
			return i + 2
		case i+2 < len(b) && b[i+1] == '\r' && b[i+2] == '\n':
			return i + 3
		}
	}
	return -1
}

func (d *decoder) body(b []byte, at int) ([]byte, bool, int, error) {
	if len(b)-at < d.need {
		return nil, false, at, nil
	}
	d.known = false
	body, err := decodeCharset(b[at:at+d.need:at+d.need], d.charset)
	return body, err == nil, at + d.need, err
}

// fields reads the lines of a header: the length, and the charset. Lines that it
// does not know, and those that are no header at all, mean nothing.
func (d *decoder) fields(block []byte) (length int64, err error) {
	length = -1
	d.charset = utf8Set
	for line := range bytes.Lines(block) {
		if len(line) > maxLine {
			return 0, &frameError{errHeader.Error()}
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseInt(string(value), 10, 64)
			switch {
			case err != nil:
				return 0, &frameError{fmt.Sprintf("Content-Length is %.40q", value)}
			case n < 0:
				return 0, &frameError{"Content-Length is negative"}
			case length >= 0 && n != length:
				return 0, &frameError{"Content-Length comes twice"}
			}
			length = n
		case bytes.EqualFold(name, []byte("Content-Type")):
			d.charset = charsetOf(value)
		}
	}
	if length < 0 {
		return 0, &frameError{"there is no Content-Length"}
	}
	return length, nil
}

// charsetOf is the charset that a content type names; UTF-8 where it names none.
func charsetOf(contentType []byte) uint8 {
	for p := range bytes.SplitSeq(contentType, []byte{';'}) {
		name, value, ok := bytes.Cut(p, []byte{'='})
		if !ok || !bytes.EqualFold(bytes.TrimSpace(name), []byte("charset")) {
			continue
		}
		switch string(bytes.ToLower(bytes.Trim(value, " \t\r\n\"'"))) {
		case "utf-8", "utf8", "us-ascii", "ascii":
			return utf8Set
		case "utf-16", "utf-16le":
			return utf16LE
		case "utf-16be":
			return utf16BE
		}
		return otherSet
	}
	return utf8Set
}

func decodeCharset(b []byte, set uint8) ([]byte, error) {
	switch set {
	case utf8Set:
		return b, nil
	case otherSet:
		return nil, errCharset
	}
	if len(b)%2 != 0 {
		return nil, errCharset
	}
	var order binary.ByteOrder = binary.LittleEndian
	if set == utf16BE {
		order = binary.BigEndian
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	out := make([]byte, 0, len(b))
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}
