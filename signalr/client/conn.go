package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
)

// A State says what a Conn is about.
type State uint8

// The states of a Conn. A Conn that Dial returned is connected; a stateful one
// stays so while its transport is replaced.
const (
	Connected State = iota + 1
	Reconnecting
	Closed
)

// String is the state in a word.
func (s State) String() string {
	switch s {
	case Connected:
		return "connected"
	case Reconnecting:
		return "reconnecting"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// A Conn is a connection to a hub, and a [hubwire.Caller]: the names of hubwire
// call through it. All methods may be called at the same time.
//
// Handlers of events and the callbacks of Options run one after the other, in
// the order of arrival, on a goroutine of their own; answers to questions run
// beside each other. All may call the hub. A call's result may be there before
// the handlers of events that the hub sent ahead of it have run.
//
// A call fails with an *hubwire.Error that has the server's text, with
// ErrReconnecting, or, where its connection ended, with an error that matches
// hubwire.ErrClosed and the cause.
type Conn struct {
	opts     Options
	url      *url.URL
	proto    protocol
	short    *http.Client
	long     *http.Client    // without a Timeout
	sockets  *sockets        // of our own clients; nil where the user gave one
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	handling context.Context // of handlers: with Close, and with the last handler
	handled  context.CancelFunc
	flow     flow
	inbox    *inbox
	bound    bindings
	wg       sync.WaitGroup // all goroutines
	done     chan struct{}

	mu       sync.Mutex // guards the following
	state    State
	session  *session // while connected
	err      error    // why it is reconnecting or closed
	closing  bool
	farewell bool // OnClosed has begun
}

var _ hubwire.Caller = (*Conn)(nil)

// Dial connects to the hub at rawURL: the URL that was given to the server's
// Mount, with http, https, ws or wss. ctx bounds connecting, no more; its values
// are in the ctx of handlers. A nil opts means the defaults. Close the Conn in
// the end.
//
// The error has an *HTTPError in it where the server refused with a status, and
// an *hubwire.Error where the hub protocol did.
func Dial(ctx context.Context, rawURL string, opts *Options) (*Conn, error) {
	o := opts.withDefaults()
	if bad := o.check(); len(bad) > 0 {
		return nil, errors.New("client: options: " + strings.Join(bad, "; "))
	}
	u, err := url.Parse(rawURL)
	if err == nil {
		u, err = httpURL(u)
	}
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the URL may hold secrets
		}
		return nil, fmt.Errorf("client: URL: %w", err)
	}
	c := &Conn{opts: o, url: u, proto: protocolByName(o.Protocol), inbox: newInbox(), done: make(chan struct{}), flow: flow{limit: o.Queue}}
	c.short, c.long, c.sockets = httpClients(o.HTTPClient)
	c.ctx, c.cancel = context.WithCancel(context.WithValue(context.WithoutCancel(ctx), connKey{}, c))
	c.handling, c.handled = context.WithCancel(c.ctx)
	c.On(o.Handlers...)

	s, t, err := c.connect(ctx)
	if err != nil {
		c.cancel()
		c.sockets.close()
		return nil, fmt.Errorf("client: %w", err)
	}
	c.state, c.session = Connected, s
	c.wg.Go(c.dispatch)             // ends when the inbox has ended
	c.wg.Go(func() { c.run(s, t) }) // ends with the last session
	return c, nil
}

// State is what the connection is about.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// ID is the connection's public id, by which the hub knows it. It is empty while
// there is none, and where negotiation was skipped.
func (c *Conn) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return ""
	}
	return c.session.id
}

// Transport is the transport in use; 0 where there is none.
func (c *Conn) Transport() Transports {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return 0
	}
	return Transports(c.session.via.Load())
}

// Done is closed when the connection has ended for good: by Close, or when it
// was lost and is not sought again.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended, or, while reconnecting, why it was lost.
// It is nil before, and where the end came in good order: by Close, by the
// server's Conn.Abort, or by a server that ended the transport without a word.
// An error that the server gave is an *hubwire.Error.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close leaves the hub: what was sent before goes out first, calls that wait for
// answers fail, and events that wait for handlers are dropped. It returns when
// all has ended and no goroutine is left. Where a server does not answer, that
// takes up to 5 s; where a handler, a callback or the items of an upload do not
// return, Close gives them another 5 s and returns an error. So no handler may
// call it; but `go conn.Close()` may. A second Close does the same.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closing = true
	s, farewell := c.session, c.farewell
	c.mu.Unlock()
	c.handled()
	if s != nil {
		s.takeLeave()
		select {
		case <-c.done:
		case <-time.After(leaveTimeout):
		}
	}
	c.cancel()
	<-c.done
	if farewell {
		return nil // OnClosed may have called
	}
	ended := make(chan struct{})
	go func() { // ends with all others
		c.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(leaveTimeout):
		return fmt.Errorf("client: close: a handler, a callback or an upload is still running after %v", leaveTimeout)
	}
}

func (c *Conn) log() *slog.Logger { return c.opts.Logger }

// current is the session for a call.
func (c *Conn) current() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == Closed || c.closing:
		return nil, &endError{c.err}
	case c.session == nil && c.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrReconnecting, c.err)
	case c.session == nil:
		return nil, ErrReconnecting
	}
	return c.session, nil
}
