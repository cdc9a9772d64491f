package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Stateful reconnect, the client's side (section 8).

// resumeWindow is how long a lost transport is sought again: servers forget a
// connection that is not back within 15 s. The official clients try once, and
// lose the connection where the network takes a moment.
const (
	resumeWindow  = 15 * time.Second
	resumeAttempt = 5 * time.Second // for one
	resumeDelay   = time.Second     // at most, between two
)

// resume finds a transport in place of one that was lost, for everything to go
// on where it was. Without one it returns why the session is over.
func (s *session) resume(lost error) (transport, error) {
	s.times.hold()
	defer s.times.release()
	ctx, cancel := context.WithTimeout(s.leaving, resumeWindow)
	defer cancel()
	s.conn.log().Debug("transport lost", "conn", s.id, "err", lost)
	delay := time.Duration(0)
	for {
		t, err := s.reopen(ctx)
		if err == nil {
			s.in, s.silent = s.in[:0], true // half a message comes again
			s.out.rewind(func(first int64) []byte { return s.proto.appendSequence(nil, first) })
			s.times.resumed.Store(s.times.now() + 1) // not 0
			s.times.look()
			return t, nil
		}
		delay = min(max(2*delay, resumeDelay/16), resumeDelay)
		refusal, refused := errors.AsType[*HTTPError](err)
		refused = refused && refusal.Status < http.StatusInternalServerError
		if refused || wait(ctx, jitter(delay)) != nil {
			if s.ctx.Err() != nil {
				return nil, context.Cause(s.ctx)
			}
			return nil, fmt.Errorf("%w; it could not be resumed: %w", lost.(lostError).error, err)
		}
	}
}

func (s *session) reopen(ctx context.Context) (transport, error) {
	ctx, cancel := context.WithTimeout(ctx, resumeAttempt)
	defer cancel()
	if err := s.e.renewToken(ctx); err != nil {
		return nil, err
	}
	return s.e.openWebSocket(ctx, s.proto)
}

// count counts a message of size bytes, and reports whether it is new: what the
// server sends again after a resume was taken before.
func (s *session) count(size int) bool {
	if s.silent {
		return false // of before the resume
	}
	id := s.next
	s.next++
	if id <= s.times.latest.Load() {
		return false
	}
	s.times.latest.Store(id)
	s.times.owe(size)
	return true
}

// resumed takes the server's word where it goes on.
func (s *session) resumed(first int64) error {
	latest := s.times.latest.Load()
	if first > latest+1 {
		return fmt.Errorf("the server has lost messages: it goes on with number %d, the last that came is %d", first, latest)
	}
	s.next, s.silent = first, false
	if latest > 0 {
		s.times.owe(0) // the last Ack may be lost, and the server wait for it
	}
	return nil
}
