package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
	"github.com/hubwire/hubwire/signalr"
)

// A hub for users of one login service, and a method for some of them.
func Example() {
	const ban hubwire.Command[string] = "Ban"

	hub := hubwire.New(nil)
	hub.Handle(ban.With(func(ctx context.Context, c *hubwire.Conn, user string) error {
		return nil
	}).Use(auth.RequireClaim("role", "moderator")))

	mux := http.NewServeMux()
	signalr.Mount(mux, "/chat", hub, &signalr.Options{
		Middleware: auth.Bearer(&auth.Options{
			Issuer:    "https://login.example.com",
			Audiences: []string{"chat"},
			Discover:  true,
		}),
	})

	// Who comes without a token learns what to bring.
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "/chat/negotiate?negotiateVersion=1", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer
}

// A secret that is shared with whoever issues the tokens, an endpoint that is
// for administrators, and the users' ids in a claim of another name.
func ExampleBearer() {
	verify := auth.Bearer(&auth.Options{
		Issuer:    "backend",
		Audiences: []string{"admin"},
		Keys:      []auth.Key{{Secret: []byte("32 random bytes, from your vault")}},
		UserClaim: "employee",
		Require:   auth.HasClaim("role", "admin"),
	})
	h := verify(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", hubwire.UserFrom(r.Context()).ID)
	}))

	r := httptest.NewRequest("GET", "/admin", nil)
	r.Header.Set("Authorization", "Bearer a.forged.token")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer error="invalid_token"
}
