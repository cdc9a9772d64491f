package wsconn

import "unicode/utf8"

// incoming is where the reader is in what comes.
type incoming struct {
	left    uint64          // bytes of the frame's payload to come
	mask    uint32          // for the next byte of payload
	frames  uint32          // of the message so far
	hollow  uint16          // those without payload
	body    bool            // the header is complete
	fin     bool            // of the frame
	op      byte            // of the frame
	message byte            // of the message that is under way: OpText, OpBinary; 0: none
	owes    bool            // a ping waits for its answer in Conn.owed
	pings   uint8           // answered one by one since the last read
	nhead   uint8           // bytes of head
	head    [maxHeader]byte // the start of a header
	text    text
	control *[]byte // payload of a control frame that is under way, nil if none of it came

	maxFragments uint32
}

const (
	// maxHollow is how many fragments without payload a message may have.
	maxHollow = 1024
	// maxPongs is how many pings of one read are answered one by one, and how
	// many pongs may wait to be written. Of more, the newest ping is answered
	// (RFC 6455, section 5.5.3).
	maxPongs = 16
)

var (
	errStray     = &CloseError{CloseProtocol, "a continuation without a message"}
	errInside    = &CloseError{CloseProtocol, "a message begins inside another"}
	errFragments = &CloseError{ClosePolicy, "a message has too many fragments"}
	errHollow    = &CloseError{ClosePolicy, "a message has too many empty fragments"}
	errText      = &CloseError{CloseInvalidData, "a text message is not UTF-8"}
	errOneByte   = &CloseError{CloseProtocol, "a close frame has one byte"}
	errCode      = &CloseError{CloseProtocol, "a close frame has a code that is not to be sent"}
	errReason    = &CloseError{CloseInvalidData, "a close frame's reason is not UTF-8"}
)

// consume goes through what one read brought.
func (c *Conn) consume(h Handler, p []byte) (verdict, error) {
	in := &c.in
	in.pings = 0
	for len(p) > 0 {
		if !in.body {
			n, err := in.begin(p)
			if err != nil {
				return nonsense, err
			}
			p = p[n:]
			if !in.body {
				break
			}
		}
		n := int(min(in.left, uint64(len(p))))
		b := p[:n]
		p = p[n:]
		in.left -= uint64(n)
		in.mask = unmask(b, in.mask)
		in.body = in.left > 0

		var v verdict
		var err error
		if in.op >= OpClose {
			v, err = c.controlled(h, b)
		} else {
			v, err = c.data(h, b)
		}
		if v != nothing {
			return v, err
		}
	}
	return nothing, nil
}

// idle tells h that a read's bytes were taken. It is apart from consume, whose
// frame would lie under the handlers that Idle runs.
func (c *Conn) idle(h Handler) (verdict, error) {
	if c.has(closing | aborted) {
		return nothing, nil
	}
	if c.in.owes {
		c.answer(h)
	}
	if err := h.Idle(); err != nil {
		return refused, err
	}
	return nothing, nil
}

// begin takes a frame's header, or a part of it, from the start of p and
// returns how many bytes that were. in.body tells whether it is complete.
func (in *incoming) begin(p []byte) (int, error) {
	var (
		hd   header
		size int
		err  error
		used int
	)
	if in.nhead == 0 {
		if hd, size, err = parseHeader(p); size == 0 && err == nil {
			in.nhead = uint8(copy(in.head[:], p))
			return len(p), nil
		}
		used = size
	} else {
		for size == 0 && err == nil {
			if used == len(p) {
				return used, nil
			}
			in.head[in.nhead] = p[used]
			in.nhead++
			used++
			hd, size, err = parseHeader(in.head[:in.nhead])
		}
	}
	if err != nil {
		return 0, err
	}
	in.nhead = 0
	in.body, in.fin, in.op, in.left, in.mask = true, hd.fin, hd.op, hd.n, hd.mask
	if hd.op >= OpClose {
		return used, nil
	}
	if hd.op != OpContinuation {
		if in.message != 0 {
			return 0, errInside
		}
		in.message, in.frames, in.hollow, in.text = hd.op, 0, 0, text{}
	} else if in.message == 0 {
		return 0, errStray
	}
	if in.frames++; in.frames > in.maxFragments {
		return 0, errFragments
	}
	if hd.n == 0 && !hd.fin {
		if in.hollow++; in.hollow > maxHollow {
			return 0, errHollow
		}
	}
	return used, nil
}

// data delivers payload of a text or binary message.
func (c *Conn) data(h Handler, b []byte) (verdict, error) {
	in := &c.in
	last := in.fin && !in.body
	binary := in.message == OpBinary
	if last {
		in.message = 0
	}
	if c.has(closing|aborted) || len(b) == 0 && !last {
		return nothing, nil
	}
	if !binary && (!in.text.add(b) || last && !in.text.whole()) {
		return nonsense, errText
	}
	if err := h.Data(b, binary, last); err != nil {
		return refused, err
	}
	return nothing, nil
}

// controlled takes payload of a control frame, and handles the frame when it is
// complete.
func (c *Conn) controlled(h Handler, b []byte) (verdict, error) {
	in := &c.in
	if in.body || in.control != nil {
		if in.control == nil {
			in.control = new(make([]byte, 0, uint64(len(b))+in.left))
		}
		*in.control = append(*in.control, b...)
		if in.body {
			return nothing, nil
		}
		b, in.control = *in.control, nil
	}
	switch in.op {
	case OpClose:
		return closeVerdict(b)
	case OpPing:
		if !c.has(closing | aborted) {
			c.pinged(h, b)
		}
	case OpPong: // needs nothing, asked for or not
		if l, ok := h.(Listener); ok {
			l.Pong()
		}
	}
	return nothing, nil
}

// closeVerdict judges the payload of the peer's close frame.
func closeVerdict(b []byte) (verdict, error) {
	switch {
	case len(b) == 0:
	case len(b) == 1:
		return nonsense, errOneByte
	case !validCode(int(b[0])<<8 | int(b[1])):
		return nonsense, errCode
	case !utf8.Valid(b[2:]):
		return nonsense, errReason
	}
	return goodbye, nil
}

// pinged answers a ping, or keeps it if too much has been answered already.
func (c *Conn) pinged(h Handler, payload []byte) {
	c.mu.Lock()
	if c.in.pings < maxPongs && c.pongs < maxPongs {
		c.in.pings++
		c.pongs++
		c.owed = nil
		c.mu.Unlock()
		f := controls.Get().(*[2 + maxControl]byte)
		h.Control(AppendPong(f[:0], payload))
		controls.Put(f)
		return
	}
	if c.owed == nil {
		c.owed = new([]byte)
	}
	*c.owed = AppendPong((*c.owed)[:0], payload)
	c.mu.Unlock()
	c.in.owes = true
}

// answer writes the pong that is owed to the newest ping, unless too many wait
// to be written. Then Write does so, once they have left.
func (c *Conn) answer(h Handler) {
	c.mu.Lock()
	f := c.owed
	if f != nil && c.pongs >= maxPongs {
		c.mu.Unlock()
		return
	}
	c.in.owes = false
	if f != nil { // else Write has done it
		c.owed = nil
		c.pongs++
	}
	c.mu.Unlock()
	if f != nil {
		h.Control(*f)
	}
}
