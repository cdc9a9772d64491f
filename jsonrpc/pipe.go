package jsonrpc

import (
	"io"
	"sync"
)

// pipeRoom is how many bytes a Pipe holds in each direction.
const pipeRoom = 64 << 10

// Pipe makes a stream of bytes in memory, for two connections in one process:
// what is written to one end is read at the other. Each direction holds up to
// 64 KiB; a writer waits for room.
//
//	a, b := jsonrpc.Pipe()
//	server := jsonrpc.NewConn(a, hub, nil)
//	client := jsonrpc.NewConn(b, nil, nil)
func Pipe() (a, b io.ReadWriteCloser) {
	x, y := newDirection(), newDirection()
	return &pipeEnd{x, y}, &pipeEnd{y, x}
}

// A pipeEnd is one end.
type pipeEnd struct{ in, out *direction }

func (p *pipeEnd) Read(b []byte) (int, error)     { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error)    { return p.out.write(b, true) }
func (p *pipeEnd) TryWrite(b []byte) (int, error) { return p.out.write(b, false) }

// CloseWrite is the end of the other end's input.
func (p *pipeEnd) CloseWrite() error {
	p.out.end(false)
	return nil
}

// Close ends both directions. What was written before can still be read.
func (p *pipeEnd) Close() error {
	p.out.end(false)
	p.in.end(true)
	return nil
}

// A direction is half of a Pipe.
type direction struct {
	mu    sync.Mutex // guards the following
	cond  sync.Cond  // of all of it
	buf   []byte
	from  int
	ended bool // nothing more is written
	gone  bool // nothing more is read
}

func newDirection() *direction {
	d := &direction{}
	d.cond.L = &d.mu
	return d
}

func (d *direction) read(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.gone:
			return 0, io.ErrClosedPipe
		case d.from < len(d.buf):
			n := copy(b, d.buf[d.from:])
			if d.from += n; d.from == len(d.buf) {
				d.buf, d.from = d.buf[:0], 0
			}
			d.cond.Broadcast()
			return n, nil
		case d.ended:
			return 0, io.EOF
		}
		d.cond.Wait()
	}
}

// write writes what there is room for, or waits until all of it is written.
func (d *direction) write(b []byte, wait bool) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if d.ended || d.gone {
			return n, io.ErrClosedPipe
		}
		if d.from > 0 && len(d.buf)+len(b) > pipeRoom {
			d.buf = d.buf[:copy(d.buf, d.buf[d.from:])]
			d.from = 0
		}
		m := min(len(b), pipeRoom-len(d.buf))
		d.buf = append(d.buf, b[:m]...)
		b, n = b[m:], n+m
		if m > 0 {
			d.cond.Broadcast()
		}
		if len(b) == 0 || !wait {
			return n, nil
		}
		d.cond.Wait()
	}
}

func (d *direction) end(reading bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if reading {
		d.gone, d.buf, d.from = true, nil, 0
	} else {
		d.ended = true
	}
	d.cond.Broadcast()
}
