package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// A session is one connection of the hub, from the handshake to its end. With
// stateful reconnect it lives on over several transports.
//
// The Conn's run goroutine reads (serve); beside it run a writer for each
// transport, a clock, and one goroutine for each upload and each question.
type session struct {
	conn     *Conn
	proto    protocol
	e        *endpoint
	id       string // public id; empty where negotiation was skipped
	stateful bool
	via      atomic.Uint32 // Transports in use

	ctx     context.Context // ends with the session
	cancel  context.CancelCauseFunc
	leaving context.Context // ends when the client takes leave
	leave   context.CancelFunc
	out     *outbox
	times   times

	// Used by the reader alone.
	in       []byte // read and not taken
	msg      message
	next     int64 // sequence id of the next counted message
	silent   bool  // the server has not said yet where it resumes
	goodbye  bool  // the server sent Close
	again    bool  // the server allows to reconnect
	farewell error // what the Close message said

	mu     sync.Mutex // guards the following
	over   error      // why calls fail, once the session has ended
	calls  map[string]*call
	lastID uint64
}

func (c *Conn) newSession(e *endpoint, id string, stateful bool) *session {
	limit := sendBuffer
	if stateful {
		limit = c.opts.StatefulBuffer
	}
	s := &session{
		conn: c, proto: c.proto, e: e, id: id, stateful: stateful,
		out: newOutbox(limit, stateful), times: newTimes(),
		next: 1, again: true, calls: map[string]*call{},
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.leaving, s.leave = context.WithCancel(s.ctx)
	return s
}

// sendBuffer is how many bytes may wait for a transport before senders wait.
const sendBuffer = 64 << 10

// serve runs the session over t, and over the transports that follow it, until
// its end. It returns nil where that came in good order.
func (s *session) serve(t transport) error {
	s.times.hear()
	if s.conn.opts.KeepAlive > 0 && t.kind() != LongPolling {
		s.out.control(s.proto.appendPing(nil)) // the server's clock runs from the first on
	}
	var clock sync.WaitGroup
	clock.Go(s.clock) // ends with s.ctx
	err := s.ride(t)
	for s.stateful && errors.Is(err, errLost) && s.leaving.Err() == nil {
		if t, err = s.resume(err); t != nil {
			err = s.ride(t)
		}
	}
	switch {
	case s.leaving.Err() != nil && s.ctx.Err() == nil, errors.Is(err, errEnded):
		err = nil
	}
	if l, ok := err.(lostError); ok {
		err = l.error
	}
	if s.goodbye {
		err = s.farewell
	}
	s.end(err)
	clock.Wait()
	return err
}

// ride reads from one transport until it ends, while a writer writes to it.
func (s *session) ride(t transport) error {
	ctx, cancel := context.WithCancelCause(s.ctx)
	stop := context.AfterFunc(ctx, t.kill)
	var writer sync.WaitGroup
	writer.Go(func() { // ends with ctx
		err := s.write(ctx, t)
		if errors.Is(err, errLost) {
			_ = wait(ctx, readerGrace)
		}
		cancel(err)
	})
	cancel(s.read(ctx, t)) // the first cause counts
	writer.Wait()
	if stop() {
		t.kill()
	}
	return context.Cause(ctx)
}

// readerGrace is how long a reader may take to end by itself when nothing can be
// sent any more: it may be about to read why.
const readerGrace = 250 * time.Millisecond

// answerGrace is how long the server may take to answer Close before the client
// ends the transport.
const answerGrace = time.Second

// write sends what is in the outbox until ctx ends or the client takes leave.
func (s *session) write(ctx context.Context, t transport) error {
	var buf []byte
	for ctx.Err() == nil {
		p, last := s.out.take(buf[:0])
		if len(p) == 0 {
			select {
			case <-s.out.wake:
			case <-ctx.Done():
			}
			continue
		}
		s.times.speak()
		err := t.write(p)
		if last {
			// A server that is left at once may drop what it has not yet
			// looked at; it answers Close when it has. That answer may overtake
			// the one to our Close, whose sending it ends.
			if err == nil {
				_ = wait(ctx, answerGrace)
			}
			leaving, cancel := context.WithTimeout(s.conn.ctx, leaveTimeout)
			t.leave(leaving)
			cancel()
		}
		switch {
		case err != nil:
			return lostError{err}
		case last:
			return errLeft
		}
		if buf = p; cap(buf) > maxPooled {
			buf = nil
		}
	}
	return nil
}

// A lostError is the end of a transport, which that of the session need not be.
type lostError struct{ error }

func (e lostError) Is(target error) bool { return target == errLost }
func (e lostError) Unwrap() error        { return e.error }

var (
	errLost = errors.New("the transport was lost")
	errLeft = errors.New("the client left")
)

// read takes messages until the transport ends, or the server says goodbye, or
// breaks the protocol.
func (s *session) read(ctx context.Context, t transport) error {
	scanned := 0
	for {
		taken, err := s.takeAll(&scanned)
		if err != nil {
			return err
		}
		if s.goodbye {
			return errEnded
		}
		s.in = s.in[:copy(s.in, s.in[taken:])]
		if limit := s.conn.opts.MaxMessage; limit > 0 && len(s.in) >= limit {
			return tooLarge(limit)
		}
		s.makeRoom()
		if s.conn.flow.full() {
			s.times.hold()
			s.conn.flow.wait(ctx)
			s.times.release()
		}
		n, err := t.read(s.in[len(s.in):cap(s.in)])
		if n > 0 {
			s.times.hear()
			s.in = s.in[:len(s.in)+n]
		}
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if len(s.in) > 0 && err == errEnded {
				err = errors.New("the server ended in the middle of a message")
			}
			return lostError{err}
		}
	}
}

func tooLarge(limit int) error {
	return fmt.Errorf("the server sent a message of more than %d bytes, see Options.MaxMessage", limit)
}

const minRead = 4 << 10

// makeRoom makes room behind what is in s.in. It grows with what has come, not
// with what a message claims.
func (s *session) makeRoom() {
	if len(s.in) == 0 && cap(s.in) > maxPooled {
		s.in = nil
	}
	if cap(s.in)-len(s.in) < minRead/2 {
		grown := make([]byte, len(s.in), max(minRead, 2*cap(s.in)))
		copy(grown, s.in)
		s.in = grown
	}
}

// takeAll takes all whole messages and says how many bytes those had.
func (s *session) takeAll(scanned *int) (taken int, err error) {
	for !s.goodbye {
		rest := s.in[taken:]
		body, size, err := s.proto.next(rest, *scanned)
		if err != nil {
			return taken, badMessage(err.Error())
		}
		if size == 0 {
			*scanned = len(rest)
			return taken, nil
		}
		if limit := s.conn.opts.MaxMessage; limit > 0 && size > limit {
			return taken, tooLarge(limit)
		}
		*scanned = 0
		taken += size
		if err := s.proto.parse(&s.msg, body); err != nil {
			return taken, err
		}
		if err := s.take(&s.msg, size); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// take acts on one message.
func (s *session) take(m *message, size int) error {
	if s.stateful && m.kind.counted() && !s.count(size) {
		return nil
	}
	switch m.kind {
	case invocation:
		return s.invoked(m)
	case streamItem:
		if k := s.call(m.id); k != nil {
			return k.item(m.value)
		}
	case completion:
		if k := s.forget(m.id); k != nil {
			return k.complete(m)
		}
	case closeMessage:
		s.goodbye, s.again = true, m.reconnect
		if m.failed {
			s.farewell = serverClosed(string(m.text))
		}
	case ack:
		if s.stateful {
			s.times.resumed.Store(0)
			s.out.acked(m.sequence)
		}
	case sequence:
		if s.stateful {
			return s.resumed(m.sequence)
		}
	}
	return nil // pings, and what newer servers may send
}

func (s *session) call(id []byte) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[string(id)]
}

// forget takes a call off the list: its outcome is here.
func (s *session) forget(id []byte) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.calls[string(id)]
	delete(s.calls, string(id))
	return k
}

// newIDLocked is an id for a call or an upload.
func (s *session) newIDLocked() string {
	s.lastID++
	return strconv.FormatUint(s.lastID, 10)
}

// takeLeave has everything sent that waits, then the Close message, and the
// session end in good order. Calls fail. It does not wait.
func (s *session) takeLeave() {
	s.out.leave(s.proto.appendClose(nil), &endError{})
	s.failCalls(nil)
	s.leave()
}

// end lets go of everything. Calls fail.
func (s *session) end(err error) {
	s.cancel(&endError{err})
	s.out.close(&endError{err})
	s.failCalls(err)
}

func (s *session) failCalls(err error) {
	s.mu.Lock()
	if s.over == nil {
		s.over = &endError{err}
	}
	err, calls := s.over, s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, k := range calls {
		k.end(err)
	}
}

// values are the arguments of m, in memory of their own.
func (s *session) values(m *message) (v wire.Values, size int) {
	for _, a := range m.args {
		size += len(a)
	}
	buf := make([]byte, 0, size)
	v = wire.Values{Codec: s.proto.codec(), List: make([][]byte, len(m.args)), Err: m.argsErr}
	for i, a := range m.args {
		at := len(buf)
		buf = append(buf, a...)
		v.List[i] = buf[at:len(buf):len(buf)]
	}
	return v, size + 24*len(m.args)
}
