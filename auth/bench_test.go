package auth_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hubwire/hubwire/auth"
)

var passed = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })

// A request with a token, as it passes the middleware.
func BenchmarkVerify(b *testing.B) {
	l := &login{keys: keySet(jwk("1", rsaKey()), jwk("2", p256Key()), jwk("3", edKey()))}
	far, _ := remote(l)
	fixed := auth.Bearer(conformance(func(o *auth.Options) { o.Keys = append(published(), auth.Key{Secret: []byte(secret)}) }))
	for _, c := range []struct {
		name  string
		cache bool
		token string
	}{
		{"HS256", false, hs256(claims())},
		{"ES256", false, mint(p256Key(), object{"alg": "ES256", "kid": "ec"}, claims())},
		{"RS256", false, mint(rsaKey(), object{"alg": "RS256", "kid": "rsa"}, claims())},
		{"EdDSA", false, mint(edKey(), object{"alg": "EdDSA", "kid": "ed"}, claims())},
		{"ES256/key set", true, es256("2", p256Key())},
	} {
		b.Run(c.name, func(b *testing.B) {
			mw := fixed
			if c.cache {
				mw = far
			}
			h := mw(passed)
			r, w := bearer(c.token), httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 204 {
				b.Fatal(w.Code)
			}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
	if l.count() > 1 {
		b.Errorf("the key set was read %d times", l.count())
	}
	b.Run("refused", func(b *testing.B) {
		mw := auth.Bearer(conformance(func(o *auth.Options) { o.Logger = slog.New(slog.DiscardHandler) }))
		h, r, w := mw(passed), bearer(mint(secret64, object{"alg": "HS256"}, claims())), httptest.NewRecorder()
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	})
}
