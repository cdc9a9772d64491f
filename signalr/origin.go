package signalr

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// originAllowed says whether the page that opens a WebSocket may do so. Browsers
// send Origin with every one, and cookies whatever the page: without this test
// any page could act in the name of its reader (cross-site WebSocket
// hijacking). Clients that are no browsers send none.
func (m *mount) originAllowed(r *http.Request) bool {
	given := r.Header["Origin"]
	if len(given) == 0 {
		return true
	}
	if m.anyOrigin {
		return true
	}
	if len(given) > 1 {
		return false
	}
	o, ok := parseOrigin(given[0])
	if !ok {
		return false // "null" too: a sandboxed page, a file
	}
	if strings.EqualFold(o.host, withPort(r.Host, o.scheme)) {
		return true
	}
	return slices.Contains(m.origins, o)
}

// share does what CORS asks for (the Fetch standard, section 3.3): it lets pages
// of allowed origins read the answers, and reports true for a preflight that it
// has answered. To other pages it says nothing, so their browsers keep the answer
// from them.
func (m *mount) share(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(m.origins) == 0 && !m.anyOrigin {
		return false
	}
	h := w.Header()
	if len(m.origins) > 0 {
		h.Add("Vary", "Origin")
	}
	given := r.Header["Origin"]
	if len(given) != 1 || isWebSocket(r) {
		return false
	}
	o, ok := parseOrigin(given[0])
	switch {
	case ok && slices.Contains(m.origins, o):
		h.Set("Access-Control-Allow-Origin", given[0])
		h.Set("Access-Control-Allow-Credentials", "true")
	case m.anyOrigin:
		h.Set("Access-Control-Allow-Origin", "*") // with this no browser sends cookies
	default:
		return false
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	if asked := r.Header.Values("Access-Control-Request-Headers"); len(asked) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// hostAllowed says whether a request is for a name that is ours.
func (m *mount) hostAllowed(r *http.Request) bool {
	if len(m.hosts) == 0 {
		return true
	}
	host := strings.ToLower(r.Host)
	name := strings.TrimSuffix(hostName(host), ".")
	for _, a := range m.hosts {
		if a == host || a == name || strings.HasPrefix(a, "*.") && strings.HasSuffix(name, a[1:]) && len(name) > len(a)-1 {
			return true
		}
	}
	return false
}

// hostName is a host without its port.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") && strings.IndexByte(host, ':') == i || i > 0 && host[i-1] == ']' {
		return host[:i]
	}
	return host
}

func validHost(s string) bool {
	name := strings.TrimPrefix(s, "*.")
	return name != "" && !strings.ContainsAny(name, "*/@ \t") && !strings.Contains(name, "://")
}

// An origin is compared as a whole: scheme and host in lower case, the host
// with its port.
type origin struct{ scheme, host string }

func parseOrigin(s string) (origin, bool) {
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
