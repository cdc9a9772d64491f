package sse_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/sse"
	"github.com/hubwire/hubwire/wire"
)

// The contract that every wire keeps: over connections that were taken over, over
// HTTP/1.1 where a middleware forbids that, and over HTTP/2.
func TestWire(t *testing.T) {
	for name, c := range map[string]struct {
		middleware func(http.Handler) http.Handler
		http2      bool
	}{"taken over": {}, "net/http": {middleware: hideHijack}, "HTTP/2": {http2: true}} {
		t.Run(name, func(t *testing.T) {
			hubtest.TestWire(t, hubtest.Wire{NoUploads: true, NoAnswers: true, Serve: func(t testing.TB, hub *hubwire.Hub) hubtest.DialFunc {
				mux := http.NewServeMux()
				sse.Mount(mux, "/hub", hub, &sse.MountOptions{Middleware: c.middleware})
				srv := httptest.NewUnstartedServer(mux)
				srv.EnableHTTP2 = c.http2
				if c.http2 {
					srv.StartTLS()
				} else {
					srv.Start()
				}
				t.Cleanup(func() {
					_ = hub.Shutdown(context.Background())
					srv.Close()
				})
				return func(t testing.TB, handlers ...hubwire.ClientHandler) (hubtest.WireClient, error) {
					return dialHub(t, srv, handlers)
				}
			}})
		})
	}
}

// hideHijack is a middleware whose ResponseWriter can be flushed and no more.
func hideHijack(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct {
			http.ResponseWriter
			http.Flusher
		}{w, w.(http.Flusher)}, r)
	})
}

// A hubClient is what a program would make of the wire: the events of its stream,
// and calls by fetch.
type hubClient struct {
	base   string
	http   *http.Client
	token  string
	cancel context.CancelFunc
	done   chan struct{}
	sends  sync.WaitGroup

	mu    sync.Mutex // guards the following
	conns []net.Conn
}

func dialHub(t testing.TB, srv *httptest.Server, handlers []hubwire.ClientHandler) (*hubClient, error) {
	c := &hubClient{base: srv.URL + "/hub", done: make(chan struct{})}
	transport := srv.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
		}
		return conn, err
	}
	c.http = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(t.Context())
	c.cancel = cancel
	next, stop := iter.Pull2(sse.NewClient(c.base, &sse.ClientOptions{HTTPClient: c.http, Reconnect: sse.Never}).Events(ctx))
	ev, err, ok := next()
	if err == nil && (!ok || ev.Type != "hubwire:open") {
		err = fmt.Errorf("the stream begins with %q", ev.Type)
	}
	var open struct{ Connection, Token string }
	if err == nil {
		err = json.Unmarshal([]byte(ev.Data), &open)
	}
	if err != nil {
		stop()
		cancel()
		transport.CloseIdleConnections()
		return nil, err
	}
	c.token = open.Token
	go func() { // ends with the stream
		defer close(c.done)
		defer stop()
		for {
			ev, err, ok := next()
			if !ok || err != nil {
				return
			}
			for _, h := range handlers {
				if h.Name() == ev.Type {
					var args []json.RawMessage
					if err := json.Unmarshal([]byte(ev.Data), &args); err != nil {
						t.Errorf("event %s: %v", ev.Type, err)
					}
					v := wire.Values{Codec: jsonwire.Codec{}}
					for _, a := range args {
						v.List = append(v.List, a)
					}
					_, _ = h.Serve(ctx, v)
				}
			}
		}
	}()
	return c, nil
}

func (c *hubClient) Close() error {
	c.cancel()
	<-c.done
	c.sends.Wait()
	c.http.CloseIdleConnections()
	return nil
}

func (c *hubClient) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

func (c *hubClient) Done() <-chan struct{} { return c.done }

func (c *hubClient) request(ctx context.Context, out *wire.OutCall) (*http.Request, error) {
	args := []byte{'['}
	for i, a := range out.Args {
		if i > 0 {
			args = append(args, ',')
		}
		var err error
		if args, err = (jsonwire.Codec{}).Append(args, a); err != nil {
			return nil, err
		}
	}
	args = append(args, ']')
	target := c.base + "/" + url.PathEscape(out.Name)
	if out.Kind.Streams() {
		r, err := http.NewRequestWithContext(ctx, "GET", target+"?args="+url.QueryEscape(string(args)), nil)
		if err == nil {
			r.Header.Set("Hubwire-Connection", c.token)
		}
		return r, err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", target, strings.NewReader(string(args)))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Hubwire-Connection", c.token)
	}
	return r, err
}

func (c *hubClient) StartCall(ctx context.Context, out *wire.OutCall) (wire.Results, error) {
	select {
	case <-c.done:
		return nil, hubwire.ErrClosed
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := c.request(ctx, out)
	if err != nil {
		cancel()
		return nil, err
	}
	if out.Kind.Streams() {
		client := sse.NewClient(r.URL.String(), &sse.ClientOptions{HTTPClient: c.http, Reconnect: sse.Never, Header: r.Header})
		next, stop := iter.Pull2(client.Events(ctx))
		return &hubItems{ctx: ctx, cancel: cancel, next: next, stop: stop}, nil
	}
	if out.NoReply {
		r.Header.Set("Prefer", "respond-async")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		cancel()
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	cancel()
	switch {
	case err != nil:
		return nil, err
	case out.NoReply && resp.StatusCode != 202:
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, body)
	case resp.StatusCode == 200:
		return &hubResult{body: body}, nil
	case resp.StatusCode == 202, resp.StatusCode == 204:
		return &hubResult{over: true}, nil
	}
	return &hubResult{err: publicError(body)}, nil
}

// publicError is the error that JSON tells.
func publicError(body []byte) error {
	var e struct{ Code, Message string }
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("%q: %w", body, err)
	}
	return &hubwire.Error{Code: hubwire.CodeUnknown, Message: e.Message}
}

type hubResult struct {
	body []byte
	err  error
	over bool
}

func (r *hubResult) Next(_ context.Context, into any) error {
	if r.over || r.err != nil {
		if r.err == nil {
			return io.EOF
		}
		return r.err
	}
	r.over = true
	return jsonwire.Codec{}.Decode(r.body, into)
}

func (r *hubResult) Close() error { return nil }

type hubItems struct {
	ctx    context.Context
	cancel context.CancelFunc
	next   func() (sse.Event[string], error, bool)
	stop   func()
}

func (i *hubItems) Next(_ context.Context, into any) error {
	ev, err, ok := i.next()
	switch {
	case err != nil:
		if e, ok := errors.AsType[*sse.ResponseError](err); ok {
			return publicError(e.Body)
		}
		return err
	case !ok:
		return errors.New("the stream ends without an end")
	case ev.Type == "end":
		return io.EOF
	case ev.Type == "fail":
		return publicError([]byte(ev.Data))
	}
	return jsonwire.Codec{}.Decode([]byte(ev.Data), into)
}

func (i *hubItems) Close() error {
	i.cancel()
	i.stop()
	return nil
}
