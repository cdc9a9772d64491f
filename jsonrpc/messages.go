package jsonrpc

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/hubwire/hubwire"
)

// Messages carry whole messages, as a WebSocket does: what NewMessageConn makes a
// connection of. ReadMessage and WriteMessage are called by one goroutine each;
// Close by any, more than once.
type Messages interface {
	// ReadMessage returns the next message, which is valid until the next call.
	// io.EOF is the end in good order. Close ends it.
	ReadMessage() ([]byte, error)
	// WriteMessage writes a message, and may wait. p is not kept. Close ends it.
	WriteMessage(p []byte) error
	// Close ends both directions; it may wait for the peer's goodbye.
	Close() error
}

// NewMessageConn is NewConn over a transport that has messages. Options.Framing
// has no use.
func NewMessageConn(m Messages, hub *hubwire.Hub, opts *Options) *Conn {
	return newService(hub, opts, Barrier).messages(m, "messages", "")
}

func (s *service) messages(m Messages, transport, remote string) *Conn {
	t := &messages{m: m, transport: transport, remote: remote}
	c := s.conn(t)
	if c.open(s.opts.Context, s.opts.User, &hubwire.Request{}) == nil {
		go t.run(c) // ends with the connection
	}
	return c
}

// messages is the transport.
type messages struct {
	m                 Messages
	transport, remote string
	once              sync.Once
	part              []byte // of a message that is to be written
}

// framing is how the hub hands messages over: it keeps them apart.
func (t *messages) framing() Framing { return Length }

func (t *messages) name() (string, string) { return t.transport, t.remote }

// TryWrite leaves all to Write.
func (t *messages) TryWrite([]byte) (int, error) { return 0, nil }

// Write writes the messages that are whole, and keeps what is left: the hub hands
// over much in pieces.
func (t *messages) Write(p []byte) error {
	if len(t.part) > 0 {
		t.part = append(t.part, p...)
		p = t.part
	}
	for len(p) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(p))
		if len(p) < n {
			break
		}
		if err := t.m.WriteMessage(p[4:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	t.part = append(t.part[:0], p...)
	if len(p) == 0 && cap(t.part) > keptBuffer {
		t.part = nil
	}
	return nil
}

func (t *messages) stop(c *Conn) {
	go func() { // ends with Close, behind what waits
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		_ = c.port.Flush(ctx) // what is not read by then is lost
		t.close()
	}()
}

func (t *messages) close() { t.once.Do(func() { _ = t.m.Close() }) } // nobody could do anything about it

// pass makes another goroutine the reader.
func (t *messages) pass(c *Conn) { go t.run(c) } // ends with the connection, or with its own pass

func (t *messages) run(c *Conn) {
	defer func() {
		if v := recover(); v != nil {
			c.finish(c.panicked(v))
		}
	}()
	for {
		body, err := t.m.ReadMessage()
		if c.quiet.Load() {
			err = io.EOF // the end is ours
		}
		if err == nil && len(body) > c.opts.MaxMessage {
			err = c.refuse(tooLarge())
		} else if err == nil && len(body) > 0 {
			err = c.text(body)
		}
		if err != nil {
			c.finish(err)
			return
		}
		if !c.idle() {
			return
		}
	}
}
