package signalr

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
)

// What goes wrong in silence elsewhere says here what it is: in the log, and to
// the client where hubwire.Options.DetailedErrors is on. The sentences are
// explained in docs/troubleshooting.md.

// why says what is wrong with a token that names no connection; "" where nobody
// can tell. Nothing of the token but its node is shown.
func (m *mount) why(token string, err error) string {
	switch err {
	case errOver:
		return "its connection has ended, or was not opened within " + m.opts.DisconnectTimeout.String() + " of the negotiation"
	case errOtherNode:
		return "it was negotiated with another server than " + m.opts.Node + ". Let the balancer send all requests of a client to one server (sticky sessions)."
	}
	if b, bad := base64.RawURLEncoding.DecodeString(token); bad == nil && len(b) == len(connID{}) {
		return "this is a connectionId; since negotiateVersion 1 requests want the connectionToken"
	}
	if node, rest, ok := strings.Cut(token, "."); ok && strings.Count(rest, ".") == 1 && validNode(node) {
		if node != m.opts.Node {
			return "it was negotiated with server " + node + ", which shares no TokenKey with " + m.opts.Node
		}
		return "it belongs to another user, another hub, or to this server before it started anew"
	}
	return ""
}

// unknown is the answer to a token that names no connection here, and leaves the
// reason in the log.
func (m *mount) unknown(r *http.Request, token string, err error) string {
	why := m.why(token, err)
	if why == "" {
		return unknownID
	}
	m.hubOpts.Logger.Info("signalr: no connection with that id: "+why, "hub", m.hubOpts.Name, "method", r.Method, "remote", r.RemoteAddr)
	if m.hubOpts.DetailedErrors || err == errOtherNode {
		return unknownID + ": " + why
	}
	return unknownID
}

// watch looks at a request that begins a connection.
func (m *mount) watch(r *http.Request, user *hubwire.User, kind Transports) {
	m.tokenUnread(r, user)
	if kind == LongPolling {
		m.pollsInstead(r)
	}
}

// tokenUnread speaks up, once, if a request brought a token that nobody made a
// user of.
func (m *mount) tokenUnread(r *http.Request, user *hubwire.User) {
	if user.ID != "" || m.spoken.Load() {
		return
	}
	where := ""
	if len(query(r, "access_token")) > 0 {
		where = "access_token of the query"
	} else if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		where = "Authorization header"
	}
	if where != "" && m.spoken.CompareAndSwap(false, true) {
		m.hubOpts.Logger.Warn("signalr: a client sends a token, but no middleware makes a user of it: it is anonymous", "hub", m.hubOpts.Name, "where", where, "remote", r.RemoteAddr)
	}
}

// A miss is a WebSocket that could not be opened, for the reason that its client
// then polls.
type miss struct {
	addr netip.Addr
	at   time.Time
	why  string
}

// missTime is how long after a miss its client may begin to poll.
const missTime = 30 * time.Second

// missed remembers why a WebSocket could not be opened: the newest only, since
// this is for people who look at one client.
func (m *mount) missed(r *http.Request, why string) {
	m.miss.Store(&miss{peerAddr(r.RemoteAddr), time.Now(), why})
}

// halfUpgrade notes a request that was a WebSocket's before something on the way
// took its headers.
func (m *mount) halfUpgrade(r *http.Request) {
	if r.Header.Get("Sec-WebSocket-Key") != "" && m.opts.Transports&WebSockets != 0 {
		m.missed(r, "the Upgrade and Connection headers of its WebSocket did not arrive, or others are wrong: a proxy on the way does not let WebSockets pass")
	}
}

// pollsInstead says why a client polls though it was offered WebSockets.
func (m *mount) pollsInstead(r *http.Request) {
	if m.opts.Transports&WebSockets == 0 {
		return
	}
	why := "no WebSocket of its was seen: it was told to poll, has no WebSockets, or they do not get through"
	if x := m.miss.Load(); x != nil && x.addr == peerAddr(r.RemoteAddr) && time.Since(x.at) < missTime {
		why = x.why
	}
	m.hubOpts.Logger.Info("signalr: a client polls though it was offered WebSockets", "hub", m.hubOpts.Name, "why", why, "remote", r.RemoteAddr)
}

// protocolsText says which protocols there are.
func (m *mount) protocolsText() string {
	var names []string
	for _, p := range m.offered {
		names = append(names, p.Name())
	}
	return "This hub has: " + strings.Join(names, ", ") + "."
}
