// Gorilla is gorilla/websocket with nothing on top, used as its documentation
// says: one goroutine reads in the handler, a mutex guards each connection's
// writes, and a broadcast is a PreparedMessage written to one connection after
// the other. A text message comes back as it is; one that starts with 'B' goes
// to every connection. UTF-8 is not checked, and nothing bounds a client that
// does not read.
package main

import (
	"flag"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hubwire/hubwire/bench/internal/control"
)

type conn struct {
	ws *websocket.Conn
	mu sync.Mutex // one writer at a time
}

type server struct {
	up    websocket.Upgrader
	mu    sync.RWMutex
	conns map[*conn]struct{}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := s.up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	c := &conn{ws: ws}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	for {
		kind, p, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if len(p) > 0 && p[0] == 'B' {
			s.broadcast(p)
			continue
		}
		c.mu.Lock()
		err = ws.WriteMessage(kind, p)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *server) broadcast(p []byte) {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, p)
	if err != nil {
		log.Print(err)
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.conns {
		c.mu.Lock()
		c.ws.WritePreparedMessage(m) // its reader notices an error
		c.mu.Unlock()
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	ctl := flag.String("ctl", "", "where the control port listens")
	flag.Parse()
	control.Serve(*ctl)
	srv := &http.Server{Addr: *addr, Handler: &server{conns: map[*conn]struct{}{}}, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
