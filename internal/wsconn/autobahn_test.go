package wsconn_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// A course is one case: what the client sends, step by step, what comes back,
// and how it ends. The cases follow those of the Autobahn test suite, chapters
// 1 to 7, by number; what they expect is what that suite calls OK.
type course struct {
	name  string
	steps []step
	code  int // of the server's close frame; 0: nothing is wrong, the client closes
}

type step struct {
	send []byte
	want []frame
}

// say is a step.
func say(send []byte, want ...frame) step { return step{send, want} }

func one(name string, send []byte, want ...frame) course {
	return course{name: name, steps: []step{{send, want}}}
}

func bad(name string, code int, send []byte, want ...frame) course {
	return course{name: name, steps: []step{{send, want}}, code: code}
}

func txt(s string) frame   { return frame{op: wsconn.OpText, payload: s} }
func bin(s string) frame   { return frame{op: wsconn.OpBinary, payload: s} }
func pong(s string) frame  { return frame{op: wsconn.OpPong, payload: s} }
func ping(s string) []byte { return f(0x89, s) }

// pieces cuts s into fragments of n bytes of a text message.
func pieces(s string, n int) (all []byte) {
	first := byte(0x01)
	for len(s) > n {
		all = append(all, f(first, s[:n])...)
		s, first = s[n:], 0
	}
	return append(all, f(first|0x80, s)...)
}

func chapter1() (cs []course) {
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		s := strings.Repeat("*", n)
		b := strings.Repeat("\xfe", n)
		cs = append(cs,
			one(fmt.Sprintf("1.1.%d text of %d bytes", i+1, n), text(s), txt(s)),
			one(fmt.Sprintf("1.2.%d binary of %d bytes", i+1, n), f(0x82, b), bin(b)))
	}
	return cs
}

func chapter2() []course {
	long := strings.Repeat("\xfe", 125)
	var pings []byte
	var pongs []frame
	for i := range 10 {
		s := fmt.Sprint("payload-", i)
		pings = append(pings, ping(s)...)
		pongs = append(pongs, pong(s))
	}
	return []course{
		one("2.1 ping without payload", ping(""), pong("")),
		one("2.2 ping with text", ping("Hello, world!"), pong("Hello, world!")),
		one("2.3 ping with bytes that are no text", ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), pong("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		one("2.4 ping of 125 bytes", ping(long), pong(long)),
		bad("2.5 ping of 126 bytes", 1002, ping(long+"\xfe")),
		one("2.7 pong that nobody asked for", f(0x8a, "")),
		one("2.8 the same with payload", f(0x8a, "unsolicited pong payload")),
		one("2.9 the same, then a ping", join(f(0x8a, "unsolicited"), ping("ping payload")), pong("ping payload")),
		one("2.10 ten pings", pings, pongs...),
		bad("2.12 pong of 126 bytes", 1002, f(0x8a, long+"\xfe")),
	}
}

func chapter3() []course {
	hello, again := "Hello, world!", ping("")
	return []course{
		bad("3.1 rsv 1", 1002, f(0x81|0x10, hello)),
		bad("3.2 rsv 2 after a good one", 1002, join(text(hello), f(0x81|0x20, hello), again), txt(hello)),
		bad("3.3 rsv 3 after a good one", 1002, join(text(hello), f(0x81|0x30, hello), again), txt(hello)),
		bad("3.4 rsv 4 after a good one (the bit of deflate)", 1002, join(text(hello), f(0x81|0x40, hello), again), txt(hello)),
		bad("3.5 rsv 5 on a binary frame", 1002, f(0x82|0x50, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		bad("3.6 rsv 6 on a ping", 1002, f(0x89|0x60, hello)),
		bad("3.7 rsv 7 on a close", 1002, f(0x88|0x70, "")),
	}
}

func chapter4() (cs []course) {
	hello := "Hello, world!"
	for i := range byte(5) {
		p := ""
		if i%2 == 1 {
			p = "reserved opcode payload"
		}
		cs = append(cs,
			bad(fmt.Sprintf("4.1.%d opcode %d", i+1, 3+i), 1002, f(0x83+i, p)),
			bad(fmt.Sprintf("4.2.%d opcode %d", i+1, 11+i), 1002, f(0x8b+i, p)),
			bad(fmt.Sprintf("4.1.%d after a good one", i+1), 1002, join(text(hello), f(0x83+i, p), ping("")), txt(hello)),
			bad(fmt.Sprintf("4.2.%d after a good one", i+1), 1002, join(text(hello), f(0x8b+i, p), ping("")), txt(hello)))
	}
	return cs
}

func chapter5() []course {
	a, b := f(0x01, "fragment1"), f(0x80, "fragment2")
	both := txt("fragment1fragment2")
	five := func(i int) []byte {
		switch i {
		case 1:
			return a
		case 5:
			return f(0x80, "fragment5")
		}
		return f(0x00, fmt.Sprint("fragment", i))
	}
	return []course{
		bad("5.1 ping in two fragments", 1002, join(f(0x09, "fragment1"), b)),
		bad("5.2 pong in two fragments", 1002, join(f(0x0a, "fragment1"), b)),
		one("5.3 text in two fragments", join(a, b), both),
		one("5.6 ping between", join(a, ping("ping payload"), b), pong("ping payload"), both),
		{name: "5.6 answered between", steps: []step{say(join(a, ping("x")), pong("x")), say(b, both)}},
		bad("5.9 continuation without a start, then text", 1002, join(f(0x80, "non-continuation payload"), text("Hello"))),
		bad("5.12 continuation that is not the last, without a start", 1002, join(f(0x00, "non-continuation payload"), text("Hello"))),
		bad("5.15 continuation behind a message", 1002, join(a, b, f(0x00, "fragment3"), f(0x81, "fragment4")), both),
		bad("5.16 continuation first, twice", 1002, join(f(0x00, "f1"), f(0x01, "f2"), f(0x80, "f3"))),
		bad("5.17 last continuation first, twice", 1002, join(f(0x80, "f1"), f(0x01, "f2"), f(0x80, "f3"))),
		bad("5.18 text inside a text", 1002, join(a, f(0x81, "fragment2"))),
		bad("5.18 binary inside a text", 1002, join(a, f(0x82, "fragment2"))),
		bad("5.18 a second start inside a text", 1002, join(a, f(0x01, "fragment2"))),
		{name: "5.19 five fragments, two pings", steps: []step{
			say(join(five(1), five(2), ping("pongme 1!")), pong("pongme 1!")),
			say(join(five(3), five(4), ping("pongme 2!"), five(5)), pong("pongme 2!"), txt("fragment1fragment2fragment3fragment4fragment5")),
		}},
		one("5.x binary in three, one of them empty", join(f(0x02, "a"), f(0x00, ""), f(0x80, "b")), bin("ab")),
	}
}

// kosme and other are good UTF-8; the rest of 6 is after Markus Kuhn's table of
// stress cases, as the suite's chapter is.
const (
	kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
	other = "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"
)

var goodText = []string{
	// 6.5, 6.6: whole sequences
	kosme, "\xce\xba", "\xce\xba\xe1\xbd\xb9", "\xce\xba\xe1\xbd\xb9\xcf\x83", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc", other,
	// 6.7: first of each length
	"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80",
	// 6.9: last of each length
	"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf",
	// 6.11: around the surrogates
	"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf",
	// 6.22, 6.23: noncharacters and specials are characters
	"\xef\xbf\xbe", "\xef\xb7\x90", "\xef\xb7\xaf", "\xf0\x9f\xbf\xbe", "\xf0\x9f\xbf\xbf", "\xf0\xaf\xbf\xbe", "\xf0\xbf\xbf\xbf",
	"\xf1\x8f\xbf\xbe", "\xf1\xbf\xbf\xbf", "\xf2\x8f\xbf\xbe", "\xf3\xbf\xbf\xbf", "\xf4\x8f\xbf\xbe",
	"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", "\xef\xbb\xbf",
}

var badText = []string{
	// 6.3: a surrogate inside
	kosme + "\xed\xa0\x80edited",
	// 6.6: sequences that end early
	"\xce", kosme[:3], kosme[:4], kosme[:6], kosme[:8], kosme[:10],
	// 6.8: five and six bytes
	"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
	// 6.10: above U+10FFFF
	"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf", "\xf4\x90\x80\x80",
	// 6.12: lone continuation bytes
	"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf",
	// 6.13: lone starts
	"\xc0 \xc1 \xc2 ", "\xe0 \xe1 \xe2 ", "\xf0 \xf1 \xf2 ", "\xf8 \xf9 ", "\xfc ",
	// 6.14: the last byte is missing
	"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	// 6.15: all of them
	"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf",
	// 6.16: bytes that never are
	"\xfe", "\xff", "\xfe\xfe\xff\xff",
	// 6.17 to 6.19: too long forms
	"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf",
	"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf",
	"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80",
	// 6.20, 6.21: surrogates, alone and paired
	"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf",
	"\xed\xa0\x80\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf", "\xed\xaf\xbf\xed\xbf\xbf",
}

func chapter6() []course {
	cs := []course{
		one("6.1.1 empty text", text(""), txt("")),
		one("6.1.2 three empty fragments", join(f(0x01, ""), f(0x00, ""), f(0x80, "")), txt("")),
		one("6.1.3 the middle one is not empty", join(f(0x01, ""), f(0x00, "middle frame payload"), f(0x80, "")), txt("middle frame payload")),
		one("6.2.2 two fragments, cut between characters", join(f(0x01, other[:8]), f(0x80, other[8:])), txt(other)),
		one("6.2.3 fragments of one byte", pieces(other, 1), txt(other)),
		one("6.2.4 the same", pieces(kosme, 1), txt(kosme)),
		one("6.2.x a ping inside a character", join(f(0x01, kosme[:1]), ping(kosme[:1]), f(0x80, kosme[1:])), pong(kosme[:1]), txt(kosme)),
		bad("6.3.2 bad text, fragments of one byte", 1007, pieces(kosme+"\xed\xa0\x80edited", 1)),
		// Fail fast: the message never ends, and is refused all the same.
		bad("6.4.1 the second of three fragments", 1007, join(f(0x01, kosme), f(0x00, "\xf4\x90\x80\x80"))),
		bad("6.4.2 the first bad byte", 1007, join(f(0x01, kosme+"\xf4"), f(0x00, "\x90"))),
		bad("6.4.3 inside a frame", 1007, f(0x81, kosme+"\xf4\x90\x80\x80edited")[:6+len(kosme)+4]),
		bad("6.4.4 the first bad byte inside a frame", 1007, f(0x81, kosme+"\xf4\x90\x80\x80edited")[:6+len(kosme)+2]),
		bad("6.x a character over two messages", 1007, join(text(kosme[:1]), text(kosme[1:]))),
		one("6.x binary is not looked at", f(0x82, "\xff\xfe\x80"), bin("\xff\xfe\x80")),
	}
	for i, s := range goodText {
		cs = append(cs,
			one(fmt.Sprintf("6.5-23 good %d", i), text(s), txt(s)),
			one(fmt.Sprintf("6.5-23 good %d in fragments", i), pieces(s, 1), txt(s)))
	}
	for i, s := range badText {
		cs = append(cs,
			bad(fmt.Sprintf("6.6-21 bad %d", i), 1007, text(s)),
			bad(fmt.Sprintf("6.6-21 bad %d in fragments", i), 1007, pieces(s, 1)))
	}
	return cs
}

func chapter7() []course {
	cs := []course{
		{name: "7.1.1 message, then close", steps: []step{say(join(text("Hello World!"), code(1000, "")), txt("Hello World!"))}, code: 1000},
		bad("7.1.2 two close frames", 1000, join(code(1000, ""), code(1000, ""))),
		bad("7.1.3 ping behind a close frame", 1000, join(code(1000, ""), ping("late"))),
		bad("7.1.4 text behind a close frame", 1000, join(code(1000, ""), text("late"))),
		bad("7.1.5 close inside a message, and its end", 1000, join(f(0x01, "fragment1"), code(1000, ""), f(0x80, "fragment2"))),
		bad("7.1.6 large message, close, ping", 1000, join(text(strings.Repeat("BAsd7&jh23", 26_000)), code(1000, ""), ping("")), txt(strings.Repeat("BAsd7&jh23", 26_000))),
		bad("7.3.1 close without payload", 1000, f(0x88, "")),
		bad("7.3.2 close of one byte", 1002, f(0x88, "a")),
		bad("7.3.3 close with a code", 1000, code(1000, "")),
		bad("7.3.4 close with a reason", 1000, code(1000, "Hello World!")),
		bad("7.3.5 close of 125 bytes", 1000, code(1000, strings.Repeat("*", 123))),
		bad("7.3.6 close of 126 bytes", 1002, code(1000, strings.Repeat("*", 124))),
		bad("7.5.1 a reason that is not text", 1007, code(1000, kosme+"\xed\xa0\x80edited")),
	}
	for i, n := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cs = append(cs, bad(fmt.Sprintf("7.7.%d close with %d", i+1, n), 1000, code(n, "")))
	}
	for i, n := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cs = append(cs, bad(fmt.Sprintf("7.9.%d close with %d", i+1, n), 1002, code(n, "")))
	}
	return cs
}

// TestAutobahn runs all cases over each kind of connection, and cut in ways that
// TCP may cut them.
func TestAutobahn(t *testing.T) {
	var all []course
	for _, chapter := range []func() []course{chapter1, chapter2, chapter3, chapter4, chapter5, chapter6, chapter7} {
		all = append(all, chapter()...)
	}
	ordinary := wsconn.Ordinary(wsconn.Config{})
	t.Run("direct", func(t *testing.T) { walk(t, all, start(t, nil), 0) })
	t.Run("direct in bytes", func(t *testing.T) { walk(t, all, start(t, nil), 1) })
	t.Run("direct in 997", func(t *testing.T) { walk(t, all, start(t, nil), 997) })
	t.Run("ordinary", func(t *testing.T) { walk(t, all, start(t, ordinary), 0) })
	t.Run("TLS", func(t *testing.T) {
		s := serve(t, &server{})
		s.StartTLS()
		walk(t, all, s, 0)
	})
	t.Run("pipe in bytes", func(t *testing.T) {
		s := serve(t, &server{})
		l := newPipes()
		s.dialer = l.dial
		s.Listener.Close()
		s.Listener = l
		s.Start()
		walk(t, all, s, 1)
	})
}

func start(t *testing.T, cfg *wsconn.Config) *server {
	s := serve(t, &server{cfg: cfg})
	s.Start()
	return s
}

func walk(t *testing.T, cs []course, s *server, chop int) {
	for _, c := range cs {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, dial(t, s), s, chop)
		})
	}
}

func (c course) run(t *testing.T, p *peer, s *server, chop int) {
	if chop > 0 {
		p.Conn = chopped{p.Conn, chop}
	}
	for _, s := range c.steps {
		// After an error the server may be gone before all has been sent.
		if _, err := p.Write(s.send); err != nil && c.code == 0 {
			t.Fatal(err)
		}
		p.want(t, s.want...)
	}
	want := c.code
	if want == 0 {
		want = 1000
		p.send(t, code(1000, ""))
	}
	p.wantClosed(t, want)
	if want != 1000 {
		p.Close() // the server waits for this after an error, for a while
	}
	err := s.end(t)
	if want == 1000 {
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	} else if e, ok := errors.AsType[*wsconn.CloseError](err); !ok || e.Code != want {
		t.Errorf("Serve: %v, want a CloseError with %d", err, want)
	}
}

// A chopped writes at most n bytes at once; long input in larger pieces, to come
// to an end.
type chopped struct {
	net.Conn
	n int
}

func (c chopped) Write(p []byte) (done int, err error) {
	n := max(c.n, len(p)/2000)
	for done < len(p) && err == nil {
		var m int
		m, err = c.Conn.Write(p[done:min(done+n, len(p))])
		done += m
	}
	return done, err
}
