package hubwire

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lastWait is how long Shutdown waits for calls to notice that they are
// cancelled, once its context has ended.
const lastWait = 250 * time.Millisecond

// Shutdown ends the hub: no new connections, the calls that run and wait finish
// (streams end with their connection), and clients are told to reconnect,
// spread over Options.DrainWindow. It returns when every connection has ended
// and Disconnect was called for each. When ctx ends before, the rest is closed
// at once and the calls are cancelled; the error names the calls that ignore it
// and wraps ctx.Err(). A second Shutdown, with a context of its own, may hurry
// the first.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	if len(h.conns) == 0 {
		h.mu.Unlock()
		return h.closeRemote(ctx)
	}
	if h.emptied == nil {
		h.emptied = make(chan struct{})
	}
	emptied := h.emptied
	h.mu.Unlock()

	h.retire(ctx, h.snapshot(), emptied)
	select {
	case <-emptied:
		return h.closeRemote(ctx)
	case <-ctx.Done():
	}
	for _, c := range h.snapshot() {
		c.closes("shutdown")
		c.close(ErrShutdown, true)
		c.stopCalls(ErrShutdown)
	}
	timer := time.NewTimer(lastWait)
	defer timer.Stop()
	select {
	case <-emptied:
	case <-timer.C:
	}
	if err := h.closeRemote(ctx); err != nil {
		h.log.Info("hubwire: backplane does not close", "hub", h.opts.Name, "err", err)
	}
	var names []string
	for _, c := range h.snapshot() {
		names = append(names, c.running()...)
	}
	if len(names) == 0 {
		return ctx.Err()
	}
	slices.Sort(names)
	return fmt.Errorf("hubwire: shutdown: calls ignore the end of their context: %s: %w", strings.Join(slices.Compact(names), ", "), ctx.Err())
}

// Closing reports whether Shutdown was called: a wire turns new connections away,
// and a health check says that this server wants no more.
func (h *Hub) Closing() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closing
}

// retire ends the connections one after the other over the drain window.
func (h *Hub) retire(ctx context.Context, cs []*Conn, emptied <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for i, c := range cs {
		if d := h.opts.DrainWindow * time.Duration(i) / time.Duration(len(cs)); d > 0 {
			if d -= time.Since(start); d > 0 {
				timer.Reset(d)
				select {
				case <-timer.C:
				case <-ctx.Done():
					return
				case <-emptied:
					return
				}
			}
		}
		c.closes("shutdown")
		c.retire()
	}
}
