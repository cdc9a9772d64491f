package signalr

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// Long polling (section 2.4): the client asks again and again, and an answer
// brings all that waits. There is one poll at a time; a newer one takes over.

// noCache are the headers of every answer to a poll.
func noCache(h http.Header) {
	h["Cache-Control"] = []string{"no-cache, no-store"}
	h["Pragma"] = []string{"no-cache"}
	h["Expires"] = []string{"Thu, 01 Jan 1970 00:00:00 GMT"}
}

// poll serves a GET that is nothing else.
func (m *mount) poll(w http.ResponseWriter, r *http.Request) {
	noCache(w.Header())
	m.halfUpgrade(r)
	c, fresh := m.begin(w, r, LongPolling)
	switch {
	case c == nil:
	case fresh:
		t := c.t.(*polls)
		t.begin()
		c.in.start()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(http.StatusOK)
	default:
		c.extend(hubwire.UserFrom(r.Context()))
		c.t.(*polls).serve(w, r)
	}
}

// polls are the transport of a polled connection: the buffer between the hub and
// the polls. It has no goroutine; it ends when the hub has ended and a poll has
// been told so, or when there was no poll for a while.
type polls struct {
	ticker.Slot
	conn  *conn
	limit int // bytes that may wait for a poll

	mu      sync.Mutex // guards the following
	in      follower   // of what is written
	buf     []byte     // what waits for a poll
	ready   int        // bytes of buf that are whole chunks
	last    bool       // nothing comes any more
	newest  *poll
	since   int64         // the tick since which there is no poll
	room    chan struct{} // closed when there is room; nil where nobody waits
	deleted bool          // no new poll may come
	aborted bool
	over    bool // nothing may be asked any more
}

// A poll is one request that waits.
type poll struct {
	wake chan struct{} // something has changed
	left chan struct{} // closed when it has been answered
	old  bool          // a newer one is there; guarded by polls.mu
}

func newPolls(c *conn) *polls {
	return &polls{conn: c, limit: maxPosted}
}

// serve is one poll, from its coming to its answer.
func (t *polls) serve(w http.ResponseWriter, r *http.Request) {
	m := t.conn.mount
	p := &poll{wake: make(chan struct{}, 1), left: make(chan struct{})}
	t.mu.Lock()
	if t.over || t.deleted {
		t.mu.Unlock()
		m.refuse(w, http.StatusNotFound, "")
		return
	}
	before := t.newest
	t.newest = p
	if before != nil {
		before.old = true
		before.wakeUp()
	}
	t.mu.Unlock()
	defer t.leaves(p)
	if before != nil {
		<-before.left // it has been told
	}
	rc := http.NewResponseController(w)
	m.lift(rc, r)
	timer := time.NewTimer(m.opts.PollTimeout)
	defer timer.Stop()
	for {
		body, status := t.answer(p)
		switch {
		case status == http.StatusOK:
			if !t.send(w, rc, body) {
				t.restore(body)
			}
			return
		case status != 0:
			m.refuse(w, status, "")
			return
		}
		select {
		case <-p.wake:
		case <-timer.C:
			m.refuse(w, http.StatusOK, "")
			return
		case <-r.Context().Done():
			return
		}
	}
}

// answer is what a poll is to be answered with now; 0 is nothing yet.
func (t *polls) answer(p *poll) (body []byte, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case p.old || t.over:
		return nil, http.StatusNoContent
	case t.ready > 0:
		body = t.buf[:t.ready:t.ready]
		if t.buf = t.buf[t.ready:]; len(t.buf) == 0 {
			t.buf = nil
		}
		t.ready = 0
		t.roomLocked()
		return body, http.StatusOK
	case t.last:
		t.overLocked()
		return nil, http.StatusNoContent
	}
	return nil, 0
}

// send writes a body and reports whether the client's side has it.
func (t *polls) send(w http.ResponseWriter, rc *http.ResponseController, body []byte) bool {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_ = rc.SetWriteDeadline(time.Now().Add(t.conn.mount.hubOpts.Queue.Stall))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	if err == nil {
		err = rc.Flush()
	}
	_ = rc.SetWriteDeadline(time.Time{})
	return err == nil || errors.Is(err, http.ErrNotSupported)
}

// restore puts a body back that did not leave whole, for the next poll.
func (t *polls) restore(body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.aborted {
		return
	}
	t.buf = append(body, t.buf...)
	t.ready += len(body)
	t.wakeLocked()
}

// leaves is the end of a poll.
func (t *polls) leaves(p *poll) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(p.left)
	if t.newest != p {
		return
	}
	t.newest = nil
	t.since = t.conn.mount.ticks.Now()
	if t.deleted && t.last {
		t.overLocked()
	}
}

func (p *poll) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // it has been told, and has not looked yet
	}
}

func (t *polls) wakeLocked() {
	if t.newest != nil {
		t.newest.wakeUp()
	}
}

func (t *polls) roomLocked() {
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

// begin lets the time run that may pass without a poll.
func (t *polls) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over { // a DELETE was quicker
		return
	}
	t.conn.mount.ticks.Add(t)
	t.since = t.conn.mount.ticks.Now()
}

// Tick ends a connection that is not polled.
func (t *polls) Tick(now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.newest == nil && now-t.since > seconds(t.conn.mount.opts.DisconnectTimeout) {
		t.overLocked()
	}
}

// overLocked ends the transport: nobody will poll any more.
func (t *polls) overLocked() {
	if t.over {
		return
	}
	t.over = true
	t.dropLocked()
	c := t.conn
	c.mount.ticks.Remove(t)
	c.mount.sessions.end(c.session, time.Now())
	go c.over(nil) // ends with the connection's last goroutine
}

// dropLocked gives up what waits, and those who wait to add to it.
func (t *polls) dropLocked() {
	t.buf, t.ready = nil, 0
	t.roomLocked()
	t.wakeLocked()
}

// delete is the client's wish to end: no new poll is taken, and one that is
// parked gets the last words.
func (t *polls) delete() {
	c := t.conn
	t.mu.Lock()
	t.deleted = true
	if t.newest == nil {
		if t.dropLocked(); t.last {
			t.overLocked()
		}
	}
	t.mu.Unlock()
	c.mount.sessions.end(c.session, time.Now())
	c.in.end()
	c.unblock()
}

// TryWrite takes p if less than the limit waits.
func (t *polls) TryWrite(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.aborted {
		return 0, t.closedErr()
	}
	if len(t.buf) >= t.limit && t.in.between() && !t.deafLocked() {
		return 0, nil
	}
	t.takeLocked(p)
	return len(p), nil
}

// Write takes p, and waits for room in front of each frame.
func (t *polls) Write(p []byte) error {
	for {
		t.mu.Lock()
		for len(p) > 0 && !t.over && !t.aborted && (len(t.buf) < t.limit || !t.in.between() || t.deafLocked()) {
			p = p[t.takeOneLocked(p):]
		}
		switch {
		case t.over || t.aborted:
			t.mu.Unlock()
			return t.closedErr()
		case len(p) == 0:
			t.mu.Unlock()
			return nil
		}
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		t.mu.Unlock()
		<-room
	}
}

func (t *polls) closedErr() error {
	t.conn.marks.set(isLost)
	return fmt.Errorf("signalr: long polling: write: %w", net.ErrClosed)
}

// deafLocked reports whether nobody will fetch what is written now.
func (t *polls) deafLocked() bool { return t.deleted && t.newest == nil }

func (t *polls) takeLocked(p []byte) {
	for len(p) > 0 {
		p = p[t.takeOneLocked(p):]
	}
}

// takeOneLocked takes bytes up to the end of a frame.
func (t *polls) takeOneLocked(p []byte) int {
	n, data, end := t.in.next(p)
	if !t.deafLocked() {
		t.buf = append(t.buf, data...)
	}
	switch end {
	case whole:
		t.ready = len(t.buf)
		t.wakeLocked()
	case last:
		t.last = true
		if t.wakeLocked(); t.deafLocked() {
			t.overLocked()
		}
	}
	return n
}

func (t *polls) Framing() wire.Framing { return t.conn.framed().Framing }

// Unacked is how many bytes the hub keeps until they are acknowledged.
func (t *polls) Unacked() int { return t.conn.unacked() }

// Greeting is the answer to the handshake.
func (t *polls) Greeting() []byte { return t.conn.greeting() }

// Close ends the connection for the hub.
func (t *polls) Close(reason error, reconnect bool) { t.conn.close(reason, reconnect) }

func (t *polls) framings() *framings { return &pollFramings }

func (t *polls) bye() []byte { return []byte(lastChunk) }

func (t *polls) leave() {} // the client has its time to come and fetch the rest

// abort ends the transport without what waits.
func (t *polls) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aborted = true
	t.overLocked()
}

// known reports whether the client may still ask.
func (t *polls) known() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.over && !t.deleted
}
