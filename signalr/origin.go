package signalr

import (
	"net/http"
	"net/url"
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
	for _, a := range m.origins {
		if a == o {
			return true
		}
	}
	return false
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
