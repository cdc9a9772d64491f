package hubwire

import (
	"context"
	"errors"
)

// Kick ends the connections that to means, on every node: those of an Audience,
// of users, or single ones. reason is shown to the clients, which may come back
// where reconnect says so. Kicking who is gone is no error, so a Kick that failed
// can be repeated.
func (h *Hub) Kick(ctx context.Context, to Target, reason string, reconnect bool) error {
	if c, ok := to.(*Conn); ok && c.hub == h {
		c.kick(reason, reconnect)
		return nil
	}
	kind, names, except, err := h.addressed("Kick", to)
	if err != nil {
		return err
	}
	m := &Message{Kind: MessageKick, Error: reason, Reconnect: reconnect, Except: except}
	r := h.remote
	if r != nil {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		h.kickHere(kind, name, m)
		if r == nil || kind == toConn && h.conn(name) != nil {
			continue
		}
		if err := r.send(ctx, r.address(addressKinds[kind], name), m); err != nil && !errors.Is(err, ErrNoReceiver) {
			return err
		}
	}
	return nil
}

// kickHere ends connections of this node.
func (h *Hub) kickHere(kind targetKind, name string, m *Message) {
	if kind == toConn {
		if c := h.conn(name); c != nil {
			c.kick(m.Error, m.Reconnect)
		}
		return
	}
	skip := map[string]bool{}
	for _, id := range m.Except {
		skip[id] = true
	}
	for _, c := range h.snapshot() {
		if !skip[c.id] && c.in(kind, name) {
			c.kick(m.Error, m.Reconnect)
		}
	}
}

// in reports whether the connection is in a target.
func (c *Conn) in(kind targetKind, name string) bool {
	c.state.Lock()
	defer c.state.Unlock()
	switch {
	case c.ended:
		return false
	case kind == toUser:
		return name != "" && c.user.ID == name
	case kind == toGroup:
		return c.groups[name] != nil
	}
	return c.all != nil
}

func (c *Conn) kick(reason string, reconnect bool) {
	if c.once {
		return
	}
	c.closes("kick")
	c.close(&Error{Code: CodeAborted, Message: reason}, reconnect)
}
