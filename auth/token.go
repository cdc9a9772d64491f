package auth

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hubwire/hubwire"
)

// A refusal is why a token is not taken.
type refusal struct {
	reason      string // for the log: our words alone
	description string // for the client, may be empty
}

var (
	malformed    = &refusal{"not a token", ""}
	tooLong      = &refusal{"longer than MaxToken", ""}
	unsigned     = &refusal{"not signed", "The signature is invalid"}
	badSignature = &refusal{"the signature is wrong", "The signature is invalid"}
	unknownKey   = &refusal{"no known key fits the signature", "The signature key was not found"}
	critical     = &refusal{"the header has crit or b64", ""}
	badClaims    = &refusal{"the claims are " + errJSON.Error(), ""}
)

// A verifier tells users by their tokens.
type verifier struct {
	opts   Options
	fixed  []key
	remote *remote // nil: none
}

// verify finds who a token is of. It fails only where keys are needed that
// cannot be had.
func (v *verifier) verify(ctx context.Context, token string) (*hubwire.User, *refusal, error) {
	if len(token) > v.opts.MaxToken {
		return nil, tooLong, nil
	}
	h, no := parseHeader(token)
	if no != nil {
		return nil, no, nil
	}
	payload, no, err := v.signed(ctx, token, h)
	if no != nil || err != nil {
		return nil, no, err
	}
	claims, err := parseObject(payload)
	if err != nil {
		return nil, badClaims, nil
	}
	u, no := v.opts.user(claims, time.Now())
	return u, no, nil
}

// A header is what a token says of its signature.
type header struct {
	algorithm jose.SignatureAlgorithm
	kid       string
}

// maxKid is the longest kid that is looked up.
const maxKid = 1 << 10

// parseHeader reads the header of a token that is not known to be good (RFC
// 7515, section 4). Nothing of it is trusted: it picks a key, and with the key
// the algorithm has to be right.
func parseHeader(token string) (header, *refusal) {
	// Three parts in the alphabet of base64url, without padding or white space,
	// which some readers pass over and others do not.
	parts := 1
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			parts++
		case !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'):
			return header{}, malformed
		}
	}
	if parts != 3 {
		return header{}, malformed
	}
	raw, err := base64url.DecodeString(token[:strings.IndexByte(token, '.')])
	if err != nil {
		return header{}, malformed
	}
	if _, err := base64url.DecodeString(token[strings.LastIndexByte(token, '.')+1:]); err != nil {
		return header{}, malformed
	}
	m, err := parseObject(raw)
	if err != nil {
		return header{}, malformed
	}
	_, crit := m["crit"]
	_, detached := m["b64"]
	if crit || detached {
		return header{}, critical
	}
	alg, _ := m["alg"].(string)
	kid, ok := m["kid"].(string)
	switch {
	case alg == "", !ok && m["kid"] != nil:
		return header{}, malformed
	case strings.EqualFold(alg, "none"), strings.HasSuffix(token, "."):
		return header{}, unsigned
	case len(kid) > maxKid:
		return header{}, unknownKey
	}
	return header{jose.SignatureAlgorithm(alg), kid}, nil
}

// base64url takes one encoding of every text, and no other. (The claims need no
// such care: what was signed is their encoding.)
var base64url = base64.RawURLEncoding.Strict()

// signed returns the payload of a token whose signature is good.
func (v *verifier) signed(ctx context.Context, token string, h header) (payload []byte, no *refusal, err error) {
	// jose reads the header anew, and takes it only if it is of the algorithm
	// that the keys are picked by.
	t, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{h.algorithm})
	if err != nil || len(t.Signatures) != 1 {
		return nil, malformed, nil
	}
	payload, named := check(t, h, v.fixed)
	if payload != nil || v.remote == nil || !published(h.algorithm) {
		return payload, missing(payload, named), nil
	}
	keys, err := v.remote.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	payload, namedThere := check(t, h, keys)
	if payload == nil && !namedThere {
		// A key that is newer than the set, or none.
		keys, err = v.remote.newer(ctx)
		if err != nil {
			return nil, nil, err
		}
		payload, namedThere = check(t, h, keys)
	}
	return payload, missing(payload, named || namedThere), nil
}

// missing is the refusal of a token that has no good signature.
func missing(payload []byte, named bool) *refusal {
	switch {
	case payload != nil:
		return nil
	case named:
		return badSignature
	}
	return unknownKey
}

// maxTries bounds what one token makes us compute: the keys that are tried for
// a token without kid.
const maxTries = 16

// check tries the keys that fit. It returns the payload if one of them made the
// signature, and reports whether one has the kid of the token.
func check(t *jose.JSONWebSignature, h header, keys []key) (payload []byte, named bool) {
	tries := 0
	for i := range keys {
		k := &keys[i]
		if !k.fits(h) {
			continue
		}
		if tries++; tries > maxTries {
			break
		}
		named = named || h.kid != "" && k.id == h.kid
		if payload, err := t.Verify(k.material); err == nil && payload != nil {
			return payload, named
		}
	}
	return nil, named
}

// published reports whether keys for an algorithm may be in a key set. Secrets
// may not.
func published(a jose.SignatureAlgorithm) bool {
	switch a {
	case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA:
		return true
	}
	return false
}
