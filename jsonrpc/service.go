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
	known   bool // params are all that there are
	none    bool // it takes no arguments
	refs    bool // there may be references in its arguments or its result

	handler  *hubwire.Handler // of an object; nil: the hub has it by name
	flexible bool
	required []string // of a flexible one
}

// newMethod makes one.
func newMethod(h hubwire.Handler) *method {
	m := &method{name: h.Name(), streams: h.Kind().Streams()}
	m.params, m.known = h.Params()
	m.none = m.known && len(m.params) == 0
	for i, p := range m.params {
		if p.Stream {
			if m.uploads == nil {
				m.uploads = make([]bool, len(m.params))
			}
			m.uploads[i] = true
		}
		m.refs = m.refs || holdingOf(p.Type) == holdsSome
	}
	m.refs = m.refs || h.Result() != nil && holdingOf(h.Result()) != holdsNone
	return m
}

// A service is a hub as its connections have it in common.
type service struct {
	hub      *hubwire.Hub
	hubOpts  hubwire.Options
	opts     *Options
	d        *dialect
	methods  map[string]*method
	detailed bool

	described description
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
	own := map[string]bool{}
	for _, h := range hub.Handlers() {
		own[h.Name()] = true
	}
	for _, h := range hub.Handlers() {
		m := newMethod(h)
		if o.Flexible != nil {
			m.required, m.flexible = o.Flexible(m.name)
		}
		names := []string{m.name}
		if o.Names != nil {
			names = o.Names(m.name)
		}
		for _, name := range names {
			if name != m.name && own[name] {
				continue // another's own name comes first
			}
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
