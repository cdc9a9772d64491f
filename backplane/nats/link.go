package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/nats-io/nats.go"
)

const (
	probeEvery  = time.Second     // how often NATS is asked for a sign of life
	probeWait   = 4 * time.Second // how long that may take, and a write
	tickEvery   = 250 * time.Millisecond
	firstPause  = 50 * time.Millisecond
	maxPause    = 2 * time.Second
	maxServers  = 64
	pendingSize = 256 << 20 // bytes that may wait to be delivered
	checkEvery  = 1 << 8    // messages
)

// A link is the connection to NATS. A session is one life of it: the client's own
// reconnecting is not used, since it sends later what was published before.
type link struct {
	opts    nats.Options
	pending int
	log     *slog.Logger
	deliver func(x *entry, m *nats.Msg)
	ends    func() []*end

	live atomic.Pointer[session]

	mu      sync.Mutex    // guards the following
	servers []string      // those that were given, and those that NATS told of
	tried   chan struct{} // closed at the end of an attempt, or when it succeeds
	err     error         // of the last attempt
	stop    context.CancelFunc
	done    chan struct{}
}

func (l *link) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return
	}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	l.done, l.tried, l.err = make(chan struct{}), make(chan struct{}), nil
	go l.run(ctx, l.done) // ends with ctx: close waits
}

// close ends the link and waits.
func (l *link) close() {
	l.mu.Lock()
	stop, done := l.stop, l.done
	l.stop = nil
	l.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

func (l *link) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	pause := firstPause
	for {
		err := l.session(ctx, func() { pause = firstPause })
		l.mu.Lock()
		l.err = err
		l.endAttemptLocked()
		l.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errLameDuck) {
			continue
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, maxPause)
	}
}

func (l *link) endAttemptLocked() {
	close(l.tried)
	l.tried = make(chan struct{})
}

// wait returns when the end is up, ctx has ended, or an attempt to connect has
// failed.
func (l *link) wait(ctx context.Context, e *end) error {
	for {
		l.mu.Lock()
		tried := l.tried
		l.mu.Unlock()
		e.mu.Lock()
		ready, changed := e.ready, e.changed
		e.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
			continue
		case <-tried:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
		err := l.err
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// clustered reports whether there may be more servers than the one.
func (l *link) clustered() bool {
	s := l.live.Load()
	return s != nil && s.nc.ConnectedClusterName() != ""
}

var errLameDuck = errors.New("nats: the server is about to stop")

// A session is one connection's life.
type session struct {
	nc     *nats.Conn
	ch     chan *nats.Msg
	broken chan error
	slow   chan struct{}
	acks   []*end // with acks that are due; of the goroutine that reads alone

	mu     sync.RWMutex      // guards the following
	routes map[string]*entry // by subject
}

// fail ends the session; it may be called with any lock held.
func (s *session) fail(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

func (s *session) subscribe(x *entry) error {
	s.mu.Lock()
	s.routes[x.subject] = x
	s.mu.Unlock()
	sub, err := s.nc.ChanSubscribe(x.subject, s.ch)
	if err != nil {
		return err
	}
	x.sub = sub
	return nil
}

func (s *session) unsubscribe(x *entry) {
	if x == nil || x.sub == nil {
		return
	}
	_ = x.sub.Unsubscribe() // an error says that there is no connection
	x.sub = nil
	s.mu.Lock()
	if s.routes[x.subject] == x {
		delete(s.routes, x.subject)
	}
	s.mu.Unlock()
}

func (s *session) route(m *nats.Msg) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.routes[m.Sub.Subject]
}

// session connects, subscribes to everything and returns when something has
// failed. By then the sockets are closed, so nothing is written later.
func (l *link) session(ctx context.Context, up func()) error {
	s := &session{
		ch: make(chan *nats.Msg, l.pending), broken: make(chan error, 1), slow: make(chan struct{}, 1),
		routes: map[string]*entry{},
	}
	socks := &sockets{ctx: ctx, dial: l.opts.CustomDialer, plain: l.opts.Dialer}
	opts := l.opts
	opts.CustomDialer = socks
	opts.AllowReconnect, opts.RetryOnFailedConnect = false, false
	opts.PingInterval = time.Hour // the session asks itself
	opts.ClosedCB = func(nc *nats.Conn) {
		err := nc.LastError()
		if err == nil {
			err = errors.New("the connection has ended")
		}
		s.fail(fmt.Errorf("nats: %w", err))
	}
	opts.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrSlowConsumer) {
			select {
			case s.slow <- struct{}{}:
			default:
			}
			return
		}
		if sub != nil {
			err = fmt.Errorf("%q: %w", sub.Subject, err)
		}
		s.fail(fmt.Errorf("nats: %w", err)) // what may not be subscribed or published would be lost without a word
	}
	opts.LameDuckModeHandler = func(nc *nats.Conn) {
		if len(nc.Servers()) > 1 {
			s.fail(errLameDuck)
		}
	}
	l.mu.Lock()
	opts.Servers = slices.Clone(l.servers)
	l.mu.Unlock()
	cut := context.AfterFunc(ctx, socks.close)
	defer cut()
	var err error
	if s.nc, err = opts.Connect(); err != nil {
		socks.close()
		return fmt.Errorf("nats: connect: %w", err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go l.read(s, stop, stopped) // ends when stop is closed, below
	defer func() {
		socks.close() // first: nothing that waits to be written is
		s.nc.Close()
		close(stop)
		<-stopped
		l.live.Store(nil)
		if err == nil {
			err = ctx.Err()
		}
		for _, e := range l.ends() {
			e.detach(s, err)
		}
	}()
	if !s.nc.HeadersSupported() {
		err = errors.New("nats: connect: the server is too old: it does not say when nobody is subscribed")
		return err
	}
	l.learn(s.nc)
	l.live.Store(s)
	ends := l.ends()
	n := 0
	for _, e := range ends {
		var k int
		if k, err = e.attach(s); err != nil {
			err = fmt.Errorf("nats: subscribe: %w", err)
			return err
		}
		n += k
	}
	if err = s.nc.FlushTimeout(probeWait + time.Duration(n)*20*time.Microsecond); err != nil {
		err = fmt.Errorf("nats: subscribe: %w", err)
		return err
	}
	for _, e := range ends {
		e.begin(s)
	}
	up()
	l.mu.Lock()
	l.err = nil
	l.endAttemptLocked()
	l.mu.Unlock()

	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			err = ctx.Err()
			return err
		case err = <-s.broken:
			if errors.Is(err, errLameDuck) {
				l.leave(s.nc)
			}
			return err
		case <-tick.C:
		}
		l.learn(s.nc)
		if err = s.nc.FlushTimeout(probeWait); err != nil {
			select {
			case why := <-s.broken: // says more
				err = why
			default:
				err = fmt.Errorf("nats: no sign of life: %w", err)
			}
			return err
		}
	}
}

// learn keeps the addresses of servers that NATS tells of, for later sessions.
func (l *link) learn(nc *nats.Conn) {
	found := nc.DiscoveredServers()
	if len(found) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first, err := url.Parse(l.servers[0])
	for _, u := range found {
		if v, bad := url.Parse(u); err == nil && bad == nil {
			v.User = first.User // which NATS does not tell
			if first.Scheme != "" {
				v.Scheme = first.Scheme
			}
			u = v.String()
		}
		if len(l.servers) < maxServers && !slices.Contains(l.servers, u) {
			l.servers = append(l.servers, u)
		}
	}
}

// leave lets the ends hand over what they lead, while the server still works.
func (l *link) leave(nc *nats.Conn) {
	for _, e := range l.ends() {
		e.mu.Lock()
		if e.x.phase == phaseLeading {
			e.resignLocked()
		}
		e.unlock()
	}
	_ = nc.FlushTimeout(probeEvery) // if it fails, others find out by themselves
}

// read delivers what comes, and lets time pass for the ends.
func (l *link) read(s *session, stop, stopped chan struct{}) {
	defer close(stopped)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var base, size uint64 // bytes that the client had read when nothing waited, and what was delivered since
	for n := 0; ; {
		select {
		case m := <-s.ch:
			l.take(s, m)
			size += uint64(len(m.Data))
			if len(s.ch) == 0 {
				for _, e := range s.acks {
					e.flush()
				}
				s.acks, n = s.acks[:0], 0
			} else if n++; n%checkEvery == 0 {
				if n == checkEvery {
					base, size = s.nc.Stats().InBytes, 0
				} else if waits := s.nc.Stats().InBytes - base - size; waits > pendingSize && waits < 1<<62 {
					for len(s.ch) > 0 {
						<-s.ch
					}
					l.slow(n)
				}
			}
		case <-s.slow:
			l.slow(len(s.ch))
		case now := <-tick.C:
			for _, e := range l.ends() {
				e.tick(now)
			}
		case <-stop:
			return
		}
	}
}

func (l *link) take(s *session, m *nats.Msg) {
	if x := s.route(m); x != nil {
		l.deliver(x, m)
	}
}

func (l *link) slow(n int) {
	l.log.Error("nats: messages came faster than they were delivered, and some were dropped", "waiting", n)
	for _, e := range l.ends() {
		e.slow()
	}
}

// Sockets are those of one session, to close them without asking, and so that a
// write has an end.
type sockets struct {
	ctx   context.Context
	dial  nats.CustomDialer
	plain *net.Dialer

	mu     sync.Mutex // guards the following
	closed bool
	open   []net.Conn
}

// Dial implements nats.CustomDialer.
func (c *sockets) Dial(network, addr string) (conn net.Conn, err error) {
	if c.dial != nil {
		conn, err = c.dial.Dial(network, addr)
	} else {
		d := net.Dialer{Timeout: nats.DefaultTimeout}
		if c.plain != nil {
			d = *c.plain
		}
		conn, err = d.DialContext(c.ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.open = append(c.open, conn)
	return impatient{conn}, nil
}

func (c *sockets) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
}

// An impatient connection gives a write up that makes no progress, and then
// itself.
type impatient struct{ net.Conn }

func (c impatient) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(probeWait)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Close() // half a command may have left
	}
	return n, err
}

var _ hubwire.Backplane = (*Backplane)(nil)
