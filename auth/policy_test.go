package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

func TestHasClaim(t *testing.T) {
	u := &hubwire.User{ID: "alice", Claims: map[string]any{
		"role": "admin", "roles": []any{"a", "b", nil, map[string]any{}, []any{"deep"}}, "strings": []string{"x", "y"},
		"scope": "read write", "scp": []any{"read", "write more"}, "words": "read write",
		"level": json.Number("3"), "n": 3, "f": 1.5, "ok": true, "null": nil, "object": map[string]any{"a": "b"}, "empty": "", "none": []any{},
	}}
	for _, c := range []struct {
		name   string
		values []string
		want   bool
	}{
		{"role", nil, true},
		{"role", []string{"admin"}, true},
		{"role", []string{"user", "admin"}, true},
		{"role", []string{"user"}, false},
		{"role", []string{"Admin"}, false},
		{"role", []string{""}, false},
		{"Role", nil, false},
		{"roles", nil, true},
		{"roles", []string{"b"}, true},
		{"roles", []string{"c"}, false},
		{"roles", []string{""}, false},
		{"roles", []string{"deep"}, false},
		{"roles", []string{"<nil>"}, false},
		{"roles", []string{"map[]"}, false},
		{"strings", []string{"y"}, true},
		{"strings", []string{"z"}, false},
		{"scope", []string{"write"}, true},
		{"scope", []string{"read write"}, false},
		{"scope", []string{"wri"}, false},
		{"scp", []string{"read"}, true},
		{"scp", []string{"write"}, false},
		{"words", []string{"write"}, false},
		{"words", []string{"read write"}, true},
		{"level", []string{"3"}, true},
		{"level", []string{"4"}, false},
		{"n", []string{"3"}, true},
		{"f", []string{"1.5"}, true},
		{"ok", []string{"true"}, true},
		{"ok", []string{"false"}, false},
		{"null", nil, false},
		{"null", []string{"null", ""}, false},
		{"object", nil, true},
		{"object", []string{"b"}, false},
		{"empty", nil, true},
		{"empty", []string{""}, true},
		{"none", nil, true},
		{"none", []string{""}, false},
		{"absent", nil, false},
		{"absent", []string{""}, false},
	} {
		if got := auth.HasClaim(c.name, c.values...)(u); got != c.want {
			t.Errorf("%s %q: %v", c.name, c.values, got)
		}
	}
	if auth.HasClaim("role")(&hubwire.User{}) {
		t.Error("an anonymous user has a claim")
	}
	values := []string{"admin"}
	has := auth.HasClaim("role", values...)
	values[0] = "user"
	if !has(u) {
		t.Error("the values are the caller's")
	}
}

const (
	whoami hubwire.Method[struct{}, string] = "WhoAmI"
	ban    hubwire.Method[struct{}, string] = "Ban"
	odd    hubwire.Method[struct{}, string] = "Odd"
)

// Each method asks for another right; what a filter refuses, the wire is told
// as Unauthorized, and the handler does not run.
func TestFilters(t *testing.T) {
	ran := 0
	handler := func(ctx context.Context, c *hubwire.Conn, _ struct{}) (string, error) {
		ran++
		return c.User().ID, nil
	}
	hub := hubwire.New(nil)
	defer hub.Shutdown(context.Background())
	hub.Handle(
		whoami.With(handler).Use(auth.RequireUser),
		ban.With(handler).Use(auth.RequireUser, auth.RequireClaim("role", "moderator")),
		odd.With(handler).Use(auth.Policy(func(u *hubwire.User) bool { return len(u.ID)%2 == 1 })),
	)
	hub.Expose(protocol{})
	for id, c := range map[string]struct {
		user *hubwire.User
		may  map[string]bool
	}{
		"nobody": {nil, map[string]bool{}},
		"alice":  {&hubwire.User{ID: "alice"}, map[string]bool{"WhoAmI": true, "Odd": true}},
		"mod":    {&hubwire.User{ID: "modest", Claims: map[string]any{"role": "moderator"}}, map[string]bool{"WhoAmI": true, "Ban": true}},
		"claims": {&hubwire.User{Claims: map[string]any{"role": "moderator"}}, map[string]bool{}},
	} {
		p, err := hub.Open(t.Context(), link{}, id, c.user, &hubwire.Request{Wire: "test"})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"WhoAmI", "Ban", "Odd"} {
			ran = 0
			r := make(reply, 1)
			p.Start(&wire.Call{Name: name, Reply: r, Args: wire.Values{Codec: jsonwire.Codec{}}})
			out := <-r
			var fault *wire.Fault
			switch {
			case c.may[name] && (out.err != nil || out.v != c.user.ID || ran != 1):
				t.Errorf("%s, %s: %v, %v", id, name, out.v, out.err)
			case !c.may[name] && (!errors.As(out.err, &fault) || fault.Kind != wire.Unauthorized || !errors.Is(out.err, hubwire.ErrUnauthorized) || ran != 0):
				t.Errorf("%s, %s: %v, %v, ran %d times", id, name, out.v, out.err, ran)
			}
		}
		p.End(nil)
	}
}

// As a filter of the hub, a policy is for Connect too.
func TestFilterOfTheHub(t *testing.T) {
	hub := hubwire.New(&hubwire.Options{
		Filters: []hubwire.Filter{auth.RequireUser},
		Connect: func(ctx context.Context, c *hubwire.Conn) error { return nil },
	})
	defer hub.Shutdown(context.Background())
	hub.Expose(protocol{})
	if _, err := hub.Open(t.Context(), link{}, "1", nil, &hubwire.Request{Wire: "test"}); !errors.Is(err, hubwire.ErrUnauthorized) {
		t.Errorf("nobody: %v", err)
	}
	p, err := hub.Open(t.Context(), link{}, "2", &hubwire.User{ID: "alice"}, &hubwire.Request{Wire: "test"})
	if err != nil {
		t.Fatalf("alice: %v", err)
	}
	p.End(nil)
}

// protocol, link and reply are the least that a hub takes for a wire.
type protocol struct{}

func (protocol) Name() string      { return "test" }
func (protocol) Codec() wire.Codec { return jsonwire.Codec{} }
func (protocol) AppendEvent(dst []byte, name, id string, args [][]byte) ([]byte, error) {
	return append(dst, name...), nil
}

type framing struct{}

func (framing) Protocol() wire.Protocol { return protocol{} }
func (framing) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = append(dst, r.Bytes...)
	}
	return dst
}

type link struct{}

func (link) Framing() wire.Framing           { return framing{} }
func (link) TryWrite(p []byte) (int, error)  { return len(p), nil }
func (link) Write(p []byte) error            { return nil }
func (link) Close(reason error, resume bool) {}

type outcome struct {
	v   any
	err error
}

type reply chan outcome

func (r reply) Item(ctx context.Context, v any) error { return nil }
func (r reply) Done(v any, err error)                 { r <- outcome{v, err} }
