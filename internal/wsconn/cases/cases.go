// Package cases are courses of WebSocket frames, right and wrong ones, and what
// a server that echoes messages answers to them: the cases of the Autobahn test
// suite, chapters 1 to 7 by number, with what that suite calls OK, and hostile
// ones of our own. Raw sockets and foreign client libraries run them.
package cases

import "encoding/binary"

// A Case is one connection: what the client sends, step by step, what comes
// back, and how it ends.
type Case struct {
	Name  string
	Steps []Step
	// Code is that of the server's close frame. 0: nothing is wrong, so the
	// client closes with 1000, which is answered with 1000.
	Code int
}

// A Step is what is sent at once, and all that comes back before the next step.
type Step struct {
	Send []Frame
	Raw  []byte // sent behind Send: what is no whole frame, or not a client's
	Want []Frame
}

// A Frame is one WebSocket frame. A client's is masked, a server's is not.
type Frame struct {
	First   byte // FIN, the reserved bits and the opcode
	Payload string
}

var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Append appends the frame as a client sends it.
func (f Frame) Append(dst []byte) []byte {
	dst = append(dst, f.First)
	switch n := len(f.Payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	dst = append(dst, mask[:]...)
	for i := range len(f.Payload) {
		dst = append(dst, f.Payload[i]^mask[i&3])
	}
	return dst
}

// Bytes is what the step sends.
func (s Step) Bytes() (b []byte) {
	for _, f := range s.Send {
		b = f.Append(b)
	}
	return append(b, s.Raw...)
}

// Bytes is what the case sends, without the client's close.
func (c Case) Bytes() (b []byte) {
	for _, s := range c.Steps {
		b = append(b, s.Bytes()...)
	}
	return b
}

// Text is a text message of one frame.
func Text(s string) Frame { return Frame{0x81, s} }

// Binary is a binary message of one frame.
func Binary(s string) Frame { return Frame{0x82, s} }

// Ping is a ping.
func Ping(s string) Frame { return Frame{0x89, s} }

// Pong is a pong.
func Pong(s string) Frame { return Frame{0x8a, s} }

// Close is a close frame.
func Close(code int, reason string) Frame {
	return Frame{0x88, string([]byte{byte(code >> 8), byte(code)}) + reason}
}

// Pieces is a text message in fragments of n bytes.
func Pieces(s string, n int) (fs []Frame) {
	first := byte(0x01)
	for len(s) > n {
		fs = append(fs, Frame{first, s[:n]})
		s, first = s[n:], 0
	}
	return append(fs, Frame{first | 0x80, s})
}

// A sequence is one Frame or several: what a step sends.
type sequence interface{ frames() []Frame }

func (f Frame) frames() []Frame { return []Frame{f} }

type seq []Frame

func (s seq) frames() []Frame { return s }

func fs(parts ...sequence) (all seq) {
	for _, p := range parts {
		all = append(all, p.frames()...)
	}
	return all
}

func fr(first byte, payload string) Frame { return Frame{first, payload} }

func one(send sequence, want ...Frame) Step { return Step{Send: send.frames(), Want: want} }

// good is a case of one step, bad one that ends with the server's close frame,
// raw one of bytes.
func good(name string, send sequence, want ...Frame) Case {
	return Case{Name: name, Steps: []Step{one(send, want...)}}
}

func bad(name string, code int, send sequence, want ...Frame) Case {
	return Case{Name: name, Steps: []Step{one(send, want...)}, Code: code}
}

func raw(name string, code int, b []byte) Case {
	return Case{Name: name, Steps: []Step{{Raw: b}}, Code: code}
}
