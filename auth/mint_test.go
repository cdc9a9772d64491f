package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
)

// The tests sign with the standard library, so that they do not agree with the
// package by sharing its mistakes.

const (
	secret   = "conformance-key-of-at-least-32-bytes!"
	issuer   = "conformance"
	audience = "conformance"
	far      = 4102444800 // 2100-01-01
)

// secret64 is long enough for every algorithm.
var secret64 = []byte(strings.Repeat("0123456789abcdef", 4))

var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaKey2  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p256Key2 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(secret64[:32]) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type object = map[string]any

// claims are good ones, changed by the pairs that follow; nil takes one away.
func claims(change ...any) object {
	c := object{"sub": "alice", "iss": issuer, "aud": audience, "exp": far}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == nil {
			delete(c, change[i].(string))
		} else {
			c[change[i].(string)] = change[i+1]
		}
	}
	return c
}

// mint signs a token. head and body are objects or JSON text.
func mint(key any, head, body any) string {
	text := func(v any) []byte {
		if s, ok := v.(string); ok {
			return []byte(s)
		}
		return must(json.Marshal(v))
	}
	alg := ""
	if h, ok := head.(object); ok {
		alg, _ = h["alg"].(string)
	}
	return sign(alg, key, b64(text(head))+"."+b64(text(body)))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign signs what comes before the last dot. An alg that is not for the key is
// taken for the first that is.
func sign(alg string, key any, input string) string {
	size := strings.TrimLeft(alg, "HRSPE")
	hash := map[string]crypto.Hash{"384": crypto.SHA384, "512": crypto.SHA512}[size]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(input))
	digest := h.Sum(nil)
	var sig []byte
	switch k := key.(type) {
	case nil:
	case string:
		sig = mac(hash.New, []byte(k), input)
	case []byte:
		sig = mac(hash.New, k, input)
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			sig = must(rsa.SignPSS(rand.Reader, k, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		} else {
			sig = must(rsa.SignPKCS1v15(rand.Reader, k, hash, digest))
		}
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			panic(err)
		}
		n := (k.Curve.Params().BitSize + 7) / 8
		sig = append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	default:
		panic("no key")
	}
	return input + "." + b64(sig)
}

func mac(h func() hash.Hash, key []byte, input string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(input))
	return m.Sum(nil)
}

func hs256(body any) string { return mint(secret, object{"alg": "HS256", "typ": "JWT"}, body) }

// jwk is a public key as JSON, changed by the pairs that follow.
func jwk(kid string, private any, change ...any) object {
	k := object{"use": "sig"}
	if kid != "" {
		k["kid"] = kid
	}
	switch p := private.(type) {
	case *rsa.PrivateKey:
		maps.Copy(k, object{"kty": "RSA", "n": b64(p.N.Bytes()), "e": b64(big.NewInt(int64(p.E)).Bytes())})
	case *ecdsa.PrivateKey:
		point := must(p.PublicKey.Bytes())[1:]
		n := len(point) / 2
		maps.Copy(k, object{"kty": "EC", "crv": p.Curve.Params().Name, "x": b64(point[:n]), "y": b64(point[n:])})
	case ed25519.PrivateKey:
		maps.Copy(k, object{"kty": "OKP", "crv": "Ed25519", "x": b64(p.Public().(ed25519.PublicKey))})
	}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == nil {
			delete(k, change[i].(string))
		} else {
			k[change[i].(string)] = change[i+1]
		}
	}
	return k
}

func keySet(keys ...object) string { return string(must(json.Marshal(object{"keys": keys}))) }

// conformance are the options of the endpoint /authorized, with what else is
// asked for.
func conformance(more ...func(*auth.Options)) *auth.Options {
	o := &auth.Options{Issuer: issuer, Audiences: []string{audience}, Keys: []auth.Key{{Secret: []byte(secret)}}, Query: auth.QueryAlways}
	for _, f := range more {
		f(o)
	}
	return o
}

// An answer is what came back, and what the handler saw, if it was called.
type answer struct {
	status int
	header http.Header
	body   string
	inner  *http.Request
	user   *hubwire.User
}

// challenge is the answer's WWW-Authenticate.
func (a *answer) challenge() string { return a.header.Get("WWW-Authenticate") }

// ask sends a request through the middleware.
func ask(t testing.TB, mw func(http.Handler) http.Handler, r *http.Request) *answer {
	t.Helper()
	a := new(answer)
	rec := httptest.NewRecorder()
	mw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.inner, a.user = r, hubwire.UserFrom(r.Context())
		w.WriteHeader(http.StatusNoContent)
	})).ServeHTTP(rec, r)
	a.status, a.header, a.body = rec.Code, rec.Result().Header, rec.Body.String()
	if (a.status == http.StatusNoContent) != (a.inner != nil) {
		t.Errorf("status %d, handler called: %v", a.status, a.inner != nil)
	}
	return a
}

// bearer is a negotiation with a token.
func bearer(token string) *http.Request {
	r := httptest.NewRequest("POST", "/authorized/negotiate?negotiateVersion=1", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// smallRSA is a key of 1024 bits.
func smallRSA() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 1023)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}
