package auth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/auth"
)

const allRSA = "RS256 RS384 RS512 PS256 PS384 PS512"

func TestKeySet(t *testing.T) {
	rsa, ec, ed := jwk("r", rsaKey()), jwk("e", p256Key()), jwk("d", edKey())
	for _, c := range []struct {
		name       string
		keys       []any
		ids        string
		algorithms string
		skipped    int
	}{
		{"RSA", []any{rsa}, "r", allRSA, 0},
		{"P-256", []any{ec}, "e", "ES256", 0},
		{"P-384", []any{jwk("e", p384Key())}, "e", "ES384", 0},
		{"P-521", []any{jwk("e", p521Key())}, "e", "ES512", 0},
		{"Ed25519", []any{ed}, "d", "EdDSA", 0},
		{"no keys", []any{}, "", "", 0},
		{"no kid", []any{jwk("", edKey())}, "", "EdDSA", 0},
		{"duplicate kids of two kinds", []any{jwk("a", rsaKey()), jwk("a", p256Key())}, "a a", allRSA + " ES256", 0},
		{"duplicate kids of one kind", []any{jwk("a", p256Key()), jwk("a", p256Key2())}, "a a", "ES256 ES256", 0},

		{"alg", []any{jwk("r", rsaKey(), "alg", "PS384")}, "r", "PS384", 0},
		{"alg of another kind", []any{jwk("r", rsaKey(), "alg", "ES256"), ec}, "e", "ES256", 1},
		{"alg HS256 for a public key", []any{jwk("r", rsaKey(), "alg", "HS256")}, "", "", 1},
		{"alg none", []any{jwk("r", rsaKey(), "alg", "none")}, "", "", 1},
		{"alg of another curve", []any{jwk("e", p256Key(), "alg", "ES384")}, "", "", 1},
		{"alg of encryption", []any{jwk("r", rsaKey(), "alg", "RSA-OAEP")}, "", "", 1},
		{"use absent", []any{jwk("e", p256Key(), "use", nil)}, "e", "ES256", 0},
		{"use enc", []any{jwk("r", rsaKey(), "use", "enc"), ec}, "e", "ES256", 0},
		{"use of others", []any{jwk("r", rsaKey(), "use", "SIG")}, "", "", 0},
		{"key_ops verify", []any{jwk("e", p256Key(), "key_ops", []string{"sign", "verify"})}, "e", "ES256", 0},
		{"key_ops encrypt", []any{jwk("e", p256Key(), "key_ops", []string{"encrypt"})}, "", "", 0},
		{"key_ops empty", []any{jwk("e", p256Key(), "key_ops", []string{})}, "", "", 0},
		{"key_ops text", []any{jwk("e", p256Key(), "key_ops", "verify")}, "", "", 1},

		{"secret", []any{object{"kty": "oct", "kid": "s", "k": b64(secret64)}, ec}, "e", "ES256", 1},
		{"unknown kind", []any{object{"kty": "AKP", "kid": "q", "alg": "ML-DSA-44", "pub": "AAAA"}, ec}, "e", "ES256", 0},
		{"no kind", []any{jwk("e", p256Key(), "kty", nil)}, "", "", 0},
		{"kind in lower case", []any{jwk("e", p256Key(), "kty", "ec")}, "", "", 0},
		{"unknown curve", []any{jwk("e", p256Key(), "crv", "secp256k1"), jwk("d", edKey(), "crv", "X25519"), jwk("d", edKey(), "crv", "Ed448")}, "", "", 0},
		{"point not on the curve", []any{jwk("e", p256Key(), "y", jwk("", p256Key2())["y"])}, "", "", 1},
		{"point of zeros", []any{jwk("e", p256Key(), "x", b64(make([]byte, 32)), "y", b64(make([]byte, 32)))}, "", "", 1},
		{"point of another curve", []any{jwk("e", p384Key(), "crv", "P-256")}, "", "", 1},
		{"no y", []any{jwk("e", p256Key(), "y", nil)}, "", "", 1},
		{"no n", []any{jwk("r", rsaKey(), "n", nil)}, "", "", 1},
		{"e of 1", []any{jwk("r", rsaKey(), "e", "AQ")}, "", "", 1},
		{"e of 0", []any{jwk("r", rsaKey(), "e", "AA")}, "", "", 1},
		{"e too large", []any{jwk("r", rsaKey(), "e", b64([]byte("123456789")))}, "", "", 1},
		{"RSA of 1024 bits", []any{jwk("r", rsaKey(), "n", b64(append([]byte{0x80}, make([]byte, 127)...)))}, "", "", 1},
		{"RSA of 100,000 bits", []any{jwk("r", rsaKey(), "n", b64(append([]byte{0x80}, make([]byte, 12500)...)))}, "", "", 0},
		{"short Ed25519", []any{jwk("d", edKey(), "x", "AAAA")}, "", "", 1},
		{"not base64", []any{jwk("d", edKey(), "x", "!")}, "", "", 1},
		{"null", []any{nil, ec}, "e", "ES256", 0},
		{"number", []any{1, ec}, "e", "ES256", 1},
		{"kid a number", []any{jwk("e", p256Key(), "kid", 1), rsa}, "r", allRSA, 1},
		{"private parts", []any{jwk("e", p256Key(), "d", b64(make([]byte, 32)))}, "e", "ES256", 0},
		{"certificates of others", []any{jwk("e", p256Key(), "x5c", []string{certificate()}, "x5t", "x", "x5u", "://")}, "e", "ES256", 0},
		{"broken certificates", []any{jwk("e", p256Key(), "x5c", []string{"!"})}, "e", "ES256", 0},
		{"members of others", []any{jwk("e", p256Key(), "exp", 1, "issuer", object{})}, "e", "ES256", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, algorithms, skipped, err := auth.ParseKeySet(must(json.Marshal(object{"keys": c.keys})))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(ids, " ") != c.ids || strings.Join(algorithms, " ") != c.algorithms || len(skipped) != c.skipped {
				t.Errorf("ids %q, algorithms %q, skipped %q", ids, algorithms, skipped)
			}
		})
	}
}

func TestKeySetBounds(t *testing.T) {
	for n, good := range map[int]bool{100: true, 101: false} {
		keys := make([]object, n)
		for i := range keys {
			keys[i] = jwk(fmt.Sprint(i), edKey())
		}
		if ids, _, _, err := auth.ParseKeySet([]byte(keySet(keys...))); (err == nil) != good || good && len(ids) != n {
			t.Errorf("%d keys: %d, %v", n, len(ids), err)
		}
	}
}
