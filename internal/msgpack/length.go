package msgpack

import (
	"errors"
	"math"
)

// MaxLength is the longest message that a length prefix can announce.
const MaxLength = math.MaxInt32

// ErrLength is a length prefix beyond MaxLength, or of more than five bytes.
var ErrLength = errors.New("msgpack: length prefix above 2 GB")

// AppendLength appends the prefix of a message of n bytes: seven bits a byte,
// lowest first, the high bit set on all but the last. n must be at least 0 and
// at most MaxLength.
func AppendLength(dst []byte, n int) []byte {
	for n > 0x7F {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// InsertLength puts the prefix of the message dst[at:] in front of it.
func InsertLength(dst []byte, at int) []byte {
	n := len(dst) - at
	var prefix [5]byte
	p := AppendLength(prefix[:0], n)
	dst = append(dst, p...)
	copy(dst[at+len(p):], dst[at:at+n])
	copy(dst[at:], p)
	return dst
}

// ReadLength reads the prefix at the beginning of src, and says how many bytes
// it takes: 0 if src ends before the prefix does. A prefix may be longer than
// needed.
func ReadLength(src []byte) (n, size int, err error) {
	for i, c := range src {
		if i == 4 {
			if c > 0x07 {
				return 0, 0, ErrLength
			}
			return n | int(c)<<28, 5, nil
		}
		n |= int(c&0x7F) << (7 * i)
		if c < 0x80 {
			return n, i + 1, nil
		}
	}
	return 0, 0, nil
}
