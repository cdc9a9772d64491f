// Package auth says who is behind a connection: HTTP middleware that verifies
// bearer tokens (JSON Web Tokens, RFC 7519) in front of a mounted hub, and
// filters that decide what a user may call.
//
//	verify := auth.Bearer(&auth.Options{
//		Issuer:    "https://login.example.com",
//		Audiences: []string{"chat"},
//		Discover:  true,
//	})
//	hub.Handle(Ban.With(ban).Use(auth.RequireClaim("role", "moderator")))
//	signalr.Mount(mux, "/chat", hub, &signalr.Options{Middleware: verify})
//
// The middleware runs for every request of the mount, so a token is looked at
// when a connection is negotiated, when it is opened and with every poll or
// send beside it. The user that it found is what Conn.User returns, and the
// end of the token is User.Expires, which the mount may close connections on.
//
// # What is trusted
//
// Keys come from Options alone: fixed ones, or those at an address that Options
// names. What a token says of its own key is never followed: jku, x5u, jwk and
// x5c are ignored, and kid only picks one of the known keys. The algorithms
// that a key may be used with follow from its kind and size, never from the
// token, so a public key cannot be taken for a secret, and "none" is no
// algorithm at all. A header with crit or b64 is refused, and so is JSON in
// which a member comes twice, which is not UTF-8 or which is nested more than
// 16 deep.
//
// No part of a token that is refused is logged: the log has a reason in words
// of our own. The access_token parameter is taken out of the request that
// handlers see. Middleware outside of this one, such as an access log, does see
// it. The Authorization header stays.
//
// # What a refused client sees
//
// The answers are those of ASP.NET Core's JWT bearer handler, as recorded: 401
// without a body, and with WWW-Authenticate "Bearer" where there is no token,
// or error="invalid_token" and a description. Stricter than there, a
// token is refused whose user claim is missing, whose header has crit, or whose
// exp is text. 403 without a body is for a user that Options.Require turns
// away, and 503 with Retry-After says that the keys cannot be had right now.
//
// # The library
//
// Signatures, algorithms and the format of keys are left to
// github.com/go-jose/go-jose/v4: it is kept by the people of Let's Encrypt,
// released several times a year, has no dependencies, is under the Apache licence
// 2.0, reads both tokens and key sets (github.com/golang-jwt/jwt/v5, the other
// candidate, reads no keys), demands the list of algorithms with every parse,
// checks that keys are as long as their algorithm asks and that points lie on
// their curve, and refuses doubled members in headers. Its known
// vulnerabilities were CVE-2025-27144 (tokens of many dots, fixed in 4.0.5) and
// CVE-2026-34986 (a panic in decryption, which is not used here, fixed in
// 4.1.4). No other package of this module imports it.
package auth
