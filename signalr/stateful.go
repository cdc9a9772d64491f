package signalr

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

// Stateful reconnect (section 8): a connection whose socket drops lives on over
// the next one that comes with its token. Both sides count their messages, keep
// what they sent until it is acknowledged, and say on a new socket where they
// begin again. What is sent is counted and kept by the hub (wire.Resumable);
// here is what comes in, and the change of sockets.

// A stateful is what a connection has that was granted stateful reconnect.
//
// The client's messages are taken by one socket's goroutine at a time, which
// holds reading meanwhile; the one that takes over holds it while it does.
type stateful struct {
	active atomic.Bool            // the handshake asked for it too
	off    atomic.Bool            // the connection ends with its transport; set under conn.mu, for good
	gone   atomic.Bool            // there is no socket
	socket atomic.Pointer[socket] // the newest; nil over other transports; set under conn.mu and reading
	latest atomic.Int64           // the last counted message that was taken
	again  atomic.Bool            // the client has sent something again: it missed an acknowledgement
	acked  int64                  // what the client was told of it; the ticker's alone

	// guarded by conn.mu
	next *socket       // waits to take over
	away chan struct{} // closed when a connection without socket has got one, or ends

	reading sync.Mutex // guards the following, and what is the reader's of a conn
	count   int64      // the number of the next counted message
}

// newStateful is the state of a connection over s, or over another transport if
// s is nil. Only a socket may be followed by another.
func newStateful(s *socket) *stateful {
	r := &stateful{count: 1}
	r.socket.Store(s)
	if s == nil {
		r.off.Store(true)
	}
	return r
}

// agree is told the version of a good handshake.
func (r *stateful) agree(version int32) {
	if version >= 2 {
		r.active.Store(true)
	} else {
		r.off.Store(true)
	}
}

// unacked is what the hub keeps for the client, in bytes (wire.Resumable).
func (c *conn) unacked() int {
	if r := c.stateful; r != nil && r.active.Load() {
		return c.mount.opts.StatefulBuffer
	}
	return 0
}

// errSequence: the client has thrown something away that never came.
var errSequence = &exception{"InvalidOperationException", "Sequence ID greater than amount of messages we've received."}

// take counts a message (sections 8.2 and 8.4). It reports whether the message
// is new, and whether the connection goes on.
func (r *stateful) take(c *conn, p *parser) (fresh, on bool) {
	switch p.kind {
	case invocation, streamItem, completion, streamInvocation, cancelInvocation:
		n := r.count
		r.count++
		if n <= r.latest.Load() {
			r.again.Store(true)
			return false, true // it came before the drop
		}
		r.latest.Store(n)
	case ack:
		if p.sequenceID > 0 {
			c.port.Acked(uint64(p.sequenceID))
		}
	case sequence:
		// Above r.count may lie what came before a resend that was cut.
		if p.sequenceID > r.latest.Load()+1 {
			c.fail(errSequence)
			return false, false
		}
		r.count = p.sequenceID
	}
	return true, true
}

// tick acknowledges what came. It reports whether the connection has a
// transport: else its clocks stand still.
func (r *stateful) tick(c *conn) bool {
	if r.gone.Load() {
		return false
	}
	if !r.active.Load() || c.marks.has(isQuiet) {
		return true
	}
	// A client that is told nothing stops sending at its own limit: so what
	// waits here stays small, though the reader reads on to find the client's
	// acknowledgements (F2). One that has sent what had come before is told again:
	// at its limit it would wait for good.
	if !c.port.Full() {
		again := r.again.Swap(false)
		if n := r.latest.Load(); n != r.acked || again {
			r.acked = n
			c.port.Control(c.numbered(ack, n))
		}
	}
	return true
}

// stuck reports whether the client's acknowledgements are what is waited for.
func (r *stateful) stuck(c *conn) bool { return r != nil && r.active.Load() && c.port.Unacked() }

// numbered is an Ack or a Sequence, framed.
func (c *conn) numbered(k kind, n int64) []byte {
	return c.framed().Append(nil, []wire.Record{{Bytes: appendNumbered(nil, c.hub, k, n)}})
}

func appendNumbered(dst []byte, hub protocol, k kind, n int64) []byte {
	if hub == msgpackHub {
		at := len(dst)
		return msgpack.InsertLength(msgpack.AppendInt(append(dst, 0x92, byte(k)), n), at)
	}
	dst = append(append(dst, `{"type":`...), '0'+byte(k))
	dst = strconv.AppendInt(append(dst, `,"sequenceId":`...), n, 10)
	return append(dst, '}', recordSeparator)
}

// end switches the feature off. The caller holds conn.mu.
func (r *stateful) endLocked(c *conn) {
	r.off.Store(true)
	if r.away != nil {
		c.marks.set(isLost)
		close(r.away)
		r.away = nil
	}
}

// final ends what can be resumed: the token is unknown before the client sees
// anything of the end (section 8.7).
func (c *conn) final() {
	if c.stateful != nil {
		c.forget()
		c.port.Final()
	}
}

// failed reports whether the failure of s is that of the connection.
func (r *stateful) failed(s *socket) bool {
	return r == nil || r.off.Load() && r.socket.Load() == s
}

// data gives what s brings to the connection, if s is still its socket.
func (r *stateful) data(s *socket, p []byte) {
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.socket.Load() == s {
		s.conn.data(p)
	}
}

// idle is conn.idle for one of the connection's sockets.
func (r *stateful) idle(s *socket) (mine bool) {
	c := s.conn
	r.reading.Lock()
	if r.socket.Load() != s {
		r.reading.Unlock()
		return true
	}
	c.rest()
	port := c.port
	r.reading.Unlock()
	return c.room(port)
}

// parting takes note of the end of s by close frames, an end of the connection
// like any other. It reports false if s is not the connection's socket any more:
// then it does not matter what it says (F4).
func (r *stateful) parting(s *socket) bool {
	c := s.conn
	c.mu.Lock()
	mine := r.socket.Load() == s
	if mine {
		r.endLocked(c)
	}
	port := c.port
	c.mu.Unlock()
	if mine && port != nil {
		port.Final()
	}
	return mine
}

// left is called by the goroutine of s, which reads no more. It reports false if
// the connection has ended with s. Else it waits until another goroutine has
// taken over.
func (r *stateful) left(s *socket) bool {
	c := s.conn
	r.reading.Lock()
	c.mu.Lock()
	if r.socket.Load() != s || r.off.Load() || c.phase == closing {
		mine := r.socket.Load() == s
		c.mu.Unlock()
		r.reading.Unlock()
		return !mine
	}
	away := make(chan struct{})
	r.away = away
	port := c.port
	c.mu.Unlock()
	r.gone.Store(true)
	c.part, c.looked = nil, 0 // the client sends it again (F6)
	c.rest()
	if port != nil {
		port.Detach()
	}
	r.reading.Unlock()

	late := time.NewTimer(c.mount.opts.DisconnectTimeout)
	defer late.Stop()
	select {
	case <-away:
	case <-late.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.socket.Load() != s {
		return true
	}
	r.off.Store(true)
	r.away = nil
	return false
}

// comeBack answers the upgrade of a client that has a connection, at once
// (section 8.5, F4).
func (m *mount) comeBack(w http.ResponseWriter, r *http.Request, c *conn) {
	if c.stateful.off.Load() {
		m.refuse(w, http.StatusConflict, "")
		return
	}
	s := &socket{conn: c}
	if err := s.Upgrade(w, r, &wsconn.Config{SendBuffer: m.opts.SendBuffer}); err != nil {
		m.hubOpts.Logger.Error("signalr: upgrade failed", "hub", m.hubOpts.Name, "err", err)
		return
	}
	go s.follow() // ends when the connection has ended, or when another socket follows
}

// follow is the goroutine of a socket that follows another.
func (s *socket) follow() {
	c := s.conn
	r := c.stateful
	c.mu.Lock()
	before := r.next
	r.next = s
	c.mu.Unlock()
	if before != nil {
		before.Abort() // the newest is the client's
	}
	old := r.takeOver(s)
	if old == nil {
		s.Retire(wsconn.CloseNormal)
		_ = s.Serve(silence{}) // nothing of it matters
		return
	}
	old.Retire(wsconn.CloseNormal)
	s.serve()
}

// takeOver makes s the connection's socket and returns the one before; nil if
// the connection ends, or another socket was chosen.
func (r *stateful) takeOver(s *socket) (old *socket) {
	c := s.conn
	r.reading.Lock() // whatever the old socket's reader has begun it ends
	defer r.reading.Unlock()
	c.mu.Lock()
	if r.next != s || r.off.Load() || c.phase == closing {
		c.mu.Unlock()
		return nil
	}
	r.next = nil
	old = r.socket.Swap(s)
	away := r.away
	r.away = nil
	port := c.port
	c.mu.Unlock()
	c.part, c.looked = nil, 0
	c.rest()
	c.heard()
	r.gone.Store(false)
	if away != nil {
		close(away)
	}
	if port == nil {
		return old // the handshake is still to come
	}
	err := port.Swap(s, func(first uint64) []byte { return c.numbered(sequence, int64(first)) })
	if err != nil {
		s.Abort() // the connection is about to end, and s with it
	}
	return old
}

// A silence is the handler of a socket to which nobody listens.
type silence struct{}

func (silence) Data([]byte, bool, bool) error { return nil }
func (silence) Control([]byte)                {}
func (silence) Idle() error                   { return nil }

// A relay is the transport of a connection that changes its socket: the newest.
type relay struct{ r *stateful }

func (t relay) Framing() wire.Framing              { return t.r.socket.Load().Framing() }
func (t relay) TryWrite(p []byte) (int, error)     { return t.r.socket.Load().TryWrite(p) }
func (t relay) Write(p []byte) error               { return t.r.socket.Load().Write(p) }
func (t relay) Close(reason error, reconnect bool) { t.r.socket.Load().Close(reason, reconnect) }
func (t relay) framings() *framings                { return &socketFramings }
func (t relay) bye() []byte                        { return t.r.socket.Load().bye() }
func (t relay) leave()                             { t.r.socket.Load().leave() }
func (t relay) abort()                             { t.r.socket.Load().abort() }
func (t relay) known() bool                        { return false }

// link is what the hub writes to.
func (c *conn) link() wire.Link {
	if t, ok := c.t.(relay); ok {
		return t.r.socket.Load()
	}
	return c.t
}

// asksStateful reports whether a negotiation asks for stateful reconnect.
func asksStateful(r *http.Request) bool {
	v := query(r, "useStatefulReconnect")
	return len(v) == 1 && strings.EqualFold(strings.TrimSpace(v[0]), "true")
}
