package client_test

import (
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A proxy is a TCP connection between client and server that fails as it is
// told.
type proxy struct {
	url    string
	target string
	l      net.Listener
	wg     sync.WaitGroup

	mu     sync.Mutex // guards the following
	pairs  map[*pairOfConns]struct{}
	shut   bool
	stall  chan struct{} // closed when bytes may pass again; nil: they may
	down   func() int    // how many bytes may pass to the client before the next cut; nil: all
	nextAt int
	cuts   int
	lastly time.Time
	closed bool
}

type pairOfConns struct{ client, server net.Conn }

// newProxy listens in front of the server at url, path included.
func newProxy(t testing.TB, url string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	rest := strings.TrimPrefix(url, "http://")
	host, path, _ := strings.Cut(rest, "/")
	p := &proxy{l: l, target: host, url: "http://" + l.Addr().String() + "/" + path, pairs: map[*pairOfConns]struct{}{}}
	p.wg.Go(p.accept) // ends with the listener
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		_ = l.Close()
		p.resume()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.shut || p.closed
		p.mu.Unlock()
		s, err := net.Dial("tcp", p.target)
		if refuse || err != nil {
			if s != nil {
				_ = s.Close()
			}
			_ = c.Close()
			continue
		}
		k := &pairOfConns{c, s}
		p.mu.Lock()
		p.pairs[k] = struct{}{}
		if p.down != nil && p.nextAt <= 0 {
			p.nextAt = p.down()
		}
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(k, s, c, false) }) // both end with either
		p.wg.Go(func() { p.copy(k, c, s, true) })
	}
}

func (p *proxy) copy(k *pairOfConns, to, from net.Conn, down bool) {
	defer p.end(k)
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		stall := p.stall
		p.mu.Unlock()
		if stall != nil {
			<-stall
		}
		pass, cut := n, false
		if down {
			pass, cut = p.allowed(n)
		}
		if _, werr := to.Write(buf[:pass]); err != nil || werr != nil || cut {
			return
		}
	}
}

// allowed says how many of n bytes pass to the client, and whether the cut
// comes after them.
func (p *proxy) allowed(n int) (pass int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down == nil || time.Since(p.lastly) < p.apart() {
		return n, false
	}
	if p.nextAt > n {
		p.nextAt -= n
		return n, false
	}
	pass = p.nextAt
	p.nextAt = p.down()
	p.cuts++
	p.lastly = time.Now()
	return pass, true
}

func (p *proxy) apart() time.Duration { return 200 * time.Millisecond }

func (p *proxy) end(k *pairOfConns) {
	_ = k.client.Close()
	_ = k.server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, k)
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.pairs {
		_ = k.client.Close()
		_ = k.server.Close()
	}
}

// door opens or shuts the door for new connections.
func (p *proxy) door(open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = !open
}

// hold stops what passes, resume lets it go on.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall == nil && !p.closed {
		p.stall = make(chan struct{})
	}
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall != nil {
		close(p.stall)
		p.stall = nil
	}
}

// cutEvery cuts after a random number of bytes to the client, from 1 to most,
// again and again.
func (p *proxy) cutEvery(r *rand.Rand, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = func() int { return 1 + r.IntN(most) }
	p.nextAt, p.lastly = p.down(), time.Now()
}

func (p *proxy) cutNoMore() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = nil
	return p.cuts
}
