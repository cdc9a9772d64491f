// Barews is our own WebSocket codec with nothing on top: the lower bound for
// the hub's echo. It checks all that RFC 6455 asks for. A text message comes
// back as it is, all answers to one read in one write; one that starts with 'B'
// goes to every connection, one write for each. It has no queue: a client that
// does not read stops it.
package main

import (
	"flag"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/hubwire/hubwire/bench/internal/control"
	"github.com/hubwire/hubwire/internal/wsconn"
)

type server struct {
	mu    sync.RWMutex
	conns map[*conn]struct{}
}

// A conn is one connection. It holds buffers only while a message is incomplete
// or a read is being answered.
type conn struct {
	ws   *wsconn.Conn
	s    *server
	part []byte
	out  *[]byte
	mu   sync.Mutex // writes take turns
}

var outs = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func (c *conn) Data(p []byte, binary, last bool) error {
	if !last || c.part != nil {
		c.part = append(c.part, p...)
		if !last {
			return nil
		}
		p, c.part = c.part, nil
	}
	if len(p) > 0 && p[0] == 'B' {
		c.s.broadcast(p)
		return nil
	}
	if c.out == nil {
		c.out = outs.Get().(*[]byte)
	}
	*c.out = wsconn.AppendFrame(*c.out, !binary, p)
	return nil
}

func (c *conn) Control(frame []byte) { c.write(frame) }

func (c *conn) Idle() error {
	if c.out == nil {
		return nil
	}
	err := c.write(*c.out)
	*c.out = (*c.out)[:0]
	outs.Put(c.out)
	c.out = nil
	return err
}

func (c *conn) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.ws.TryWrite(b)
	if err == nil && n < len(b) {
		err = c.ws.Write(b[n:])
	}
	return err
}

func (s *server) broadcast(p []byte) {
	frame := wsconn.AppendFrame(nil, true, p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.conns {
		c.write(frame) // its reader notices an error
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := wsconn.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &conn{ws: ws, s: s}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go func() { // ends with the connection
		ws.Serve(c)
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	ctl := flag.String("ctl", "", "where the control port listens")
	flag.Parse()
	control.Serve(*ctl)
	srv := &http.Server{Addr: *addr, Handler: &server{conns: map[*conn]struct{}{}}, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
