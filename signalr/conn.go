package signalr

import (
	"bytes"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// A conn is one SignalR connection, whatever its transport.
//
// Its phases, and who may write in each:
//
//	shaking  The handshake is awaited. The reader writes; the handshake's timer
//	         ends the phase.
//	joining  Hub.Open answers the handshake and runs Connect on the reader's
//	         goroutine. The hub writes. Whoever wants to end the connection
//	         leaves word for the reader.
//	open     The hub writes. The reader, the clock, the hub and calls that
//	         cannot send their result may end the phase.
//	closing  One goroutine says the last words, ends the Port and lets the
//	         transport go: the reader's own, if it was the reader that ended
//	         it, else one made for it.
//
// The reader is the goroutine that gives what the client sends to data and idle.
// over waits for the goroutine of the last phase.
type conn struct {
	ticker.Slot
	looked  int32 // how much of part was looked at for its end; the reader's alone
	mount   *mount
	t       transport
	port    *hubwire.Port // set while joining, unchanged then
	hub     protocol      // set when the handshake is done, unchanged then
	opening *opening      // nil once open
	session connID        // zero: not negotiated
	in      *input        // what is posted; nil where that cannot be

	stateful *stateful // nil: stateful reconnect was not granted

	// the reader's alone
	part   []byte // the beginning of a message that is not whole
	parser *parser

	mu    sync.Mutex // guards the following, and writes before there is a Port
	phase phase

	marks   marks
	running atomic.Int32                  // ordinary calls that have not been answered
	seen    atomic.Int32                  // when the client was heard, in ticks
	pinged  int32                         // when we pinged; the ticker's alone
	expires atomic.Int64                  // when the user's credentials end, Unix milliseconds; 0: never
	wake    atomic.Pointer[chan struct{}] // closed when running is 0 or served is set; nil where nobody waits
	last    sync.WaitGroup                // the goroutine that ends the connection

	up      sync.Mutex // guards the following, and what it points to
	uploads *uploads   // nil: there was none
}

// marks are what anybody may know of a connection at any time.
type marks struct{ bits atomic.Uint32 }

const (
	isQuiet   uint32 = 1 << iota // nothing of calls is sent any more
	isLost                       // the transport has failed
	isSaid                       // the transport's last word is on its way
	isWaiting                    // the reader waits for room: the client's clock stands still
	isArmed                      // the client has pinged
	isServed                     // the transport has ended
)

func (m *marks) has(bit uint32) bool { return m.bits.Load()&bit != 0 }

// set reports whether the mark was there before.
func (m *marks) set(bit uint32) bool { return m.bits.Or(bit)&bit != 0 }

func (m *marks) clear(bit uint32) { m.bits.And(^bit) }

type phase uint8

const (
	shaking phase = iota
	joining
	open
	closing
)

// framed is how records are put on the transport.
func (c *conn) framed() *framed { return c.t.framings().of(c.hub) }

// data takes what the client sends: a stream of bytes, however it is cut.
func (c *conn) data(p []byte) {
	if len(p) == 0 || c.marks.has(isQuiet) {
		return
	}
	if c.part == nil {
		rest := c.consume(p)
		if len(rest) > 0 && !c.marks.has(isQuiet) {
			c.part = bytes.Clone(rest)
		}
		return
	}
	c.more(p)
}

// more takes what comes behind a message that was not whole.
func (c *conn) more(p []byte) {
	c.part = appendBounded(c.part, p, c.mount.opts.MaxMessage)
	rest := c.consume(c.part)
	switch {
	case len(rest) == 0 || c.marks.has(isQuiet):
		c.part = nil
	case len(rest) < len(c.part):
		c.part = bytes.Clone(rest)
	}
}

// appendBounded grows by doubling, but not far beyond what a message may have.
func appendBounded(dst, p []byte, limit int) []byte {
	if n := len(dst) + len(p); n > cap(dst) {
		grown := 2 * n
		if limit > 0 && grown > limit {
			grown = max(n, limit+1)
		}
		dst = append(make([]byte, 0, grown), dst...)
	}
	return append(dst, p...)
}

// idle is called when all that one read brought was taken. It reports false when
// another goroutine has become the reader (hubwire.Port.Turn).
func (c *conn) idle() (mine bool) {
	c.rest()
	return c.room(c.port)
}

// rest gives back what the reader needs while it reads.
func (c *conn) rest() {
	if c.parser != nil {
		c.parser.release()
		c.parser = nil
	}
}

// room runs what the reader may run, and waits for room. It reports what idle
// does.
func (c *conn) room(port *hubwire.Port) (mine bool) {
	if port == nil {
		return true
	}
	if !port.Turn() {
		return false
	}
	if port.Full() {
		c.marks.set(isWaiting)
		port.Wait()
		c.heard()
		c.marks.clear(isWaiting)
	}
	return true
}

// consume takes the whole messages at the beginning of b and returns the rest.
// A message that is not whole may be MaxMessage bytes long, and no more
// (section 7.4).
func (c *conn) consume(b []byte) (rest []byte) {
	if c.parser == nil {
		c.parser = parsers.Get().(*parser)
		c.parser.wantHeaders = c.port != nil && c.port.Headers()
	}
	limit := c.mount.opts.MaxMessage
	for len(b) > 0 {
		window := b
		if limit > 0 && len(window) > limit {
			window = window[:limit]
		}
		var (
			body []byte
			size int
			err  error
		)
		if c.hub == nil {
			body, size, err = jsonHub.next(window, int(c.looked))
		} else {
			body, size, err = c.hub.next(window, int(c.looked))
		}
		switch {
		case err != nil:
			c.fail(err)
			return nil
		case size == 0 && len(window) < len(b):
			c.tooLarge()
			return nil
		case size == 0:
			c.looked = int32(min(len(b), math.MaxInt32))
			return b
		}
		c.looked = 0
		if !c.message(body, size) {
			return nil
		}
		b = b[size:]
	}
	return nil
}

func (c *conn) tooLarge() {
	if c.hub == nil {
		c.end(&ending{refusal: handshakeCanceled})
		return
	}
	c.fail(errTooLarge(c.mount.opts.MaxMessage))
}

// shake takes the handshake and, if it is good, enters the hub.
func (c *conn) shake(record []byte) bool {
	var hub protocol
	var version int32
	text := ""
	if h, err := c.parser.parseHandshake(record); err != nil {
		text = "An unexpected error occurred during connection handshake." + detail(err, c.mount.hubOpts.DetailedErrors)
	} else {
		hub, text = c.mount.choose(h, c.t.framings())
		version = h.version
	}
	if hub == nil {
		c.end(&ending{refusal: text})
		return false
	}
	c.mu.Lock()
	if c.phase != shaking { // too late
		c.mu.Unlock()
		return false
	}
	c.phase, c.hub = joining, hub
	if c.stateful != nil {
		c.stateful.agree(version)
	}
	c.mu.Unlock()
	return c.join()
}

// greeting is the answer to a good handshake, framed. The hub sends it when the
// connection is in its targets: a client that has it misses nothing that is sent
// to all from then on.
func (c *conn) greeting() []byte {
	answer := [...]wire.Record{{Bytes: []byte(handshakeAnswer)}}
	return c.framed().Append(nil, answer[:])
}

// join enters the hub, which runs Connect, and reports whether the connection
// goes on.
func (c *conn) join() bool {
	o, m := c.opening, c.mount
	o.late.Stop()
	c.arrived()
	o.req.Protocol = c.hub.Name()
	port, err := m.hub.Open(o.ctx, c.link(), o.id, o.user, o.req)
	c.mu.Lock()
	c.port, c.opening, c.phase = port, nil, open
	e := o.wanted
	c.mu.Unlock()
	m.handshakes.Add(-1)
	if err != nil {
		e = c.endingFor(err, errors.Is(err, hubwire.ErrFull))
	}
	if e != nil {
		if c.session != (connID{}) { // its first Ping is on its way
			m.sessions.refused(c.session, time.Now())
		}
		c.end(e)
		return false
	}
	c.parser.wantHeaders = port.Headers()
	if s, ok := c.link().(*socket); ok && s.Unacked() == 0 { // for a reader that is not replaced otherwise
		port.Turns()
	}
	c.pinged = int32(m.ticks.Now())
	c.heard()
	m.ticks.Add(c)
	c.mu.Lock()
	over := c.phase == closing // somebody else has begun to end it, and may have removed it before
	c.mu.Unlock()
	if over {
		m.ticks.Remove(c)
	}
	return !over
}

// handshakeLate is called when there was no handshake in time.
func (c *conn) handshakeLate() {
	c.mu.Lock()
	late := c.phase == shaking
	c.mu.Unlock()
	if late {
		c.endAside(&ending{refusal: handshakeCanceled})
	}
}

// message takes one message and reports whether the connection goes on.
func (c *conn) message(body []byte, size int) bool {
	p := c.parser
	if c.hub == nil {
		return c.shake(body)
	}
	if err := c.hub.parse(p, body); err != nil {
		c.fail(err)
		return false
	}
	c.heard()
	if r := c.stateful; r != nil && r.active.Load() {
		if fresh, on := r.take(c, p); !fresh {
			return on
		}
	}
	switch p.kind {
	case invocation, streamInvocation:
		c.call(p, size)
	case streamItem:
		if u := c.upload(p.id); u != nil {
			u.add(p.item)
		}
	case completion:
		return c.completed(p)
	case cancelInvocation:
		c.port.Cancel(string(p.id))
	case ping:
		if !c.marks.has(isArmed) {
			c.marks.set(isArmed)
		}
	case closeMessage:
		c.closedByClient(p)
		return false
	}
	// Acks and Sequences were taken, and have no meaning without stateful
	// reconnect; other types are skipped (F1).
	return !c.marks.has(isQuiet)
}

// heard notes that the client has sent a message.
func (c *conn) heard() {
	if now := int32(c.mount.ticks.Now()); c.seen.Load() != now {
		c.seen.Store(now)
	}
}

// completed takes a Completion: the end of an upload, or the answer to a
// question.
func (c *conn) completed(p *parser) bool {
	var failure error
	if p.failed {
		failure = &hubwire.Error{Code: hubwire.CodeUnknown, Message: string(p.text)}
	}
	if u := c.upload(p.id); u != nil {
		u.end(failure)
		return true
	}
	v := wire.Values{Codec: answerCodec{c.hub.Codec(), c.hub}}
	if p.result != nil {
		v.List = [][]byte{p.result}
	} else {
		v.Err = errNoResult
	}
	if err := c.port.Answer(string(p.id), v, failure); err != nil {
		c.fail(&exception{"InvalidOperationException", err.Error()})
		return false
	}
	return true
}

// answerCodec decodes answers, and says in .NET's words what is wrong with one.
type answerCodec struct {
	wire.Codec
	hub protocol
}

func (a answerCodec) Decode(src []byte, into any) error {
	if a.Codec.Decode(src, into) != nil {
		return a.hub.wrongValue(src, into, "argument")
	}
	return nil
}

// errNoResult is what an answer without a result means where one was wanted.
var errNoResult = &hubwire.Error{Code: hubwire.CodeUnknown, Message: "Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown."}

// Tick pings, and ends a connection whose client has fallen silent (section
// 7.3). Stamps are whole seconds: one that differs by more than n from now is
// at least n seconds old.
func (c *conn) Tick(ticks int64) {
	now := int32(ticks)
	o := &c.mount.opts
	if at := c.expires.Load(); at != 0 && time.Now().UnixMilli() >= at {
		c.endAside(&ending{reconnect: true})
		return
	}
	if c.stateful != nil && !c.stateful.tick(c) {
		return
	}
	if int64(now-c.pinged) > seconds(o.KeepAlive) {
		c.pinged = now
		if ping := c.framed().ping; ping != nil && !c.marks.has(isQuiet) {
			c.port.Control(ping)
		}
	}
	if c.marks.has(isArmed) && (!c.marks.has(isWaiting) || c.stateful.stuck(c)) && int64(now-c.seen.Load()) > seconds(o.ClientTimeout) {
		c.failAside(errTimeout)
	}
}
