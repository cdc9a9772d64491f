package hubtest

import (
	"encoding/binary"
	"errors"
)

// A frame is one message between a client and the hub, in either direction:
//
//	length of the rest (4 bytes, big endian), kind, flags, number (uvarint),
//	id, name (uvarint length and bytes), count (uvarint), and as many values
//	(likewise)
//
// Without the length it is what the hub calls a record.
type frame struct {
	kind   frameKind
	flags  byte
	number uint64
	id     string
	name   string
	list   [][]byte // of the source
}

type frameKind byte

const (
	frameEvent    frameKind = iota + 1 // name, list: arguments
	frameQuestion                      // id, name, list: arguments
	frameItem                          // id, list[0]; both ways
	frameResult                        // id, list[0] where there is one; the end of a stream
	frameFailure                       // id, number: the code, name: the text, flags: the fault, list[0]: data
	frameFence                         // number
	frameBye                           // nothing follows; both ways
	frameCall                          // id, name, flags, number: of arguments, list: arguments, then ids of uploads
	frameEnd                           // of an upload: id; a failure is a frameFailure
	frameCancel                        // id
	frameAnswer                        // id, list[0] where there is one; an error is a frameFailure
	frameRefusal                       // the answer is an error: id, name: the text
)

const flagStream = 1 // of a call

const headSize = 4

var errFrame = errors.New("hubtest: malformed frame")

// append appends the frame without its length.
func (f *frame) append(dst []byte) []byte {
	dst = append(dst, byte(f.kind), f.flags)
	dst = binary.AppendUvarint(dst, f.number)
	dst = appendPart(dst, f.id)
	dst = appendPart(dst, f.name)
	dst = binary.AppendUvarint(dst, uint64(len(f.list)))
	for _, v := range f.list {
		dst = appendPart(dst, v)
	}
	return dst
}

func appendPart[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendFramed appends a record with its length in front.
func appendFramed(dst, record []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(record)))
	return append(dst, record...)
}

// whole is the frame with its length.
func (f *frame) whole() []byte {
	dst := f.append(make([]byte, headSize, 64))
	binary.BigEndian.PutUint32(dst, uint32(len(dst)-headSize))
	return dst
}

// parseFrame reads what append wrote.
func parseFrame(src []byte) (f frame, err error) {
	f, rest, ok := parseHead(src)
	if !ok {
		return f, errFrame
	}
	n, rest, ok := cutUvarint(rest)
	if !ok || n > uint64(len(rest)) {
		return f, errFrame
	}
	for ; n > 0; n-- {
		var v []byte
		if v, rest, ok = cutPart(rest); !ok {
			return f, errFrame
		}
		f.list = append(f.list, v)
	}
	if len(rest) > 0 {
		return f, errFrame
	}
	return f, nil
}

// parseHead reads a frame up to its name.
func parseHead(src []byte) (f frame, rest []byte, ok bool) {
	if len(src) < 2 {
		return f, nil, false
	}
	f.kind, f.flags = frameKind(src[0]), src[1]
	if f.number, rest, ok = cutUvarint(src[2:]); !ok {
		return f, nil, false
	}
	id, rest, ok := cutPart(rest)
	if !ok {
		return f, nil, false
	}
	name, rest, ok := cutPart(rest)
	if !ok {
		return f, nil, false
	}
	f.id, f.name = string(id), string(name)
	return f, rest, true
}

func cutUvarint(src []byte) (n uint64, rest []byte, ok bool) {
	n, k := binary.Uvarint(src)
	if k <= 0 {
		return 0, nil, false
	}
	return n, src[k:], true
}

func cutPart(src []byte) (part, rest []byte, ok bool) {
	n, rest, ok := cutUvarint(src)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n:n], rest[n:], true
}
