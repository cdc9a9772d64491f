package hubwire

import (
	"reflect"

	"github.com/hubwire/hubwire/wire"
)

var listLayout, _ = layoutOf(reflect.TypeFor[List]()) // which it has

// translate adds to an event the protocols of which it has no blob, as far as the
// backplane can read one: nodes of ASP.NET Core publish those of SignalR alone.
func (r *remote) translate(ev *encoded, m *Message) {
	t, ok := r.bp.(Translator)
	if !ok {
		return
	}
	for _, b := range m.Blobs {
		name, args, ok := t.Translate(b)
		if !ok {
			continue
		}
		msg := &message{name: name, lay: listLayout, v: List(args)}
		for _, p := range *ev.ps {
			if _, has := ev.in(p); has {
				continue
			}
			rec, err := encodeFor(nil, p, msg, "")
			if err != nil {
				r.h.log.Info("hubwire: an event of another program cannot be said in a protocol", "hub", r.h.opts.Name, "event", name, "protocol", p.Name(), "err", err)
				continue
			}
			ev.recs = append(ev.recs, protoRecord{p, wire.Record{Bytes: rec}})
		}
		return
	}
}
