package grpcwire

import (
	"context"
	"time"

	"github.com/hubwire/hubwire"
)

// enter counts a call as under way, unless the server shuts down.
func (h *Handler) enter(s *Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining && !s.m.Attendant {
		return false
	}
	s.before, s.after = h.running.before, &h.running
	s.before.after, s.after.before = s, s
	if !s.m.Attendant {
		h.busy++
	}
	h.count("grpc.server.call.started", s.m.Name, 1)
	h.count("grpc.server.streams", "", 1)
	return true
}

func (h *Handler) leave(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.before.after, s.after.before = s.after, s.before
	if !s.m.Attendant {
		h.busy--
	}
	h.count("grpc.server.streams", "", -1)
	h.idleLocked()
}

func (h *Handler) idleLocked() {
	if h.idle != nil && h.busy == 0 {
		close(h.idle)
		h.idle = nil
	}
}

// OnDrain has f called when Shutdown begins, before any call hears of it: a
// health check says then that this server wants no more.
func (h *Handler) OnDrain(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onDrain = append(h.onDrain, f)
}

// Draining reports whether Shutdown was called.
func (h *Handler) Draining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// Shutdown ends the calls: those of OnDrain are told first, new calls are then
// refused with UNAVAILABLE, which clients try elsewhere, and streams hear of it
// by Stream.Ending. It returns when all calls have ended, or cuts off those
// that have not when ctx ends. The http.Server is to be shut down after it.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	first := h.onDrain
	h.onDrain = nil
	h.mu.Unlock()
	for _, f := range first {
		f()
	}
	h.mu.Lock()
	h.draining = true
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.idleLocked()
	all := h.runningLocked(false)
	h.mu.Unlock()
	for _, s := range all {
		s.finish(errDraining)
	}
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.mu.Lock()
	all = h.runningLocked(true)
	h.mu.Unlock()
	for _, s := range all {
		s.finish(errDraining)
		s.cancel(errDraining)
	}
	return err
}

func (h *Handler) runningLocked(attendants bool) (all []*Stream) {
	for s := h.running.after; s != &h.running; s = s.after {
		if attendants || !s.m.Attendant {
			all = append(all, s)
		}
	}
	return all
}

// arm starts the clocks of a stream: of its user's credentials and of its
// connection. At the end of one it hears of it, and a grace later its context
// ends.
func (h *Handler) arm(s *Stream) (timers []*time.Timer) {
	if !s.m.ClientStreams && !s.m.ServerStreams {
		return nil
	}
	at := func(t time.Time, why *Status) {
		d := time.Until(t)
		timers = append(timers, time.AfterFunc(d, func() { s.finish(why) }), time.AfterFunc(d+h.opts.Grace, func() { s.cancel(why) }))
	}
	if u := hubwire.UserFrom(s.ctx); h.opts.CloseOnExpiry && !u.Expires.IsZero() {
		at(u.Expires, errExpired)
	}
	if c := connOf(s.ctx); c != nil && h.opts.MaxConnectionAge > 0 {
		at(c.end(h.opts.MaxConnectionAge), errAge)
	}
	return timers
}
