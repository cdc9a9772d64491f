package client

import (
	"context"
	"sync"
)

// An outbox holds what a session has to send, in order. Everybody puts whole
// messages in; the writer takes all there is.
//
// With keep (stateful reconnect, section 8.3) counted messages stay until the
// server acknowledges them, and are taken again after rewind.
type outbox struct {
	limit int  // bytes that may be in data before senders wait
	keep  bool // set before the first message

	// wake tells the writer that there is something to take.
	wake chan struct{}

	mu     sync.Mutex    // guards the following
	urgent []byte        // pings, acks, a Sequence: sent before data, never kept
	data   []byte        // whole messages: those taken and kept, then the others
	taken  int           // bytes of data that were taken
	sizes  []int         // of the messages in data; with keep alone
	sent   int           // messages of sizes that were taken
	first  int64         // sequence id of the first message in data
	spare  bool          // one message more may be put in
	last   []byte        // the Close message; set when the client leaves
	left   bool          // last was taken
	closed error         // nothing is taken in any more
	room   chan struct{} // closed when there is room; nil where nobody waits
}

func newOutbox(limit int, keep bool) *outbox {
	return &outbox{limit: limit, keep: keep, first: 1, wake: make(chan struct{}, 1)}
}

// send puts in a message when there is room. Waiting ends with ctx and with the
// outbox.
func (o *outbox) send(ctx context.Context, f *flow, p []byte) error {
	o.mu.Lock()
	if o.fullLocked() {
		f.begin() // Acks may be what we wait for
		defer f.end()
	}
	for o.fullLocked() {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
		o.mu.Lock()
	}
	defer o.mu.Unlock()
	o.spare = false
	return o.putLocked(p)
}

func (o *outbox) fullLocked() bool {
	return len(o.data) > o.limit && !o.spare && o.closed == nil
}

// put puts in a message at once. It is for what follows from a message that had
// to wait for room: each call makes but a few of them.
func (o *outbox) put(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.putLocked(p)
}

func (o *outbox) putLocked(p []byte) error {
	if o.closed != nil {
		return o.closed
	}
	o.data = append(o.data, p...)
	if o.keep {
		o.sizes = append(o.sizes, len(p))
	}
	o.wakeLocked()
	return nil
}

// control puts in a message that is not counted. It goes ahead of the others.
func (o *outbox) control(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed != nil || len(o.urgent) > maxUrgent {
		return // nobody reads: more pings do not help
	}
	o.urgent = append(o.urgent, p...)
	o.wakeLocked()
}

const maxUrgent = 1 << 10

func (o *outbox) wakeLocked() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) roomLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// take appends all that is to be sent to dst. over reports that it ends with
// the Close message.
func (o *outbox) take(dst []byte) (_ []byte, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	dst = append(dst, o.urgent...)
	dst = append(dst, o.data[o.taken:]...)
	o.urgent = o.urgent[:0]
	o.taken, o.sent = len(o.data), len(o.sizes)
	if !o.keep {
		o.dropLocked(len(o.data))
	}
	if o.last != nil && !o.left {
		o.left = true
		return append(dst, o.last...), true
	}
	return dst, false
}

// dropLocked forgets the first n bytes of data.
func (o *outbox) dropLocked(n int) {
	rest := copy(o.data, o.data[n:])
	o.data = o.data[:rest]
	o.taken -= n
	if rest == 0 && cap(o.data) > maxPooled {
		o.data = nil
	}
	if len(o.data) <= o.limit {
		o.roomLocked()
	}
}

// acked forgets the messages up to the sequence id n. More than was sent is
// taken for all that was sent.
func (o *outbox) acked(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes, count := 0, 0
	for count < o.sent && o.first+int64(count) <= n {
		bytes += o.sizes[count]
		count++
	}
	if count == 0 {
		return
	}
	o.first += int64(count)
	o.sent -= count
	o.sizes = o.sizes[:copy(o.sizes, o.sizes[count:])]
	o.dropLocked(bytes)
}

// rewind makes everything that is kept to be sent again, behind head, which
// gets the sequence id of the first message that follows.
func (o *outbox) rewind(head func(first int64) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.urgent = append(o.urgent[:0], head(o.first)...)
	o.taken, o.sent = 0, 0
	o.wakeLocked()
}

// oneMore lets one message more be put in, whether there is room or not.
func (o *outbox) oneMore() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = true
	o.roomLocked()
}

// leave lets what is in be sent, then last, and takes nothing in any more.
func (o *outbox) leave(last []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil {
		o.closed, o.last = err, last
		o.wakeLocked()
		o.roomLocked()
	}
}

// close drops everything and takes nothing in any more.
func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil {
		o.closed = err
	}
	o.urgent, o.data, o.sizes, o.taken, o.sent, o.last = nil, nil, nil, 0, 0, nil
	o.roomLocked()
}
