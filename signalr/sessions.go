package signalr

import (
	"sync"
	"time"
)

// sessions are the negotiated connections that have begun, by the id in their
// token. One that has ended is remembered until its token expires, so that a
// token begins one connection and no more.
type sessions struct {
	mu    sync.Mutex // guards the following
	byID  map[connID]session
	swept time.Time // when ended ones were last looked for
}

type session struct {
	expires int64 // of the token, Unix seconds
	conn    *conn // nil: it has ended
	kind    Transports
	back    bool  // another socket may follow the one that it has
	ends    int64 // until when posts of one that has ended are taken and dropped, Unix milliseconds
}

// The states of a token whose signature is good.
type tokenState uint8

const (
	unused  tokenState = iota
	early              // the client has posted, and begun no transport
	active             // on the transport that is asked for
	away               // likewise, and another socket may follow
	changed            // on another transport
	over               // ended, or expired before it was used
	full               // there is no room for one more
)

// state says whether the token was used, and for what. An expired one that was
// not is over.
func (s *sessions) state(c claim, now time.Time) (tokenState, session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stateLocked(c, now)
}

func (s *sessions) stateLocked(c claim, now time.Time) (tokenState, session) {
	x, ok := s.byID[c.id]
	switch {
	case ok && x.conn != nil && x.kind == 0:
		return early, x
	case ok && x.conn != nil:
		return active, x
	case ok || now.Unix() > c.expires:
		return over, x
	}
	return unused, x
}

// begin gives a token's connection to a transport: a new one by create, which
// may refuse, or the one that waits for its transport; prepare is called for it
// before anybody else can find it so. A kind of zero is a POST, which begins
// none. In any other state than unused and early (which are those before)
// nothing is done but to tell it.
func (s *sessions) begin(c claim, kind Transports, now time.Time, create func() *conn, prepare func(*conn)) (*conn, tokenState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, x := s.stateLocked(c, now)
	switch st {
	case unused:
		if x.conn = create(); x.conn == nil {
			return nil, full
		}
		x.expires = c.expires
	case early:
		if kind == 0 {
			return x.conn, active
		}
	case active:
		switch {
		case kind != 0 && kind != x.kind:
			st = changed
		case kind != 0 && x.back:
			st = away
		}
		return x.conn, st
	default:
		return nil, st
	}
	x.kind = kind
	prepare(x.conn)
	if s.byID == nil {
		s.byID = map[connID]session{}
	}
	s.byID[c.id] = x
	s.sweepLocked(now)
	return x.conn, st
}

// keep lets other sockets follow the one that has just begun.
func (s *sessions) keep(id connID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byID[id]; x.conn != nil {
		x.back = true
		s.byID[id] = x
	}
}

// refused notes that a connection is about to end in the moment in which its
// client begins to talk: what the client posts before it can know is answered as
// if it had come a moment earlier.
func (s *sessions) refused(id connID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := s.byID[id]; ok {
		x.ends = now.Add(refusedTime).UnixMilli()
		s.byID[id] = x
	}
}

const refusedTime = 2 * time.Second

// takesPosts reports whether a connection that has ended takes posts all the same.
func (s *sessions) takesPosts(id connID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.UnixMilli() < s.byID[id].ends
}

// giveUp ends a connection whose transport has not begun, and reports whether
// that is so.
func (s *sessions) giveUp(id connID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byID[id]
	if x.conn == nil || x.kind != 0 {
		return false
	}
	s.endLocked(id, now)
	return true
}

// end notes that a connection has ended.
func (s *sessions) end(id connID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(id, now)
}

func (s *sessions) endLocked(id connID, now time.Time) {
	if x := s.byID[id]; now.Unix() > x.expires {
		delete(s.byID, id)
	} else {
		s.byID[id] = session{expires: x.expires, ends: x.ends}
	}
	s.sweepLocked(now)
}

// sweepEvery is how often ended sessions are looked for, at most.
const sweepEvery = 15 * time.Second

// sweepLocked forgets what has ended and expired.
func (s *sessions) sweepLocked(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for id, x := range s.byID {
		if x.conn == nil && now.Unix() > x.expires {
			delete(s.byID, id)
		}
	}
}
