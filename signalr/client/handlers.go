package client

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// On adds handlers of events, and of questions; off takes them away again. Names
// match exactly, as with .NET's client. An event goes to all its handlers, in
// the order in which they were added; one without a handler is passed over. On
// panics where a ClientMethod would be answered twice.
//
// What comes before the handler is added is lost to it: what the hub sends at
// once, upon the connection, needs Options.Handlers.
func (c *Conn) On(handlers ...hubwire.ClientHandler) (off func()) {
	added := make([]*bound, len(handlers))
	c.bound.Lock()
	defer c.bound.Unlock()
	for i, h := range handlers {
		if h.Kind() == wire.ClientMethod && slices.ContainsFunc(c.bound.byName[h.Name()], (*bound).answers) {
			panic(fmt.Sprintf("client: %s is answered twice", h.Name()))
		}
		added[i] = &bound{h}
		if c.bound.byName == nil {
			c.bound.byName = map[string][]*bound{}
		}
		// A copy: what is being called does not change.
		c.bound.byName[h.Name()] = append(slices.Clip(c.bound.byName[h.Name()]), added[i])
	}
	return func() { c.off(added) }
}

func (c *Conn) off(added []*bound) {
	c.bound.Lock()
	defer c.bound.Unlock()
	for _, b := range added {
		name := b.Name()
		left := slices.DeleteFunc(slices.Clone(c.bound.byName[name]), func(x *bound) bool { return x == b })
		if len(left) == 0 {
			delete(c.bound.byName, name)
		} else {
			c.bound.byName[name] = left
		}
	}
}

// A bound is a handler that was added, and can be taken away.
type bound struct{ hubwire.ClientHandler }

func (b *bound) answers() bool { return b.Kind() == wire.ClientMethod }

type bindings struct {
	sync.RWMutex
	byName map[string][]*bound
}

func (b *bindings) of(name string) []*bound {
	b.RLock()
	defer b.RUnlock()
	return b.byName[name]
}

// FromContext is the connection of a handler, from its ctx; nil elsewhere. It is
// there before Dial has returned.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

type connKey struct{}

// A job is something for the handlers: an event, a question, or a callback.
type job struct {
	session *session
	name    string
	id      string // of a question; else empty
	values  wire.Values
	size    int
	call    func() // a callback; most of the rest is empty then
	last    bool   // the callback comes whatever was closed
}

// An inbox is the line before the handlers. Its bytes are counted by the flow.
type inbox struct {
	wake chan struct{} // something is there; closed at the end

	mu   sync.Mutex // guards the following
	jobs []job
	over bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(j job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.jobs = append(b.jobs, j)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// end lets what is in be done and takes nothing in any more.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over = true
		close(b.wake)
	}
}

// all takes all jobs, and reports whether there can be more.
func (b *inbox) all(into []job) (_ []job, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	jobs := b.jobs
	b.jobs = into
	return jobs, !b.over
}

// invoked puts an event or a question in line.
func (s *session) invoked(m *message) error {
	v, size := s.values(m)
	if err := s.conn.flow.add(size); err != nil {
		return err
	}
	s.conn.inbox.put(job{session: s, name: string(m.target), id: string(m.id), values: v, size: size})
	return nil
}

// maxQuestions is how many questions may be answered at a time; the next waits,
// and what is behind it.
const maxQuestions = 100

// dispatch runs handlers, one after the other, until the connection has ended
// and all is done. Questions run beside each other, so that one whose answer
// takes another question does not wait for itself.
func (c *Conn) dispatch() {
	questions := make(chan struct{}, maxQuestions)
	var spare []job
	for more := true; more; {
		<-c.inbox.wake
		var jobs []job
		jobs, more = c.inbox.all(spare[:0])
		for _, j := range jobs {
			if j.call == nil {
				c.flow.free(1, j.size)
			}
			switch {
			case c.handling.Err() != nil && !j.last: // closed: the rest does not matter
			case j.call != nil:
				c.guard("callback", j.call)
			case j.id == "":
				c.event(c.handling, j)
			default:
				select {
				case questions <- struct{}{}:
					c.wg.Go(func() { // ends with the handler
						defer func() { <-questions }()
						c.question(j)
					})
				case <-c.handling.Done():
				}
			}
		}
		clear(jobs)
		if spare = jobs; cap(spare) > 1<<10 {
			spare = nil
		}
	}
}

// event calls the handlers of an event. What they return has nobody to tell.
func (c *Conn) event(ctx context.Context, j job) {
	handlers := c.bound.of(j.name)
	if len(handlers) == 0 {
		c.log().Debug("no handler", "conn", j.session.id, "name", j.name)
	}
	for _, h := range handlers {
		c.guard(j.name, func() {
			if _, err := h.Serve(ctx, j.values); err != nil {
				c.log().Warn("event", "conn", j.session.id, "name", j.name, "err", err)
			}
		})
	}
}

// The texts of answers are those of the official clients (section 6.7).
const noResult = "Client didn't provide a result."

// question calls the handlers, and sends what the one that answers says.
func (c *Conn) question(j job) {
	s := j.session
	// The answer is for this connection alone.
	ctx, cancel := context.WithCancel(c.handling)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	text := noResult
	var result any
	for _, h := range c.bound.of(j.name) {
		if !h.answers() {
			c.event(ctx, j)
			continue
		}
		text = "panic"
		c.guard(j.name, func() {
			v, err := h.Serve(ctx, j.values)
			if result, text = v, ""; err != nil {
				text = err.Error()
				if text == "" {
					text = "Error"
				}
			}
		})
	}
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	if text == "" {
		var err error
		if *b, err = s.proto.appendResult((*b)[:0], j.id, result); err != nil {
			text = fmt.Sprintf("%s: result: %v", j.name, err)
		}
	}
	if text != "" {
		*b = s.proto.appendFailure((*b)[:0], j.id, text)
	}
	if err := s.out.send(s.ctx, &c.flow, *b); err != nil {
		c.log().Debug("answer", "conn", s.id, "name", j.name, "err", err)
	}
}

// guard calls user code, which may panic.
func (c *Conn) guard(name string, call func()) {
	defer func() {
		if v := recover(); v != nil {
			c.log().Error("panic", "name", name, "err", v, "stack", string(debug.Stack()))
		}
	}()
	call()
}
