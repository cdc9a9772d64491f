package sse

import (
	"unicode"
	"unicode/utf8"
)

// dotnetJSON rewrites the JSON in b[n:] as System.Text.Json writes it with its
// relaxed escaping, where Go's encoder differs: characters beyond the basic plane
// and those that .NET holds for invisible are escaped, hex digits are upper case,
// and so is a number's exponent, of at least two digits.
func dotnetJSON(b []byte, n int) []byte {
	src := b[n:]
	i := 0
	for i < len(src) && !differs(src, i) {
		i++
	}
	if i == len(src) {
		return b
	}
	out := make([]byte, 0, len(src)+32)
	text := false
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case c == '"':
			text = !text
			out = append(out, c)
			i++
		case !text && c == 'e' && i > 0 && src[i-1] >= '0' && src[i-1] <= '9':
			out = append(out, 'E')
			if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
				out = append(out, src[i])
				i++
				if i+1 >= len(src) || src[i+1] < '0' || src[i+1] > '9' {
					out = append(out, '0')
				}
			}
		case c == '\\' && i+5 < len(src) && src[i+1] == 'u':
			out = append(out, '\\', 'u')
			for _, h := range src[i+2 : i+6] {
				if h >= 'a' {
					h -= 'a' - 'A'
				}
				out = append(out, h)
			}
			i += 6
		case c == '\\' && i+1 < len(src):
			out = append(out, c, src[i+1])
			i += 2
		case c >= utf8.RuneSelf || c == 0x7F:
			r, size := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError || escaped(r) {
				out = appendEscape(out, r)
			} else {
				out = append(out, src[i:i+size]...)
			}
			i += size
		default:
			out = append(out, c)
			i++
		}
	}
	return append(b[:n], out...)
}

// differs is a quick look at whether the byte may need a change: a word such as
// true or false has an e, but no digit before it.
func differs(b []byte, i int) bool {
	c := b[i]
	return c >= 0x7F || c == '\\' || c == 'e' && i > 0 && b[i-1] >= '0' && b[i-1] <= '9'
}

// escaped are the characters that .NET's relaxed encoder does not write as they
// are: beyond the basic plane, not assigned, private, controls, spaces but U+0020,
// and the byte order mark.
func escaped(r rune) bool {
	switch {
	case r > 0xFFFF || r == 0xFEFF || r == 0x7F:
		return true
	case unicode.In(r, unicode.Cc, unicode.Co, unicode.Cs, unicode.Zs, unicode.Zl, unicode.Zp):
		return true
	}
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Cf)
}

func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789ABCDEF"
	if r > 0xFFFF {
		r -= 0x10000
		dst = appendEscape(dst, 0xD800+r>>10)
		r = 0xDC00 + r&0x3FF
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
