package jsonrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/rawconn"
)

// Sizes of the reader's buffer: as it begins, and the largest that is kept.
const (
	firstBuffer = 16 << 10
	keptBuffer  = 64 << 10
)

// A stream is a transport over a stream of bytes.
type stream struct {
	rwc    io.ReadWriteCloser
	format Framing

	mu   sync.Mutex // guards the following
	fd   int        // while it may be written to; -1: not directly
	raw  syscall.RawConn
	p    []byte // what write writes
	n    int
	err  error
	once func(uintptr) bool
	over bool
	half bool // our output has ended
}

// A tryWriter is a stream that can be written to without waiting.
type tryWriter interface{ TryWrite(p []byte) (int, error) }

func newStream(rwc io.ReadWriteCloser, f Framing) *stream {
	t := &stream{rwc: rwc, format: f, fd: -1}
	if nc, ok := rwc.(net.Conn); ok {
		if fd, ok := rawconn.Descriptor(nc); ok {
			t.fd = fd
		}
	}
	return t
}

func (t *stream) framing() Framing { return t.format }

func (t *stream) name() (string, string) {
	if nc, ok := t.rwc.(net.Conn); ok && nc.RemoteAddr() != nil {
		return nc.RemoteAddr().Network(), nc.RemoteAddr().String()
	}
	return "stream", ""
}

func (t *stream) TryWrite(p []byte) (int, error) {
	if t.mute() {
		return len(p), nil
	}
	if w, ok := t.rwc.(tryWriter); ok {
		return w.TryWrite(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return 0, net.ErrClosed
	case t.fd < 0:
		return 0, nil
	}
	return rawconn.TryWrite(t.fd, p)
}

func (t *stream) Write(p []byte) error {
	if t.mute() {
		return nil
	}
	_, err := t.rwc.Write(p)
	return err
}

// mute reports whether our output has ended.
func (t *stream) mute() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.half
}

// closeWrite ends our output.
func (t *stream) closeWrite() error {
	h, ok := t.rwc.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("jsonrpc: close the output: %w", errors.ErrUnsupported)
	}
	t.mu.Lock()
	again := t.half || t.over
	t.half = true
	t.mu.Unlock()
	if again {
		return nil
	}
	return h.CloseWrite()
}

var past = time.Unix(1, 0)

// stop lets the reader return.
func (t *stream) stop(c *Conn) {
	if d, ok := t.rwc.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(past) == nil {
		return
	}
	port := c.port // nil while Sniff waits
	if port == nil {
		t.close()
		return
	}
	go func() { // ends within flushTime
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		_ = port.Flush(ctx) // what is not read by then is lost
		t.close()
	}()
}

func (t *stream) close() {
	t.mu.Lock()
	over := t.over
	t.over, t.fd = true, -1
	t.mu.Unlock()
	if !over {
		_ = t.rwc.Close() // nobody could do anything about it
	}
}

// pass makes another goroutine the reader.
func (t *stream) pass(c *Conn) { go t.run(c) } // ends with the connection, or with its own pass

// run reads until the end. A panic, which would be a fault of this package, ends
// the connection alone.
func (t *stream) run(c *Conn) {
	defer func() {
		if v := recover(); v != nil {
			c.finish(c.panicked(v))
		}
	}()
	if t.format == Sniff && !t.sniff(c) {
		return
	}
	if c.buf == nil {
		c.buf = make([]byte, firstBuffer)
	}
	for {
		if c.from < c.to && c.fresh {
			c.fresh = false
		} else if !t.fill(c) {
			return
		}
		if err := c.consume(); err != nil {
			c.finish(err)
			return
		}
		if !c.idle() {
			return
		}
	}
}

// fill reads once. It reports false at the end.
func (t *stream) fill(c *Conn) bool {
	n, err := t.rwc.Read(c.buf[c.to:])
	c.to += n
	if n > 0 || err == nil {
		return true
	}
	rest := c.buf[c.from:c.to]
	if last := c.dec.last(rest); len(last) > 0 && err == io.EOF {
		c.from = c.to
		c.text(last)
		if !c.idle() {
			return false // the next reader finds the end
		}
	}
	if err == io.EOF && c.dec.inside(c.buf[c.from:c.to]) {
		err = io.ErrUnexpectedEOF
	}
	if c.quiet.Load() { // the end is ours
		err = nil
	}
	c.finish(err)
	return false
}

// sniff reads until the framing is known, and opens the connection.
func (t *stream) sniff(c *Conn) bool {
	c.buf = make([]byte, firstBuffer)
	for c.dec.framing == Sniff {
		n, err := t.rwc.Read(c.buf[c.to:])
		c.to += n
		c.dec.sniff(c.buf[:c.to])
		if err != nil && c.dec.framing == Sniff {
			if c.quiet.Load() || errors.Is(err, net.ErrClosed) {
				err = nil
			}
			c.finish(err)
			return false
		}
	}
	t.format = c.dec.framing
	c.fresh = true
	return c.open(c.opts.Context, c.opts.User, &hubwire.Request{}) == nil
}

// consume takes the whole messages that are there.
func (c *Conn) consume() error {
	for c.from < c.to {
		body, whole, used, err := c.dec.next(c.buf[c.from:c.to])
		c.from += used
		if err != nil {
			if _, lost := errors.AsType[*frameError](err); lost {
				return err
			}
			e := tooLarge()
			if err == errCharset {
				e = &Error{Code: CodeParse, Message: "Parse error: " + err.Error()}
			}
			if err := c.refuse(e); err != nil {
				return err
			}
		}
		if whole {
			if err := c.text(body); err != nil {
				return err
			}
		}
		if used == 0 {
			break
		}
	}
	switch {
	case c.from == c.to:
		c.from, c.to = 0, 0
		if len(c.buf) > keptBuffer {
			c.buf = make([]byte, firstBuffer)
		}
	case c.to == len(c.buf) && c.from > 0:
		c.to = copy(c.buf, c.buf[c.from:c.to])
		c.from = 0
	case c.to == len(c.buf):
		// It has come, so there may be room for it, and for as much again.
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	return nil
}

func tooLarge() *Error {
	return &Error{Code: CodeInvalidRequest, Message: "Invalid request: " + errTooLarge.Error() + "."}
}

// idle runs what the reader may run, and waits for room, before it reads on. It
// reports false where another goroutine has become the reader.
func (c *Conn) idle() bool {
	if !c.port.Turn() {
		return false
	}
	if c.port.Full() {
		c.port.Wait()
	}
	return true
}
