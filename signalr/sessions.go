package signalr

import (
	"sync"
	"time"
)

// sessions are the negotiated connections that have started, by the id in their
// token. One that has ended is remembered until its token expires, so that a
// token starts one connection and no more.
type sessions struct {
	mu    sync.Mutex // guards the following
	byID  map[connID]session
	swept time.Time // when ended ones were last looked for
}

type session struct {
	expires int64 // of the token, Unix seconds
	live    bool
	conn    *conn // nil: another transport cannot follow
}

// The states of a token whose signature is good.
type tokenState uint8

const (
	unused tokenState = iota
	active
	over
)

// state says whether the token was used. An expired one that was not is over.
func (s *sessions) state(c claim, now time.Time) tokenState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stateLocked(c, now)
}

func (s *sessions) stateLocked(c claim, now time.Time) tokenState {
	x, ok := s.byID[c.id]
	switch {
	case ok && x.live:
		return active
	case ok || now.Unix() > c.expires:
		return over
	}
	return unused
}

// start takes an unused token; any other state is returned and nothing done.
func (s *sessions) start(c claim, now time.Time) tokenState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stateLocked(c, now)
	if st != unused {
		return st
	}
	if s.byID == nil {
		s.byID = map[connID]session{}
	}
	s.byID[c.id] = session{expires: c.expires, live: true}
	s.sweepLocked(now)
	return unused
}

// keep lets other transports follow the one of c, which has just started.
func (s *sessions) keep(id connID, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byID[id]; x.live {
		x.conn = c
		s.byID[id] = x
	}
}

// conn is the connection that another transport may go on with.
func (s *sessions) conn(id connID) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id].conn
}

// end notes that a connection has ended.
func (s *sessions) end(id connID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byID[id]; now.Unix() > x.expires {
		delete(s.byID, id)
	} else {
		s.byID[id] = session{expires: x.expires}
	}
	s.sweepLocked(now)
}

// sweepLocked forgets what has ended and expired, every connectWithin at most.
func (s *sessions) sweepLocked(now time.Time) {
	if now.Sub(s.swept) < connectWithin {
		return
	}
	s.swept = now
	for id, x := range s.byID {
		if !x.live && now.Unix() > x.expires {
			delete(s.byID, id)
		}
	}
}
