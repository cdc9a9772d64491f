package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hubwire/hubwire"
)

// Policy makes a filter of a decision about users: calls of those that allow
// turns away end with hubwire.ErrUnauthorized. As a filter of one method:
//
//	hub.Handle(Ban.With(ban).Use(auth.Policy(isModerator)))
//
// In hubwire.Options.Filters it is for all methods, and for Connect: those that
// are turned away cannot connect.
//
// allow is called with every call, by many goroutines, and must not change the
// user.
func Policy(allow func(u *hubwire.User) bool) hubwire.Filter {
	return func(next hubwire.Invoke) hubwire.Invoke {
		return func(ctx context.Context, call *hubwire.Call) error {
			if !allow(call.Conn().User()) {
				return hubwire.ErrUnauthorized
			}
			return next(ctx, call)
		}
	}
}

// RequireUser is the filter that turns away calls of anonymous users.
func RequireUser(next hubwire.Invoke) hubwire.Invoke { return Policy(IsUser)(next) }

// RequireClaim is the filter that turns away calls of users whom HasClaim is
// false for.
func RequireClaim(name string, values ...string) hubwire.Filter {
	return Policy(HasClaim(name, values...))
}

// IsUser reports whether u is not anonymous.
func IsUser(u *hubwire.User) bool { return u.ID != "" }

// HasClaim decides by a claim: it must be there, and be one of the values if
// there are any. A claim that is a list must have one of them in it, and one
// that is a number or a bool is compared by its JSON text. The claims scope and
// scp, where they are text, are lists with spaces in between (RFC 8693, section
// 4.2). A claim that is null is not there.
func HasClaim(name string, values ...string) func(u *hubwire.User) bool {
	values = slices.Clone(values)
	return func(u *hubwire.User) bool {
		v := u.Claims[name]
		if v == nil || len(values) == 0 {
			return v != nil
		}
		switch v := v.(type) {
		case string:
			if name == "scope" || name == "scp" {
				return slices.ContainsFunc(strings.Fields(v), func(s string) bool { return slices.Contains(values, s) })
			}
		case []string:
			return slices.ContainsFunc(v, func(s string) bool { return slices.Contains(values, s) })
		case []any:
			return slices.ContainsFunc(v, func(e any) bool { return isOne(e, values) })
		}
		return isOne(v, values)
	}
}

// isOne reports whether a claim that is no list is one of the values.
func isOne(v any, values []string) bool {
	switch v := v.(type) {
	case nil, map[string]any, []any:
		return false
	case string:
		return slices.Contains(values, v)
	default:
		return slices.Contains(values, fmt.Sprint(v))
	}
}
