package signalr

import (
	"maps"
	"slices"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

// The members of each message stand in the order in which .NET writes them.

// AppendEvent appends an Invocation (J21, J22).
func (j *jsonProtocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	return j.AppendEventHeaders(dst, name, callID, nil, args)
}

// AppendEventHeaders appends an Invocation with headers, for trace hooks.
func (*jsonProtocol) AppendEventHeaders(dst []byte, name, callID string, headers map[string]string, args [][]byte) ([]byte, error) {
	dst = append(dst, `{"type":1,`...)
	if len(headers) > 0 {
		dst = append(dst, `"headers":{`...)
		for i, k := range sortedKeys(headers) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(jsonwire.AppendString(dst, k), ':')
			dst = jsonwire.AppendString(dst, headers[k])
		}
		dst = append(dst, '}', ',')
	}
	if callID != "" {
		dst = append(dst, `"invocationId":`...)
		dst = jsonwire.AppendString(dst, callID)
		dst = append(dst, ',')
	}
	dst = append(dst, `"target":`...)
	dst = jsonwire.AppendString(dst, name)
	dst = append(dst, `,"arguments":[`...)
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, a...)
	}
	return append(dst, ']', '}', recordSeparator), nil
}

// sortedKeys makes the order of headers certain.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func (j *jsonProtocol) appendItem(dst, id []byte, item any) ([]byte, error) {
	dst = append(dst, `{"type":2,"invocationId":`...)
	dst = jsonwire.AppendStringBytes(dst, id)
	dst = append(dst, `,"item":`...)
	return j.appendValue(dst, item)
}

func (j *jsonProtocol) appendResult(dst, id []byte, result any) ([]byte, error) {
	dst = append(dst, `{"type":3,"invocationId":`...)
	dst = jsonwire.AppendStringBytes(dst, id)
	dst = append(dst, `,"result":`...)
	return j.appendValue(dst, result)
}

func (j *jsonProtocol) appendValue(dst []byte, v any) ([]byte, error) {
	dst, err := j.codec.Append(dst, v)
	if err != nil {
		return dst, err
	}
	return append(dst, '}', recordSeparator), nil
}

func (*jsonProtocol) appendEnd(dst, id []byte) []byte {
	dst = append(dst, `{"type":3,"invocationId":`...)
	dst = jsonwire.AppendStringBytes(dst, id)
	return append(dst, '}', recordSeparator)
}

// appendFailure: an empty text is written as no error, as in .NET.
func (j *jsonProtocol) appendFailure(dst, id []byte, text string) []byte {
	if text == "" {
		return j.appendEnd(dst, id)
	}
	dst = append(dst, `{"type":3,"invocationId":`...)
	dst = jsonwire.AppendStringBytes(dst, id)
	dst = append(dst, `,"error":`...)
	dst = jsonwire.AppendString(dst, text)
	return append(dst, '}', recordSeparator)
}

func (*jsonProtocol) appendClose(dst []byte, text *string, reconnect bool) []byte {
	dst = append(dst, `{"type":7`...)
	if text != nil {
		dst = append(dst, `,"error":`...)
		dst = jsonwire.AppendString(dst, *text)
	}
	if reconnect {
		dst = append(dst, `,"allowReconnect":true`...)
	}
	return append(dst, '}', recordSeparator)
}

func (*jsonProtocol) appendPing(dst []byte) []byte {
	return append(dst, `{"type":6}`+"\x1e"...)
}
