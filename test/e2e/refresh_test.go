package e2e

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
	"github.com/hubwire/hubwire/signalr"
)

// TestDotnetRefresh has the .NET client 11 ask for newer credentials of a live
// connection, which no ASP.NET Core 10 answers, and ours does where it is asked
// to (signalr.Options.AuthRefresh).
func TestDotnetRefresh(t *testing.T) {
	run := dotnetPeers(t)
	const userID hubwire.Method[hubwire.None, string] = "UserId"
	hub := hubwire.New(&hubwire.Options{Logger: slog.New(slog.DiscardHandler)})
	hub.Handle(userID.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) { return c.User().ID, nil }))
	mux := http.NewServeMux()
	signalr.Mount(mux, "/authorized", hub, &signalr.Options{
		AuthRefresh:   true,
		CloseOnExpiry: true,
		Middleware: auth.Bearer(&auth.Options{
			Issuer:    "conformance",
			Audiences: []string{"conformance"},
			Keys:      []auth.Key{{Secret: []byte("conformance-key-of-at-least-32-bytes!")}},
		}),
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{"ws", "sse", "lp"} {
		t.Run(transport, func(t *testing.T) {
			const scenario = "auth.refresh-of-client-11"
			got := map[string]observation{}
			runDotnet(t, run, &server{t: t, url: at}, transport, "json", []string{scenario}, got)
			var saw struct {
				Refresh string
				Events  []string `json:"events of the refresh"`
			}
			if err := json.Unmarshal(got[scenario].Observed, &saw); err != nil {
				t.Fatal(err)
			}
			// Its tokens are good for an hour, too long for it to ask by itself.
			if !got[scenario].OK || saw.Refresh != "lifetime <elapsed>" || len(saw.Events) != 1 || saw.Events[0] != "refreshed <elapsed>" {
				t.Errorf("ok %v, %+v\n%s", got[scenario].OK, saw, got[scenario].Error)
			}
		})
	}
}

// dotnetPeers is the program that runs the .NET peers; where they are missing
// the test is skipped.
func dotnetPeers(t *testing.T) (run string) {
	t.Helper()
	dir := os.Getenv("HUBWIRE_PEERS_DIR")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "peers")
	}
	run = filepath.Join(dir, "run")
	if _, err := os.Stat(run); err != nil {
		t.Skipf("the .NET peers are not in %s (set HUBWIRE_PEERS_DIR)", dir)
	}
	return run
}
