package hubwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// askRemote asks a connection of another node.
func (h *Hub) askRemote(ctx context.Context, conn, name string, lay *layout, in, into any) error {
	r := h.remote
	if r == nil {
		return errUnknown(conn)
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	id := askID()
	s := &sending{}
	if err := r.encode(s, &message{name: name, lay: lay, v: in}, id); err != nil {
		return err
	}
	msg := &s.msg
	msg.ID, msg.Node = id, r.node
	if call := callOf(ctx); call != nil {
		call.release()
	}
	a := h.asks.add(id, nil, nil)
	defer h.asks.remove(id)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, askWait, errAskWait)
		defer cancel()
	}
	if err := r.send(ctx, r.address(AddressConn, conn), msg); err != nil {
		if errors.Is(err, ErrNoReceiver) {
			return errUnknown(conn)
		}
		return err
	}
	select {
	case <-a.done:
		if a.err == errGone {
			return errLeft(conn)
		}
		return a.result(into)
	case <-ctx.Done():
		r.job(func(ctx context.Context) {
			_ = r.bp.Publish(ctx, r.address(AddressConn, conn), &Message{Kind: MessageForget, ID: id})
		})
		if err := context.Cause(ctx); err == errAskWait {
			return err
		}
		return ctx.Err()
	}
}

// askWait is how long a question to a connection of another node waits where its
// context has no end: that node may have died. heldAsks is how many questions of
// other nodes one connection may have, each for heldAsk at most.
const (
	askWait  = 2 * time.Minute
	heldAsk  = 10 * time.Minute
	heldAsks = 1000
)

var errAskWait = Errorf(CodeDeadlineExceeded, "hubwire: the connection's node did not answer in time")

var errGone = errors.New("hubwire: the connection ended before it answered")

// question puts another node's question to a connection of this one.
func (r *remote) question(conn string, m *Message) {
	c := r.h.conn(conn)
	if c == nil || !c.flags.has(isAsking) {
		r.respond(m.Node, &Message{Kind: MessageAnswer, ID: m.ID, Gone: true})
		return
	}
	rec, ok := r.decode(m).in(c.protocol())
	if !ok {
		text := "the connection's protocol is not known to the node that asks"
		if _, err := c.protocol().AppendEvent(nil, "", m.ID, nil); errors.Is(err, wire.ErrNoAnswer) {
			text = errNoAnswer.Message
		}
		r.respond(m.Node, &Message{Kind: MessageAnswer, ID: m.ID, Failed: true, Error: text})
		return
	}
	node, id := m.Node, m.ID
	if r.h.asks.get(id) != nil {
		r.respond(node, &Message{Kind: MessageAnswer, ID: id, Failed: true, Error: "ID collision occurred when using client results. This is likely a bug in SignalR."})
		return
	}
	if c.askCount() >= heldAsks {
		r.respond(node, &Message{Kind: MessageAnswer, ID: id, Failed: true, Error: "too many questions wait for the connection's answer"})
		return
	}
	var timer *time.Timer
	_, err := c.startAsk(id, func(a *ask) {
		timer.Stop()
		out := &Message{Kind: MessageAnswer, ID: id}
		e, public := errors.AsType[*Error](a.err)
		switch {
		case public:
			out.Failed, out.Error = true, e.Message
		case a.err != nil:
			out.Gone = true
		case len(a.val.List) > 0:
			out.Blobs = []Blob{{c.protocol().Name(), a.val.List[0]}}
		}
		c.endAsk(id)
		r.respond(node, out)
	}, func(a *ask) { timer = time.AfterFunc(heldAsk, func() { a.fail(errAskWait) }) })
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
	if err := r.send(ctx, r.address(AddressConn, conn), m); err != nil {
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
