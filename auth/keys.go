package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// A key is a Key that was found good, or one of a key set.
type key struct {
	id         string
	algorithms []jose.SignatureAlgorithm // never empty
	material   any                       // as jose's Verify takes it
}

// fits reports whether a token that says these of itself may be signed with k.
func (k *key) fits(h header) bool {
	return slices.Contains(k.algorithms, h.algorithm) && (k.id == h.kid || k.id == "" || h.kid == "")
}

// fixed checks a key of Options. Its error continues a sentence that begins
// with the key's name.
func (k *Key) fixed() (key, error) {
	var x key
	switch {
	case (k.Secret == nil) == (k.Public == nil):
		return key{}, errors.New("must have either a Secret or a Public key")
	case k.Public != nil:
		algorithms, err := algorithmsOf(k.Public)
		if err != nil {
			return key{}, err
		}
		x = key{k.ID, algorithms, k.Public}
	case len(k.Secret) < 32:
		return key{}, fmt.Errorf("has a Secret of %d bytes; it must have at least 32", len(k.Secret))
	case bytes.Contains(k.Secret, []byte("-----BEGIN ")):
		// A public key that is used as a secret lets anybody sign.
		return key{}, errors.New("has a PEM file as its Secret; parse it, and set Public")
	default:
		x = key{k.ID, []jose.SignatureAlgorithm{jose.HS256}, bytes.Clone(k.Secret)}
		if len(k.Secret) >= 48 {
			x.algorithms = append(x.algorithms, jose.HS384)
		}
		if len(k.Secret) >= 64 {
			x.algorithms = append(x.algorithms, jose.HS512)
		}
	}
	if len(k.Algorithms) > 0 {
		only := make([]jose.SignatureAlgorithm, len(k.Algorithms))
		for i, a := range k.Algorithms {
			only[i] = jose.SignatureAlgorithm(a)
			if !slices.Contains(x.algorithms, only[i]) {
				return key{}, fmt.Errorf("has %q in Algorithms; its kind and size allow only %v", a, x.algorithms)
			}
		}
		x.algorithms = only
	}
	return x, nil
}

// algorithmsOf is what a public key may be used with. Its error continues a
// sentence that begins with the key's name.
func algorithmsOf(public any) ([]jose.SignatureAlgorithm, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < 2048 {
			return nil, errors.New("is an RSA key of less than 2048 bits") // RFC 7518, section 3.3
		}
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}, nil
	case *ecdsa.PublicKey:
		if k != nil && k.Curve != nil {
			switch k.Curve.Params().Name {
			case "P-256":
				return []jose.SignatureAlgorithm{jose.ES256}, nil
			case "P-384":
				return []jose.SignatureAlgorithm{jose.ES384}, nil
			case "P-521":
				return []jose.SignatureAlgorithm{jose.ES512}, nil
			}
		}
		return nil, errors.New("is an ECDSA key of another curve than P-256, P-384 and P-521")
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, errors.New("is an Ed25519 key of a wrong size")
		}
		return []jose.SignatureAlgorithm{jose.EdDSA}, nil
	}
	return nil, fmt.Errorf("has a Public key of type %T; it must be *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", public)
}

// maxKeys bounds a key set. The largest public ones have about ten.
const maxKeys = 100

// parseKeySet reads a JSON Web Key Set (RFC 7517, section 5). Keys that are not
// for signatures or of unknown kinds are left out, as the RFC asks; those that
// are broken or no secret any more are left out too, each with a line in
// skipped.
func parseKeySet(data []byte) (keys []key, skipped []string, err error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, nil, errors.New("not a key set: not the JSON of one")
	}
	if set.Keys == nil {
		return nil, nil, errors.New("not a key set: it has no keys member")
	}
	if len(*set.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("%d keys; there may be %d", len(*set.Keys), maxKeys)
	}
	for i, raw := range *set.Keys {
		k, use, err := parseKey(raw)
		switch {
		case err != nil:
			skipped = append(skipped, fmt.Sprintf("key %d %v", i, err))
		case use:
			keys = append(keys, k)
		}
	}
	return keys, skipped, nil
}

// parseKey reads one key of a set. use is false for a good key that is not for
// tokens that we take. An error continues a sentence that begins with the key's
// name.
func parseKey(raw []byte) (k key, use bool, err error) {
	var x struct {
		Kty string   `json:"kty"`
		Use string   `json:"use"`
		Ops []string `json:"key_ops"`
		Alg string   `json:"alg"`
		Kid string   `json:"kid"`
		public
	}
	if err := json.Unmarshal(raw, &x); err != nil {
		return key{}, false, errors.New("is not the JSON of a key")
	}
	switch {
	case x.Kty == "oct":
		return key{}, false, errors.New("is a secret, and is no secret any more")
	case x.Kty != "RSA" && x.Kty != "EC" && x.Kty != "OKP",
		x.Use != "" && x.Use != "sig",
		x.Ops != nil && !slices.Contains(x.Ops, "verify"):
		return key{}, false, nil
	}
	// Only what makes the public key is handed on: what else there may be
	// (certificates, private parts) is none of our business, and must not make
	// a good key useless.
	x.public.Kty = x.Kty
	plain, err := json.Marshal(x.public)
	if err != nil {
		return key{}, false, errors.New("is not the JSON of a key")
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(plain); err != nil {
		if errors.Is(err, jose.ErrUnsupportedKeyType) {
			return key{}, false, nil
		}
		return key{}, false, errors.New("is broken: " + strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
	}
	algorithms, err := algorithmsOf(jwk.Key)
	if err != nil {
		return key{}, false, err
	}
	if x.Alg != "" {
		alg := jose.SignatureAlgorithm(x.Alg)
		if !slices.Contains(algorithms, alg) {
			return key{}, false, errors.New("has an alg that is not for its kind")
		}
		algorithms = []jose.SignatureAlgorithm{alg}
	}
	return key{x.Kid, algorithms, jwk.Key}, true, nil
}

// public is the members that make a public key of any kind (RFC 7518, section
// 6, and RFC 8037).
type public struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}
