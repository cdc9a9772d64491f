package multiplex

import (
	"fmt"
	"sync"
)

// Bounds of what waits to be written: for content, and for all else.
const (
	contentRoom = 128 << 10
	controlRoom = 1 << 20
)

// An outbox gathers frames for the goroutine that writes them.
type outbox struct {
	wake chan struct{} // has one when there is something to write

	mu    sync.Mutex // guards the following
	buf   []byte
	busy  bool          // something is being written
	room  chan struct{} // closed when buf was taken; nil where nobody waits
	idle  chan struct{} // closed when all is written; likewise
	ended bool
}

// put adds a frame that does not wait. It reports false where too much does already.
func (o *outbox) put(p []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || len(o.buf) > controlRoom {
		return o.ended
	}
	o.addLocked(p)
	return true
}

func (o *outbox) addLocked(p []byte) {
	o.buf = append(o.buf, p...)
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send adds a frame when there is room. It gives a channel to wait on where there is
// none.
func (o *outbox) send(p func(dst []byte) []byte) (room <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return nil, ErrClosed
	}
	if len(o.buf) >= contentRoom {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		return o.room, nil
	}
	o.buf = p(o.buf)
	o.addLocked(nil)
	return nil, nil
}

func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.signalLocked()
	o.idleLocked()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) signalLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

func (o *outbox) idleLocked() {
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// flush waits until all is written, or the connection has ended.
func (o *outbox) flush(m *Conn) {
	o.mu.Lock()
	if o.ended || !o.busy && len(o.buf) == 0 {
		o.mu.Unlock()
		return
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	o.mu.Unlock()
	timer := newFlushTimer()
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	case <-m.done:
	}
}

// write writes what waits, until the end.
func (m *Conn) write() {
	o := &m.out
	var spare []byte
	for range o.wake {
		for {
			o.mu.Lock()
			p := o.buf
			o.busy = len(p) > 0
			ended := o.ended
			if !o.busy || ended {
				o.idleLocked()
				o.mu.Unlock()
				if ended {
					return
				}
				break
			}
			o.buf = spare[:0]
			o.signalLocked()
			o.mu.Unlock()
			if _, err := m.rwc.Write(p); err != nil {
				m.fail(fmt.Errorf("multiplex: write: %w", err))
				return
			}
			if spare = p[:0]; cap(spare) > 2*contentRoom {
				spare = nil
			}
		}
	}
}
