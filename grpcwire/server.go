package grpcwire

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// Configure sets what a server needs for gRPC beside WebSockets and event
// streams, as far as it is not set already: HTTP/1.1 and HTTP/2, with TLS and
// without; 1000 streams a connection; windows of 64 KiB a stream and 4 MiB a
// connection, so that a stalled upload does not stand in the way of the others
// (a single fast one over a long line is slower for it); pings after 15 s; time
// limits for headers and idle connections. ReadTimeout and WriteTimeout, which
// cut streams, are taken off.
func Configure(srv *http.Server) {
	if srv.Protocols == nil {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetHTTP2(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	if srv.HTTP2 == nil {
		srv.HTTP2 = &http.HTTP2Config{
			MaxConcurrentStreams:          1000,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxReceiveBufferPerConnection: 4<<20 - 1,
			SendPingTimeout:               15 * time.Second,
			PingTimeout:                   10 * time.Second,
			WriteByteTimeout:              30 * time.Second,
		}
	}
	if srv.ReadHeaderTimeout == 0 {
		srv.ReadHeaderTimeout = 10 * time.Second
	}
	if srv.IdleTimeout == 0 {
		srv.IdleTimeout = 3 * time.Minute
	}
	if srv.MaxHeaderBytes == 0 {
		srv.MaxHeaderBytes = 64 << 10
	}
	srv.ReadTimeout, srv.WriteTimeout = 0, 0
	before := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		return context.WithValue(ctx, connKey{}, &connStart{time.Now(), 0.9 + 0.2*rand.Float64()})
	}
}

type connKey struct{}

// A connStart is when a connection began, and its share of the age.
type connStart struct {
	at     time.Time
	factor float64
}

func connOf(ctx context.Context) *connStart {
	c, _ := ctx.Value(connKey{}).(*connStart)
	return c
}

func (c *connStart) end(age time.Duration) time.Time {
	return c.at.Add(time.Duration(c.factor * float64(age)))
}

// ageOf has the client told to go where its connection is old: on HTTP/2,
// net/http makes a GOAWAY of the header.
func (h *Handler) ageOf(s *Stream) {
	if h.opts.MaxConnectionAge == 0 {
		return
	}
	if c := connOf(s.r.Context()); c != nil && time.Now().After(c.end(h.opts.MaxConnectionAge)) {
		s.w.Header()["Connection"] = []string{"close"}
	}
}
