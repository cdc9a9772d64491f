package sse

import (
	"log/slog"
	"net/http"
	"time"
)

// Options are a stream's options on the server. Nil and the zero value of each
// field are the defaults.
type Options struct {
	// Heartbeat is how long a stream may be silent before a comment is sent, which
	// keeps proxies from closing it. Defaults to 15 s; negative is never.
	Heartbeat time.Duration
	// WriteTimeout is how long the client may take to make room for one write (of
	// 64 KiB at most, unless DotNet) before it is cut off. Defaults to 10 s;
	// negative is for ever, which lets clients that do not read hold what they
	// have.
	WriteTimeout time.Duration
	// HeadDelay is how long Serve's head waits for the source, whose error before
	// its first event becomes an HTTP status. Defaults to 50 ms; negative is not
	// at all.
	HeadDelay time.Duration
	// Lifetime is the longest life of a stream; a random 0 to 20 % are taken off,
	// so that clients do not come back all at once. Zero is for ever.
	Lifetime time.Duration
	// Compress compresses for clients that accept zstd or gzip, each event by
	// itself: there is no state for each stream, and what many streams get is
	// compressed once.
	Compress bool
	// Detach takes the connection from net/http: the handler returns, and the
	// stream goes on for a tenth of the memory. Only HTTP/1.1 can do it; Open then
	// fails with http.ErrNotSupported on other requests, where a Topics falls back.
	// http.Server.Shutdown does not know such streams: see [Drain].
	Detach bool
	// DotNet makes heads, JSON and ends those of ASP.NET Core's
	// TypedResults.ServerSentEvents, byte for byte. The head then waits for the
	// first event.
	DotNet bool
	// Logger gets what goes wrong after the head. Defaults to slog.Default().
	Logger *slog.Logger
}

const (
	defaultHeartbeat    = 15 * time.Second
	defaultWriteTimeout = 10 * time.Second
	defaultHeadDelay    = 50 * time.Millisecond
)

func (o *Options) withDefaults() Options {
	var p Options
	if o != nil {
		p = *o
	}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{
		{&p.Heartbeat, defaultHeartbeat}, {&p.WriteTimeout, defaultWriteTimeout}, {&p.HeadDelay, defaultHeadDelay},
	} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if p.Logger == nil {
		p.Logger = slog.Default()
	}
	return p
}

// setHead sets the headers of a stream.
func (o *Options) setHead(h http.Header, enc encoding) {
	h.Del("Content-Length")
	h["Content-Type"] = []string{"text/event-stream"}
	if o.DotNet {
		h["Cache-Control"] = []string{"no-cache,no-store"}
		h["Pragma"] = []string{"no-cache"}
		h["Content-Encoding"] = []string{"identity"}
		return
	}
	// no-transform keeps proxies from compressing, and so from holding back.
	setIfAbsent(h, "Cache-Control", "no-cache, no-store, no-transform")
	setIfAbsent(h, "X-Accel-Buffering", "no") // nginx
	if o.Compress {
		h.Add("Vary", "Accept-Encoding")
	}
	if enc != plain {
		h["Content-Encoding"] = []string{enc.name()}
	}
}

func setIfAbsent(h http.Header, key, value string) {
	if _, ok := h[key]; !ok {
		h[key] = []string{value}
	}
}
