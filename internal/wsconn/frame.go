package wsconn

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// Opcodes (RFC 6455, section 5.2).
const (
	OpContinuation byte = 0
	OpText         byte = 1
	OpBinary       byte = 2
	OpClose        byte = 8
	OpPing         byte = 9
	OpPong         byte = 10
)

const (
	maxHeader  = 14  // bytes: two, a length of eight, a mask of four
	maxControl = 125 // bytes of payload
	noStatus   = 1005
)

// AppendHeader appends the header of an unfragmented, unmasked frame with a
// payload of n bytes.
func AppendHeader(dst []byte, op byte, n int) []byte {
	dst = append(dst, 0x80|op)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
}

// AppendFrame appends a text or binary message of one frame.
func AppendFrame(dst []byte, text bool, payload []byte) []byte {
	op := OpBinary
	if text {
		op = OpText
	}
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendPing appends a ping. More than 125 bytes of payload are cut off.
func AppendPing(dst, payload []byte) []byte { return appendControl(dst, OpPing, payload) }

// AppendPong appends a pong. More than 125 bytes of payload are cut off.
func AppendPong(dst, payload []byte) []byte { return appendControl(dst, OpPong, payload) }

func appendControl(dst []byte, op byte, payload []byte) []byte {
	payload = payload[:min(len(payload), maxControl)]
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendClose appends a close frame. Code 0 or 1005 makes one without a status,
// and without the reason. A reason that is not UTF-8 is mended, one of more
// than 123 bytes is cut at a character.
func AppendClose(dst []byte, code int, reason string) []byte {
	if code == 0 || code == noStatus {
		return AppendHeader(dst, OpClose, 0)
	}
	if !utf8.ValidString(reason) {
		reason = strings.ToValidUTF8(reason, "\uFFFD")
	}
	if n := maxControl - 2; len(reason) > n {
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = AppendHeader(dst, OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// validCode reports whether a peer may send the close code (RFC 6455, section
// 7.4, and the registry of IANA as it stands).
func validCode(code int) bool {
	switch {
	case code >= 3000:
		return code <= 4999
	case code >= 1007:
		return code <= 1014
	}
	return 1000 <= code && code <= 1003
}

// A header is the header of a client's frame.
type header struct {
	fin  bool
	op   byte
	n    uint64 // bytes of payload
	mask uint32 // the mask's first byte is the lowest
}

var (
	errReserved   = &CloseError{CloseProtocol, "a reserved bit is set"}
	errOpcode     = &CloseError{CloseProtocol, "reserved opcode"}
	errCutControl = &CloseError{CloseProtocol, "a control frame is fragmented"}
	errUnmasked   = &CloseError{CloseProtocol, "a frame is not masked"}
	errControl    = &CloseError{CloseProtocol, "a control frame has more than 125 bytes"}
	errLength     = &CloseError{CloseProtocol, "the top bit of a length is set"}
	errMinimal    = &CloseError{CloseProtocol, "a length is not in its shortest form"}
)

// parseHeader reads a header from the start of b. size is its length, 0 while b
// holds only a part of it. What is wrong is reported as soon as its byte is
// there.
//
// Lengths that are longer than they need be are refused: section 5.2 says MUST,
// and browsers and Autobahn refuse them too.
func parseHeader(b []byte) (h header, size int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.fin, h.op = b[0]&0x80 != 0, b[0]&0x0f
	control := h.op >= OpClose
	switch {
	case b[0]&0x70 != 0:
		return h, 0, errReserved
	case h.op > OpBinary && h.op < OpClose || h.op > OpPong:
		return h, 0, errOpcode
	case control && !h.fin:
		return h, 0, errCutControl
	}
	if len(b) < 2 {
		return h, 0, nil
	}
	n := b[1] & 0x7f
	switch {
	case b[1]&0x80 == 0:
		return h, 0, errUnmasked
	case control && n > maxControl:
		return h, 0, errControl
	}
	h.n, size = uint64(n), 6
	switch n {
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		h.n, size = uint64(binary.BigEndian.Uint16(b[2:])), 8
		if h.n < 126 {
			return h, 0, errMinimal
		}
	case 127:
		if len(b) < 10 {
			if len(b) > 2 && b[2]&0x80 != 0 {
				return h, 0, errLength
			}
			return h, 0, nil
		}
		h.n, size = binary.BigEndian.Uint64(b[2:]), 14
		switch {
		case h.n>>63 != 0:
			return h, 0, errLength
		case h.n < 1<<16:
			return h, 0, errMinimal
		}
	}
	if len(b) < size {
		return h, 0, nil
	}
	h.mask = binary.LittleEndian.Uint32(b[size-4:])
	return h, size, nil
}
