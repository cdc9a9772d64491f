package client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/hubwire/hubwire/signalr/client"
)

// A stub is a server in memory that says what a test tells it to. It works in a
// synctest bubble.
type stub struct {
	*testing.T
	srv       *http.Server
	transport *http.Transport
	dialled   chan net.Conn
	closed    chan struct{}
	once      sync.Once

	sockets  chan *socket      // WebSockets that came, behind the handshake
	requests box[http.Request] // that came

	mu    sync.Mutex // guards the following
	mux   *http.ServeMux
	raw   bool   // the test shakes hands itself
	offer string // the answer to a negotiate
}

// set changes what the stub does.
func (s *stub) set(change func(s *stub)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// routes are other routes from now on.
func (s *stub) routes() *http.ServeMux {
	mux := http.NewServeMux()
	s.set(func(s *stub) { s.mux = mux })
	return mux
}

const defaultOffer = `{"negotiateVersion":1,"connectionId":"ID","connectionToken":"TOKEN","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}`

func newStub(t *testing.T) *stub {
	s := &stub{T: t, mux: http.NewServeMux(), dialled: make(chan net.Conn), closed: make(chan struct{}), offer: defaultOffer, sockets: make(chan *socket, 10)}
	s.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case s.dialled <- far:
			return near, nil
		case <-s.closed:
			return nil, fmt.Errorf("connection refused")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	s.mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = io.WriteString(w, s.offer)
	})
	s.mux.HandleFunc("GET /hub", s.webSocket)
	s.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.put(*r)
		s.mu.Lock()
		mux := s.mux
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	})}
	go func() { _ = s.srv.Serve(s) }() // ends with stop
	t.Cleanup(s.stop)
	return s
}

// stop ends the server. In a bubble it is to be called at the end.
func (s *stub) stop() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.srv.Close()
		s.transport.CloseIdleConnections()
	})
}

// Accept, Close and Addr make the stub the listener of its server.
func (s *stub) Accept() (net.Conn, error) {
	select {
	case c := <-s.dialled:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *stub) Close() error   { return nil }
func (s *stub) Addr() net.Addr { return &net.UnixAddr{Name: "stub"} }

// client is opts with the stub's network.
func (s *stub) dial(ctx context.Context, opts *client.Options) (*client.Conn, error) {
	var o client.Options
	if opts != nil {
		o = *opts
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Transport: s.transport}
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	return client.Dial(ctx, "http://stub/hub", &o)
}

func (s *stub) mustDial(opts *client.Options) *client.Conn {
	s.Helper()
	c, err := s.dial(s.Context(), opts)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// A socket is the server's end of a WebSocket.
type socket struct {
	stub  *stub
	ws    *websocket.Conn
	query string
	lines []string // that came in one WebSocket message
	gone  chan struct{}
	once  sync.Once
}

func (s *stub) webSocket(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	ws.SetReadLimit(1 << 20)
	k := &socket{stub: s, ws: ws, query: r.URL.RawQuery, gone: make(chan struct{})}
	s.mu.Lock()
	raw := s.raw
	s.mu.Unlock()
	if !raw {
		if hello := k.read(); !strings.HasPrefix(hello, `{"protocol":"json","version":`) {
			s.Errorf("the handshake is %s", hello)
		}
		k.write("{}")
	}
	s.sockets <- k
	<-k.gone
	_ = ws.CloseNow()
}

// end drops the connection.
func (k *socket) end() { k.once.Do(func() { _ = k.ws.CloseNow(); close(k.gone) }) }

// close closes the WebSocket with a code.
func (k *socket) close(code websocket.StatusCode) {
	_ = k.ws.Close(code, "")
	k.end()
}

// read is the next hub message, in JSON, or "" at the end.
func (k *socket) read() string {
	for len(k.lines) == 0 {
		_, b, err := k.ws.Read(context.Background())
		if err != nil {
			return ""
		}
		k.lines = strings.Split(strings.TrimSuffix(string(b), "\x1e"), "\x1e")
	}
	line := k.lines[0]
	k.lines = k.lines[1:]
	return line
}

// want reads a message and compares it. Pings are passed over.
func (k *socket) want(text string) {
	k.stub.Helper()
	for {
		got := k.read()
		if got == pingText && text != pingText {
			continue
		}
		if got != text {
			k.stub.Errorf("the client sent %q, want %q", got, text)
		}
		return
	}
}

const (
	pingText  = `{"type":6}`
	closeText = `{"type":7}`
)

// write writes hub messages, each in JSON, as one WebSocket message.
func (k *socket) write(lines ...string) {
	_ = k.ws.Write(context.Background(), websocket.MessageText, []byte(strings.Join(lines, "\x1e")+"\x1e"))
}

// drain reads until the end.
func (k *socket) drain() {
	for k.read() != "" {
	}
	k.end()
}
