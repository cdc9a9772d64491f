package msgpack

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

var (
	errInto = errors.New("msgpack: decode: into a nil pointer")
	errTime = errors.New("msgpack: timestamp is none")
)

// decodeScalar decodes the value at the beginning of b with one of the
// functions below, and returns the index behind it.
func decodeScalar[T any](b []byte, p *T, decode func(h head, b []byte) (T, error)) (int, error) {
	h, err := readHead(b, 0)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return 0, errInto
	}
	v, err := decode(h, b)
	if err != nil {
		return 0, err
	}
	*p = v
	return h.end(), nil
}

// wholeString is the content of b where that is a short string and nothing else.
func wholeString(b []byte) ([]byte, bool) {
	switch {
	case len(b) == 0:
	case b[0]&0xE0 == fixStr && len(b) == 1+int(b[0]&0x1F):
		return b[1:], true
	case b[0] == str8 && len(b) > 1 && len(b) == 2+int(b[1]):
		return b[2:], true
	}
	return nil, false
}

func (h head) string(b []byte) (string, error) {
	switch h.kind {
	case String:
		return Text(h.bytes(b)), nil
	case Nil:
		return "", nil
	}
	return "", h.mismatch("string")
}

func (h head) bool([]byte) (bool, error) {
	if h.kind != Bool {
		return false, h.mismatch("bool")
	}
	return h.n != 0, nil
}

func (h head) int64() (int64, error) {
	if h.kind != Int {
		return 0, h.mismatch("int")
	}
	if !h.neg && h.n > math.MaxInt64 {
		return 0, ErrRange
	}
	return int64(h.n), nil
}

func (h head) uint64() (uint64, error) {
	if h.kind != Int {
		return 0, h.mismatch("int")
	}
	if h.neg {
		return 0, ErrRange
	}
	return h.n, nil
}

func (h head) float64() (float64, error) {
	switch {
	case h.kind == Float && h.wide:
		return math.Float64frombits(h.n), nil
	case h.kind == Float:
		return float64(math.Float32frombits(uint32(h.n))), nil
	case h.kind == Int && h.neg:
		return float64(int64(h.n)), nil
	case h.kind == Int:
		return float64(h.n), nil
	}
	return 0, h.mismatch("float")
}

func signed[T int | int8 | int16 | int32 | int64](h head, _ []byte) (T, error) {
	n, err := h.int64()
	if err == nil && int64(T(n)) != n {
		err = ErrRange
	}
	return T(n), err
}

func unsigned[T uint | uint8 | uint16 | uint32 | uint64](h head, _ []byte) (T, error) {
	n, err := h.uint64()
	if err == nil && uint64(T(n)) != n {
		err = ErrRange
	}
	return T(n), err
}

func float[T float32 | float64](h head, _ []byte) (T, error) {
	f, err := h.float64()
	return T(f), err
}

// The years 1 to 9999, in seconds: what .NET has and what text forms can write.
const minSecond, maxSecond = -62135596800, 253402300799

// time reads a timestamp in any of its three forms.
func (h head) time(b []byte) (time.Time, error) {
	if h.kind != Ext || h.typ != timestamp {
		return time.Time{}, h.mismatch("timestamp")
	}
	var sec int64
	var nsec uint32
	switch data := h.bytes(b); len(data) {
	case 4:
		sec = int64(binary.BigEndian.Uint32(data))
	case 8:
		n := binary.BigEndian.Uint64(data)
		sec, nsec = int64(n&(1<<34-1)), uint32(n>>34)
	case 12:
		nsec, sec = binary.BigEndian.Uint32(data), int64(binary.BigEndian.Uint64(data[4:]))
	default:
		return time.Time{}, errTime
	}
	if nsec > 999_999_999 || sec < minSecond || sec > maxSecond {
		return time.Time{}, errTime
	}
	return time.Unix(sec, int64(nsec)).UTC(), nil
}
