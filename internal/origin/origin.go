// Package origin decides which pages and which host names a mount serves: one
// set of rules for all wires.
package origin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// A Policy is what a mount allows. It does not change, and is used by many
// goroutines at once.
type Policy struct {
	origins []origin
	any     bool
	hosts   []string
}

// New makes a Policy of a mount's AllowedOrigins and AllowedHosts, which Check
// found in order.
func New(origins, hosts []string) *Policy {
	p := new(Policy)
	for _, s := range origins {
		if s == "*" {
			p.any = true
		} else if x, ok := parse(s); ok {
			p.origins = append(p.origins, x)
		}
	}
	for _, s := range hosts {
		p.hosts = append(p.hosts, strings.ToLower(s))
	}
	return p
}

// Check returns one sentence for each entry that is none.
func Check(origins, hosts []string) (bad []string) {
	for _, s := range origins {
		if _, ok := parse(s); !ok && s != "*" {
			bad = append(bad, fmt.Sprintf("AllowedOrigins has %q; it must be a scheme and a host, or *", s))
		}
	}
	for _, s := range hosts {
		if !validHost(s) {
			bad = append(bad, fmt.Sprintf("AllowedHosts has %q; it must be *, a name, *. and a name, or an address, with or without a port", s))
		}
	}
	return bad
}

// Allowed says whether the page that makes a request may act in the name of its
// reader: browsers send Origin with every WebSocket and every POST, and cookies
// whatever the page. Without this test any page could do so (cross-site WebSocket
// hijacking). Clients that are no browsers send none.
func (p *Policy) Allowed(r *http.Request) bool {
	given := r.Header["Origin"]
	if len(given) == 0 {
		return true
	}
	if p.any {
		return true
	}
	if len(given) > 1 {
		return false
	}
	o, ok := parse(given[0])
	if !ok {
		return false // "null" too: a sandboxed page, a file
	}
	if strings.EqualFold(o.host, withPort(r.Host, o.scheme)) {
		return true
	}
	return slices.Contains(p.origins, o)
}

// Reads is Allowed for a GET that does more than show a page. Browsers send those
// without Origin too, for an image, a script or a link, and cookies with them; but
// they say that such a request comes from another site (Fetch Metadata).
func (p *Policy) Reads(r *http.Request) bool {
	if len(r.Header["Origin"]) == 0 && !p.any {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "cross-site", "same-site":
			return false
		}
	}
	return p.Allowed(r)
}

// Share does what CORS asks for (the Fetch standard, section 3.3): it lets pages
// of allowed origins read the answers, and reports true for a preflight that it
// has answered, with the methods that a mount has. To other pages it says
// nothing, so their browsers keep the answer from them.
func (p *Policy) Share(w http.ResponseWriter, r *http.Request, methods string) (answered bool) {
	if len(p.origins) == 0 && !p.any {
		return false
	}
	h := w.Header()
	if len(p.origins) > 0 {
		h.Add("Vary", "Origin")
	}
	given := r.Header["Origin"]
	if len(given) != 1 || wsconn.IsUpgrade(r) {
		return false
	}
	o, ok := parse(given[0])
	switch {
	case ok && slices.Contains(p.origins, o):
		h.Set("Access-Control-Allow-Origin", given[0])
		h.Set("Access-Control-Allow-Credentials", "true")
	case p.any:
		h.Set("Access-Control-Allow-Origin", "*") // with this no browser sends cookies
	default:
		return false
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", methods)
	if asked := r.Header.Values("Access-Control-Request-Headers"); len(asked) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// Host says whether a request is for a name that is ours. Without a list that is
// any name, but over a loopback address none that somebody could have in the
// public DNS: the owner of such a name can let it mean this machine, and his page
// would be one of ours to its reader's browser (DNS rebinding).
func (p *Policy) Host(r *http.Request) bool {
	host := strings.ToLower(r.Host)
	name := strings.TrimSuffix(hostName(host), ".")
	if len(p.hosts) == 0 {
		return !overLoopback(r) || private(name)
	}
	for _, a := range p.hosts {
		if a == "*" || a == host || a == name || strings.HasPrefix(a, "*.") && strings.HasSuffix(name, a[1:]) && len(name) > len(a)-1 {
			return true
		}
	}
	return false
}

// overLoopback reports whether a request came in at a loopback address.
func overLoopback(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// private reports whether a name is an address, localhost, or one word.
func private(name string) bool {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost")
}

// hostName is a host without its port.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") && strings.IndexByte(host, ':') == i || i > 0 && host[i-1] == ']' {
		return host[:i]
	}
	return host
}

func validHost(s string) bool {
	if s == "*" {
		return true
	}
	name := strings.TrimPrefix(s, "*.")
	return name != "" && !strings.ContainsAny(name, "*/@ \t") && !strings.Contains(name, "://")
}

// An origin is compared as a whole: scheme and host in lower case, the host
// with its port.
type origin struct{ scheme, host string }

func parse(s string) (origin, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return origin{}, false
	}
	scheme := strings.ToLower(u.Scheme)
	return origin{scheme, withPort(strings.ToLower(u.Host), scheme)}, true
}

// withPort adds the port that a scheme implies.
func withPort(host, scheme string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host
	}
	switch scheme {
	case "https", "wss":
		return host + ":443"
	case "http", "ws":
		return host + ":80"
	}
	return host
}
