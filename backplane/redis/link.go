package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/redis/rueidis"
)

const (
	probeEvery = time.Second     // how often both connections are asked for a sign of life
	probeWait  = 4 * time.Second // how long that may take
	subBatch   = 512             // channels in one SUBSCRIBE when all are subscribed again
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// A link is the pair of connections to Redis: one publishes, the other is
// subscribed. A session is one life of the pair; when either fails both end, so
// that nothing is published which this node would not hear.
type link struct {
	opts    rueidis.ClientOption
	log     *slog.Logger
	deliver func(channel, payload string) // called by the goroutine that reads
	flush   func()                        // called by it before it waits for more
	changed func(up, gap bool, err error) // called by one goroutine at a time

	live atomic.Pointer[publisher] // nil while there is no session to publish in
	kick chan struct{}             // asks for a probe at once

	mu       sync.Mutex // guards the following
	channels map[string]bool
	sub      rueidis.DedicatedClient // of the session that begins or lives
	tried    chan struct{}           // closed at the end of the attempt, or when it succeeds
	err      error                   // of the last attempt
	stop     context.CancelFunc      // nil: not running
	done     chan struct{}
}

func (l *link) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return
	}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	l.done, l.tried = make(chan struct{}), make(chan struct{})
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
	pause, gap := firstPause, false
	for {
		was := gap
		err := l.session(ctx, func() {
			pause = firstPause
			l.changed(true, was, nil)
			gap = true
		}, func(err error) { l.changed(false, false, err) })
		l.mu.Lock()
		l.err = err
		l.endAttemptLocked()
		l.mu.Unlock()
		if ctx.Err() != nil {
			return
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

// wait returns when the link is up, ctx has ended, or an attempt to bring it up
// has failed.
func (l *link) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		tried := l.tried
		l.mu.Unlock()
		if l.live.Load() != nil {
			return nil
		}
		select {
		case <-tried:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
		err := l.err
		l.mu.Unlock()
		if l.live.Load() == nil && err != nil {
			return err
		}
	}
}

// session connects, subscribes to everything, calls up, and returns when
// something has failed; down is called first, so that who finds no session knows
// of the outage.
func (l *link) session(ctx context.Context, up func(), down func(error)) (err error) {
	conns := connections{ctx: ctx, dial: l.opts.DialCtxFn, idle: l.flush}
	opts := l.opts
	opts.DialCtxFn = conns.connect
	client, err := rueidis.NewClient(opts)
	if err != nil {
		conns.close()
		return fmt.Errorf("redis: connect: %w", err)
	}
	defer client.Close()
	taps := conns.tap(true)
	sub, release := client.Dedicate()
	defer release()
	together := conns.tap(false) > taps // its reads are seen
	defer conns.close()                 // first: nothing that is written and unanswered is waited for
	broken := sub.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) {
			l.deliver(m.Channel, m.Message)
			if !together {
				l.flush()
			}
		},
	})
	first, cancel := context.WithTimeout(ctx, probeWait)
	info, err := client.Do(first, client.B().Info().Section("cluster").Build()).ToString()
	cancel()
	if err != nil {
		return fmt.Errorf("redis: connect: %w", err)
	}

	l.mu.Lock()
	l.sub = sub
	all := make([]string, 0, len(l.channels))
	for c := range l.channels {
		all = append(all, c)
	}
	l.mu.Unlock()
	defer func() {
		if p := l.live.Load(); p != nil {
			down(err)
			l.live.Store(nil)
			conns.close()
			p.end()
		}
		l.mu.Lock()
		l.sub = nil
		l.mu.Unlock()
	}()
	if err := subscribeAll(ctx, sub, all); err != nil {
		return fmt.Errorf("redis: subscribe: %w", err)
	}
	l.live.Store(newPublisher(l, client, strings.Contains(info, "cluster_enabled:1")))
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
			return ctx.Err()
		case err := <-broken:
			if err == nil {
				err = errors.New("the subscribed connection has ended")
			}
			return fmt.Errorf("redis: %w", err)
		case <-l.kick:
		case <-tick.C:
		}
		if err := probe(ctx, client, sub); err != nil {
			return fmt.Errorf("redis: no sign of life: %w", err)
		}
	}
}

// subscribeAll subscribes in batches, all under way at once. What a node cannot
// do without comes first: to all, changes of groups, answers; then groups,
// users and connections.
func subscribeAll(ctx context.Context, sub rueidis.DedicatedClient, all []string) error {
	slices.SortFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	var cmds rueidis.Commands
	for batch := range slices.Chunk(all, subBatch) {
		cmds = append(cmds, sub.B().Subscribe().Channel(batch...).Build())
	}
	if len(cmds) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait+time.Duration(len(all))*100*time.Microsecond)
	defer cancel()
	for _, r := range sub.DoMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

func rank(channel string) int {
	switch {
	case strings.HasSuffix(channel, ":all"):
		return 0
	case strings.Contains(channel, ":internal:"):
		return 1
	case strings.Contains(channel, ":group:"):
		return 2
	case strings.Contains(channel, ":user:"):
		return 3
	}
	return 4
}

func probe(ctx context.Context, client rueidis.Client, sub rueidis.DedicatedClient) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	if err := client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
		return err
	}
	return sub.Do(ctx, sub.B().Ping().Build()).Error()
}

// look asks for a probe.
func (l *link) look() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// subscribe adds channels, which are subscribed again after every outage.
func (l *link) subscribe(ctx context.Context, channels ...string) error {
	l.mu.Lock()
	for _, c := range channels {
		l.channels[c] = true
	}
	sub := l.sub
	l.mu.Unlock()
	if sub == nil {
		if l.live.Load() == nil {
			return l.forget(hubwire.ErrDown, channels)
		}
		return nil
	}
	if err := one(ctx, sub, false, channels); err != nil {
		l.look()
		return l.forget(fmt.Errorf("%w: redis: subscribe: %w", hubwire.ErrDown, err), channels)
	}
	return nil
}

// forget takes channels off that could not be subscribed.
func (l *link) forget(err error, channels []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range channels {
		delete(l.channels, c)
	}
	return err
}

// unsubscribe takes channels off; what an outage keeps from being said needs no
// saying.
func (l *link) unsubscribe(ctx context.Context, channels ...string) error {
	l.forget(nil, channels)
	l.mu.Lock()
	sub := l.sub
	l.mu.Unlock()
	if sub == nil {
		return nil
	}
	if err := one(ctx, sub, true, channels); err != nil {
		l.look()
		return fmt.Errorf("redis: unsubscribe: %w", err)
	}
	return nil
}

// one sends one command for each channel, as ASP.NET Core does, all under way at
// once.
func one(ctx context.Context, sub rueidis.DedicatedClient, un bool, channels []string) error {
	cmds := make(rueidis.Commands, len(channels))
	for i, c := range channels {
		if un {
			cmds[i] = sub.B().Unsubscribe().Channel(c).Build()
		} else {
			cmds[i] = sub.B().Subscribe().Channel(c).Build()
		}
	}
	for _, r := range sub.DoMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

// connections are the sockets of one session, to close them all without asking.
type connections struct {
	ctx  context.Context
	dial func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error)
	idle func()

	mu     sync.Mutex // guards the following
	closed bool
	taps   bool // connections that are made now are read with idle
	tapped int
	open   []net.Conn
}

func (c *connections) connect(ctx context.Context, addr string, d *net.Dialer, cfg *tls.Config) (conn net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	switch {
	case c.dial != nil:
		conn, err = c.dial(ctx, addr, d, cfg)
	case cfg != nil:
		conn, err = (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(ctx, "tcp", addr)
	case strings.HasPrefix(addr, "/"):
		conn, err = d.DialContext(ctx, "unix", addr)
	default:
		conn, err = d.DialContext(ctx, "tcp", addr)
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
	if c.taps {
		c.tapped++
		return &reading{conn, c.idle}, nil
	}
	return conn, nil
}

// tap says whether connections that are made from now on tell before they are
// read, and returns how many do.
func (c *connections) tap(on bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taps = on
	return c.tapped
}

// A reading connection tells before it waits for more: what has come until then
// came together.
type reading struct {
	net.Conn
	idle func()
}

func (r *reading) Read(p []byte) (int, error) {
	r.idle()
	return r.Conn.Read(p)
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
}
