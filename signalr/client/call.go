package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// StartCall implements [hubwire.Caller]. It returns when the call is in line to
// be sent, and waits only where much waits already: for ctx at most.
func (c *Conn) StartCall(ctx context.Context, out *wire.OutCall) (wire.Results, error) {
	s, err := c.current()
	if err != nil {
		return nil, err
	}
	return s.start(ctx, out)
}

func (s *session) start(ctx context.Context, c *wire.OutCall) (wire.Results, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := &call{session: s, name: c.Name, kind: c.Kind}
	out := outgoing{stream: c.Kind.Streams(), target: c.Name, args: c.Args}
	s.mu.Lock()
	if err := s.over; err != nil {
		s.mu.Unlock()
		return nil, err
	}
	for range c.Uploads {
		out.streams = append(out.streams, s.newIDLocked())
	}
	if !c.NoReply {
		k.id = s.newIDLocked()
		k.came = make(chan struct{}, 1)
		out.id = k.id
		s.calls[k.id] = k
	}
	s.mu.Unlock()

	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	p, err := s.proto.appendCall((*b)[:0], &out)
	if err != nil {
		s.forget([]byte(k.id))
		return nil, fmt.Errorf("client: %s %s: %w", c.Kind, c.Name, err)
	}
	*b = p
	if len(c.Uploads) > 0 {
		k.uploads(s.ctx, out.streams)
	}
	if err := s.out.send(ctx, &s.conn.flow, p); err != nil {
		s.forget([]byte(k.id))
		k.stopUploads(false)
		return nil, err
	}
	for i, items := range c.Uploads {
		s.conn.wg.Go(func() { s.upload(k.up[i], items) }) // ends with the items, the call or the session
	}
	return k, nil
}

// A call is one that waits for its outcome, as wire.Results. Next is called by
// one goroutine at a time.
type call struct {
	session *session
	id      string // empty: no answer is wanted
	name    string
	kind    wire.Kind
	came    chan struct{} // something is there; closed at the end
	up      []*upload

	mu      sync.Mutex // guards the following
	values  [][]byte
	held    int   // bytes of values
	err     error // after the last value; io.EOF is the proper end
	waiting bool  // Next waits: the flow knows
}

// item takes an item of a stream.
func (k *call) item(raw []byte) error {
	if !k.kind.Streams() {
		return badMessage("an item for a call that is no stream")
	}
	if err := k.session.conn.flow.add(len(raw)); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		k.session.conn.flow.free(1, len(raw))
		return nil
	}
	k.values = append(k.values, bytes.Clone(raw))
	k.held += len(raw)
	k.servedLocked()
	select {
	case k.came <- struct{}{}:
	default:
	}
	return nil
}

// servedLocked ends the wait of Next, before it has noticed: the reader is not
// to go on on its behalf.
func (k *call) servedLocked() {
	if k.waiting {
		k.waiting = false
		k.session.conn.flow.end()
	}
}

// complete takes the outcome.
func (k *call) complete(m *message) error {
	k.stopUploads(false) // the hub has closed what was open
	if m.failed {
		k.end(&hubwire.Error{Code: hubwire.CodeUnknown, Message: string(m.text)})
		return nil
	}
	if k.kind.Streams() || k.kind == wire.Command {
		k.end(io.EOF)
		return nil
	}
	// Without a result Next leaves the zero value, as .NET does.
	if err := k.session.conn.flow.add(len(m.value)); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		k.session.conn.flow.free(1, len(m.value))
		return nil
	}
	k.values = append(k.values, bytes.Clone(m.value))
	k.held += len(m.value)
	k.endLocked(io.EOF)
	return nil
}

func (k *call) end(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.endLocked(err)
}

func (k *call) endLocked(err error) {
	if k.err == nil && k.came != nil {
		k.err = err
		k.servedLocked()
		close(k.came)
	}
}

// Next implements wire.Results.
func (k *call) Next(ctx context.Context, into any) error {
	if k.id == "" {
		return io.EOF
	}
	for {
		if v, ok, err := k.pop(); ok {
			return k.decode(v, err, into)
		}
		select {
		case <-k.came:
		case <-ctx.Done():
			k.mu.Lock()
			defer k.mu.Unlock()
			k.servedLocked()
			return ctx.Err()
		}
	}
}

// pop takes the next value, or the end. It reports false if there is neither,
// and that Next waits.
func (k *call) pop() (v []byte, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.values) == 0 {
		if k.err == nil && !k.waiting {
			k.waiting = true
			k.session.conn.flow.begin()
		}
		return nil, k.err != nil, k.err
	}
	v = k.values[0]
	k.values[0] = nil
	if k.values = k.values[1:]; len(k.values) == 0 {
		k.values = nil
	}
	k.held -= len(v)
	k.session.conn.flow.free(1, len(v))
	return v, true, nil
}

func (k *call) decode(v []byte, err error, into any) error {
	if err != nil || len(v) == 0 {
		return err
	}
	if err := k.session.proto.codec().Decode(v, into); err != nil {
		return fmt.Errorf("client: %s %s: %w", k.kind, k.name, err)
	}
	return nil
}

// Close implements wire.Results.
func (k *call) Close() error {
	if k.id == "" {
		return nil // uploads of a Send go on
	}
	s := k.session
	if s.forget([]byte(k.id)) != nil {
		k.stopUploads(true)
		_ = s.out.put(s.proto.appendCancel(nil, k.id)) // else nobody is there to be told
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.endLocked(context.Canceled)
	s.conn.flow.free(len(k.values), k.held)
	k.values, k.held = nil, 0
	return nil
}
