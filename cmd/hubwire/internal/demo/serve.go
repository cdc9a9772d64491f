package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"

	"github.com/hubwire/hubwire/jsonrpc"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/web"
)

// Handler serves the page at / and the hub at /hub, over JSON-RPC at /jsonrpc, to this machine alone: the
// Host must be a loopback name with this port, and a page of another origin
// gets nothing. Serve it on a loopback address.
func (d *Demo) Handler(port int) http.Handler {
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", d.hub, nil)
	jsonrpc.Mount(mux, "/jsonrpc", d.hub, nil)
	mux.Handle("/", files())
	return guard(port, mux)
}

// guard lets through what the demo's own page asks for. A name that an attacker
// points at 127.0.0.1 (DNS rebinding) shows in Host; a foreign page shows in
// Origin or, where that is not sent, in the browser's fetch metadata.
func guard(port int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !ownHost(r.Host, port):
			http.Error(w, "This is the hubwire demo of another machine: it answers to localhost only.", http.StatusMisdirectedRequest)
		case !sameOrigin(r):
			http.Error(w, "The hubwire demo answers its own page only.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ownHost reports whether a Host header names this machine by a loopback name,
// with the port that the demo listens on.
func ownHost(host string, port int) bool {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || u.User != nil {
		return false
	}
	if p := u.Port(); p != strconv.Itoa(port) && (p != "" || port != 80) {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}

// sameOrigin reports whether a request comes from the demo's own page, from no
// page at all, or opens the page.
func sameOrigin(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		if origin != "http://"+r.Host {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// A file is ready to be sent.
type file struct {
	body []byte
	kind string
	etag string
}

// files serves the embedded page. Browsers ask each time whether a file has
// changed: another demo may have run on this port before.
func files() http.Handler {
	all := map[string]file{}
	names, err := fs.Glob(web.Files, "*")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		body, err := web.Files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		all["/"+name] = file{body, kindOf(name), `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	all["/"] = all["/index.html"]
	delete(all, "/index.html")

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := all[r.URL.Path]
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		switch {
		case !ok:
			http.Error(w, "There is no such page.", http.StatusNotFound)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "This can only be read.", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Security-Policy", policy(r.Host))
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Embedder-Policy", "require-corp")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", f.kind)
		h.Set("ETag", f.etag)
		if r.Header.Get("If-None-Match") == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Length", strconv.Itoa(len(f.body)))
		_, _ = w.Write(f.body) // a browser that has left
	})
}

// policy allows the page what it has: its own scripts, styles and pictures, and
// its hub. Browsers differ on whether 'self' includes WebSockets.
func policy(host string) string {
	return fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws://%s; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'", host)
}

// kindOf is the content type of a file. It does not rely on the machine's own
// table, which may be wrong about scripts (on Windows it is often).
func kindOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}
