package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// A report is what a runner says: the outcome of one scenario, a fault outside
// of them, or that it is done.
type report struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Ms    int    `json:"ms"`
	Error string `json:"error"`
	Fault string `json:"fault"`
	Done  bool   `json:"done"`
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

// follow turns reports into subtests until the runner is done. ended is closed
// when the runner has ended; why then says how. A runner that is silent for
// two minutes has failed.
func follow(t *testing.T, reports <-chan report, ended <-chan struct{}, why func() string) {
	t.Helper()
	for n := 0; ; {
		var r report
		select {
		case r = <-reports:
		case <-time.After(2 * time.Minute):
			t.Fatalf("no report for two minutes\n%s", why())
		case <-ended:
			select {
			case r = <-reports: // what it said before its end
			default:
				t.Fatalf("the runner ended early\n%s", why())
			}
		}
		switch {
		case r.Done:
			if n == 0 {
				t.Error("not one scenario ran")
			}
			return
		case r.Fault != "":
			t.Errorf("outside of the scenarios: %s", r.Fault)
		default:
			n++
			t.Run(r.Name, func(t *testing.T) {
				t.Logf("%d ms", r.Ms)
				if !r.OK {
					t.Error(r.Error)
				}
			})
		}
	}
}

// needNode skips the test where Node or the official packages are missing.
func needNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	return node
}

func needPackages(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("node_modules", "@microsoft", "signalr")); err != nil {
		t.Skip("the npm packages are not installed: run npm ci in test/e2e")
	}
}

// query is the part of an address that chooses scenarios.
func only() string { return os.Getenv("HUBWIRE_E2E_ONLY") }

var protocols = []string{"json", "msgpack"}

func eachProtocol(t *testing.T, f func(t *testing.T, protocol string)) {
	for _, p := range protocols {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			f(t, p)
		})
	}
}

// child is a peer that runs beside the test.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid once ended is closed
	log   tail
}

func (c *child) why() string {
	select {
	case <-c.ended:
		return fmt.Sprintf("%s: %v\n%s", filepath.Base(c.cmd.Path), c.err, c.log.String())
	default:
		return fmt.Sprintf("%s still runs\n%s", filepath.Base(c.cmd.Path), c.log.String())
	}
}
