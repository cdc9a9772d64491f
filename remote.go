package hubwire

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hubwire/hubwire/wire"
)

// echoWait is how long a Send waits for its own echo, and a join on another
// node for its acknowledgement.
const echoWait = 5 * time.Second

// A remote is a hub's end of its backplane.
//
// Events for all, groups and users are delivered from the echo alone, so that
// every node sees one order for each target (D 29). A Send returns once its own
// echo is in line here, where this node is subscribed.
type remote struct {
	h    *Hub
	bp   Backplane
	node string
	ids  atomic.Uint32
	jobs sync.WaitGroup // goroutines that subscribe and unsubscribe, or answer

	fleet fleet
	pipe  Pipeliner // bp, where it is one
	seed  maphash.Seed
	spare sync.Pool   // of *sending
	ready atomic.Bool // listens to all and to this node

	startMu sync.Mutex // guards the following
	started bool
	tried   time.Time // when starting failed last
	failed  error     // with what

	mu      sync.Mutex // guards the following
	closed  bool
	subs    map[Address]*subscription
	watch   *time.Timer         // of expire
	watched bool                // it is set
	echoes  map[uint64]*sending // that wait for their echo, by hash
	acks    map[string]chan struct{}
	health  Health
	back    chan struct{} // closed when the outage ends; nil while there is none
}

// A subscription is wanted or not; one goroutine at a time brings what is in
// line with what is wanted.
type subscription struct {
	want, have, busy bool
	changed          chan struct{} // closed at the end of every attempt
	err              error         // of the last attempt
}

func newRemote(h *Hub) *remote {
	r := &remote{
		h: h, bp: h.opts.Backplane, node: newNode(), health: Health{Up: true}, seed: maphash.MakeSeed(),
		subs: map[Address]*subscription{}, echoes: map[uint64]*sending{}, acks: map[string]chan struct{}{},
	}
	r.fleet.init()
	r.pipe, _ = r.bp.(Pipeliner)
	r.watch = time.AfterFunc(echoWait, r.expire)
	r.watch.Stop()
	return r
}

// newNode names a node as ASP.NET Core does: the machine, and 128 random bits.
func newNode() string {
	var id [16]byte
	rand.Read(id[:])
	host, err := os.Hostname()
	if err != nil || len(host) > 255 || !utf8.ValidString(host) {
		host = "host"
	}
	return host + "_" + hex.EncodeToString(id[:])
}

// start starts the backplane and listens to what every node does, on first need;
// after an error the next need tries again what is left to do.
func (r *remote) start(ctx context.Context) error {
	if r.ready.Load() {
		return nil
	}
	began := time.Now()
	r.startMu.Lock()
	defer r.startMu.Unlock()
	if r.ready.Load() {
		return nil
	}
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if !r.started {
		if r.failed != nil && r.tried.After(began) {
			return r.failed // of the attempt that we have waited for
		}
		err := r.bp.Start(ctx, r.h.opts.Name, r)
		if err != nil {
			err = fmt.Errorf("%w: start: %w", ErrDown, err)
			if ctx.Err() == nil {
				r.failed, r.tried = err, time.Now()
			}
			return err
		}
		r.started, r.failed = true, nil
	}
	for _, a := range []Address{r.address(AddressAll, ""), r.address(AddressNode, r.node), r.address(AddressNodes, "")} {
		if err := r.subscribe(ctx, a); err != nil {
			return err
		}
	}
	r.ready.Store(true)
	r.greetNodes()
	return nil
}

func (r *remote) address(kind AddressKind, name string) Address {
	return Address{r.h.opts.Name, kind, name}
}

var addressKinds = [...]AddressKind{toAll: AddressAll, toGroup: AddressGroup, toUser: AddressUser, toConn: AddressConn}

// deliver publishes an event to each of names.
func (r *remote) deliver(ctx context.Context, kind targetKind, names, except []string, m *message) error {
	if err := r.start(ctx); err != nil {
		return err
	}
	if kind != toConn && r.local() {
		return r.h.deliverHere(ctx, kind, names, except, m)
	}
	s := r.sending()
	defer r.free(s)
	if err := r.encode(s, m, ""); err != nil {
		return err
	}
	s.msg.Except = except
	r.h.count("events", targetKinds[kind], 1)
	for _, name := range names {
		if err := r.publish(ctx, s, r.address(addressKinds[kind], name)); err != nil {
			return err
		}
	}
	return nil
}

// Message implements Inbox.
func (r *remote) Message(from Address, m *Message) {
	r.Messages([]Delivery{{from, m}})
}

// Messages implements BatchInbox.
func (r *remote) Messages(batch []Delivery) {
	events := false
	for i := range batch {
		events = r.message(batch[i].From, batch[i].Message) || events
	}
	if events {
		r.echoed(batch)
	}
}

// message takes one message, and reports whether it may be an echo.
func (r *remote) message(from Address, m *Message) bool {
	switch m.Kind {
	case MessageEvent:
		if m.ID != "" {
			r.question(from.Name, m)
			return false
		}
		r.put(from, m)
		return true
	case MessageAnswer:
		r.answered(m)
	case MessageForget:
		if a := r.h.asks.get(m.ID); a != nil && a.then != nil {
			a.conn.endAsk(m.ID)
		}
	case MessageJoin, MessageLeave:
		r.move(m)
	case MessageKick:
		if kind := slices.Index(addressKinds[:], from.Kind); kind >= 0 {
			r.h.kickHere(targetKind(kind), from.Name, m)
		}
	case MessageNode:
		r.note(m)
	case MessageAck:
		r.mu.Lock()
		if done := r.acks[m.ID]; done != nil {
			delete(r.acks, m.ID)
			close(done)
		}
		r.mu.Unlock()
	}
	return false
}

// decode finds the blobs that this node's connections can take.
func (r *remote) decode(m *Message) *encoded {
	ev := &encoded{ps: r.h.inUse.Load()}
	ev.recs = ev.inline[:0]
	for _, p := range *ev.ps {
		for _, b := range m.Blobs {
			if b.Protocol == p.Name() {
				ev.recs = append(ev.recs, protoRecord{p, wire.Record{Bytes: b.Bytes}})
			}
		}
	}
	if len(ev.recs) < len(*ev.ps) && m.ID == "" {
		r.translate(ev, m)
	}
	return ev
}

// put puts an event in line for the members that this node has.
func (r *remote) put(from Address, m *Message) {
	h := r.h
	if len(*h.inUse.Load()) == 0 {
		return // no connections
	}
	if from.Kind == AddressConn {
		if c := h.conn(from.Name); c != nil {
			if rec, ok := r.decode(m).in(c.protocol()); ok {
				c.send(rec.Bytes, "", event)
			}
		}
		return
	}
	kind := targetKind(slices.Index(addressKinds[:], from.Kind))
	if kind > toUser {
		return
	}
	if t := h.target(kind, from.Name); t != nil {
		for skip := h.resolve(m.Except); !t.put(h, r.decode(m), skip); {
		}
	}
}

// id is the id of a change of groups: ASP.NET Core has room for 31 bits.
func (r *remote) id() string { return strconv.Itoa(int(r.ids.Add(1) & math.MaxInt32)) }

// askID is the id of a question, which no other node has: 22 characters, as in
// ASP.NET Core.
func askID() string {
	var id [16]byte
	rand.Read(id[:])
	return base64.RawStdEncoding.EncodeToString(id[:])
}

var _ Inbox = (*remote)(nil)
