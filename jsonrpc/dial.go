package jsonrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/hubwire/hubwire"
)

// Dial connects to a server of streams: network and address are those of
// net.Dial, such as "tcp" and "localhost:4389", or "unix" and a path. ctx bounds
// the connecting alone.
func Dial(ctx context.Context, network, address string, hub *hubwire.Hub, opts *Options) (*Conn, error) {
	s := newService(hub, opts, Barrier)
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("jsonrpc: %w", err)
	}
	c := s.serve(nc)
	if err := c.wait(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Serve makes a connection of each that l accepts, until ctx ends: then it ends
// them, the listener first, and returns nil when all have ended. To let calls
// finish, shut the hub down before. It returns an error, after the same, when l
// fails otherwise. Where the hub is shut down or has no room, a connection is
// closed at once.
func Serve(ctx context.Context, l net.Listener, hub *hubwire.Hub, opts *Options) error {
	s := newService(hub, opts, HubOrder)
	var (
		mu    sync.Mutex // guards the following
		conns = map[*Conn]struct{}{}
		wg    sync.WaitGroup
	)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept fails
	defer stop()
	pause := time.Duration(0)
	var failed error
	for {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			break
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				failed = fmt.Errorf("jsonrpc: accept: %w", err)
				break
			}
			// Out of descriptors, or the like: others end meanwhile.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.hubOpts.Logger.Error("jsonrpc: accept", "hub", s.hubOpts.Name, "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		wg.Go(func() { // ends with the connection
			c := s.serve(nc)
			mu.Lock()
			conns[c] = struct{}{}
			mu.Unlock()
			if ctx.Err() != nil {
				_ = c.Close()
			}
			<-c.Done()
			mu.Lock()
			delete(conns, c)
			mu.Unlock()
		})
	}
	_ = l.Close()
	mu.Lock()
	for c := range conns {
		wg.Go(func() { _ = c.Close() }) // ends with c
	}
	mu.Unlock()
	wg.Wait()
	return failed
}

// DialOptions are how DialWebSocket connects.
type DialOptions struct {
	// Conn are the options of the connection.
	Conn *Options
	// HTTPClient makes the request. Defaults to http.DefaultClient.
	HTTPClient *http.Client
	// Header goes with the request: Authorization, cookies.
	Header http.Header
	// Subprotocols are offered to the server.
	Subprotocols []string
}

// DialWebSocket connects to a server of WebSockets, such as a mount, at a URL of
// the scheme ws, wss, http or https. ctx bounds the connecting alone.
func DialWebSocket(ctx context.Context, url string, hub *hubwire.Hub, opts *DialOptions) (*Conn, error) {
	if opts == nil {
		opts = &DialOptions{}
	}
	s := newService(hub, opts.Conn, Barrier)
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: opts.HTTPClient, HTTPHeader: opts.Header, Subprotocols: opts.Subprotocols})
	if err != nil {
		return nil, fmt.Errorf("jsonrpc: %w", err)
	}
	ws.SetReadLimit(int64(s.opts.MaxMessage))
	w := &webSocket{ws: ws, kind: websocket.MessageText}
	if s.opts.Notation != JSON {
		w.kind = websocket.MessageBinary
	}
	c := s.messages(w, "WebSockets", url)
	if err := c.wait(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// A webSocket is the client's end of one.
type webSocket struct {
	ws   *websocket.Conn
	kind websocket.MessageType
	buf  []byte
}

// ReadMessage reads a message of either type into a buffer that is kept.
func (w *webSocket) ReadMessage() ([]byte, error) {
	_, r, err := w.ws.Reader(context.Background())
	if err != nil {
		return nil, socketError(err)
	}
	if cap(w.buf) == 0 || cap(w.buf) > keptBuffer {
		w.buf = make([]byte, 0, 4<<10)
	}
	for b := w.buf[:0]; ; {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case err == io.EOF:
			w.buf = b
			return b, nil
		case err != nil:
			return nil, socketError(err)
		case len(b) == cap(b):
			b = append(b, 0)[:len(b)]
		}
	}
}

// socketError is how a WebSocket ended. 1000 is in good order, as is the end of
// the socket without a word, which is StreamJsonRpc's way.
func socketError(err error) error {
	if c, ok := errors.AsType[websocket.CloseError](err); ok {
		if c.Code == websocket.StatusNormalClosure {
			return io.EOF
		}
		return fmt.Errorf("WebSocket closed with %d %s", c.Code, c.Reason)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return io.EOF
	}
	return err
}

// WriteMessage writes a message: JSON is text, MessagePack is binary.
func (w *webSocket) WriteMessage(p []byte) error {
	return w.ws.Write(context.Background(), w.kind, p)
}

// Close says goodbye, and waits a few seconds for that of the server.
func (w *webSocket) Close() error { return w.ws.Close(websocket.StatusNormalClosure, "") }
