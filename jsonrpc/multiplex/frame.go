package multiplex

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hubwire/hubwire/internal/msgpack"
)

// A code says what a frame is.
type code uint8

const (
	offered         code = iota // a channel: its name, and how much its writer may send
	accepted                    // an offer: how much the other may send
	content                     // of a channel
	writingDone                 // no more content comes
	terminated                  // the channel has ended, for both
	processed                   // so much content was read
	readingDone                 // no more content is read
	windowAdjust                // not needed
	windowGrowthAsk             // likewise
)

// maxContent is how many bytes of content a frame has at most; peers take no more.
const maxContent = 20 << 10

// maxFrame is how large a frame may be that comes.
const maxFrame = 128 << 10

// An id names a channel: its number, and who has offered it. In versions 1 and 2
// that is in the number, which is odd for one end and even for the other.
type id struct {
	n    uint64
	mine bool
}

// A frame is one frame.
type frame struct {
	code    code
	id      id
	none    bool // no channel was named
	payload []byte
}

var errFrame = errors.New("multiplex: a frame that is none")

// A wire is how frames are written, in one version.
type wire struct {
	version int
	odd     bool // our numbers are odd; versions 1 and 2
}

// mineOf says who has offered the channel of that number.
func (w *wire) mineOf(n uint64) bool { return (n%2 == 1) == w.odd }

// append appends a frame.
func (w *wire) append(dst []byte, f frame) []byte {
	if w.version == 1 {
		dst = append(dst, byte(f.code))
		dst = binary.BigEndian.AppendUint32(dst, uint32(f.id.n))
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.payload)))
		return append(dst, f.payload...)
	}
	n := 2
	if w.version == 3 {
		n++
	}
	if f.payload != nil {
		n++
	}
	dst = msgpack.AppendInt(msgpack.AppendArrayHeader(dst, n), int64(f.code))
	dst = msgpack.AppendUint(dst, f.id.n)
	if w.version == 3 {
		source := int64(-1)
		if f.id.mine {
			source = 1
		}
		dst = msgpack.AppendInt(dst, source)
	}
	if f.payload != nil {
		dst = msgpack.AppendBytes(dst, f.payload)
	}
	return dst
}

// next reads the frame at the beginning of b; no used bytes mean that more are
// needed.
func (w *wire) next(b []byte) (f frame, used int, err error) {
	if w.version == 1 {
		if len(b) < 7 {
			return f, 0, nil
		}
		n := int(binary.BigEndian.Uint16(b[5:]))
		if len(b) < 7+n {
			return f, 0, nil
		}
		number := uint64(binary.BigEndian.Uint32(b[1:]))
		return frame{code: code(b[0]), id: id{number, w.mineOf(number)}, payload: b[7 : 7+n : 7+n]}, 7 + n, nil
	}
	var r msgpack.Reader
	r.Reset(b)
	raw, err := r.ReadRaw()
	switch {
	case errors.Is(err, msgpack.ErrShort):
		if len(b) > maxFrame {
			return f, 0, fmt.Errorf("multiplex: a frame of more than %d bytes", maxFrame)
		}
		return f, 0, nil
	case err != nil:
		return f, 0, errFrame
	}
	f, err = w.read(raw)
	return f, len(raw), err
}

// read reads a whole frame of versions 2 and 3.
func (w *wire) read(raw []byte) (f frame, err error) {
	var r msgpack.Reader
	r.Reset(raw)
	n, err := r.ReadArrayHeader()
	if err != nil || n == 0 {
		return f, errFrame
	}
	c, err := r.ReadInt64()
	if err != nil || c < 0 || c > 255 {
		return f, errFrame
	}
	f.code, f.none = code(c), n == 1
	if f.none {
		return f, nil
	}
	number, err := r.ReadInt64()
	if err != nil || number < 0 {
		return f, errFrame
	}
	f.id = id{uint64(number), w.mineOf(uint64(number))}
	last := 2
	if w.version == 3 {
		if n < 3 {
			return f, errFrame
		}
		source, err := r.ReadInt64()
		if err != nil {
			return f, errFrame
		}
		// 0 is a channel that both ends were born with, of which we have none.
		f.id.mine, f.none = source == -1, source == 0
		last = 3
	}
	if n > last {
		if f.payload, err = r.ReadBytes(); err != nil {
			return f, errFrame
		}
	}
	return f, nil
}

// appendOffer is the payload of an offer.
func (w *wire) appendOffer(name string, window int) []byte {
	if w.version == 1 {
		return []byte(name)
	}
	return msgpack.AppendUint(msgpack.AppendString(msgpack.AppendArrayHeader(nil, 2), name), uint64(window))
}

// readOffer reads it.
func (w *wire) readOffer(b []byte) (name string, window int64, err error) {
	if w.version == 1 {
		return string(b), 0, nil
	}
	var r msgpack.Reader
	r.Reset(b)
	n, err := r.ReadArrayHeader()
	if err != nil || n < 1 {
		return "", 0, errFrame
	}
	if !r.ReadNil() {
		s, err := r.ReadString()
		if err != nil {
			return "", 0, errFrame
		}
		name = msgpack.Text(s)
	}
	if n > 1 && !r.ReadNil() {
		if window, err = r.ReadInt64(); err != nil || window < 0 {
			return "", 0, errFrame
		}
	}
	return name, window, nil
}

// appendCount is the payload of an acceptance and of what was read.
func appendCount(n int) []byte {
	return msgpack.AppendUint(msgpack.AppendArrayHeader(nil, 1), uint64(n))
}

func readCount(b []byte) (int64, error) {
	var r msgpack.Reader
	r.Reset(b)
	if len(b) == 0 {
		return 0, nil
	}
	n, err := r.ReadArrayHeader()
	if err != nil || n < 1 {
		return 0, errFrame
	}
	if r.ReadNil() {
		return 0, nil
	}
	count, err := r.ReadInt64()
	if err != nil || count < 0 {
		return 0, errFrame
	}
	return count, nil
}

// appendFault is the payload of a termination: why. Nil in version 1.
func (w *wire) appendFault(err error) []byte {
	if w.version == 1 || err == nil {
		return nil
	}
	return msgpack.AppendString(msgpack.AppendArrayHeader(nil, 1), "Error: "+err.Error())
}

func readFault(b []byte) string {
	var r msgpack.Reader
	r.Reset(b)
	if n, err := r.ReadArrayHeader(); err == nil && n > 0 {
		if s, err := r.ReadString(); err == nil {
			return msgpack.Text(s)
		}
	}
	return ""
}
