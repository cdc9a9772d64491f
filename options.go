package hubwire

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Options configure a Hub, on every wire. A nil *Options and the zero value of
// each field mean the default. Two hubs are two calls of New; settings that they
// share are a copied struct.
type Options struct {
	// Name is the hub's name on the backplane: hubs of the same name on
	// several nodes are one hub. It is never derived. Needed with a Backplane,
	// else used in logs only.
	Name string

	// Connect is called for every connection before its first call starts. An
	// error refuses the connection. The connection can be sent to, and can join
	// groups, but cannot be asked yet. Filters wrap it.
	Connect func(ctx context.Context, c *Conn) error

	// Disconnect is called once for every connection that Connect accepted,
	// after its last call ended (or 5 s after its end, where a call ignores its
	// context). cause is nil for the client's close, a lost transport and
	// Abort. Memberships are gone by then; ctx is not cancelled by the
	// connection's end.
	Disconnect func(ctx context.Context, c *Conn, cause error)

	// Filters wrap every call and Connect; the first is outermost.
	Filters []Filter

	// DetailedErrors shows the text of every error to the client. Dangerous
	// outside development: texts may hold secrets. Defaults to off: only
	// *Error is shown.
	DetailedErrors bool

	// ParallelCalls is how many ordinary calls of one connection may run at a
	// time. Defaults to 1: one after the other, in the order of arrival.
	// Streams and calls with uploads start in that order too, but take no place.
	ParallelCalls int

	// StreamBuffer is how many items of one uploaded stream are kept for a
	// handler that is behind without counting as waiting input. Defaults to 10.
	StreamBuffer int

	// Queue bounds what waits for one connection.
	Queue Queue

	// MaxConnections is how many connections the hub takes on this node; above
	// it new ones are refused with ErrFull. Defaults to no limit.
	MaxConnections int

	// DrainWindow is the time over which Shutdown spreads the ends of the
	// connections, so that clients do not all come back at once. Defaults to
	// none: all at once.
	DrainWindow time.Duration

	// Backplane joins hubs of the same name on many nodes. Defaults to none.
	Backplane Backplane

	// Outage says what happens while the backplane cannot be reached.
	Outage Outage

	// Logger gets the hub's log: errors of handlers at level Error, refused and
	// lost connections at Info, the rest at Debug. Keys: hub, conn, call, err.
	// Defaults to slog.Default().
	Logger *slog.Logger

	// Metrics counts what happens; see Metrics. Defaults to none.
	Metrics Metrics

	// TraceIn puts the trace context that came with a call (headers such as
	// traceparent) into the handler's context. TraceOut gives the headers that
	// go with a question to a client. Nil hooks cost nothing.
	TraceIn  func(ctx context.Context, headers map[string]string) context.Context
	TraceOut func(ctx context.Context) map[string]string
}

// A Queue bounds what waits for one connection, so that a slow client costs the
// others nothing.
type Queue struct {
	// Messages is how many messages may wait. Defaults to 10,000.
	Messages int
	// Bytes is how many bytes may wait. Defaults to 1 MiB. The kernel takes up
	// to the socket's send buffer before that.
	Bytes int
	// Stall is how long a connection that has something to read may take
	// nothing before it is closed with ErrSlow. Defaults to 10 s.
	Stall time.Duration
	// Full says what happens to an event that does not fit. Defaults to
	// Disconnect. Results of calls and items of streams never trip it: they
	// wait.
	Full Full
}

// Full is what happens when an event does not fit into a connection's Queue.
type Full uint8

const (
	// Disconnect ends the connection with ErrSlow; the client may reconnect.
	Disconnect Full = iota
	// DropOldest drops the oldest waiting events, never results or items.
	DropOldest
)

// input that may wait for one connection before its socket is not read any
// more, and room in its queue for which an item of a stream waits (D 13, 15).
const (
	maxInput = 64 << 10
	itemRoom = 64 << 10
	maxLine  = 256 << 10
)

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.ParallelCalls == 0 {
		d.ParallelCalls = 1
	}
	if d.StreamBuffer == 0 {
		d.StreamBuffer = 10
	}
	if d.Queue.Messages == 0 {
		d.Queue.Messages = 10_000
	}
	if d.Queue.Bytes == 0 {
		d.Queue.Bytes = 1 << 20
	}
	if d.Queue.Stall == 0 {
		d.Queue.Stall = 10 * time.Second
	}
	if d.Outage.Wait == 0 {
		d.Outage.Wait = 5 * time.Second
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d
}

// check returns one sentence for each rule that the options break.
func (o *Options) check() []string {
	var bad []string
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	rule(o.ParallelCalls > 0, "ParallelCalls is %d; it must be at least 1", o.ParallelCalls)
	rule(o.StreamBuffer > 0, "StreamBuffer is %d; it must be at least 1", o.StreamBuffer)
	rule(o.Queue.Messages > 0, "Queue.Messages is %d; it must be at least 1", o.Queue.Messages)
	rule(o.Queue.Bytes > 0, "Queue.Bytes is %d; it must be at least 1", o.Queue.Bytes)
	rule(o.Queue.Stall > 0, "Queue.Stall is %v; it must be positive", o.Queue.Stall)
	rule(o.Queue.Full <= DropOldest, "Queue.Full is %d; it must be Disconnect or DropOldest", o.Queue.Full)
	rule(o.MaxConnections >= 0, "MaxConnections is %d; it must not be negative", o.MaxConnections)
	rule(o.DrainWindow >= 0, "DrainWindow is %v; it must not be negative", o.DrainWindow)
	rule(o.Backplane == nil || o.Name != "", "Name is empty; a hub with a Backplane needs one")
	return bad
}

// Metrics counts what a hub does. Add is called from many goroutines and must
// not block. Package vars has one on expvar.
//
// The names, with their labels:
//
//	connections   +1 and -1, by wire
//	calls         by wire
//	errors        calls that failed, by kind of fault
//	events        sends, by kind of target (all, group, user, conn)
//	queued_bytes  +n and -n: what waits for connections that are behind
//	drops         events dropped, by reason (full, latest)
//	closes        connections that the hub ended, by reason (slow, shutdown, abort, kick)
//	refused       connections refused, by reason (full, connect, closed; by a wire: origin, host)
type Metrics interface {
	Add(name, label string, n int64)
}
