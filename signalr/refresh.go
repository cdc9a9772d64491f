package signalr

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/hubwire/hubwire"
)

// refresh takes newer credentials for a connection that is open (section 9.7): a
// POST with the connection's token in a header, and what the middleware makes a
// user of. It must be the same user; the connection keeps the one that it has,
// and lives as long as the new one.
func (m *mount) refresh(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		m.refuse(w, http.StatusMethodNotAllowed, "")
		return
	}
	tokens := r.Header.Values("X-SignalR-Connection-Token")
	if len(tokens) != 1 || tokens[0] == "" {
		m.refuse(w, http.StatusBadRequest, noID)
		return
	}
	if m.forward(w, r, tokens[0]) {
		return
	}
	now := time.Now()
	cl, err := m.known(r, tokens[0], now)
	if err != nil {
		m.refuseUnknown(w, r, tokens[0], 0, err)
		return
	}
	st, x := m.sessions.state(cl, now)
	if st != active {
		m.refuse(w, http.StatusNotFound, unknownID)
		return
	}
	user := hubwire.UserFrom(r.Context())
	x.conn.extend(user)
	b := []byte{'{'}
	if n, ok := lifetime(user, now); ok {
		b = append(strconv.AppendInt(append(b, `"tokenLifetimeSeconds":`...), n, 10), '}')
	} else {
		b = append(b, '}')
	}
	m.answer(w, b)
}

// lifetime is how long a user's credentials are good for, in whole seconds.
func lifetime(u *hubwire.User, now time.Time) (seconds int64, ok bool) {
	if u.Expires.IsZero() {
		return 0, false
	}
	return int64(math.Max(0, math.Floor(u.Expires.Sub(now).Seconds()))), true
}

// expireAt notes when the credentials end with which a connection begins.
func (c *conn) expireAt(t time.Time) {
	if c.mount.opts.CloseOnExpiry && !t.IsZero() {
		c.expires.Store(t.UnixMilli())
	}
}

// extend moves the end to that of newer credentials, never to an earlier one:
// what is used beside them may be older.
func (c *conn) extend(u *hubwire.User) {
	for {
		was := c.expires.Load()
		at := u.Expires.UnixMilli()
		switch {
		case was == 0:
			return
		case u.Expires.IsZero():
			at = 0
		case at <= was:
			return
		}
		if c.expires.CompareAndSwap(was, at) {
			return
		}
	}
}
