package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A transport carries bytes between the client and one connection of the hub.
// read and write are each called by one goroutine at a time.
type transport interface {
	kind() Transports
	// read reads some bytes of the stream that the server sends. It returns
	// errEnded where the server ended it in good order.
	read(p []byte) (int, error)
	// write sends whole messages.
	write(p []byte) error
	// leave ends the transport in good order, after the last write. It takes
	// no longer than ctx.
	leave(ctx context.Context)
	// kill ends read, write and leave at once. It may be called more than once,
	// and waits for nothing that needs the server.
	kill()
}

// errEnded is the end of a transport by the server, without an error.
var errEnded = errors.New("the server ended the connection")

// leaveTimeout is how long the server may take to take leave.
const leaveTimeout = 5 * time.Second

// open starts a transport of the given kind, which lives as long as ctx;
// the caller kills it in the end. starting bounds the start alone.
func (e *endpoint) open(ctx, starting context.Context, kind Transports, p protocol) (transport, error) {
	switch kind {
	case WebSockets:
		return e.openWebSocket(starting, p)
	case ServerSentEvents:
		return e.openEvents(ctx, starting)
	case LongPolling:
		return e.openPolling(ctx, starting, p)
	}
	return nil, fmt.Errorf("%v: no such transport", kind)
}

// lasting is a context that ends with ctx, and also with starting until the
// transport has started.
func lasting(ctx, starting context.Context) (_ context.Context, started func() bool, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
	return ctx, context.AfterFunc(starting, cancel), cancel
}

// startingError is err, or why starting ended.
func startingError(starting context.Context, err error) error {
	if starting.Err() != nil {
		return context.Cause(starting)
	}
	return err
}
