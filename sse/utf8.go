package sse

import "unicode/utf8"

// utf8Text is b as a string in UTF-8. What is none becomes U+FFFD, one for each
// maximal part of a character (Encoding standard, section 4.1), where Go's own
// conversions write one for each byte or each run.
func utf8Text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	s := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			s = append(s, b[:n]...)
			b = b[n:]
			continue
		}
		s = append(s, "\uFFFD"...)
		b = b[maximalPart(b):]
	}
	return string(s)
}

// maximalPart is how many bytes of b begin a character that does not go on.
func maximalPart(b []byte) int {
	low, high, need := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for ; n <= need && n < len(b) && b[n] >= low && b[n] <= high; n++ {
		low, high = 0x80, 0xBF
	}
	return n
}
