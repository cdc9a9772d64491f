package jsonrpc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// A raw peer speaks bytes to a connection and keeps what comes back. It is for
// use in a bubble: settle waits until nothing moves any more.
type raw struct {
	t       testing.TB
	nc      io.ReadWriteCloser
	conn    *jsonrpc.Conn
	framing jsonrpc.Framing
	ended   chan struct{} // the reader has seen the end

	mu  sync.Mutex // guards the following
	got []string
}

// quiet is a logger for hubs whose handlers fail on purpose.
var quiet = slog.New(slog.DiscardHandler)

// serveRaw joins a raw peer to a new connection of the hub.
func serveRaw(t testing.TB, hub *hubwire.Hub, opts *jsonrpc.Options) *raw {
	t.Helper()
	f := jsonrpc.Header
	if opts != nil {
		f = opts.Framing
	}
	return serveRawIn(t, f, hub, opts)
}

// serveRawIn is serveRaw for a peer with a framing of its own.
func serveRawIn(t testing.TB, f jsonrpc.Framing, hub *hubwire.Hub, opts *jsonrpc.Options) *raw {
	t.Helper()
	a, b := net.Pipe()
	r := &raw{t: t, nc: b, conn: jsonrpc.NewConn(a, hub, opts), framing: f, ended: make(chan struct{})}
	go r.read() // ends with the pipe
	t.Cleanup(r.close)
	return r
}

func (r *raw) close() {
	_ = r.nc.Close()
	<-r.conn.Done()
	<-r.ended
}

func (r *raw) read() {
	defer close(r.ended)
	in := bufio.NewReader(r.nc)
	for {
		body, err := readFrame(in, r.framing)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.got = append(r.got, body)
		r.mu.Unlock()
	}
}

// readFrame reads one message as its writer must write it: nothing is forgiven.
func readFrame(in *bufio.Reader, f jsonrpc.Framing) (string, error) {
	if f == jsonrpc.Newline {
		line, err := in.ReadString('\n')
		return strings.TrimSuffix(line, "\n"), err
	}
	n := 0
	if f == jsonrpc.Length {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return "", err
		}
		n = int(head[0])<<24 | int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	} else {
		head, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		digits, ok := strings.CutPrefix(head, "Content-Length: ")
		if n, err = strconv.Atoi(strings.TrimSuffix(digits, "\r\n")); !ok || err != nil {
			return "", fmt.Errorf("a header %q", head)
		}
		if blank, err := in.ReadString('\n'); err != nil || blank != "\r\n" {
			return "", fmt.Errorf("behind the header %q, %v", blank, err)
		}
	}
	body := make([]byte, n)
	_, err := io.ReadFull(in, body)
	return string(body), err
}

// frame puts a body into the peer's framing.
func frame(f jsonrpc.Framing, body string) string {
	switch f {
	case jsonrpc.Newline:
		return body + "\n"
	case jsonrpc.Length:
		n := len(body)
		return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
	}
	return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// bytes sends bytes as they are. What the connection does not read any more, it
// has ended for.
func (r *raw) bytes(s string) { _, _ = io.WriteString(r.nc, s) }

// send sends messages, each in a frame of its own.
func (r *raw) send(bodies ...string) {
	for _, b := range bodies {
		r.bytes(frame(r.framing, b))
	}
}

// settle waits until nothing moves, and returns what has come since the last time.
func (r *raw) settle() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// alive fails where the connection does not answer any more.
func (r *raw) alive() {
	r.t.Helper()
	r.send(`{"jsonrpc":"2.0","id":"alive","method":"ping"}`)
	if got := r.settle(); !slices.Equal(got, []string{`{"jsonrpc":"2.0","id":"alive","result":"pong"}`}) {
		r.t.Errorf("the connection does not answer: %q, %v", got, r.conn.Err())
	}
}

// dead fails where the connection has not ended with an error that says why.
func (r *raw) dead(why string) {
	r.t.Helper()
	synctest.Wait()
	select {
	case <-r.conn.Done():
		if err := r.conn.Err(); err == nil || !strings.Contains(err.Error(), why) {
			r.t.Errorf("ended with %v, want %q", err, why)
		}
	default:
		r.t.Error("the connection lives")
	}
}

// same fails where the messages are not those wanted, in any order. A wanted error
// is "code id", where id is JSON; all else is a whole message.
func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	var brief []string
	for i, g := range got {
		var m struct {
			Version string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Error   *struct {
				Code    int64
				Message string
			}
		}
		if err := json.Unmarshal([]byte(g), &m); err == nil && m.Error != nil && m.Error.Message != "" && m.Version == "2.0" {
			if short := fmt.Sprint(m.Error.Code, " ", string(m.ID)); slices.Contains(want, short) || i >= len(want) {
				g = short
			}
		}
		brief = append(brief, g)
	}
	want = slices.Clone(want)
	slices.Sort(brief)
	slices.Sort(want)
	if !slices.Equal(brief, want) {
		t.Errorf("%s:\n got  %q\n want %q", what, brief, want)
	}
}

// members are the messages of a batch.
func members(t testing.TB, body string) []string {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Errorf("no batch but %s", body)
	}
	all := make([]string, len(list))
	for i, m := range list {
		all[i] = string(m)
	}
	return all
}

// A gated handler runs until it is let go, or cancelled.
type gated struct {
	begun chan string   // has the argument of each that began
	open  chan struct{} // one goes on for each
}

func newGated() *gated { return &gated{make(chan string, 1<<14), make(chan struct{})} }

func (g *gated) wait(ctx context.Context, _ *hubwire.Conn, name string) (string, error) {
	g.begun <- name
	select {
	case <-g.open:
		return name, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// names of the test hub.
type pair struct {
	hubwire.Args
	Minuend    int `json:"minuend"`
	Subtrahend int `json:"subtrahend"`
}

const (
	ping     hubwire.Method[hubwire.None, string]             = "ping"
	subtract hubwire.Method[pair, int]                        = "subtract"
	sum      hubwire.Method[hubwire.List, float64]            = "sum"
	getData  hubwire.Method[hubwire.None, []any]              = "get_data"
	echo     hubwire.Method[json.RawMessage, json.RawMessage] = "echo"
	text     hubwire.Method[string, string]                   = "text"
	nothing  hubwire.Method[hubwire.None, any]                = "nothing"
	wait     hubwire.Method[string, string]                   = "wait"
	update   hubwire.Command[hubwire.List]                    = "update"
	hello    hubwire.Command[hubwire.List]                    = "notify_hello"
	notesum  hubwire.Command[hubwire.List]                    = "notify_sum"
	slowNote hubwire.Command[string]                          = "slow"
)

// newHub is the hub of the specification's examples, and more.
func newHub(g *gated, more ...hubwire.Handler) *hubwire.Hub {
	hub := hubwire.New(&hubwire.Options{Logger: quiet})
	none := func(context.Context, *hubwire.Conn, hubwire.List) error { return nil }
	hub.Handle(
		ping.With(func(context.Context, *hubwire.Conn, hubwire.None) (string, error) { return "pong", nil }),
		subtract.With(func(_ context.Context, _ *hubwire.Conn, p pair) (int, error) { return p.Minuend - p.Subtrahend, nil }),
		sum.With(func(_ context.Context, _ *hubwire.Conn, l hubwire.List) (s float64, err error) {
			for _, v := range l {
				f, _ := v.(float64)
				s += f
			}
			return s, nil
		}),
		getData.With(func(context.Context, *hubwire.Conn, hubwire.None) ([]any, error) { return []any{"hello", 5}, nil }),
		echo.With(func(_ context.Context, _ *hubwire.Conn, v json.RawMessage) (json.RawMessage, error) { return v, nil }),
		text.With(func(_ context.Context, _ *hubwire.Conn, v string) (string, error) { return v, nil }),
		nothing.With(func(context.Context, *hubwire.Conn, hubwire.None) (any, error) { return nil, nil }),
		update.With(none), hello.With(none), notesum.With(none),
	)
	if g != nil {
		hub.Handle(wait.With(g.wait), slowNote.With(func(ctx context.Context, c *hubwire.Conn, s string) error {
			_, err := g.wait(ctx, c, s)
			return err
		}))
	}
	hub.Handle(more...)
	return hub
}
