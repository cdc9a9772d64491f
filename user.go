package hubwire

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// A User is who is behind a connection. The zero User is anonymous. A User is
// shared by its connections and must not be changed once it was given to
// WithUser.
type User struct {
	// ID is what Hub.User sends to. Empty is anonymous.
	ID string
	// Claims are what is known of the user, by claim name.
	Claims map[string]any
	// Expires is when the user's credentials end. Zero: never.
	Expires time.Time
}

var anonymous = new(User)

type userKey struct{}

// WithUser puts u into the context of a request. HTTP middleware calls it in
// front of a mounted hub; package auth is one such middleware.
func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom is the user that WithUser put into ctx, or the anonymous one; never
// nil.
func UserFrom(ctx context.Context) *User {
	if u, _ := ctx.Value(userKey{}).(*User); u != nil {
		return u
	}
	return anonymous
}

// A Request is what a connection keeps of the request that made it. It is
// read-only.
type Request struct {
	Wire      string // "signalr", "sse", "jsonrpc", "grpc"
	Transport string // as the wire calls it, such as "WebSockets"
	Protocol  string // as the wire calls it, such as "json"
	Remote    string // the peer's address and port
	// Query is the request's query, without the names that carry secrets (id,
	// access_token). Nil where nothing is left.
	Query url.Values
	// Header holds the headers that the mount's KeepHeaders names.
	Header http.Header
}
