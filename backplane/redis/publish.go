package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/redis/rueidis"
)

const (
	flights     = 4         // batches of messages under way at a time
	flightItems = 256       // messages in one
	flightBytes = 256 << 10 // above which it takes no further message
)

// A publisher publishes in one session. Messages gather while the batches before
// them are under way, so that many senders cost Redis and the client one batch,
// and a single one waits for nobody.
type publisher struct {
	link    *link
	client  rueidis.Client
	cluster bool
	work    sync.WaitGroup // the batches

	mu      sync.Mutex // guards the following
	ended   bool
	waiting []*parcel
	from    int // of waiting: the first that is not taken
	flying  int
	spare   []*flight
}

// A flight publishes batches.
type flight struct {
	batch []*parcel
	cmds  rueidis.Commands
}

// A parcel is a message on its way. It is used again when it has arrived.
type parcel struct {
	channel string
	payload []byte
	known   string // a channel that somebody must be subscribed to; empty: PUBLISH's count tells
	receipt hubwire.Receipt
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

// keptPayload is how large a payload's memory may be that is kept.
const keptPayload = 16 << 10

func (x *parcel) free() {
	if cap(x.payload) > keptPayload {
		return
	}
	*x = parcel{payload: x.payload[:0]}
	parcels.Put(x)
}

func newPublisher(l *link, client rueidis.Client, cluster bool) *publisher {
	return &publisher{link: l, client: client, cluster: cluster}
}

// begin begins to publish.
func (p *publisher) begin(x *parcel) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		x.refuse()
		return
	}
	p.waiting = append(p.waiting, x)
	if p.flying < flights {
		p.flying++
		p.work.Add(1)
		f := new(flight)
		if n := len(p.spare); n > 0 {
			f, p.spare = p.spare[n-1], p.spare[:n-1]
		}
		go p.fly(f) // ends when nothing waits: end waits
	}
	p.mu.Unlock()
}

// refuse tells that the message was not written.
func (x *parcel) refuse() {
	if x.receipt.Take() {
		x.receipt.Done(hubwire.ErrDown)
	}
	x.free()
}

// end refuses what waits, and waits for what is under way: the sockets are closed.
func (p *publisher) end() {
	p.mu.Lock()
	p.ended = true
	waiting := p.waiting[p.from:]
	p.waiting, p.from = nil, 0
	p.mu.Unlock()
	for _, x := range waiting {
		x.refuse()
	}
	p.work.Wait()
}

// take moves what waits, up to a batch, to f, and reports whether there was any:
// else f has ended.
func (p *publisher) take(f *flight) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.batch = f.batch[:0]
	for size := 0; p.from < len(p.waiting) && len(f.batch) < flightItems && size < flightBytes; p.from++ {
		x := p.waiting[p.from]
		p.waiting[p.from] = nil
		size += len(x.payload)
		f.batch = append(f.batch, x)
	}
	if p.from == len(p.waiting) {
		p.waiting, p.from = p.waiting[:0], 0
		if cap(p.waiting) > 4*flightItems {
			p.waiting = nil
		}
	}
	if len(f.batch) == 0 {
		p.flying--
		p.spare = append(p.spare, f)
		return false
	}
	return true
}

// fly publishes what waits, batch by batch.
func (p *publisher) fly(f *flight) {
	defer p.work.Done()
	for {
		runtime.Gosched() // who is about to send too comes along
		if !p.take(f) {
			return
		}
		p.carry(f)
	}
}

// carry publishes a batch.
func (p *publisher) carry(f *flight) {
	n := 0
	for _, x := range f.batch {
		if !x.receipt.Take() {
			continue
		}
		f.batch[n] = x
		n++
		if x.known != "" {
			f.cmds = append(f.cmds, p.client.B().PubsubNumsub().Channel(x.known).Build())
		}
		f.cmds = append(f.cmds, p.client.B().Publish().Channel(x.channel).Message(rueidis.BinaryString(x.payload)).Build())
	}
	if n > 0 {
		results := p.client.DoMulti(context.Background(), f.cmds...)
		for _, x := range f.batch[:n] {
			k := 1
			if x.known != "" {
				k = 2
			}
			err := p.outcome(results[:k])
			x.receipt.Done(err)
			results = results[k:]
			if !errors.Is(err, hubwire.ErrUnconfirmed) { // else the client may still read the payload
				x.free()
			}
		}
	}
	clear(f.batch)
	clear(f.cmds)
	f.cmds = f.cmds[:0]
}

// outcome is what became of a message: the last of rs is PUBLISH's answer, the
// one before it NUMSUB's where the count of PUBLISH, which has patterns in it, is
// not enough.
func (p *publisher) outcome(rs []rueidis.RedisResult) error {
	n, err := rs[len(rs)-1].AsInt64()
	if err == nil && len(rs) > 1 {
		var list []rueidis.RedisMessage
		if list, err = rs[0].ToArray(); err == nil && len(list) == 2 {
			n, err = list[1].AsInt64()
		}
	}
	switch {
	case err == nil && n == 0 && !p.cluster:
		return hubwire.ErrNoReceiver
	case err == nil:
		return nil
	}
	p.link.look()
	if re, ok := rueidis.IsRedisErr(err); ok {
		if unready(re.Error()) {
			return fmt.Errorf("%w: redis: %w", hubwire.ErrDown, err)
		}
		return fmt.Errorf("redis: publish: %w", err)
	}
	return fmt.Errorf("%w: redis: %w", hubwire.ErrUnconfirmed, err)
}

// unready are answers of a server that did not take a command and may later.
func unready(text string) bool {
	for _, p := range [...]string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "OOM"} {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// A waiter waits for what becomes of one message.
type waiter struct {
	mu    sync.Mutex // guards the following
	taken bool
	gone  bool
	done  chan error // has room for one
}

func (w *waiter) Take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = true
	return !w.gone
}

func (w *waiter) Done(err error) { w.done <- err }

// wait waits for the result, or for the end of ctx.
func (w *waiter) wait(ctx context.Context) error {
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	w.mu.Lock()
	w.gone = true
	taken := w.taken
	w.mu.Unlock()
	if taken {
		return fmt.Errorf("%w: %w", hubwire.ErrUnconfirmed, ctx.Err())
	}
	return ctx.Err()
}

// begin begins to publish where there is a session.
func (l *link) begin(x *parcel) {
	if p := l.live.Load(); p != nil {
		p.begin(x)
		return
	}
	x.refuse()
}

// publish publishes and waits.
func (l *link) publish(ctx context.Context, x *parcel) error {
	if err := ctx.Err(); err != nil {
		x.free()
		return err
	}
	w := &waiter{done: make(chan error, 1)}
	x.receipt = w
	l.begin(x)
	return w.wait(ctx)
}
