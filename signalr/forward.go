package signalr

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/hubwire/hubwire"
)

// A connection token names its node, signed. A request that a balancer without
// affinity has sent to another one is passed on to that node, as it came: polls,
// posts, event streams and WebSockets. The owner looks at the request's
// credentials anew.

// forwardedHeader names the node that passed a request on: it is passed on once.
const forwardedHeader = "Hubwire-Forwarded-By"

// forward passes a request on whose token is another node's, and reports whether
// it has answered it.
func (m *mount) forward(w http.ResponseWriter, r *http.Request, token string) bool {
	if m.opts.Peer == nil || token == "" {
		return false
	}
	if _, err := m.signer.verify(token, hubwire.UserFrom(r.Context()).ID); err != errOtherNode {
		return false
	}
	if r.Header.Get(forwardedHeader) != "" {
		return false // this node's name is another's: the answer says so
	}
	node := nodeOf(token)
	base, err := url.Parse(m.opts.Peer(node))
	if err != nil || base.Host == "" {
		return false
	}
	p := &httputil.ReverseProxy{
		Transport:     m.opts.PeerTransport,
		FlushInterval: -1, // event streams
		Rewrite: func(pr *httputil.ProxyRequest) {
			target, err := url.ParseRequestURI(pr.In.RequestURI) // before any StripPrefix
			if err != nil {
				target = pr.In.URL
			}
			pr.Out.URL.Scheme, pr.Out.URL.Host = base.Scheme, base.Host
			pr.Out.URL.Path, pr.Out.URL.RawPath, pr.Out.URL.RawQuery = target.Path, target.RawPath, target.RawQuery
			pr.Out.Host = pr.In.Host // what origins are compared with
			pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
			pr.SetXForwarded()
			pr.Out.Header.Set(forwardedHeader, m.opts.Node)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client has gone
			}
			m.hubOpts.Logger.Error("signalr: a request cannot be passed on to the node of its connection", "hub", m.hubOpts.Name, "node", node, "err", err)
			m.refuse(w, http.StatusNotFound, unknownID+": it belongs to server "+node+", which "+m.opts.Node+" cannot reach")
		},
		ErrorLog: nil,
	}
	// The CORS headers are the owner's.
	for k := range w.Header() {
		if strings.HasPrefix(k, "Access-Control-") {
			w.Header().Del(k)
		}
	}
	p.ServeHTTP(w, r)
	return true
}

// nodeOf is the node that a token names.
func nodeOf(token string) string {
	if j := strings.LastIndexByte(token, '.'); j >= 0 {
		if i := strings.LastIndexByte(token[:j], '.'); i >= 0 {
			return token[:i]
		}
	}
	return ""
}
