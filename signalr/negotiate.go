package signalr

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
)

// negotiateVersion is the newest version of the negotiation.
const negotiateVersion = 1

// negotiate answers POST {path}/negotiate (sections 1.2 and 1.3): which
// transports there are, and the id of the connection to come. Errors come with
// status 200, as the clients expect. The body of the request is ignored.
func (m *mount) negotiate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		m.refuse(w, http.StatusMethodNotAllowed, "")
		return
	}
	if m.full() {
		m.refuseFull(w)
		return
	}
	version, problem := requestedVersion(query(r, "negotiateVersion"), m.opts.MinimumProtocol)
	var b []byte
	if problem != "" {
		b = jsonwire.AppendString([]byte(`{"error":`), problem)
		b = append(b, '}')
	} else {
		b = m.agree(version, m.opts.StatefulReconnect && asksStateful(r), hubwire.UserFrom(r.Context()))
	}
	m.answer(w, b)
}

// answer answers with JSON.
func (m *mount) answer(w http.ResponseWriter, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // a client that has gone needs no answer
}

// agree is the answer to a request that is in order. In version 0 there is one
// id, which is the token.
func (m *mount) agree(version int, stateful bool, user *hubwire.User) []byte {
	id := newConnID()
	token := m.signer.sign(claim{byte(version), stateful, time.Now().Add(m.opts.DisconnectTimeout).Unix(), id}, user.ID)
	b := []byte{'{'}
	if stateful {
		b = append(b, `"useStatefulReconnect":true,`...)
	}
	b = append(append(b, `"negotiateVersion":`...), byte('0'+version))
	if version == 0 {
		b = append(append(append(b, `,"connectionId":"`...), token...), '"')
	} else {
		b = append(append(append(b, `,"connectionId":"`...), id.String()...), '"')
		b = append(append(append(b, `,"connectionToken":"`...), token...), '"')
	}
	b = append(b, m.transports...)
	if n, ok := lifetime(user, time.Now()); ok && m.opts.AuthRefresh {
		b = strconv.AppendInt(append(b, `,"tokenLifetimeSeconds":`...), n, 10)
	}
	return append(b, '}')
}

func availableTransports(t Transports) string {
	var list []string
	for _, k := range [...]Transports{WebSockets, ServerSentEvents, LongPolling} {
		formats := `["Text","Binary"]`
		if k == ServerSentEvents {
			formats = `["Text"]`
		}
		if t&k != 0 {
			list = append(list, `{"transport":"`+k.String()+`","transferFormats":`+formats+`}`)
		}
	}
	return `,"availableTransports":[` + strings.Join(list, ",") + `]`
}

// requestedVersion is the version to speak, or what is wrong with the one that
// the client asked for.
func requestedVersion(values []string, minimum int) (version int, problem string) {
	n := 0
	if len(values) > 0 {
		v, err := strconv.ParseInt(strings.Trim(strings.Join(values, ","), " \t\n\v\f\r"), 10, 32)
		if err != nil {
			return 0, "The client requested a non-integer protocol version."
		}
		n = int(v)
	}
	if n < minimum {
		return 0, "The client requested version '" + strconv.Itoa(n) + "', but the server does not support this version."
	}
	return min(n, negotiateVersion), ""
}
