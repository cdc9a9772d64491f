package signalr

import (
	"net"

	"github.com/hubwire/hubwire/wire"
)

// A transport carries the bytes of one connection both ways. To the hub it is
// the connection's [wire.Link]. What comes from the client it gives to conn.data
// and conn.idle, on one goroutine at a time, and its end to conn.over. How a
// connection ends is decided by conn alone (close.go).
type transport interface {
	wire.Link
	// framings has the framing of each protocol on this transport, and its Ping.
	framings() *framings
	// bye is what the transport says last, framed: nothing is written behind it.
	// It goes the way of all frames, behind what still waits.
	bye() []byte
	// leave announces bye, before the client can answer it: once it has left
	// whole the transport ends by itself, or after a few seconds.
	leave()
	// abort ends the transport without a word, and with it every Write. It does
	// not wait and may be called more than once.
	abort()
	// known reports whether the client may still ask for what is left, after the
	// hub has ended: then the token is forgotten later.
	known() bool
}

// noTransport is one that could not begin.
type noTransport struct{}

func (noTransport) Framing() wire.Framing        { return socketFramings.json.Framing }
func (noTransport) TryWrite([]byte) (int, error) { return 0, net.ErrClosed }
func (noTransport) Write([]byte) error           { return net.ErrClosed }
func (noTransport) Close(error, bool)            {}
func (noTransport) framings() *framings          { return &socketFramings }
func (noTransport) bye() []byte                  { return nil }
func (noTransport) leave()                       {}
func (noTransport) abort()                       {}
func (noTransport) known() bool                  { return false }

// framings are what a transport does with the two protocols.
type framings struct{ json, msgpack *framed }

// framed is a protocol on a transport.
type framed struct {
	wire.Framing
	ping []byte // framed; nil: there are no pings here
}

// of is the protocol's; that of JSON before there is one.
func (f *framings) of(p protocol) *framed {
	if p == msgpackHub {
		return f.msgpack
	}
	return f.json
}
