package hubwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrDown is returned while the backplane cannot be reached, by what was not
// sent for that reason and will not be.
var ErrDown = errors.New("hubwire: the backplane cannot be reached")

// An Outage says what a hub does while its backplane cannot be reached. What
// stays on this node (sends to its own connections, questions to them, leaving
// groups) works whatever is chosen.
type Outage struct {
	// Wait is how long a Send, a Join or a question waits for the end of the
	// outage before it fails with ErrDown. Defaults to 5 s; negative is not at
	// all.
	Wait time.Duration
	// Local delivers what is sent to all, to groups and to users to the
	// connections of this node alone, at once, and takes new connections.
	// Defaults to off: sends wait, and new connections are refused.
	Local bool
}

// Health is the state of a hub's backplane.
type Health struct {
	// Up says that the backplane can be reached, or that there is none.
	Up bool
	// Err says why it cannot be reached.
	Err error
	// Since is when that began; zero where it was never otherwise.
	Since time.Time
	// Gaps is how often events may have been lost.
	Gaps uint64
}

// Health tells whether the hub's backplane can be reached, so that a balancer
// can be told.
func (h *Hub) Health() Health {
	r := h.remote
	if r == nil {
		return Health{Up: true}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health
}

// State implements Inbox.
func (r *remote) State(up bool, err error) {
	r.mu.Lock()
	if r.health.Up == up {
		r.health.Err = err
		r.mu.Unlock()
		return
	}
	r.health.Up, r.health.Err, r.health.Since = up, err, time.Now()
	if up {
		close(r.back)
		r.back = nil
		r.settleLocked()
	} else {
		r.back = make(chan struct{})
	}
	r.mu.Unlock()
	if up {
		r.nodesAgain()
		r.h.log.Info("hubwire: the backplane is up", "hub", r.h.opts.Name)
		return
	}
	r.fleet.deafen()
	r.h.log.Error("hubwire: the backplane is down", "hub", r.h.opts.Name, "err", err)
}

// Gap implements Inbox: who waits for an echo that may have been lost is told.
func (r *remote) Gap(addrs ...Address) {
	r.mu.Lock()
	r.health.Gaps++
	r.endEchoesLocked(true, func(a Address) bool { return len(addrs) == 0 || slices.Contains(addrs, a) })
	r.mu.Unlock()
	r.h.count("drops", "gap", 1)
	r.h.log.Error("hubwire: the backplane may have lost events", "hub", r.h.opts.Name, "addresses", len(addrs))
}

// awaitUp waits for the end of an outage, as long as Outage says.
func (r *remote) awaitUp(ctx context.Context, deadline time.Time) error {
	r.mu.Lock()
	back, err := r.back, r.health.Err
	r.mu.Unlock()
	if back == nil {
		return nil
	}
	wait := time.Until(deadline)
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-back:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrDown, ctx.Err())
		case <-timer.C:
		}
	}
	if err == nil {
		return ErrDown
	}
	return fmt.Errorf("%w: %w", ErrDown, err)
}

// patience is when waiting for the end of an outage ends.
func (r *remote) patience() time.Time { return time.Now().Add(r.h.opts.Outage.Wait) }

func (r *remote) down() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.back != nil
}

// local reports whether to go on without the other nodes.
func (r *remote) local() bool { return r.h.opts.Outage.Local && r.down() }

// send publishes once the backplane is up. Its errors are those that a Send
// has: ErrUnconfirmed where m may arrive, and any other where it will not.
func (r *remote) send(ctx context.Context, to Address, m *Message) error {
	deadline := r.patience()
	for {
		if err := r.awaitUp(ctx, deadline); err != nil {
			return err
		}
		err := r.bp.Publish(ctx, to, m)
		if !errors.Is(err, ErrDown) || !r.down() {
			return err
		}
	}
}
