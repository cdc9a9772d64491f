package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// A webSocket is the transport of section 2.2. What the library does with
// contexts costs allocations for every read and write, so it gets none that
// ends: kill closes the connection below it.
type webSocket struct {
	ws   *websocket.Conn
	raw  io.Closer
	typ  websocket.MessageType
	body io.Reader // of the message that is being read
}

func (e *endpoint) openWebSocket(ctx context.Context, p protocol) (transport, error) {
	for again := false; ; again = true {
		t, resp, err := e.dialWebSocket(ctx, p)
		if err == nil {
			return t, nil
		}
		switch act := WebSockets.String(); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case resp == nil:
			return nil, requestError(act, err)
		case resp.StatusCode == http.StatusUnauthorized && !again && e.renewable():
			if err := e.renewToken(ctx); err != nil {
				return nil, err
			}
		case resp.StatusCode != http.StatusSwitchingProtocols:
			return nil, httpError(act, resp)
		default:
			return nil, requestError(act, err)
		}
	}
}

func (e *endpoint) dialWebSocket(ctx context.Context, p protocol) (*webSocket, *http.Response, error) {
	client := *e.conn.long
	up := &upgrade{next: client.Transport}
	client.Transport = up
	ws, resp, err := websocket.Dial(ctx, e.address(), &websocket.DialOptions{HTTPClient: &client, HTTPHeader: e.header()})
	if err != nil {
		return nil, resp, err
	}
	ws.SetReadLimit(-1) // the limit is on hub messages, of which one may hold many
	t := &webSocket{ws: ws, raw: up.raw, typ: websocket.MessageText}
	if p.binary() {
		t.typ = websocket.MessageBinary
	}
	return t, resp, nil
}

// An upgrade is a RoundTripper that keeps the connection of an upgrade.
type upgrade struct {
	next http.RoundTripper
	raw  io.Closer
}

func (u *upgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	next := u.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		u.raw = resp.Body
	}
	return resp, err
}

func (w *webSocket) kind() Transports { return WebSockets }

func (w *webSocket) read(p []byte) (int, error) {
	for {
		if w.body == nil {
			_, body, err := w.ws.Reader(context.Background())
			if err != nil {
				return 0, socketError(err)
			}
			w.body = body
		}
		n, err := w.body.Read(p)
		switch {
		case err == io.EOF:
			w.body = nil
		case err != nil:
			return n, socketError(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// socketError is how a WebSocket ended. 1000 is in good order (section 9.3).
func socketError(err error) error {
	if c, ok := errors.AsType[websocket.CloseError](err); ok {
		switch {
		case c.Code == websocket.StatusNormalClosure:
			return errEnded
		case c.Reason == "":
			c.Reason = "no reason given"
		}
		return fmt.Errorf("WebSocket closed with status code: %d (%s)", c.Code, c.Reason)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ended without a close frame")
	}
	return fmt.Errorf("WebSocket lost: %w", err)
}

func (w *webSocket) write(p []byte) error {
	if err := w.ws.Write(context.Background(), w.typ, p); err != nil {
		return fmt.Errorf("WebSocket lost: %w", err)
	}
	return nil
}

func (w *webSocket) leave(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { w.raw.Close() })
	_ = w.ws.Close(websocket.StatusNormalClosure, "") // the reader sees how it ends
	stop()
}

func (w *webSocket) kill() {
	_ = w.raw.Close()
	_ = w.ws.CloseNow()
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
