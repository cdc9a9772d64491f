package msgpack

import (
	"encoding/binary"
	"math"
	"time"
	"unicode/utf8"
)

// AppendNil appends nil.
func AppendNil(dst []byte) []byte { return append(dst, codeNil) }

// AppendBool appends true or false.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, true8)
	}
	return append(dst, false8)
}

// AppendInt appends n in the shortest form. A number that is not negative takes
// an unsigned one, as in .NET.
func AppendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return AppendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, int8c, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, int16c), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, int32c), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, int64c), uint64(n))
}

// AppendUint appends n in the shortest form.
func AppendUint(dst []byte, n uint64) []byte {
	switch {
	case n < fixMap:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, uint8c, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, uint16c), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, uint32c), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, uint64c), n)
}

// AppendFloat32 appends f as a float 32.
func AppendFloat32(dst []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, float32c), math.Float32bits(f))
}

// AppendFloat64 appends f as a float 64.
func AppendFloat64(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, float64c), math.Float64bits(f))
}

// AppendString appends s, of less than 4 GiB. What is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string(appendText(nil, s))
	}
	return append(appendStringHeader(dst, len(s)), s...)
}

// AppendStringBytes is AppendString for bytes that are text.
func AppendStringBytes(dst, s []byte) []byte {
	if !utf8.Valid(s) {
		s = appendText(nil, s)
	}
	return append(appendStringHeader(dst, len(s)), s...)
}

func appendStringHeader(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, fixStr|byte(n))
	case n <= math.MaxUint8:
		return append(dst, str8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, str16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, str32), uint32(n))
}

// AppendBytes appends b, of less than 4 GiB, as bin.
func AppendBytes(dst, b []byte) []byte {
	switch n := len(b); {
	case n <= math.MaxUint8:
		dst = append(dst, bin8, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, bin16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, bin32), uint32(n))
	}
	return append(dst, b...)
}

// AppendArrayHeader appends the head of an array of n elements, which are to
// follow.
func AppendArrayHeader(dst []byte, n int) []byte {
	return appendHeader(dst, n, fixArray, array16)
}

// AppendMapHeader appends the head of a map of n pairs of key and value, which
// are to follow.
func AppendMapHeader(dst []byte, n int) []byte {
	return appendHeader(dst, n, fixMap, map16)
}

func appendHeader(dst []byte, n int, fix, code16 byte) []byte {
	switch {
	case n < 16:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code16+1), uint32(n))
}

// timestamp is the type of the extension that is a time.
const timestamp = -1

// AppendTime appends t as a timestamp, in the shortest of its three forms. The
// location of t is lost.
func AppendTime(dst []byte, t time.Time) []byte {
	sec, nsec := t.Unix(), uint64(t.Nanosecond())
	const ext = timestamp & 0xFF
	switch {
	case sec < 0 || sec >= 1<<34:
		dst = binary.BigEndian.AppendUint32(append(dst, ext8, 12, ext), uint32(nsec))
		return binary.BigEndian.AppendUint64(dst, uint64(sec))
	case nsec > 0 || sec > math.MaxUint32:
		return binary.BigEndian.AppendUint64(append(dst, fixExt8, ext), nsec<<34|uint64(sec))
	}
	return binary.BigEndian.AppendUint32(append(dst, fixExt4, ext), uint32(sec))
}
