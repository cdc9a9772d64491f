package hubwire

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"github.com/hubwire/hubwire/wire"
)

// An ask is a question to a client that waits for its answer.
type ask struct {
	conn *Conn      // who is asked; nil: a connection of another node
	then func(*ask) // called once answered; set for another node's question
	once sync.Once
	done chan struct{}
	val  wire.Values // copied
	err  error
}

// asks are the questions of a hub that wait, by id.
type asks struct {
	mu   sync.Mutex
	byID map[string]*ask
}

// add registers a question to c.
func (t *asks) add(id string, c *Conn, then func(*ask)) *ask {
	a := &ask{conn: c, then: then, done: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[string]*ask{}
	}
	t.byID[id] = a
	return a
}

func (t *asks) get(id string) *ask {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

func (t *asks) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

func (a *ask) answer(v wire.Values, err error) {
	a.once.Do(func() {
		a.val, a.err = v, err
		close(a.done)
		if a.then != nil {
			a.then(a)
		}
	})
}

func (a *ask) fail(err error) { a.answer(wire.Values{}, err) }

// result decodes the answer into what into points to; nil wants none.
func (a *ask) result(into any) error {
	switch {
	case a.err != nil:
		return a.err
	case into == nil:
		return nil
	case len(a.val.List) == 0:
		if a.val.Err != nil {
			return a.val.Err
		}
		return Errorf(CodeUnknown, "The client gave no result.")
	}
	if err := a.val.Codec.Decode(a.val.List[0], into); err != nil {
		return Errorf(CodeInvalidArgument, "Error trying to deserialize result to %s. %v", netType(reflect.TypeOf(into).Elem()), err)
	}
	return nil
}

// netType is what .NET calls a type, where it has the same.
func netType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "String"
	case reflect.Bool:
		return "Boolean"
	case reflect.Int, reflect.Int32:
		return "Int32"
	case reflect.Int64:
		return "Int64"
	case reflect.Float64:
		return "Double"
	}
	if t.Name() == "" {
		return t.String()
	}
	return t.Name()
}

func errLeft(id string) error { return &wire.ConnError{Conn: id, Left: true} }

func errUnknown(id string) error { return &wire.ConnError{Conn: id} }

var errAskInConnect = errors.New("Client results inside OnConnectedAsync Hub methods are not allowed.")

var errNoAnswer = Errorf(CodeUnimplemented, "hubwire: the client cannot be asked")

// ask sends a question and waits for the answer.
func (c *Conn) ask(ctx context.Context, name string, lay *layout, in, into any) error {
	if c.once {
		return Errorf(CodeUnimplemented, "hubwire: a call without a connection cannot be asked")
	}
	if !c.flags.has(isAsking) {
		return errAskInConnect
	}
	m := &message{name: name, lay: lay, v: in}
	id := "s" + strconv.FormatUint(c.hub.questions.Add(1), 10)
	s := scratches.Get().(*scratch)
	buf, err := c.encodeAsk(ctx, s.buf[:0], m, id)
	if err != nil {
		s.free()
		if errors.Is(err, wire.ErrNoAnswer) {
			err = errNoAnswer
		}
		return err
	}
	s.buf = buf
	a, err := c.startAsk(id, nil, nil)
	if err != nil {
		s.free()
		return err
	}
	defer c.endAsk(id)
	if call := callOf(ctx); call != nil {
		call.release()
	}
	if err := c.wait(ctx, c.hub.waitBytes()); err != nil {
		s.free()
		if err == ErrClosed {
			return errLeft(c.id)
		}
		return err
	}
	c.send(buf, "", result)
	s.free()
	select {
	case <-a.done:
		return a.result(into)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Conn) encodeAsk(ctx context.Context, dst []byte, m *message, id string) ([]byte, error) {
	if out := c.hub.opts.TraceOut; out != nil {
		if p, ok := c.protocol().(wire.HeaderProtocol); ok {
			return encodeFor(dst, withHeaders{p, out(ctx)}, m, id)
		}
	}
	return encodeFor(dst, c.protocol(), m, id)
}

// withHeaders is a protocol whose events carry headers.
type withHeaders struct {
	wire.HeaderProtocol
	headers map[string]string
}

func (p withHeaders) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	return p.AppendEventHeaders(dst, name, callID, p.headers, args)
}

// startAsk registers a question, or says that the connection has ended.
func (c *Conn) startAsk(id string, then func(*ask), begun func(*ask)) (*ask, error) {
	c.state.Lock()
	defer c.state.Unlock()
	if c.ended {
		return nil, errLeft(c.id)
	}
	if c.asks == nil {
		c.asks = map[string]*ask{}
	}
	a := c.hub.asks.add(id, c, then)
	c.asks[id] = a
	if begun != nil {
		begun(a)
	}
	return a, nil
}

// askCount is how many questions wait for the connection.
func (c *Conn) askCount() int {
	c.state.Lock()
	defer c.state.Unlock()
	return len(c.asks)
}

func (c *Conn) endAsk(id string) {
	c.hub.asks.remove(id)
	c.state.Lock()
	defer c.state.Unlock()
	if delete(c.asks, id); len(c.asks) == 0 {
		c.asks = nil
	}
}

// Answer gives the client's answer to the question id: one value, none (v.Err
// is then what that means where a value was wanted), or an error. It copies v.
// An answer to a question that nobody waits for is dropped; an error of Answer
// says that the question was put to another connection, and that this one is to
// be closed with it.
func (p *Port) Answer(id string, v wire.Values, err error) error {
	c := p.c()
	a := c.hub.asks.get(id)
	switch {
	case a == nil:
		return nil
	case a.conn != c:
		return fmt.Errorf("Connection ID '%s' is not valid for invocation ID '%s'.", c.id, id)
	}
	if len(v.List) > 0 {
		v.List = [][]byte{append([]byte(nil), v.List[0]...)}
	}
	a.answer(v, err)
	return nil
}
