package nats

import (
	"encoding/binary"
	"errors"
)

// A stamp names one term of one node that gives the order: a later term is
// higher, and of two nodes in one term the one with the higher id.
type stamp struct{ term, id uint64 }

func (s stamp) less(o stamp) bool { return s.term < o.term || s.term == o.term && s.id < o.id }

// What is sent, by its first byte; the high digit is the version.
const (
	frameEvent   = 0x11 // what came to its place in the order, for everybody
	frameDirect  = 0x12 // to one connection or node: there is no order to keep
	frameRequest = 0x13 // to the node that gives the order: what shall have a place
	frameAck     = 0x14 // all requests up to nonce have theirs, and NATS has the events
	frameRefuse  = 0x15 // the request nonce has none and will have none
	frameMark    = 0x16 // to oneself: NATS has taken all up to nonce
	frameElect   = 0x17 // who gives the order
	frameGot     = 0x18 // the frameAsk has come
	frameAsk     = 0x19 // frameDirect, and a frameGot is wanted; without a message it is a probe
)

// What a frameElect says.
const (
	electAlive  = iota + 1 // I lead
	electClaim             // I want to lead
	electYield             // I want to no longer, or leave
	electFence             // this is the highest term that I know
	electResign            // I lead no longer; to shall
)

// A frame is any of them, in pieces.
type frame struct {
	kind   byte
	what   byte   // frameElect
	by     stamp  // event, request, ack, refuse, elect
	seq    uint64 // event: its place
	prev   uint64 // event: the place of the one before it on the same subject; 0: not known
	sender uint64 // event, request
	nonce  uint64 // event, request, ack, refuse, mark
	before uint64 // request: the nonce of the sender's request before it in this term; 0: none
	ack    bool   // request: an ack is wanted
	token  string // request: where it goes; empty: nowhere, it asks for the ack alone
	to     uint64 // elect: resign
	body   []byte // event, direct, ask, request: the message
}

// headRoom is more than what any frame has besides its body and token.
const headRoom = 96

func (f *frame) append(dst []byte) []byte {
	dst = append(dst, f.kind)
	switch f.kind {
	case frameEvent:
		dst = appendStamp(dst, f.by)
		dst = binary.AppendUvarint(dst, f.seq)
		dst = binary.AppendUvarint(dst, f.prev)
		dst = binary.BigEndian.AppendUint64(dst, f.sender)
		dst = binary.AppendUvarint(dst, f.nonce)
	case frameRequest:
		dst = appendStamp(dst, f.by)
		dst = binary.BigEndian.AppendUint64(dst, f.sender)
		dst = binary.AppendUvarint(dst, f.nonce)
		dst = binary.AppendUvarint(dst, f.before)
		flag := byte(0)
		if f.ack {
			flag = 1
		}
		dst = append(dst, flag)
		dst = binary.AppendUvarint(dst, uint64(len(f.token)))
		dst = append(dst, f.token...)
	case frameAck, frameRefuse:
		dst = binary.AppendUvarint(appendStamp(dst, f.by), f.nonce)
	case frameMark:
		dst = binary.AppendUvarint(dst, f.nonce)
	case frameElect:
		dst = appendStamp(append(dst, f.what), f.by)
		dst = binary.BigEndian.AppendUint64(dst, f.to)
	}
	return append(dst, f.body...)
}

func appendStamp(dst []byte, s stamp) []byte {
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(dst, s.term), s.id)
}

var errFrame = errors.New("it is not of this package")

// parse reads what append wrote; the body refers to src.
func (f *frame) parse(src []byte) error {
	*f = frame{}
	if len(src) == 0 {
		return errFrame
	}
	r := frameReader{src: src[1:]}
	switch f.kind = src[0]; f.kind {
	case frameEvent:
		f.by = r.stamp()
		f.seq, f.prev, f.sender, f.nonce = r.number(), r.number(), r.id(), r.number()
	case frameDirect, frameAsk, frameGot:
	case frameRequest:
		f.by, f.sender, f.nonce, f.before = r.stamp(), r.id(), r.number(), r.number()
		f.ack = r.byte() == 1
		f.token = r.text()
	case frameAck, frameRefuse:
		f.by, f.nonce = r.stamp(), r.number()
	case frameMark:
		f.nonce = r.number()
	case frameElect:
		f.what, f.by, f.to = r.byte(), r.stamp(), r.id()
		if f.what < electAlive || f.what > electResign {
			return errFrame
		}
	default:
		return errFrame
	}
	f.body = r.src
	switch {
	case r.bad,
		f.kind >= frameAck && f.kind <= frameGot && len(f.body) > 0,
		f.kind == frameRequest && (f.token == "") != (len(f.body) == 0),
		f.kind == frameEvent && f.seq == 0:
		return errFrame
	}
	return nil
}

type frameReader struct {
	src []byte
	bad bool
}

func (r *frameReader) number() uint64 {
	n, k := binary.Uvarint(r.src)
	if k <= 0 {
		r.bad, r.src = true, nil
		return 0
	}
	r.src = r.src[k:]
	return n
}

func (r *frameReader) id() uint64 {
	if len(r.src) < 8 {
		r.bad, r.src = true, nil
		return 0
	}
	n := binary.BigEndian.Uint64(r.src)
	r.src = r.src[8:]
	return n
}

func (r *frameReader) byte() byte {
	if len(r.src) == 0 {
		r.bad = true
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *frameReader) stamp() stamp { return stamp{r.number(), r.id()} }

func (r *frameReader) text() string {
	n := r.number()
	if n > uint64(len(r.src)) {
		r.bad, r.src = true, nil
		return ""
	}
	s := string(r.src[:n])
	r.src = r.src[n:]
	return s
}
