package hubwire

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/wire"
)

// A sending is a send through the backplane that is under way. It has ended when
// the backplane has told its result and, where this node hears it, its echo is in
// line; whichever comes last wakes the sender, once. A sending that has ended is
// used again.
type sending struct {
	msg   Message
	blobs [2]Blob // room for msg.Blobs
	buf   []byte  // room for the blobs' bytes
	to    Address
	woken chan struct{} // has room for one
	began time.Time     // of waiting for the echo; guarded by remote.mu
	state atomic.Uint32
	err   error // written before sendDone is set

	hash       uint64   // of the event and its address
	indexed    bool     // guarded by remote.mu, as are the following two
	next       *sending // of the same hash, later
	last       *sending // of those, where this is the first
	unfinished bool     // somebody else may still hold it: not to be used again
}

// States of a sending.
const (
	sendTaken     uint32 = 1 << iota // the backplane has begun to write it
	sendWithdrawn                    // the sender does not want it any more
	sendEchoed                       // the echo is in line, or none is waited for
	sendLost                         // the echo may have been lost
	sendDone                         // the backplane has told the result
	sendFailed                       // which is an error
	sendExpired                      // the echo did not come in time
)

// Take implements Receipt.
func (s *sending) Take() bool { return s.state.Or(sendTaken)&sendWithdrawn == 0 }

// Done implements Receipt.
func (s *sending) Done(err error) {
	if errors.Is(err, ErrNoReceiver) {
		err = nil
	}
	set := sendDone
	if s.err = err; err != nil {
		set |= sendFailed
	}
	if s.state.Or(set)&sendEchoed != 0 || err != nil {
		s.wake()
	}
}

// wake wakes the sender. One that has been given up already is woken in vain.
func (s *sending) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// echoedLocked is called with the lock of the remote and after the sending was
// taken off the index. It reports whether the caller must wake the sender.
func (s *sending) echoedLocked(lost bool) bool {
	set := sendEchoed
	if lost {
		set |= sendLost
	}
	return s.state.Or(set)&(sendDone|sendFailed) == sendDone
}

// sending is one that can be used.
func (r *remote) sending() *sending {
	if s, ok := r.spare.Get().(*sending); ok {
		return s
	}
	return &sending{woken: make(chan struct{}, 1)}
}

// keptSending is how large a buffer may be that is kept.
const keptSending = 16 << 10

func (r *remote) free(s *sending) {
	if s.unfinished {
		return
	}
	s.msg, s.blobs, s.to, s.err = Message{}, [2]Blob{}, Address{}, nil
	if cap(s.buf) <= keptSending {
		r.spare.Put(s)
	}
}

// encode makes an event of m in all protocols that connections anywhere may have.
func (r *remote) encode(s *sending, m *message, callID string) error {
	r.h.mu.RLock()
	ps := r.h.exposed
	r.h.mu.RUnlock()
	e := encoders.Get().(*encoder)
	defer e.free()
	if err := e.split(m); err != nil {
		return err
	}
	s.buf = s.buf[:0]
	s.msg = Message{Kind: MessageEvent, Blobs: s.blobs[:0]}
	var codec wire.Codec
	var raw [][]byte
	for _, p := range ps {
		var err error
		if c := p.Codec(); raw == nil || c != codec {
			if raw, err = e.encode(c, m); err != nil {
				return err
			}
			codec = c
		}
		from := len(s.buf)
		buf, err := appendEvent(s.buf, p, m, callID, raw)
		if callID != "" && errors.Is(err, wire.ErrNoAnswer) {
			continue // a connection of this protocol has not the answer anyway
		}
		if err != nil {
			return fmt.Errorf("hubwire: event %s: %w", m.name, err)
		}
		s.buf = buf
		s.msg.Blobs = append(s.msg.Blobs, Blob{p.Name(), s.buf[from:len(s.buf):len(s.buf)]})
	}
	return nil
}

// publish sends the event of s to an address, and returns when its echo is in line
// where this node gets one. Its errors are those that a Send has: ErrUnconfirmed
// where the event may arrive, and any other where it will not.
func (r *remote) publish(ctx context.Context, s *sending, to Address) error {
	var deadline time.Time // of waiting for the end of an outage
	for {
		down, err := r.begin(s, to)
		if err != nil {
			return err
		}
		if down {
			if deadline.IsZero() {
				deadline = r.patience()
			}
			if err := r.awaitUp(ctx, deadline); err != nil {
				return err
			}
			continue
		}
		if r.pipe != nil {
			r.pipe.Begin(to, &s.msg, s)
		} else {
			s.Take()
			s.Done(r.bp.Publish(ctx, to, &s.msg))
		}
		err = r.await(ctx, s)
		if !errors.Is(err, ErrDown) || s.unfinished || !r.down() {
			return err
		}
		if deadline.IsZero() {
			deadline = r.patience()
		}
	}
}

// begin makes s ready to be sent, and enters it where its echo is looked for if
// this node hears the address.
func (r *remote) begin(s *sending, to Address) (down bool, err error) {
	s.to, s.err = to, nil
	s.state.Store(sendEchoed)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false, ErrClosed
	}
	if r.back != nil {
		return true, nil
	}
	if b := r.subs[to]; b != nil && b.have && b.want {
		s.state.Store(0)
		s.hash = r.hash(to, &s.msg)
		s.indexed, s.next, s.last, s.began = true, nil, s, time.Now()
		if !r.watched {
			r.watched = true
			r.watch.Reset(echoWait)
		}
		if first := r.echoes[s.hash]; first != nil {
			first.last.next, first.last = s, s
		} else {
			r.echoes[s.hash] = s
		}
	}
	return false, nil
}

// await waits until s has ended, or nobody wants to wait any more.
func (r *remote) await(ctx context.Context, s *sending) error {
	done := ctx.Done()
	if done == nil {
		<-s.woken
		return r.ended(s)
	}
	select {
	case <-s.woken:
		return r.ended(s)
	case <-done:
	}
	s.unfinished = true
	err := r.withdraw(s)
	r.mu.Lock()
	r.dropLocked(s)
	r.mu.Unlock()
	return fmt.Errorf("%w: %w", err, ctx.Err())
}

// withdraw tells the backplane not to write s, and returns what is known of it.
func (r *remote) withdraw(s *sending) error {
	if s.state.Or(sendWithdrawn)&sendTaken == 0 {
		return ErrDown
	}
	return ErrUnconfirmed
}

// ended is the result of s, whose sender was woken.
func (r *remote) ended(s *sending) error {
	state := s.state.Load()
	switch {
	case state&sendExpired != 0:
		s.unfinished = true
		return r.withdraw(s)
	case state&sendFailed != 0:
		r.mu.Lock()
		r.dropLocked(s)
		s.unfinished = s.state.Load()&sendExpired != 0
		r.mu.Unlock()
		return s.err
	case state&sendLost != 0:
		return ErrUnconfirmed
	}
	return nil
}

// expire ends the waiting for echoes that have not come in time. It runs on a
// timer, which is set while sends wait.
func (r *remote) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, next := time.Now(), time.Time{}
	var late []*sending
	for _, s := range r.echoes {
		for ; s != nil; s = s.next {
			if now.Sub(s.began) >= echoWait {
				late = append(late, s)
			} else if next.IsZero() || s.began.Before(next) {
				next = s.began
			}
		}
	}
	for _, s := range late {
		r.dropLocked(s)
		s.state.Or(sendExpired)
		s.wake()
	}
	if r.watched = !next.IsZero(); r.watched {
		r.watch.Reset(next.Add(echoWait).Sub(now))
	}
}

// dropLocked takes s off the index, if it is there.
func (r *remote) dropLocked(s *sending) {
	if !s.indexed {
		return
	}
	s.indexed = false
	first := r.echoes[s.hash]
	if first == s {
		if s.next == nil {
			delete(r.echoes, s.hash)
		} else {
			s.next.last = s.last
			r.echoes[s.hash] = s.next
		}
		return
	}
	before := first
	for before.next != s {
		before = before.next
	}
	before.next = s.next
	if first.last == s {
		first.last = before
	}
}

// echoed finds the sends of which events in batch are the echoes, and wakes them.
// Equal events to one address are told apart by their order: first in, first out.
func (r *remote) echoed(batch []Delivery) {
	var room [64]*sending
	wake := room[:0]
	r.mu.Lock()
	for i := range batch {
		from, m := batch[i].From, batch[i].Message
		if len(r.echoes) == 0 {
			break
		}
		if m.Kind != MessageEvent || m.ID != "" {
			continue
		}
		for s := r.echoes[r.hash(from, m)]; s != nil; s = s.next {
			if s.to == from && sameEvent(&s.msg, m) {
				r.dropLocked(s)
				if s.echoedLocked(false) {
					wake = append(wake, s)
				}
				break
			}
		}
	}
	r.mu.Unlock()
	for _, s := range wake {
		s.wake()
	}
}

// endEchoesLocked ends the waiting for echoes that do not come, or may have been
// lost.
func (r *remote) endEchoesLocked(lost bool, of func(a Address) bool) {
	var all []*sending
	for _, s := range r.echoes {
		for ; s != nil; s = s.next {
			if of(s.to) {
				all = append(all, s)
			}
		}
	}
	for _, s := range all {
		r.dropLocked(s)
		if s.echoedLocked(lost) {
			s.wake()
		}
	}
}

// hash is of an event and its address. Of the blobs only the first counts: a
// backplane may add what a node did not send.
func (r *remote) hash(to Address, m *Message) uint64 {
	var h uint64
	if len(m.Blobs) > 0 {
		h = maphash.Bytes(r.seed, m.Blobs[0].Bytes)
	}
	return h ^ maphash.String(r.seed, to.Name) ^ uint64(to.Kind)
}

// sameEvent reports whether got is what was sent: the backplane may have added
// blobs.
func sameEvent(sent, got *Message) bool {
	if !slices.Equal(sent.Except, got.Except) {
		return false
	}
	for i := range sent.Blobs {
		x := &sent.Blobs[i]
		if i < len(got.Blobs) && got.Blobs[i].Protocol == x.Protocol && string(got.Blobs[i].Bytes) == string(x.Bytes) {
			continue
		}
		if !slices.ContainsFunc(got.Blobs, func(y Blob) bool { return y.Protocol == x.Protocol && string(y.Bytes) == string(x.Bytes) }) {
			return false
		}
	}
	return true
}
