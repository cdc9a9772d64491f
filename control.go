package hubwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// JoinUser makes all connections that a user has, on every node, members of
// groups. It returns when every node has done so; where one does not say that it
// has, the error is ErrUnconfirmed. Joining who is a member is no error, so a
// JoinUser that failed can be repeated. A user without connections is no error.
//
// Connections that the user makes later are not members: let Options.Connect join
// them. Connections to nodes of ASP.NET Core cannot be joined so; Hub.Join can
// each of them.
func (h *Hub) JoinUser(ctx context.Context, user string, groups ...string) error {
	return h.moveUser(ctx, askJoinUser, user, groups)
}

// LeaveUser ends memberships of all connections that a user has, on every node.
// What is said of JoinUser holds for it too.
func (h *Hub) LeaveUser(ctx context.Context, user string, groups ...string) error {
	return h.moveUser(ctx, askLeaveUser, user, groups)
}

func (h *Hub) moveUser(ctx context.Context, what uint8, user string, groups []string) error {
	if user == "" || len(groups) == 0 {
		return nil // nobody is the anonymous user
	}
	if err := h.moveUserHere(ctx, what, user, groups); err != nil || h.remote == nil {
		return err
	}
	_, err := h.remote.askNodes(ctx, &note{op: noteAsk, what: what, user: user, names: groups}, nil)
	return err
}

func (h *Hub) moveUserHere(ctx context.Context, what uint8, user string, groups []string) error {
	for _, c := range h.membersHere(toUser, user) {
		var err error
		if what == askJoinUser {
			err = c.Join(ctx, groups...)
		} else {
			err = c.Leave(ctx, groups...)
		}
		if err != nil && !errors.Is(err, ErrClosed) { // a connection that has gone is in no group
			return err
		}
	}
	return nil
}

// Count is how many connections to means, on every node: those of an Audience, of
// users, or single ones. A connection that is in two of the groups counts twice,
// as it would get an event twice. So whether a user or a connection is there, or
// a group is empty, is one question. Connections to nodes of ASP.NET Core do not
// count. Where a node does not answer the error is ErrUnconfirmed.
func (h *Hub) Count(ctx context.Context, to Target) (int, error) {
	kind, names, except, err := h.addressed("Count", to)
	if err != nil {
		return 0, err
	}
	n := h.countHere(kind, names, except)
	if h.remote == nil || kind == toConn && n == len(names) {
		return n, nil
	}
	tells, err := h.remote.askNodes(ctx, &note{op: noteAsk, what: askCount, kind: kind, names: names}, except)
	for _, t := range tells {
		n += int(t.n)
	}
	return n, err
}

// addressed takes a target apart.
func (h *Hub) addressed(what string, to Target) (kind targetKind, names, except []string, err error) {
	if to.Hub() != h {
		return 0, nil, nil, errors.New("hubwire: " + what + ": the target is of another hub")
	}
	if l, ok := to.(latest); ok {
		to = l.Target
	}
	switch t := to.(type) {
	case Audience:
		return t.kind, t.names, t.except, nil
	case userTarget:
		return toUser, t.ids, nil, nil
	case connsTarget:
		return toConn, t.ids, nil, nil
	case peer:
		return toConn, []string{t.id}, nil, nil
	case *Conn:
		return toConn, []string{t.id}, nil, nil
	}
	return 0, nil, nil, fmt.Errorf("hubwire: %s: a target of type %T", what, to)
}

func (h *Hub) countHere(kind targetKind, names, except []string) (n int) {
	skip := h.resolve(except)
	for _, name := range names {
		if kind == toConn {
			if h.conn(name) != nil {
				n++
			}
			continue
		}
		t := h.target(kind, name)
		if t == nil {
			continue
		}
		t.mu.Lock()
		n += t.n
		t.mu.Unlock()
		for i, c := range skip {
			if !slices.Contains(skip[:i], c) && c.in(kind, name) {
				n--
			}
		}
	}
	return max(0, n)
}

// answer answers another node's question; nil: it could not be done.
func (h *Hub) answer(ctx context.Context, n *note, except []string) *note {
	tell := &note{op: noteTell}
	switch n.what {
	case askJoinUser, askLeaveUser:
		if err := h.moveUserHere(ctx, n.what, n.user, n.names); err != nil {
			h.log.Info("hubwire: a change of a user's groups asked for by another node failed", "hub", h.opts.Name, "err", err)
			return nil // the other node says ErrUnconfirmed
		}
	case askCount:
		tell.n = uint64(h.countHere(n.kind, n.names, except))
	case askMembers:
		if len(n.names) == 0 {
			return nil
		}
		var ms []Member
		ms, tell.more = h.pageHere(n.kind, n.names[0], n.after, int(min(n.n, presencePage)))
		for _, m := range ms {
			tell.names = append(tell.names, m.Conn, m.User)
		}
	default:
		return nil // of a later version
	}
	return tell
}

// A Member is a connection somewhere.
type Member struct {
	Conn string // its id
	User string // its user's id
	Node string // where it is; see Hub.Nodes
}

// A Page is a part of the members of a group or a user, sorted by their
// connections' ids.
type Page struct {
	Members []Member
	// Next is the cursor of the next page; empty: there is none.
	Next string
}

// presencePage is how many members a page has at most.
const presencePage = 500

// Presence is who is in a group, on every node, page by page: cursor is empty at
// first, and then the Next of the page before. Who is a member from the first
// page to the last is on one of them, once; who comes or goes meanwhile may be.
// Connections to nodes of ASP.NET Core are not told of. Where a node does not
// answer the error is ErrUnconfirmed; the cursor stays good.
func (h *Hub) Presence(ctx context.Context, group, cursor string) (*Page, error) {
	return h.page(ctx, toGroup, group, cursor)
}

// PresenceUser is the connections of a user, on every node, as Presence is those
// of a group.
func (h *Hub) PresenceUser(ctx context.Context, user, cursor string) (*Page, error) {
	return h.page(ctx, toUser, user, cursor)
}

func (h *Hub) page(ctx context.Context, kind targetKind, name, cursor string) (*Page, error) {
	if h.remote == nil {
		ms, more := h.pageHere(kind, name, cursor, presencePage)
		return pageOf(ms, more), nil
	}
	// Each node gives the first of its members; what lies behind the last one of a
	// node that has more waits for the next page.
	quota := max(16, 2*presencePage/len(h.Nodes()))
	tells, err := h.remote.askNodes(ctx, &note{op: noteAsk, what: askMembers, kind: kind, names: []string{name}, after: cursor, n: uint64(quota)}, nil)
	if err != nil {
		return nil, err
	}
	all, more := h.pageHere(kind, name, cursor, presencePage)
	cut, cuts := "", false
	until := func(id string) {
		if !cuts || id < cut {
			cut, cuts = id, true
		}
	}
	if more {
		until(all[len(all)-1].Conn)
	}
	for node, t := range tells {
		for i := 0; i+1 < len(t.names); i += 2 {
			all = append(all, Member{Conn: t.names[i], User: t.names[i+1], Node: node})
		}
		if t.more && len(t.names) > 1 {
			until(t.names[len(t.names)-2])
		}
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Conn, b.Conn) })
	if cuts {
		all = slices.DeleteFunc(all, func(m Member) bool { return m.Conn > cut })
	}
	return pageOf(all, cuts), nil
}

func pageOf(ms []Member, more bool) *Page {
	if len(ms) > presencePage {
		ms, more = ms[:presencePage], true
	}
	p := &Page{Members: ms}
	if more && len(ms) > 0 {
		p.Next = ms[len(ms)-1].Conn
	}
	return p
}

// pageHere is the members of this node behind a cursor, n at most, sorted.
func (h *Hub) pageHere(kind targetKind, name, after string, n int) (ms []Member, more bool) {
	if kind > toUser || n <= 0 {
		return nil, false
	}
	node := ""
	if h.remote != nil {
		node = h.remote.node
	}
	cut := false
	last := "" // what is behind it is too much, once there was too much
	trim := func() {
		slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.Conn, b.Conn) })
		if len(ms) > n {
			clear(ms[n:])
			ms, cut, more = ms[:n], true, true
			last = ms[n-1].Conn
		}
	}
	for _, c := range h.membersHere(kind, name) {
		if c.id <= after || cut && c.id > last {
			continue
		}
		if ms = append(ms, Member{Conn: c.id, User: c.user.ID, Node: node}); len(ms) >= 4*n+64 {
			trim()
		}
	}
	trim()
	return ms, more
}
