package hubwire

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hubwire/hubwire/wire"
)

// An encoder holds what encoding one message needs.
type encoder struct {
	args []any
	buf  []byte
	ends []int
	raw  [][]byte
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

func (e *encoder) free() {
	clear(e.args)
	clear(e.raw)
	if cap(e.buf) <= 64<<10 {
		encoders.Put(e)
	}
}

// split makes arguments of what m says.
func (e *encoder) split(m *message) (err error) {
	if e.args, _, err = m.lay.split(m.v, e.args[:0], nil); err != nil {
		err = fmt.Errorf("hubwire: %s: %w", m.name, err)
	}
	return err
}

// encode encodes the arguments once for a codec. The result is valid until the
// next call.
func (e *encoder) encode(codec wire.Codec, m *message) ([][]byte, error) {
	e.buf, e.ends, e.raw = e.buf[:0], e.ends[:0], e.raw[:0]
	for i, v := range e.args {
		var err error
		if e.buf, err = codec.Append(e.buf, v); err != nil {
			e.buf = nil
			return nil, fmt.Errorf("hubwire: %s: argument %d: %w", m.name, i, err)
		}
		e.ends = append(e.ends, len(e.buf))
	}
	from := 0
	for _, to := range e.ends {
		e.raw = append(e.raw, e.buf[from:to:to])
		from = to
	}
	return e.raw, nil
}

// encodeFor appends m in one protocol.
func encodeFor(dst []byte, p wire.Protocol, m *message, callID string) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.free()
	if err := e.split(m); err != nil {
		return nil, err
	}
	raw, err := e.encode(p.Codec(), m)
	if err != nil {
		return nil, err
	}
	return appendEvent(dst, p, m, callID, raw)
}

// appendEvent appends one message whose arguments are encoded.
func appendEvent(dst []byte, p wire.Protocol, m *message, callID string, raw [][]byte) ([]byte, error) {
	var headers map[string]string
	if w, ok := p.(withHeaders); ok {
		if n, ok := w.HeaderProtocol.(wire.NamedProtocol); ok {
			p, headers = n, w.headers
		}
	}
	if n, ok := p.(wire.NamedProtocol); ok {
		return n.AppendNamed(dst, m.name, callID, headers, m.lay.names, raw)
	}
	return p.AppendEvent(dst, m.name, callID, raw)
}

// encode encodes m in every protocol in use. Where there is none, it only tells
// whether m can be encoded.
func (h *Hub) encode(m *message) (*encoded, error) {
	ev := &encoded{key: m.key, ps: h.inUse.Load()}
	ps := *ev.ps
	if len(ps) == 0 {
		h.mu.RLock()
		exposed := h.exposed
		h.mu.RUnlock()
		if len(exposed) > 0 {
			_, err := encodeFor(nil, exposed[0], m, "")
			return ev, err
		}
		return ev, nil
	}
	return ev, h.encodeIn(ev, ps, m, "")
}

func (h *Hub) encodeIn(ev *encoded, ps []wire.Protocol, m *message, callID string) error {
	e := encoders.Get().(*encoder)
	defer e.free()
	if err := e.split(m); err != nil {
		return err
	}
	ev.recs = ev.inline[:0]
	var codec wire.Codec
	var raw [][]byte
	for _, p := range ps {
		if c := p.Codec(); raw == nil || c != codec {
			var err error
			if raw, err = e.encode(c, m); err != nil {
				return err
			}
			codec = c
		}
		n := 32 + len(m.name)
		for _, a := range raw {
			n += len(a) + 1
		}
		b, err := appendEvent(make([]byte, 0, n), p, m, callID, raw)
		if callID != "" && errors.Is(err, wire.ErrNoAnswer) {
			continue // a connection of this protocol has not the answer anyway
		}
		if err != nil {
			return fmt.Errorf("hubwire: event %s: %w", m.name, err)
		}
		ev.recs = append(ev.recs, protoRecord{p, wire.Record{Bytes: b}})
	}
	return nil
}
