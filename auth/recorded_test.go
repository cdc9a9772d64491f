package auth_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/auth"
)

// Requests to ASP.NET Core 10.0.12 and its answers, at the time that they were
// recorded.
func TestRecordedAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/recorded/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			var doc struct {
				Steps []struct {
					HTTP struct {
						Method, Path string
						Headers      map[string]string
					}
					Response struct {
						Status  int
						Headers map[string]string
						Body    string
					}
				}
			}
			if err := json.Unmarshal(must(os.ReadFile(file)), &doc); err != nil {
				t.Fatal(err)
			}
			for _, s := range doc.Steps {
				synctest.Test(t, func(t *testing.T) {
					at, err := time.Parse(time.RFC1123, s.Response.Headers["Date"])
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Until(at))
					r := httptest.NewRequest(s.HTTP.Method, s.HTTP.Path, nil)
					for k, v := range s.HTTP.Headers {
						r.Header.Set(k, v)
					}
					a := ask(t, auth.Bearer(conformance()), r)
					if s.Response.Status == 200 {
						if a.status != 204 || a.user.ID != "alice" {
							t.Errorf("status %d, user %v", a.status, a.user)
						}
						return
					}
					if a.status != s.Response.Status || a.body != s.Response.Body {
						t.Errorf("status %d, body %q", a.status, a.body)
					}
					delete(s.Response.Headers, "Date") // of net/http's server
					delete(s.Response.Headers, "Server")
					for k, v := range s.Response.Headers {
						if got := a.header.Get(k); got != v {
							t.Errorf("%s: %q, recorded %q", k, got, v)
						}
					}
					if len(a.header) != len(s.Response.Headers) {
						t.Errorf("headers %v, recorded %v", a.header, s.Response.Headers)
					}
				})
			}
		})
	}
}
