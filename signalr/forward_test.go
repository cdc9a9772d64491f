package signalr_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// A request that cannot go on says where it belongs.
func TestForwardNowhere(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	serve := func(name string, peer func(string) string) *httptest.Server {
		mux := http.NewServeMux()
		hub := hubwire.New(&hubwire.Options{Name: "chat"})
		signalr.Mount(mux, "/chat", hub, &signalr.Options{Node: name, TokenKey: key, Peer: peer})
		s := httptest.NewServer(mux)
		t.Cleanup(func() {
			s.Close()
			_ = hub.Shutdown(context.Background())
		})
		return s
	}
	away := serve("away", nil)
	resp, err := http.Post(away.URL+"/chat/negotiate?negotiateVersion=1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	_, rest, _ := strings.Cut(string(b), `"connectionToken":"`)
	token, _, _ := strings.Cut(rest, `"`)
	var self *httptest.Server
	for name, peer := range map[string]func(string) string{
		"unknown":     func(string) string { return "" },
		"unreachable": func(string) string { return "http://127.0.0.1:1" },
		"itself":      func(string) string { return self.URL }, // and no circle
	} {
		self = serve("here", peer)
		resp, err := http.Get(self.URL + "/chat?id=" + url.QueryEscape(token))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound || !strings.Contains(string(b), "server") {
			t.Errorf("%s: %d %q", name, resp.StatusCode, b)
		}
	}
}
