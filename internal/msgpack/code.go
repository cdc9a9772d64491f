package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// DefaultDepth is how many arrays and maps may be open at the same time. It is
// the limit of MessagePack-CSharp for data that is not trusted.
const DefaultDepth = 500

// The codes of the format; those with ranges are the first of the range.
const (
	fixMap   = 0x80
	fixArray = 0x90
	fixStr   = 0xA0
	codeNil  = 0xC0
	never    = 0xC1
	false8   = 0xC2
	true8    = 0xC3
	bin8     = 0xC4
	bin16    = 0xC5
	bin32    = 0xC6
	ext8     = 0xC7
	ext16    = 0xC8
	ext32    = 0xC9
	float32c = 0xCA
	float64c = 0xCB
	uint8c   = 0xCC
	uint16c  = 0xCD
	uint32c  = 0xCE
	uint64c  = 0xCF
	int8c    = 0xD0
	int16c   = 0xD1
	int32c   = 0xD2
	int64c   = 0xD3
	fixExt1  = 0xD4
	fixExt2  = 0xD5
	fixExt4  = 0xD6
	fixExt8  = 0xD7
	fixExt16 = 0xD8
	str8     = 0xD9
	str16    = 0xDA
	str32    = 0xDB
	array16  = 0xDC
	array32  = 0xDD
	map16    = 0xDE
	map32    = 0xDF
	negInt   = 0xE0
)

// A Kind is what a value is, whatever its width.
type Kind uint8

// The kinds of values. Invalid is the zero Kind: the code 0xC1, or no byte at
// all.
const (
	Invalid Kind = iota
	Nil
	Bool
	Int
	Float
	String
	Bytes
	Array
	Map
	Ext
)

var kindNames = [...]string{"invalid", "nil", "bool", "int", "float", "string", "bytes", "array", "map", "ext"}

// String is the kind in a word.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

var fixedNames = [...]string{
	"nil", "(never used)", "false", "true", "bin 8", "bin 16", "bin 32", "ext 8", "ext 16", "ext 32",
	"float 32", "float 64", "uint 8", "uint 16", "uint 32", "uint 64", "int 8", "int 16", "int 32", "int 64",
	"fixext 1", "fixext 2", "fixext 4", "fixext 8", "fixext 16", "str 8", "str 16", "str 32",
	"array 16", "array 32", "map 16", "map 32",
}

// CodeName is the name that the format gives to the first byte of a value, such
// as "fixmap" or "uint 8", as .NET prints it.
func CodeName(code byte) string {
	switch {
	case code < fixMap:
		return "positive fixint"
	case code < fixArray:
		return "fixmap"
	case code < fixStr:
		return "fixarray"
	case code < codeNil:
		return "fixstr"
	case code < negInt:
		return fixedNames[code-codeNil]
	}
	return "negative fixint"
}

var (
	// ErrShort is a value that ends too early, or claims more bytes or elements
	// than there can be.
	ErrShort = errors.New("msgpack: message ends inside a value")
	// ErrDepth is a value that is nested too deep.
	ErrDepth = errors.New("msgpack: nested too deep")
	// ErrRange is an integer that does not fit where it is to go.
	ErrRange = errors.New("msgpack: integer out of range")
)

// A CodeError is a value of another kind than the reader wanted, or none at all
// (0xC1).
type CodeError struct {
	Code byte   // the first byte of the value
	Want string // what was wanted: the name of a Kind, or of a Go type
}

func (e *CodeError) Error() string {
	return fmt.Sprintf("msgpack: code %d (%s) instead of %s", e.Code, CodeName(e.Code), e.Want)
}

// A head is the first bytes of a value, and all of it where the value is a
// number or the like.
type head struct {
	code byte
	kind Kind
	neg  bool   // Int: n is a negative int64
	wide bool   // Float: n is the bits of a float64, else of a float32
	typ  int8   // Ext
	n    uint64 // bits of a number, a bool as 0 or 1, bytes, elements, pairs
	data int    // index of what follows the head
}

// readHead reads the head of the value at b[i:]. Lengths have been checked
// against what is left: of bytes, and of elements, which are at least a byte
// each.
func readHead(b []byte, i int) (h head, err error) {
	if i >= len(b) {
		return h, ErrShort
	}
	c := b[i]
	h.code, h.data = c, i+1
	switch {
	case c < fixMap:
		h.kind, h.n = Int, uint64(c)
		return h, nil
	case c < fixArray:
		h.kind, h.n = Map, uint64(c&0x0F)
		return h, h.check(b)
	case c < fixStr:
		h.kind, h.n = Array, uint64(c&0x0F)
		return h, h.check(b)
	case c < codeNil:
		h.kind, h.n = String, uint64(c&0x1F)
		return h, h.check(b)
	case c >= negInt:
		h.kind, h.neg, h.n = Int, true, uint64(int64(int8(c)))
		return h, nil
	}
	width := int(widths[c-codeNil])
	if len(b)-h.data < width {
		return h, ErrShort
	}
	switch width {
	case 1:
		h.n = uint64(b[h.data])
	case 2:
		h.n = uint64(binary.BigEndian.Uint16(b[h.data:]))
	case 4:
		h.n = uint64(binary.BigEndian.Uint32(b[h.data:]))
	case 8:
		h.n = binary.BigEndian.Uint64(b[h.data:])
	}
	h.data += width
	switch c {
	case codeNil:
		h.kind = Nil
	case false8, true8:
		h.kind, h.n = Bool, uint64(c-false8)
	case bin8, bin16, bin32:
		h.kind = Bytes
	case ext8, ext16, ext32:
		h.kind = Ext
	case float32c:
		h.kind = Float
	case float64c:
		h.kind, h.wide = Float, true
	case uint8c, uint16c, uint32c, uint64c:
		h.kind = Int
	case int8c:
		h.setInt(int64(int8(h.n)))
	case int16c:
		h.setInt(int64(int16(h.n)))
	case int32c:
		h.setInt(int64(int32(h.n)))
	case int64c:
		h.setInt(int64(h.n))
	case fixExt1, fixExt2, fixExt4, fixExt8, fixExt16:
		h.kind, h.n = Ext, 1<<(c-fixExt1)
	case str8, str16, str32:
		h.kind = String
	case array16, array32:
		h.kind = Array
	case map16, map32:
		h.kind = Map
	default:
		return h, h.mismatch("a value")
	}
	if h.kind == Ext {
		if h.data >= len(b) {
			return h, ErrShort
		}
		h.typ = int8(b[h.data])
		h.data++
	}
	return h, h.check(b)
}

// mismatch is the error for a value of another kind than is wanted.
func (h head) mismatch(want string) error { return &CodeError{Code: h.code, Want: want} }

// end is the index behind a value that is not an array or a map.
func (h head) end() int {
	switch h.kind {
	case String, Bytes, Ext:
		return h.data + int(h.n)
	}
	return h.data
}

// bytes is the content of a string, bin or extension.
func (h head) bytes(b []byte) []byte { return b[h.data : h.data+int(h.n)] }

func (h *head) setInt(n int64) { h.kind, h.neg, h.n = Int, n < 0, uint64(n) }

// widths[code-0xC0] is how many bytes of number or length follow the code.
var widths = [32]uint8{
	0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, // nil … int 64
	0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4, // fixext 1 … map 32
}

// check compares the length with what is left.
func (h head) check(b []byte) error {
	left := uint64(len(b) - h.data)
	switch h.kind {
	case String, Bytes, Ext, Array:
		if h.n > left {
			return ErrShort
		}
	case Map:
		if h.n > left/2 {
			return ErrShort
		}
	}
	return nil
}
