package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hubwire/hubwire"
)

// connect makes a connection, on the first transport that works: a transport
// that does not start is followed by a fresh negotiation (section 9.5).
func (c *Conn) connect(ctx context.Context) (*session, transport, error) {
	if c.opts.SkipNegotiation {
		e := &endpoint{conn: c, hub: c.url}
		if err := e.renewToken(ctx); err != nil {
			return nil, nil, err
		}
		s := c.newSession(e, "", false)
		t, err := c.start(ctx, s, WebSockets)
		return s, t, err
	}
	var tried triedError
	var failed Transports
	for {
		e, n, err := c.negotiate(ctx)
		if err != nil {
			return nil, nil, contextError(ctx, err)
		}
		kind, skipped := c.choose(n, failed)
		if kind == 0 {
			return nil, nil, append(tried, skipped...)
		}
		s := c.newSession(e, n.ID, n.Stateful && c.opts.Stateful && kind == WebSockets)
		t, err := c.start(ctx, s, kind)
		if err == nil {
			return s, t, nil
		}
		if _, ok := err.(notStarted); !ok || ctx.Err() != nil {
			return nil, nil, contextError(ctx, err)
		}
		tried, failed = append(tried, err), failed|kind
		if kind, skipped = c.choose(n, failed); kind == 0 {
			return nil, nil, append(tried, skipped...)
		}
	}
}

// choose takes the first transport of an offer that may be used and has not
// failed, and says why it passed over others.
func (c *Conn) choose(n *negotiation, failed Transports) (kind Transports, skipped []error) {
	for _, offer := range n.AvailableTransports {
		switch t := transportByName(offer.Transport); {
		case t == 0:
			skipped = append(skipped, fmt.Errorf("%q: this client does not have it", offer.Transport))
		case t&failed != 0:
		case t&c.opts.Transports == 0:
			skipped = append(skipped, fmt.Errorf("%v: Options.Transports leaves it out", t))
		case c.proto.binary() && !slices.Contains(offer.Formats, "Binary"):
			skipped = append(skipped, fmt.Errorf("%v: it cannot carry %s", t, c.proto.name()))
		default:
			return t, nil
		}
	}
	if len(skipped) == 0 && failed == 0 {
		skipped = append(skipped, fmt.Errorf("the server offers none"))
	}
	return 0, skipped
}

// contextError is err, with what ended ctx if that is not in it.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// start opens a transport for s and shakes hands. On an error s has ended.
func (c *Conn) start(ctx context.Context, s *session, kind Transports) (transport, error) {
	t, err := s.e.open(s.ctx, ctx, kind, c.proto)
	if err != nil {
		s.end(err)
		return nil, notStarted{err}
	}
	s.via.Store(uint32(kind))
	if err := s.shake(ctx, t); err != nil {
		s.end(err)
		t.kill()
		return nil, fmt.Errorf("handshake over %v: %w", kind, err)
	}
	if kind == WebSockets {
		c.sockets.tidy() // what negotiating left behind
	}
	return t, nil
}

// A notStarted is the error of a transport that did not start, so that another
// may be tried.
type notStarted struct{ error }

func (e notStarted) Unwrap() error { return e.error }

// maxHandshake is the longest answer to a handshake.
const maxHandshake = 64 << 10

// shake shakes hands over a new transport (section 3). What the server sent
// behind its answer is left in s.in.
func (s *session) shake(ctx context.Context, t transport) error {
	limit := s.conn.opts.HandshakeTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errHandshake(limit, t.kind()))
	defer cancel()
	stop := context.AfterFunc(ctx, t.kill)
	err := s.exchange(t)
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

func errHandshake(limit time.Duration, kind Transports) error {
	if kind == ServerSentEvents {
		return fmt.Errorf("no answer in %v: is there a proxy that holds back Server-Sent Events?", limit)
	}
	return fmt.Errorf("no answer in %v", limit)
}

func (s *session) exchange(t transport) error {
	version := 1
	if s.stateful {
		version = 2
	}
	hello := append(fmt.Appendf(nil, `{"protocol":"%s","version":%d}`, s.proto.name(), version), recordSeparator)
	if err := t.write(hello); err != nil {
		return err
	}
	for {
		if i := bytes.IndexByte(s.in, recordSeparator); i >= 0 {
			err := parseHandshake(s.in[:i])
			s.in = s.in[:copy(s.in, s.in[i+1:])]
			return err
		}
		if len(s.in) > maxHandshake {
			return fmt.Errorf("the answer is longer than %d bytes", maxHandshake)
		}
		s.makeRoom()
		n, err := t.read(s.in[len(s.in):cap(s.in)])
		s.in = s.in[:len(s.in)+n]
		if err == errEnded {
			err = errors.New("the server ended the connection before it answered")
		}
		if err != nil {
			return err
		}
	}
}

// parseHandshake reads the server's answer (section 3.5).
func parseHandshake(b []byte) error {
	var answer struct {
		Type  *json.RawMessage `json:"type"`
		Error *string          `json:"error"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("the answer is not a hub's: %w", err)
	}
	if answer.Type != nil {
		return errors.New("the server sent something else before its answer")
	}
	if answer.Error != nil {
		return &hubwire.Error{Code: hubwire.CodeUnknown, Message: *answer.Error}
	}
	return nil
}
