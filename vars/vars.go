// Package vars counts what hubs do on expvar.
//
// Importing expvar registers /debug/vars on http.DefaultServeMux, for everybody
// who reaches that mux; use another mux for the public.
package vars

import (
	"expvar"
	"sync"
)

// Vars is a hubwire.Metrics on an expvar.Map.
//
// A counter is one key of the map: its name, and its label behind a dot where
// there is one ("connections.signalr", "queued_bytes").
type Vars struct {
	m    *expvar.Map
	keys sync.Map // key -> the name in the map
}

type key struct{ name, label string }

// New publishes a map under name, such as "hubwire". It panics where the name
// is taken.
func New(name string) *Vars { return &Vars{m: expvar.NewMap(name)} }

// Add implements hubwire.Metrics.
func (v *Vars) Add(name, label string, n int64) {
	k := key{name, label}
	full, ok := v.keys.Load(k)
	if !ok {
		s := name
		if label != "" {
			s += "." + label
		}
		full, _ = v.keys.LoadOrStore(k, s)
	}
	v.m.Add(full.(string), n)
}

// Map is the published map.
func (v *Vars) Map() *expvar.Map { return v.m }
