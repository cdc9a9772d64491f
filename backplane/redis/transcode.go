package redis

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// complete adds the blob that a node with fewer protocols did not publish, made
// of the one it did: ASP.NET Core ends a connection whose blob is missing. What
// is no plain Invocation cannot be translated and stays as it is.
func complete(blobs []hubwire.Blob) []hubwire.Blob {
	hasJSON, hasPack := hasBlob(blobs, "json"), hasBlob(blobs, "messagepack")
	if hasJSON == hasPack {
		return blobs
	}
	for _, b := range blobs {
		switch {
		case hasJSON && b.Protocol == "json":
			if out, ok := packed(b.Bytes); ok {
				return append(blobs, hubwire.Blob{Protocol: "messagepack", Bytes: out})
			}
		case hasPack && b.Protocol == "messagepack":
			if out, ok := unpacked(b.Bytes); ok {
				return append(blobs, hubwire.Blob{Protocol: "json", Bytes: out})
			}
		}
	}
	return blobs
}

// A plain is an Invocation that is nothing else.
type plain struct {
	Type int    `json:"type"`
	ID   string `json:"invocationId"`
	Name string `json:"target"`
	Args []any  `json:"arguments"`
}

func readJSON(b []byte) (m plain, ok bool) {
	if len(b) == 0 || bytes.IndexByte(b, 0x1e) != len(b)-1 {
		return m, false
	}
	d := json.NewDecoder(bytes.NewReader(b[:len(b)-1]))
	d.UseNumber()
	err := d.Decode(&m)
	return m, err == nil && m.Type == 1
}

func packed(b []byte) ([]byte, bool) {
	m, ok := readJSON(b)
	if !ok {
		return nil, false
	}
	out := msgpack.AppendMapHeader(msgpack.AppendInt(msgpack.AppendArrayHeader(nil, 6), 1), 0)
	if m.ID == "" {
		out = msgpack.AppendNil(out)
	} else {
		out = msgpack.AppendString(out, m.ID)
	}
	out, err := msgpack.Codec{}.Append(msgpack.AppendString(out, m.Name), numbers(m.Args).([]any))
	if err != nil {
		return nil, false
	}
	return msgpack.InsertLength(msgpack.AppendArrayHeader(out, 0), 0), true
}

// Translate implements hubwire.Translator: events of ASP.NET Core, for connections
// of wires that it has not.
func (b *Backplane) Translate(x hubwire.Blob) (name string, args []any, ok bool) {
	switch x.Protocol {
	case "json":
		m, ok := readJSON(x.Bytes)
		if !ok || m.ID != "" {
			return "", nil, false
		}
		return m.Name, numbers(m.Args).([]any), true
	case "messagepack":
		m, ok := readPacked(x.Bytes)
		if !ok || m.ID != "" {
			return "", nil, false
		}
		return m.Name, m.Args, true
	}
	return "", nil, false
}

// numbers makes numbers of what a decoder left as text.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		if v == nil {
			return []any{}
		}
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

func readPacked(b []byte) (m plain, ok bool) {
	n, size, err := msgpack.ReadLength(b)
	if err != nil || size == 0 || n != len(b)-size {
		return m, false
	}
	var r reader
	r.Reset(b[size:])
	if _, err := r.array(5); err != nil {
		return m, false
	}
	if t, err := r.ReadInt64(); err != nil || t != 1 {
		return m, false
	}
	if err := r.Skip(); err != nil {
		return m, false
	}
	if m.ID, err = r.text(); err != nil {
		return m, false
	}
	if m.Name, err = r.text(); err != nil {
		return m, false
	}
	raw, err := r.ReadRaw()
	if err != nil {
		return m, false
	}
	return m, (msgpack.Codec{}).Decode(raw, &m.Args) == nil
}

func unpacked(b []byte) ([]byte, bool) {
	m, ok := readPacked(b)
	if !ok {
		return nil, false
	}
	out := []byte(`{"type":1`)
	if m.ID != "" {
		out = jsonwire.AppendString(append(out, `,"invocationId":`...), m.ID)
	}
	out = jsonwire.AppendString(append(out, `,"target":`...), strings.ToValidUTF8(m.Name, "\uFFFD"))
	out = append(out, `,"arguments":[`...)
	for i, a := range m.Args {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = (jsonwire.Codec{}).Append(out, a); err != nil {
			return nil, false
		}
	}
	return append(out, ']', '}', 0x1e), true
}
