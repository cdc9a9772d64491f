package client

import (
	"context"
	"fmt"
	"time"
)

// run runs the sessions of a connection, one after the other.
func (c *Conn) run(s *session, t transport) {
	for {
		err := s.serve(t)
		c.log().Debug("connection ended", "conn", s.id, "err", err)
		if s.again && c.opts.Reconnect != nil {
			if s, t, err = c.reconnect(err); s != nil {
				continue
			}
		}
		c.finish(err)
		return
	}
}

// reconnect connects again, as the policy says. Without success it returns why
// the connection is closed.
func (c *Conn) reconnect(lost error) (*session, transport, error) {
	began, again := time.Now(), true
	r := Retry{Err: lost}
	for first := true; ; first = false {
		var delay time.Duration
		if delay, again = c.ask(r); !again {
			if first {
				return nil, nil, lost
			}
			return nil, nil, fmt.Errorf("no connection after %d attempts in %v: %w", r.Attempts, r.Elapsed.Round(time.Millisecond), r.Err)
		}
		if first && !c.lose(lost) {
			return nil, nil, nil
		}
		if wait(c.ctx, delay) != nil {
			return nil, nil, nil
		}
		ctx, cancel := context.WithTimeout(c.ctx, requestTimeout)
		s, t, err := c.connect(ctx)
		cancel()
		if err == nil {
			if c.found(s) {
				return s, t, nil
			}
			s.end(nil)
			t.kill()
			return nil, nil, nil
		}
		c.log().Debug("reconnect", "err", err)
		r = Retry{Attempts: r.Attempts + 1, Elapsed: time.Since(began), Err: err}
	}
}

func (c *Conn) ask(r Retry) (delay time.Duration, again bool) {
	c.guard("Options.Reconnect", func() { delay, again = c.opts.Reconnect(r) })
	return delay, again
}

// lose makes the loss of the connection known. It reports false if the client
// closes anyway.
func (c *Conn) lose(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.state, c.session, c.err = Reconnecting, nil, err
	if on := c.opts.OnReconnecting; on != nil {
		c.inbox.put(job{call: func() { on(c, err) }})
	}
	return true
}

// found makes a new session known, or reports that the client closes.
func (c *Conn) found(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.state, c.session, c.err = Connected, s, nil
	if on := c.opts.OnReconnected; on != nil {
		c.inbox.put(job{call: func() { on(c) }})
	}
	return true
}

// finish is the end for good.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	if c.closing {
		err = nil
	}
	c.state, c.session, c.err = Closed, nil, err
	c.mu.Unlock()
	c.inbox.put(job{last: true, call: func() {
		c.mu.Lock()
		c.farewell = true
		c.mu.Unlock()
		c.handled()
		if on := c.opts.OnClosed; on != nil {
			on(c, err)
		}
	}})
	c.inbox.end()
	c.sockets.close()
	close(c.done)
}
