package grpchub

import (
	"context"
	"fmt"
	"time"

	"github.com/hubwire/hubwire"
)

// Options configure a Mount. A nil *Options and the zero value of each field
// mean the default.
type Options struct {
	// KeepAlive is how often a connection is pinged. A client may ask for less,
	// but not under a second. Defaults to 15 s.
	KeepAlive time.Duration

	// ClientTimeout is how long a client that has pinged may then be silent
	// before its connection is closed. Defaults to 30 s.
	ClientTimeout time.Duration

	// HelloTimeout is how long the first frame is awaited. Defaults to 15 s.
	HelloTimeout time.Duration

	// MaxMessage is the largest frame of a client, in bytes, of Connect and of
	// calls. Defaults to 64 KiB.
	MaxMessage int

	// Join decides whether a connection of Subscribe may join a group that it
	// asks for. An error refuses the connection. Defaults to refusing all:
	// groups are joined by the hub's own code.
	Join func(ctx context.Context, c *hubwire.Conn, group string) error

	// Publish decides who may use HubPublisher, for each request. Defaults to
	// nobody. auth.HasClaim makes such a function.
	Publish func(u *hubwire.User) bool

	// Dedup is how long the dedup_id of a PublishRequest is remembered, on this
	// node. At most 100,000 are. Defaults to 5 minutes.
	Dedup time.Duration

	// KeepHeaders are names of metadata that hubwire.Request.Header keeps.
	KeepHeaders []string
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&d.KeepAlive, 15 * time.Second}, {&d.ClientTimeout, 30 * time.Second}, {&d.HelloTimeout, 15 * time.Second}, {&d.Dedup, 5 * time.Minute}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if d.MaxMessage == 0 {
		d.MaxMessage = 64 << 10
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
	rule(o.KeepAlive >= time.Second, "KeepAlive is %v; it must be at least a second", o.KeepAlive)
	rule(o.ClientTimeout >= time.Second, "ClientTimeout is %v; it must be at least a second", o.ClientTimeout)
	rule(o.HelloTimeout > 0, "HelloTimeout is %v; it must be positive", o.HelloTimeout)
	rule(o.MaxMessage > 0, "MaxMessage is %d; it must be positive", o.MaxMessage)
	rule(o.Dedup > 0, "Dedup is %v; it must be positive", o.Dedup)
	return bad
}
