package signalr

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// An input is what a client has posted, on its way to the reader: a pipe of at
// most maxPosted bytes, so that a POST is answered when its bytes are in, and
// waits while the hub is behind. The reader is a goroutine that runs while there
// is something to read and the transport has begun.
type input struct {
	conn *conn
	turn chan struct{} // holds a token while a POST has its turn
	over chan struct{} // closed with closed

	unused *time.Timer // ends a connection that has no transport yet

	mu      sync.Mutex // guards the following
	buf     []byte
	room    chan struct{} // closed when there is room; nil where nobody waits
	started bool          // the transport has begun
	running bool          // the reader runs
	ended   bool          // nothing comes any more: the client has said so
	told    bool          // the reader has seen the end
	half    bool          // what was read ends inside a message
	idle    chan struct{} // closed when the reader does not run; nil where nobody waits
	counted bool          // as pending, for addr
	addr    netip.Addr
	closed  bool // the connection is over
}

// maxPosted is how much of a client's input waits for the reader.
const maxPosted = 64 << 10

// postStall is how long the body of a POST may bring nothing.
const postStall = 30 * time.Second

func newInput(c *conn) *input {
	return &input{conn: c, turn: make(chan struct{}, 1), over: make(chan struct{})}
}

var postBuffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// post takes the body of a POST and is the status of its answer (section 1.5).
func (in *input) post(w http.ResponseWriter, r *http.Request) int {
	select {
	case in.turn <- struct{}{}:
		defer func() { <-in.turn }()
	case <-in.over:
		return http.StatusNotFound
	case <-r.Context().Done():
		return http.StatusBadRequest
	}
	b := postBuffers.Get().(*[4 << 10]byte)
	defer postBuffers.Put(b)
	rc := http.NewResponseController(w)
	for {
		_ = rc.SetReadDeadline(time.Now().Add(postStall)) // where it can be had
		n, err := r.Body.Read(b[:])
		if !in.put(r.Context(), b[:n]) {
			return http.StatusNotFound
		}
		if err == io.EOF {
			return http.StatusOK
		} else if err != nil {
			return http.StatusBadRequest
		}
	}
}

// put waits for room. It reports false if the connection ended before all was in.
func (in *input) put(ctx context.Context, p []byte) bool {
	for len(p) > 0 {
		in.mu.Lock()
		if in.closed || in.ended {
			in.mu.Unlock()
			return false
		}
		n := min(len(p), maxPosted-len(in.buf))
		in.buf = append(in.buf, p[:n]...)
		p = p[n:]
		in.runLocked()
		if len(p) == 0 {
			in.mu.Unlock()
			return true
		}
		if in.room == nil {
			in.room = make(chan struct{})
		}
		room := in.room
		in.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// start lets the reader begin.
func (in *input) start() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.started = true
	in.runLocked()
}

// end says that nothing comes any more. What has come is still read.
func (in *input) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.wakeLocked()
	in.runLocked()
}

// finish takes nothing more, and returns when what has come was read.
func (in *input) finish() {
	in.mu.Lock()
	in.ended, in.told = true, true
	in.wakeLocked()
	in.runLocked()
	if !in.running {
		in.mu.Unlock()
		return
	}
	if in.idle == nil {
		in.idle = make(chan struct{})
	}
	idle := in.idle
	in.mu.Unlock()
	<-idle
}

// stopLocked notes that the reader does not run any more.
func (in *input) stopLocked() {
	in.running = false
	if in.idle != nil {
		close(in.idle)
		in.idle = nil
	}
}

// close ends the input with its connection. A reader that runs goes on until it
// notices.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return
	}
	in.closed, in.buf = true, nil
	close(in.over)
	in.wakeLocked()
}

func (in *input) wakeLocked() {
	if in.room != nil {
		close(in.room)
		in.room = nil
	}
}

// runLocked starts the reader if there is something for it.
func (in *input) runLocked() {
	if in.running || !in.started || in.closed || len(in.buf) == 0 && (!in.ended || in.told) {
		return
	}
	in.running = true
	in.conn.last.Add(1)
	go in.run() // ends when all is read
}

func (in *input) run() {
	c := in.conn
	defer c.last.Done()
	err := c.safely(func() error {
		for {
			b, more := in.take()
			switch {
			case len(b) > 0:
				c.data(b)
				c.idle()
			case more:
				c.inputEnded()
			default:
				return nil
			}
		}
	})
	if err != nil {
		c.endAside(&ending{silent: true, cause: err})
		in.mu.Lock()
		in.told = true
		in.stopLocked()
		in.mu.Unlock()
	}
}

// halfway reports whether the client has left inside a message.
func (c *conn) halfway() bool {
	switch c.t.(type) {
	case *socket, relay:
		return len(c.part) > 0 // the caller is the reader
	}
	if c.in == nil {
		return false
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.half
}

// take takes all that is there. No bytes and more is the end of input; no bytes
// and not more lets the reader end.
func (in *input) take() (b []byte, more bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.half = len(in.conn.part) > 0
	switch {
	case len(in.buf) > 0:
		b, in.buf = in.buf, nil
		in.wakeLocked()
		return b, true
	case in.ended && !in.told && !in.closed:
		in.told = true
		return nil, true
	}
	in.stopLocked()
	return nil, false
}

// post serves what a client sends beside a transport that has no way up.
func (m *mount) post(w http.ResponseWriter, r *http.Request) {
	defer discard(w, r)
	c, kind, ok := m.find(w, r, true)
	switch {
	case !ok:
		return
	case kind == WebSockets:
		m.refuse(w, http.StatusMethodNotAllowed, "POST requests are not allowed for WebSocket connections.")
		return
	}
	m.refuse(w, c.in.post(w, r), "")
}

// Of a body that nobody wants so much is read, for so long.
const (
	maxDiscarded = 256 << 10
	discardTime  = 5 * time.Second
)

// discard reads what is left of a body before the answer leaves. net/http does so
// unless the client has said that this request is its last: then such a client,
// which writes all before it reads, would find a cut and no answer.
func discard(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Header.Get("Expect") != "" {
		return // the client has asked first, and was not told to go on
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(discardTime)) // where it can be had
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscarded)                              // who does not send it gets the answer all the same
}

// delete ends a polled connection, and no other.
func (m *mount) delete(w http.ResponseWriter, r *http.Request) {
	c, kind, ok := m.find(w, r, false)
	switch {
	case !ok:
		return
	case kind != LongPolling:
		m.refuse(w, http.StatusBadRequest, "Cannot terminate this connection using the DELETE endpoint.")
		return
	}
	c.t.(*polls).delete()
	m.refuse(w, http.StatusAccepted, "")
}

// inputEnded is the end of what the client posts, which it has asked for. It is
// the reader's.
func (c *conn) inputEnded() {
	switch {
	case c.hub == nil:
		c.end(&ending{silent: true}) // no handshake: there is nobody to talk to
	case len(c.part) > 0:
		c.fail(errPartial)
	default:
		c.end(&ending{reconnect: true})
	}
}

// unblock lets a reader that waits for room go on: what it reads is the last.
func (c *conn) unblock() {
	c.mu.Lock()
	port := c.port
	c.mu.Unlock()
	if port != nil {
		port.Unblock()
	}
}
