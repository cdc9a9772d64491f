package auth

import (
	"crypto/x509"
	"net/http"

	"github.com/hubwire/hubwire"
)

// Certificate is middleware that lets only requests pass whose client has shown
// a certificate that the server has verified (mutual TLS: the server's tls.Config
// needs ClientCAs, and ClientAuth VerifyClientCertIfGiven or
// RequireAndVerifyClientCert), and puts its user where hubwire.UserFrom finds it.
// The user's credentials end with the certificate.
//
// user makes a user of the certificate; nil is turned away with 403. A nil user
// means the certificate's common name. Requests without a certificate are
// answered 401.
func Certificate(user func(c *x509.Certificate) *hubwire.User) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := verified(r)
			if c == nil {
				challenge(w, "Bearer")
				return
			}
			u := userOf(c, user)
			if u == nil {
				empty(w, http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), u)))
		})
	}
}

// verified is the client's certificate, where the server has verified it.
func verified(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

func userOf(c *x509.Certificate, user func(c *x509.Certificate) *hubwire.User) *hubwire.User {
	var u *hubwire.User
	if user != nil {
		u = user(c)
	} else if c.Subject.CommonName != "" {
		u = &hubwire.User{ID: c.Subject.CommonName}
	}
	if u == nil {
		return nil
	}
	if u.Expires.IsZero() || u.Expires.After(c.NotAfter) {
		copied := *u
		copied.Expires = c.NotAfter
		u = &copied
	}
	return u
}
