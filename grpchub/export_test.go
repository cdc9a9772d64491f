package grpchub

import "github.com/hubwire/hubwire/wire"

// What tests of the inside see.

// Framings are those of the encodings, for protobuf and JSON streams.
func Framings() (out []wire.Framing) {
	for _, p := range protocols {
		out = append(out, framing{p}, jsonFraming{p})
	}
	return out
}

// Follower looks for Close frames.
type Follower struct{ f follower }

// Next reports whether the first bytes of a Close frame end in p.
func (f *Follower) Next(p []byte) bool { return f.f.next(p) }
