//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	hubwire "github.com/hubwire/hubwire/sse"
	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

// order is that of the table.
var order = []string{"hubwire", "hubwire-detached", "tmaxmax", "r3labs", "launchdarkly"}

// flushesLate are servers whose head comes with the first event.
var flushesLate = map[string]bool{"tmaxmax": true}

// servers are handlers and publishers.
var servers = map[string]func() (http.Handler, func(string)){
	"hubwire":          func() (http.Handler, func(string)) { return ours(false) },
	"hubwire-detached": func() (http.Handler, func(string)) { return ours(true) },
	"tmaxmax": func() (http.Handler, func(string)) {
		s := &tmaxmax.Server{}
		return s, func(data string) {
			m := &tmaxmax.Message{}
			m.AppendData(data)
			if err := s.Publish(m); err != nil {
				panic(err)
			}
		}
	},
	"r3labs": func() (http.Handler, func(string)) {
		s := r3labs.New()
		s.AutoReplay = false
		s.CreateStream("a")
		return s, func(data string) { s.Publish("a", &r3labs.Event{Data: []byte(data)}) }
	},
	"launchdarkly": func() (http.Handler, func(string)) {
		s := eventsource.NewServer()
		s.BufferSize = 16384 // else it ends subscribers that are 128 events behind
		return s.Handler("a"), func(data string) { s.Publish([]string{"a"}, event(data)) }
	},
}

func ours(detach bool) (http.Handler, func(string)) {
	t := hubwire.NewTopics(&hubwire.TopicsOptions{Stream: hubwire.Options{Detach: detach}})
	h := t.Handler(func(*http.Request) ([]string, error) { return []string{"a"}, nil })
	return h, func(data string) {
		if _, err := t.Publish("a", hubwire.Event[string]{Data: data}); err != nil {
			panic(err)
		}
	}
}

// event is launchdarkly's.
type event string

func (e event) Id() string    { return "" }
func (e event) Event() string { return "" }
func (e event) Data() string  { return string(e) }

// serve is one server's process.
func serve(name string) error {
	make := servers[name]
	if make == nil {
		return fmt.Errorf("no server %q", name)
	}
	h, publish := make()
	mux := http.NewServeMux()
	mux.Handle("/events", h)
	mux.HandleFunc("/publish", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		pause, _ := time.ParseDuration(r.URL.Query().Get("pause"))
		data := strings.Repeat("x", 99) + "~"
		for range n {
			publish(data)
			if pause > 0 {
				time.Sleep(pause)
			}
		}
		fmt.Fprintln(w, "{}")
	})
	mux.HandleFunc("/state", func(w http.ResponseWriter, r *http.Request) {
		debug.FreeOSMemory()
		usage(w)
	})
	mux.HandleFunc("/usage", func(w http.ResponseWriter, r *http.Request) { usage(w) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, mux)
}

func usage(w http.ResponseWriter) {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := state{CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), Mallocs: m.Mallocs}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			s.RSS = pages * int64(os.Getpagesize())
		}
	}
	json.NewEncoder(w).Encode(s)
}
