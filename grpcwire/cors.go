package grpcwire

import (
	"net/http"
	"slices"
	"strings"
)

// share answers preflights of pages of other origins and lets those that are
// allowed read what they are answered. It reports whether the request is done.
func (h *Handler) share(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions && origin != "" && r.Header.Get("Access-Control-Request-Method") != ""
	if origin == "" || len(h.opts.AllowedOrigins) == 0 {
		if preflight {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed, "Unhandled CORS preflight request received. CORS may not be configured correctly in the application.")
		}
		return preflight
	}
	head := w.Header()
	head.Add("Vary", "Origin")
	if !h.anyOne && !slices.ContainsFunc(h.opts.AllowedOrigins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		if preflight {
			w.WriteHeader(http.StatusForbidden)
		}
		return preflight
	}
	if h.anyOne { // and therefore no cookies
		head.Set("Access-Control-Allow-Origin", "*")
	} else {
		head.Set("Access-Control-Allow-Origin", origin)
		head.Set("Access-Control-Allow-Credentials", "true")
	}
	if !preflight {
		head.Set("Access-Control-Expose-Headers", h.exposed)
		return false
	}
	head.Set("Access-Control-Allow-Methods", http.MethodPost)
	if want := r.Header.Get("Access-Control-Request-Headers"); want != "" {
		head.Set("Access-Control-Allow-Headers", want)
		head.Add("Vary", "Access-Control-Request-Headers")
	}
	head.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return true
}
