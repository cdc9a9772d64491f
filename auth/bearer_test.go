package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
	"github.com/hubwire/hubwire/signalr"
)

func TestUser(t *testing.T) {
	a := ask(t, auth.Bearer(conformance()), bearer(hs256(claims("name", "Ada", "tenant", 9007199254740993, "roles", []string{"a"}, "iat", 1.5, "x", nil))))
	if a.user == nil {
		t.Fatal(a.status, a.challenge())
	}
	u := a.user
	if u.ID != "alice" || !u.Expires.Equal(time.Unix(far, 0)) {
		t.Errorf("id %q, expires %v", u.ID, u.Expires)
	}
	if u.Claims["name"] != "Ada" || u.Claims["tenant"] != json.Number("9007199254740993") || u.Claims["iat"] != json.Number("1.5") || u.Claims["roles"].([]any)[0] != "a" {
		t.Errorf("claims %#v", u.Claims)
	}
}

func TestUserClaim(t *testing.T) {
	mw := auth.Bearer(conformance(func(o *auth.Options) { o.UserClaim = "oid" }))
	for name, c := range map[string]struct {
		oid  any
		want string
	}{
		"text":         {"bob", "bob"},
		"whole number": {json.Number("12345678901234567890"), "12345678901234567890"},
		"fraction":     {1.5, ""},
		"missing":      {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, mw, bearer(hs256(claims("oid", c.oid))))
			switch {
			case c.want == "" && a.status != 401:
				t.Errorf("status %d", a.status)
			case c.want != "" && (a.user == nil || a.user.ID != c.want):
				t.Errorf("status %d, user %v", a.status, a.user)
			}
		})
	}
}

// The clock of a bubble begins at 2000-01-01.
func TestLifetime(t *testing.T) {
	const now = 946684800
	for _, c := range []struct {
		name     string
		skew     time.Duration
		exp, nbf any
		good     bool
	}{
		{"expires in a second", -1, now + 1, nil, true},
		{"expires now", -1, now, nil, false},
		{"expired a second ago", -1, now - 1, nil, false},
		{"expires in part of a second", -1, now + 0.25, nil, true},
		{"expired part of a second ago", -1, now - 0.25, nil, false},
		{"expired 4:59 ago", 0, now - 299, nil, true},
		{"expired 5:00 ago", 0, now - 300, nil, false},
		{"expired 0:59 ago, skew of a minute", time.Minute, now - 59, nil, true},
		{"expired 1:00 ago, skew of a minute", time.Minute, now - 60, nil, false},
		{"begins now", -1, far, now, true},
		{"begins in a second", -1, far, now + 1, false},
		{"begins in 5:00", 0, far, now + 300, true},
		{"begins in 5:01", 0, far, now + 301, false},
		{"begins and ends now", 0, now, now, true},
		{"expires after the year 9999", 0, 1e15, nil, true},
		{"expires after numbers end", 0, json.Number("1e999"), nil, true},
		{"expires after integers end", 0, json.Number("99999999999999999999"), nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := ask(t, auth.Bearer(conformance(func(o *auth.Options) { o.Skew = c.skew })), bearer(hs256(claims("exp", c.exp, "nbf", c.nbf))))
				if (a.user != nil) != c.good {
					t.Errorf("status %d, %s", a.status, a.challenge())
				}
				if a.user != nil && a.user.Expires.Year() > 9999 {
					t.Errorf("expires %v", a.user.Expires)
				}
			})
		})
	}
}

// Expires has no leeway: it is when connections close.
func TestExpiresIsWithoutSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exp := time.Now().Add(-time.Minute)
		a := ask(t, auth.Bearer(conformance()), bearer(hs256(claims("exp", exp.Unix()))))
		if a.user == nil || !a.user.Expires.Equal(exp) {
			t.Errorf("status %d, user %v", a.status, a.user)
		}
	})
}

// Every algorithm is taken with every key that it is for, and no other.
func TestAlgorithms(t *testing.T) {
	keys := []struct {
		name    string
		key     auth.Key
		private any
		allowed string
	}{
		{"32 bytes", auth.Key{Secret: secret64[:32]}, secret64[:32], "HS256"},
		{"48 bytes", auth.Key{Secret: secret64[:48]}, secret64[:48], "HS256 HS384"},
		{"64 bytes", auth.Key{Secret: secret64}, secret64, "HS256 HS384 HS512"},
		{"RSA", auth.Key{Public: &rsaKey().PublicKey}, rsaKey(), "RS256 RS384 RS512 PS256 PS384 PS512"},
		{"P-256", auth.Key{Public: &p256Key().PublicKey}, p256Key(), "ES256"},
		{"P-384", auth.Key{Public: &p384Key().PublicKey}, p384Key(), "ES384"},
		{"P-521", auth.Key{Public: &p521Key().PublicKey}, p521Key(), "ES512"},
		{"Ed25519", auth.Key{Public: edKey().Public()}, edKey(), "EdDSA"},
		{"narrowed", auth.Key{Public: &rsaKey().PublicKey, Algorithms: []string{"PS256", "RS512"}}, rsaKey(), "RS512 PS256"},
	}
	for _, k := range keys {
		mw := auth.Bearer(conformance(func(o *auth.Options) { o.Keys = []auth.Key{k.key} }))
		for _, alg := range strings.Fields("HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA") {
			a := ask(t, mw, bearer(mint(k.private, object{"alg": alg}, claims())))
			if want := strings.Contains(k.allowed, alg); (a.user != nil) != want {
				t.Errorf("%s, %s: status %d", k.name, alg, a.status)
			}
		}
	}
}

func TestAuthorizationHeader(t *testing.T) {
	good := hs256(claims())
	none, bad := "Bearer", plain
	for _, c := range []struct {
		name   string
		values []string
		want   string // the challenge; empty: good
	}{
		{"as usual", []string{"Bearer " + good}, ""},
		{"lower case", []string{"bearer " + good}, ""},
		{"mixed case", []string{"bEARER " + good}, ""},
		{"white space around", []string{"Bearer   " + good + " \t"}, ""},
		{"absent", nil, none},
		{"empty", []string{""}, none},
		{"scheme alone", []string{"Bearer"}, none},
		{"scheme and a space", []string{"Bearer "}, none},
		{"tab for space", []string{"Bearer\t" + good}, none},
		{"no scheme", []string{good}, none},
		{"no space", []string{"Bearer" + good}, none},
		{"another scheme", []string{"Basic YTpi"}, none},
		{"token68 of another scheme", []string{"DPoP " + good}, none},
		{"two tokens", []string{"Bearer " + good, "Bearer " + good}, bad},
		{"two headers, the first of another scheme", []string{"Basic YTpi", "Bearer " + good}, none},
		{"with parameters", []string{"Bearer " + good + ", realm=x"}, bad},
		{"quoted", []string{`Bearer "` + good + `"`}, bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/authorized/negotiate", nil)
			r.Header["Authorization"] = c.values
			if a := ask(t, auth.Bearer(conformance()), r); a.challenge() != c.want || (a.user != nil) != (c.want == "") {
				t.Errorf("status %d, challenge %q, want %q", a.status, a.challenge(), c.want)
			}
		})
	}
}

func TestQuery(t *testing.T) {
	alice, bob := hs256(claims()), hs256(claims("sub", "bob"))
	for _, c := range []struct {
		name, query, header string
		want                string // the user, or the challenge
		rest                string // of the query that the handler sees
	}{
		{"alone", "access_token=" + alice, "", "alice", ""},
		{"first", "access_token=" + alice + "&id=1&x=%zz", "", "alice", "id=1&x=%zz"},
		{"last", "a=1;2&id=%41&access_token=" + alice, "", "alice", "a=1;2&id=%41"},
		{"between", "id=1&access_token=" + alice + "&id=2", "", "alice", "id=1&id=2"},
		{"other case", "Access_TOKEN=" + alice, "", "alice", ""},
		{"escaped name", "access%5Ftoken=" + alice, "", "alice", ""},
		{"escaped token", "access_token=" + strings.ReplaceAll(alice, ".", "%2E"), "", "alice", ""},
		{"before the header", "access_token=" + alice, bob, "alice", ""},
		{"empty, and a header", "access_token=&id=1", bob, "bob", "id=1"},
		{"without a value, and a header", "access_token&id=1", bob, "bob", "id=1"},
		{"bad, and a good header", "access_token=bad", bob, plain, ""},
		{"empty", "access_token=", "", "Bearer", ""},
		{"twice", "access_token=" + alice + "&access_token=" + alice, "", plain, ""},
		{"twice, in two cases", "access_token=" + alice + "&ACCESS_TOKEN=" + bob, "", plain, ""},
		{"twice, one empty", "access_token=&access_token=" + alice, "", "alice", ""},
		{"with a scheme", "access_token=Bearer%20" + alice, "", plain, ""},
		{"with a space", "access_token=+" + alice, "", plain, ""},
		{"with half an escape", "access_token=" + alice + "%2", "", plain, ""},
		{"another name", "token=" + alice, bob, "bob", "token=" + alice},
		{"part of a name", "my_access_token=" + alice + "&access_tokens=1", bob, "bob", "my_access_token=" + alice + "&access_tokens=1"},
		{"in a value", "x=access_token", bob, "bob", "x=access_token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/authorized?"+c.query, nil)
			if c.header != "" {
				r.Header.Set("Authorization", "Bearer "+c.header)
			}
			a := ask(t, auth.Bearer(conformance()), r)
			if a.user == nil {
				if a.challenge() != c.want {
					t.Errorf("challenge %q, want %q", a.challenge(), c.want)
				}
				return
			}
			if a.user.ID != c.want || a.inner.URL.RawQuery != c.rest {
				t.Errorf("user %q, query %q; want %q, %q", a.user.ID, a.inner.URL.RawQuery, c.want, c.rest)
			}
			if strings.Contains(c.query, "ccess_token=") && strings.Contains(a.inner.RequestURI, alice) && !strings.Contains(c.rest, alice) {
				t.Errorf("the token is in RequestURI: %s", a.inner.RequestURI)
			}
			if r.URL.RawQuery != c.query {
				t.Errorf("the request of others has changed: %q", r.URL.RawQuery)
			}
		})
	}
}

// Whoever outside has parsed the form has the token there too.
func TestTokenLeavesTheForm(t *testing.T) {
	r := httptest.NewRequest("GET", "/authorized?id=1&Access_Token="+hs256(claims()), nil)
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	a := ask(t, auth.Bearer(conformance()), r)
	if a.inner == nil || len(a.inner.Form) != 1 || a.inner.FormValue("id") != "1" {
		t.Fatalf("status %d, form %v", a.status, a.inner.Form)
	}
	if len(r.Form) != 2 {
		t.Errorf("the request of others has changed: %v", r.Form)
	}
}

func TestQueryIsReadFor(t *testing.T) {
	token := hs256(claims())
	requests := map[string]func() *http.Request{
		"WebSocket": func() *http.Request {
			r := httptest.NewRequest("GET", "/hub?access_token="+token, nil)
			r.Header.Set("Connection", "keep-alive, Upgrade")
			r.Header.Set("Upgrade", "WebSocket")
			return r
		},
		"events": func() *http.Request {
			r := httptest.NewRequest("GET", "/hub?access_token="+token, nil)
			r.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
			return r
		},
		"poll":      func() *http.Request { return httptest.NewRequest("GET", "/hub?access_token="+token, nil) },
		"negotiate": func() *http.Request { return httptest.NewRequest("POST", "/hub/negotiate?access_token="+token, nil) },
		"send that says it is a stream": func() *http.Request {
			r := httptest.NewRequest("POST", "/hub?access_token="+token, nil)
			r.Header.Set("Accept", "text/event-stream")
			return r
		},
	}
	for _, c := range []struct {
		query auth.Query
		for_  string
	}{
		{auth.QueryStreams, "WebSocket events"},
		{auth.QueryAlways, "WebSocket events poll negotiate send that says it is a stream"},
		{auth.QueryNever, ""},
	} {
		for name, request := range requests {
			var log bytes.Buffer
			mw := auth.Bearer(conformance(func(o *auth.Options) {
				o.Query = c.query
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			}))
			a := ask(t, mw, request())
			if want := strings.Contains(c.for_, name); (a.user != nil) != want {
				t.Errorf("%d, %s: status %d", c.query, name, a.status)
			} else if !want {
				// The one reason for a 401 that nobody finds by themselves.
				if a.challenge() != "Bearer" || !strings.Contains(log.String(), "the access_token in the query is not read") || strings.Contains(log.String(), token[:10]) {
					t.Errorf("%d, %s: challenge %q, log %s", c.query, name, a.challenge(), &log)
				}
			}
			// Where it is not read it is taken away nevertheless.
			r := request()
			r.Header.Set("Authorization", "Bearer "+token)
			if a := ask(t, mw, r); a.inner == nil || a.inner.URL.RawQuery != "" {
				t.Errorf("%d, %s: status %d, query %q", c.query, name, a.status, a.inner.URL.RawQuery)
			}
		}
	}
}

func TestAnonymous(t *testing.T) {
	mw := auth.Bearer(conformance(func(o *auth.Options) { o.Anonymous = true }))
	if a := ask(t, mw, httptest.NewRequest("GET", "/hub", nil)); a.user == nil || a.user.ID != "" {
		t.Errorf("no token: status %d, user %v", a.status, a.user)
	}
	if a := ask(t, mw, bearer(hs256(claims()))); a.user == nil || a.user.ID != "alice" {
		t.Errorf("a good token: status %d, user %v", a.status, a.user)
	}
	for _, token := range []string{"bad", hs256(claims("exp", 1)), mint(nil, object{"alg": "none"}, claims())} {
		if a := ask(t, mw, bearer(token)); a.status != 401 {
			t.Errorf("a bad token: status %d", a.status)
		}
	}
	// Whoever another middleware has found stays, unless there is a token.
	cookie := func(r *http.Request) *http.Request {
		return r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "carol"}))
	}
	if a := ask(t, mw, cookie(httptest.NewRequest("GET", "/hub", nil))); a.user == nil || a.user.ID != "carol" {
		t.Errorf("another user: status %d, user %v", a.status, a.user)
	}
	if a := ask(t, mw, cookie(bearer(hs256(claims())))); a.user == nil || a.user.ID != "alice" {
		t.Errorf("another user and a token: status %d, user %v", a.status, a.user)
	}
}

func TestRequire(t *testing.T) {
	admin := hs256(claims("role", []string{"user", "admin"}))
	for _, anonymous := range []bool{false, true} {
		mw := auth.Bearer(conformance(func(o *auth.Options) {
			o.Anonymous = anonymous
			o.Require = auth.HasClaim("role", "admin")
		}))
		if a := ask(t, mw, bearer(admin)); a.status != 204 {
			t.Errorf("admin: status %d", a.status)
		}
		a := ask(t, mw, bearer(hs256(claims("role", "user"))))
		if a.status != 403 || a.body != "" || len(a.header) != 1 || a.header.Get("Content-Length") != "0" {
			t.Errorf("user: status %d, headers %v, body %q", a.status, a.header, a.body)
		}
		if a := ask(t, mw, httptest.NewRequest("GET", "/hub", nil)); a.status != 401 || a.challenge() != "Bearer" {
			t.Errorf("nobody: status %d, %s", a.status, a.challenge())
		}
		r := httptest.NewRequest("GET", "/hub", nil)
		r = r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "carol"}))
		if a := ask(t, mw, r); anonymous && a.status != 403 || !anonymous && a.status != 401 {
			t.Errorf("the user of another middleware: status %d", a.status)
		}
		if a := ask(t, mw, bearer("bad")); a.status != 401 || a.challenge() != plain {
			t.Errorf("bad token: status %d, %s", a.status, a.challenge())
		}
	}
}

// On the wire of net/http, an answer is what the reference sends, but for Date
// and Server; and nothing of a token is in what a handler's connection keeps.
func TestMounted(t *testing.T) {
	mux := http.NewServeMux()
	hub := hubwire.New(nil)
	defer hub.Shutdown(context.Background())
	signalr.Mount(mux, "/authorized", hub, &signalr.Options{Middleware: auth.Bearer(conformance())})
	server := httptest.NewServer(mux)
	defer server.Close()
	client := server.Client()
	do := func(method, path, token string) *http.Response {
		t.Helper()
		r := must(http.NewRequest(method, server.URL+path, nil))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	for _, path := range []string{"/authorized/negotiate?negotiateVersion=1", "/authorized", "/authorized?id=x", "/authorized/x"} {
		for _, method := range []string{"GET", "POST", "DELETE", "PUT"} {
			res := do(method, path, "")
			res.Header.Del("Date")
			if res.StatusCode != 401 || res.ContentLength != 0 || len(res.Header) != 2 || res.Header.Get("WWW-Authenticate") != "Bearer" || res.Header.Get("Content-Length") != "0" {
				t.Errorf("%s %s: %d %v", method, path, res.StatusCode, res.Header)
			}
		}
	}
	if res := do("POST", "/authorized/negotiate?negotiateVersion=1", hs256(claims())); res.StatusCode != 200 {
		t.Errorf("negotiate: %d", res.StatusCode)
	}
	if res := do("POST", "/authorized/negotiate?negotiateVersion=1&access_token="+hs256(claims()), ""); res.StatusCode != 200 {
		t.Errorf("negotiate with the token in the query: %d", res.StatusCode)
	}
	client.CloseIdleConnections()
}

func TestRules(t *testing.T) {
	long := []byte(strings.Repeat("s", 32))
	tests := map[string]func(*auth.Options){
		`Issuer is empty; it must be what iss is in the tokens, or "*"`:      func(o *auth.Options) { o.Issuer = "" },
		`Audiences is empty; it must have what aud is in the tokens, or "*"`: func(o *auth.Options) { o.Audiences = nil },
		"Audiences has an empty text":                                        func(o *auth.Options) { o.Audiences = []string{""} },
		"there are no keys; Keys, KeySet or Discover must be set":            func(o *auth.Options) { o.Keys = nil },
		"KeySet and Discover are both set":                                   func(o *auth.Options) { o.KeySet, o.Discover, o.Issuer = "https://a/", true, "https://a" },
		"KeySet is no http or https URL":                                     func(o *auth.Options) { o.KeySet = "file:///etc/keys" },
		"Issuer is no http or https URL":                                     func(o *auth.Options) { o.Discover = true },
		"Keys[0] must have either a Secret or a Public key":                  func(o *auth.Options) { o.Keys = []auth.Key{{}} },
		"Keys[1] must have either":                                           func(o *auth.Options) { o.Keys = append(o.Keys, auth.Key{Secret: long, Public: edKey().Public()}) },
		"has a Secret of 31 bytes; it must have at least 32":                 func(o *auth.Options) { o.Keys[0].Secret = long[:31] },
		"has a PEM file as its Secret":                                       func(o *auth.Options) { o.Keys[0].Secret = []byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA") },
		"is an RSA key of less than 2048 bits":                               func(o *auth.Options) { o.Keys = []auth.Key{{Public: smallRSA()}} },
		"type ed25519.PrivateKey; it must be":                                func(o *auth.Options) { o.Keys = []auth.Key{{Public: edKey()}} },
		`has "ES384" in Algorithms; its kind and size allow only [ES256]`: func(o *auth.Options) {
			o.Keys = []auth.Key{{Public: &p256Key().PublicKey, Algorithms: []string{"ES384"}}}
		},
		`has "none" in Algorithms`:            func(o *auth.Options) { o.Keys[0].Algorithms = []string{"none"} },
		`has "HS384" in Algorithms`:           func(o *auth.Options) { o.Keys[0].Algorithms = []string{"HS384"} },
		"Query is 3":                          func(o *auth.Options) { o.Query = 3 },
		"MaxToken is -1; it must be positive": func(o *auth.Options) { o.MaxToken = -1 },
	}
	for want, change := range tests {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "auth: options: ") || !strings.Contains(got, want) {
					t.Errorf("panic %q", got)
				}
			}()
			auth.Bearer(conformance(change))
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("no options, and no panic")
		}
	}()
	auth.Bearer(nil)
}

func TestAny(t *testing.T) {
	mw := auth.Bearer(conformance(func(o *auth.Options) { o.Issuer, o.Audiences = "*", []string{"*"} }))
	for _, c := range []object{claims(), claims("iss", nil, "aud", nil), claims("iss", "x", "aud", []string{})} {
		if a := ask(t, mw, bearer(hs256(c))); a.user == nil {
			t.Errorf("%v: %s", c, a.challenge())
		}
	}
}

func TestMaxToken(t *testing.T) {
	token := hs256(claims())
	for n, want := range map[int]int{len(token): 204, len(token) - 1: 401} {
		if a := ask(t, auth.Bearer(conformance(func(o *auth.Options) { o.MaxToken = n })), bearer(token)); a.status != want {
			t.Errorf("%d bytes of %d: status %d", len(token), n, a.status)
		}
	}
}

// A challenge is one line of ASCII, whatever is in a token.
func TestChallengeIsOneLine(t *testing.T) {
	for _, iss := range []string{"a\r\nb", "a\x00b", "a\"b", "\x7f", "ü", strings.Repeat("x", 257)} {
		a := ask(t, auth.Bearer(conformance()), bearer(hs256(claims("iss", iss))))
		if a.challenge() != plain {
			t.Errorf("%q: %q", iss, a.challenge())
		}
	}
	a := ask(t, auth.Bearer(conformance()), bearer(hs256(claims("iss", "https://a.example/?b=c"))))
	if _, err := url.Parse(strings.Split(a.challenge(), "'")[1]); err != nil || !strings.Contains(a.challenge(), "'https://a.example/?b=c'") {
		t.Errorf("%q", a.challenge())
	}
}
