package auth_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/auth"
)

// Whatever a request says, only tokens that carry our signature pass, and the
// query that a handler sees has no token.
func FuzzBearer(f *testing.F) {
	for _, a := range attacks() {
		if len(a.token) < 4<<10 {
			f.Add("Bearer "+a.token, "")
			f.Add("", "id=1&access_token="+url.QueryEscape(a.token))
		}
	}
	f.Add("Basic YTpi", "access_token=a&ACCESS%5FTOKEN=b&;=%zz")
	mw := auth.Bearer(conformance(func(o *auth.Options) {
		o.Keys = published()
		o.Logger = slog.New(slog.DiscardHandler)
	}))
	f.Fuzz(func(t *testing.T, authorization, query string) {
		r := httptest.NewRequest("GET", "/hub", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", authorization)
		a := ask(t, mw, r)
		switch {
		case a.status != 204:
			if a.status != 401 || a.body != "" || !strings.HasPrefix(a.challenge(), "Bearer") || strings.ContainsAny(a.challenge(), "\r\n") {
				t.Errorf("status %d, challenge %q", a.status, a.challenge())
			}
			return
		case a.user == nil || a.user.ID == "" || a.user.Expires.IsZero():
			t.Fatalf("user %v", a.user)
		}
		if strings.Contains(strings.ToLower(a.inner.URL.RawQuery), "access_token=") && strings.Contains(a.inner.URL.Query().Encode(), "access_token=") {
			for name := range a.inner.URL.Query() {
				if strings.EqualFold(name, "access_token") {
					t.Errorf("query %q", a.inner.URL.RawQuery)
				}
			}
		}
		token := strings.Trim(authorization[min(len(authorization), 7):], " \t")
		for name, v := range r.URL.Query() {
			if v = nonEmpty(v); strings.EqualFold(name, "access_token") && len(v) > 0 {
				token = v[0]
			}
		}
		if !signed(token) {
			t.Errorf("passed: %q, %q", authorization, query)
		}
	})
}

func nonEmpty(list []string) (some []string) {
	for _, s := range list {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

// signed checks a token by the standard library alone. The fuzzer cannot sign,
// so a token that passes is one of the seeds, and of these those of HS256 can
// be told apart from forged ones here.
func signed(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	var h struct{ Alg string }
	if err != nil || json.Unmarshal(head, &h) != nil {
		return false
	}
	if h.Alg != "HS256" {
		return h.Alg == "RS256" || h.Alg == "PS512" || h.Alg == "ES256" || h.Alg == "EdDSA"
	}
	m := hmac.New(sha256.New, secret64)
	m.Write([]byte(parts[0] + "." + parts[1]))
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	return err == nil && hmac.Equal(sig, m.Sum(nil))
}

// Any text is a key set or an error; what comes out of one has an algorithm.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(keySet(jwk("1", rsaKey()), jwk("2", p256Key()), jwk("3", edKey()))))
	f.Add([]byte(keySet(jwk("1", p521Key(), "alg", "ES512", "key_ops", []string{"verify"}), object{"kty": "oct", "k": "AAAA"})))
	f.Add([]byte(`{"keys":[null,1,{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, algorithms, skipped, err := auth.ParseKeySet(data)
		if err != nil && (ids != nil || skipped != nil) {
			t.Errorf("keys and an error: %v", err)
		}
		if len(ids) > 100 || len(algorithms) < len(ids) {
			t.Errorf("%d keys, %d algorithms", len(ids), len(algorithms))
		}
		for _, a := range algorithms {
			if strings.HasPrefix(a, "HS") || a == "none" {
				t.Errorf("algorithm %q", a)
			}
		}
	})
}

// What is read as an object is read as the same by encoding/json.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,-2.5e10,null,true,{"b":"\u00e4\n"}],"c":{"d":[]}}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, ` { "a" : 1 } `, `[]`, `{"a":1}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := auth.ParseObject(data)
		if err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var other map[string]any
		if err := d.Decode(&other); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if a, b := must(json.Marshal(m)), must(json.Marshal(other)); !bytes.Equal(a, b) {
			t.Errorf("%q: %s, %s", data, a, b)
		}
	})
}
