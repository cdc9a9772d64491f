package sse_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/sse"
)

// Calls of a connection are its own: its id, its groups, its end.
func TestMountConnection(t *testing.T) {
	story(t, "identity", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l, other := s.listen("/hub"), s.listen("/hub")
		if got := s.call("WhoAmI", "[]", l.as()); got.body != `"`+l.id+`"` {
			t.Errorf("%s, want %s", got.body, l.id)
		}
		if got := s.call("WhoAmI", "[]"); got.body == `"`+l.id+`"` {
			t.Error("a call without a connection has one")
		}
		s.call("Tell", `["to me"]`, l.as())
		s.call("Tell", `["to nobody"]`)
		s.call("Joins", `["room"]`, l.as())
		check(t, said.Send(t.Context(), s.hub.Group("room"), "to the room"))
		s.call("Others", `["to the others"]`, l.as())
		s.call("Others", `["to all"]`)
		if got, want := l.take(3), []string{`Said ["to me"]`, `Said ["to the room"]`, `Said ["to all"]`}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := other.take(2), []string{`Said ["to the others"]`, `Said ["to all"]`}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	story(t, "the life of a call alone", func(t *testing.T) {
		s := newSite(t, nil, nil)
		s.call("Nothing", "[]")
		if got := s.noted(); got != "connect POST, disconnect <nil>" {
			t.Error(got)
		}
		// The client leaves: the call ends.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.http().Do(s.request("POST", "/hub/Wait", "[]", isJSON).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if got := s.noted(); got != "connect POST, wait, waited context canceled, disconnect <nil>" {
			t.Error(got)
		}
	})
	story(t, "the call of a connection ends", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.http().Do(s.request("POST", "/hub/Wait", "[]", isJSON, l.as()).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if got := s.noted(); got != "connect ServerSentEvents, wait, waited context canceled" {
			t.Error(got)
		}
		// And with its connection.
		done := make(chan reply)
		go func() { done <- s.call("Wait", "[]", l.as()) }() // ends with the connection
		synctest.Wait()
		l.leave()
		if got := <-done; got.status != 410 || got.body != `{"code":"canceled","message":"The connection ended before the call."}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.noted(); got != "wait, waited context canceled, disconnect <nil>" {
			t.Error(got)
		}
		if got := s.call("Nothing", "[]", l.as()); got.status != 404 {
			t.Errorf("after the end: %d %s", got.status, got.body)
		}
	})
	story(t, "respond-async", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for _, prefer := range []string{"respond-async", "wait=10, Respond-Async", "respond-async; foo=1"} {
			if got := s.call("Wait", "[]", l.as(), "Prefer: "+prefer); got.status != 202 || got.header.Get("Preference-Applied") != "respond-async" {
				t.Errorf("%s: %d %s", prefer, got.status, got.body)
			}
		}
		l.leave()
		if got := s.noted(); got != "connect ServerSentEvents, wait, waited context canceled, disconnect <nil>" { // the other two never ran
			t.Error(got)
		}
		// A call alone has nobody who could hear of it later: it is answered.
		if got := s.call("Echo", `["x"]`, "Prefer: respond-async"); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	story(t, "tokens are their user's", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser})
		ann := s.listen("/hub", "X-User: ann")
		for _, h := range [][]string{{"X-User: bob", ann.as()}, {ann.as()}, {"X-User: ann", "Hubwire-Connection: guess"}, {"X-User: ann", "Hubwire-Connection: " + ann.id}} {
			if got := s.call("Echo", `["x"]`, h...); got.status != 404 || got.body != `{"code":"not_found","message":"No connection has that token."}` {
				t.Errorf("%v: %d %s", h, got.status, got.body)
			}
			if got := s.do("GET", "/hub/Count?args=[%22%22,1]", "", h...); got.status != 404 {
				t.Errorf("%v: %d %s", h, got.status, got.body)
			}
		}
		if got := s.call("Echo", `["x"]`, "X-User: ann", ann.as()); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func asUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.Header.Get("X-User"); name == "nobody" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		} else if name != "" {
			u := &hubwire.User{ID: name}
			if r.Header.Get("X-Expires") != "" {
				u.Expires = time.Now().Add(time.Minute)
			}
			r = r.WithContext(hubwire.WithUser(r.Context(), u))
		}
		next.ServeHTTP(w, r)
	})
}

func TestMountUsers(t *testing.T) {
	story(t, "in front", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser})
		for _, got := range []reply{s.do("GET", "/hub", "", "X-User: nobody"), s.call("Echo", `["x"]`, "X-User: nobody")} {
			if got.status != 401 {
				t.Errorf("%d", got.status)
			}
		}
		a, b := s.listen("/hub", "X-User: ann"), s.listen("/hub", "X-User: bob")
		check(t, said.Send(t.Context(), s.hub.User("ann"), "x"))
		check(t, said.Send(t.Context(), s.hub.User("bob"), "y"))
		if got := a.take(1)[0] + b.take(1)[0]; got != `Said ["x"]Said ["y"]` {
			t.Error(got)
		}
	})
	story(t, "expiry", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser, CloseOnExpiry: true})
		l := s.listen("/hub", "X-User: ann", "X-Expires: soon")
		began := time.Now()
		l.ends()
		if d := time.Since(began); d < time.Minute || d > time.Minute+2*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestMountGroups(t *testing.T) {
	story(t, "nobody may choose", func(t *testing.T) {
		s := newSite(t, nil, nil)
		if got := s.do("GET", "/hub?group=a", ""); got.status != 403 || got.body != `{"code":"permission_denied","message":"Groups cannot be chosen here."}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.noted(); got != "" {
			t.Error(got)
		}
	})
	story(t, "with Join", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Join: func(ctx context.Context, c *hubwire.Conn, groups []string) error {
			switch {
			case slices.Contains(groups, "panic"):
				panic("no")
			case slices.Contains(groups, "private"):
				return hubwire.Errorf(hubwire.CodePermissionDenied, "not yours")
			case slices.Contains(groups, "error"):
				return NotFound{}
			}
			return ctx.Err()
		}})
		l := s.listen("/hub?group=a&group=b%2Fc%00&x=y")
		for _, g := range []string{"a", "b/c\x00", "d"} {
			check(t, said.Send(t.Context(), s.hub.Group(g), g))
		}
		check(t, said.Send(t.Context(), s.hub.All(), "all"))
		if got := l.take(3); !slices.Equal(got, []string{`Said ["a"]`, `Said ["b/c\u0000"]`, `Said ["all"]`}) {
			t.Errorf("%q", got)
		}
		l.leave()
		s.noted()
		for target, want := range map[string]int{
			"/hub?group=private": 403, "/hub?group=a&group=private": 403, "/hub?group=error": 403,
			"/hub?group=": 400, "/hub?group=" + strings.Repeat("x", 257): 400, "/hub?" + strings.Repeat("group=a&", 65): 400,
			"/hub?group=a&" + strings.Repeat("x", 9000): 400,
		} {
			got := s.do("GET", target, "")
			if got.status != want || strings.Contains(got.body, "secret") {
				t.Errorf("%.30s: %d %s", target, got.status, got.body)
			}
			if n := strings.Count(s.noted(), "disconnect"); (n == 1) != (want == 403) {
				t.Errorf("%.30s: %d times Disconnect", target, n)
			}
		}
		if _, err := s.http().Do(s.request("GET", "/hub?group=panic", "")); err == nil {
			t.Error("a panic of Join is answered")
		}
		if got := s.noted(); got != "connect ServerSentEvents, disconnect <nil>" {
			t.Error(got)
		}
	})
}
