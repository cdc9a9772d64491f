package client

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
)

// Transports are ways to carry the protocol, as a set.
type Transports uint8

// The transports, in the order in which servers usually offer them.
const (
	WebSockets Transports = 1 << iota
	ServerSentEvents
	LongPolling

	allTransports = WebSockets | ServerSentEvents | LongPolling
)

// String is the names that negotiation has for the transports of the set.
func (t Transports) String() string {
	var names []string
	for i, name := range [...]string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		if t&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

func transportByName(name string) Transports {
	for t := WebSockets; t&allTransports != 0; t <<= 1 {
		if strings.EqualFold(t.String(), name) {
			return t
		}
	}
	return 0
}

// Options configure a connection. A nil *Options and the zero value of each
// field mean the default.
type Options struct {
	// Handlers receive events and answer questions from the first message on;
	// Conn.On adds more. Their ctx is cancelled by Conn.Close; FromContext gives
	// their Conn.
	Handlers []hubwire.ClientHandler

	// Transports are those that may be used: of them, the first that the server
	// offers and that works. Defaults to all.
	Transports Transports

	// Protocol is the hub protocol, "json" or "messagepack". Server-Sent Events
	// carry JSON alone. Defaults to "json".
	Protocol string

	// SkipNegotiation saves a round trip. Transports must be WebSockets then;
	// the connection has no ID and cannot be stateful.
	SkipNegotiation bool

	// AccessToken gives the bearer token of the Authorization header. It is
	// called for every negotiate (so for every attempt to connect), for every
	// return of a stateful connection, and once more when the server answers a
	// later request with 401. An empty token means none; an error fails the
	// attempt. Defaults to none. The token that a server's redirect brings goes
	// before it.
	AccessToken func(ctx context.Context) (string, error)

	// Header is sent with every request, and goes before the client's own
	// User-Agent and X-Requested-With.
	Header http.Header

	// HTTPClient makes the requests, also those that become WebSockets. Its
	// Timeout does not count for those that stay open. Servers behind a
	// balancer with cookies need a Jar. Defaults to one of the connection's own,
	// with a Jar and http.DefaultTransport's settings.
	HTTPClient *http.Client

	// Reconnect decides whether and when to connect again after the connection
	// was lost; see Delays. It is not asked after Close, after the server's
	// Conn.Abort, and after a first Dial that fails. Each attempt makes a new
	// connection: another ID, no groups, and what was under way has failed.
	// Defaults to none: a lost connection is closed.
	Reconnect Policy

	// Stateful asks for stateful reconnect: where the server has it and
	// WebSockets are used, a lost transport is replaced within 15 s, nothing is
	// lost or doubled, and neither calls nor callbacks notice. Messages wait
	// meanwhile. If the server has forgotten the connection, Reconnect decides.
	Stateful bool

	// StatefulBuffer is how many bytes of sent messages may wait for the
	// server's acknowledgement; above it calls wait for room. Defaults to
	// 100,000, as in .NET.
	StatefulBuffer int

	// HandshakeTimeout is how long the server may take to answer the handshake
	// of the hub protocol. Defaults to 15 s.
	HandshakeTimeout time.Duration

	// ServerTimeout is how long the server may be silent before the connection
	// counts as lost: at least twice the server's keep-alive interval. It does
	// not run on long polling. Defaults to 30 s; negative is never.
	ServerTimeout time.Duration

	// KeepAlive is how long the client may be silent before it sends a ping:
	// at most half of the server's client timeout. Not on long polling.
	// Defaults to 15 s; negative is never.
	KeepAlive time.Duration

	// MaxMessage is the largest message from the server, in bytes with its
	// framing; a larger one ends the connection with an error that says so.
	// Defaults to 16 MiB; negative is no limit.
	MaxMessage int

	// Queue is how many bytes of events and stream items may wait for handlers
	// and loops that are behind. Above it the server is not read, which holds it
	// back, for as long as no call waits for its answer. If one does, reading
	// goes on up to 16 times as much, and then the connection ends with
	// hubwire.ErrSlow. Defaults to 1 MiB.
	Queue int

	// OnReconnecting is called when the connection is lost and Reconnect wants
	// another, with the cause: nil where the server ended it in good order.
	// OnReconnected is called when there is one: the place to join groups
	// again. OnClosed is called last, with the error of Conn.Err. They run in
	// order with the events, on the goroutine of the handlers, and may call the
	// hub; of the three only OnClosed may call Close.
	OnReconnecting func(c *Conn, err error)
	OnReconnected  func(c *Conn)
	OnClosed       func(c *Conn, err error)

	// Logger gets the client's log: panics of handlers at level Error, events
	// that do not bind at Warn, the course of the connection at Debug. Keys:
	// conn, name, err. Defaults to slog.Default().
	Logger *slog.Logger
}

// overcommit is how many times Queue may be held while calls wait for answers.
const overcommit = 16

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Transports == 0 {
		d.Transports = allTransports
	}
	if d.Protocol == "" {
		d.Protocol = "json"
	}
	if d.StatefulBuffer == 0 {
		d.StatefulBuffer = 100_000
	}
	if d.HandshakeTimeout == 0 {
		d.HandshakeTimeout = 15 * time.Second
	}
	if d.ServerTimeout == 0 {
		d.ServerTimeout = 30 * time.Second
	}
	if d.KeepAlive == 0 {
		d.KeepAlive = 15 * time.Second
	}
	if d.MaxMessage == 0 {
		d.MaxMessage = 16 << 20
	}
	if d.Queue == 0 {
		d.Queue = 1 << 20
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Handlers = slices.Clone(d.Handlers)
	d.Header = maps.Clone(d.Header)
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
	rule(o.Transports&^allTransports == 0, "Transports has bits that are no transport")
	p := protocolByName(o.Protocol)
	rule(p != nil, "Protocol is %q; it must be json or messagepack", o.Protocol)
	rule(p == nil || !p.binary() || o.Transports != ServerSentEvents, "Protocol is %s, which Server-Sent Events cannot carry", o.Protocol)
	rule(!o.SkipNegotiation || o.Transports == WebSockets, "SkipNegotiation is set; Transports must be WebSockets then")
	rule(!o.SkipNegotiation || !o.Stateful, "SkipNegotiation and Stateful are set; a stateful connection is negotiated")
	rule(o.StatefulBuffer > 0, "StatefulBuffer is %d; it must be positive", o.StatefulBuffer)
	rule(o.HandshakeTimeout > 0, "HandshakeTimeout is %v; it must be positive", o.HandshakeTimeout)
	rule(o.Queue > 0, "Queue is %d; it must be positive", o.Queue)
	return bad
}
