package hubwire

import (
	"context"
	"fmt"
)

// subscribe wants a subscription and waits until it is there.
func (h *Hub) subscribe(ctx context.Context, kind targetKind, name string) error {
	r := h.remote
	if r == nil {
		return nil
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	return r.subscribe(ctx, r.address(addressKinds[kind], name))
}

// unsubscribe does not wait.
func (h *Hub) unsubscribe(kind targetKind, names ...string) {
	r := h.remote
	if r == nil {
		return
	}
	for _, name := range names {
		r.want(r.address(addressKinds[kind], name), func() bool {
			// A new member may have come meanwhile; it wants the subscription
			// after it has entered the target.
			return (kind == toGroup || kind == toUser) && h.target(kind, name) != nil
		})
	}
}

func (r *remote) subscribe(ctx context.Context, a Address) error {
	if r.local() {
		r.want(a, func() bool { return true }) // settled when the outage is over
		return nil
	}
	if err := r.awaitUp(ctx, r.patience()); err != nil {
		return err
	}
	changed := r.want(a, func() bool { return true })
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		r.mu.Lock()
		s := r.subs[a]
		switch {
		case r.closed:
			r.mu.Unlock()
			return ErrClosed
		case s == nil || !s.want || s.have:
			r.mu.Unlock()
			return nil
		case s.err != nil && !s.busy:
			err := s.err
			r.mu.Unlock()
			return fmt.Errorf("hubwire: backplane: subscribe: %w", err)
		}
		changed = s.changed
		r.mu.Unlock()
	}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// want says what is wanted of a subscription; the channel is closed at the end
// of the attempt that brings it about.
func (r *remote) want(a Address, wanted func() bool) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return closedChan
	}
	s, want := r.subs[a], wanted()
	if s == nil {
		if !want {
			return closedChan
		}
		s = &subscription{}
		r.subs[a] = s
	}
	s.want = want
	if s.busy {
		return s.changed
	}
	if s.want == s.have {
		return closedChan
	}
	return r.beginLocked(a, s)
}

func (r *remote) beginLocked(a Address, s *subscription) <-chan struct{} {
	s.busy, s.changed = true, make(chan struct{})
	changed := s.changed
	r.jobs.Add(1)
	go r.settle(a, s) // ends when what is there is what is wanted; Shutdown waits
	return changed
}

// settleLocked begins what an outage has kept from being done.
func (r *remote) settleLocked() {
	for a, s := range r.subs {
		if !r.closed && !s.busy && s.want != s.have {
			r.beginLocked(a, s)
		}
	}
}

func (r *remote) settle(a Address, s *subscription) {
	defer r.jobs.Done()
	for {
		r.mu.Lock()
		want := s.want
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), echoWait)
		var err error
		if want {
			err = r.bp.Subscribe(ctx, a)
		} else {
			err = r.bp.Unsubscribe(ctx, a)
		}
		cancel()
		r.mu.Lock()
		s.err = err
		if err == nil {
			s.have = want
			if !want { // sends that wait for an echo: none comes, and nobody here needs it
				r.endEchoesLocked(false, func(b Address) bool { return a == b })
			}
		}
		close(s.changed)
		if s.want == want || r.closed {
			s.busy = false
			if !s.want {
				delete(r.subs, a)
			}
			r.mu.Unlock()
			return
		}
		s.changed = make(chan struct{})
		r.mu.Unlock()
	}
}

// closeRemote ends the hub's part of the backplane.
func (h *Hub) closeRemote(ctx context.Context) error {
	r := h.remote
	if r == nil {
		return nil
	}
	r.leaveNodes(ctx)
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.jobs.Wait()
	r.startMu.Lock()
	defer r.startMu.Unlock()
	if !r.started {
		return nil
	}
	r.started = false
	err := r.bp.Close(ctx, h.opts.Name)
	r.mu.Lock()
	r.endEchoesLocked(true, func(Address) bool { return true })
	r.watch.Stop()
	r.mu.Unlock()
	return err
}
