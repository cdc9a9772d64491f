package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"
)

// requestTimeout bounds requests that the server answers at once, and is how
// long a poll may be parked, as in the JavaScript client (section 9.8).
const requestTimeout = 100 * time.Second

// httpClients are the client for short requests and the one for those that stay
// open. The sockets are those of a client of our own.
func httpClients(c *http.Client) (short, long *http.Client, own *sockets) {
	if c == nil {
		jar, _ := cookiejar.New(nil) // never fails without options
		own = newSockets()
		c = &http.Client{Transport: own.transport, Jar: jar}
	}
	long = new(*c)
	long.Timeout = 0
	return c, long, own
}

// sockets are the TCP connections of a Transport that ends with its Conn: what
// net/http keeps for other requests must not outlive that. A nil *sockets is
// none.
type sockets struct {
	transport *http.Transport

	mu     sync.Mutex // guards the following
	open   map[net.Conn]struct{}
	closed bool
}

func newSockets() *sockets {
	s := &sockets{transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}, open: map[net.Conn]struct{}{}}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		s.transport = t.Clone()
	}
	dial := s.transport.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	s.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return s.add(conn)
	}
	return s
}

func (s *sockets) add(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	k := &socket{c, s}
	s.open[k] = struct{}{}
	return k, nil
}

// tidy closes those that idle.
func (s *sockets) tidy() {
	if s != nil {
		s.transport.CloseIdleConnections()
	}
}

// close closes all there are, and all to come.
func (s *sockets) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	open := s.open
	s.open, s.closed = nil, true
	s.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
	s.transport.CloseIdleConnections()
}

type socket struct {
	net.Conn
	of *sockets
}

func (c *socket) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// An endpoint is a hub's URL as the server's redirects left it, the connection
// there, and who we are.
type endpoint struct {
	conn *Conn
	hub  *url.URL
	id   string // connection token; empty: negotiation was skipped

	mu    sync.Mutex // guards the following
	token string
	fixed bool // the token came with a redirect
}

// renewToken asks for an access token.
func (e *endpoint) renewToken(ctx context.Context) (err error) {
	get := e.conn.opts.AccessToken
	e.mu.Lock()
	fixed := e.fixed
	e.mu.Unlock()
	if get == nil || fixed {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("access token: panic: %v", v)
		}
	}()
	token, err := get(ctx)
	if err != nil {
		return fmt.Errorf("access token: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.token = token
	return nil
}

// renewable reports whether another token may help against a 401.
func (e *endpoint) renewable() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conn.opts.AccessToken != nil && !e.fixed
}

// header is what every request has.
func (e *endpoint) header() http.Header {
	h := http.Header{
		"User-Agent":       {"hubwire (Go)"},
		"X-Requested-With": {"XMLHttpRequest"}, // asks cookie authentication for 401, not for a page to log in
	}
	for name, values := range e.conn.opts.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.token != "" {
		h.Set("Authorization", "Bearer "+e.token)
	}
	return h
}

// with is the hub's URL with path behind its path and one more parameter.
func (e *endpoint) with(path, query string) string {
	u := *e.hub
	if path != "" {
		u = *u.JoinPath(path)
	}
	if query != "" {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += query
	}
	return u.String()
}

// address is the URL of the connection.
func (e *endpoint) address() string {
	if e.id == "" {
		return e.hub.String()
	}
	return e.with("", "id="+url.QueryEscape(e.id))
}

// A call of do is one request to a hub.
type request struct {
	act    string // for errors
	client *http.Client
	method string
	url    string
	body   []byte
	accept string // Accept; may be empty
	typ    string // Content-Type; may be empty
	final  bool   // a 401 is final: the token is fresh
}

// do makes a request. A 401 is answered once with a fresh token; any other
// answer that is no success is an *HTTPError.
func (e *endpoint) do(ctx context.Context, r request) (*http.Response, error) {
	for again := false; ; again = true {
		resp, err := e.once(ctx, r)
		if err != nil {
			return nil, requestError(r.act, err)
		}
		if resp.StatusCode/100 == 2 {
			return resp, nil
		}
		if resp.StatusCode == http.StatusUnauthorized && !again && !r.final && e.renewable() {
			drain(resp)
			if err := e.renewToken(ctx); err != nil {
				return nil, err
			}
			continue
		}
		defer drain(resp)
		return nil, httpError(r.act, resp)
	}
}

func (e *endpoint) once(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if len(r.body) > 0 {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, err
	}
	req.Header = e.header()
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if r.typ != "" {
		req.Header.Set("Content-Type", r.typ)
	}
	return r.client.Do(req)
}

// httpError makes an error of an answer, and reads no more of it than it shows.
func httpError(act string, resp *http.Response) error {
	e := &HTTPError{Act: act, Status: resp.StatusCode, Hint: hint(act, resp.StatusCode)}
	typ, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.Body != nil && (typ == "" || typ == "text/plain") {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		text, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
		e.Text = strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
	}
	return e
}

// drain lets the connection of an answer be used again, if little is left.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}
