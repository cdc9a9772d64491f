package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Describe parses one payload and tells its messages.
func Describe(protocolName string, b []byte) string {
	p := protocolByName(protocolName)
	var m message
	var told []string
	for len(b) > 0 {
		body, size, err := p.next(b, 0)
		if err == nil && size > 0 {
			err = p.parse(&m, body)
		}
		switch {
		case err != nil:
			return strings.Join(append(told, "!"+err.Error()), "; ")
		case size == 0:
			return strings.Join(append(told, "…"), "; ")
		}
		told = append(told, m.String())
		b = b[size:]
	}
	return strings.Join(told, "; ")
}

func (m *message) String() string {
	s := fmt.Sprint(int(m.kind))
	if len(m.id) > 0 {
		s += " id=" + string(m.id)
	}
	if m.target != nil {
		s += " target=" + string(m.target) + " args="
		for _, a := range m.args {
			s += fmt.Sprintf("(%s)", a)
		}
	}
	if m.argsErr != nil {
		s += " args: " + m.argsErr.Error()
	}
	if m.value != nil {
		s += fmt.Sprintf(" value=%s", m.value)
	}
	if m.failed {
		s += fmt.Sprintf(" error=%q", m.text)
	}
	if m.reconnect {
		s += " reconnect"
	}
	if m.kind == ack || m.kind == sequence {
		s += fmt.Sprint(" ", m.sequence)
	}
	return s
}

// Written are the messages that a client writes, by name.
func Written(protocolName string) map[string][]byte {
	p := protocolByName(protocolName)
	must := func(b []byte, err error) []byte {
		if err != nil {
			panic(err)
		}
		return b
	}
	return map[string][]byte{
		"call":        must(p.appendCall(nil, &outgoing{id: "xyz", target: "method", args: []any{42}})),
		"send":        must(p.appendCall(nil, &outgoing{target: "method", args: []any{42}})),
		"none":        must(p.appendCall(nil, &outgoing{id: "1", target: "m"})),
		"stream":      must(p.appendCall(nil, &outgoing{id: "xyz", stream: true, target: "method", args: []any{42}})),
		"uploads":     must(p.appendCall(nil, &outgoing{id: "3", target: "m", args: []any{"a", nil}, streams: []string{"1", "2"}})),
		"item":        must(p.appendItem(nil, "xyz", 42)),
		"result":      must(p.appendResult(nil, "xyz", 42)),
		"null":        must(p.appendResult(nil, "xyz", nil)),
		"end":         p.appendEnd(nil, "xyz"),
		"failure":     p.appendFailure(nil, "xyz", "Error"),
		"cancel":      p.appendCancel(nil, "xyz"),
		"ping":        p.appendPing(nil),
		"close":       p.appendClose(nil),
		"ack 1":       p.appendAck(nil, 1),
		"ack 300":     p.appendAck(nil, 300),
		"sequence 19": p.appendSequence(nil, 19),
	}
}

// Feed gives a session what a server sends, in chunks of n bytes, and tells what
// came of it: events, questions, the outcomes of the calls 1 (a method) and 2 (a
// stream), and the end.
func Feed(protocolName string, stateful bool, b []byte, n int) string {
	opts := (&Options{MaxMessage: 1 << 16, Queue: 1 << 20}).withDefaults()
	c := &Conn{opts: opts, proto: protocolByName(protocolName), inbox: newInbox(), flow: flow{limit: opts.Queue}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	defer c.cancel()
	s := c.newSession(&endpoint{}, "", stateful)
	one := &call{session: s, id: "1", kind: 2, came: make(chan struct{}, 1)}
	two := &call{session: s, id: "2", kind: 3, came: make(chan struct{}, 1)}
	s.calls["1"], s.calls["2"] = one, two
	err := s.read(c.ctx, &chunks{b: b, n: n})
	told := fmt.Sprintf("end %v, again %v, farewell %v, latest %d", err, s.again, s.farewell, s.times.latest.Load())
	jobs, _ := c.inbox.all(nil)
	for _, j := range jobs {
		told += fmt.Sprintf("; %s %q", j.name, j.id)
		for _, a := range j.values.List {
			told += fmt.Sprintf(" %q", a)
		}
	}
	for _, k := range []*call{one, two} {
		told += fmt.Sprintf("; %q %v", k.values, k.err)
	}
	s.end(nil)
	return told
}

type chunks struct {
	transport
	b []byte
	n int
}

func (c *chunks) read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, errors.New("over")
	}
	n := copy(p, c.b[:min(c.n, len(c.b))])
	c.b = c.b[n:]
	return n, nil
}

// Events is the data of an event stream, read with a buffer of n bytes.
func Events(b []byte, n int) []byte {
	r := &eventReader{src: bufio.NewReaderSize(strings.NewReader(string(b)), 16)}
	var out []byte
	p := make([]byte, n)
	for {
		n, err := r.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			return out
		}
	}
}

// Negotiation and Handshake parse what a server answers.
func Negotiation(b []byte) (id, token string, err error) {
	n, err := parseNegotiation(b)
	if err != nil {
		return "", "", err
	}
	return n.ID, n.Token, nil
}

func Handshake(b []byte) error { return parseHandshake(b) }
