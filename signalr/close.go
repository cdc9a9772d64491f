package signalr

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

// An ending says how a connection ends (section 6.8).
type ending struct {
	text      *string // error of the Close message; nil is none
	reconnect bool
	cause     error  // for Disconnect
	refusal   string // of the handshake, instead of a Close message
	silent    bool   // nothing can be said
	drain     bool   // calls that came before it still run
	shutdown  bool   // the process may end as soon as the hub has
}

// settleTime is how long the reader, before it ends a connection, waits for the
// answers to calls that came in front of what ends it. ASP.NET Core runs a quick
// method before it reads on; here it may just have started.
const settleTime = 50 * time.Millisecond

// end ends the connection. It is the reader's.
func (c *conn) end(e *ending) {
	e.drain = true
	if c.port != nil && !e.silent {
		c.port.Kick() // what came in front of the end
		c.settle()
	}
	if c.begin(e, false) {
		c.finish(e, false)
	}
}

// endAside is end for all others, who must not wait.
func (c *conn) endAside(e *ending) {
	if c.begin(e, true) {
		go func() { // ends with the Port, which waits a few seconds for calls at most
			defer c.last.Done()
			c.finish(e, true)
		}()
	}
}

// begin starts the last phase and reports whether it had not begun: the caller
// then calls finish, and aside it says last.Done. While the hub runs Connect the
// ending is left to the reader.
func (c *conn) begin(e *ending, aside bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.phase {
	case closing:
		return false
	case joining:
		if o := c.opening; o.wanted == nil {
			o.wanted = e
		}
		return false
	}
	c.phase = closing
	c.marks.set(isQuiet)
	if c.stateful != nil {
		c.stateful.endLocked(c)
	}
	if aside {
		c.last.Add(1)
	}
	return true
}

// settle waits until the ordinary calls have been answered, for a moment.
func (c *conn) settle() {
	if c.running.Load() == 0 {
		return
	}
	c.await(settleTime, func() bool { return c.running.Load() == 0 })
}

// await waits until over reports true, after each wakes; at most d. Only the
// goroutine that ends the connection calls it.
func (c *conn) await(d time.Duration, over func() bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		wake := make(chan struct{})
		c.wake.Store(&wake)
		if over() {
			return
		}
		select {
		case <-wake:
		case <-timer.C:
			return
		}
	}
}

// wakes tells who waits in await to look again.
func (c *conn) wakes() {
	if c.wake.Load() == nil {
		return
	}
	if wake := c.wake.Swap(nil); wake != nil {
		close(*wake)
	}
}

// fail ends the connection with an error; the client may come back. It is the
// reader's.
func (c *conn) fail(err error) {
	if c.hub == nil {
		c.end(&ending{refusal: handshakeCanceled})
		return
	}
	c.end(c.failure(err))
}

// failAside is fail for all others.
func (c *conn) failAside(err error) { c.endAside(c.failure(err)) }

func (c *conn) failure(err error) *ending {
	c.mount.hubOpts.Logger.Info("signalr: connection closed with an error", "hub", c.mount.hubOpts.Name, "conn", c.name(), "err", err)
	return &ending{text: c.errorText(err), reconnect: true, cause: err}
}

func (c *conn) errorText(err error) *string {
	text := closedWithError(err, c.mount.hubOpts.DetailedErrors)
	return &text
}

func (c *conn) name() string {
	if c.port != nil {
		return c.port.Conn().ID()
	}
	return ""
}

// close ends the connection for the hub.
func (c *conn) close(reason error, reconnect bool) {
	if c.marks.has(isLost) {
		c.endAside(&ending{silent: true, drain: true})
		return
	}
	c.endAside(c.endingFor(reason, reconnect))
}

// endingFor is how the hub's reasons are told to the client.
func (c *conn) endingFor(reason error, reconnect bool) *ending {
	switch {
	case reason == nil:
		return &ending{reconnect: reconnect}
	case errors.Is(reason, hubwire.ErrShutdown), errors.Is(reason, hubwire.ErrClosed):
		return &ending{reconnect: true, shutdown: true}
	}
	return &ending{text: c.errorText(reason), reconnect: reconnect, cause: reason, silent: errors.Is(reason, hubwire.ErrSlow)}
}

// closedByClient takes the client's Close message. Its error is told to
// Disconnect, and not echoed.
func (c *conn) closedByClient(p *parser) {
	e := &ending{}
	if p.failed {
		e.cause = &hubwire.Error{Code: hubwire.CodeUnknown, Message: string(p.text)}
	}
	c.end(e)
}

// finish goes through the end of a connection in the order of section 6.8: the
// Close message, the end of the calls and Disconnect, the transport's last word.
// Where the client has left, with a word or without, what it called before still
// runs, as in ASP.NET Core, though nobody hears of the outcome.
//
// When the hub shuts down the last word comes first, and the hub keeps the
// connection until the transport has ended, for a moment: once the last one has
// ended the process may.
func (c *conn) finish(e *ending, aside bool) {
	c.mount.ticks.Remove(c)
	if c.port == nil {
		c.lastWords(e)
		return
	}
	c.final()
	silent := e.silent || c.marks.has(isLost)
	if silent {
		c.t.abort()
	} else if !c.marks.has(isSaid) {
		c.port.Control(c.closeMessage(e))
	}
	if e.shutdown && !silent {
		c.sayClose()
		if aside {
			c.awaitServed()
		}
	}
	c.port.Unblock()
	if e.drain {
		c.port.Drain()
	}
	c.endUploads()
	c.port.End(e.cause)
	c.forget()
	if !silent {
		c.sayClose()
	}
}

// sayClose lets the transport go, if nobody has.
func (c *conn) sayClose() {
	c.forget()
	said := c.marks.set(isSaid)
	c.t.leave()
	if !said {
		c.port.Control(c.t.bye())
	}
}

// goodbyeTime is how long a shutdown waits for a client to take its leave.
const goodbyeTime = 500 * time.Millisecond

// awaitServed waits until the transport has ended, for a moment.
func (c *conn) awaitServed() {
	c.await(goodbyeTime, func() bool { return c.marks.has(isServed) })
}

// closeMessage is the hub's last message, framed.
func (c *conn) closeMessage(e *ending) []byte {
	return c.framed().Append(nil, []wire.Record{{Bytes: c.hub.appendClose(nil, e.text, e.reconnect)}})
}

// lastWords ends a connection that the hub does not know: it is the only one who
// writes then.
func (c *conn) lastWords(e *ending) {
	c.forget()
	if e.silent {
		c.t.abort()
		return
	}
	var b []byte
	if e.refusal != "" {
		b = c.framed().Append(nil, []wire.Record{{Bytes: appendHandshakeError(nil, e.refusal)}})
		c.mount.hubOpts.Logger.Debug("signalr: handshake refused", "hub", c.mount.hubOpts.Name, "err", e.refusal)
	} else {
		b = append(c.greeting(), c.closeMessage(e)...) // the hub has no room
	}
	b = append(b, c.t.bye()...)
	c.marks.set(isSaid)
	// A client that does not read shall not hold the goroutine up.
	stuck := time.AfterFunc(lastWait, c.t.abort)
	c.t.leave()
	_ = c.t.Write(b) // a transport that has failed is noticed by its reader
	stuck.Stop()
}

// lastWait is how long a client may take for the last words.
const lastWait = 5 * time.Second

// forget makes the connection's token unknown, before the client can see that
// the connection has ended.
func (c *conn) forget() {
	if c.session != (connID{}) && !c.t.known() {
		c.mount.sessions.end(c.session, time.Now())
	}
}

// over is the end of the connection: the transport has ended, with err if
// nobody had announced it.
func (c *conn) over(err error) {
	c.marks.set(isServed)
	c.wakes()
	m := c.mount
	if c.in != nil && c.isOpen() {
		c.unblock()
		c.in.finish() // what the client has posted before still counts
	}
	c.end(&ending{silent: true, cause: c.cause(err)})
	if c.in != nil {
		c.in.close()
	}
	c.last.Wait()
	c.arrived()
	c.rest()
	c.forget()
	if o := c.opening; o != nil {
		if o.late != nil {
			o.late.Stop()
		}
		m.handshakes.Add(-1)
	}
	m.conns.Add(-1)
}

func (c *conn) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == open
}

// safely runs the reader. A panic, which would be a fault of this package, ends
// the connection alone.
func (c *conn) safely(read func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("signalr: panic: %v", v)
			if c.stateful != nil {
				c.stateful.off.Store(true)
			}
			c.mount.hubOpts.Logger.Error("signalr: reader panics", "hub", c.mount.hubOpts.Name, "conn", c.name(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	return read()
}

// cause is what Disconnect is told of an end of input that nobody announced.
func (c *conn) cause(err error) error {
	switch {
	case c.halfway():
		return errPartial
	case err == nil, errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	if _, ok := errors.AsType[*wsconn.CloseError](err); ok {
		return err
	}
	return nil
}

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
