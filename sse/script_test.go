package sse_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// A script is a server that answers each request as the test says, byte for byte,
// in memory. When the script is over it says 204, so clients end.
type script struct {
	t     *testing.T
	hosts map[string]bool // that can be dialled; nil: all

	mu    sync.Mutex // guards the following
	steps []func(*exchange)
	seen  []*exchange
	conns []net.Conn
	wg    sync.WaitGroup
}

// An exchange is one request and its answer.
type exchange struct {
	*http.Request
	body string
	at   time.Time
	conn net.Conn
	left chan struct{} // closed when the client has left
}

func newScript(t *testing.T, steps ...func(*exchange)) *script {
	s := &script{t: t, steps: steps}
	t.Cleanup(func() {
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

// http is a client of the script.
func (s *script) http() *http.Client {
	transport := &http.Transport{DialContext: s.dial}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (s *script) client(opts *sse.ClientOptions) *sse.Client {
	o := sse.ClientOptions{}
	if opts != nil {
		o = *opts
	}
	o.HTTPClient = s.http()
	return sse.NewClient("http://script.test/stream", &o)
}

func (s *script) dial(_ context.Context, _, addr string) (net.Conn, error) {
	if s.hosts != nil && !s.hosts[addr] {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: connection refused", addr)}
	}
	theirs, ours := net.Pipe()
	s.mu.Lock()
	s.conns = append(s.conns, ours)
	s.mu.Unlock()
	s.wg.Go(func() { s.serve(ours) }) // ends with its connection
	return theirs, nil
}

func (s *script) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	r, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("the request's body: %v", err)
	}
	x := &exchange{Request: r, body: string(body), at: time.Now(), conn: c, left: make(chan struct{})}
	s.mu.Lock()
	step := func(x *exchange) { x.head(204, "Content-Length: 0") }
	if len(s.seen) < len(s.steps) {
		step = s.steps[len(s.seen)]
	}
	s.seen = append(s.seen, x)
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the connection
		_, _ = br.ReadByte()
		close(x.left)
	})
	step(x)
	c.Close()
	wg.Wait()
}

// requests are those that have come.
func (s *script) requests() []*exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// head writes the head of the answer.
func (x *exchange) head(status int, lines ...string) {
	fmt.Fprintf(x.conn, "HTTP/1.1 %d %s\r\nConnection: close\r\n%s\r\n", status, http.StatusText(status), strings.Join(append(lines, ""), "\r\n"))
}

// open begins an event stream.
func (x *exchange) open() {
	x.head(200, "Content-Type: text/event-stream", "Transfer-Encoding: chunked")
}

// send sends a chunk.
func (x *exchange) send(text string) { fmt.Fprintf(x.conn, "%x\r\n%s\r\n", len(text), text) }

// end ends the stream in order; a step that does not call it cuts the connection.
func (x *exchange) end() { io.WriteString(x.conn, "0\r\n\r\n") }

// says is a step that sends text and ends the stream.
func says(text string) func(*exchange) {
	return func(x *exchange) {
		x.open()
		x.send(text)
		x.end()
	}
}

// cuts is a step that sends text and cuts the connection.
func cuts(text string) func(*exchange) {
	return func(x *exchange) {
		x.open()
		x.send(text)
	}
}

// keeps is a step that sends text and keeps the stream open until the client
// leaves.
func keeps(text string) func(*exchange) {
	return func(x *exchange) {
		x.open()
		x.send(text)
		<-x.left
	}
}

// answers is a step that answers with a status, headers and a body.
func answers(status int, body string, lines ...string) func(*exchange) {
	return func(x *exchange) {
		x.head(status, append(lines, fmt.Sprintf("Content-Length: %d", len(body)))...)
		io.WriteString(x.conn, body)
	}
}

// all ranges to the end, and tells the events as type:id:data.
func all(ctx context.Context, c *sse.Client) (events []string, err error) {
	for ev, e := range c.Events(ctx) {
		if err = e; err == nil {
			events = append(events, ev.Type+":"+ev.LastEventID+":"+ev.Data)
		}
	}
	return events, err
}

// newRand is a source that a seed repeats.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
