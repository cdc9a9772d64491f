package grpcwire

import "net/http"

// share answers preflights of pages of other origins and lets those that are
// allowed read what they are answered. It reports whether the request is done.
// Pages can send no gRPC without a preflight, so whoever is not answered here
// cannot act in the name of its reader.
func (h *Handler) share(w http.ResponseWriter, r *http.Request) (done bool) {
	if h.origins.Share(w, r, http.MethodPost) {
		return true
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "Unhandled CORS preflight request received. CORS may not be configured correctly in the application.")
		return true
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		w.Header().Set("Access-Control-Expose-Headers", h.exposed)
	}
	return false
}
