package hubwire

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
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

	startMu sync.Mutex // guards the following
	started bool
	listens bool      // to all and to this node
	tried   time.Time // when starting failed last
	failed  error     // with what

	mu     sync.Mutex // guards the following
	closed bool
	subs   map[Address]*subscription
	echoes map[Address][]*echo
	acks   map[string]chan struct{}
	health Health
	back   chan struct{} // closed when the outage ends; nil while there is none
}

type echo struct {
	m    *Message
	done chan struct{}
	lost bool // set before done is closed: it may have been lost
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
		h: h, bp: h.opts.Backplane, node: newNode(), health: Health{Up: true},
		subs: map[Address]*subscription{}, echoes: map[Address][]*echo{}, acks: map[string]chan struct{}{},
	}
	r.fleet.init()
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
	began := time.Now()
	r.startMu.Lock()
	defer r.startMu.Unlock()
	if r.listens {
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
	r.listens = true
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
	msg, err := r.message(m, "")
	if err != nil {
		return err
	}
	msg.Except = except
	r.h.count("events", targetKinds[kind], 1)
	for _, name := range names {
		if err := r.publish(ctx, r.address(addressKinds[kind], name), msg); err != nil {
			return err
		}
	}
	return nil
}

// message encodes m in all protocols that connections anywhere may have.
func (r *remote) message(m *message, callID string) (*Message, error) {
	r.h.mu.RLock()
	ps := r.h.exposed
	r.h.mu.RUnlock()
	ev := new(encoded)
	if err := r.h.encodeIn(ev, ps, m, callID); err != nil {
		return nil, err
	}
	msg := &Message{Kind: MessageEvent}
	for _, rec := range ev.recs {
		msg.Blobs = append(msg.Blobs, Blob{rec.p.Name(), rec.rec.Bytes})
	}
	return msg, nil
}

// publish sends m and waits for the echo where this node will get one.
func (r *remote) publish(ctx context.Context, to Address, m *Message) error {
	var e *echo
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	if s := r.subs[to]; s != nil && s.have && s.want {
		e = &echo{m: m, done: make(chan struct{})}
		r.echoes[to] = append(r.echoes[to], e)
	}
	r.mu.Unlock()
	err := r.send(ctx, to, m)
	if errors.Is(err, ErrNoReceiver) {
		err = nil
	}
	if e == nil {
		return err
	}
	if err == nil {
		timer := time.NewTimer(echoWait)
		defer timer.Stop()
		select {
		case <-e.done:
			if e.lost {
				return ErrUnconfirmed
			}
			return nil
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", ErrUnconfirmed, ctx.Err())
		case <-timer.C:
			err = ErrUnconfirmed
		}
	}
	r.mu.Lock()
	r.dropEchoLocked(to, e)
	r.mu.Unlock()
	return err
}

func (r *remote) dropEchoLocked(to Address, e *echo) {
	es := r.echoes[to]
	if i := slices.Index(es, e); i >= 0 {
		es = slices.Delete(es, i, i+1)
	}
	if len(es) == 0 {
		delete(r.echoes, to)
	} else {
		r.echoes[to] = es
	}
}

// Message implements Inbox.
func (r *remote) Message(from Address, m *Message) {
	switch m.Kind {
	case MessageEvent:
		if m.ID != "" {
			r.question(from.Name, m)
			return
		}
		r.put(from, m)
		r.mu.Lock()
		for _, e := range r.echoes[from] {
			if sameEvent(e.m, m) {
				r.dropEchoLocked(from, e)
				close(e.done)
				break
			}
		}
		r.mu.Unlock()
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
}

// sameEvent compares what is sent: equal events on one address are matched
// first in, first out.
func sameEvent(a, b *Message) bool {
	if len(a.Blobs) != len(b.Blobs) || !slices.Equal(a.Except, b.Except) {
		return false
	}
	for _, x := range a.Blobs {
		i := slices.IndexFunc(b.Blobs, func(y Blob) bool { return y.Protocol == x.Protocol })
		if i < 0 || !bytes.Equal(x.Bytes, b.Blobs[i].Bytes) {
			return false
		}
	}
	return true
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
	return ev
}

// put puts an event in line for the members that this node has.
func (r *remote) put(from Address, m *Message) {
	h := r.h
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
