package grpcwire

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// Metadata are headers or trailers of a call: names in lower case, values of
// names that end in -bin as raw bytes. It is what grpc-go's metadata.MD is.
type Metadata map[string][]string

// Get is the first value of a name, or "".
func (m Metadata) Get(name string) string {
	if v := m[strings.ToLower(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// protocolHeaders are headers that are not metadata.
var protocolHeaders = map[string]bool{"Content-Type": true, "Te": true, "Grpc-Timeout": true, "Grpc-Encoding": true, "Grpc-Accept-Encoding": true}

// incoming is the metadata of a request. Binary values are decoded, those that
// came as one list taken apart.
func incoming(r *http.Request) (Metadata, *Status) {
	md := make(Metadata, len(r.Header)+1)
	for name, values := range r.Header {
		if protocolHeaders[name] {
			continue
		}
		key := strings.ToLower(name)
		if !strings.HasSuffix(key, "-bin") {
			md[key] = slices.Clip(values)
			continue
		}
		for _, list := range values {
			var ok bool
			if md[key], ok = appendBinary(md[key], list); !ok {
				return nil, fail(13, "The value of "+key+" is not base64.")
			}
		}
	}
	md[":authority"] = []string{r.Host}
	return md, nil
}

// appendBinary decodes a list of base64 values, padded or not. An empty list is
// one empty value.
func appendBinary(dst []string, list string) ([]string, bool) {
	for v := range strings.SplitSeq(list, ",") {
		v = strings.Trim(v, " \t")
		if len(v)%4 == 0 {
			v = strings.TrimSuffix(strings.TrimSuffix(v, "="), "=")
		}
		if strings.ContainsAny(v, "=\r\n") { // base64 would skip the line breaks
			return nil, false
		}
		b, err := base64.RawStdEncoding.DecodeString(v)
		if err != nil {
			return nil, false
		}
		dst = append(dst, string(b))
	}
	return dst, true
}

// reserved reports whether a name is the protocol's, or HTTP's, and not for
// handlers to set.
func reserved(key string) bool {
	switch key {
	case "", "content-type", "content-length", "content-encoding", "te", "trailer", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade", "host", "date":
		return true
	}
	return key[0] == ':' || strings.HasPrefix(key, "grpc-")
}

func validKey(key string) bool {
	for _, c := range []byte(key) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return key != ""
}

func validValue(v string) bool {
	for _, c := range []byte(v) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// merge adds what a handler sets. Names become lower case; what cannot be sent
// is an error, and the protocol's own names are passed over.
func (m *Metadata) merge(add Metadata) error {
	for key, values := range add {
		key = strings.ToLower(key)
		if reserved(key) {
			continue
		}
		if !validKey(key) {
			return fail(13, "The metadata name "+encodeMessage(key)+" is not valid.")
		}
		binary := strings.HasSuffix(key, "-bin")
		for _, v := range values {
			if !binary && !validValue(v) {
				return fail(13, "The metadata value of "+key+" is not printable ASCII.")
			}
		}
		if *m == nil {
			*m = Metadata{}
		}
		(*m)[key] = append((*m)[key], values...)
	}
	return nil
}

// fields are the metadata as they are sent, by name.
func (m Metadata) fields() []field {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []field
	for _, k := range keys {
		name := http.CanonicalHeaderKey(k)
		for _, v := range m[k] {
			if strings.HasSuffix(k, "-bin") {
				v = base64.RawStdEncoding.EncodeToString([]byte(v))
			}
			out = append(out, field{name, v})
		}
	}
	return out
}
