// Package nats is a backplane over core NATS: hubs on many nodes are one hub.
//
// Core NATS gives each subscriber a publisher's messages in order, but two
// subscribers may see those of two publishers in different orders. A hub promises
// one order for each target. So one of its nodes gives the order: what is sent to
// all, to a group or to a user goes to that node, which publishes it with a
// number. Nodes choose it among themselves, and another one as soon as it leaves
// or dies; nothing has to be set up in NATS. What goes to one connection or one
// node goes there directly.
//
// Core NATS keeps nothing: what is published while a node is not connected is
// lost to it. The package says so ([hubwire.Inbox.Gap]), and publishes nothing
// while this node itself would not hear it.
package nats

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hubwire/hubwire"
	"github.com/nats-io/nats.go"
)

// Options configure a Backplane. The zero value of each field means the default.
type Options struct {
	// Servers are the URLs of NATS servers, of one cluster where there are several;
	// others of the cluster are found. Defaults to nats://127.0.0.1:4222.
	Servers []string

	// Connect are further options of the client: credentials, TLS, a name. What
	// concerns reconnecting, pings and callbacks is the backplane's.
	Connect []nats.Option

	// Prefix begins every subject. It is one or more tokens with dots in between.
	// Nodes that shall hear each other have the same; they need to publish and to
	// subscribe to everything under it, and nothing else. Defaults to "hubwire".
	Prefix string

	// Pending is how many messages may wait to be delivered; further ones are
	// dropped, and hubs are told of a gap. Defaults to 65,536. All together may have
	// 256 MiB.
	Pending int

	// Logger gets what is wrong with messages of others. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// A Backplane joins hubs over NATS, with one connection however many hubs it
// serves. All methods may be called at the same time. A Backplane has four
// goroutines, those of the client among them, while hubs use it.
type Backplane struct {
	prefix string
	log    *slog.Logger
	link   link
	bad    atomic.Int64
	opts   error // what is wrong with the options

	starts sync.Mutex                      // held by Start and Close
	hubs   atomic.Pointer[map[string]*end] // replaced under starts, never changed
}

var (
	errAddress = errors.New("nats: there is no such address")
	errPrefix  = errors.New("nats: the prefix is not one or more tokens of a subject")
)

// New makes a Backplane; it connects when the first hub starts. A nil opts means
// the defaults.
func New(opts *Options) *Backplane {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Prefix == "" {
		o.Prefix = "hubwire"
	}
	if o.Pending <= 0 {
		o.Pending = 1 << 16
	}
	if len(o.Servers) == 0 {
		o.Servers = []string{nats.DefaultURL}
	}
	b := &Backplane{prefix: o.Prefix, log: o.Logger}
	b.hubs.Store(new(map[string]*end))
	b.link = link{
		opts: nats.GetDefaultOptions(), pending: o.Pending, log: o.Logger, servers: append([]string(nil), o.Servers...),
		tried: make(chan struct{}), deliver: b.deliver, ends: b.ends,
	}
	for _, f := range o.Connect {
		if f != nil {
			b.opts = errors.Join(b.opts, f(&b.link.opts))
		}
	}
	for t := range strings.SplitSeq(o.Prefix, ".") {
		if t == "" || strings.ContainsAny(t, " \t\r\n*>") {
			b.opts = errors.Join(b.opts, errPrefix)
		}
	}
	return b
}

func newID() uint64 {
	var id [8]byte
	rand.Read(id[:])
	return binary.BigEndian.Uint64(id[:]) | 1 // never 0
}

// Malformed is how many messages were dropped because they could not be read.
func (b *Backplane) Malformed() int64 { return b.bad.Load() }

func (b *Backplane) ends() (all []*end) {
	for _, e := range *b.hubs.Load() {
		all = append(all, e)
	}
	return all
}

func (b *Backplane) end(hub string) (*end, error) {
	e := (*b.hubs.Load())[hub]
	if e == nil {
		return nil, fmt.Errorf("nats: the hub %q was not started", hub)
	}
	return e, nil
}

// setEnd replaces the hubs; e may be nil. It returns how many there are.
func (b *Backplane) setEnd(hub string, e *end) int {
	hubs := map[string]*end{}
	for name, x := range *b.hubs.Load() {
		hubs[name] = x
	}
	if hubs[hub] = e; e == nil {
		delete(hubs, hub)
	}
	b.hubs.Store(&hubs)
	return len(hubs)
}

// Start implements hubwire.Backplane.
func (b *Backplane) Start(ctx context.Context, hub string, in hubwire.Inbox) error {
	if b.opts != nil {
		return b.opts
	}
	b.starts.Lock()
	defer b.starts.Unlock()
	if _, err := b.end(hub); err == nil {
		return fmt.Errorf("nats: the hub %q was started twice", hub)
	}
	e := newEnd(b, hub, in)
	b.setEnd(hub, e)
	b.link.start()
	if s := b.link.live.Load(); s != nil { // else the session that begins takes it in
		if _, err := e.attach(s); err != nil {
			s.fail(err)
		} else {
			e.begin(s)
		}
	}
	if err := b.link.wait(ctx, e); err != nil {
		b.drop(ctx, hub, e)
		return err
	}
	return nil
}

// Close implements hubwire.Backplane.
func (b *Backplane) Close(ctx context.Context, hub string) error {
	b.starts.Lock()
	defer b.starts.Unlock()
	if e, err := b.end(hub); err == nil {
		b.drop(ctx, hub, e)
	}
	return nil
}

// drop ends a hub, and the link behind the last one.
func (b *Backplane) drop(ctx context.Context, hub string, e *end) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	e.close(ctx)
	if b.setEnd(hub, nil) == 0 {
		b.link.close()
	}
}

// Subscribe implements hubwire.Backplane.
func (b *Backplane) Subscribe(ctx context.Context, addrs ...hubwire.Address) error {
	return b.each(addrs, func(e *end, addrs []hubwire.Address) error { return e.subscribe(ctx, addrs) })
}

// Unsubscribe implements hubwire.Backplane.
func (b *Backplane) Unsubscribe(ctx context.Context, addrs ...hubwire.Address) error {
	return b.each(addrs, func(e *end, addrs []hubwire.Address) error {
		e.unsubscribe(addrs)
		return nil
	})
}

// each calls f for runs of addresses of one hub.
func (b *Backplane) each(addrs []hubwire.Address, f func(*end, []hubwire.Address) error) error {
	for len(addrs) > 0 {
		e, err := b.end(addrs[0].Hub)
		if err != nil {
			return err
		}
		n := 1
		for n < len(addrs) && addrs[n].Hub == e.hub {
			n++
		}
		if err := f(e, addrs[:n]); err != nil {
			return err
		}
		addrs = addrs[n:]
	}
	return nil
}

// Publish implements hubwire.Backplane.
func (b *Backplane) Publish(ctx context.Context, to hubwire.Address, m *hubwire.Message) error {
	e, err := b.end(to.Hub)
	if err != nil {
		return err
	}
	return e.publish(ctx, to, m)
}

// deliver takes what came.
func (b *Backplane) deliver(x *entry, m *nats.Msg) {
	if err := x.end.take(x, m); err != nil {
		if n := b.bad.Add(1); n&(n-1) == 0 { // the 1st, 2nd, 4th, 8th, …
			b.log.Warn("nats: a message cannot be read and is dropped", "subject", m.Subject, "bytes", len(m.Data), "err", err, "so_far", n)
		}
	}
}
