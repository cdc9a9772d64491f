package jsonrpc

import (
	"encoding/binary"
	"strconv"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
	"github.com/hubwire/hubwire/internal/wsconn"
	"github.com/hubwire/hubwire/wire"
)

// A dialect is how a message is written: the hub's protocol.
type dialect struct {
	name  string
	style Style
	v1    bool
	pack  Notation
}

// The dialects. Events of a hub are encoded once for each that is in use.
var (
	dialectPositional = &dialect{name: "jsonrpc"}
	dialectNamed      = &dialect{name: "jsonrpc-named", style: Named}
	dialectVersion1   = &dialect{name: "jsonrpc-1.0", v1: true}

	dialectMessagePack      = &dialect{name: "jsonrpc-msgpack", pack: MessagePack}
	dialectMessagePackNamed = &dialect{name: "jsonrpc-msgpack-named", pack: MessagePack, style: Named}
	dialectNerdbank         = &dialect{name: "jsonrpc-nbmsgpack", pack: NerdbankMessagePack}
	dialectNerdbankNamed    = &dialect{name: "jsonrpc-nbmsgpack-named", pack: NerdbankMessagePack, style: Named}

	dialects = []*dialect{dialectPositional, dialectNamed, dialectVersion1, dialectMessagePack, dialectMessagePackNamed, dialectNerdbank, dialectNerdbankNamed}
)

func dialectOf(o *Options) *dialect {
	for _, d := range dialects {
		if d.v1 == o.Version1 && d.pack == o.Notation && d.style == o.Style {
			return d
		}
	}
	panic("jsonrpc: options: Style is none")
}

// Name is the key of the backplane's blobs.
func (d *dialect) Name() string { return d.name }

// Codec encodes single values.
func (d *dialect) Codec() wire.Codec {
	if d.pack != JSON {
		return msgpack.Codec{}
	}
	return jsonwire.Codec{}
}

// AppendEvent appends a notification, or a request with a string as its id.
func (d *dialect) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	return d.AppendNamed(dst, name, callID, nil, nil, args)
}

// AppendEventHeaders appends the same with a trace context.
func (d *dialect) AppendEventHeaders(dst []byte, name, callID string, headers map[string]string, args [][]byte) ([]byte, error) {
	return d.AppendNamed(dst, name, callID, headers, nil, args)
}

// AppendNamed appends the same with names of the arguments.
func (d *dialect) AppendNamed(dst []byte, name, callID string, headers map[string]string, names []string, args [][]byte) ([]byte, error) {
	if d.pack != JSON {
		return d.namedPacked(dst, name, callID, headers, names, args), nil
	}
	dst = d.open(dst)
	if callID != "" {
		dst = append(dst, `"id":`...)
		dst = jsonwire.AppendString(dst, callID)
		dst = append(dst, ',')
	}
	dst = append(dst, `"method":`...)
	dst = jsonwire.AppendString(dst, name)
	switch {
	case d.style == Named && names == nil && len(args) == 1 && args[0][0] == '{':
		dst = append(dst, `,"params":`...)
		dst = append(dst, args[0]...)
	case d.style == Named && len(args) == 0:
	case d.style == Named && names != nil:
		dst = append(dst, `,"params":{`...)
		for i, a := range args {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonwire.AppendString(dst, names[i])
			dst = append(dst, ':')
			dst = append(dst, a...)
		}
		dst = append(dst, '}')
	default:
		dst = append(dst, `,"params":[`...)
		for i, a := range args {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, a...)
		}
		dst = append(dst, ']')
	}
	dst = appendTrace(dst, headers)
	if d.v1 && callID == "" {
		dst = append(dst, `,"id":null`...)
	}
	return append(dst, '}'), nil
}

func (d *dialect) open(dst []byte) []byte {
	if d.v1 {
		return append(dst, '{')
	}
	return append(dst, `{"jsonrpc":"2.0",`...)
}

func appendTrace(dst []byte, headers map[string]string) []byte {
	if headers == nil || headers["traceparent"] == "" {
		return dst
	}
	for _, name := range [...]string{"traceparent", "tracestate"} {
		if v := headers[name]; v != "" {
			dst = append(append(append(dst, `,"`...), name...), `":`...)
			dst = jsonwire.AppendString(dst, v)
		}
	}
	return dst
}

// appendCall appends a request, or a notification where id is 0.
func (d *dialect) appendCall(dst []byte, id uint64, c *wire.OutCall, args []any, codec wire.Codec, headers map[string]string) ([]byte, error) {
	names := c.Names
	if len(c.Places) > 0 || len(c.Uploads) > 0 {
		names = nil
	}
	if d.pack != JSON {
		return d.callPacked(dst, id, c, names, args, codec, headers)
	}
	dst = d.open(dst)
	if id != 0 {
		dst = append(dst, `"id":`...)
		dst = strconv.AppendUint(dst, id, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"method":`...)
	dst = jsonwire.AppendString(dst, c.Name)
	named := d.style == Named
	var err error
	switch {
	case named && len(args) == 0:
	case named && names == nil && len(args) == 1:
		dst = append(dst, `,"params":`...)
		at := len(dst)
		if dst, err = codec.Append(dst, args[0]); err != nil {
			return nil, err
		}
		if dst[at] != '{' { // not an object: an array with it
			dst = append(dst, 0, 0)
			copy(dst[at+1:], dst[at:len(dst)-2])
			dst[at], dst[len(dst)-1] = '[', ']'
		}
	case named && names != nil:
		dst = append(dst, `,"params":{`...)
		for i, a := range args {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonwire.AppendString(dst, names[i])
			dst = append(dst, ':')
			if dst, err = codec.Append(dst, a); err != nil {
				return nil, err
			}
		}
		dst = append(dst, '}')
	default:
		dst = append(dst, `,"params":[`...)
		for i, a := range args {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = codec.Append(dst, a); err != nil {
				return nil, err
			}
		}
		dst = append(dst, ']')
	}
	dst = appendTrace(dst, headers)
	if d.v1 && id == 0 {
		dst = append(dst, `,"id":null`...)
	}
	return append(dst, '}'), nil
}

// appendResult appends the answer to the request with that id.
func (d *dialect) appendResult(dst, id []byte, v any, codec wire.Codec) ([]byte, error) {
	if d.pack != JSON {
		return d.resultPacked(dst, id, v, codec)
	}
	dst = d.open(dst)
	dst = append(dst, `"id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"result":`...)
	dst, err := codec.Append(dst, v)
	if err != nil {
		return nil, err
	}
	if d.v1 {
		dst = append(dst, `,"error":null`...)
	}
	return append(dst, '}'), nil
}

// maxErrorData is how much data an error may carry: a fault that is deeply nested
// must not cost more than the request that made it.
const maxErrorData = 64 << 10

// appendError appends an error as the answer to the request with that id. Data
// that cannot be encoded, or is too large, is left out.
func (d *dialect) appendError(dst, id []byte, e *Error, codec wire.Codec) []byte {
	if d.pack != JSON {
		return d.errorPacked(dst, id, e, codec)
	}
	dst = d.open(dst)
	dst = append(dst, `"id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, e.Code, 10)
	dst = append(dst, `,"message":`...)
	dst = jsonwire.AppendString(dst, e.Message)
	if e.Data != nil {
		if data, err := codec.Append(nil, e.Data); err == nil && len(data) <= maxErrorData {
			dst = append(dst, `,"data":`...)
			dst = append(dst, data...)
		}
	}
	dst = append(dst, '}')
	if d.v1 {
		dst = append(dst, `,"result":null`...)
	}
	return append(dst, '}')
}

// framed marks a record that is made of whole frames already: no message begins
// with this byte.
const framed = 0x01

// A format puts messages on a transport: a wire.Framing.
type format struct {
	d *dialect
	f Framing
}

// formats are all there are, so that equal ones are the same.
var formats = func() map[format]*format {
	m := map[format]*format{}
	for _, d := range dialects {
		for f := Header; f <= wsBinary; f++ {
			x := format{d, f}
			m[x] = &x
		}
	}
	return m
}()

func formatOf(d *dialect, f Framing) *format { return formats[format{d, f}] }

// Protocol is the dialect.
func (f *format) Protocol() wire.Protocol { return f.d }

// Append appends the records, each in a frame of its own.
func (f *format) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		if len(r.Bytes) > 0 && r.Bytes[0] == framed {
			dst = append(dst, r.Bytes[1:]...)
			continue
		}
		dst = f.put(dst, r.Bytes)
	}
	return dst
}

func (f *format) put(dst, body []byte) []byte {
	switch f.f {
	case Newline:
		dst = append(dst, body...)
		return append(dst, '\n')
	case Length:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	case wsText:
		dst = wsconn.AppendHeader(dst, wsconn.OpText, len(body))
	case wsBinary:
		dst = wsconn.AppendHeader(dst, wsconn.OpBinary, len(body))
	default:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(body)), 10)
		dst = append(dst, "\r\n\r\n"...)
	}
	return append(dst, body...)
}
