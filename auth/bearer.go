package auth

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hubwire/hubwire"
)

// Bearer is middleware that lets only requests with a good bearer token (RFC
// 6750) pass, and puts its user where hubwire.UserFrom finds it. What it does
// with the others, and what it trusts, is in the package's doc.
//
// One Bearer may wrap many handlers; they share the keys that were read. It
// panics with a sentence for every rule that opts breaks.
func Bearer(opts *Options) func(http.Handler) http.Handler {
	o := opts.withDefaults()
	if bad := o.check(); len(bad) > 0 {
		panic("auth: options: " + strings.Join(bad, "; "))
	}
	v := &verifier{opts: o}
	for _, k := range o.Keys {
		x, _ := k.fixed() // check has seen to its error
		v.fixed = append(v.fixed, x)
	}
	if o.KeySet != "" || o.Discover {
		v.remote = &remote{set: o.KeySet, issuer: o.Issuer, client: careful(o.Client), log: o.Logger}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { v.serve(w, r, next) })
	}
}

func (v *verifier) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	query, inQuery, rest := cutToken(r.URL.RawQuery)
	token := headerToken(r.Header["Authorization"])
	if query != "" && v.reads(r) {
		token = query
	} else if query != "" && token == "" {
		v.opts.Logger.Warn("auth: the access_token in the query is not read for this request; see Options.Query", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
	}
	user := hubwire.UserFrom(r.Context())
	if token != "" {
		u, no, err := v.verify(r.Context(), token)
		switch {
		case err != nil:
			busy(w, err)
			return
		case no != nil:
			v.opts.Logger.Info("auth: token refused", "reason", no.reason, "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
			challenge(w, invalidToken(no.description))
			return
		}
		user = u
	} else if !v.opts.Anonymous {
		challenge(w, "Bearer")
		return
	}
	if v.opts.Require != nil && !v.opts.Require(user) {
		if token == "" && user.ID == "" {
			challenge(w, "Bearer")
			return
		}
		empty(w, http.StatusForbidden)
		return
	}
	r = r.WithContext(hubwire.WithUser(r.Context(), user))
	if inQuery {
		strip(r, rest)
	}
	next.ServeHTTP(w, r)
}

// reads reports whether the parameter is read for a request.
func (v *verifier) reads(r *http.Request) bool {
	switch v.opts.Query {
	case QueryAlways:
		return true
	case QueryStreams:
		return r.Method == http.MethodGet && (lists(r.Header["Upgrade"], "websocket") || lists(r.Header["Accept"], "text/event-stream"))
	}
	return false
}

// lists reports whether one of the elements of a header is a word, in any case.
// Parameters of an element are passed over.
func lists(header []string, word string) bool {
	for _, h := range header {
		for e := range strings.SplitSeq(h, ",") {
			e, _, _ = strings.Cut(e, ";")
			if strings.EqualFold(strings.Trim(e, " \t"), word) {
				return true
			}
		}
	}
	return false
}

// headerToken is the token of the Authorization header. The scheme's name may
// be in any case. Headers that come more than once are one with commas, which
// no token has.
func headerToken(header []string) string {
	const scheme = "Bearer "
	h := strings.Join(header, ",")
	if len(h) < len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return ""
	}
	return strings.Trim(h[len(scheme):], " \t")
}

// cutToken finds the access_token parameter, and what the query is without it;
// the other parameters keep their bytes. Parameters of the name that come more
// than once are one with commas, without the empty ones.
func cutToken(raw string) (token string, found bool, rest string) {
	for p := range strings.SplitSeq(raw, "&") {
		found = found || namesToken(p)
	}
	if !found {
		return "", false, raw
	}
	var tokens, others []string
	for p := range strings.SplitSeq(raw, "&") {
		if !namesToken(p) {
			others = append(others, p)
			continue
		}
		_, text, _ := strings.Cut(p, "=")
		if t, err := url.QueryUnescape(text); err == nil {
			text = t
		} // else it has a percent sign, which no token has
		if text != "" {
			tokens = append(tokens, text)
		}
	}
	return strings.Join(tokens, ","), true, strings.Join(others, "&")
}

// namesToken reports whether a parameter, as it is in the query, is the token.
func namesToken(p string) bool {
	name, _, _ := strings.Cut(p, "=")
	name, err := url.QueryUnescape(name) // no copy where nothing is escaped
	return err == nil && strings.EqualFold(name, "access_token")
}

// strip takes the token out of a request that is a copy already.
func strip(r *http.Request, rest string) {
	u := *r.URL
	u.RawQuery = rest
	r.URL = &u
	r.RequestURI = u.RequestURI()
	if r.Form != nil { // somebody outside has parsed it
		form := make(url.Values, len(r.Form))
		for name, values := range r.Form {
			if !strings.EqualFold(name, "access_token") {
				form[name] = values
			}
		}
		r.Form = form
	}
}

// invalidToken is the WWW-Authenticate of a token that is refused (RFC 6750,
// section 3.1).
func invalidToken(description string) string {
	if description == "" {
		return `Bearer error="invalid_token"`
	}
	return `Bearer error="invalid_token", error_description="` + description + `"`
}

func challenge(w http.ResponseWriter, text string) {
	w.Header().Set("WWW-Authenticate", text)
	empty(w, http.StatusUnauthorized)
}

// busy says that nobody can be told who they are now.
func busy(w http.ResponseWriter, err error) {
	if u, ok := err.(*unavailable); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(u.retry.Seconds()))))
	}
	empty(w, http.StatusServiceUnavailable)
}

// empty answers without a body: clients make their error texts of it.
func empty(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Del("Content-Type")
	h.Set("Content-Length", "0")
	w.WriteHeader(status)
}
