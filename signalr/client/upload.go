package client

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// An upload is a stream to the hub.
type upload struct {
	session *session
	id      string
	ctx     context.Context // ends when nothing is wanted any more
	cancel  context.CancelFunc

	mu   sync.Mutex // guards the following
	over bool       // its end was sent, or is not wanted
}

// uploads prepares the streams of a call.
func (k *call) uploads(ctx context.Context, ids []string) {
	for _, id := range ids {
		u := &upload{session: k.session, id: id}
		u.ctx, u.cancel = context.WithCancel(ctx)
		k.up = append(k.up, u)
	}
}

// stopUploads ends the streams of a call that has its outcome, or was given up.
// In the latter case the hub is told: a method that does not notice the cancel
// must not wait for items for ever.
func (k *call) stopUploads(tell bool) {
	for _, u := range k.up {
		if tell {
			u.end(u.session.proto.appendFailure(nil, u.id, "Stream canceled by client."))
		} else {
			u.end(nil)
		}
	}
}

// end sends the last message of the stream, if there is one, once.
func (u *upload) end(last []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over {
		u.over = true
	} else {
		last = nil
	}
	if last != nil {
		_ = u.session.out.put(last) // else nobody is there to be told
	}
	u.cancel()
}

// upload sends items to the hub.
func (s *session) upload(u *upload, items iter.Seq2[any, error]) {
	last := s.proto.appendEnd(nil, u.id)
	defer func() {
		if v := recover(); v != nil {
			s.conn.log().Error("an upload panics", "conn", s.id, "err", v)
			last = s.proto.appendFailure(nil, u.id, fmt.Sprintf("panic: %v", v))
		}
		u.end(last)
	}()
	if items == nil {
		return
	}
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	for v, err := range items {
		if u.ctx.Err() != nil {
			return
		}
		if err == nil {
			*b, err = s.proto.appendItem((*b)[:0], u.id, v)
		}
		if err != nil {
			last = s.proto.appendFailure(nil, u.id, err.Error())
			return
		}
		if s.out.send(u.ctx, &s.conn.flow, *b) != nil {
			return
		}
	}
}
