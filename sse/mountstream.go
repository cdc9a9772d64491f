package sse

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// Bounds of what a query may say.
const (
	maxQuery  = 8 << 10 // of groups, and of arguments
	maxGroups = 64
	maxGroup  = 256
)

// A hubStream is one connection of the hub: a GET that lasts.
//
// Its goroutine is the one that serves its transport; one more does what is to be
// done at the end, when the hub asks for it.
type hubStream struct {
	ticker.Slot
	m       *mount
	port    *hubwire.Port
	token   string
	expires time.Time
	drain   *drained     // nil if no Drain is over it
	written atomic.Int64 // the clock of the mount when something was written last

	ready chan struct{} // closed when there is a transport, or will be none
	turn  chan struct{} // a token while one calls Port.Start
	gone  chan struct{} // closed when the hub has forgotten the connection
	last  sync.WaitGroup

	chunked   bool          // the framing
	transport hubTransport  // unchanged once ready is closed; nil: there is none
	served    chan struct{} // closed when the transport has ended

	mu     sync.Mutex // guards the following
	ending *hubEnding
	begun  bool // ready is closed
}

// A hubTransport writes a stream.
type hubTransport interface {
	TryWrite(p []byte) (int, error)
	Write(p []byte) error
	// leave bounds the time for the last words.
	leave()
	// abort ends the transport, and a Write that waits. It does not wait.
	abort()
}

// A hubEnding says how a stream ends.
type hubEnding struct {
	reason    error
	reconnect bool
	silent    bool   // nothing can be said
	words     *words // of a Drain; nil: ours
}

// open serves the GET that is a connection.
func (m *mount) open(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Last-Event-ID") == endID {
		w.WriteHeader(http.StatusNoContent) // it has ended for good
		return
	}
	groups, bad := m.groups(r)
	if bad != nil {
		m.answer(w, statusOf(bad.Code), bad)
		return
	}
	if n := m.conns.Add(1); m.opts.MaxConnections > 0 && n > int64(m.opts.MaxConnections) {
		m.conns.Add(-1)
		m.later(w, r, errFull)
		return
	}
	began := false
	defer func() {
		if !began { // a panic too
			m.conns.Add(-1)
		}
	}()
	s := &hubStream{
		m: m, token: randomText(), ready: make(chan struct{}), turn: make(chan struct{}, 1), gone: make(chan struct{}), served: make(chan struct{}),
	}
	raw := takeable(w, r)
	if !raw && !flushable(w) {
		m.hubOpts.Logger.Error("sse: streams are not possible: a middleware's ResponseWriter has no Unwrap or Flush", "hub", m.hubOpts.Name)
		m.answer(w, http.StatusInternalServerError, errNoFlush)
		return
	}
	s.chunked = raw
	err := s.connect(r, groups)
	if err == nil {
		began = true
		s.drain = drainOf(r.Context())
		s.drain.add(s, true) // before the client knows of the stream
		if raw {
			s.serveRaw(w)
		} else {
			s.serveResponse(w, r)
		}
		return
	}
	s.giveUp()
	if status, e := m.refusal(err); status == http.StatusServiceUnavailable {
		m.later(w, r, e)
	} else {
		m.answer(w, status, e)
	}
}

// groups are those that the query names.
func (m *mount) groups(r *http.Request) ([]string, *hubwire.Error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	groups := r.URL.Query()["group"]
	switch {
	case len(groups) == 0:
		return nil, nil
	case m.opts.Join == nil:
		return nil, hubwire.Errorf(hubwire.CodePermissionDenied, "Groups cannot be chosen here.")
	case len(groups) > maxGroups || len(r.URL.RawQuery) > maxQuery:
		return nil, hubwire.Errorf(hubwire.CodeInvalidArgument, "Too many groups")
	}
	for _, g := range groups {
		if g == "" || len(g) > maxGroup {
			return nil, hubwire.Errorf(hubwire.CodeInvalidArgument, "A group has no name, or one of more than %d bytes.", maxGroup)
		}
	}
	return groups, nil
}

// connect makes the connection known to the hub.
func (s *hubStream) connect(r *http.Request, groups []string) (err error) {
	m := s.m
	user := hubwire.UserFrom(r.Context())
	s.expires = user.Expires
	if s.port, err = m.hub.Open(r.Context(), s, randomText(), user, m.request(r, "ServerSentEvents")); err != nil {
		return err
	}
	if err = s.join(r.Context(), groups); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams[s.token] = s
	return nil
}

// join makes the connection a member of the groups that its request names.
func (s *hubStream) join(ctx context.Context, groups []string) (err error) {
	if len(groups) == 0 {
		return nil
	}
	c := s.port.Conn()
	joined := false
	defer func() {
		if !joined { // a panic of Join too
			s.giveUp()
			s.port.End(nil)
		}
	}()
	if err = s.m.opts.Join(c.Context(), c, groups); err == nil {
		err = c.Join(ctx, groups...)
	}
	joined = err == nil
	return err
}

// giveUp lets go whoever waits for the transport: there is none.
func (s *hubStream) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		close(s.ready)
	}
}

// hello is what the stream begins with.
func (s *hubStream) hello() []byte {
	b := append([]byte(`event: hubwire:open`+"\n"+`data: {"connection":`), jsonwire.AppendString(nil, s.port.Conn().ID())...)
	b = append(jsonwire.AppendString(append(b, `,"token":`...), s.token), "}\n"...)
	if d := s.m.opts.Retry; d > 0 {
		b, _ = AppendRetry(b, d) // checked at the mount; it ends with the blank line
		return b
	}
	return append(b, '\n')
}

// begin lets the hub write to t, which has sent hello. Where the hub has closed the
// connection meanwhile, it ends.
func (s *hubStream) begin(t hubTransport) {
	m := s.m
	s.written.Store(m.ticks.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transport, s.begun = t, true
	close(s.ready)
	m.ticks.Add(s)
	if s.ending != nil {
		s.endLocked()
	}
}

// Framing is the transport's.
func (s *hubStream) Framing() wire.Framing { return hubFraming{s.chunked} }

var errNoStream = errors.New("sse: the stream did not begin")

// TryWrite writes what can be written now.
func (s *hubStream) TryWrite(p []byte) (int, error) {
	select {
	case <-s.ready:
	default:
		return 0, nil
	}
	if s.transport == nil {
		return 0, errNoStream
	}
	n, err := s.transport.TryWrite(p)
	if n > 0 {
		s.written.Store(s.m.ticks.Now())
	}
	if err != nil {
		s.lost()
	}
	return n, err
}

// Write writes all of p.
func (s *hubStream) Write(p []byte) error {
	<-s.ready
	if s.transport == nil {
		return errNoStream
	}
	err := s.transport.Write(p)
	s.written.Store(s.m.ticks.Now())
	if err != nil {
		s.lost()
	}
	return err
}

// lost notes that the transport has failed: it takes no words.
func (s *hubStream) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		s.ending = &hubEnding{silent: true}
		s.endLocked()
	}
}

// Close ends the connection for the hub.
func (s *hubStream) Close(reason error, reconnect bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		s.ending = &hubEnding{reason: reason, reconnect: reconnect, silent: errors.Is(reason, hubwire.ErrSlow) || errors.Is(reason, wire.ErrLost)}
		s.endLocked()
	}
}

// part ends the connection with a Drain's words.
func (s *hubStream) part(w words) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		s.ending = &hubEnding{reconnect: true, words: &w}
		s.endLocked()
	}
}

// endLocked starts the end, unless the stream has yet to begin.
func (s *hubStream) endLocked() {
	if s.begun && s.transport != nil {
		s.last.Add(1)
		e := s.ending
		go s.finish(e) // ends with the Port, which waits a few seconds for calls at most
	}
}

// over is the end of the transport. It returns when all is done.
func (s *hubStream) over(err error) {
	if err != nil {
		s.m.hubOpts.Logger.Info("sse: stream failed", "hub", s.m.hubOpts.Name, "conn", s.port.Conn().ID(), "err", err)
	}
	close(s.served)
	s.giveUp() // where it had not begun
	s.mu.Lock()
	mine := s.ending == nil || s.transport == nil
	if mine {
		s.ending = &hubEnding{silent: true}
		s.last.Add(1)
	}
	e := s.ending
	s.mu.Unlock()
	if mine {
		s.finish(e)
	}
	s.last.Wait()
	s.drain.remove(s)
	s.m.conns.Add(-1)
}

// goodbyeTime is how long a shutdown waits for a client to take its leave.
const goodbyeTime = 500 * time.Millisecond

// finish goes through the end: the last words, the end of the calls and
// Disconnect. Once the last connection has ended at a shutdown the process may, so
// the words come first then, and have a moment to arrive.
func (s *hubStream) finish(e *hubEnding) {
	defer s.last.Done()
	m := s.m
	m.ticks.Remove(s)
	m.mu.Lock()
	delete(m.streams, s.token)
	m.mu.Unlock()
	t := s.transport
	switch {
	case t == nil:
	case e.silent:
		t.abort()
	default:
		t.leave()
		s.port.Control(hubFraming{s.chunked}.ending(s.words(e)))
		if errors.Is(e.reason, hubwire.ErrShutdown) {
			timer := time.NewTimer(goodbyeTime)
			select {
			case <-s.served:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
	s.port.Unblock()
	s.turn <- struct{}{} // no Start is under way, and none will be
	cause := e.reason
	if errors.Is(cause, hubwire.ErrShutdown) || errors.Is(cause, hubwire.ErrClosed) || errors.Is(cause, wire.ErrLost) {
		cause = nil
	}
	s.port.End(cause)
	close(s.gone)
}

// words are the last words to the client.
func (s *hubStream) words(e *hubEnding) []byte {
	if w := e.words; w != nil {
		if b, err := appendFarewell(nil, w.retry, w.bye); err == nil && bytes.IndexByte(b, mark) < 0 {
			return b
		}
	}
	if e.reconnect {
		b, _ := AppendRetry(nil, spread(s.m.opts.Retry)) // a time of ours
		return b
	}
	b, _ := AppendID(nil, endID) // an id of ours
	return b
}

// Tick sends heartbeats and looks for the end of the user's credentials.
func (s *hubStream) Tick(now int64) {
	m := s.m
	if now-s.written.Load() >= int64((m.opts.Heartbeat+time.Second-1)/time.Second) {
		s.written.Store(now) // also for one that waits: a client that is behind hears enough
		s.port.Control(hubFraming{s.chunked}.frame([]byte(":\n")))
	}
	if m.opts.CloseOnExpiry && !s.expires.IsZero() && time.Now().After(s.expires) {
		s.Close(nil, true)
	}
}

// start starts a call of the connection, as its reader would.
func (s *hubStream) start(ctx context.Context, in *wire.Call) error {
	select {
	case s.turn <- struct{}{}:
	case <-s.gone:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	s.port.Wait()
	s.port.Start(in)
	return nil
}

// randomText is an id or a token: 144 random bits.
func randomText() string {
	b := make([]byte, 18)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
