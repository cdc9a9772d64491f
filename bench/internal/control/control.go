// Package control is the second port of the servers in this module: what the
// benchmark asks them about themselves, away from the port that it measures.
package control

import (
	"encoding/json"
	"log"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Serve answers on addr until the process ends:
//
//   - GET /gc collects garbage twice (a collection may halve each stack once),
//     gives memory back to the system and answers with the figures of memory;
//   - GET /stats answers with the number of allocations so far, and stops
//     nobody;
//   - GET /debug/pprof/ is net/http/pprof.
//
// An empty addr means no control port.
func Serve(addr string) {
	if addr == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gc", gc)
	mux.HandleFunc("GET /stats", stats)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	go func() { log.Fatal(http.ListenAndServe(addr, mux)) }() // ends with the process
}

func gc(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	json.NewEncoder(w).Encode(map[string]any{
		"goroutines":  runtime.NumGoroutine(),
		"heap_alloc":  m.HeapAlloc,
		"heap_inuse":  m.HeapInuse,
		"heap_objs":   m.HeapObjects,
		"stack_inuse": m.StackInuse,
		"other_sys":   m.OtherSys + m.GCSys + m.MSpanInuse + m.MCacheInuse,
		"mallocs":     m.Mallocs,
	})
}

func stats(w http.ResponseWriter, _ *http.Request) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	json.NewEncoder(w).Encode(map[string]any{
		"mallocs":      s[0].Value.Uint64() + s[1].Value.Uint64(),
		"malloc_bytes": s[2].Value.Uint64(),
		"goroutines":   runtime.NumGoroutine(),
	})
}
