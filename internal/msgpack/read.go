package msgpack

import (
	"math"
	"time"
)

// A Reader reads one message from front to back, without allocation. What it
// returns are slices of the source.
//
// After an error the place is the one before the call, so a caller may try
// another kind, or Skip. Errors are ErrShort, ErrDepth, ErrRange and
// *[CodeError], unwrapped.
//
// The zero Reader is ready for Reset. It is not for use by two goroutines at
// the same time.
type Reader struct {
	src []byte
	pos int
}

// Reset makes r read src from the beginning. What was read before stays valid.
func (r *Reader) Reset(src []byte) { r.src, r.pos = src, 0 }

// Rest is what has not been read.
func (r *Reader) Rest() []byte { return r.src[r.pos:] }

// Kind is the kind of the next value, by its first byte; the rest of it may
// still turn out to be missing. Invalid: there is none, or its code is 0xC1.
func (r *Reader) Kind() Kind {
	if r.pos >= len(r.src) {
		return Invalid
	}
	switch c := r.src[r.pos]; {
	case c < fixMap || c >= negInt:
		return Int
	case c < fixArray:
		return Map
	case c < fixStr:
		return Array
	case c < codeNil:
		return String
	default:
		return kinds[c-codeNil]
	}
}

var kinds = [32]Kind{
	Nil, Invalid, Bool, Bool, Bytes, Bytes, Bytes, Ext, Ext, Ext, Float, Float, Int, Int, Int, Int, Int, Int, Int, Int,
	Ext, Ext, Ext, Ext, Ext, String, String, String, Array, Array, Map, Map,
}

// read reads the head of a value of kind want.
func (r *Reader) read(want Kind) (h head, err error) {
	if h, err = readHead(r.src, r.pos); err != nil {
		return h, err
	}
	if h.kind != want {
		return h, h.mismatch(want.String())
	}
	return h, nil
}

// ReadNil passes a nil, if that is next, and reports whether it was.
func (r *Reader) ReadNil() bool {
	if r.pos < len(r.src) && r.src[r.pos] == codeNil {
		r.pos++
		return true
	}
	return false
}

// ReadBool reads true or false.
func (r *Reader) ReadBool() (bool, error) {
	h, err := r.read(Bool)
	if err != nil {
		return false, err
	}
	r.pos = h.data
	return h.n != 0, nil
}

// ReadInt64 reads an integer of any width that fits.
func (r *Reader) ReadInt64() (int64, error) {
	if r.pos < len(r.src) && r.src[r.pos] < fixMap {
		r.pos++
		return int64(r.src[r.pos-1]), nil
	}
	h, err := r.read(Int)
	if err != nil {
		return 0, err
	}
	n, err := h.int64()
	if err == nil {
		r.pos = h.data
	}
	return n, err
}

// ReadInt32 reads an integer of any width that fits.
func (r *Reader) ReadInt32() (int32, error) {
	at := r.pos
	n, err := r.ReadInt64()
	if err == nil && (n < math.MinInt32 || n > math.MaxInt32) {
		err = ErrRange
	}
	if err != nil {
		r.pos = at
		return 0, err
	}
	return int32(n), nil
}

// ReadString reads a string: its bytes as they came, which need not be UTF-8;
// see [Text].
func (r *Reader) ReadString() ([]byte, error) {
	if r.pos < len(r.src) {
		if c := r.src[r.pos]; c >= fixStr && c < codeNil {
			i := r.pos + 1
			if n := int(c & 0x1F); n <= len(r.src)-i {
				r.pos = i + n
				return r.src[i:r.pos:r.pos], nil
			}
			return nil, ErrShort
		}
	}
	return r.readData(String)
}

// ReadBytes reads a value of the bin family.
func (r *Reader) ReadBytes() ([]byte, error) { return r.readData(Bytes) }

func (r *Reader) readData(want Kind) ([]byte, error) {
	h, err := r.read(want)
	if err != nil {
		return nil, err
	}
	r.pos = h.data + int(h.n)
	return r.src[h.data:r.pos:r.pos], nil
}

// ReadTime reads a timestamp, as UTC.
func (r *Reader) ReadTime() (time.Time, error) {
	h, err := readHead(r.src, r.pos)
	if err != nil {
		return time.Time{}, err
	}
	t, err := h.time(r.src)
	if err == nil {
		r.pos = h.end()
	}
	return t, err
}

// ReadArrayHeader reads how many elements follow. There are at least as many
// bytes left.
func (r *Reader) ReadArrayHeader() (int, error) { return r.readHeader(Array, fixArray) }

// ReadMapHeader reads how many pairs of key and value follow. There are at
// least twice as many bytes left.
func (r *Reader) ReadMapHeader() (int, error) { return r.readHeader(Map, fixMap) }

func (r *Reader) readHeader(want Kind, fix byte) (int, error) {
	if r.pos < len(r.src) && r.src[r.pos]&0xF0 == fix {
		if n := int(r.src[r.pos] & 0x0F); n*2 < len(r.src)-r.pos { // enough for a map, too
			r.pos++
			return n, nil
		}
	}
	h, err := r.read(want)
	if err != nil {
		return 0, err
	}
	r.pos = h.data
	return int(h.n), nil
}

// Skip passes one value, whatever it is, and checks all of it.
func (r *Reader) Skip() error {
	end, err := skip(r.src, r.pos, DefaultDepth)
	if err == nil {
		r.pos = end
	}
	return err
}

// ReadRaw is Skip that returns the value's bytes.
func (r *Reader) ReadRaw() ([]byte, error) {
	from := r.pos
	if err := r.Skip(); err != nil {
		return nil, err
	}
	return r.src[from:r.pos:r.pos], nil
}
