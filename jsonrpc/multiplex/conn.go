package multiplex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Options configure a Conn. A nil *Options and zero fields mean the defaults.
type Options struct {
	// Version is the protocol's: 1, 2 or 3. Both ends must have the same. Defaults
	// to 3.
	Version int
	// Window is how many bytes may wait for the reader of a channel before its
	// writer has to. Defaults to 100 KiB. Version 1 has no windows: above 160 times
	// as much the channel is ended.
	Window int
	// MaxChannels is how many channels there may be that the other end has offered;
	// more are refused. Defaults to 1024.
	MaxChannels int
}

func (o *Options) withDefaults() Options {
	var x Options
	if o != nil {
		x = *o
	}
	if x.Version == 0 {
		x.Version = 3
	}
	if x.Window == 0 {
		x.Window = 5 * maxContent
	}
	if x.MaxChannels == 0 {
		x.MaxChannels = 1024
	}
	switch {
	case x.Version < 1 || x.Version > 3:
		panic(fmt.Sprintf("multiplex: options: Version is %d, which there is not", x.Version))
	case x.Window < 0 || x.MaxChannels < 0:
		panic("multiplex: options: Window and MaxChannels must not be negative")
	}
	return x
}

var (
	// ErrClosed is the error of a connection, or a channel, that has ended.
	ErrClosed = errors.New("multiplex: closed")
	// ErrRefused is the error of an offer that the other end has turned down.
	ErrRefused = errors.New("multiplex: the offer was refused")

	errTwice    = errors.New("multiplex: a channel was offered twice")
	errNoOffer  = errors.New("multiplex: there is no such offer")
	errOverflow = errors.New("multiplex: more came than the window allows")
)

// A Conn is one end of a stream of bytes that carries many. All methods may be
// called at the same time. A Conn owns two goroutines, which have ended when Done
// is closed.
type Conn struct {
	rwc  io.ReadWriteCloser
	opts Options
	wire wire
	out  outbox
	wg   sync.WaitGroup
	done chan struct{}

	mu       sync.Mutex // guards the following
	channels map[id]*Channel
	theirs   int // of channels, that the other end has offered
	last     uint64
	waiting  map[string][]*Channel // named offers that nobody has accepted
	news     chan struct{}         // closed when there is an offer; nil where nobody waits
	err      error
	ended    bool
}

// New makes one end of a connection. In versions 1 and 2 it waits for the other
// end, for ctx at most; after an error rwc is closed.
func New(ctx context.Context, rwc io.ReadWriteCloser, opts *Options) (*Conn, error) {
	m := &Conn{
		rwc: rwc, opts: opts.withDefaults(), done: make(chan struct{}),
		channels: map[id]*Channel{}, waiting: map[string][]*Channel{},
	}
	m.wire.version = m.opts.Version
	m.out.wake = make(chan struct{}, 1)
	m.wg.Go(m.write) // ends with the connection
	var rest []byte
	if m.opts.Version < 3 {
		stop := context.AfterFunc(ctx, func() { _ = rwc.Close() })
		var err error
		rest, err = m.shake()
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			m.fail(err)
			m.wg.Wait()
			close(m.done)
			return nil, err
		}
	}
	go func() { // ends with the connection
		m.read(rest)
		m.wg.Wait()
		close(m.done)
	}()
	return m, nil
}

// shake greets the other end, and finds out who has the odd numbers: who has said
// the larger random bytes.
func (m *Conn) shake() (rest []byte, err error) {
	own := newRandom()
	m.out.put(greeting(m.opts.Version, own))
	random, rest, err := greet(m.rwc, m.opts.Version)
	if err != nil {
		return nil, err
	}
	n := bytes.Compare(own, random)
	if n == 0 {
		return nil, errHandshake // an echo
	}
	m.wire.odd = n > 0
	return rest, nil
}

// Done is closed when the connection has ended.
func (m *Conn) Done() <-chan struct{} { return m.done }

// Err says how the connection ended; nil if in good order.
func (m *Conn) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == ErrClosed {
		return nil
	}
	return m.err
}

// Close ends the connection and all its channels: what was written is sent, unless
// the other end does not read.
func (m *Conn) Close() error {
	m.out.flush(m)
	m.fail(ErrClosed)
	<-m.done
	return nil
}

// fail ends the connection.
func (m *Conn) fail(err error) {
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return
	}
	m.ended, m.err = true, err
	channels := m.channels
	m.channels, m.waiting = map[id]*Channel{}, nil
	m.newsLocked()
	m.mu.Unlock()
	m.out.end()
	_ = m.rwc.Close() // nobody could do anything about it
	if err == io.EOF {
		err = ErrClosed
	}
	for _, c := range channels {
		c.lost(err)
	}
}

func (m *Conn) newsLocked() {
	if m.news != nil {
		close(m.news)
		m.news = nil
	}
}

// Offer offers a channel and waits until the other end accepts it.
func (m *Conn) Offer(ctx context.Context, name string) (*Channel, error) {
	c, err := m.offer(name)
	if err != nil {
		return nil, err
	}
	if err := c.Accepted(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Create offers a channel without a name, which the other end accepts by its ID. It
// does not wait: what is written waits until then.
func (m *Conn) Create() (*Channel, error) { return m.offer("") }

func (m *Conn) offer(name string) (*Channel, error) {
	m.mu.Lock()
	if m.ended {
		defer m.mu.Unlock()
		return nil, m.endLocked()
	}
	switch {
	case m.opts.Version == 3:
		m.last++
	case m.last == 0 && m.wire.odd:
		m.last = 1
	default:
		m.last += 2
	}
	c := newChannel(m, id{m.last, true}, name)
	m.channels[c.id] = c
	// Under the lock, so that numbers are offered in their order.
	m.out.put(m.wire.append(nil, frame{code: offered, id: c.id, payload: m.wire.appendOffer(name, m.opts.Window)}))
	m.mu.Unlock()
	return c, nil
}

func (m *Conn) endLocked() error {
	if m.err == io.EOF || m.err == nil {
		return ErrClosed
	}
	return m.err
}

// Accept accepts the oldest offer of that name, and waits for one.
func (m *Conn) Accept(ctx context.Context, name string) (*Channel, error) {
	for {
		m.mu.Lock()
		if m.ended {
			defer m.mu.Unlock()
			return nil, m.endLocked()
		}
		if waits := m.waiting[name]; len(waits) > 0 {
			c := waits[0]
			m.forgetLocked(c)
			m.mu.Unlock()
			c.accept()
			return c, nil
		}
		if m.news == nil {
			m.news = make(chan struct{})
		}
		news := m.news
		m.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// AcceptID accepts the offer with that ID, which has come.
func (m *Conn) AcceptID(n uint64) (*Channel, error) {
	m.mu.Lock()
	c := m.channels[id{n, false}]
	if c == nil || c.taken {
		defer m.mu.Unlock()
		if m.ended {
			return nil, m.endLocked()
		}
		return nil, errNoOffer
	}
	m.forgetLocked(c)
	m.mu.Unlock()
	c.accept()
	return c, nil
}

// forgetLocked takes an offer from those that wait.
func (m *Conn) forgetLocked(c *Channel) {
	c.taken = true
	waits := m.waiting[c.name]
	for i, w := range waits {
		if w == c {
			waits = append(waits[:i:i], waits[i+1:]...)
			break
		}
	}
	if len(waits) == 0 {
		delete(m.waiting, c.name)
	} else {
		m.waiting[c.name] = waits
	}
}

// remove forgets a channel that has ended here.
func (m *Conn) remove(c *Channel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.channels[c.id] != c {
		return
	}
	delete(m.channels, c.id)
	if !c.id.mine {
		m.theirs--
		if m.waiting != nil {
			m.forgetLocked(c)
		}
	}
}

// read reads frames until the end.
func (m *Conn) read(buf []byte) {
	buf = append(make([]byte, 0, 32<<10), buf...)
	for {
		used := 0
		for {
			f, n, err := m.wire.next(buf[used:])
			if err == nil && n > 0 {
				err = m.take(f)
			}
			if err != nil {
				m.fail(err)
				return
			}
			if n == 0 {
				break
			}
			used += n
		}
		buf = buf[:copy(buf, buf[used:])]
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, len(buf))...)[:len(buf)] // it has come
		}
		n, err := m.rwc.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			if err == io.EOF && len(buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			if err == io.EOF {
				m.fail(ErrClosed)
			} else {
				m.fail(fmt.Errorf("multiplex: read: %w", err))
			}
			return
		}
	}
}

// take takes a frame. What is about a channel that is not there any more, and what
// is not known, means nothing.
func (m *Conn) take(f frame) error {
	if f.none {
		return nil
	}
	if f.code == offered {
		return m.offeredTo(f)
	}
	m.mu.Lock()
	c := m.channels[f.id]
	m.mu.Unlock()
	if c == nil {
		return nil
	}
	switch f.code {
	case accepted:
		n, err := readCount(f.payload)
		if err != nil {
			return err
		}
		c.acceptedBy(n)
	case content:
		return c.came(f.payload)
	case writingDone:
		c.wrote()
	case terminated:
		c.terminatedBy(readFault(f.payload))
	case processed:
		n, err := readCount(f.payload)
		if err != nil {
			return err
		}
		c.credit(n)
	case readingDone:
		c.unread()
	}
	return nil
}

// offeredTo takes an offer.
func (m *Conn) offeredTo(f frame) error {
	name, window, err := m.wire.readOffer(f.payload)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ended:
		return nil
	case f.id.mine || m.channels[f.id] != nil:
		return errTwice
	case m.theirs >= m.opts.MaxChannels:
		if !m.out.put(m.wire.append(nil, frame{code: terminated, id: f.id, payload: m.wire.appendFault(errors.New("too many channels"))})) {
			return errors.New("multiplex: the other end offers channels and does not read")
		}
		return nil
	}
	c := newChannel(m, f.id, name)
	c.window = window
	m.channels[f.id] = c
	m.theirs++
	if name != "" {
		m.waiting[name] = append(m.waiting[name], c)
	}
	m.newsLocked()
	return nil
}
