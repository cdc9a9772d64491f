package jsonwire

import (
	"errors"
	"math"
	"unicode/utf8"
)

var errText = errors.New("jsonwire: not a string")
var errUnicode = errors.New("jsonwire: string is not Unicode text")

// Plain returns what is between the quotes of a string that [Scanner.Value]
// returned, where that is the text as it stands: no escapes, and UTF-8.
// Otherwise it reports false, and [Text] or [AppendText] is needed.
func Plain(quoted []byte) ([]byte, bool) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return nil, false
	}
	b := quoted[1 : len(quoted)-1]
	ascii := true
	for _, c := range b {
		if c == '\\' {
			return nil, false
		}
		if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	return b, ascii || utf8.Valid(b)
}

// Text is the text of a string that [Scanner.Value] returned. Bytes that are
// not UTF-8 and halves of surrogate pairs are errors, as in .NET.
func Text(quoted []byte) (string, error) {
	if b, ok := Plain(quoted); ok {
		return string(b), nil
	}
	b, err := AppendText(nil, quoted)
	return string(b), err
}

// AppendText appends the text of a string that [Scanner.Value] returned. Bytes
// that are not UTF-8 and halves of surrogate pairs are errors, as in .NET.
func AppendText(dst, quoted []byte) ([]byte, error) {
	if len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return dst, errText
	}
	n := len(dst)
	dst = appendUnescaped(dst, quoted[1:len(quoted)-1])
	if !utf8.Valid(dst[n:]) {
		return dst, errUnicode
	}
	return dst, nil
}

// appendUnescaped appends the text of b, which a Scanner has passed, with its
// escapes resolved. Half of a surrogate pair becomes three bytes that are not
// UTF-8, so that it can be told from any text.
func appendUnescaped(dst, b []byte) []byte {
	from := 0
	for i := 0; i < len(b); {
		if b[i] != '\\' || i+1 >= len(b) {
			i++
			continue
		}
		dst = append(dst, b[from:i]...)
		switch c := b[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := pair(b[i:], hex4(b[i+2:]))
			if r >= 0xD800 && r <= 0xDFFF {
				dst = append(dst, 0xED, 0x80|byte(r>>6&0x3F), 0x80|byte(r&0x3F))
			} else {
				dst = utf8.AppendRune(dst, r)
			}
			i += n - 2
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		i += 2
		from = i
	}
	return append(dst, b[from:]...)
}

// pair is the code point of the escape \uXXXX at the start of b, which is r,
// together with a second one where both are a surrogate pair, and the length in
// bytes.
func pair(b []byte, r rune) (rune, int) {
	if r >= 0xD800 && r < 0xDC00 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if low := hex4(b[8:]); low >= 0xDC00 && low <= 0xDFFF {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, 12
		}
	}
	return r, min(6, len(b))
}

// Int32 reads a number that is nothing but digits, with or without a minus, and
// fits: not 1.0, not 1e3. -0 is 0. Any other text reports false.
func Int32(raw []byte) (int32, bool) {
	n, ok := Int64(raw)
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, false
	}
	return int32(n), true
}

// Int64 is Int32 for 64 bits.
func Int64(raw []byte) (int64, bool) {
	if len(raw) > 0 && raw[0] == '-' {
		n, ok := Uint64(raw[1:])
		if !ok || n > 1<<63 {
			return 0, false
		}
		return -int64(n), true
	}
	n, ok := Uint64(raw)
	if !ok || n > math.MaxInt64 {
		return 0, false
	}
	return int64(n), true
}

// Uint64 is Int64 for numbers without a minus.
func Uint64(raw []byte) (uint64, bool) {
	if len(raw) == 0 || len(raw) > 20 || raw[0] == '0' && len(raw) > 1 {
		return 0, false
	}
	var n uint64
	for i, c := range raw {
		if !isDigit(c) {
			return 0, false
		}
		d := uint64(c - '0')
		if i == 19 && (n > math.MaxUint64/10 || n*10 > math.MaxUint64-d) {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string, the way encoding/json does without
// HTML escaping: what is not UTF-8 becomes U+FFFD, U+2028 and U+2029 are
// escaped.
func AppendString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

// AppendStringBytes is AppendString for bytes that are text.
func AppendStringBytes(dst, s []byte) []byte { return appendQuoted(dst, s) }

// escapes[c] says what is to be done with an ASCII byte inside a string: 0
// nothing, 'u' a \u00XX escape, else the letter behind the backslash. Bytes
// above 0x7F are marked with 1.
var escapes = func() (t [256]byte) {
	for c := range 0x20 {
		t[c] = 'u'
	}
	t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = 'b', 'f', 'n', 'r', 't'
	t['"'], t['\\'] = '"', '\\'
	for c := 0x80; c < 0x100; c++ {
		t[c] = 1
	}
	return t
}()

func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		e := escapes[c]
		if e == 0 {
			i++
			continue
		}
		if e == 1 {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(append(dst, s[from:i]...), `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				dst = append(append(dst, s[from:i]...), `\u202`...)
				dst = append(dst, hexDigits[r&15])
			default:
				i += n
				continue
			}
			i += n
			from = i
			continue
		}
		dst = append(dst, s[from:i]...)
		if e == 'u' {
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', e)
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
