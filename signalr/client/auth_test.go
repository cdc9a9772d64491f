package client_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

// token is a bearer token of the conformance contract.
func token(subject string, expires time.Time) string {
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "conformance", "aud": "conformance", "sub": subject, "exp": expires.Unix(),
	})
	mac := hmac.New(sha256.New, []byte("conformance-key-of-at-least-32-bytes!"))
	_, _ = io.WriteString(mac, text)
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestAuthorized(t *testing.T) {
	everywhere(t, func(e *env) {
		_, err := e.tryDial("/authorized", nil)
		wantText(e, err, "client: negotiate: 401 Unauthorized (the server wants an access token or did not accept this one, see Options.AccessToken)")
		calls := 0
		_, err = e.tryDial("/authorized", &client.Options{AccessToken: func(context.Context) (string, error) { calls++; return "nonsense", nil }})
		if h, ok := errors.AsType[*client.HTTPError](err); !ok || h.Status != http.StatusUnauthorized || calls != 1 {
			e.Errorf("with a bad token: %v, after %d calls", err, calls)
		}
		why := errors.New("no key")
		_, err = e.tryDial("/authorized", &client.Options{AccessToken: func(context.Context) (string, error) { return "", why }})
		if !errors.Is(err, why) {
			e.Errorf("without a token: %v", err)
		}
		_, err = e.tryDial("/authorized", &client.Options{AccessToken: func(context.Context) (string, error) { panic("boom") }})
		wantText(e, err, "client: access token: panic: boom")
		c := e.dial("/authorized", &client.Options{AccessToken: func(context.Context) (string, error) { return token("ada", time.Now().Add(time.Hour)), nil }})
		equal(e, *result[*string](e)(userID.Call(e.ctx, c, hubwire.None{})), "ada")
	})
}

// The connection ends with its token; the next has a fresh one.
func TestExpiring(t *testing.T) {
	everywhere(t, func(e *env) {
		e.Parallel()
		var happened course
		var calls atomic.Int32
		opts := happened.options()
		opts.Reconnect = client.Delays(0)
		opts.AccessToken = func(context.Context) (string, error) {
			life := time.Hour
			if calls.Add(1) == 1 {
				life = time.Second
			}
			return token("ada", time.Now().Add(life)), nil
		}
		c := e.dial("/expiring", opts)
		equal(e, happened.take(e, 2), []string{"reconnecting: none", "reconnected"})
		equal(e, calls.Load(), 2)
		equal(e, *result[*string](e)(userID.Call(e.ctx, c, hubwire.None{})), "ada")
	})
}

// A 401 to anything but a negotiate is answered once with a fresh token.
func TestTokenIsRenewed(t *testing.T) {
	for _, kind := range []client.Transports{client.WebSockets, client.ServerSentEvents, client.LongPolling} {
		t.Run(kind.String(), func(t *testing.T) {
			s := newStub(t)
			var seen box[string]
			old := s.srv.Handler
			s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				auth := r.Header.Get("Authorization")
				seen.put(r.Method + " " + r.URL.Path + " " + auth)
				if r.URL.Path == "/hub" && auth != "Bearer B" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				old.ServeHTTP(w, r)
			})
			calls := 0
			c, err := s.dial(t.Context(), &client.Options{
				Transports:       kind,
				HandshakeTimeout: 50 * time.Millisecond,
				AccessToken: func(context.Context) (string, error) {
					calls++
					return string(rune('A' + calls - 1)), nil
				},
			})
			if kind == client.WebSockets {
				check(t, err)
				go (<-s.sockets).drain() // ends with c
				check(t, c.Close())
			} else if err == nil {
				t.Error("the stub has no such transport")
			}
			equal(t, seen.take(t, 3), []string{"POST /hub/negotiate Bearer A", "GET /hub Bearer A", "GET /hub Bearer B"})
			equal(t, calls, 2)
			if kind == client.WebSockets {
				return
			}
			wantText(t, err, kind.String())
		})
	}
}
