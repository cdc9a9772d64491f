package signalr

import (
	"net/netip"
	"sync"
	"time"
)

// pending counts the connections that cost their client nothing: those that are
// no more than a POST, or a poll without a handshake. Nothing else would bound
// them. Their number is bounded, and what one address has of it; each is gone
// after a while.
type pending struct {
	limit int

	mu     sync.Mutex // guards the following
	total  int
	byAddr map[netip.Addr]int
}

// share is the part of all that one address may have.
const share = 4

// enter counts a connection, if there is room for one.
func (p *pending) enter(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 && (p.total >= p.limit || p.byAddr[addr] >= max(1, p.limit/share)) {
		return false
	}
	if p.byAddr == nil {
		p.byAddr = map[netip.Addr]int{}
	}
	p.total++
	p.byAddr[addr]++
	return true
}

// leave takes back what enter counted.
func (p *pending) leave(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.byAddr[addr]--; p.byAddr[addr] == 0 {
		delete(p.byAddr, addr)
	}
}

// peerAddr is who sends a request: an IPv4 address, or the /64 of an IPv6 one,
// which is what one client has.
func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // not over IP
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// pend counts the connection as pending until it has arrived.
func (c *conn) pend(remote string) bool {
	addr := peerAddr(remote)
	if !c.mount.pending.enter(addr) {
		return false
	}
	c.in = newInput(c)
	c.in.counted, c.in.addr = true, addr
	return true
}

// arrived ends what pend began: there is a handshake, or an end.
func (c *conn) arrived() {
	if c.in == nil {
		return
	}
	c.in.mu.Lock()
	was := c.in.counted
	c.in.counted = false
	c.in.mu.Unlock()
	if was {
		c.mount.pending.leave(c.in.addr)
	}
}

// awaitTransport gives a connection that is no more than a POST up when its token
// expires.
func (c *conn) awaitTransport(expires int64) {
	c.in.unused = time.AfterFunc(time.Until(time.Unix(expires+1, 0)), func() {
		if c.mount.sessions.giveUp(c.session, time.Now()) {
			c.in.close()
			c.arrived()
			c.mount.leave()
		}
	})
}
