package jsonwire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Below is the part of Scanner that passes what it does not show: white space
// and whole values. Every function takes the index where something begins and
// returns the one behind it, or -1 after an error.

// space passes white space at pos.
func (s *Scanner) space() {
	if s.pos < len(s.src) && s.src[s.pos] <= ' ' {
		s.pos = s.spaceFrom(s.pos)
	}
}

func (s *Scanner) spaceFrom(i int) int {
	for i < len(s.src) {
		switch s.src[i] {
		case ' ', '\t', '\r', '\n':
			s.spaces = true
			i++
		default:
			return i
		}
	}
	return i
}

func kindOf(c byte) Kind {
	switch c {
	case '"':
		return String
	case '{':
		return Object
	case '[':
		return Array
	case 't':
		return True
	case 'f':
		return False
	case 'n':
		return Null
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	}
	return Invalid
}

// value passes the value that begins at i and returns the index behind it, or
// -1. It calls itself for what lies inside of arrays and objects, at most
// MaxDepth levels deep.
func (s *Scanner) value(i, depth int) int {
	b := s.src
	if i >= len(b) {
		s.fail(i, "unexpected end")
		return -1
	}
	switch b[i] {
	case '"':
		end, _ := s.str(i)
		return end
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		s.nulls = true
		return s.literal(i, "null")
	case '[', '{':
	default:
		return s.number(i)
	}
	if depth >= s.limit() {
		s.fail(i, "nested too deep")
		return -1
	}
	object, closing := b[i] == '{', b[i]+2 // in ASCII, both are two behind their opening
	i++
	for first := true; ; first = false {
		if i < len(b) && b[i] <= ' ' {
			i = s.spaceFrom(i)
		}
		if i >= len(b) {
			s.fail(i, "unexpected end")
			return -1
		}
		if b[i] == closing {
			return i + 1
		}
		if !first {
			if b[i] != ',' {
				s.fail(i, "expected ',' or the end")
				return -1
			}
			if i++; i < len(b) && b[i] <= ' ' {
				i = s.spaceFrom(i)
			}
			if i < len(b) && b[i] == closing {
				if !s.TrailingCommas {
					s.fail(i, "trailing comma")
					return -1
				}
				s.SawTrailingComma = true
				return i + 1
			}
		}
		if object {
			if i >= len(b) || b[i] != '"' {
				s.fail(i, "expected a member's name")
				return -1
			}
			if i, _ = s.str(i); i < 0 {
				return -1
			}
			if i < len(b) && b[i] <= ' ' {
				i = s.spaceFrom(i)
			}
			if i >= len(b) || b[i] != ':' {
				s.fail(i, "expected ':'")
				return -1
			}
			if i++; i < len(b) && b[i] <= ' ' {
				i = s.spaceFrom(i)
			}
		}
		if i = s.value(i, depth+1); i < 0 {
			return -1
		}
	}
}

func (s *Scanner) literal(i int, word string) int {
	if len(s.src)-i < len(word) || string(s.src[i:i+len(word)]) != word {
		s.fail(i, "unknown word")
		return -1
	}
	return i + len(word)
}

// number passes a number (RFC 8259, section 6).
func (s *Scanner) number(i int) int {
	b := s.src
	if b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		s.fail(i, "unexpected end")
		return -1
	case b[i] == '0':
		if i++; i < len(b) && isDigit(b[i]) {
			s.fail(i, "leading zero")
			return -1
		}
	case isDigit(b[i]):
		i = digits(b, i)
	default:
		s.fail(i, "unexpected character")
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; i >= len(b) || !isDigit(b[i]) {
			s.fail(i, "expected a digit")
			return -1
		}
		i = digits(b, i)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || !isDigit(b[i]) {
			s.fail(i, "expected a digit")
			return -1
		}
		i = digits(b, i)
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func digits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

const (
	lo8 = 0x0101010101010101
	hi8 = 0x8080808080808080
)

// str passes the string that begins with the quote at i and returns the index
// behind the closing quote, or -1, and whether the string has no escapes. It
// takes eight bytes a step where nothing is special.
func (s *Scanner) str(i int) (end int, plain bool) {
	b := s.src
	var high uint64 // set where bytes above 0x7F are special
	if s.UTF8 {
		high = hi8
	}
	plain = true
	i++
	for {
		if i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^lo8*'"', w^lo8*'\\'
			// The lowest bit that is set is exact; those above may be borrows.
			stop := ((quote-lo8)&^quote | (slash-lo8)&^slash | (w-lo8*0x20)&^w | w&high) & hi8
			if stop == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(stop) / 8
		}
		if i >= len(b) {
			s.fail(i, "unexpected end of a string")
			return -1, false
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			n := s.escape(i)
			if n < 0 {
				return -1, false
			}
			i += n
			plain = false
		case c < 0x20:
			s.fail(i, "control character in a string")
			return -1, false
		case c < utf8.RuneSelf || !s.UTF8:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				s.fail(i, "string is not UTF-8")
				return -1, false
			}
			i += n
		}
	}
}

// escape is the length of the escape at i, or -1. With UTF8 set, a pair of
// surrogates is one escape.
func (s *Scanner) escape(i int) int {
	b := s.src
	if i+1 >= len(b) {
		s.fail(i, "unexpected end of a string")
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r := hex4(b[i+2:])
		if r < 0 {
			s.fail(i, "bad escape")
			return -1
		}
		if !s.UTF8 || r < 0xD800 || r > 0xDFFF {
			return 6
		}
		if _, n := pair(b[i:], r); n == 12 {
			return 12
		}
		s.fail(i, "half of a surrogate pair")
		return -1
	}
	s.fail(i, "bad escape")
	return -1
}

// hex4 is the number that the first four bytes of b write in hexadecimal, or
// -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
