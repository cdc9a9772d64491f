package demo_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/cmd/hubwire/internal/demo"
	"github.com/hubwire/hubwire/web"
)

func newDemo(t *testing.T) *demo.Demo {
	t.Helper()
	d := demo.New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := d.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return d
}

// get asks for a path as a browser on this machine would; headers are pairs.
func get(t *testing.T, h http.Handler, method, host, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestOnlyLoopbackNamesAreAnswered(t *testing.T) {
	h := newDemo(t).Handler(4280)
	for host, want := range map[string]int{
		"127.0.0.1:4280":                200,
		"localhost:4280":                200,
		"[::1]:4280":                    200,
		"127.8.9.1:4280":                200,
		"[::ffff:127.0.0.1]:4280":       200,
		"localhost":                     421,
		"localhost:80":                  421,
		"localhost:4281":                421,
		"evil.example:4280":             421, // DNS rebinding
		"localhost.evil.example:4280":   421,
		"127.0.0.1.evil.example:4280":   421,
		"10.0.0.1:4280":                 421,
		"[fe80::1]:4280":                421,
		"0.0.0.0:4280":                  421,
		"user@localhost:4280":           421,
		"localhost:4280/x":              421,
		"localhost:4280:4280":           421,
		"":                              421,
		"2130706433:4280":               421,
		"LOCALHOST.:4280":               421,
		"localhost:4280#127.0.0.1:4280": 421,
	} {
		for _, path := range []string{"/", "/client.js", "/hub", "/hub/negotiate", "/nothing"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host, r.URL.Path = host, path
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if refused := w.Code == 421; refused != (want == 421) {
				t.Errorf("Host %q, %s: %d, want %d", host, path, w.Code, want)
			}
		}
	}
}

func TestPortEightyMayBeLeftOut(t *testing.T) {
	h := newDemo(t).Handler(80)
	for host, want := range map[string]int{"localhost": 200, "localhost:80": 200, "127.0.0.1": 200, "[::1]": 200, "localhost:81": 421} {
		if res := get(t, h, "GET", host, "/"); res.StatusCode != want {
			t.Errorf("Host %q: %d, want %d", host, res.StatusCode, want)
		}
	}
}

func TestForeignPagesAreRefused(t *testing.T) {
	h := newDemo(t).Handler(4280)
	const own = "127.0.0.1:4280"
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"no page at all", nil, 200},
		{"its own page", []string{"Origin", "http://" + own, "Sec-Fetch-Site", "same-origin"}, 200},
		{"typed address", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{"foreign origin", []string{"Origin", "https://evil.example"}, 403},
		{"opaque origin", []string{"Origin", "null"}, 403},
		{"empty origin", []string{"Origin", ""}, 403},
		{"another port", []string{"Origin", "http://127.0.0.1:3000"}, 403},
		{"another loopback name", []string{"Origin", "http://localhost:4280"}, 403},
		{"another scheme", []string{"Origin", "https://" + own}, 403},
		{"a longer host", []string{"Origin", "http://" + own + ".evil.example"}, 403},
		{"two origins", []string{"Origin", "http://" + own, "Origin", "https://evil.example"}, 403},
		{"cross-site without Origin", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 403},
		{"another port, without Origin", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{"a frame", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
	} {
		if res := get(t, h, "GET", own, "/", c.headers...); res.StatusCode != c.want {
			t.Errorf("%s: the page answers %d, want %d", c.name, res.StatusCode, c.want)
		}
		if res := get(t, h, "POST", own, "/hub/negotiate", c.headers...); res.StatusCode != c.want {
			t.Errorf("%s: negotiate answers %d, want %d", c.name, res.StatusCode, c.want)
		}
	}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	if res := get(t, h, "GET", own, "/", link...); res.StatusCode != 200 {
		t.Errorf("a link from another page: %d, want 200", res.StatusCode)
	}
	if res := get(t, h, "POST", own, "/hub/negotiate", link...); res.StatusCode != 403 {
		t.Errorf("a form of another page: %d, want 403", res.StatusCode)
	}
}

func TestEveryFileIsServedWithItsType(t *testing.T) {
	h := newDemo(t).Handler(4280)
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8"}
	names, err := fs.Glob(web.Files, "*")
	if err != nil || len(names) < 10 {
		t.Fatalf("the page has %d files, %v", len(names), err)
	}
	for _, name := range names {
		path := "/" + name
		if name == "index.html" {
			path = "/"
		}
		res := get(t, h, "GET", "localhost:4280", path)
		if got, want := res.Header.Get("Content-Type"), types[name[strings.LastIndex(name, "."):]]; res.StatusCode != 200 || got != want {
			t.Errorf("%s: %d %q, want 200 %q", path, res.StatusCode, got, want)
		}
		for key, want := range map[string]string{
			"X-Content-Type-Options":       "nosniff",
			"Cache-Control":                "no-cache",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
		} {
			if got := res.Header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", path, key, got, want)
			}
		}
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; ") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, csp)
		}
		if !strings.Contains(csp, " ws://localhost:4280;") {
			t.Errorf("%s: the policy does not allow the hub: %q", path, csp)
		}

		again := get(t, h, "GET", "localhost:4280", path, "If-None-Match", res.Header.Get("ETag"))
		if again.StatusCode != 304 {
			t.Errorf("%s: %d for a file that the browser has, want 304", path, again.StatusCode)
		}
	}
}

func TestThePageIsSelfContained(t *testing.T) {
	names, _ := fs.Glob(web.Files, "*")
	known := map[string]bool{"./": true}
	for _, name := range names {
		known[name] = true
	}
	link := regexp.MustCompile(`(?:src|href)="([^"#]+)"|from "\./([^"]+)"|import "\./([^"]+)"`)
	for _, name := range names {
		body, err := web.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			if to := m[1] + m[2] + m[3]; !known[to] {
				t.Errorf("%s refers to %q, which is no file of the page", name, to)
			}
		}
		for _, banned := range []string{"innerHTML", "insertAdjacentHTML", "eval(", "<style", " style=\"", " onclick=", "@import", "@font-face", "//cdn"} {
			if strings.Contains(string(body), banned) {
				t.Errorf("%s has %q, which the policy forbids", name, banned)
			}
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	h := newDemo(t).Handler(4280)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/nothing", 404},
		{"GET", "/index.html", 404},
		{"GET", "/web.go", 404},
		{"GET", "/tsconfig.json", 404},
		{"GET", "/client.test.mjs", 404},
		{"POST", "/", 405},
		{"DELETE", "/style.css", 405},
		{"HEAD", "/", 200},
	} {
		if res := get(t, h, c.method, "localhost:4280", c.path); res.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, res.StatusCode, c.want)
		}
	}
}
