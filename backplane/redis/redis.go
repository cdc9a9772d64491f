// Package redis is a backplane over Redis that speaks ASP.NET Core's format, byte
// for byte: hubs of this library and of Microsoft.AspNetCore.SignalR.
// StackExchangeRedis on one Redis are one hub. Groups, users, except lists,
// changes of groups and questions to clients cross in every direction.
//
// Redis's publish and subscribe keep nothing: what is published while a node is
// not connected is lost to it. The package says so ([hubwire.Inbox.Gap]), and
// publishes nothing while this node itself would not hear it.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hubwire/hubwire"
	"github.com/redis/rueidis"
)

// Options configure a Backplane. The zero value of each field means the default.
type Options struct {
	// Client says where Redis is: addresses, credentials, TLS, Sentinel;
	// rueidis.ParseURL makes one of a URL. InitAddress defaults to
	// 127.0.0.1:6379. What concerns pipelining, caching and retries is the
	// backplane's.
	Client rueidis.ClientOption

	// Prefix goes before every channel, as it is: StackExchange.Redis's
	// channelPrefix. Nodes that shall hear each other have the same.
	Prefix string

	// Logger gets what is wrong with messages of others. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// A Backplane joins hubs over one Redis, with one pair of connections however
// many hubs it serves. The hub's name (hubwire.Options.Name) is the full name of
// the .NET hub class, such as Chat.ChatHub. All methods may be called at the same
// time.
type Backplane struct {
	prefix string
	log    *slog.Logger
	link   link
	bad    atomic.Int64

	read  sync.Mutex // held while messages are taken and handed on; guards the following
	fresh []*end     // that have a batch

	starts sync.Mutex   // held by Start and Close
	mu     sync.RWMutex // guards the following
	hubs   map[string]*end
	chans  map[string][]entry // replaced, never changed
}

// An end is one hub's.
type end struct {
	name string
	in   hubwire.Inbox
	many hubwire.BatchInbox // in, where it is one

	batch []hubwire.Delivery // guarded by Backplane.read, as is the following
	gone  bool
}

// An entry is a hub's interest in a channel.
type entry struct {
	end  *end
	kind channelKind
	addr hubwire.Address
}

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
	b := &Backplane{prefix: o.Prefix, log: o.Logger, hubs: map[string]*end{}, chans: map[string][]entry{}}
	b.link = link{
		opts: clientOptions(o.Client), log: o.Logger, kick: make(chan struct{}, 1), channels: map[string]bool{},
		deliver: b.deliver, flush: b.flush, changed: b.changed,
	}
	return b
}

func clientOptions(c rueidis.ClientOption) rueidis.ClientOption {
	if len(c.InitAddress) == 0 {
		c.InitAddress = []string{"127.0.0.1:6379"}
	}
	// Publish and subscribe need no slots: any node of a cluster does.
	c.ForceSingleClient = c.Sentinel.MasterSet == ""
	c.DisableCache, c.DisableRetry, c.AlwaysPipelining, c.DisableAutoPipelining = true, true, true, false
	if c.ConnWriteTimeout == 0 {
		c.ConnWriteTimeout = probeWait
	}
	return c
}

// Malformed is how many messages were dropped because they could not be read.
func (b *Backplane) Malformed() int64 { return b.bad.Load() }

// Start implements hubwire.Backplane.
func (b *Backplane) Start(ctx context.Context, hub string, in hubwire.Inbox) error {
	b.starts.Lock()
	defer b.starts.Unlock()
	b.mu.Lock()
	if b.hubs[hub] != nil {
		b.mu.Unlock()
		return fmt.Errorf("redis: the hub %q was started twice", hub)
	}
	e := &end{name: hub, in: in}
	e.many, _ = in.(hubwire.BatchInbox)
	b.hubs[hub] = e
	b.mu.Unlock()
	b.link.start()
	if err := b.link.wait(ctx); err != nil {
		b.drop(hub)
		return err
	}
	return nil
}

// Close implements hubwire.Backplane.
func (b *Backplane) Close(ctx context.Context, hub string) error {
	b.starts.Lock()
	defer b.starts.Unlock()
	if gone := b.drop(hub); len(gone) > 0 {
		ctx, cancel := context.WithTimeout(ctx, probeWait)
		defer cancel()
		_ = b.link.unsubscribe(ctx, gone...) // a link that fails subscribes to what is wanted alone
	}
	return nil
}

// drop forgets a hub, and ends the link behind the last one; else it returns the
// channels that nobody wants any more.
func (b *Backplane) drop(hub string) (gone []string) {
	b.mu.Lock()
	e := b.hubs[hub]
	delete(b.hubs, hub)
	for c, es := range b.chans {
		rest := without(es, func(e entry) bool { return e.end.name == hub })
		if len(rest) == 0 {
			delete(b.chans, c)
			gone = append(gone, c)
		} else {
			b.chans[c] = rest
		}
	}
	last := len(b.hubs) == 0
	b.mu.Unlock()
	if e != nil {
		b.read.Lock()
		e.gone = true
		b.read.Unlock()
	}
	if !last {
		return gone
	}
	b.link.close()
	b.link.forget(nil, gone)
	return nil
}

func without(es []entry, which func(entry) bool) []entry {
	var rest []entry
	for _, e := range es {
		if !which(e) {
			rest = append(rest, e)
		}
	}
	return rest
}

// Subscribe implements hubwire.Backplane.
func (b *Backplane) Subscribe(ctx context.Context, addrs ...hubwire.Address) error {
	var all []string
	b.mu.Lock()
	for _, a := range addrs {
		end := b.hubs[a.Hub]
		if end == nil {
			b.mu.Unlock()
			return fmt.Errorf("redis: the hub %q was not started", a.Hub)
		}
		for _, c := range b.channels(a) {
			all = append(all, c.name)
			e := entry{end, c.kind, a}
			if !has(b.chans[c.name], e) {
				b.chans[c.name] = append(without(b.chans[c.name], func(entry) bool { return false }), e)
			}
		}
	}
	b.mu.Unlock()
	err := b.link.subscribe(ctx, all...)
	if err != nil {
		b.remove(addrs)
	}
	return err
}

func has(es []entry, e entry) bool {
	for _, x := range es {
		if x == e {
			return true
		}
	}
	return false
}

// Unsubscribe implements hubwire.Backplane.
func (b *Backplane) Unsubscribe(ctx context.Context, addrs ...hubwire.Address) error {
	gone := b.remove(addrs)
	if len(gone) == 0 {
		return nil
	}
	return b.link.unsubscribe(ctx, gone...)
}

func (b *Backplane) remove(addrs []hubwire.Address) (gone []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addrs {
		for _, c := range b.channels(a) {
			es := b.chans[c.name]
			rest := without(es, func(e entry) bool { return e.addr == a })
			switch {
			case len(rest) > 0:
				b.chans[c.name] = rest
			case len(es) > 0:
				delete(b.chans, c.name)
				gone = append(gone, c.name)
			}
		}
	}
	return gone
}

// deliver takes what came; it is called by the one goroutine that reads, and
// does not block. What comes together is handed on together.
func (b *Backplane) deliver(channel, payload string) {
	b.read.Lock()
	defer b.read.Unlock()
	b.mu.RLock()
	es := b.chans[channel]
	b.mu.RUnlock()
	for _, e := range es {
		from, m, err := b.decode(e, []byte(payload))
		switch {
		case err != nil:
			if n := b.bad.Add(1); n&(n-1) == 0 { // the 1st, 2nd, 4th, 8th, …
				b.log.Warn("redis: a message cannot be read and is dropped", "channel", channel, "bytes", len(payload), "err", err, "so_far", n)
			}
		case m != nil:
			if e.end.batch = append(e.end.batch, hubwire.Delivery{From: from, Message: m}); len(e.end.batch) == 1 {
				b.fresh = append(b.fresh, e.end)
			} else if len(e.end.batch) == maxBatch {
				e.end.flush()
			}
		}
	}
}

// flush hands on what was taken; the goroutine that reads calls it before it waits
// for more.
func (b *Backplane) flush() {
	b.read.Lock()
	defer b.read.Unlock()
	for i, e := range b.fresh {
		e.flush()
		b.fresh[i] = nil
	}
	b.fresh = b.fresh[:0]
}

const maxBatch = 256

func (e *end) flush() {
	if len(e.batch) == 0 {
		return
	}
	switch {
	case e.gone:
	case e.many != nil:
		e.many.Messages(e.batch)
	default:
		for _, d := range e.batch {
			e.in.Message(d.From, d.Message)
		}
	}
	clear(e.batch)
	e.batch = e.batch[:0]
}

func (b *Backplane) holds(channel string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.chans[channel]) > 0
}

// changed tells the hubs of the link's state.
func (b *Backplane) changed(up, gap bool, err error) {
	b.mu.RLock()
	var ins []hubwire.Inbox
	for _, e := range b.hubs {
		ins = append(ins, e.in)
	}
	b.mu.RUnlock()
	for _, in := range ins {
		if gap {
			in.Gap()
		}
		in.State(up, err)
	}
}

// Publish implements hubwire.Backplane.
func (b *Backplane) Publish(ctx context.Context, to hubwire.Address, m *hubwire.Message) error {
	x := parcels.Get().(*parcel)
	if err := b.encode(x, to, m); err != nil || x.channel == "" {
		x.free()
		return err
	}
	return b.link.publish(ctx, x)
}

// Begin implements hubwire.Pipeliner.
func (b *Backplane) Begin(to hubwire.Address, m *hubwire.Message, r hubwire.Receipt) {
	x := parcels.Get().(*parcel)
	if err := b.encode(x, to, m); err != nil || x.channel == "" {
		if r.Take() {
			r.Done(err)
		}
		x.free()
		return
	}
	x.receipt = r
	b.link.begin(x)
}

var errUnable = errors.New("redis: ASP.NET Core's format has no such message")

var _ hubwire.Pipeliner = (*Backplane)(nil)
