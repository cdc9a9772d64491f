package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// A harness stands between a client and a server. It serves the page and its
// libraries, passes everything else on, and does to the network what scenarios
// ask for:
//
//	POST /cut      ends all connections without a word
//	POST /down     the same, and refuses new ones until
//	POST /up
//	POST /restart  ends the server with SIGTERM and starts it again
//	POST /report   the outcome of a scenario (JSON)
type harness struct {
	*httptest.Server
	reports chan report
	down    atomic.Bool
	mu      sync.Mutex // guards conns
	conns   map[net.Conn]bool
}

func startHarness(t *testing.T, s *server) *harness {
	h := &harness{reports: make(chan report, 16), conns: map[net.Conn]bool{}}
	proxy := httputil.NewSingleHostReverseProxy(s.url)
	proxy.Transport = &http.Transport{DialContext: h.dial}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }

	mux := http.NewServeMux()
	modules := os.DirFS(filepath.Join("node_modules", "@microsoft"))
	mux.Handle("GET /lib/", http.StripPrefix("/lib/", http.FileServerFS(modules)))
	mux.Handle("GET /js/", http.StripPrefix("/js/", http.FileServerFS(os.DirFS("js"))))
	mux.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { h.cut() })
	mux.HandleFunc("POST /down", func(http.ResponseWriter, *http.Request) { h.down.Store(true); h.cut() })
	mux.HandleFunc("POST /up", func(http.ResponseWriter, *http.Request) { h.down.Store(false) })
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.restart(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var got report
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case h.reports <- got:
		case <-t.Context().Done():
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if h.down.Load() {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		proxy.ServeHTTP(w, r)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		h.cut()
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

// dial connects to the server and keeps the connection, to cut it later.
func (h *harness) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c = &kept{Conn: c, h: h}
	h.mu.Lock()
	h.conns[c] = true
	h.mu.Unlock()
	return c, nil
}

func (h *harness) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		_ = c.(*kept).Conn.Close()
	}
	clear(h.conns)
}

// kept is a connection that the harness forgets when it is closed.
type kept struct {
	net.Conn
	h *harness
}

func (c *kept) Close() error {
	c.h.mu.Lock()
	delete(c.h.conns, c)
	c.h.mu.Unlock()
	return c.Conn.Close()
}
