package signalr

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hubwire/hubwire/internal/origin"
)

// Transports are ways to carry the protocol, as a set.
type Transports uint8

// The transports.
const (
	WebSockets Transports = 1 << iota
	ServerSentEvents
	LongPolling

	allTransports = WebSockets | ServerSentEvents | LongPolling
)

// String is the transport's name in the protocol; of a set, the first one's.
func (t Transports) String() string {
	switch {
	case t&WebSockets != 0:
		return "WebSockets"
	case t&ServerSentEvents != 0:
		return "ServerSentEvents"
	case t&LongPolling != 0:
		return "LongPolling"
	}
	return "none"
}

// Options configure one mount. A nil *Options and the zero value of each field
// mean the default. What is not of the mount but of the hub (detailed errors,
// parallel calls, queues, users) is in hubwire.Options.
type Options struct {
	// Transports are offered to clients and served. Defaults to all there are.
	Transports Transports

	// Protocols are the hub protocols that clients may choose, of "json" and
	// "messagepack". Defaults to both.
	Protocols []string

	// MinimumProtocol is the lowest negotiate version that is accepted, 0 or
	// 1. Version 0 gives the client one id that is public and secret at once.
	// Defaults to 0, as in ASP.NET Core.
	MinimumProtocol int

	// MaxMessage is the largest message from a client, in bytes with its
	// framing; a larger one ends the connection. Defaults to 32 KiB; negative
	// is no limit, and lets any client fill the memory.
	MaxMessage int

	// KeepAlive is how often the server pings, whatever else it sends. Clients
	// expect something at least every 30 s. Defaults to 15 s; counted in whole
	// seconds, a ping may be one late.
	KeepAlive time.Duration

	// ClientTimeout is how long a client that has pinged once may be silent
	// before its connection is closed. It should be twice the client's ping
	// interval. Defaults to 30 s; may be one second late.
	ClientTimeout time.Duration

	// HandshakeTimeout is how long a client may take to send the handshake.
	// Defaults to 15 s.
	HandshakeTimeout time.Duration

	// StatefulReconnect lets clients that ask for it keep their connection when
	// its WebSocket drops: they come back with the same connection id, user,
	// groups, values and running calls, no message is lost or comes twice, and
	// the hub's code notices nothing. ASP.NET Core's AllowStatefulReconnects.
	// Defaults to false.
	StatefulReconnect bool

	// StatefulBuffer is how many bytes of messages may be sent to a client with
	// stateful reconnect without being acknowledged; what is sent beyond waits in
	// the hub's queue. ASP.NET Core's StatefulReconnectBufferSize. Defaults to
	// 100,000.
	StatefulBuffer int

	// PollTimeout is how long a poll may wait for something to say; then it is
	// answered without. Defaults to 90 s.
	PollTimeout time.Duration

	// DisconnectTimeout is how long a negotiated connection may take to begin,
	// a polled one be without a poll, and one with stateful reconnect without a
	// WebSocket. Defaults to 15 s; may be one second late.
	DisconnectTimeout time.Duration

	// CloseOnExpiry ends a connection when its User.Expires has passed, at most
	// a second late; the client may come back with a newer token. A poll with a
	// newer one moves the end. Defaults to off: who was let in stays.
	CloseOnExpiry bool

	// AuthRefresh lets clients bring newer credentials for a connection that is
	// open, so that CloseOnExpiry need not end it: POST path/refresh, which the
	// .NET client 11 does by itself. Negotiation then tells how long the user's
	// are good for. The user cannot change. Defaults to off: ASP.NET Core 10 has
	// no such thing.
	AuthRefresh bool

	// MaxConnections is how many connections the mount takes at a time; more
	// are answered 503. Defaults to no limit.
	MaxConnections int

	// MaxHandshakes is how many connections may be between their upgrade and
	// the end of Connect at a time; more are answered 503, so that a crowd that
	// comes back at once is let in at a measured pace. Clients that say nothing
	// hold a place for HandshakeTimeout. Defaults to no limit.
	MaxHandshakes int

	// MaxPending is how many connections may be no more than a POST, or polls
	// without a handshake: they cost their client nothing. One address (of
	// IPv6, a /64) may have a quarter of them; more are answered 503. Each lasts
	// DisconnectTimeout or HandshakeTimeout at most. Behind a proxy all have its
	// address, unless a middleware puts the client's into Request.RemoteAddr.
	// Defaults to 10,000; negative is no limit.
	MaxPending int

	// SendBuffer is the size of the kernel's send buffer of each connection, in
	// bytes: what it takes for a client that does not read before the hub's
	// queue begins to fill. Defaults to 128 KiB; negative leaves it alone.
	SendBuffer int

	// AllowedOrigins are the origins, such as "https://example.com", whose
	// pages may open a WebSocket and, by CORS, read the answers to all other
	// requests, cookies included. "*" is any: such pages open WebSockets with
	// their reader's cookies, which is dangerous where users are known by them,
	// and read answers to requests without. A request without Origin, and one
	// from the host that it goes to, are always allowed. Defaults to none else.
	AllowedOrigins []string

	// AllowedHosts are the names, such as "example.com" or "*.example.com", that
	// requests may be for, on any port unless one is named; others are answered
	// 403. "*" is any. It is what keeps pages out that make their own name mean a
	// private address (DNS rebinding). Defaults to any, but over a loopback
	// address to addresses, localhost and names without a dot: behind a proxy on
	// the same machine that passes Host on, name your hosts.
	AllowedHosts []string

	// KeepHeaders names the request headers that Conn.Request keeps.
	KeepHeaders []string

	// Middleware wraps all routes of the mount: authentication, limits,
	// logging. A ResponseWriter that it puts in between needs Unwrap or Hijack.
	Middleware func(http.Handler) http.Handler

	// Node names this server in connection tokens: 1 to 64 letters, digits and
	// any of "-._~". Defaults to a random name.
	Node string

	// Peer gives the base URL, such as "http://10.0.0.7:8080", at which this
	// server reaches the one that is called Node there; "" where there is none. A
	// request for a connection of that server is then passed on to it, so that a
	// balancer needs no affinity. Needs a Node and a TokenKey. The path is the
	// same on all servers; keep that way between servers to yourself, and have the
	// balancer take the header Hubwire-Forwarded-By off. Defaults to none: such
	// requests are answered 404, with a text that says what is wrong.
	Peer func(node string) string

	// PeerTransport carries the requests that are passed on. Defaults to
	// http.DefaultTransport.
	PeerTransport http.RoundTripper

	// TokenKey signs connection tokens. At least 16 bytes. Nodes behind one
	// balancer share it, so that they can tell each other's tokens from forged
	// ones. Defaults to a random key.
	TokenKey []byte
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Transports == 0 {
		d.Transports = allTransports
	}
	if d.Protocols == nil {
		for _, p := range protocols {
			d.Protocols = append(d.Protocols, p.Name())
		}
	}
	if d.MaxMessage == 0 {
		d.MaxMessage = 32 << 10
	}
	if d.KeepAlive == 0 {
		d.KeepAlive = 15 * time.Second
	}
	if d.ClientTimeout == 0 {
		d.ClientTimeout = 30 * time.Second
	}
	if d.PollTimeout == 0 {
		d.PollTimeout = 90 * time.Second
	}
	if d.MaxPending == 0 {
		d.MaxPending = 10_000
	}
	if d.HandshakeTimeout == 0 {
		d.HandshakeTimeout = 15 * time.Second
	}
	if d.StatefulBuffer == 0 {
		d.StatefulBuffer = 100_000
	}
	if d.DisconnectTimeout == 0 {
		d.DisconnectTimeout = 15 * time.Second
	}
	if d.Node == "" {
		d.Node = randomID(9)
	}
	if d.TokenKey == nil {
		d.TokenKey = make([]byte, 32)
		rand.Read(d.TokenKey)
	}
	d.TokenKey = slices.Clone(d.TokenKey)
	d.KeepHeaders = slices.Clone(d.KeepHeaders)
	d.AllowedOrigins = slices.Clone(d.AllowedOrigins)
	d.AllowedHosts = slices.Clone(d.AllowedHosts)
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
	rule(len(o.Protocols) > 0, "Protocols is empty; there must be one")
	for _, name := range o.Protocols {
		rule(protocolByName(name) != nil, "Protocols has %q; it must be of json, messagepack", name)
	}
	rule(o.MinimumProtocol == 0 || o.MinimumProtocol == 1, "MinimumProtocol is %d; it must be 0 or 1", o.MinimumProtocol)
	rule(o.KeepAlive > 0, "KeepAlive is %v; it must be positive", o.KeepAlive)
	rule(o.ClientTimeout > 0, "ClientTimeout is %v; it must be positive", o.ClientTimeout)
	rule(o.HandshakeTimeout > 0, "HandshakeTimeout is %v; it must be positive", o.HandshakeTimeout)
	rule(o.StatefulBuffer > 0, "StatefulBuffer is %d; it must be positive", o.StatefulBuffer)
	rule(o.PollTimeout > 0, "PollTimeout is %v; it must be positive", o.PollTimeout)
	rule(o.DisconnectTimeout > 0, "DisconnectTimeout is %v; it must be positive", o.DisconnectTimeout)
	rule(o.MaxConnections >= 0, "MaxConnections is %d; it must not be negative", o.MaxConnections)
	rule(o.MaxHandshakes >= 0, "MaxHandshakes is %d; it must not be negative", o.MaxHandshakes)
	bad = append(bad, origin.Check(o.AllowedOrigins, o.AllowedHosts)...)
	rule(validNode(o.Node), "Node is %q; it must be 1 to 64 letters, digits or any of -._~", o.Node)
	rule(len(o.TokenKey) >= 16, "TokenKey has %d bytes; it must have at least 16", len(o.TokenKey))
	return bad
}

func validNode(s string) bool {
	return len(s) > 0 && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return false
		}
		return !strings.ContainsRune("-._~", r)
	}) < 0
}

// protocolByName finds a protocol whatever the case of its name.
func protocolByName(name string) protocol {
	for _, p := range protocols {
		if strings.EqualFold(p.Name(), name) {
			return p
		}
	}
	return nil
}

// randomID is n random bytes in base64url.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
