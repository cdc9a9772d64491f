package grpcwire

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/origin"
)

// Options configure a Handler. A nil *Options and the zero value of each field
// mean the default.
type Options struct {
	// MaxMessage is the largest message that is received, in bytes, before and
	// after it was inflated. Above it a call ends with RESOURCE_EXHAUSTED.
	// Defaults to 4 MiB.
	MaxMessage int

	// MinCompress is the smallest message that is sent compressed, where
	// compression is used at all: see Compress. Defaults to 1 KiB.
	MinCompress int

	// Compress sends messages compressed wherever the client offers gzip. By
	// default they are only where the client's own are, or the handler asks for
	// it.
	Compress bool

	// MaxTimeout bounds the deadline of unary calls, whatever the client says.
	// Defaults to no bound.
	MaxTimeout time.Duration

	// WriteTimeout is how long one write may wait for a client that does not
	// read before its call is cut off; other calls of the connection go on.
	// Defaults to 30 s.
	WriteTimeout time.Duration

	// MaxConnectionAge is after how long an HTTP/2 connection is told to go, so
	// that balancers can move its client; Configure must have been used. Each
	// connection has up to 10 % more or less. Streams hear of it by
	// Stream.Ending. Defaults to no bound.
	MaxConnectionAge time.Duration

	// CloseOnExpiry ends streams with UNAUTHENTICATED when the user's
	// credentials end (hubwire.User.Expires).
	CloseOnExpiry bool

	// Grace is how long a stream may go on after Stream.Ending, until its
	// context ends too. Defaults to 5 s.
	Grace time.Duration

	// Middleware wraps every call before a byte of its body is read. A
	// middleware that answers itself refuses the call: its HTTP status becomes
	// a gRPC status (401: UNAUTHENTICATED, 403: PERMISSION_DENIED, 429 and 503:
	// UNAVAILABLE), as pages cannot see any other. auth.Bearer is one.
	Middleware func(http.Handler) http.Handler

	// AllowedOrigins are the pages that may use gRPC-Web from another origin,
	// such as "https://example.com"; "*" is any. Defaults to none.
	AllowedOrigins []string

	// AllowedHosts are the names, such as "example.com" or "*.example.com", that
	// calls of gRPC-Web may be for; others are refused. "*" is any. It is what
	// keeps pages out that make their own name mean a private address (DNS
	// rebinding). Defaults to any, but over a loopback address to addresses,
	// localhost and names without a dot.
	AllowedHosts []string

	// ExposedHeaders are names that pages of other origins may see, besides
	// those that the protocol needs: custom trailers of calls that fail at once.
	ExposedHeaders []string

	// DetailedErrors shows the text of every error to the client. Dangerous
	// outside of development. Defaults to off: only *Status, *hubwire.Error and
	// what Convert knows are shown.
	DetailedErrors bool

	// Convert makes a Status of an error of a handler, or nil where it does not
	// know it. Package grpcadapter sets it.
	Convert func(error) *Status

	// Logger gets panics and errors of handlers that clients do not see at
	// level Error, the rest at Debug. Defaults to slog.Default().
	Logger *slog.Logger

	// Metrics counts calls: grpc.server.call.started by method,
	// grpc.server.call.ended by status (such as "0"), and
	// grpc.server.streams, +1 and -1, the calls under way. Defaults to none.
	Metrics hubwire.Metrics
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.MaxMessage == 0 {
		d.MaxMessage = 4 << 20
	}
	if d.MinCompress == 0 {
		d.MinCompress = 1 << 10
	}
	if d.WriteTimeout == 0 {
		d.WriteTimeout = 30 * time.Second
	}
	if d.Grace == 0 {
		d.Grace = 5 * time.Second
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
	rule(o.MaxMessage > 0, "MaxMessage is %d; it must be positive", o.MaxMessage)
	rule(o.MinCompress > 0, "MinCompress is %d; it must be positive", o.MinCompress)
	rule(o.MaxTimeout >= 0, "MaxTimeout is %v; it must not be negative", o.MaxTimeout)
	rule(o.WriteTimeout > 0, "WriteTimeout is %v; it must be positive", o.WriteTimeout)
	rule(o.MaxConnectionAge >= 0, "MaxConnectionAge is %v; it must not be negative", o.MaxConnectionAge)
	rule(o.Grace > 0, "Grace is %v; it must be positive", o.Grace)
	bad = append(bad, origin.Check(o.AllowedOrigins, o.AllowedHosts)...)
	return bad
}
