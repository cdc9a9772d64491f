package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
	"github.com/hubwire/hubwire/backplane/nats"
	"github.com/hubwire/hubwire/backplane/redis"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/sse"
	"github.com/redis/rueidis"
)

// A hub and the path where it is served.
type hub struct {
	*hubwire.Hub
	path string
}

// mount serves every endpoint of the contract on mux, over SignalR and, at
// PATH/sse, over Server-Sent Events. Each has a hub of its own, all have the same
// handlers.
func mount(mux *http.ServeMux, log *slog.Logger, o *options) []hub {
	handlers := conformance(new(counter))
	token := bearer(log)
	var bp hubwire.Backplane
	if o.redis != "" {
		bp = redis.New(&redis.Options{Client: rueidis.ClientOption{InitAddress: []string{o.redis}}, Prefix: o.prefix, Logger: log})
	} else if o.nats != "" {
		bp = nats.New(&nats.Options{Servers: []string{o.nats}, Logger: log})
	}
	// On a backplane a hub has the name that it has in the reference, so that both
	// can be nodes of one hub.
	name := func(path string) string {
		if bp == nil {
			return path
		}
		return "SignalrServer." + netNames[path]
	}
	endpoints := []struct {
		path string
		hub  hubwire.Options // what the hub decides, on every wire
		wire signalr.Options // what this mount decides
	}{
		{path: "/conformance"},
		{path: "/detailed", hub: hubwire.Options{DetailedErrors: true}},
		{path: "/authorized", wire: signalr.Options{Middleware: token}},
		{path: "/expiring", wire: signalr.Options{Middleware: token, CloseOnExpiry: true}},
		{path: "/small", wire: signalr.Options{MaxMessage: 1024}},
		{path: "/ws-only", wire: signalr.Options{Transports: signalr.WebSockets}},
		{path: "/sse-only", wire: signalr.Options{Transports: signalr.ServerSentEvents}},
		{path: "/lp-only", wire: signalr.Options{Transports: signalr.LongPolling}},
		{path: "/parallel", hub: hubwire.Options{ParallelCalls: 4}},
		{path: "/stateful", wire: signalr.Options{StatefulReconnect: true, StatefulBuffer: 1000}},
		{path: "/quick", wire: signalr.Options{KeepAlive: time.Second, ClientTimeout: 2 * time.Second, HandshakeTimeout: time.Second}},
		{path: "/json-only", wire: signalr.Options{Protocols: []string{"json"}}},
	}
	var hubs []hub
	for _, e := range endpoints {
		e.hub.Name, e.hub.Logger, e.hub.Backplane = name(e.path), log, bp
		e.wire.Node = o.node
		if o.peers != nil {
			e.wire.TokenKey = []byte("the key that all nodes of a test have")
			e.wire.Peer = func(node string) string { return o.peers[node] }
		}
		e.hub.Connect, e.hub.Disconnect = connect, disconnect
		if e.wire.Middleware == nil {
			e.wire.Middleware = userFromQuery
		}
		e.wire.AllowedOrigins = []string{"*"} // no cookies here: any page may be a client, as in ASP.NET Core
		h := hubwire.New(&e.hub)
		h.Handle(handlers...)
		signalr.Mount(mux, e.path, h, &e.wire)
		sse.Mount(mux, e.path+"/sse", h, &sse.MountOptions{
			Join:           func(context.Context, *hubwire.Conn, []string) error { return nil }, // any group, as for AddTo
			Retry:          300 * time.Millisecond,
			MaxBody:        e.wire.MaxMessage,
			CloseOnExpiry:  e.wire.CloseOnExpiry,
			AllowedOrigins: e.wire.AllowedOrigins,
			Middleware:     e.wire.Middleware,
		})
		hubs = append(hubs, hub{h, e.path})
	}

	// For load: another hub, with defaults.
	bench := hubwire.New(&hubwire.Options{Name: name("/bench"), Logger: log, Backplane: bp})
	bench.Handle(benchHandlers()...)
	signalr.Mount(mux, "/bench", bench, nil)
	mountEvents(mux)
	rpc := mountRPC(mux, log, o)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }) // no text, as in ASP.NET Core
	return append(hubs, hub{bench, "/bench"}, rpc)
}

var netNames = map[string]string{
	"/conformance": "DefaultHub", "/detailed": "DetailedHub", "/authorized": "AuthorizedHub", "/expiring": "ExpiringHub",
	"/small": "SmallHub", "/ws-only": "WsOnlyHub", "/sse-only": "SseOnlyHub", "/lp-only": "LpOnlyHub", "/parallel": "ParallelHub",
	"/stateful": "StatefulHub", "/quick": "QuickHub", "/json-only": "JsonOnlyHub", "/bench": "BenchHub",
}

// bearer makes the claim sub of a token, which is in the header or the query of
// every request, the user of the connection.
func bearer(log *slog.Logger) func(http.Handler) http.Handler {
	return auth.Bearer(&auth.Options{
		Issuer:    "conformance",
		Audiences: []string{"conformance"},
		Keys:      []auth.Key{{Secret: []byte("conformance-key-of-at-least-32-bytes!")}},
		Query:     auth.QueryAlways,
		Logger:    log,
	})
}

// userFromQuery makes the query parameter user the user of the connection, as
// real middleware would make one of a token or a cookie.
func userFromQuery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.URL.Query().Get("user"); name != "" {
			r = r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: name}))
		}
		next.ServeHTTP(w, r)
	})
}

// connect greets or refuses, as the query asks.
func connect(ctx context.Context, c *hubwire.Conn) error {
	query := c.Request().Query
	switch query.Get("refuse") {
	case "1":
		return &InvalidOperationException{"refused"}
	case "hub":
		return hubwire.Errorf(hubwire.CodePermissionDenied, "refused")
	}
	if query.Get("greet") == "1" {
		return Receive.Send(ctx, c, "connected")
	}
	return nil
}

// disconnect tells the watchers who went, and why if it was not an ordinary end.
func disconnect(ctx context.Context, c *hubwire.Conn, cause error) {
	gone := gone{ID: c.ID()}
	if cause != nil {
		gone.Error = new(cause.Error())
	}
	if err := Gone.Send(ctx, c.Hub().Group("watchers"), gone); err != nil {
		slog.WarnContext(ctx, "tell the watchers", "conn", c, "err", err)
	}
}
