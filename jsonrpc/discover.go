package jsonrpc

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/fields"
	"github.com/hubwire/hubwire/wire"
)

// discoverMethod is the one that OpenRPC names.
const discoverMethod = "rpc.discover"

// Info is what a description says of a service. With Options.Discover set, the
// method rpc.discover answers with an OpenRPC document: the hub's methods, their
// parameters and results, with JSON schemas of their Go types. It is answered
// without the hub, so no filter hides it: who may connect can read it.
type Info struct {
	// Title is what the service is called. Defaults to the hub's name, or "hubwire".
	Title string
	// Version is that of the service. Defaults to "0".
	Version string
	// Description is for people, in Markdown.
	Description string
}

// A document is an OpenRPC document (version 1.3.2), as far as hubs have what it
// can say.
type document struct {
	OpenRPC    string        `json:"openrpc"`
	Info       documentInfo  `json:"info"`
	Methods    []methodEntry `json:"methods"`
	Components struct {
		Schemas map[string]schema `json:"schemas,omitempty"`
	} `json:"components"`
}

type documentInfo struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

type methodEntry struct {
	Name      string       `json:"name"`
	Structure string       `json:"paramStructure"`
	Params    []valueEntry `json:"params"`
	Result    *valueEntry  `json:"result"`
}

type valueEntry struct {
	Name     string `json:"name"`
	Required bool   `json:"required,omitempty"`
	Schema   schema `json:"schema"`
	Stream   bool   `json:"x-stream,omitempty"`
}

// A schema is a JSON schema (draft 7).
type schema map[string]any

// A description is made on first use.
type description struct {
	once  sync.Once
	value any // in whatever notation
}

// describe is the document.
func (s *service) describe() any {
	s.described.once.Do(func() {
		b, err := json.Marshal(s.document())
		if err != nil { // a schema is made of strings and numbers
			panic("jsonrpc: discover: " + err.Error())
		}
		s.described.value = json.RawMessage(b)
		if s.opts.Notation != JSON {
			s.described.value = nil
			_ = json.Unmarshal(b, &s.described.value) // it was just marshaled
		}
	})
	return s.described.value
}

func (s *service) document() *document {
	info := *s.opts.Discover
	d := &document{OpenRPC: "1.3.2", Info: documentInfo{info.Title, info.Version, info.Description}, Methods: []methodEntry{}}
	if d.Info.Title == "" {
		d.Info.Title = s.hubOpts.Name
	}
	if d.Info.Title == "" {
		d.Info.Title = "hubwire"
	}
	if d.Info.Version == "" {
		d.Info.Version = "0"
	}
	x := &schemas{names: map[reflect.Type]string{}, all: map[string]schema{}}
	for _, h := range s.hub.Handlers() {
		names := []string{h.Name()}
		if s.opts.Names != nil {
			names = s.opts.Names(h.Name())
		}
		for _, name := range names {
			m := x.method(h)
			m.Name = name
			d.Methods = append(d.Methods, m)
		}
	}
	d.Components.Schemas = x.all
	return d
}

// method describes a handler.
func (x *schemas) method(h hubwire.Handler) methodEntry {
	m := methodEntry{Structure: "by-position", Params: []valueEntry{}}
	params, known := h.Params()
	switch {
	case !known:
		m.Params = append(m.Params, valueEntry{Name: "arguments", Schema: schema{}})
	case len(params) == 1 && params[0].Name == "" && !params[0].Stream && isObject(params[0].Type):
		// The argument itself is the object of named parameters.
		m.Structure = "by-name"
		for _, f := range fields.Of(deref(params[0].Type), "json") {
			m.Params = append(m.Params, valueEntry{Name: f.Name, Required: required(f), Schema: x.of(f.Type)})
		}
	default:
		named := true
		for i, p := range params {
			name := p.Name
			if named = named && name != ""; name == "" {
				name = fmt.Sprintf("arg%d", i+1)
			}
			v := valueEntry{Name: name, Required: !p.Optional, Schema: x.of(p.Type), Stream: p.Stream}
			if p.Stream {
				v.Schema = sequenceOf(v.Schema)
			}
			m.Params = append(m.Params, v)
		}
		if named {
			m.Structure = "either"
		}
	}
	m.Result = &valueEntry{Name: "result", Schema: schema{"type": "null"}}
	if t := h.Result(); t != nil && t != reflect.TypeFor[hubwire.None]() {
		m.Result.Schema = x.of(t)
	}
	if h.Kind() == wire.ServerStream || h.Kind() == wire.BidiStream {
		m.Result.Schema, m.Result.Stream = sequenceOf(m.Result.Schema), true
	}
	return m
}

// sequenceOf describes what stands in place of a sequence of such items.
func sequenceOf(item schema) schema {
	return schema{"type": "object", "properties": schema{
		"token":  schema{"description": "for $/enumerator/next; absent where values are all"},
		"values": schema{"type": "array", "items": item},
	}}
}

// schemas are the schemas of types. Those of structs are kept apart by name, as
// they may contain themselves.
type schemas struct {
	names map[reflect.Type]string
	all   map[string]schema
}

var (
	rawType      = reflect.TypeFor[json.RawMessage]()
	numberType   = reflect.TypeFor[json.Number]()
	marshalType  = reflect.TypeFor[json.Marshaler]()
	textType     = reflect.TypeFor[encoding.TextMarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
)

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// isObject reports whether values of a type are objects with known members.
func isObject(t reflect.Type) bool {
	t = deref(t)
	return t.Kind() == reflect.Struct && !implements(t, marshalType) && !implements(t, textType)
}

func implements(t, what reflect.Type) bool {
	return t.Implements(what) || reflect.PointerTo(t).Implements(what)
}

// required reports whether a field is always there.
func required(f fields.Field) bool {
	return !f.OmitEmpty && !f.OmitZero && f.Type.Kind() != reflect.Pointer
}

// of describes the JSON of a type, by the rules of encoding/json.
func (x *schemas) of(t reflect.Type) schema {
	switch {
	case t == timeType:
		return schema{"type": "string", "format": "date-time"}
	case t == numberType:
		return schema{"type": "number"}
	case t == durationType:
		return schema{"type": "integer", "description": "nanoseconds"}
	case t == rawType:
		return schema{}
	case t.Kind() == reflect.Pointer:
		return nullable(x.of(t.Elem()))
	case t.Kind() != reflect.Interface && implements(t, marshalType):
		return schema{}
	case t.Kind() != reflect.Interface && implements(t, textType):
		return schema{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return schema{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && !implements(t.Elem(), marshalType) && !implements(t.Elem(), textType) {
			return nullable(schema{"type": "string", "contentEncoding": "base64"})
		}
		return nullable(schema{"type": "array", "items": x.of(t.Elem())})
	case reflect.Array:
		return schema{"type": "array", "items": x.of(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return nullable(schema{"type": "object", "additionalProperties": x.of(t.Elem())})
	case reflect.Struct:
		return x.object(t)
	}
	return schema{} // an interface: anything
}

// nullable is a schema whose value may be null too.
func nullable(s schema) schema {
	if len(s) == 0 {
		return s
	}
	if t, ok := s["type"].(string); ok {
		s["type"] = []string{t, "null"}
		return s
	}
	if _, ok := s["type"]; ok {
		return s
	}
	return schema{"anyOf": []schema{s, {"type": "null"}}}
}

// object describes a struct, where it has a name by reference.
func (x *schemas) object(t reflect.Type) schema {
	if t.Name() == "" {
		return x.members(t)
	}
	name, ok := x.names[t]
	if !ok {
		base := strings.NewReplacer("[", "_", "]", "", "/", ".", ",", "_", "*", "", " ", "").Replace(t.Name())
		name = base
		for i := 2; x.all[name] != nil; i++ {
			name = fmt.Sprintf("%s%d", base, i)
		}
		x.names[t] = name
		x.all[name] = schema{} // it may contain itself
		x.all[name] = x.members(t)
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

func (x *schemas) members(t reflect.Type) schema {
	props := schema{}
	needed := []string{}
	for _, f := range fields.Of(t, "json") {
		props[f.Name] = x.of(f.Type)
		if required(f) {
			needed = append(needed, f.Name)
		}
	}
	s := schema{"type": "object", "properties": props}
	if len(needed) > 0 {
		s["required"] = needed
	}
	return s
}
