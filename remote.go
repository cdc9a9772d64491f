package hubwire

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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
	ids  atomic.Uint64
	jobs sync.WaitGroup // goroutines that subscribe and unsubscribe, or answer

	startMu sync.Mutex
	started bool

	mu     sync.Mutex // guards the following
	closed bool
	subs   map[Address]*subscription
	echoes map[Address][]*echo
	acks   map[string]chan struct{}
}

type echo struct {
	m    *Message
	done chan struct{}
}

// A subscription is wanted or not; one goroutine at a time brings what is in
// line with what is wanted.
type subscription struct {
	want, have, busy bool
	changed          chan struct{} // closed at the end of every attempt
	err              error         // of the last attempt
}

func newRemote(h *Hub) *remote {
	var id [12]byte
	rand.Read(id[:])
	return &remote{
		h: h, bp: h.opts.Backplane, node: base64.RawURLEncoding.EncodeToString(id[:]),
		subs: map[Address]*subscription{}, echoes: map[Address][]*echo{}, acks: map[string]chan struct{}{},
	}
}

// start starts the backplane, on first need; after an error the next need tries
// again.
func (r *remote) start(ctx context.Context) error {
	r.startMu.Lock()
	defer r.startMu.Unlock()
	if r.started {
		return nil
	}
	if err := r.bp.Start(ctx, r.h.opts.Name, r); err != nil {
		return fmt.Errorf("hubwire: backplane: start: %w", err)
	}
	r.started = true
	for _, a := range []Address{r.address(AddressAll, ""), r.address(AddressNode, r.node)} {
		if err := r.subscribe(ctx, a); err != nil {
			return err
		}
	}
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
	err := r.bp.Publish(ctx, to, m)
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
	ev := new(encoded)
	ev.recs = ev.inline[:0]
	for _, p := range *r.h.inUse.Load() {
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
			if rec, ok := r.decode(m).in(c.protocol); ok {
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
		t.put(h, r.decode(m), h.resolve(m.Except))
	}
}

// Gap implements Inbox.
func (r *remote) Gap(addrs ...Address) {
	r.h.count("drops", "gap", 1)
	r.h.log.Error("hubwire: the backplane may have lost events", "hub", r.h.opts.Name, "addresses", len(addrs))
}

// State implements Inbox.
func (r *remote) State(up bool, err error) {
	if up {
		r.h.log.Info("hubwire: the backplane is up", "hub", r.h.opts.Name)
		return
	}
	r.h.log.Error("hubwire: the backplane is down", "hub", r.h.opts.Name, "err", err)
}

func (r *remote) id() string { return r.node + "." + strconv.FormatUint(r.ids.Add(1), 10) }

// askRemote asks a connection of another node.
func (h *Hub) askRemote(ctx context.Context, conn, name string, lay *layout, in, into any) error {
	r := h.remote
	if r == nil {
		return fmtUnknown(conn)
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	id := r.id()
	msg, err := r.message(&message{name: name, lay: lay, v: in}, id)
	if err != nil {
		return err
	}
	msg.ID, msg.Node = id, r.node
	if call := callOf(ctx); call != nil {
		call.release()
	}
	a := h.asks.add(id, nil, nil)
	defer h.asks.remove(id)
	if err := r.bp.Publish(ctx, r.address(AddressConn, conn), msg); err != nil {
		if errors.Is(err, ErrNoReceiver) {
			return fmtUnknown(conn)
		}
		return err
	}
	select {
	case <-a.done:
		if a.err == errGone {
			return fmtDisconnected(conn)
		}
		return a.result(into)
	case <-ctx.Done():
		r.job(func(ctx context.Context) {
			_ = r.bp.Publish(ctx, r.address(AddressConn, conn), &Message{Kind: MessageForget, ID: id})
		})
		return ctx.Err()
	}
}

var errGone = errors.New("hubwire: the connection ended before it answered")

// question puts another node's question to a connection of this one.
func (r *remote) question(conn string, m *Message) {
	c := r.h.conn(conn)
	if c == nil || !c.asking.Load() {
		r.respond(m.Node, &Message{Kind: MessageAnswer, ID: m.ID, Gone: true})
		return
	}
	rec, ok := r.decode(m).in(c.protocol)
	if !ok {
		r.respond(m.Node, &Message{Kind: MessageAnswer, ID: m.ID, Failed: true, Error: "the connection's protocol is not known to the node that asks"})
		return
	}
	node, id := m.Node, m.ID
	_, err := c.startAsk(id, func(a *ask) {
		out := &Message{Kind: MessageAnswer, ID: id}
		e, public := errors.AsType[*Error](a.err)
		switch {
		case public:
			out.Failed, out.Error = true, e.Message
		case a.err != nil:
			out.Gone = true
		case len(a.val.List) > 0:
			out.Blobs = []Blob{{c.protocol.Name(), a.val.List[0]}}
		}
		c.endAsk(id)
		r.respond(node, out)
	})
	if err != nil {
		r.respond(node, &Message{Kind: MessageAnswer, ID: id, Gone: true})
		return
	}
	c.send(rec.Bytes, "", result)
}

// answered takes another node's answer to a question of this one.
func (r *remote) answered(m *Message) {
	a := r.h.asks.get(m.ID)
	if a == nil || a.conn != nil {
		return
	}
	switch {
	case m.Gone:
		a.fail(errGone)
	case m.Failed:
		a.fail(&Error{Code: CodeUnknown, Message: m.Error})
	case len(m.Blobs) == 0:
		a.answer(wire.Values{}, nil)
	default:
		r.h.mu.RLock()
		i := slices.IndexFunc(r.h.exposed, func(p wire.Protocol) bool { return p.Name() == m.Blobs[0].Protocol })
		var codec wire.Codec
		if i >= 0 {
			codec = r.h.exposed[i].Codec()
		}
		r.h.mu.RUnlock()
		if codec == nil {
			a.fail(fmt.Errorf("hubwire: an answer in protocol %q, which this node does not have", m.Blobs[0].Protocol))
			return
		}
		a.answer(wire.Values{Codec: codec, List: [][]byte{m.Blobs[0].Bytes}}, nil)
	}
}

// respond publishes to a node, without making an Inbox method wait.
func (r *remote) respond(node string, m *Message) {
	r.job(func(ctx context.Context) {
		if err := r.bp.Publish(ctx, r.address(AddressNode, node), m); err != nil && !errors.Is(err, ErrNoReceiver) {
			r.h.log.Info("hubwire: an answer to another node was not sent", "hub", r.h.opts.Name, "err", err)
		}
	})
}

// job runs fn on a goroutine that Shutdown waits for.
func (r *remote) job(fn func(ctx context.Context)) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.jobs.Add(1)
	r.mu.Unlock()
	go func() { // ends with fn, at most echoWait later
		defer r.jobs.Done()
		ctx, cancel := context.WithTimeout(context.Background(), echoWait)
		defer cancel()
		fn(ctx)
	}()
}

// moveRemote joins or leaves for a connection of another node, and waits for
// the acknowledgement.
func (h *Hub) moveRemote(ctx context.Context, join bool, conn string, groups []string) error {
	r := h.remote
	if r == nil {
		return nil
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	kind := MessageLeave
	if join {
		kind = MessageJoin
	}
	for _, g := range groups {
		if err := r.request(ctx, conn, &Message{Kind: kind, ID: r.id(), Node: r.node, Conn: conn, Group: g}); err != nil {
			return err
		}
	}
	return nil
}

func (r *remote) request(ctx context.Context, conn string, m *Message) error {
	done := make(chan struct{})
	r.mu.Lock()
	r.acks[m.ID] = done
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.acks, m.ID)
		r.mu.Unlock()
	}()
	if err := r.bp.Publish(ctx, r.address(AddressConn, conn), m); err != nil {
		if errors.Is(err, ErrNoReceiver) {
			return nil // an unknown connection
		}
		return err
	}
	timer := time.NewTimer(echoWait)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrUnconfirmed
	}
}

// move does what another node asks for.
func (r *remote) move(m *Message) {
	r.job(func(ctx context.Context) {
		if c := r.h.conn(m.Conn); c != nil {
			var err error
			if m.Kind == MessageJoin {
				err = c.Join(ctx, m.Group)
			} else {
				err = c.Leave(ctx, m.Group)
			}
			if err != nil && !errors.Is(err, ErrClosed) {
				r.h.log.Info("hubwire: a change of groups asked for by another node failed", "hub", r.h.opts.Name, "conn", m.Conn, "err", err)
				return // no acknowledgement: the other node says ErrUnconfirmed
			}
		}
		ack := &Message{Kind: MessageAck, ID: m.ID}
		if err := r.bp.Publish(ctx, r.address(AddressNode, m.Node), ack); err != nil && !errors.Is(err, ErrNoReceiver) {
			r.h.log.Info("hubwire: an acknowledgement was not sent", "hub", r.h.opts.Name, "err", err)
		}
	})
}

// subscribe wants a subscription and waits until it is there.
func (h *Hub) subscribe(ctx context.Context, kind targetKind, name string) error {
	r := h.remote
	if r == nil {
		return nil
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	return r.subscribe(ctx, r.address(addressKinds[kind], name))
}

// unsubscribe does not wait.
func (h *Hub) unsubscribe(kind targetKind, names ...string) {
	r := h.remote
	if r == nil {
		return
	}
	for _, name := range names {
		r.want(r.address(addressKinds[kind], name), func() bool {
			// A new member may have come meanwhile; it wants the subscription
			// after it has entered the target.
			return (kind == toGroup || kind == toUser) && h.target(kind, name) != nil
		})
	}
}

func (r *remote) subscribe(ctx context.Context, a Address) error {
	changed := r.want(a, func() bool { return true })
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		r.mu.Lock()
		s := r.subs[a]
		switch {
		case r.closed:
			r.mu.Unlock()
			return ErrClosed
		case s == nil || !s.want || s.have:
			r.mu.Unlock()
			return nil
		case s.err != nil && !s.busy:
			err := s.err
			r.mu.Unlock()
			return fmt.Errorf("hubwire: backplane: subscribe: %w", err)
		}
		changed = s.changed
		r.mu.Unlock()
	}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// want says what is wanted of a subscription; the channel is closed at the end
// of the attempt that brings it about.
func (r *remote) want(a Address, wanted func() bool) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return closedChan
	}
	s, want := r.subs[a], wanted()
	if s == nil {
		if !want {
			return closedChan
		}
		s = &subscription{}
		r.subs[a] = s
	}
	s.want = want
	if s.busy {
		return s.changed
	}
	if s.want == s.have {
		return closedChan
	}
	s.busy, s.changed = true, make(chan struct{})
	changed := s.changed
	r.jobs.Add(1)
	go r.settle(a, s) // ends when what is there is what is wanted; Shutdown waits
	return changed
}

func (r *remote) settle(a Address, s *subscription) {
	defer r.jobs.Done()
	for {
		r.mu.Lock()
		want := s.want
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), echoWait)
		var err error
		if want {
			err = r.bp.Subscribe(ctx, a)
		} else {
			err = r.bp.Unsubscribe(ctx, a)
		}
		cancel()
		r.mu.Lock()
		s.err = err
		if err == nil {
			s.have = want
		}
		close(s.changed)
		if s.want == want || r.closed {
			s.busy = false
			if !s.want {
				delete(r.subs, a)
			}
			r.mu.Unlock()
			return
		}
		s.changed = make(chan struct{})
		r.mu.Unlock()
	}
}

// closeRemote ends the hub's part of the backplane.
func (h *Hub) closeRemote(ctx context.Context) error {
	r := h.remote
	if r == nil {
		return nil
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.jobs.Wait()
	r.startMu.Lock()
	defer r.startMu.Unlock()
	if !r.started {
		return nil
	}
	r.started = false
	return r.bp.Close(ctx, h.opts.Name)
}

var _ Inbox = (*remote)(nil)
