package msgpack

import (
	"unicode/utf8"
)

const replacement = "\uFFFD"

// Text is the text of a string that [Reader.ReadString] returned. What is not
// UTF-8 becomes U+FFFD, as in .NET: one for each longest piece that could have
// been the beginning of a character.
func Text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(appendText(make([]byte, 0, len(b)+len(replacement)), b))
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	from := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		n, ok := character(s, i)
		if !ok {
			dst = append(append(dst, s[from:i]...), replacement...)
			from = i + n
		}
		i += n
	}
	return append(dst, s[from:]...)
}

// character is the length of the character at s[i:], or, if there is none, of
// the piece to be replaced: the longest beginning of a character (Unicode 3.9,
// table 3-7 and U+FFFD substitution of maximal subparts), at least one byte.
func character[T string | []byte](s T, i int) (n int, ok bool) {
	c, low, high := s[i], byte(0x80), byte(0xBF) // bounds of the second byte
	switch {
	case c >= 0xC2 && c <= 0xDF:
		n = 2
	case c >= 0xE0 && c <= 0xEF:
		n = 3
		switch c {
		case 0xE0:
			low = 0xA0
		case 0xED:
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		n = 4
		switch c {
		case 0xF0:
			low = 0x90
		case 0xF4:
			high = 0x8F
		}
	default:
		return 1, false
	}
	for k := 1; k < n; k++ {
		if i+k >= len(s) || s[i+k] < low || s[i+k] > high {
			return k, false
		}
		low, high = 0x80, 0xBF
	}
	return n, true
}
