package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/auth"
)

// A login is an identity provider in memory. Its fields may be changed while no
// request is under way.
type login struct {
	mu       sync.Mutex
	asked    []string // the URLs that were asked for
	keys     string
	document string
	cache    string // Cache-Control
	status   int
	err      error
	block    bool          // no answer until the client gives up
	delay    time.Duration // before the answer
	panics   bool
}

func (l *login) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.asked = append(l.asked, r.URL.String())
	l.mu.Unlock()
	if l.panics {
		panic("login")
	}
	if l.block {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(l.delay)
	if l.err != nil {
		return nil, l.err
	}
	w := httptest.NewRecorder()
	if l.cache != "" {
		w.Header().Set("Cache-Control", l.cache)
	}
	w.WriteHeader(max(l.status, 200))
	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		w.WriteString(l.document)
	} else {
		w.WriteString(l.keys)
	}
	res := w.Result()
	res.Request = r
	return res, nil
}

// count is how often it was asked.
func (l *login) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

// remote is middleware with l's keys alone, and its log.
func remote(l *login, more ...func(*auth.Options)) (func(http.Handler) http.Handler, *lockedBuffer) {
	log := new(lockedBuffer)
	return auth.Bearer(conformance(append([]func(*auth.Options){func(o *auth.Options) {
		o.Keys, o.KeySet, o.Client = nil, "https://login.example/keys", &http.Client{Transport: l}
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}}, more...)...)), log
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func es256(kid string, private any) string {
	return mint(private, object{"alg": "ES256", "kid": kid}, claims())
}

// want asks with a token and checks the status, and how often the keys have
// been read by now.
func want(t *testing.T, mw func(http.Handler) http.Handler, l *login, token string, status, asked int) *answer {
	t.Helper()
	a := ask(t, mw, bearer(token))
	synctest.Wait() // for a read in the background
	if a.status != status || l.count() != asked {
		t.Errorf("status %d, want %d; asked %d times, want %d", a.status, status, l.count(), asked)
	}
	return a
}

func TestKeysAreReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key())), cache: "max-age=600"}
		mw, _ := remote(l)
		for range 10 {
			want(t, mw, l, es256("1", p256Key()), 204, 1)
		}
		time.Sleep(10*time.Minute - time.Second)
		want(t, mw, l, es256("1", p256Key()), 204, 1)
		time.Sleep(time.Second)
		want(t, mw, l, es256("1", p256Key()), 204, 2)
	})
}

func TestKeysAreReadByOneForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key())), delay: time.Second}
		mw, _ := remote(l)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 204 {
					t.Errorf("status %d", a.status)
				}
			})
		}
		wg.Wait()
		if l.count() != 1 {
			t.Errorf("asked %d times", l.count())
		}
	})
}

// The first who asks for the keys may leave: the others need them.
func TestReadOutlivesTheFirstWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key())), delay: 3 * time.Second}
		mw, _ := remote(l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if a := ask(t, mw, bearer(es256("1", p256Key())).WithContext(ctx)); a.status != 503 {
				t.Errorf("the one who left: status %d", a.status)
			}
		})
		wg.Go(func() {
			time.Sleep(2 * time.Second)
			if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 204 {
				t.Errorf("the one who stays: status %d", a.status)
			}
		})
		wg.Wait()
		if l.count() != 1 {
			t.Errorf("asked %d times", l.count())
		}
	})
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key()))}
		mw, _ := remote(l)
		want(t, mw, l, es256("1", p256Key()), 204, 1)

		l.keys = keySet(jwk("2", p256Key2()))
		time.Sleep(30 * time.Second)
		// The key is unknown, so the set is read again, once; then the old key
		// is no longer one.
		want(t, mw, l, es256("2", p256Key2()), 204, 2)
		want(t, mw, l, es256("2", p256Key2()), 204, 2)
		a := want(t, mw, l, es256("1", p256Key()), 401, 2)
		if a.challenge() != notFound {
			t.Errorf("challenge %q", a.challenge())
		}
	})
}

// Anybody can make up keys; that must not make us ask all the time.
func TestUnknownKeysAskSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key()))}
		mw, _ := remote(l)
		want(t, mw, l, es256("0", p256Key2()), 401, 1)
		start := time.Now()
		for i := range 1000 {
			if a := ask(t, mw, bearer(es256(fmt.Sprint("x", i), p256Key2()))); a.status != 401 || a.challenge() != notFound {
				t.Fatalf("status %d, %s", a.status, a.challenge())
			}
			time.Sleep(90 * time.Millisecond)
		}
		if n, most := l.count(), 1+int(time.Since(start)/(30*time.Second)); n > most || n < 2 {
			t.Errorf("asked %d times in %v", n, time.Since(start))
		}
		// And those with good keys do not notice.
		if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 204 {
			t.Errorf("status %d", a.status)
		}
	})
}

// A wrong signature by a known kid, a secret's algorithm, and what is no token
// are no reason to read the keys again.
func TestWhatDoesNotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key()))}
		mw, _ := remote(l)
		for _, token := range []string{"nonsense", mint(secret64, object{"alg": "HS256", "kid": "x"}, claims()), mint(nil, object{"alg": "none"}, claims()), mint(secret64, object{"alg": "dir"}, claims())} {
			want(t, mw, l, token, 401, 0)
		}
		want(t, mw, l, es256("1", p256Key()), 204, 1)
		time.Sleep(time.Minute)
		if a := want(t, mw, l, es256("1", p256Key2()), 401, 1); a.challenge() != wrong {
			t.Errorf("challenge %q", a.challenge())
		}
		want(t, mw, l, mint(p256Key(), object{"alg": "ES256", "kid": "1"}, claims("exp", 1)), 401, 1)
	})
}

// Keys without kid, and tokens without.
func TestNoKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("", p256Key()), jwk("r", rsaKey()))}
		mw, _ := remote(l)
		want(t, mw, l, es256("", p256Key()), 204, 1)
		want(t, mw, l, es256("any", p256Key()), 204, 1)
		want(t, mw, l, mint(rsaKey(), object{"alg": "RS256"}, claims()), 204, 1)
		time.Sleep(time.Minute)
		l.keys = keySet(jwk("", p256Key2()))
		want(t, mw, l, mint(p256Key2(), object{"alg": "ES256"}, claims()), 204, 2)
	})
}

// A token without kid is tried with 16 keys and no more.
func TestTriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []object
		for i := range 20 {
			keys = append(keys, jwk(fmt.Sprint(i), p256Key2()))
		}
		keys[15] = jwk("15", p256Key())
		l := &login{keys: keySet(keys...)}
		mw, _ := remote(l)
		want(t, mw, l, mint(p256Key(), object{"alg": "ES256"}, claims()), 204, 1)
		keys[15], keys[16] = keys[14], jwk("16", p256Key())
		l.keys = keySet(keys...)
		time.Sleep(time.Minute)
		want(t, mw, l, es256("16", p256Key()), 401, 1) // has the kid of another key
		want(t, mw, l, es256("x", p256Key()), 401, 2)
		want(t, mw, l, es256("16", p256Key()), 204, 2)
		want(t, mw, l, mint(p256Key(), object{"alg": "ES256"}, claims()), 401, 2)
	})
}

func TestFixedKeysBesideARemoteSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{err: errors.New("down")}
		mw, _ := remote(l, func(o *auth.Options) { o.Keys = []auth.Key{{Secret: []byte(secret)}} })
		want(t, mw, l, hs256(claims()), 204, 0)
		want(t, mw, l, mint(secret64, object{"alg": "HS256"}, claims()), 401, 0)
		want(t, mw, l, es256("1", p256Key()), 503, 1)
	})
}

func TestKeysThatCannotBeRead(t *testing.T) {
	good := keySet(jwk("1", p256Key()))
	for name, l := range map[string]*login{
		"down":           {err: errors.New("connection refused")},
		"status":         {keys: good, status: 500},
		"not found":      {keys: good, status: 404},
		"no content":     {status: 204},
		"redirect":       {keys: good, status: 302}, // without Location
		"slow":           {keys: good, block: true},
		"panics":         {keys: good, panics: true},
		"empty":          {keys: ""},
		"HTML":           {keys: "<html>"},
		"a list":         {keys: "[]"},
		"no keys":        {keys: "{}"},
		"null keys":      {keys: `{"keys":null}`},
		"keys are text":  {keys: `{"keys":"a"}`},
		"cut":            {keys: good[:len(good)-3]},
		"two documents":  {keys: good + good},
		"huge":           {keys: good[:len(good)-1] + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`},
		"deep":           {keys: `{"keys":[` + strings.Repeat("[", 1<<19)},
		"too many keys":  {keys: keySet(slices.Repeat([]object{jwk("1", p256Key())}, 101)...)},
		"1 MB behind it": {keys: good + strings.Repeat(" ", 1<<20)},
		"spaces to 1 MB": {keys: strings.Repeat(" ", 1<<20) + good},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mw, log := remote(l)
				start := time.Now()
				a := want(t, mw, l, es256("1", p256Key()), 503, 1)
				if a.body != "" || a.header.Get("Retry-After") != "1" || a.header.Get("Content-Length") != "0" {
					t.Errorf("headers %v, body %q", a.header, a.body)
				}
				if d := time.Since(start); d > 10*time.Second {
					t.Errorf("it took %v", d)
				}
				if !strings.Contains(log.String(), "keys could not be read") {
					t.Errorf("log %q", log)
				}
				// It is back, and the pause of a second is over.
				*l = login{asked: l.asked, keys: good}
				want(t, mw, l, es256("1", p256Key()), 503, 1)
				time.Sleep(time.Second)
				want(t, mw, l, es256("1", p256Key()), 204, 2)
			})
		})
	}
}

// After failures the pauses grow, to a minute; requests in between are answered
// at once.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{err: errors.New("down")}
		mw, _ := remote(l)
		for i, pause := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			a := want(t, mw, l, es256("1", p256Key()), 503, i+1)
			if got := a.header.Get("Retry-After"); got != fmt.Sprint(pause) {
				t.Errorf("Retry-After %s, want %d", got, pause)
			}
			time.Sleep(time.Duration(pause)*time.Second - 1)
			want(t, mw, l, es256("1", p256Key()), 503, i+1)
			time.Sleep(1)
		}
	})
}

// Keys that cannot be read again serve for a day past their life.
func TestOldKeysServeWhileTheLoginIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key())), cache: "max-age=3600"}
		mw, _ := remote(l)
		want(t, mw, l, es256("1", p256Key()), 204, 1)
		l.err = errors.New("down")
		time.Sleep(time.Hour)
		for range 23 {
			if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 204 {
				t.Fatalf("status %d", a.status)
			}
			if a := ask(t, mw, bearer(es256("2", p256Key2()))); a.status != 401 {
				t.Errorf("an unknown key: status %d", a.status)
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Hour - time.Second)
		if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 204 {
			t.Errorf("after a day: status %d", a.status)
		}
		time.Sleep(time.Second)
		if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 503 {
			t.Errorf("after more than a day: status %d", a.status)
		}
		l.err = nil
		time.Sleep(time.Minute)
		if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != 204 {
			t.Errorf("back: status %d", a.status)
		}
	})
}

// While keys are read again nobody waits.
func TestReadAgainInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &login{keys: keySet(jwk("1", p256Key())), cache: "max-age=300"}
		mw, _ := remote(l)
		want(t, mw, l, es256("1", p256Key()), 204, 1)
		l.delay = 5 * time.Second
		l.keys = keySet(jwk("2", p256Key2()))
		time.Sleep(5 * time.Minute)
		start := time.Now()
		want(t, mw, l, es256("1", p256Key()), 204, 2)
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v", d)
		}
		want(t, mw, l, es256("1", p256Key()), 204, 2)
		// Whoever needs the new keys waits for the same read.
		want(t, mw, l, es256("2", p256Key2()), 204, 2)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestLifeOf(t *testing.T) {
	for cache, want := range map[string]time.Duration{
		"":                              time.Hour,
		"public":                        time.Hour,
		"max-age=1800":                  30 * time.Minute,
		"public, max-age=7200, x=y":     2 * time.Hour,
		"Max-Age=7200":                  2 * time.Hour,
		`max-age="7200"`:                2 * time.Hour,
		"max-age=0":                     5 * time.Minute,
		"max-age=299":                   5 * time.Minute,
		"no-store":                      5 * time.Minute,
		"no-cache, max-age=7200":        5 * time.Minute,
		"max-age=86401":                 24 * time.Hour,
		"max-age=99999999999999999999":  24 * time.Hour,
		"max-age=-1":                    time.Hour,
		"max-age=soon":                  time.Hour,
		"max-age":                       time.Hour,
		"must-revalidate, s-maxage=900": time.Hour,
	} {
		if got := auth.LifeOf(http.Header{"Cache-Control": {cache}}); got != want {
			t.Errorf("%q: %v, want %v", cache, got, want)
		}
	}
	if got := auth.LifeOf(http.Header{"Cache-Control": {"public", "max-age=900"}}); got != 15*time.Minute {
		t.Errorf("two headers: %v", got)
	}
}

func discovering(l *login, issuer string) func(http.Handler) http.Handler {
	mw, _ := remote(l, func(o *auth.Options) { o.KeySet, o.Discover, o.Issuer = "", true, issuer })
	return mw
}

func TestDiscovery(t *testing.T) {
	for issuer, document := range map[string]string{
		"https://login.example":         "https://login.example/.well-known/openid-configuration",
		"https://login.example/":        "https://login.example/.well-known/openid-configuration",
		"https://login.example/realm/a": "https://login.example/realm/a/.well-known/openid-configuration",
		"http://127.0.0.1:8080":         "http://127.0.0.1:8080/.well-known/openid-configuration",
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &login{document: fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://keys.example/k"}`, issuer), keys: keySet(jwk("1", p256Key()))}
			mw := discovering(l, issuer)
			token := mint(p256Key(), object{"alg": "ES256", "kid": "1"}, claims("iss", issuer))
			want(t, mw, l, token, 204, 2)
			if !slices.Equal(l.asked, []string{document, "https://keys.example/k"}) {
				t.Errorf("asked for %v", l.asked)
			}
			want(t, mw, l, es256("1", p256Key()), 401, 2) // of another issuer

			// For a new key, the set is read, and the document is not.
			l.keys = keySet(jwk("2", p256Key2()))
			time.Sleep(time.Minute)
			want(t, mw, l, mint(p256Key2(), object{"alg": "ES256", "kid": "2"}, claims("iss", issuer)), 204, 3)
			// After an hour, both are.
			time.Sleep(time.Hour)
			want(t, mw, l, mint(p256Key2(), object{"alg": "ES256", "kid": "2"}, claims("iss", issuer)), 204, 5)
		})
	}
}

// A key set that has moved is found again.
func TestDiscoveryAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const document = `{"issuer":"https://a","jwks_uri":"https://a/%s"}`
		l := &login{document: fmt.Sprintf(document, "old"), keys: keySet(jwk("1", p256Key()))}
		mw := discovering(l, "https://a")
		token := mint(p256Key(), object{"alg": "ES256", "kid": "1"}, claims("iss", "https://a"))
		want(t, mw, l, token, 204, 2)
		l.document, l.keys = fmt.Sprintf(document, "new"), "gone"
		time.Sleep(time.Minute)
		other := mint(p256Key2(), object{"alg": "ES256", "kid": "2"}, claims("iss", "https://a"))
		want(t, mw, l, other, 401, 3)
		l.keys = keySet(jwk("2", p256Key2()))
		time.Sleep(time.Minute)
		want(t, mw, l, other, 204, 5)
		if l.asked[4] != "https://a/new" {
			t.Errorf("asked for %v", l.asked)
		}
	})
}

func TestDiscoveryIsRefused(t *testing.T) {
	for name, document := range map[string]string{
		"another issuer":      `{"issuer":"https://b","jwks_uri":"https://a/k"}`,
		"issuer with a slash": `{"issuer":"https://a/","jwks_uri":"https://a/k"}`,
		"no issuer":           `{"jwks_uri":"https://a/k"}`,
		"no keys":             `{"issuer":"https://a"}`,
		"http keys":           `{"issuer":"https://a","jwks_uri":"http://a/k"}`,
		"file keys":           `{"issuer":"https://a","jwks_uri":"file:///etc/passwd"}`,
		"relative keys":       `{"issuer":"https://a","jwks_uri":"/k"}`,
		"keys are no text":    `{"issuer":"https://a","jwks_uri":1}`,
		"not JSON":            `<html>`,
		"huge":                `{"issuer":"https://a","jwks_uri":"https://a/k","x":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &login{document: document, keys: keySet(jwk("1", p256Key()))}
				mw := discovering(l, "https://a")
				want(t, mw, l, mint(p256Key(), object{"alg": "ES256", "kid": "1"}, claims("iss", "https://a")), 503, 1)
			})
		})
	}
}

// On real sockets: what is endless, what leads elsewhere, and what changes.
func TestLoopback(t *testing.T) {
	var mu sync.Mutex
	var serve http.HandlerFunc
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := serve
		mu.Unlock()
		h(w, r)
	})
	set := func(h http.HandlerFunc) { mu.Lock(); serve = h; mu.Unlock() }
	keys := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, s) }
	}
	open, closed := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer open.Close()
	defer closed.Close()
	defer closed.Client().CloseIdleConnections()
	good := keys(keySet(jwk("1", p256Key())))
	middleware := func(url string, client *http.Client) func(http.Handler) http.Handler {
		return auth.Bearer(conformance(func(o *auth.Options) { o.Keys, o.KeySet, o.Client = nil, url, client }))
	}
	check := func(name string, mw func(http.Handler) http.Handler, status int) {
		t.Helper()
		if a := ask(t, mw, bearer(es256("1", p256Key()))); a.status != status {
			t.Errorf("%s: status %d, want %d", name, a.status, status)
		}
	}

	set(good)
	check("http", middleware(open.URL, nil), 204)
	check("https", middleware(closed.URL, closed.Client()), 204)
	check("https by an unknown authority", middleware(closed.URL, nil), 503)

	written := make(chan int64, 1)
	set(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(w, endless{})
		written <- n
	})
	check("endless", middleware(open.URL, nil), 503)
	if n := <-written; n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000000000")
		io.WriteString(w, `{"keys":[]}`)
	})
	check("less than it says", middleware(open.URL, nil), 503)
	set(func(w http.ResponseWriter, r *http.Request) {
		for i := range 2000 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 64))
		}
		good(w, r)
	})
	check("large headers", middleware(open.URL, nil), 503)

	hop := func(to string, hops int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if n := len(r.URL.Query().Get("n")); n < hops {
				http.Redirect(w, r, to+"?n="+strings.Repeat("x", n+1), http.StatusFound)
				return
			}
			good(w, r)
		}
	}
	set(hop("/", 3))
	check("three redirects", middleware(open.URL, nil), 204)
	set(hop("/", 4))
	check("four redirects", middleware(open.URL, nil), 503)
	set(hop(open.URL+"/", 1))
	check("redirect from https to http", middleware(closed.URL, closed.Client()), 503)
	set(hop("file:///etc/passwd", 1))
	check("redirect to a file", middleware(open.URL, nil), 503)

	set(good)
	mw := middleware(open.URL, nil)
	check("before the rotation", mw, 204)
	open.Close()
	check("the login is gone", mw, 204)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
