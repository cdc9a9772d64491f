package sse

import (
	"bytes"
	"hash/crc32"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Compression without a state for each stream: every event is compressed by
// itself, so the bytes are the same for everybody who gets it. With gzip an event
// is a run of deflate blocks up to a sync flush; the stream is one member, as
// browsers read no second one. With zstd it is a frame.

// An encoding is how a stream is compressed.
type encoding uint8

const (
	plain encoding = iota
	gzipped
	zstandard
	encodings
)

func (e encoding) name() string { return [...]string{"identity", "gzip", "zstd"}[e] }

// gzipHead begins a stream (RFC 1952, section 2.3): no name, no time.
const gzipHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// head is what comes before the first event.
func (e encoding) head() string {
	if e == gzipped {
		return gzipHead
	}
	return ""
}

// deflaters are used for an event at a time; each has about 700 KiB.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, 6)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// zstdEncoder is shared: EncodeAll may be called by many.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

// append appends p compressed.
func (e encoding) append(dst, p []byte) []byte {
	switch e {
	case gzipped:
		b := bytes.NewBuffer(dst)
		w := deflaters.Get().(*flate.Writer)
		w.Reset(b)
		_, _ = w.Write(p) // to memory
		_ = w.Flush()
		w.Reset(nil)
		deflaters.Put(w)
		return b.Bytes()
	case zstandard:
		return zstdEncoder().EncodeAll(p, dst)
	}
	return append(dst, p...)
}

// A check is what the end of a gzip stream says of its content. Checks are joined
// without the content, so that an event's check is made once.
type check32 struct {
	sum  uint32
	size uint32 // modulo 2^32, as the format has it
	op   uint32 // x^(8*size) modulo the polynomial
}

func checkOf(p []byte) check32 {
	return check32{crc32.ChecksumIEEE(p), uint32(len(p)), power(uint64(len(p)))}
}

// then is the check of a's content followed by b's.
func (a check32) then(b check32) check32 {
	return check32{multiply(b.op, a.sum) ^ b.sum, a.size + b.size, multiply(a.op, b.op)}
}

// none is the check of nothing.
var none = check32{op: 1 << 31}

// appendEnd appends the end of a stream in e: for gzip an empty last block, the
// sum and the size.
func (e encoding) appendEnd(dst []byte, c check32) []byte {
	if e != gzipped {
		return dst
	}
	dst = append(dst, 0x03, 0x00)
	for _, n := range []uint32{c.sum, c.size} {
		dst = append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return dst
}

// multiply multiplies two polynomials modulo that of CRC-32, in reversed bits.
func multiply(a, b uint32) uint32 {
	var p uint32
	for m := uint32(1) << 31; m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
			if a&(m-1) == 0 {
				break
			}
		}
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return p
}

// powers are x^(8*2^i).
var powers = func() (t [64]uint32) {
	p := uint32(1) << 30 // x
	for range 3 {
		p = multiply(p, p)
	}
	for i := range t {
		t[i] = p
		p = multiply(p, p)
	}
	return t
}()

// power is x^(8*n).
func power(n uint64) uint32 {
	p := uint32(1) << 31 // 1
	for i := 0; n != 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			p = multiply(p, powers[i])
		}
	}
	return p
}

// accepted is the best encoding that a request accepts (RFC 9110, section
// 12.5.3): zstd before gzip where it wants both the same. An application that has
// set a Content-Encoding has decided.
func accepted(h http.Header, r *http.Request) encoding {
	if _, ok := h["Content-Encoding"]; ok || strings.Contains(h.Get("Cache-Control"), "no-transform") {
		return plain
	}
	best, weight := plain, 0.0
	identity, any := math.NaN(), math.NaN()
	weights := [encodings]float64{gzipped: math.NaN(), zstandard: math.NaN()}
	for _, line := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(part, ";")
			q := quality(params)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				weights[gzipped] = q
			case "zstd":
				weights[zstandard] = q
			case "identity":
				identity = q
			case "*":
				any = q
			}
		}
	}
	for _, e := range []encoding{zstandard, gzipped} {
		q := weights[e]
		if q != q {
			q = any
		}
		if q > weight {
			best, weight = e, q
		}
	}
	if identity > weight {
		return plain
	}
	return best
}

// quality is the q parameter; 0 where it makes no sense.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		k, v, ok := strings.Cut(strings.TrimSpace(p), "=")
		if ok && strings.EqualFold(k, "q") {
			q, err := strconv.ParseFloat(v, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}
