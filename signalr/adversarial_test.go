package signalr_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/signalr"
)

// The rows of the list of adversarial inputs that concern the hub protocols. In
// each the answer is a clear error or a close with the right code, and the
// server serves others as before: alive checks that.

func (s *site) alive() {
	s.t.Helper()
	p := s.connect("json")
	p.call("alive", "Echo", `"yes"`)
	p.want(`{"type":3,"invocationId":"alive","result":"yes"}`)
	p.c.Close()
}

// fatal sends records to a connection of its own and checks that it is closed
// with an error; then that others are not.
func (s *site) fatal(name, protocol, records string) {
	s.t.Helper()
	p := s.connect(protocol)
	p.records(records)
	want := closedText
	if protocol == "messagepack" {
		want = "259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec3"
	}
	if got := p.record(); got != want {
		s.t.Errorf("%s: %s", name, got)
	}
	p.wantClose(1000)
	s.alive()
}

// harmless sends records and checks that the connection still answers; what
// comes first are the given answers.
func (s *site) harmless(name, records string, answers ...string) {
	s.t.Helper()
	p := s.connect("json")
	p.records(records)
	for _, want := range answers {
		if got := p.record(); got != want {
			s.t.Errorf("%s:\n got %.300s\nwant %.300s", name, got, want)
		}
	}
	p.call("fence", "Echo", `"x"`)
	if got := p.record(); got != `{"type":3,"invocationId":"fence","result":"x"}` {
		s.t.Errorf("%s: %.300s", name, got)
	}
	p.c.Close()
}

// No handshake for 15 s, and one byte per second.
func TestAdversarial17NoHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		start := time.Now()
		p := s.dial("/hub")
		for _, c := range []byte(`{"protocol":"js`) {
			if p.trySend(0x81, []byte{c}) != nil {
				break
			}
			time.Sleep(time.Second)
		}
		p.want(`{"error":"Handshake was canceled."}`)
		if d := time.Since(start); d > 16*time.Second {
			t.Errorf("after %v", d)
		}
		p.wantClose(1000)
		s.alive()
	})
}

// No separator, two handshakes, a message in the same frame, the separator in a
// frame of its own.
func TestAdversarial18Separators(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.dial("/hub")
	p.text(`{"protocol":"json","version":1}`)
	p.text("\x1e{\"type\":6}\x1e{\"type\":1,\"invocationId\":\"1\",\"target\":\"Echo\",\"arguments\":[\"a\"]}")
	p.text("\x1e")
	p.want("{}", `{"type":3,"invocationId":"1","result":"a"}`)
	p.text("{\"protocol\":\"json\",\"version\":1}\x1e")
	p.want(closedText)
	p.wantClose(1000)
	s.alive()
}

// The protocol unknown, in another case, null, a number; odd versions.
func TestAdversarial19Protocols(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	const odd = `{"error":"An unexpected error occurred during connection handshake."}`
	for request, want := range map[string]string{
		`{"protocol":"xml","version":1}`:           `{"error":"The protocol 'xml' is not supported."}`,
		`{"protocol":"MessagePack","version":2}`:   "{}",
		`{"protocol":null,"version":1}`:            odd,
		`{"protocol":7,"version":1}`:               odd,
		`{"protocol":"json","version":2147483648}`: odd,
		`{"protocol":"json","version":2147483647}`: `{"error":"The server does not support version 2147483647 of the 'json' protocol."}`,
		`{"protocol":"json","version":-1}`:         "{}",
		`{"protocol":"json","version":1.5}`:        odd,
		`{"protocol":"json","version":"1"}`:        odd,
	} {
		p := s.dial("/hub")
		p.text(request + "\x1e")
		p.want(want)
		if want != "{}" {
			p.wantClose(1000)
		}
	}
	s.alive()
}

// A MessagePack handshake sent as MessagePack.
func TestAdversarial20BinaryHandshake(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.dial("/hub")
	p.bin(unhex("1c 82 a870726f746f636f6c ab6d6573736167657061636b a776657273696f6e 01 1e"))
	p.want(`{"error":"An unexpected error occurred during connection handshake."}`)
	p.wantClose(1000)
	s.alive()
}

// A handshake of 5 MB, and a deep one.
func TestAdversarial21LargeHandshake(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, text := range []string{
		`{"protocol":"` + strings.Repeat("a", 5<<20),
		strings.Repeat("[", 5<<20),
	} {
		p := s.dial("/hub")
		go p.trySend(0x81, []byte(text)) // ends when the server has read or reset it
		p.want(`{"error":"Handshake was canceled."}`)
		p.wantClose(1000)
	}
	for _, text := range []string{
		strings.Repeat("[", 30_000),
		`{"protocol":"json","version":1,"x":` + strings.Repeat("[", 30_000),
	} {
		p := s.dial("/hub")
		p.text(text + "\x1e")
		p.want(`{"error":"An unexpected error occurred during connection handshake."}`)
		p.wantClose(1000)
	}
	s.alive()
}

// Arrays and objects nested 10 k and 1 M deep.
func TestAdversarial22Depth(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{MaxMessage: 8 << 20})
	for _, n := range []int{10_000, 1_000_000} {
		for _, open := range []string{"[", `{"a":`} {
			s.fatal("unknown member", "json", `{"type":6,"x":`+strings.Repeat(open, n)+`␞`)
			s.fatal("argument", "json", `{"type":1,"invocationId":"1","target":"Echo","arguments":[`+strings.Repeat(open, n)+`␞`)
		}
	}
}

// Doubled members: the last counts.
func TestAdversarial23DoubledMembers(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	echoed := func(id, text string) string {
		return `{"type":3,"invocationId":"` + id + `","result":"` + text + `"}`
	}
	s.harmless("type", `{"type":6,"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`, echoed("1", "a"))
	s.harmless("target", `{"type":1,"invocationId":"1","target":"X","target":"Echo","arguments":["a"]}␞`, echoed("1", "a"))
	s.harmless("target around arguments", `{"type":1,"invocationId":"1","target":"Add","arguments":["a"],"target":"Echo"}␞`, echoed("1", "a"))
	s.harmless("arguments", `{"arguments":[1,2],"type":1,"invocationId":"1","arguments":["b"],"target":"Echo"}␞`, echoed("1", "b"))
	s.harmless("id", `{"type":1,"invocationId":"1","invocationId":"2","target":"Echo","arguments":["a"]}␞`, echoed("2", "a"))
	s.harmless("arguments before target", `{"arguments":["a"],"invocationId":"1","target":"Echo","type":1}␞`, echoed("1", "a"))
}

// Types that are none, empty objects, other roots.
func TestAdversarial26Types(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, text := range []string{`{"type":"1"}`, `{"type":null}`, `{"type":true}`, `{"type":1.5}`, `{}`, `[]`, `null`, `[[]]`, `"x"`, `{"type":2147483648}`} {
		s.fatal(text, "json", text+"␞")
	}
	s.harmless("skipped", `{"type":0}␞{"type":10}␞{"type":255}␞{"type":-1,"item":{"a":[1]}}␞`)
}

// Unknown members, and arguments that are too many, too few, of other types.
func TestAdversarial27Arguments(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	const no = `{"type":3,"invocationId":"1","error":"Failed to invoke 'Add' due to an error on the server."}`
	s.harmless("unknown members", `{"type":1,"x":{"type":7},"Target":"X","invocationId":"1","target":"Add","arguments":[1,2],"y":[]}␞`, `{"type":3,"invocationId":"1","result":3}`)
	for _, args := range []string{``, `1`, `1,2,3`, `"1",2`, `1,null`, `1.5,2`, `1e400,2`, `9223372036854775808,2`, `{},[]`, `true,false`} {
		s.harmless(args, `{"type":1,"invocationId":"1","target":"Add","arguments":[`+args+`]}␞`, no)
	}
}

// A message of the limit, one more, and the limit over 1,000 frames.
func TestAdversarial28Limit(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	message := func(size int) string {
		const head, tail = `{"type":1,"invocationId":"1","target":"Echo","arguments":["`, "\"]}\x1e"
		return head + strings.Repeat("a", size-len(head)-len(tail)) + tail
	}
	pieces := func(p *peer, text string, n int) {
		for i := range n {
			if p.trySend(0x81, []byte(text[i*len(text)/n:(i+1)*len(text)/n])) != nil {
				return // closed meanwhile
			}
		}
	}
	for _, n := range []int{1, 1000} {
		p := s.connect("json")
		go pieces(p, message(32<<10), n) // ends when all is read
		if got := p.record(); !strings.HasPrefix(got, `{"type":3,"invocationId":"1","result":"aaa`) {
			t.Errorf("limit in %d: %.100s", n, got)
		}
		p = s.connect("json")
		go pieces(p, message(32<<10+1), n) // ends when all is read, or with the connection
		if got := p.record(); got != closedText {
			t.Errorf("limit+1 in %d: %.100s", n, got)
		}
		p.wantClose(1000)
	}
	// The limit without an end, and one byte more.
	p := s.connect("json")
	p.text(strings.Repeat(" ", 32<<10))
	p.text(" ")
	p.want(closedText)
	p.wantClose(1000)
	s.alive()
}

// 1,000 messages in one frame, one message in 30,000 frames, empty records.
func TestAdversarial29Frames(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")
	var all strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&all, "{\"type\":1,\"invocationId\":\"%d\",\"target\":\"Echo\",\"arguments\":[\"a\"]}\x1e", i)
	}
	go p.trySend(0x81, []byte(all.String())) // ends when all is read
	for i := range 1000 {
		p.want(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":"a"}`, i))
	}
	one := `{"type":1,"invocationId":"1","target":"Echo","arguments":["` + strings.Repeat("a", 29_900) + "\"]}\x1e"
	go func() { // ends when all is read
		for i := range len(one) {
			if p.trySend(0x81, []byte(one[i:i+1])) != nil {
				return
			}
		}
	}()
	if got := p.record(); len(got) != 29_900+len(`{"type":3,"invocationId":"1","result":""}`) {
		t.Errorf("%.100s", got)
	}
	s.fatal("empty records", "json", "␞␞")
}

// Odd names, and those of the life cycle.
func TestAdversarial30Targets(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{MaxMessage: 2 << 20})
	long := strings.Repeat("x", 1<<20)
	for _, name := range []string{long, "a.b/c", `\u0001\u0000`, "__proto__", "OnConnected", "Dispose", "Context", "Connect", "Disconnect", "*", "", " Echo", "Echo "} {
		s.harmless(name[:min(len(name), 20)], `{"type":1,"invocationId":"1","target":"`+name+`","arguments":[]}␞`,
			`{"type":3,"invocationId":"1","error":"Failed to invoke '`+name+`' due to an error on the server. HubException: Method does not exist."}`)
	}
}

// Ids in use, empty, of 64 kB, and no text.
func TestAdversarial31InvocationIDs(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{MaxMessage: 1 << 20})
	long := strings.Repeat("i", 64<<10)
	s.harmless("twice", `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞{"type":1,"invocationId":"1","target":"Echo","arguments":["b"]}␞`,
		`{"type":3,"invocationId":"1","result":"a"}`, `{"type":3,"invocationId":"1","result":"b"}`)
	s.harmless("empty", `{"type":1,"invocationId":"","target":"Echo","arguments":["a"]}␞`)
	s.harmless("64 kB", `{"type":1,"invocationId":"`+long+`","target":"Echo","arguments":["a"]}␞`, `{"type":3,"invocationId":"`+long+`","result":"a"}`)
	s.fatal("number", "json", `{"type":1,"invocationId":1,"target":"Echo","arguments":["a"]}␞`)
}

// Completions for nobody, with both members, twice.
func TestAdversarial32Completions(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	s.harmless("unknown", `{"type":3,"invocationId":"x","result":{"a":1}}␞{"type":3,"invocationId":"s1","error":"e"}␞{"type":3,"invocationId":"s1"}␞`)
	s.fatal("both", "json", `{"type":3,"invocationId":"x","result":1,"error":"e"}␞`)
	s.harmless("two", `{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["a"]}␞{"type":3,"invocationId":"a"}␞{"type":3,"invocationId":"a","error":"again"}␞`,
		`{"type":3,"invocationId":"1","result":0}`)
}

// Items behind the end, for another connection's stream, of the wrong type.
func TestAdversarial33Items(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p, q := s.connect("json"), s.connect("json")
	p.records(`{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["a"]}␞`)
	q.records(`{"type":2,"invocationId":"a","item":100}␞{"type":3,"invocationId":"a"}␞`)
	q.call("1", "Echo", `"unharmed"`)
	q.want(`{"type":3,"invocationId":"1","result":"unharmed"}`)
	p.records(`{"type":2,"invocationId":"a","item":1}␞{"type":3,"invocationId":"a"}␞{"type":2,"invocationId":"a","item":50}␞`)
	p.want(`{"type":3,"invocationId":"1","result":1}`)
	for _, item := range []string{`"x"`, `null`, `{}`, `1.5`, `9e99`} {
		p.records(`{"type":1,"invocationId":"2","target":"Sum","arguments":[],"streamIds":["b"]}␞{"type":2,"invocationId":"b","item":` + item + `}␞`)
		p.want(`{"type":3,"invocationId":"2","error":"An unexpected error occurred invoking 'Sum' on the server. HubException: Failed to bind Stream message."}`)
	}
	s.alive()
}

// Cancels for nobody, for what has ended, for another's, 10,000 times.
func TestAdversarial34Cancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p, q := s.connect("json"), s.connect("json")
		p.records(`{"type":4,"invocationId":"1","target":"Forever","arguments":[]}␞`)
		p.want(`{"type":2,"invocationId":"1","item":0}`)
		many := []byte(strings.Repeat("{\"type\":5,\"invocationId\":\"1\"}\x1e", 10_000))
		for len(many) > 0 { // another's
			n := min(len(many), 20_000)
			q.send(0x81, many[:n])
			many = many[n:]
		}
		synctest.Wait()
		if len(p.frames) != 0 {
			t.Errorf("cancelled by another: %q", p.next().payload)
		}
		q.call("2", "Echo", `"a"`)
		q.want(`{"type":3,"invocationId":"2","result":"a"}`)
		p.records(`{"type":5,"invocationId":"1"}␞{"type":5,"invocationId":"1"}␞`)
		p.want(`{"type":3,"invocationId":"1"}`)
		p.records(`{"type":5,"invocationId":"1"}␞{"type":5,"invocationId":"nobody"}␞`)
		p.call("3", "Echo", `"a"`)
		p.want(`{"type":3,"invocationId":"3","result":"a"}`)
	})
}

// Headers that are huge, no text, forged.
func TestAdversarial35Headers(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{MaxMessage: 2 << 20})
	var huge strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&huge, `"k%d":"v",`, i)
	}
	call := func(headers string) string {
		return `{"type":1,"headers":` + headers + `,"invocationId":"1","target":"Echo","arguments":["a"]}␞`
	}
	const good = `{"type":3,"invocationId":"1","result":"a"}`
	s.harmless("10,000", call(`{`+huge.String()+`"z":"v"}`), good)
	s.harmless("forged", call(`{"traceparent":"zz","tracestate":"","baggage":"`+strings.Repeat("b", 1<<20)+`"}`), good)
	for _, h := range []string{`{"a":1}`, `{"a":null}`, `{"a":{}}`, `[]`, `null`, `"x"`} {
		s.fatal(h, "json", call(h))
	}
	b := []byte{0x96, 1, 0xDE, 0xFF, 0xFF}
	for i := range 0xFFFF {
		b = append(fmt.Appendf(append(b, 0xA4), "%04x", i), 0xA1, 'v')
	}
	b = append(b, unhex("a131 a44563686f 91a161 90")...)
	p := s.connect("messagepack")
	p.records(hex.EncodeToString(append(uvarint(len(b)), b...)))
	p.want("08950380a13103a161")
}

func uvarint(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// Close with allowReconnect, and data behind a Close.
func TestAdversarial36Close(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")
	p.records(`{"type":7,"allowReconnect":true,"error":"x"}␞{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞garbage`)
	p.text("more \x1e\x1e")
	p.want(closedPlain)
	p.wantClose(1000)
	s.alive()
}

// Length prefixes: too long, 2^32-1, zero, larger than the frame, cut.
func TestAdversarial37Lengths(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, prefix := range []string{"808080808001", "ffffffff0f", "ffffffff1f", "00", "ffffffffffffffffff01"} {
		s.fatal(prefix, "messagepack", prefix)
	}
	// A length that never comes is refused once more has come than may.
	p := s.connect("messagepack")
	p.records("ffffffff07")
	p.bin(make([]byte, 32<<10))
	p.want("259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec3")
	p.wantClose(1000)
	// A prefix cut in the middle goes on when the rest comes.
	p = s.connect("messagepack")
	p.records("8e80")
	p.records("80800095")
	p.records("0180a130a44563686f91a26869")
	p.want("09950380a13003a26869")
	s.alive()
}

// Lengths inside of a message that nothing follows: no memory is taken for them.
func TestAdversarial38DeclaredLengths(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	const broken = "44950380a13101d93c4661696c656420746f20696e766f6b6520274563686f537472696e67272064756520746f20616e206572726f72206f6e20746865207365727665722e"
	for _, value := range []string{"ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff01", "dcffff", "deffff", "daffff"} {
		body := unhex("96 01 80 a131 a44563686f 91" + value)
		p := s.connect("messagepack")
		p.records(hex.EncodeToString(append(uvarint(len(body)), body...)))
		if got := p.record(); !strings.HasPrefix(got, "3e950380a13101d9364661696c656420746f20696e766f6b6520") && len(got) != len(broken)-12 {
			t.Errorf("%s: %s", value, got)
		}
		p.c.Close()
		whole := unhex(value) // as the message itself, its headers, its id
		for _, head := range []string{"", "9601", "960180", "960180a131", "960180a131a44563686f90"} {
			b := append(unhex(head), whole...)
			s.fatal(head+value, "messagepack", hex.EncodeToString(append(uvarint(len(b)), b...)))
		}
	}
}

// Frames of the other protocol's kind.
func TestAdversarial45Opcodes(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")
	p.bin([]byte("{\"type\":1,\"invocationId\":\"1\",\"target\":\"Echo\",\"arguments\":[\"a\"]}\x1e"))
	p.want(`{"type":3,"invocationId":"1","result":"a"}`)
	p = s.connect("messagepack")
	p.text("\x02") // a length prefix is text
	p.bin(unhex("9106"))
	p.records("0e950180a130a44563686f91a26869")
	p.want("09950380a13003a26869")
	p.text("{\"type\":6}\x1e") // a length of 123 that does not come
	p.c.Close()
	p = s.connect("messagepack") // no text at all
	p.send(0x81, unhex("0e950180a130a44563686f91a26869"))
	if f := p.next(); f.op != 8 || string(f.payload) != "\x03\xef" {
		t.Errorf("%d %x", f.op, f.payload)
	}
	s.alive()
}

// The message's shape: longer, shorter, headers that are none.
func TestAdversarial43Shapes(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, body := range []string{"9101", "920180", "930180a131", "9601c0a131a44563686f91a16190", "960190a131a44563686f91a16190", "9603", "93058000", "9107"} {
		b := unhex(body)
		s.fatal(body, "messagepack", hex.EncodeToString(append(uvarint(len(b)), b...)))
	}
	p := s.connect("messagepack")
	b := unhex("9c 01 80 a131 a44563686f 91a161 90 c0 c0 c0 c0 c0 c0")
	p.records(hex.EncodeToString(append(uvarint(len(b)), b...)))
	p.want("08950380a13103a161")
}

// 0xC1, bytes behind the message, strings that are not UTF-8.
func TestAdversarial44Garbage(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, body := range []string{"c1", "91c1", "9201c1", "960180c1a44563686f91a16190"} {
		b := unhex(body)
		s.fatal(body, "messagepack", hex.EncodeToString(append(uvarint(len(b)), b...)))
	}
	p := s.connect("messagepack")
	b := unhex("96 01 80 a131 a44563686f 91a161 90 ffc1ff")
	p.records(hex.EncodeToString(append(uvarint(len(b)), b...)))
	p.want("08950380a13103a161")
	b = unhex("96 01 80 a2c328 a44563686f 91a161 90") // the id is echoed as text
	p.records(hex.EncodeToString(append(uvarint(len(b)), b...)))
	p.want("0b950380a4efbfbd2803a161")
}
