package main

import (
	"fmt"
	"net/url"
)

// A proto speaks one application protocol over WebSocket messages.
//
// A message that the generator times carries "@" and 19 digits (nanoseconds) in
// its payload; a proto need not decode what comes back beyond cutting the
// message into records.
type proto interface {
	// target is the request target of a connection. post is for protocols that
	// ask something over HTTP first.
	target(base *url.URL, post func(target string) ([]byte, error)) (string, error)
	// hello takes the connection's handshake one step on: it is called first
	// with msg nil, then with every message until it says ready. What it
	// appends to dst are whole client frames.
	hello(c *conn, dst, msg []byte) (out []byte, ready bool, err error)
	// echo and publish append a client frame whose answer, or whose broadcast,
	// carries payload.
	echo(c *conn, dst, payload []byte) []byte
	publish(c *conn, dst, payload []byte) []byte
	// ping appends the keep-alive that clients send of their own, if any.
	ping(dst []byte) []byte
	// records calls each for every application record of one message, and
	// appends to dst what must be sent at once (pongs).
	records(c *conn, dst, msg []byte, each func(rec []byte)) ([]byte, error)
}

func newProto(cfg *config) (proto, error) {
	switch cfg.Proto {
	case "rawws":
		return rawWS{}, nil
	case "signalr":
		return signalR{cfg}, nil
	case "signalr-msgpack":
		return signalRPack{signalR{cfg}}, nil
	case "centrifuge":
		return centrifuge{cfg}, nil
	case "socketio":
		return socketIO{cfg}, nil
	}
	return nil, fmt.Errorf("no protocol %q", cfg.Proto)
}

// bare is what a protocol without more to say does.
type bare struct{}

func (bare) target(u *url.URL, _ func(string) ([]byte, error)) (string, error) {
	return u.RequestURI(), nil
}

func (bare) ping(dst []byte) []byte { return dst }

// rawWS: a text message comes back as it is; one that starts with 'B' goes to
// every connection instead.
type rawWS struct{ bare }

func (rawWS) hello(c *conn, dst, msg []byte) ([]byte, bool, error) { return dst, true, nil }

func (rawWS) echo(c *conn, dst, p []byte) []byte { return appendFrame(dst, opText, p) }

func (rawWS) publish(c *conn, dst, p []byte) []byte {
	p[0] = 'B'
	return appendFrame(dst, opText, p)
}

func (rawWS) records(c *conn, dst, msg []byte, each func([]byte)) ([]byte, error) {
	each(msg)
	return dst, nil
}
