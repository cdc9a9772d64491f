package jsonrpc

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// callExtra is what few calls need.
type callExtra struct {
	called string // the name that the peer used, where it is another
	ends   []func(failed bool)
}

func (k *inCall) more() *callExtra {
	if k.extra == nil {
		k.extra = &callExtra{}
	}
	return k.extra
}

// atEnd has fn called when the call is about to be answered.
func (k *inCall) atEnd(fn func(failed bool)) {
	x := k.more()
	x.ends = append(x.ends, fn)
}

// end is called when the answer is written, and before it is sent.
func (k *inCall) end(failed bool) {
	k.over.Store(true)
	if k.extra != nil {
		for _, fn := range k.extra.ends {
			fn(failed)
		}
	}
}

// bend makes the named arguments of a flexible method those that it takes.
func (k *inCall) bend() {
	m := k.method
	for name := range k.Args.Named {
		if !slices.ContainsFunc(m.params, func(p hubwire.Param) bool { return p.Name == name }) {
			delete(k.Args.Named, name)
		}
	}
	for _, p := range m.params {
		if _, ok := k.Args.Named[p.Name]; ok || p.Optional || p.Stream || slices.Contains(m.required, p.Name) {
			continue
		}
		if raw, err := k.conn.svc.d.Codec().Append(nil, reflect.Zero(p.Type).Interface()); err == nil {
			k.Args.Named[p.Name] = raw
		}
	}
}

// fault is what the peer is told of the call's failure.
func (k *inCall) fault(err error) *Error {
	c := k.conn
	if f, ok := err.(*wire.Fault); ok {
		switch f.Kind {
		case wire.BadArguments, wire.WrongStreams:
			return k.badArguments(f, c.svc.detailed)
		}
	}
	return errorOf(err, c.svc.detailed, c.opts.ErrorData)
}

// badArguments says what is wrong with the arguments, in StreamJsonRpc's words.
func (k *inCall) badArguments(f *wire.Fault, detailed bool) *Error {
	name := k.Name
	if k.extra != nil && k.extra.called != "" {
		name = k.extra.called
	}
	return &Error{Code: CodeInvalidParams, Message: unableText(name, k.given, k.reason(name, f, detailed))}
}

func (k *inCall) reason(name string, f *wire.Fault, detailed bool) string {
	m := k.method
	least, most := 0, len(m.params)
	for _, p := range m.params {
		if !p.Optional {
			least++
		}
	}
	whole := k.Args.Named != nil && len(m.params) == 1 && m.params[0].Name == "" // the object is the argument
	switch {
	case !m.known || whole:
	case k.given > most:
		var types []string
		for _, p := range m.params {
			types = append(types, p.Type.String())
		}
		return fmt.Sprintf("%s(%s) parameter(s) (excluding any CancellationToken): %d - %d, but the request supplies %d", name, strings.Join(types, ", "), least, most, k.given)
	case k.given < least:
		return missingText
	case k.Args.Named != nil:
		for _, p := range m.params {
			if _, ok := k.Args.Named[p.Name]; !ok && !p.Optional && !p.Stream {
				return missingText
			}
		}
	}
	why := ""
	var own *Error
	switch {
	case errors.As(f.Err, &own):
		why = own.Message
	case detailed && f.Err != nil:
		why = f.Err.Error()
		if inner := errors.Unwrap(f.Err); inner != nil {
			why = inner.Error()
		}
	}
	at := 0
	for i, p := range m.params {
		if p.Stream {
			continue
		}
		raw, ok := k.Args.Named[p.Name]
		if k.Args.Named == nil || whole {
			if ok = at < len(k.Args.List); ok {
				raw = k.Args.List[at]
			}
		}
		at++
		if !ok {
			continue
		}
		if err := k.conn.svc.d.Codec().Decode(raw, reflect.New(p.Type).Interface()); err != nil {
			if detailed {
				why = err.Error()
			}
			return decodeText(p.Name, i, p.Type.String()) + why
		}
	}
	if why == "" {
		why = "The arguments do not fit."
	}
	return why
}

const unserializableText = "An error occured during serialization." // so it is spelt
