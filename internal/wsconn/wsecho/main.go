// Command wsecho is a bare echo server on package wsconn: what the codec costs
// without a hub on top, and the other side of tests with foreign clients.
//
//	wsecho [-addr 127.0.0.1:0] [-max 33554432]
//
// It prints its address, answers every message with the same message in one
// frame, and tells its memory after a garbage collection at /gc.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hubwire/hubwire/internal/wsconn"
)

var maxMessage = flag.Int("max", 32<<20, "bytes that a message may have; a longer one is answered by 1009")

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	flag.Parse()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	http.HandleFunc("/gc", gc)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, err := wsconn.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		go c.Serve(&echo{c: c}) // ends with the connection
	})
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.Serve(ln))
}

// gc collects garbage and tells what is left.
func gc(w http.ResponseWriter, r *http.Request) {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	json.NewEncoder(w).Encode(map[string]any{
		"goroutines": runtime.NumGoroutine(), "heap_alloc": m.HeapAlloc, "heap_inuse": m.HeapInuse,
		"stack_inuse": m.StackInuse, "mallocs": m.Mallocs, "pid": os.Getpid(),
	})
}

// An echo answers one connection. It waits for slow clients, which only they feel.
type echo struct {
	c   *wsconn.Conn
	out *[]byte // answers to one read, and a message that is under way
	at  int     // where that message begins
}

var outs = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// header is the room that is kept for the header of a message under way.
const header = 10

func (e *echo) Data(p []byte, binary, last bool) error {
	if e.out == nil {
		e.out = outs.Get().(*[]byte)
	}
	out := *e.out
	if e.at == 0 {
		out = append(out, make([]byte, header)...)
		e.at = len(out)
	}
	n := len(out) - e.at + len(p)
	if n > *maxMessage {
		e.c.Write(wsconn.AppendClose(nil, wsconn.CloseTooBig, ""))
		return nil
	}
	out = append(out, p...)
	if last {
		op := wsconn.OpText
		if binary {
			op = wsconn.OpBinary
		}
		h := wsconn.AppendHeader(out[:e.at-header], op, n)
		if len(h) < e.at {
			out = append(h, out[e.at:]...)
		}
		e.at = 0
	}
	*e.out = out
	return nil
}

func (e *echo) Control(frame []byte) {
	e.Idle() // in the order of what came
	e.write(frame)
}

func (e *echo) Idle() error {
	if e.out == nil {
		return nil
	}
	out := *e.out
	n := len(out)
	if e.at > 0 {
		n = e.at - header
	}
	e.write(out[:n])
	if e.at > 0 {
		if n > 0 {
			*e.out = append(out[:0], out[n:]...)
			e.at = header
		}
		return nil
	}
	if cap(out) <= 64<<10 {
		*e.out = out[:0]
		outs.Put(e.out)
	}
	e.out = nil
	return nil
}

func (e *echo) write(p []byte) {
	n, err := e.c.TryWrite(p)
	if err == nil && n < len(p) {
		e.c.Write(p[n:])
	}
}
