package multiplex

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"
)

// A Channel is a stream of bytes both ways. All methods may be called at the same
// time; Reads and Writes wait for one another. A Channel must be closed.
type Channel struct {
	m     *Conn
	id    id
	name  string
	taken bool // an offer that was accepted; guarded by Conn.mu

	reading, writing sync.Mutex // held by Read and Write

	mu      sync.Mutex // guards the following
	open    bool       // accepted, by either end
	news    chan struct{}
	buf     []byte
	from    int
	eof     bool  // no more content comes
	window  int64 // how much may be written without an answer
	sent    int64 // and was
	read    int64 // not yet told
	closedW bool  // nothing more is written
	deaf    bool  // the other end reads no more
	closed  bool
	err     error // of the end, where it is none of ours
	readEnd time.Time
	timer   *time.Timer
}

func newChannel(m *Conn, at id, name string) *Channel {
	return &Channel{m: m, id: at, name: name, news: make(chan struct{})}
}

// ID is the channel's number: what stands for it in a message.
func (c *Channel) ID() uint64 { return c.id.n }

// Name is the name under which it was offered; empty where it has none.
func (c *Channel) Name() string { return c.name }

// Conn is the connection that carries it.
func (c *Channel) Conn() *Conn { return c.m }

// newsLocked wakes all who wait for a change.
func (c *Channel) newsLocked() {
	close(c.news)
	c.news = make(chan struct{})
}

// Accepted waits until the other end has accepted the channel.
func (c *Channel) Accepted(ctx context.Context) error {
	for {
		c.mu.Lock()
		open, err, news := c.open, c.endLocked(), c.news
		c.mu.Unlock()
		switch {
		case open:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endLocked is why nothing can be written any more.
func (c *Channel) endLocked() error {
	switch {
	case c.err != nil:
		return c.err
	case c.closed:
		return ErrClosed
	}
	return nil
}

// accept accepts an offer of the other end.
func (c *Channel) accept() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open || c.closed || c.err != nil {
		return
	}
	c.open = true
	var payload []byte
	if c.m.opts.Version == 1 {
		c.window = math.MaxInt64
	} else {
		payload = appendCount(c.m.opts.Window)
	}
	c.m.out.put(c.m.wire.append(nil, frame{code: accepted, id: c.id, payload: payload}))
	c.newsLocked()
}

// acceptedBy is the acceptance of the other end.
func (c *Channel) acceptedBy(window int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open || !c.id.mine {
		return
	}
	c.open, c.window = true, window
	if c.m.opts.Version == 1 {
		c.window = math.MaxInt64
	}
	c.newsLocked()
}

// came takes content.
func (c *Channel) came(p []byte) error {
	c.mu.Lock()
	if c.closed || c.eof {
		c.mu.Unlock()
		return nil
	}
	waits := len(c.buf) - c.from
	limit := c.m.opts.Window
	if c.m.opts.Version == 1 {
		limit *= 160
	} else {
		waits += int(c.read) // it has not been told yet that it may send these again
	}
	if waits+len(p) > limit {
		c.mu.Unlock()
		if c.m.opts.Version > 1 {
			return errOverflow
		}
		c.end(errOverflow)
		return nil
	}
	if c.from > 0 && len(c.buf)+len(p) > cap(c.buf) {
		c.buf = c.buf[:copy(c.buf, c.buf[c.from:])]
		c.from = 0
	}
	c.buf = append(c.buf, p...)
	c.newsLocked()
	c.mu.Unlock()
	return nil
}

// Read reads what has come. io.EOF is the end of what the other end writes.
func (c *Channel) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		c.mu.Lock()
		n := copy(p, c.buf[c.from:])
		switch {
		case c.closed:
			c.mu.Unlock()
			return 0, ErrClosed
		case !c.readEnd.IsZero() && !time.Now().Before(c.readEnd):
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case n > 0:
			if c.from += n; c.from == len(c.buf) {
				c.buf, c.from = c.buf[:0], 0
				if cap(c.buf) > 64<<10 {
					c.buf = nil
				}
			}
			c.tellLocked(n)
			c.mu.Unlock()
			return n, nil
		case len(p) == 0:
			c.mu.Unlock()
			return 0, nil
		case c.eof:
			c.mu.Unlock()
			return 0, io.EOF
		case c.err != nil:
			defer c.mu.Unlock()
			return 0, c.err
		}
		news := c.news
		c.mu.Unlock()
		<-news // closed by came, wrote, lost, Close and the deadline
	}
}

// tellLocked lets the other end send as much again, once it is worth a frame.
func (c *Channel) tellLocked(n int) {
	if c.m.opts.Version == 1 {
		return
	}
	if c.read += int64(n); c.read < int64(c.m.opts.Window+1)/2 || c.eof {
		return
	}
	c.m.out.put(c.m.wire.append(nil, frame{code: processed, id: c.id, payload: appendCount(int(c.read))}))
	c.read = 0
}

// credit lets this end send n bytes more.
func (c *Channel) credit(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = max(0, c.sent-n)
	c.newsLocked()
}

// Write writes p, and waits while the other end does not read, or has not accepted
// the channel.
func (c *Channel) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		c.mu.Lock()
		news := c.news
		err := c.endLocked()
		switch {
		case err != nil:
		case c.closedW:
			err = ErrClosed
		case c.deaf:
			err = io.ErrClosedPipe
		}
		room := min(int64(len(p)), maxContent)
		if !c.open {
			room = 0
		} else if c.window != math.MaxInt64 {
			room = min(room, c.window-c.sent)
		}
		if err != nil || len(p) == 0 {
			c.mu.Unlock()
			return n, err
		}
		if room <= 0 {
			c.mu.Unlock()
			<-news // closed by acceptedBy, credit, unread, lost and Close
			continue
		}
		full, err := c.m.out.send(func(dst []byte) []byte {
			return c.m.wire.append(dst, frame{code: content, id: c.id, payload: p[:room]})
		})
		if err == nil && full == nil {
			c.sent += room
			n += int(room)
			p = p[room:]
		}
		c.mu.Unlock()
		switch {
		case err != nil:
			return n, err
		case full != nil:
			select {
			case <-full:
			case <-news:
			}
		}
	}
}

// CloseWrite says that no more is written; the other end reads io.EOF then.
func (c *Channel) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeWriteLocked()
}

func (c *Channel) closeWriteLocked() error {
	if c.closed || c.closedW || c.err != nil {
		return nil
	}
	c.closedW = true
	c.m.out.put(c.m.wire.append(nil, frame{code: writingDone, id: c.id}))
	c.newsLocked()
	return nil
}

// Close ends the channel: what was written arrives, what was not read is lost.
func (c *Channel) Close() error {
	c.end(nil)
	return nil
}

// Fail is Close that tells the other end why. Version 1 cannot say it.
func (c *Channel) Fail(err error) { c.end(err) }

func (c *Channel) end(err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	if err == nil {
		_ = c.closeWriteLocked()
	}
	c.closed = true
	if c.err == nil {
		if err != nil {
			c.err = err
		}
		c.m.out.put(c.m.wire.append(nil, frame{code: terminated, id: c.id, payload: c.m.wire.appendFault(err)}))
	}
	c.buf, c.from = nil, 0
	c.stopLocked()
	c.newsLocked()
	c.mu.Unlock()
	c.m.remove(c)
}

// wrote is the end of what the other end writes.
func (c *Channel) wrote() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eof = true
	c.newsLocked()
}

// unread is that the other end reads no more.
func (c *Channel) unread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = true
	c.newsLocked()
}

// terminatedBy is the end of the channel at the other end.
func (c *Channel) terminatedBy(why string) {
	c.mu.Lock()
	switch {
	case why != "":
		c.err = errors.New("multiplex: the other end: " + why)
	case !c.open:
		c.err = ErrRefused
	default:
		c.err, c.eof = ErrClosed, true
	}
	c.newsLocked()
	c.mu.Unlock()
	c.m.remove(c)
}

// lost is the end of the connection.
func (c *Channel) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		if err == ErrClosed {
			c.eof = true
		}
	}
	c.newsLocked()
}

// SetReadDeadline ends Reads at t, those that wait too, with os.ErrDeadlineExceeded.
// The zero time is never.
func (c *Channel) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopLocked()
	if c.readEnd = t; !t.IsZero() && !c.closed {
		if wait := time.Until(t); wait > 0 {
			c.timer = time.AfterFunc(wait, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.newsLocked()
			})
		}
	}
	c.newsLocked()
	return nil
}

func (c *Channel) stopLocked() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// flushTime is how long the other end may take to read the last words.
const flushTime = time.Second

func newFlushTimer() *time.Timer { return time.NewTimer(flushTime) }
