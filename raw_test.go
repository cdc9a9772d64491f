package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// A rawLink is a wire of which the test holds every part: it writes nothing
// until it is told what to take, and keeps what it took.
type rawLink struct {
	proto wire.Protocol
	port  *hubwire.Port

	mu     sync.Mutex
	took   strings.Builder
	room   int        // bytes that TryWrite and Write may take; negative: no bound
	jitter *rand.Rand // TryWrite takes as much as it says
	err    error
	wake   chan struct{}
	closed chan struct{}
	reason error
	pass   func() // for those that take turns
}

// Pass makes another goroutine the reader.
func (l *rawLink) Pass() { l.pass() }

// A rawProtocol writes an event as name(args) and a newline.
type rawProtocol struct{ name string }

var (
	rawA = &rawProtocol{"raw.a"}
	rawB = &rawProtocol{"raw.b"}
)

func (p *rawProtocol) Name() string      { return p.name }
func (p *rawProtocol) Codec() wire.Codec { return jsonwire.Codec{} }

func (p *rawProtocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	if callID != "" {
		dst = append(append(dst, callID...), '?')
	}
	dst = append(append(dst, name...), '(')
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, a...)
	}
	return append(dst, ")\n"...), nil
}

type rawFraming struct{ p wire.Protocol }

func (f rawFraming) Protocol() wire.Protocol { return f.p }

func (f rawFraming) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = append(dst, r.Bytes...)
	}
	return dst
}

func (l *rawLink) Framing() wire.Framing { return rawFraming{l.proto} }

func (l *rawLink) TryWrite(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	if l.jitter != nil && l.jitter.IntN(2) == 0 {
		p = p[:l.jitter.IntN(len(p)+1)]
	}
	return l.takeLocked(p), nil
}

func (l *rawLink) takeLocked(p []byte) int {
	if l.room >= 0 {
		p = p[:min(len(p), l.room)]
		l.room -= len(p)
	}
	l.took.Write(p)
	return len(p)
}

func (l *rawLink) Write(p []byte) error {
	for {
		l.mu.Lock()
		if l.err != nil {
			l.mu.Unlock()
			return l.err
		}
		if p = p[l.takeLocked(p):]; len(p) == 0 {
			l.mu.Unlock()
			return nil
		}
		wake := l.wake
		l.mu.Unlock()
		<-wake
	}
}

func (l *rawLink) Close(reason error, reconnect bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return
	default:
	}
	l.reason = reason
	close(l.closed)
	l.failLocked(errors.New("closed"))
}

func (l *rawLink) failLocked(err error) {
	if l.err == nil {
		l.err = err
	}
	close(l.wake)
	l.wake = make(chan struct{})
}

// take lets the link take n more bytes; a negative n is no bound.
func (l *rawLink) take(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room = n
	close(l.wake)
	l.wake = make(chan struct{})
}

// fail makes the transport fail.
func (l *rawLink) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(errors.New("reset by peer"))
}

// text is what was taken, as lines.
func (l *rawLink) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.took.String()
}

var rawIDs atomic.Int64

// open connects; room is what take takes.
func open(t testing.TB, hub *hubwire.Hub, p wire.Protocol, room int) *rawLink {
	t.Helper()
	hub.Expose(rawA, rawB)
	l := &rawLink{proto: p, room: room, wake: make(chan struct{}), closed: make(chan struct{})}
	port, err := hub.Open(t.Context(), l, fmt.Sprintf("raw%d", rawIDs.Add(1)), nil, &hubwire.Request{Wire: "raw"})
	check(t, err)
	l.port = port
	t.Cleanup(func() {
		l.Close(nil, false)
		port.Unblock()
		port.End(nil)
	})
	return l
}

// A rawCall is the outcome of a call, as the hub reports it to a wire.
type rawCall struct {
	link  *rawLink
	done  chan struct{}
	mu    sync.Mutex
	items []any
	v     any
	err   error
}

func (r *rawCall) Item(ctx context.Context, v any) error {
	r.mu.Lock()
	r.items = append(r.items, v)
	r.mu.Unlock()
	return r.link.port.Item(ctx, fmt.Appendf(nil, "item %v\n", v))
}

func (r *rawCall) Done(v any, err error) {
	r.v, r.err = v, err
	text := fmt.Sprintf("result %v\n", v)
	if err != nil {
		text = fmt.Sprintf("error %v\n", err)
	}
	r.link.port.Put([]byte(text))
	close(r.done)
}

// start starts a call whose outcome the test looks at.
func (l *rawLink) start(in wire.Call) *rawCall {
	r := &rawCall{link: l, done: make(chan struct{})}
	in.Reply = r
	if in.Args.Codec == nil {
		in.Args.Codec = jsonwire.Codec{}
	}
	l.port.Start(&in)
	return r
}

// list is positional arguments in JSON.
func list(args ...string) wire.Values {
	v := wire.Values{Codec: jsonwire.Codec{}}
	for _, a := range args {
		v.List = append(v.List, []byte(a))
	}
	return v
}

// named is arguments by name: pairs of name and JSON; whole is all of them.
func named(whole string, pairs ...string) wire.Values {
	v := wire.Values{Codec: jsonwire.Codec{}, List: [][]byte{[]byte(whole)}, Named: map[string][]byte{}}
	for i := 0; i < len(pairs); i += 2 {
		v.Named[pairs[i]] = []byte(pairs[i+1])
	}
	return v
}

// A rawSource is an upload of JSON values, then err or the end.
type rawSource struct {
	mu     sync.Mutex
	values []string
	err    error
	closed bool
}

func (s *rawSource) Next(ctx context.Context, into any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.values) == 0 {
		if s.err != nil {
			return s.err
		}
		return io.EOF
	}
	v := s.values[0]
	s.values = s.values[1:]
	return jsonwire.Codec{}.Decode([]byte(v), into)
}

func (s *rawSource) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func fault(err error) wire.FaultKind {
	if f, ok := errors.AsType[*wire.Fault](err); ok {
		return f.Kind
	}
	return 0
}
