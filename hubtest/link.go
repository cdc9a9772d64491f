package hubtest

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// A link is the way from the hub to a client: the hub's [wire.Link], and the
// transport behind it. It takes all that the hub writes, unless the client is
// stalled or its buffer is limited; then it takes what has room.
type link struct {
	client *Client
	proto  *protocol

	mu        sync.Mutex // guards the following
	buf       []byte     // taken, not read
	spare     []byte
	limit     int  // of buf; 0: none
	stalled   bool // the client does not read
	blocks    bool // nothing more is taken
	resumed   bool
	blocked   map[string]bool // events in front of which nothing more is taken
	head      []byte          // the beginning of a frame, as far as it was taken
	skip      int             // what of a frame is still to come
	reads     bool            // the goroutine that reads is there
	dead      bool            // the transport is gone
	closing   bool            // by the hub
	finished  bool            // the client knows
	reason    error
	reconnect bool
	room      chan struct{} // closed when something was read; nil where nobody waits

	// of the goroutine that reads
	part []byte // the beginning of a frame
	bye  bool   // what follows is not for the client
}

var errDropped = errors.New("hubtest: the transport was lost")

// Framing implements wire.Link.
func (l *link) Framing() wire.Framing { return framing{l.proto} }

// TryWrite implements wire.Link.
func (l *link) TryWrite(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return 0, errDropped
	}
	return l.takeLocked(p), nil
}

// Write implements wire.Link.
func (l *link) Write(p []byte) error {
	for {
		l.mu.Lock()
		if l.dead {
			l.mu.Unlock()
			return errDropped
		}
		if p = p[l.takeLocked(p):]; len(p) == 0 {
			l.mu.Unlock()
			return nil
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		<-room // closed by kill at the latest
	}
}

// takeLocked takes the beginning of p, as far as there is room.
func (l *link) takeLocked(p []byte) int {
	switch {
	case l.blocks:
		return 0
	case l.limit > 0:
		p = p[:max(0, min(len(p), l.limit-len(l.buf)))]
	case l.stalled:
		return 0
	}
	if len(l.blocked) > 0 {
		p = p[:l.untilBlockedLocked(p)]
	}
	l.buf = append(l.buf, p...)
	l.readLocked()
	return len(p)
}

// untilBlockedLocked says how much of p comes before an event that the client
// does not take; then nothing more is taken.
func (l *link) untilBlockedLocked(p []byte) int {
	for i := 0; i < len(p); {
		if l.skip > 0 {
			n := min(l.skip, len(p)-i)
			l.skip -= n
			i += n
			continue
		}
		had := len(l.head)
		l.head = append(l.head, p[i:]...)
		if len(l.head) < headSize {
			return len(p)
		}
		f, _, ok := parseHead(l.head[headSize:])
		size := headSize + int(binary.BigEndian.Uint32(l.head))
		if !ok && len(l.head) < size {
			return len(p) // the name is still to come
		}
		if f.kind == frameEvent && l.blocked[f.name] {
			l.head = l.head[:had]
			l.blocks = true
			return i
		}
		l.head = l.head[:0]
		l.skip = size - had
	}
	return len(p)
}

// readLocked makes the client read where there is something to read, or to
// know.
func (l *link) readLocked() {
	if l.reads || l.finished || !l.dead && (len(l.buf) == 0 || l.stalled) {
		return
	}
	l.reads = true
	l.client.crew().start(l.read) // ends when nothing is left to read
}

func (l *link) read() {
	for {
		l.mu.Lock()
		if len(l.buf) == 0 || l.stalled {
			l.reads = false
			over := l.dead && !l.finished
			l.finished = l.finished || over
			reason, reconnect := l.reason, l.reconnect
			l.mu.Unlock()
			if over {
				l.client.finish(reason, reconnect)
			}
			return
		}
		chunk := l.buf
		l.buf = l.spare[:0]
		l.wakeLocked()
		l.mu.Unlock()

		l.part = append(l.part, chunk...)
		l.part = l.frames(l.part)
		if cap(l.part) > 64<<10 && len(l.part) == 0 {
			l.part = nil
		}
		l.mu.Lock()
		if l.spare = chunk; cap(chunk) > 64<<10 {
			l.spare = nil
		}
		l.mu.Unlock()
	}
}

// frames gives the client the whole frames of p and returns the rest, moved to
// the front.
func (l *link) frames(p []byte) []byte {
	i := 0
	for len(p)-i >= headSize {
		n := int(binary.BigEndian.Uint32(p[i:]))
		if len(p)-i-headSize < n {
			break
		}
		if l.bye {
			return p[:0]
		}
		f, err := parseFrame(p[i+headSize : i+headSize+n])
		if err != nil {
			panic(err) // we wrote it
		}
		l.bye = f.kind == frameBye
		l.client.take(&f)
		i += headSize + n
	}
	return p[:copy(p, p[i:])]
}

func (l *link) wakeLocked() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// stall makes the client stop reading, or go on.
func (l *link) stall(stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled = stalled; !stalled {
		l.blocks, l.blocked, l.resumed = false, nil, true
		l.wakeLocked()
		l.readLocked()
	}
}

// block stalls the client unless it was made to read on.
func (l *link) block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = l.stalled || !l.resumed
}

func (l *link) setLimit(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
	l.wakeLocked()
}

// Close implements wire.Link. A client that reads is told; one that does not is
// cut off.
func (l *link) Close(reason error, reconnect bool) {
	l.mu.Lock()
	if !l.closing && !l.dead {
		l.reason, l.reconnect = reason, reconnect
	}
	l.closing = true
	if l.stalled || l.blocks || errors.Is(reason, hubwire.ErrSlow) {
		l.killLocked()
	}
	l.mu.Unlock()
	l.client.end.hangUp()
}

// kill cuts the transport. What was taken is still read, unless it is lost.
func (l *link) kill(reason error, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing && !l.dead {
		l.reason, l.reconnect = reason, lost
	}
	if lost {
		l.buf = nil
	}
	l.killLocked()
}

func (l *link) killLocked() {
	l.dead = true
	l.wakeLocked()
	l.readLocked()
}

// ended is why the connection ended, as the hub sees it: nil for the client's
// close, a lost transport, an Abort and a Shutdown.
func (l *link) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing || errors.Is(l.reason, hubwire.ErrShutdown) || errors.Is(l.reason, errDropped) {
		return nil
	}
	return l.reason
}
