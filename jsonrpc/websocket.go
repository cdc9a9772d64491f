package jsonrpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/internal/wsconn"
)

// webSocket serves the request that opens a WebSocket.
func (m *mount) webSocket(w http.ResponseWriter, r *http.Request) {
	if !m.admit() {
		m.refuseFull(w)
		return
	}
	user := hubwire.UserFrom(r.Context())
	ws, err := wsconn.Upgrade(w, r, &wsconn.Config{SendBuffer: m.opts.SendBuffer, Protocol: m.subprotocol(r)})
	if err != nil {
		m.conns.Add(-1)
		m.log("upgrade failed", r, "err", err)
		return
	}
	s := &socket{Conn: ws, mount: m, remote: r.RemoteAddr, ended: make(chan struct{})}
	s.conn = m.svc.conn(s)
	if m.opts.CloseOnExpiry && !user.Expires.IsZero() {
		s.expires = user.Expires.UnixMilli()
	}
	if s.conn.open(r.Context(), user, m.request(r)) != nil {
		return
	}
	s.heard()
	s.pinged = m.ticks.Now()
	m.ticks.Add(s)
	if s.conn.quiet.Load() { // it may have been removed before
		m.ticks.Remove(s)
	}
	go s.serve() // ends when the connection has ended
}

// A socket is the server's end of a WebSocket.
type socket struct {
	*wsconn.Conn
	ticker.Slot
	mount  *mount
	conn   *Conn
	remote string
	ended  chan struct{} // closed when the calls have ended

	// the reader's alone
	part    []byte // of a message that is not whole
	skipped int    // bytes of one that is too large; 0: it is not

	said    atomic.Bool  // a close frame is on its way
	waits   atomic.Bool  // the reader waits for room: the client's clock stands still
	seen    atomic.Int64 // when the client was heard
	pinged  int64        // the ticker's alone
	expires int64        // when the user's credentials end, Unix milliseconds; 0: never
}

func (s *socket) framing() Framing {
	if s.mount.svc.opts.Notation != JSON {
		return wsBinary
	}
	return wsText
}

func (s *socket) name() (string, string) { return "WebSockets", s.remote }

// TryWrite writes what the socket takes. Behind the close frame there is nothing
// to write any more, and nothing is wrong with that.
func (s *socket) TryWrite(p []byte) (int, error) {
	n, err := s.Conn.TryWrite(p)
	if err != nil && s.said.Load() {
		return len(p), nil
	}
	return n, err
}

// Write writes all of p.
func (s *socket) Write(p []byte) error {
	if err := s.Conn.Write(p); err != nil && !s.said.Load() {
		return err
	}
	return nil
}

// close is Serve's affair.
func (s *socket) close() {}

// serve is the socket's goroutine: it reads until the end.
func (s *socket) serve() {
	err := s.safely(func() error { return s.Serve(s) })
	if err == wsconn.ErrPassed {
		return
	}
	c := s.conn
	close(c.closed)
	if c.begin(nil) {
		s.end(s.cause(err), false)
	}
	<-s.ended
	s.mount.conns.Add(-1)
	c.ended()
}

// safely runs the reader. A panic, which would be a fault of this package, ends
// the connection alone.
func (s *socket) safely(read func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = s.conn.panicked(v)
		}
	}()
	return read()
}

// panicked is the end of a reader that panics.
func (c *Conn) panicked(v any) error {
	c.svc.hubOpts.Logger.Error("jsonrpc: reader panics", "hub", c.svc.hubOpts.Name, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
	return fmt.Errorf("jsonrpc: panic: %v", v)
}

// pass makes another goroutine the reader: this one runs a call that waits.
func (s *socket) pass(*Conn) {
	s.Pass()
	go s.serve() // ends when the connection has ended, or with its own pass
}

// cause is what Disconnect is told of an end that nobody announced: nothing
// unless the client broke a rule.
func (s *socket) cause(err error) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := errors.AsType[*wsconn.CloseError](err); ok {
		c.err = fmt.Errorf("jsonrpc: read: %w", err)
		return err
	}
	if _, ok := errors.AsType[*frameError](err); ok {
		c.err = err
		return err
	}
	if err != nil {
		c.err = fmt.Errorf("jsonrpc: read: %w", err)
	}
	return nil
}

// end ends the calls, for whoever has begun the end.
func (s *socket) end(cause error, left bool) {
	c := s.conn
	s.mount.ticks.Remove(s)
	c.halt(left)
	c.port.End(cause)
	close(s.ended)
}

// stop ends the connection for the hub, and for ourselves: a close frame behind
// what waits. The reader ends with the client's answer, or after a while.
func (s *socket) stop(c *Conn) {
	c.mu.Lock()
	reason := c.reason
	if c.err == nil {
		c.err = reason
	}
	c.mu.Unlock()
	code, text := wsconn.CloseNormal, ""
	switch {
	case reason == nil:
	case errors.Is(reason, hubwire.ErrShutdown), errors.Is(reason, hubwire.ErrClosed):
		code, reason = wsconn.CloseGoingAway, nil
	case errors.Is(reason, hubwire.ErrSlow):
		s.Abort()
		code = 0
	case reason == errExpired:
		code, text = wsconn.ClosePolicy, "the credentials have expired"
	default:
		code = wsconn.CloseInternal
	}
	if code != 0 {
		s.say(code, text)
	}
	go s.end(reason, false) // ends with the calls, which wait a few seconds at most
}

// say writes the close frame, once.
func (s *socket) say(code int, text string) {
	if s.said.Swap(true) {
		return
	}
	s.conn.port.Control(wsconn.AppendClose(nil, code, text))
	s.CloseSent(code)
}

// refused tells the client that the hub did not take the connection, with a close
// frame, and ends it.
func (s *socket) refused(c *Conn, err error) {
	code, text := wsconn.ClosePolicy, "refused"
	switch e := (*hubwire.Error)(nil); {
	case errors.Is(err, hubwire.ErrFull):
		code, text = closeTryAgain, "too many connections"
	case errors.Is(err, hubwire.ErrClosed):
		code, text = closeTryAgain, "the server is shutting down"
	case errors.Is(err, hubwire.ErrUnauthorized):
		text = "unauthorized"
	case errors.As(err, &e):
		text = e.Message
	}
	frame := wsconn.AppendClose(nil, code, text)
	if s.said.Store(true); c.port != nil {
		c.port.Control(frame) // what Connect has sent may be under way
	} else {
		stuck := time.AfterFunc(flushTime, s.Abort)
		_ = s.Conn.Write(frame) // a socket that has failed is noticed by its reader
		stuck.Stop()
	}
	s.CloseSent(code)
	go func() { // ends with the client's answer, or after a while
		_ = s.safely(func() error { return s.Serve(s) }) // how it goes does not matter
		s.mount.conns.Add(-1)
		c.drop()
	}()
}

// closeTryAgain is a close code of IANA's registry that tells the client to come
// back later.
const closeTryAgain = 1013

// Control sends a frame of the WebSocket's own: a pong, or the answer to the
// client's close frame, behind which nothing is sent.
func (s *socket) Control(frame []byte) {
	c := s.conn
	if frame[0]&0x0F != wsconn.OpClose {
		s.heard()
		c.port.Control(frame)
		return
	}
	if s.said.Swap(true) {
		return // ours is on its way, and is answer enough
	}
	c.port.Control(frame)
	if len(frame) >= 4 && binary.BigEndian.Uint16(frame[2:]) == wsconn.CloseNormal && c.begin(nil) {
		// The client has left, however long it keeps the socket.
		go s.end(nil, true) // ends with the calls
	}
}

// Pong notes that the client lives.
func (s *socket) Pong() { s.heard() }

func (s *socket) heard() {
	if now := s.mount.ticks.Now(); s.seen.Load() != now {
		s.seen.Store(now)
	}
}

// Data takes what a frame brings.
func (s *socket) Data(p []byte, _, last bool) error {
	c := s.conn
	if c.quiet.Load() {
		return nil
	}
	if n := s.skipped + len(s.part) + len(p); n > c.opts.MaxMessage {
		s.part, s.skipped = nil, n
		if n/2 > c.opts.MaxMessage {
			return s.fault(wsconn.CloseTooBig, &frameError{fmt.Sprintf("a message of more than %d bytes", c.opts.MaxMessage)})
		}
		if !last {
			return nil
		}
		s.skipped = 0
		return s.take(c.refuse(tooLarge()))
	}
	if s.part == nil && last {
		if len(p) == 0 {
			return nil // an empty message is none
		}
		return s.take(c.text(p))
	}
	s.part = append(s.part, p...)
	if !last {
		return nil
	}
	body := s.part
	s.part = nil
	return s.take(c.text(body))
}

// take takes what became of a message.
func (s *socket) take(err error) error {
	s.heard()
	if err != nil {
		return s.fault(wsconn.CloseProtocol, err)
	}
	return nil
}

// fault ends the connection because of what the client sent.
func (s *socket) fault(code int, err error) error {
	s.say(code, "")
	return err
}

// Idle is called when all that one read brought was taken.
func (s *socket) Idle() error {
	c := s.conn
	if !c.ready.Load() {
		return nil
	}
	if !c.port.Turn() {
		return wsconn.ErrPassed
	}
	if c.port.Full() {
		s.waits.Store(true)
		c.port.Wait()
		s.heard()
		s.waits.Store(false)
	}
	return nil
}

var errExpired = errors.New("jsonrpc: the credentials have expired")

// Tick pings, and ends a connection whose client has fallen silent or whose user's
// credentials have expired.
func (s *socket) Tick(now int64) {
	if s.expires != 0 && time.Now().UnixMilli() >= s.expires {
		s.conn.shut(errExpired)
		return
	}
	keep := int64((s.mount.opts.KeepAlive + time.Second - 1) / time.Second)
	if keep <= 0 || s.waits.Load() {
		return
	}
	switch silent := now - s.seen.Load(); {
	case silent > 2*keep:
		s.Abort()
	case silent >= keep && now-s.pinged >= keep:
		s.pinged = now
		s.conn.port.Control(wsconn.AppendPing(nil, nil))
	}
}
