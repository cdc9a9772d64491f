package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
)

func TestCertificate(t *testing.T) {
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	cert := func(name string) *tls.ConnectionState {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: end}
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
	}
	unverified := cert("ann")
	unverified.VerifiedChains = nil
	own := func(c *x509.Certificate) *hubwire.User {
		if c.Subject.CommonName != "ann" {
			return nil
		}
		return &hubwire.User{ID: "own", Expires: end.Add(-time.Hour)}
	}
	for name, c := range map[string]struct {
		state   *tls.ConnectionState
		user    func(*x509.Certificate) *hubwire.User
		status  int
		id      string
		expires time.Time
	}{
		"none":       {nil, nil, 401, "", time.Time{}},
		"unverified": {unverified, nil, 401, "", time.Time{}},
		"nameless":   {cert(""), nil, 403, "", time.Time{}},
		"name":       {cert("ann"), nil, 200, "ann", end},
		"own":        {cert("ann"), own, 200, "own", end.Add(-time.Hour)},
		"refused":    {cert("bob"), own, 403, "", time.Time{}},
	} {
		var got *hubwire.User
		h := auth.Certificate(c.user)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = hubwire.UserFrom(r.Context()) }))
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.TLS = c.state
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.status == 200 && (got.ID != c.id || !got.Expires.Equal(c.expires)) {
			t.Errorf("%s: %d, %+v", name, w.Code, got)
		}
	}
}
