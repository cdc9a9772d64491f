package grpcwire

import (
	"encoding/base64"
	"errors"
	"io"
)

// A textReader decodes the body of an application/grpc-web-text request: base64
// of one or more runs, each of which may end in padding, with line breaks
// anywhere (encoding/base64 ends at the first padding).
type textReader struct {
	src   io.Reader
	quad  [4]byte
	n     int // of quad
	buf   [512]byte
	ready []byte // decoded, in buf or dec
	dec   [384]byte
	err   error
}

var errNotBase64 = errors.New("grpcwire: the body is not base64")

func (t *textReader) Read(p []byte) (int, error) {
	for len(t.ready) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		t.fill()
	}
	n := copy(p, t.ready)
	t.ready = t.ready[n:]
	return n, nil
}

func (t *textReader) fill() {
	n, err := t.src.Read(t.buf[:])
	out := t.dec[:0]
	for _, c := range t.buf[:n] {
		if c == '\r' || c == '\n' {
			continue
		}
		t.quad[t.n] = c
		if t.n++; t.n < 4 {
			continue
		}
		t.n = 0
		var three [3]byte
		m, bad := base64.StdEncoding.Decode(three[:], t.quad[:])
		if bad != nil {
			t.ready, t.err = out, errNotBase64
			return
		}
		out = append(out, three[:m]...)
	}
	t.ready = out
	if err == nil {
		return
	}
	t.err = err
	if err == io.EOF && t.n > 0 { // without its padding
		var three [3]byte
		m, bad := base64.RawStdEncoding.Decode(three[:], t.quad[:t.n])
		if bad != nil {
			t.err = errNotBase64
			return
		}
		t.ready = append(out, three[:m]...)
	}
}
