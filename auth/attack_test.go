package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/auth"
)

// What the challenges say, as ASP.NET Core 10.0.12 does where it refuses too.
const (
	plain      = `Bearer error="invalid_token"`
	notFound   = `Bearer error="invalid_token", error_description="The signature key was not found"`
	wrong      = `Bearer error="invalid_token", error_description="The signature is invalid"`
	noExp      = `Bearer error="invalid_token", error_description="The token has no expiration"`
	noAudience = `Bearer error="invalid_token", error_description="The audience 'empty' is invalid"`
	audienceNo = `Bearer error="invalid_token", error_description="The audience '(null)' is invalid"`
)

// published are the public keys that the server under attack knows, beside
// secret64.
func published() []auth.Key {
	return []auth.Key{
		{ID: "rsa", Public: &rsaKey().PublicKey},
		{ID: "ec", Public: &p256Key().PublicKey},
		{ID: "ed", Public: edKey().Public()},
		{ID: "secret", Secret: secret64},
	}
}

type attack struct {
	name  string
	token string
	want  string // the challenge; empty: the token is good
}

func attacks() []attack {
	hs := func(more ...any) object {
		h := object{"alg": "HS256"}
		for i := 0; i < len(more); i += 2 {
			h[more[i].(string)] = more[i+1]
		}
		return h
	}
	good := mint(secret64, hs(), claims())
	parts := strings.Split(good, ".")
	der := must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey))
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	pkcs1 := x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)
	own := jwk("own", p256Key2())
	changed := []byte(good)
	changed[len(changed)-5] ^= 1
	return []attack{
		{"good", good, ""},
		{"good RS256", mint(rsaKey(), object{"alg": "RS256", "kid": "rsa"}, claims()), ""},
		{"good ES256", mint(p256Key(), object{"alg": "ES256", "kid": "ec"}, claims()), ""},
		{"good EdDSA", mint(edKey(), object{"alg": "EdDSA", "kid": "ed"}, claims()), ""},
		{"good without kid", mint(rsaKey(), object{"alg": "PS512"}, claims()), ""},

		// Algorithms.
		{"alg none", mint(nil, object{"alg": "none"}, claims()), wrong},
		{"alg None", mint(nil, object{"alg": "NoNe"}, claims()), wrong},
		{"alg none with kid", mint(nil, object{"alg": "none", "kid": "rsa"}, claims()), wrong},
		{"alg none, signed", mint(secret64, object{"alg": "none"}, claims()), wrong},
		{"no alg", mint(secret64, object{"typ": "JWT"}, claims()), plain},
		{"empty alg", mint(secret64, hs("alg", ""), claims()), plain},
		{"alg null", mint(secret64, `{"alg":null}`, claims()), plain},
		{"alg is a list", mint(secret64, `{"alg":["HS256"]}`, claims()), plain},
		{"alg in lower case", mint(secret64, hs("alg", "hs256"), claims()), notFound},
		{"alg with a space", mint(secret64, hs("alg", "HS256 "), claims()), notFound},
		{"Alg for alg", mint(secret64, object{"Alg": "HS256"}, claims()), plain},
		{"alg HS1", mint(secret64, hs("alg", "HS1"), claims()), notFound},
		{"alg of encryption", mint(secret64, hs("alg", "dir"), claims()), notFound},
		{"alg RS256, signed by the secret", mint(secret64, hs("alg", "RS256"), claims()), notFound},
		{"alg HS512, signed as HS256", strings.Replace(mint(secret64, hs(), claims()), b64([]byte(`{"alg":"HS256"}`)), b64([]byte(`{"alg":"HS512"}`)), 1), notFound},
		{"HS/RS confusion: PEM", mint(publicPEM, hs("kid", "rsa"), claims()), notFound},
		{"HS/RS confusion: PEM without kid", mint(publicPEM, hs(), claims()), notFound},
		{"HS/RS confusion: PEM without its last line feed", mint(bytes.TrimSpace(publicPEM), hs("kid", "rsa"), claims()), notFound},
		{"HS/RS confusion: DER", mint(der, hs("kid", "rsa"), claims()), notFound},
		{"HS/RS confusion: PKCS 1", mint(pkcs1, hs("kid", "rsa"), claims()), notFound},
		{"HS/RS confusion: modulus", mint(rsaKey().N.Bytes(), hs("kid", "rsa"), claims()), notFound},
		{"HS/EC confusion", mint(must(p256Key().PublicKey.Bytes()), hs("kid", "ec"), claims()), notFound},
		{"HS/Ed confusion", mint([]byte(edKey().Public().(ed25519.PublicKey)), hs("kid", "ed"), claims()), notFound},
		{"empty secret", mint([]byte{}, hs(), claims()), notFound},
		{"RS256 with the kid of the EC key", mint(rsaKey(), object{"alg": "RS256", "kid": "ec"}, claims()), notFound},
		{"ES256 signature of zeros", parts0(object{"alg": "ES256", "kid": "ec"}) + b64(make([]byte, 64)), wrong},
		{"ES256 signature in DER", parts0(object{"alg": "ES256", "kid": "ec"}) + b64(append([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, make([]byte, 56)...)), wrong},
		{"EdDSA signature of zeros", parts0(object{"alg": "EdDSA", "kid": "ed"}) + b64(make([]byte, 64)), wrong},
		{"RS256 signature of zeros", parts0(object{"alg": "RS256", "kid": "rsa"}) + b64(make([]byte, 256)), wrong},

		// Keys.
		{"wrong secret", mint([]byte(secret), hs(), claims()), notFound},
		{"wrong secret with a known kid", mint([]byte(secret), hs("kid", "secret"), claims()), wrong},
		{"wrong RSA key", mint(rsaKey2(), object{"alg": "RS256", "kid": "rsa"}, claims()), wrong},
		{"wrong EC key", mint(p256Key2(), object{"alg": "ES256"}, claims()), notFound},
		{"EC key of another curve", mint(p384Key(), object{"alg": "ES256"}, claims()), notFound},
		{"kid: unknown", mint(secret64, hs("kid", "other"), claims()), notFound},
		{"kid: path traversal", mint([]byte{}, hs("kid", "../../../../../../dev/null"), claims()), notFound},
		{"kid: SQL", mint([]byte("x"), hs("kid", "x' UNION SELECT 'x"), claims()), notFound},
		{"kid: command", mint([]byte("x"), hs("kid", "rsa|sleep 10"), claims()), notFound},
		{"kid: URL", mint(p256Key2(), object{"alg": "ES256", "kid": "http://127.0.0.1:9/key"}, claims()), notFound},
		{"kid: NUL", mint(secret64, hs("kid", "secret\x00"), claims()), notFound},
		{"kid: other case", mint(secret64, hs("kid", "Secret"), claims()), notFound},
		{"kid: 1 MB", mint(secret64, hs("kid", strings.Repeat("k", 1<<20)), claims()), plain},
		{"kid: 2 KB", mint(secret64, hs("kid", strings.Repeat("k", 2<<10)), claims()), notFound},
		{"kid: number", mint(secret64, hs("kid", 1), claims()), plain},
		{"kid: object", mint(secret64, hs("kid", object{"$ne": ""}), claims()), plain},
		{"jku", mint(p256Key2(), object{"alg": "ES256", "kid": "own", "jku": "http://127.0.0.1:9/keys"}, claims()), notFound},
		{"x5u", mint(rsaKey2(), object{"alg": "RS256", "x5u": "http://127.0.0.1:9/cert"}, claims()), notFound},
		{"jwk", mint(p256Key2(), object{"alg": "ES256", "jwk": own}, claims()), notFound},
		{"jwk with a known kid", mint(p256Key2(), object{"alg": "ES256", "kid": "ec", "jwk": jwk("ec", p256Key2())}, claims()), wrong},
		{"jwk that is a secret", mint([]byte("x"), hs("jwk", object{"kty": "oct", "k": "eA"}), claims()), plain},
		{"x5c", mint(rsaKey2(), object{"alg": "RS256", "x5c": []string{certificate()}}, claims()), notFound},
		{"jku and jwk beside a good signature", mint(secret64, hs("jku", "http://127.0.0.1:9/keys", "jwk", own, "x5u", "x", "x5t", "y"), claims()), ""},

		// The header.
		{"crit", mint(secret64, hs("crit", []string{"exp"}, "exp", 1), claims()), plain},
		{"crit: empty", mint(secret64, hs("crit", []string{}), claims()), plain},
		{"crit: text", mint(secret64, hs("crit", "exp"), claims()), plain},
		{"crit: null", mint(secret64, `{"alg":"HS256","crit":null}`, claims()), plain},
		{"crit: b64", mint(secret64, hs("crit", []string{"b64"}, "b64", false), claims()), plain},
		{"b64", mint(secret64, hs("b64", false), claims()), plain},
		{"duplicate alg", mint(secret64, `{"alg":"none","alg":"HS256"}`, claims()), plain},
		{"duplicate alg, escaped", mint(secret64, `{"alg":"HS256","\u0061lg":"none"}`, claims()), plain},
		{"duplicate kid", mint(secret64, `{"alg":"HS256","kid":"rsa","kid":"secret"}`, claims()), plain},
		{"header: a list", mint(secret64, `["HS256"]`, claims()), plain},
		{"header: text", mint(secret64, `"HS256"`, claims()), plain},
		{"header: nothing", mint(secret64, ``, claims()), plain},
		{"header: not JSON", mint(secret64, `alg=HS256`, claims()), plain},
		{"header: two objects", mint(secret64, `{"alg":"HS256"}{}`, claims()), plain},
		{"header: not UTF-8", mint(secret64, "{\"alg\":\"HS256\",\"typ\":\"\xff\"}", claims()), plain},
		{"header: byte order mark", mint(secret64, "\ufeff{\"alg\":\"HS256\"}", claims()), plain},
		{"header: deep", mint(secret64, `{"alg":"HS256","x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`, claims()), plain},
		{"typ of another kind of token", mint(secret64, hs("typ", "at+jwt"), claims()), ""},

		// The form.
		{"one part", "nonsense", plain},
		{"two parts", parts[0] + "." + parts[1], plain},
		{"four parts", good + ".x", plain},
		{"five parts, as of an encrypted one", "a.b.c.d.e", plain},
		{"three empty parts", "..", plain},
		{"a thousand dots", strings.Repeat(".", 1000), plain},
		{"no signature", parts[0] + "." + parts[1] + ".", wrong},
		{"no claims", parts[0] + ".." + parts[2], notFound},
		{"signature of another token", parts[0] + "." + b64([]byte(`{"sub":"root"}`)) + "." + parts[2], notFound},
		{"signature changed", string(changed), notFound},
		{"signature cut", good[:len(good)-3], notFound},
		{"signature cut in the middle of a byte", good[:len(good)-2], plain},
		{"signature with more behind it", good + "AAAA", notFound},
		{"base64 with bits that mean nothing", good[:len(good)-1] + string(otherBits(good[len(good)-1])), plain},
		{"padding", good + "=", plain},
		{"standard alphabet", parts[0] + "." + parts[1] + ".ab+/" + parts[2][4:], plain},
		{"white space inside", good[:20] + " " + good[20:], plain},
		{"tab inside", good[:20] + "\t" + good[20:], plain},
		{"line feed inside", good[:20] + "\n" + good[20:], plain},
		{"NUL inside", good[:20] + "\x00" + good[20:], plain},
		{"quoted", `"` + good + `"`, plain},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, plain},
		{"two tokens", good + "," + good, plain},
		{"scheme twice", "Bearer " + good, plain},
		{"giant", mint(secret64, hs(), claims("x", strings.Repeat("x", 1<<20))), plain},
		{"over 16 KiB", mint(secret64, hs(), claims("x", strings.Repeat("x", 16<<10))), plain},
		{"under 16 KiB", mint(secret64, hs(), claims("x", strings.Repeat("x", 11<<10))), ""},

		// The claims.
		{"claims: not JSON", mint(secret64, hs(), "hello"), plain},
		{"claims: a list", mint(secret64, hs(), "[]"), plain},
		{"claims: null", mint(secret64, hs(), "null"), plain},
		{"claims: nothing behind the comma", mint(secret64, hs(), `{"sub":"alice",}`), plain},
		{"claims: two objects", mint(secret64, hs(), `{"sub":"alice"} {"sub":"root"}`), plain},
		{"claims: not UTF-8", mint(secret64, hs(), "{\"exp\":4102444800,\"iss\":\"conformance\",\"aud\":\"conformance\",\"sub\":\"al\xffice\"}"), plain},
		{"claims: half of a pair", mint(secret64, hs(), `{"exp":4102444800,"iss":"conformance","aud":"conformance","sub":"al\ud800ice"}`), plain},
		{"claims: duplicate sub", mint(secret64, hs(), `{"exp":4102444800,"iss":"conformance","aud":"conformance","sub":"alice","sub":"root"}`), plain},
		{"claims: duplicate exp, escaped", mint(secret64, hs(), `{"exp":1,"iss":"conformance","aud":"conformance","sub":"alice","e\u0078p":4102444800}`), plain},
		{"claims: duplicate below", mint(secret64, hs(), `{"exp":4102444800,"iss":"conformance","aud":"conformance","sub":"alice","x":[{"a":1,"a":2}]}`), plain},
		{"claims: nested", mint(secret64, hs(), claims("a", object{"b": []any{1, object{"c": nil}}})), ""},
		{"claims: nested too deep", mint(secret64, hs(), strings.Replace(text(claims("x", 0)), `"x":0`, `"x":`+strings.Repeat(`{"x":`, 5000)+"0"+strings.Repeat("}", 5000), 1)), plain},
		{"claims: other case", mint(secret64, hs(), claims("sub", nil, "SUB", "alice")), plain},

		{"exp missing", mint(secret64, hs(), claims("exp", nil)), noExp},
		{"exp null", mint(secret64, hs(), strings.Replace(text(claims()), "4102444800", "null", 1)), noExp},
		{"exp text", mint(secret64, hs(), claims("exp", "4102444800")), plain},
		{"exp a list", mint(secret64, hs(), claims("exp", []int{far})), plain},
		{"exp true", mint(secret64, hs(), claims("exp", true)), plain},
		{"exp zero", mint(secret64, hs(), claims("exp", 0)), `Bearer error="invalid_token", error_description="The token expired at '01/01/1970 00:00:00'"`},
		{"exp negative", mint(secret64, hs(), claims("exp", -5)), `Bearer error="invalid_token", error_description="The token expired at '01/01/1970 00:00:00'"`},
		{"exp long ago", mint(secret64, hs(), claims("exp", -1e18)), `Bearer error="invalid_token", error_description="The token expired at '01/01/1970 00:00:00'"`},
		{"exp before numbers end", mint(secret64, hs(), strings.Replace(text(claims()), "4102444800", "-1e999", 1)), `Bearer error="invalid_token", error_description="The token expired at '01/01/1970 00:00:00'"`},
		{"exp not a number", mint(secret64, hs(), strings.Replace(text(claims()), "4102444800", "NaN", 1)), plain},
		{"nbf in the future", mint(secret64, hs(), claims("nbf", far-100)), `Bearer error="invalid_token", error_description="The token is not valid before '12/31/2099 23:58:20'"`},
		{"nbf behind exp", mint(secret64, hs(), claims("nbf", far+100)), `Bearer error="invalid_token", error_description="The token lifetime is invalid; NotBefore: '01/01/2100 00:01:40', Expires: '01/01/2100 00:00:00'"`},
		{"nbf text", mint(secret64, hs(), claims("nbf", "0")), plain},
		{"nbf past", mint(secret64, hs(), claims("nbf", 1)), ""},
		{"iat text", mint(secret64, hs(), claims("iat", "yesterday")), ""},
		{"iat in the future", mint(secret64, hs(), claims("iat", far)), ""},

		{"aud missing", mint(secret64, hs(), claims("aud", nil)), noAudience},
		{"aud an empty list", mint(secret64, hs(), claims("aud", []string{})), noAudience},
		{"aud empty", mint(secret64, hs(), claims("aud", "")), noAudience},
		{"aud another", mint(secret64, hs(), claims("aud", "else")), audienceNo},
		{"aud other case", mint(secret64, hs(), claims("aud", "Conformance")), audienceNo},
		{"aud with more behind it", mint(secret64, hs(), claims("aud", "conformance ")), audienceNo},
		{"aud with ours inside", mint(secret64, hs(), claims("aud", "x,conformance")), audienceNo},
		{"aud an object", mint(secret64, hs(), claims("aud", object{"conformance": true})), noAudience},
		{"aud a list in a list", mint(secret64, hs(), claims("aud", []any{[]any{audience}})), noAudience},
		{"aud a list without ours", mint(secret64, hs(), claims("aud", []string{"a", "b"})), audienceNo},
		{"aud a list", mint(secret64, hs(), claims("aud", []any{"x", 1, audience})), ""},
		{"iss missing", mint(secret64, hs(), claims("iss", nil)), `Bearer error="invalid_token", error_description="The issuer '' is invalid"`},
		{"iss another", mint(secret64, hs(), claims("iss", "else")), `Bearer error="invalid_token", error_description="The issuer 'else' is invalid"`},
		{"iss other case", mint(secret64, hs(), claims("iss", "CONFORMANCE")), `Bearer error="invalid_token", error_description="The issuer 'CONFORMANCE' is invalid"`},
		{"iss a list", mint(secret64, hs(), claims("iss", []string{issuer})), `Bearer error="invalid_token", error_description="The issuer '' is invalid"`},
		{"iss with a header inside", mint(secret64, hs(), claims("iss", "a\r\nSet-Cookie: b")), plain},
		{"iss with a quote inside", mint(secret64, hs(), claims("iss", `a", x="b`)), plain},
		{"iss not ASCII", mint(secret64, hs(), claims("iss", "ä")), plain},
		{"iss long", mint(secret64, hs(), claims("iss", strings.Repeat("i", 300))), plain},
		{"sub missing", mint(secret64, hs(), claims("sub", nil)), plain},
		{"sub null", mint(secret64, hs(), strings.Replace(text(claims()), `"alice"`, "null", 1)), plain},
		{"sub empty", mint(secret64, hs(), claims("sub", "")), plain},
		{"sub a list", mint(secret64, hs(), claims("sub", []string{"alice"})), plain},
		{"sub an object", mint(secret64, hs(), claims("sub", object{})), plain},
		{"sub true", mint(secret64, hs(), claims("sub", true)), plain},
		{"sub no whole number", mint(secret64, hs(), claims("sub", 1.5)), plain},
		{"expired, with another audience and issuer", mint(secret64, hs(), claims("exp", 1, "aud", "x", "iss", "y")), `Bearer error="invalid_token", error_description="The token expired at '01/01/1970 00:00:01'"`},
		{"wrong secret, and expired", mint([]byte(secret), hs(), claims("exp", 1)), notFound},
	}
}

// parts0 is the first two parts of a token, with their dots.
func parts0(head object) string {
	return b64([]byte(text(head))) + "." + b64([]byte(text(claims()))) + "."
}

// certificate is one for a key of the attacker's, as x5c has it.
func certificate() string {
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	return base64.StdEncoding.EncodeToString(must(x509.CreateCertificate(rand.Reader, c, c, rsaKey2().Public(), rsaKey2())))
}

func text(v object) string { return string(must(json.Marshal(v))) }

// otherBits is a character of base64url that differs from c in its last bit,
// which a 43 character text has no meaning for.
func otherBits(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

func TestAttacks(t *testing.T) {
	var log bytes.Buffer
	mw := auth.Bearer(conformance(func(o *auth.Options) {
		o.Keys = published()
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}))
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			query := httptest.NewRequest("GET", "/authorized?id=1", nil)
			query.URL.RawQuery += "&access_token=" + url.QueryEscape(a.token)
			for how, r := range map[string]*http.Request{"header": bearer(a.token), "query": query} {
				got := ask(t, mw, r)
				switch {
				case a.want == "" && got.user == nil:
					t.Errorf("%s: status %d, %s", how, got.status, got.challenge())
				case a.want == "" && got.user.ID != "alice":
					t.Errorf("%s: user %q", how, got.user.ID)
				case a.want != "" && (got.status != 401 || got.challenge() != a.want || got.body != ""):
					t.Errorf("%s: status %d, %s, body %q; want %s", how, got.status, got.challenge(), got.body, a.want)
				}
			}
		})
	}
	// Nothing that came in a token is in the log.
	for _, a := range attacks() {
		for part := range strings.SplitSeq(a.token, ".") {
			if len(part) > 8 && strings.Contains(log.String(), part[:8]) {
				t.Errorf("%s: %q is in the log", a.name, part[:8])
			}
		}
	}
	for _, word := range []string{"alice", "traversal", "dev/null", "UNION", "kkkkkkkk", "else", "Set-Cookie", "access_token="} {
		if strings.Contains(log.String(), word) {
			t.Errorf("%q is in the log", word)
		}
	}
	if n := strings.Count(log.String(), "auth: token refused"); n < 200 {
		t.Errorf("%d refusals are in the log", n)
	}
}
