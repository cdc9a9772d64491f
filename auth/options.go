package auth

import (
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hubwire/hubwire"
)

// Options configure Bearer. The zero value of a field means its default. There
// must be an Issuer, Audiences, and at least one source of keys: Keys, KeySet or
// Discover; they may be combined.
type Options struct {
	// Issuer is what the iss claim must be, to the letter; "*" is any, which is
	// for fixed keys that nobody else signs with.
	Issuer string

	// Audiences are what the aud claim, a string or a list, must name one of,
	// to the letter; "*" is any, and then a token that was issued for another
	// service opens this one too.
	Audiences []string

	// Keys are fixed keys.
	Keys []Key

	// KeySet is the URL of a JSON Web Key Set (RFC 7517). It is read when the
	// first token comes. How long it is good for is said by its Cache-Control,
	// but at least 5 minutes and at most a day (an hour where nothing is said);
	// then the old keys serve while the new ones are read. If they cannot be
	// read, the old ones serve for one more day. A token of an unknown key has
	// the set read again, at most every 30 s.
	//
	// The scheme http is for tests and networks that are safe: whoever can
	// change the answer can sign tokens. Secrets in a key set are left out.
	KeySet string

	// Discover finds the KeySet by OpenID Connect Discovery: Issuer is a URL,
	// and the document is at its path with /.well-known/openid-configuration
	// behind it. The document must name the same issuer.
	Discover bool

	// UserClaim is the claim that becomes User.ID. It must be text or a whole
	// number, and not empty. Defaults to "sub".
	UserClaim string

	// Skew is by how much the clocks of the issuer and of this server may
	// differ: exp and nbf are checked with this leeway. User.Expires is exp
	// itself. Defaults to 5 minutes, as in ASP.NET Core; negative is none.
	Skew time.Duration

	// Query says for which requests the access_token parameter is read.
	// Defaults to QueryStreams.
	Query Query

	// Anonymous lets requests without a token pass, with the user that the
	// request already has, or none. A token that is refused is refused still.
	Anonymous bool

	// Require decides who may use the mount at all, such as a HasClaim. A user
	// with a token whom it turns away is answered 403, one without 401. It is
	// called with every request, by many goroutines. Defaults to everybody.
	Require func(u *hubwire.User) bool

	// MaxToken is the longest token, in bytes. Defaults to 16 KiB.
	MaxToken int

	// Client reads KeySet and the discovery document, each within 10 s in all
	// and up to 1 MiB. Defaults to one with the environment's proxy. Unless it
	// has a CheckRedirect, 3 redirects are followed, none from https to http.
	Client *http.Client

	// Logger gets refused tokens at level Info, and what is wrong with the
	// sources of keys at level Warn; never a token. Defaults to slog.Default.
	Logger *slog.Logger
}

// A Query says for which requests the access_token parameter of the query is
// read. Where it is read and not empty it comes before the Authorization
// header. Its name is compared without regard to case. It is taken out of the
// request in any case.
type Query uint8

const (
	// QueryStreams is for what a browser can set no headers on: the requests
	// that open a WebSocket or an event stream.
	QueryStreams Query = iota
	// QueryAlways is for every request.
	QueryAlways
	// QueryNever is for clients that all set the header. URLs are written to
	// many logs.
	QueryNever
)

// A Key verifies tokens. It has either a Secret or a Public key.
type Key struct {
	// ID is the kid of the tokens that the key is for. A key without one is
	// tried for every token, and a token without kid is tried with every key.
	ID string

	// Secret is for HS256 and, where it is long enough (48 and 64 bytes, RFC
	// 7518, section 3.2), HS384 and HS512. At least 32 bytes, and random.
	Secret []byte

	// Public is an *rsa.PublicKey of at least 2048 bits (RS256 to RS512 and
	// PS256 to PS512), an *ecdsa.PublicKey of curve P-256, P-384 or P-521
	// (ES256, ES384 or ES512, which follows from the curve) or an
	// ed25519.PublicKey (EdDSA).
	Public crypto.PublicKey

	// Algorithms, if any, are the only ones of these that are taken.
	Algorithms []string
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.UserClaim == "" {
		d.UserClaim = "sub"
	}
	if d.Skew == 0 {
		d.Skew = 5 * time.Minute
	}
	d.Skew = max(d.Skew, 0)
	if d.MaxToken == 0 {
		d.MaxToken = 16 << 10
	}
	if d.Client == nil {
		d.Client = defaultClient()
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Audiences = slices.Clone(d.Audiences)
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
	rule(o.Issuer != "", `Issuer is empty; it must be what iss is in the tokens, or "*"`)
	rule(len(o.Audiences) > 0, `Audiences is empty; it must have what aud is in the tokens, or "*"`)
	rule(!slices.Contains(o.Audiences, ""), "Audiences has an empty text")
	rule(len(o.Keys) > 0 || o.KeySet != "" || o.Discover, "there are no keys; Keys, KeySet or Discover must be set")
	rule(o.KeySet == "" || !o.Discover, "KeySet and Discover are both set; there must be one of them")
	for i, k := range o.Keys {
		_, err := k.fixed()
		rule(err == nil, "Keys[%d] %v", i, err)
	}
	if o.KeySet != "" {
		rule(validURL(o.KeySet), "KeySet is no http or https URL")
	}
	if o.Discover {
		u, err := url.Parse(o.Issuer)
		rule(validURL(o.Issuer) && err == nil && u.RawQuery == "" && u.Fragment == "", "Issuer is no http or https URL without a query, which Discover needs")
	}
	rule(o.Query <= QueryNever, "Query is %d; it must be QueryStreams, QueryAlways or QueryNever", o.Query)
	rule(o.MaxToken > 0, "MaxToken is %d; it must be positive", o.MaxToken)
	return bad
}

// validURL reports whether s is an absolute URL that keys may be read from.
func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
