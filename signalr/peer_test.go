package signalr_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// A network is a listener whose connections are pipes in memory, so that a
// server and its clients live in one synctest bubble.
type network struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newNetwork() *network { return &network{conns: make(chan net.Conn), done: make(chan struct{})} }

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { n.once.Do(func() { close(n.done) }); return nil }
func (n *network) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (n *network) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

// A site is a mux with one hub at /hub, reached through memory.
type site struct {
	t   testing.TB
	net *network
	hub *hubwire.Hub
	srv *http.Server

	polled sync.Map // tokens of polled connections, with the headers of their requests
}

// serve mounts hub at /hub for as long as the test runs.
func serve(t testing.TB, hub *hubwire.Hub, opts *signalr.Options) *site {
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub, opts)
	return serveHandler(t, hub, mux)
}

func serveHandler(t testing.TB, hub *hubwire.Hub, h http.Handler) *site {
	s := &site{t: t, net: newNetwork(), hub: hub, srv: &http.Server{Handler: h}}
	done := make(chan struct{})
	go func() { // ends when the test ends
		defer close(done)
		_ = s.srv.Serve(s.net)
	}()
	t.Cleanup(func() {
		s.polled.Range(func(token, header any) bool { // nothing else ends them but time
			s.tryDelete(token.(string), header.([]string))
			return true
		})
		s.srv.Close()
		<-done
	})
	return s
}

// A reply is an HTTP answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// request makes one HTTP request on a connection of its own.
func (s *site) request(method, target string, header ...string) reply {
	s.t.Helper()
	c, err := s.net.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	r, err := exchange(c, bufio.NewReader(c), method, target, header)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, target, err)
	}
	return r
}

func exchange(c net.Conn, br *bufio.Reader, method, target string, header []string) (reply, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	host := false
	for _, h := range header {
		host = host || strings.HasPrefix(h, "Host:")
		b.WriteString(h + "\r\n")
	}
	if !host {
		b.WriteString("Host: example.com\r\n")
	}
	if method == http.MethodPost {
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(c, b.String()); err != nil {
		return reply{}, err
	}
	req, _ := http.NewRequest(method, "http://example.com/", nil)
	res, err := http.ReadResponse(br, req)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: res.StatusCode, header: res.Header}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return r, nil
	}
	body, err := io.ReadAll(res.Body)
	r.body = string(body)
	return r, err
}

var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// A peer is a raw client: it writes WebSocket frames and reads them, and knows
// nothing of SignalR but where a message ends.
type peer struct {
	t      testing.TB
	c      net.Conn
	br     *bufio.Reader
	binary bool // the protocol is MessagePack
	frames chan frame
	have   []byte // hub bytes that were not looked at
	joined []byte // of frames
}

type frame struct {
	op      byte
	payload []byte
	err     error
}

// dial opens a WebSocket at target.
func (s *site) dial(target string, header ...string) *peer {
	s.t.Helper()
	p, r := s.tryDial(target, header...)
	if r.status != http.StatusSwitchingProtocols {
		s.t.Fatalf("upgrade of %s: %d %q", target, r.status, r.body)
	}
	return p
}

func (s *site) tryDial(target string, header ...string) (*peer, reply) {
	s.t.Helper()
	c, err := s.net.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &peer{t: s.t, c: c, br: bufio.NewReader(c), frames: make(chan frame, 10_000)}
	s.t.Cleanup(func() { c.Close() })
	r, err := exchange(c, p.br, http.MethodGet, target, append(upgrade[:len(upgrade):len(upgrade)], header...))
	if err != nil {
		s.t.Fatalf("upgrade of %s: %v", target, err)
	}
	if r.status == http.StatusSwitchingProtocols {
		go p.read() // ends with the connection
	}
	return p, r
}

// connect opens a WebSocket and shakes hands.
func (s *site) connect(protocol string) *peer {
	s.t.Helper()
	p := s.dial("/hub")
	p.shake(protocol)
	return p
}

func (p *peer) shake(protocol string) {
	p.t.Helper()
	p.text(`{"protocol":"` + protocol + `","version":1}` + "\x1e")
	if got := p.record(); got != "{}" {
		p.t.Fatalf("handshake: %q", got)
	}
	p.binary = protocol == "messagepack"
}

// read runs beside the test, as a pipe has no buffer.
func (p *peer) read() {
	for {
		op, payload, err := readFrame(p.br)
		p.frames <- frame{op, payload, err}
		if err != nil {
			return
		}
	}
}

func readFrame(r io.Reader) (op byte, payload []byte, err error) {
	var h [10]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1] & 0x7F)
	switch n {
	case 126:
		_, err = io.ReadFull(r, h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		_, err = io.ReadFull(r, h[2:10])
		n = binary.BigEndian.Uint64(h[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	if h[0]&0x80 == 0 || h[1]&0x80 != 0 {
		return 0, nil, errors.New("a fragment, or a mask")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return h[0] & 0x0F, payload, err
}

// send writes one frame.
func (p *peer) send(first byte, payload []byte) {
	p.t.Helper()
	if err := p.trySend(first, payload); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) trySend(first byte, payload []byte) error {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	_, err := p.c.Write(b)
	return err
}

func (p *peer) text(s string) { p.t.Helper(); p.send(0x81, []byte(s)) }
func (p *peer) bin(b []byte)  { p.t.Helper(); p.send(0x82, b) }

// records sends JSON records, ␞ standing for the separator, in a text frame; or
// the MessagePack that a string of hex digits writes, in a binary one.
func (p *peer) records(s string) {
	p.t.Helper()
	if p.binary {
		b, err := hex.DecodeString(s)
		if err != nil {
			p.t.Fatal(err)
		}
		p.bin(b)
		return
	}
	p.text(strings.ReplaceAll(s, "␞", "\x1e"))
}

// next is the next frame.
func (p *peer) next() frame {
	p.t.Helper()
	select {
	case f := <-p.frames:
		return f
	case <-time.After(time.Minute):
		p.t.Fatal("no frame for a minute")
		panic("unreachable")
	}
}

// record is the next hub message: JSON without its separator, or MessagePack
// with its length, in hex. Frames of the wrong opcode fail the test.
func (p *peer) record() string {
	p.t.Helper()
	for {
		if !p.binary {
			if i := strings.IndexByte(string(p.have), 0x1E); i >= 0 {
				s := string(p.have[:i])
				p.have = p.have[i+1:]
				return s
			}
		} else if len(p.have) > 0 {
			n, at := 0, 0
			for shift := 0; ; shift += 7 {
				c := p.have[at]
				at++
				if n |= int(c&0x7F) << shift; c < 0x80 {
					break
				}
			}
			if len(p.have) < at+n {
				p.t.Fatalf("a message was split: %x", p.have)
			}
			s := hex.EncodeToString(p.have[:at+n])
			p.have = p.have[at+n:]
			return s
		}
		f := p.next()
		want := byte(1)
		if p.binary {
			want = 2
		}
		switch {
		case f.err != nil:
			p.t.Fatalf("instead of a message: %v", f.err)
		case f.op == 8:
			p.t.Fatalf("instead of a message: close %x", f.payload)
		case f.op == 2 && string(f.payload[:3]) == handshakeAnswer: // of MessagePack
		case f.op != want:
			p.t.Fatalf("opcode %d instead of %d: %q", f.op, want, f.payload)
		}
		p.have = append(p.have, f.payload...)
	}
}

const handshakeAnswer = "{}\x1e"

// want checks the messages that come next.
func (p *peer) want(records ...string) {
	p.t.Helper()
	for _, want := range records {
		if got := p.record(); got != want {
			p.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// wantClose checks that nothing but a close frame with code comes, answers it
// and waits for the end.
func (p *peer) wantClose(code int) {
	p.t.Helper()
	if len(p.have) > 0 {
		p.t.Fatalf("before the close frame: %q", p.have)
	}
	f := p.next()
	if f.err != nil || f.op != 8 || len(f.payload) != 2 || int(binary.BigEndian.Uint16(f.payload)) != code {
		p.t.Fatalf("got frame %d %q (%v), want close %d", f.op, f.payload, f.err, code)
	}
	_ = p.trySend(0x88, f.payload) // the server may have gone
	if f := p.next(); f.err == nil {
		p.t.Fatalf("behind the close frame: %d %q", f.op, f.payload)
	}
}

// wantEnd checks that the connection ends without a word.
func (p *peer) wantEnd() {
	p.t.Helper()
	if f := p.next(); f.err == nil {
		p.t.Fatalf("instead of the end: %d %q", f.op, f.payload)
	}
}

// call sends an Invocation of JSON.
func (p *peer) call(id, target, arguments string) {
	p.t.Helper()
	p.records(`{"type":1,"invocationId":"` + id + `","target":"` + target + `","arguments":[` + arguments + `]}␞`)
}

// negotiate returns the connection id and token.
func (s *site) negotiate(query string) (id, token string) {
	s.t.Helper()
	r := s.request(http.MethodPost, "/hub/negotiate?negotiateVersion=1"+query)
	id, token = member(r.body, "connectionId"), member(r.body, "connectionToken")
	if r.status != 200 || id == "" || token == "" {
		s.t.Fatalf("negotiate: %d %s", r.status, r.body)
	}
	return id, token
}

// member is a string member of a flat JSON object.
func member(body, name string) string {
	_, rest, ok := strings.Cut(body, `"`+name+`":"`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
