package jsonwire

import (
	"strconv"
)

// DefaultDepth is how many arrays and objects may be open at the same time
// where nobody says otherwise. It is System.Text.Json's limit.
const DefaultDepth = 64

// A Kind is what a JSON value is.
type Kind uint8

// The kinds of values. Invalid is the zero Kind: no value begins like that.
const (
	Invalid Kind = iota
	Null
	False
	True
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"Invalid", "Null", "False", "True", "Number", "String", "Array", "Object"}

// String is the kind's name, as .NET prints it too.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Invalid"
}

// A SyntaxError says where a text is no JSON, or is more than was allowed.
type SyntaxError struct {
	Offset int    // the byte at which it was noticed, counted from 0
	Msg    string // what is wrong, in a few words
}

func (e *SyntaxError) Error() string {
	return "jsonwire: " + e.Msg + " at byte " + strconv.Itoa(e.Offset)
}

// A Scanner reads one JSON text from front to back, in one pass and without
// allocation. It decodes nothing: values are slices of the source. It checks
// the grammar of RFC 8259 for all that it passes: no comments, no trailing
// commas, no control characters in strings, no odd numbers; and it checks that
// no more than MaxDepth arrays and objects are open.
//
// Errors stick: after the first, every method reports false, Invalid or nil,
// so a reader may look at Err once, at the end of a loop:
//
//	s := jsonwire.Scanner{}
//	s.Reset(record)
//	s.Object()
//	for key, ok := s.Member(); ok; key, ok = s.Member() {
//		switch string(key) {
//		case "type":
//			raw, kind := s.Value() // raw is checked JSON, with the quotes of a string
//		case "arguments":
//			if s.Kind() != jsonwire.Array { … }
//			for s.Array(); s.Element(); {
//				raw, _ := s.Value()
//			}
//		default:
//			s.Value() // skip
//		}
//	}
//	if err := s.Err(); err != nil { … }
//
// Behind the last bracket nothing is read: [Scanner.Rest] is what follows, and
// [Scanner.End] checks that it is white space. Doubled members are shown as
// often as they come.
//
// Unless UTF8 is set, the bytes above 0x7F in strings are not looked at, so
// that a protocol decides what a string that is not UTF-8 means where it
// stands; [Text], [AppendText] and [Codec] refuse it when the string is used.
//
// The zero Scanner is ready for Reset. It is not for use by two goroutines at
// the same time.
type Scanner struct {
	// MaxDepth is how many arrays and objects may be open at the same time, the
	// outermost counted. Defaults to DefaultDepth.
	MaxDepth int
	// UTF8 refuses strings and member names that are not UTF-8, and escapes
	// that are half of a surrogate pair.
	UTF8 bool
	// TrailingCommas passes over one comma before a closing bracket and notes
	// it in SawTrailingComma. (In .NET it spoils a call's arguments, but not
	// the message.) It may be set and cleared between calls.
	TrailingCommas   bool
	SawTrailingComma bool

	src     []byte
	pos     int
	depth   int  // arrays and objects that Array and Object have entered
	first   bool // no element or member of the innermost one was read
	spaces  bool // white space outside of strings was seen
	nulls   bool // a null was seen
	scratch []byte
	err     error
}

// Reset makes s read src from the beginning. What was read before stays valid;
// settings stay as they are.
func (s *Scanner) Reset(src []byte) {
	s.src, s.pos, s.depth, s.first, s.err = src, 0, 0, false, nil
	s.SawTrailingComma, s.spaces, s.nulls = false, false, false
}

// Err is the first error, a *[SyntaxError], or nil.
func (s *Scanner) Err() error { return s.err }

// Rest is what has not been read.
func (s *Scanner) Rest() []byte { return s.src[s.pos:] }

// End reports whether nothing but white space is left. If not, that is an
// error.
func (s *Scanner) End() bool {
	if s.err != nil {
		return false
	}
	if s.space(); s.pos < len(s.src) {
		return s.fail(s.pos, "text behind the value")
	}
	return true
}

// Kind is the kind of the next value, by its first byte: the value may still
// turn out to be broken. Nothing is read but white space.
func (s *Scanner) Kind() Kind {
	if s.err != nil {
		return Invalid
	}
	s.space()
	if s.pos >= len(s.src) {
		return Invalid
	}
	return kindOf(s.src[s.pos])
}

// Value reads the next value, whatever it is, and returns its text without
// white space around it.
func (s *Scanner) Value() (raw []byte, kind Kind) {
	if s.err != nil {
		return nil, Invalid
	}
	s.space()
	i := s.pos
	if i >= len(s.src) {
		s.fail(i, "unexpected end")
		return nil, Invalid
	}
	end := s.value(i, s.depth)
	if end < 0 {
		return nil, Invalid
	}
	s.pos, s.first = end, false
	return s.src[i:end:end], kindOf(s.src[i])
}

// Object enters the object that comes next. Its members are read with Member,
// to the end, before anything else.
func (s *Scanner) Object() bool { return s.enter('{', "expected an object") }

// Array enters the array that comes next. Its elements are read with Element,
// to the end, before anything else.
func (s *Scanner) Array() bool { return s.enter('[', "expected an array") }

func (s *Scanner) enter(open byte, msg string) bool {
	if s.err != nil {
		return false
	}
	s.space()
	switch {
	case s.pos >= len(s.src):
		return s.fail(s.pos, "unexpected end")
	case s.src[s.pos] != open:
		return s.fail(s.pos, msg)
	case s.depth >= s.limit():
		return s.fail(s.pos, "nested too deep")
	}
	s.pos++
	s.depth++
	s.first = true
	return true
}

// Member reads the name of the next member and the colon behind it; the value
// is to be read next, by Value, Object or Array. At the end of the object it
// reports false and leaves the object.
//
// key is the name without quotes and escapes, valid until the next call of
// Member. A name that is not Unicode text (bytes that are not UTF-8, an escaped
// half of a surrogate pair) is one that utf8.Valid refuses.
func (s *Scanner) Member() (key []byte, ok bool) {
	if !s.next('}') {
		return nil, false
	}
	i := s.pos
	if i >= len(s.src) || s.src[i] != '"' {
		s.fail(i, "expected a member's name")
		return nil, false
	}
	end, plain := s.str(i)
	if end < 0 {
		return nil, false
	}
	key = s.src[i+1 : end-1 : end-1]
	if !plain {
		s.scratch = appendUnescaped(s.scratch[:0], key)
		key = s.scratch
	}
	s.pos = end
	s.space()
	if s.pos >= len(s.src) || s.src[s.pos] != ':' {
		s.fail(s.pos, "expected ':'")
		return nil, false
	}
	s.pos++
	return key, true
}

// Element reports whether another element follows, which is to be read next,
// by Value, Object or Array. At the end of the array it reports false and
// leaves the array.
func (s *Scanner) Element() bool { return s.next(']') }

// next passes the comma before an element or member, or the closing bracket:
// then it reports false.
func (s *Scanner) next(closing byte) bool {
	if s.err != nil {
		return false
	}
	s.space()
	if s.pos >= len(s.src) {
		return s.fail(s.pos, "unexpected end")
	}
	c := s.src[s.pos]
	if c == closing {
		s.leave()
		return false
	}
	if s.first {
		s.first = false
		return true
	}
	if c != ',' {
		return s.fail(s.pos, "expected ',' or the end")
	}
	s.pos++
	s.space()
	if s.pos < len(s.src) && s.src[s.pos] == closing {
		if !s.TrailingCommas {
			return s.fail(s.pos, "trailing comma")
		}
		s.SawTrailingComma = true
		s.leave()
		return false
	}
	return true
}

func (s *Scanner) leave() {
	s.pos++
	s.depth--
	s.first = false
}

func (s *Scanner) limit() int {
	if s.MaxDepth > 0 {
		return s.MaxDepth
	}
	return DefaultDepth
}

//go:noinline
func (s *Scanner) fail(at int, msg string) bool {
	if s.err == nil {
		s.err = &SyntaxError{Offset: at, Msg: msg}
	}
	return false
}
