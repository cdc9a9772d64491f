package origin_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hubwire/hubwire/internal/origin"
)

// Which pages may act, at a mount on example.com that names one other origin.
func TestAllowed(t *testing.T) {
	p := origin.New([]string{"https://app.example", "http://dev.example:3000"}, nil)
	for _, c := range []struct {
		origins []string
		want    bool
	}{
		{nil, true},
		{[]string{"http://example.com"}, true},
		{[]string{"HTTP://EXAMPLE.com:80"}, true},
		{[]string{"http://example.com:81"}, false},
		{[]string{"https://app.example"}, true},
		{[]string{"https://app.example:443"}, true},
		{[]string{"http://app.example"}, false},
		{[]string{"https://app.example.evil"}, false},
		{[]string{"https://app.example/path"}, false},
		{[]string{"https://user@app.example"}, false},
		{[]string{"http://dev.example:3000"}, true},
		{[]string{"http://dev.example"}, false},
		{[]string{"null"}, false},
		{[]string{""}, false},
		{[]string{"https://app.example", "https://app.example"}, false},
	} {
		r := httptest.NewRequest("GET", "http://example.com/hub", nil)
		if c.origins != nil {
			r.Header["Origin"] = c.origins
		}
		if got := p.Allowed(r); got != c.want {
			t.Errorf("%q: %v", c.origins, got)
		}
		if !origin.New([]string{"*"}, nil).Allowed(r) {
			t.Errorf("%q is not any", c.origins)
		}
	}
}

// A GET without Origin may come from anywhere.
func TestReads(t *testing.T) {
	p := origin.New([]string{"https://app.example"}, nil)
	for _, c := range []struct {
		site, origin string
		want         bool
	}{
		{"", "", true}, {"none", "", true}, {"same-origin", "", true}, {"same-site", "", false}, {"cross-site", "", false},
		{"cross-site", "https://app.example", true}, {"cross-site", "https://evil.example", false}, {"", "https://evil.example", false},
	} {
		r := httptest.NewRequest("GET", "http://example.com/hub", nil)
		for k, v := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		if got := p.Reads(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if !origin.New([]string{"*"}, nil).Reads(r) {
			t.Errorf("%+v is not any", c)
		}
	}
}

// What a preflight is told, and by whom it is answered.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		allowed                   []string
		method, origin            string
		answered                  bool
		shared, credentials, vary string
	}{
		{nil, "OPTIONS", "https://app.example", false, "", "", ""},
		{[]string{"https://app.example"}, "OPTIONS", "https://app.example", true, "https://app.example", "true", "Origin"},
		{[]string{"https://app.example"}, "GET", "https://app.example", false, "https://app.example", "true", "Origin"},
		{[]string{"https://app.example"}, "OPTIONS", "https://evil.example", false, "", "", "Origin"},
		{[]string{"*"}, "OPTIONS", "https://evil.example", true, "*", "", ""},
	} {
		r := httptest.NewRequest(c.method, "http://example.com/hub", nil)
		r.Header.Set("Origin", c.origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "content-type")
		w := httptest.NewRecorder()
		answered := origin.New(c.allowed, nil).Share(w, r, "GET, POST")
		h := w.Header()
		if answered != c.answered || h.Get("Access-Control-Allow-Origin") != c.shared || h.Get("Access-Control-Allow-Credentials") != c.credentials || h.Get("Vary") != c.vary {
			t.Errorf("%+v: %v %v", c, answered, h)
		}
		if answered && (w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Methods") != "GET, POST" || h.Get("Access-Control-Allow-Headers") != "content-type") {
			t.Errorf("%+v: %d %v", c, w.Code, h)
		}
	}
}

func TestHost(t *testing.T) {
	p := origin.New(nil, []string{"Example.com", "*.example.org", "localhost:8080", "[::1]"})
	for host, want := range map[string]bool{
		"example.com": true, "EXAMPLE.COM:81": true, "example.com.": true, "a.example.com": false,
		"a.example.org": true, "example.org": false, "xexample.org": false,
		"localhost:8080": true, "localhost": false, "[::1]:5000": true, "[::2]": false, "": false,
	} {
		r := httptest.NewRequest("GET", "/hub", nil)
		r.Host = host
		if got := p.Host(r); got != want {
			t.Errorf("%q: %v", host, got)
		}
		if !origin.New(nil, nil).Host(r) {
			t.Errorf("%q is not any", host)
		}
	}
}

// Without a list, a page cannot rebind its name to this machine.
func TestHostOverLoopback(t *testing.T) {
	at := func(host string, local net.Addr) *http.Request {
		r := httptest.NewRequest("GET", "/hub", nil)
		r.Host = host
		return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
	loopback := []net.Addr{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}, &net.TCPAddr{IP: net.IPv6loopback}}
	p := origin.New(nil, nil)
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "LOCALHOST:1": true, "localhost.:1": true, "app.localhost:1": true, "127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1": true, "mybox:8080": true, "": true,
		"evil.com": false, "evil.com:5000": false, "evil.com.": false, "localhost.evil.com": false, "127.0.0.1.evil.com": false, "evil.com@127.0.0.1": false,
	} {
		for _, local := range loopback {
			if got := p.Host(at(host, local)); got != want {
				t.Errorf("%q at %v: %v", host, local, got)
			}
		}
	}
	for _, local := range []net.Addr{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, &net.UnixAddr{Name: "/run/hub"}} {
		if !p.Host(at("chat.example.com", local)) {
			t.Errorf("refused at %v", local)
		}
	}
	if !origin.New(nil, []string{"chat.example.com"}).Host(at("chat.example.com", loopback[0])) || !origin.New(nil, []string{"*"}).Host(at("evil.com", loopback[0])) {
		t.Error("a name that is on the list is refused")
	}
}

func TestCheck(t *testing.T) {
	if bad := origin.Check([]string{"*", "https://a.example", "http://b:1"}, []string{"*", "a", "*.b", "c:1", "[::1]"}); len(bad) > 0 {
		t.Errorf("%q", bad)
	}
	if bad := origin.Check([]string{"a.example", "https://a/", ""}, []string{"", "*.", "a/b", "http://a", "*.*.a"}); len(bad) != 8 {
		t.Errorf("%q", bad)
	}
}
