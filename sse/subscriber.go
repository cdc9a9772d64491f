package sse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"time"
)

// A subscriber is a place in the log and a stream.
type subscriber struct {
	t *Topics
	s *Session
	g *group

	// guarded by t.mu
	cursor   uint64 // the next of the group's index
	busy     bool   // somebody writes, or will
	gone     bool
	attached bool   // a detached one has its connection
	at       int    // in g.subs
	after    uint64 // KeepLatest: what it has got, by position
	away     *away  // nil: its place is in the log in memory
	last     *words // to be said when it has caught up

	wake chan struct{} // of one that has a goroutine; one place
	user string        // if their number is limited
}

// Serve answers a request with the events of some topics, or of patterns: "a/*"
// is "a/" and one more segment, "a/**" one or more. Who may have which is the
// caller's to decide before. It returns when the stream has ended, and why; with
// Options.Detach it returns at once, if the request's connection can be detached.
//
// A client that comes back gets what it missed, or an event that says that it
// cannot ([TopicsOptions].Gap). The event ids are the Topics' own.
func (t *Topics) Serve(w http.ResponseWriter, r *http.Request, topics ...string) error {
	if len(topics) == 0 || len(topics) > maxPatterns {
		err := fmt.Errorf("sse: subscribe: %d topics: %w", len(topics), ErrInvalid)
		http.Error(w, "between 1 and 128 topics are needed", http.StatusBadRequest)
		return err
	}
	for _, p := range topics {
		if err := checkTopic(p, true); err != nil {
			http.Error(w, "no such topic can be", http.StatusBadRequest)
			return err
		}
	}
	if t.drain.started() {
		refuse(w, r, t.opts.Retry)
		return fmt.Errorf("sse: subscribe: %w", ErrClosed)
	}
	opts := t.opts.Stream
	opts.Detach = opts.Detach && detachable(r)
	s := newSession(w, r, &opts)
	if r.Method == http.MethodHead {
		s.opts.setHead(w.Header(), s.enc)
		w.WriteHeader(http.StatusOK)
		s.cancel(ErrClosed)
		return nil
	}
	var place resume
	if t.feed != nil {
		var err error
		if place, err = t.feed.await(r.Context(), s.lastID); err != nil {
			s.abandon()
			refuse(w, r, t.opts.Retry)
			return err
		}
	}
	sub, err := t.enter(w, r, s, topics, place)
	if err != nil {
		return err
	}
	if opts.Detach {
		err := s.detach(w, r)
		if err == nil {
			context.AfterFunc(s.ctx, func() { t.leave(sub) })
			t.mu.Lock()
			closed := t.closed
			sub.attached = true
			t.pushLocked(sub)
			t.mu.Unlock()
			if closed {
				s.cut(errDrained)
			}
			return nil
		}
		t.leave(sub)
		if !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		t.logger().Debug("sse: a stream costs more memory", "err", err)
		opts.Detach = false
		s = newSession(w, r, &opts)
		if sub, err = t.enter(w, r, s, topics, place); err != nil {
			return err
		}
	}
	return t.run(sub)
}

// enter is join, whose error it answers.
func (t *Topics) enter(w http.ResponseWriter, r *http.Request, s *Session, topics []string, place resume) (*subscriber, error) {
	if s.drain == nil {
		s.drain = &drained{d: t.drain}
	}
	user := ""
	if t.opts.MaxPerUser > 0 {
		user = t.opts.User(r)
	}
	sub, err := t.join(s, user, topics, place)
	if err != nil {
		s.abandon()
		code := http.StatusTooManyRequests
		if errors.Is(err, ErrClosed) {
			code = http.StatusServiceUnavailable
		}
		refuseStatus(w, code, t.opts.Retry)
	}
	return sub, err
}

// Handler serves the topics that choose names for a request; it decides who may
// have them. Its error is the answer: the status of a [StatusError], else 403.
func (t *Topics) Handler(choose func(r *http.Request) (topics []string, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		topics, err := choose(r)
		if err != nil {
			if status, ok := errors.AsType[*StatusError](err); ok {
				status.answer(w)
			} else {
				http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
			}
			return
		}
		_ = t.Serve(w, r, topics...) // what went wrong has been answered or logged
	})
}

// join gives s its place, and its first words.
func (t *Topics) join(s *Session, user string, topics []string, place resume) (*subscriber, error) {
	sub := &subscriber{t: t, s: s, busy: true, user: user}
	if !s.opts.Detach {
		sub.wake = make(chan struct{}, 1)
	}
	s.parted = sub.part
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fmt.Errorf("sse: subscribe: %w", ErrClosed)
	}
	if m := t.opts.MaxSubscribers; m > 0 && t.count >= m {
		return nil, fmt.Errorf("sse: subscribe: there are %d subscribers already", m)
	}
	if user != "" {
		if m := t.opts.MaxPerUser; t.users[user] >= m {
			return nil, fmt.Errorf("sse: subscribe: the user has %d subscribers already", m)
		}
		t.users[user]++
	}
	t.log.Expire(time.Now(), t.forget)
	g := t.groupLocked(topics)
	g.trim(t.log.First())
	sub.g, sub.at = g, len(g.subs)
	g.subs = append(g.subs, sub)
	t.count++
	first := t.resumeLocked(sub, s.lastID, place)
	s.mu.Lock()
	s.buf = s.appendLocked(s.buf, first)
	s.mu.Unlock()
	return sub, nil
}

// resumeLocked puts a subscriber where it was, and returns its first words.
func (t *Topics) resumeLocked(sub *subscriber, lastID string, place resume) (first []byte) {
	head, base := t.headLocked(), t.baseLocked()
	sub.cursor, sub.after = sub.g.end(), head
	if lastID == "" {
		// The id of now, so that even who leaves before the first event misses
		// nothing.
		first, _ = AppendID(nil, t.idLocked(head))
		return first
	}
	p, ok := parseID(lastID)
	at, reason := head, "unknown"
	switch {
	case !ok || p.Epoch != t.epochLocked():
	case p.Offset > head:
		if place.known {
			sub.away = &away{skip: p.Offset}
			return nil
		}
	case p.Offset >= base:
		t.placeLocked(sub, p.Offset)
		return nil
	case t.feed != nil:
		sub.away = &away{filling: true, back: p.Offset}
		return nil
	default:
		at, reason = base, "expired"
		t.placeLocked(sub, base)
	}
	t.stats.Lost++
	first, _ = Append(nil, Event[string]{Type: t.opts.Gap, Data: gapData(reason), ID: t.idLocked(at)})
	return first
}

// placeLocked makes the first event after a position in the log in memory the next
// of a subscriber.
func (t *Topics) placeLocked(sub *subscriber, position uint64) {
	g := sub.g
	g.trim(t.log.First())
	i := sort.Search(len(g.index), func(i int) bool {
		e, _ := t.log.Get(g.index[i])
		return e.at > position
	})
	sub.cursor, sub.after = g.base+uint64(i), position
}

// part lets the subscriber go when it has got what was published.
func (sub *subscriber) part(w words) {
	t := sub.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if sub.gone || sub.last != nil {
		return
	}
	sub.last = &w
	if !sub.busy {
		t.wakeLocked(sub)
	}
}

// leave gives the place up.
func (t *Topics) leave(sub *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sub.gone {
		return
	}
	sub.gone = true
	g := sub.g
	last := g.subs[len(g.subs)-1]
	g.subs[sub.at] = last
	last.at = sub.at
	g.subs[len(g.subs)-1] = nil
	g.subs = g.subs[:len(g.subs)-1]
	if n := len(g.subs); n == 0 {
		t.dropLocked(g)
	} else if n < cap(g.subs)/4 {
		g.subs = slices.Clone(g.subs)
	}
	t.count--
	if sub.user != "" {
		if t.users[sub.user]--; t.users[sub.user] == 0 {
			delete(t.users, sub.user)
		}
	}
}

// run is the goroutine of a subscriber that has one: its handler's.
func (t *Topics) run(sub *subscriber) error {
	s := sub.s
	defer s.abandon()
	defer t.leave(sub)
	if err := s.flushable(); err != nil {
		return err
	}
	if err := s.Flush(); err != nil {
		return err
	}
	b := batches.Get().(*batch)
	defer func() { b.put() }()
	for {
		more, err := t.take(sub, b)
		if err == nil && more {
			err = s.deliver(b)
		}
		if err != nil {
			if err == errDrained {
				s.farewell(*sub.last)
			}
			if errors.Is(err, ErrSlow) {
				t.logger().Info("sse: a subscriber is too slow")
				_ = s.Close()
			}
			return s.quiet(err)
		}
		if more {
			continue
		}
		b.put() // an idle stream holds no buffer
		select {
		case <-sub.wake:
		case <-s.ctx.Done():
			b = batches.Get().(*batch)
			return s.quiet(nil)
		}
		b = batches.Get().(*batch)
	}
}

func (s *Session) quiet(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quietLocked(err)
}

// deliver writes a batch, and waits for the client if need be.
func (s *Session) deliver(b *batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flushLocked(); err != nil {
		return err
	}
	if b.enc == gzipped {
		s.sum = s.sum.then(b.sum)
	}
	if err := s.writeResponse(b.body()); err != nil {
		return s.brokenLocked(err)
	}
	s.written = time.Now()
	return nil
}

// cut ends a stream at once.
func (s *Session) cut(cause error) {
	s.cancel(cause)
	if s.conn != nil {
		s.conn.Abort()
	}
}
