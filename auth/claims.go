package auth

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
)

// maxDepth is how many objects and arrays of a token may be open at a time.
const maxDepth = 16

var errJSON = errors.New("not the JSON of an object, or a member comes twice")

// parseObject reads a JSON object, and nothing behind it. Numbers become
// json.Number, so that none is rewritten. A name that comes twice in one
// object, at any depth, is an error: readers differ in which one they take.
func parseObject(src []byte) (map[string]any, error) {
	s := jsonwire.Scanner{MaxDepth: maxDepth, UTF8: true}
	s.Reset(src)
	m, ok := object(&s)
	if !ok || s.Err() != nil || !s.End() {
		return nil, errJSON
	}
	return m, nil
}

func object(s *jsonwire.Scanner) (m map[string]any, ok bool) {
	if !s.Object() {
		return nil, false
	}
	m = map[string]any{}
	for name, more := s.Member(); more; name, more = s.Member() {
		n := string(name)
		if _, twice := m[n]; twice {
			return nil, false
		}
		if m[n], ok = value(s); !ok {
			return nil, false
		}
	}
	return m, s.Err() == nil
}

func value(s *jsonwire.Scanner) (v any, ok bool) {
	switch s.Kind() {
	case jsonwire.Object:
		return object(s)
	case jsonwire.Array:
		list := []any{}
		for s.Array(); s.Element(); {
			e, ok := value(s)
			if !ok {
				return nil, false
			}
			list = append(list, e)
		}
		return list, s.Err() == nil
	}
	raw, kind := s.Value()
	switch kind {
	case jsonwire.Null:
		return nil, true
	case jsonwire.False, jsonwire.True:
		return kind == jsonwire.True, true
	case jsonwire.Number:
		return json.Number(raw), true
	case jsonwire.String:
		text, err := jsonwire.Text(raw)
		return text, err == nil
	}
	return nil, false
}

// user checks the claims of a token whose signature is good, and makes its
// user. The order is the one that ASP.NET Core reports them in.
func (o *Options) user(claims map[string]any, now time.Time) (*hubwire.User, *refusal) {
	expires, ok := numericDate(claims["exp"])
	if claims["exp"] == nil {
		return nil, &refusal{"the token has no exp", "The token has no expiration"}
	} else if !ok {
		return nil, &refusal{"exp is no number", ""}
	}
	if v := claims["nbf"]; v != nil {
		begins, ok := numericDate(v)
		switch {
		case !ok:
			return nil, &refusal{"nbf is no number", ""}
		case begins.After(expires):
			return nil, &refusal{"nbf is behind exp", "The token lifetime is invalid; NotBefore: '" + date(begins) + "', Expires: '" + date(expires) + "'"}
		case begins.After(now.Add(o.Skew)):
			return nil, &refusal{"not valid yet", "The token is not valid before '" + date(begins) + "'"}
		}
	}
	if !now.Before(expires.Add(o.Skew)) {
		return nil, &refusal{"expired", "The token expired at '" + date(expires) + "'"}
	}
	if found, some := o.audience(claims["aud"]); !found {
		// What stands for the audience there is not what the token says.
		text := "(null)"
		if !some {
			text = "empty"
		}
		return nil, &refusal{"another audience", "The audience '" + text + "' is invalid"}
	}
	if issuer, _ := claims["iss"].(string); o.Issuer != "*" && issuer != o.Issuer {
		return nil, &refusal{"another issuer", describeIssuer(issuer)}
	}
	id := userID(claims[o.UserClaim])
	if id == "" {
		return nil, &refusal{"the token has no claim for the user's id", ""}
	}
	return &hubwire.User{ID: id, Claims: claims, Expires: expires}, nil
}

// audience reports whether aud names one of ours, and whether it names any.
func (o *Options) audience(aud any) (found, some bool) {
	if slices.Contains(o.Audiences, "*") {
		return true, true
	}
	list, ok := aud.([]any)
	if !ok {
		list = []any{aud}
	}
	for _, a := range list {
		name, _ := a.(string)
		some = some || name != ""
		found = found || slices.Contains(o.Audiences, name) // which has no empty one
	}
	return found, some
}

// userID is a claim as the id of a user: text, or a whole number as it stands.
func userID(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		if !strings.ContainsAny(string(v), ".eE") {
			return string(v)
		}
	}
	return ""
}

// numericDate is a claim as a time (RFC 7519, section 2): seconds, and maybe
// parts of one, since 1970. What is outside of the years 1 to 9999 is taken for
// the nearest time in them.
func numericDate(v any) (time.Time, bool) {
	const first, last = -62135596800, 253402300799
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return time.Unix(min(max(i, first), last), 0), true
	}
	f, err := strconv.ParseFloat(string(n), 64) // out of range: an infinity, which the bounds take
	if err != nil && !math.IsInf(f, 0) {
		return time.Time{}, false
	}
	whole, part := math.Modf(min(max(f, first), last))
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// date is a time as .NET prints it where no culture is set. It knows none
// before 1970 in tokens.
func date(t time.Time) string {
	return time.Unix(max(t.Unix(), 0), 0).UTC().Format("01/02/2006 15:04:05")
}

// describeIssuer tells the client about an issuer that is not ours, unless it
// has something in it that would not be what it seems in a header.
func describeIssuer(issuer string) string {
	odd := func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
	if len(issuer) > 256 || strings.IndexFunc(issuer, odd) >= 0 {
		return ""
	}
	return "The issuer '" + issuer + "' is invalid"
}
