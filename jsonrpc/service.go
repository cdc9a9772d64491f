package jsonrpc

import (
	"crypto/rand"

	"github.com/hubwire/hubwire"
)

// A method is a handler of the hub, as calls find it.
type method struct {
	name    string // as the hub has it
	streams bool   // it answers with a stream
	uploads []bool // which parameters are streams; nil where none is
	params  []hubwire.Param
	none    bool // it takes no arguments
}

// A service is a hub as its connections have it in common.
type service struct {
	hub      *hubwire.Hub
	hubOpts  hubwire.Options
	opts     *Options
	d        *dialect
	methods  map[string]*method
	detailed bool
}

// newService makes one. A nil hub is one of the options' handlers. order is the
// default.
func newService(hub *hubwire.Hub, opts *Options, order Order) *service {
	o := opts.withDefaults(order)
	if hub == nil {
		hub = hubwire.New(&hubwire.Options{DetailedErrors: true}) // an end without a hub answers to its own
		for _, h := range o.Handlers {
			hub.Handle(h.Handler())
		}
	} else if len(o.Handlers) > 0 {
		panic("jsonrpc: options: Handlers are for a connection without a hub")
	}
	s := &service{hub: hub, hubOpts: hub.Options(), opts: o, d: dialectOf(o), methods: map[string]*method{}}
	s.detailed = s.hubOpts.DetailedErrors
	for _, h := range hub.Handlers() {
		m := &method{name: h.Name(), streams: h.Kind().Streams()}
		params, known := h.Params()
		m.params, m.none = params, known && len(params) == 0
		for i, p := range params {
			if p.Stream {
				if m.uploads == nil {
					m.uploads = make([]bool, len(params))
				}
				m.uploads[i] = true
			}
		}
		names := []string{m.name}
		if o.Names != nil {
			names = o.Names(m.name)
		}
		for _, name := range names {
			if old := s.methods[name]; old != nil {
				panic("jsonrpc: options: Names gives " + name + " to " + old.name + " and " + m.name)
			}
			s.methods[name] = m
		}
	}
	hub.Expose(s.d)
	return s
}

// newID is the public id of a connection.
func newID() string { return rand.Text()[:22] }
