package grpcwire

import "io"

// What tests of the inside see.
var (
	ParseTimeout  = parseTimeout
	EncodeMessage = encodeMessage
	AppendBinary  = appendBinary
	Inflate       = inflate
	Deflate       = deflate
)

// NewTextReader reads base64 in runs.
func NewTextReader(r io.Reader) io.Reader { return &textReader{src: r} }

// ErrNotBase64 is its error.
var ErrNotBase64 = errNotBase64
