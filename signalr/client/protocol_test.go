package client_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/signalr/client"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The rows of section 13.1 that a client reads, and the rules of section 4.3;
// ~ is the record separator.
var jsonReads = []struct{ name, text, want string }{
	{"J16", `{"type":3,"invocationId":"0","result":"hi"}~`, `3 id=0 value="hi"`},
	{"J17", `{"type":3,"invocationId":"0","result":null}~`, `3 id=0 value=null`},
	{"J18", `{"type":3,"invocationId":"0","error":"Failed."}~`, `3 id=0 error="Failed."`},
	{"J19", `{"type":2,"invocationId":"1","item":"a"}~`, `2 id=1 value="a"`},
	{"J20", `{"type":3,"invocationId":"1"}~`, `3 id=1`},
	{"J21", `{"type":1,"target":"Message","arguments":["m"]}~`, `1 target=Message args=("m")`},
	{"J22", `{"type":1,"invocationId":"s1","target":"Result","arguments":[]}~`, `1 id=s1 target=Result args=`},
	{"J23", `{"type":6}~`, `6`},
	{"J24", `{"type":7}~`, `7`},
	{"J25", `{"type":7,"allowReconnect":true}~`, `7 reconnect`},
	{"J26", `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}~`, `7 error="Connection closed with an error." reconnect`},
	{"J28", `{"type":8,"sequenceId":1}~`, `8 1`},
	{"J29", `{"type":9,"sequenceId":9223372036854775807}~`, `9 9223372036854775807`},
	{"J30", `{"type":6}~{"type":3,"invocationId":"0","result":1}~`, `6; 3 id=0 value=1`},
	{"J31, taken", `{"type":1,"target":"M","arguments":[],"invocationId":null}~`, `1 target=M args=`},
	{"J32, taken", `{"type":7,"error":null,"allowReconnect":null}~`, `7`},
	{"J33", `{"type":3,"invocationId":"0","result":1,"error":"x"}~`, `!message from the server: 'error' and 'result' exclude each other`},
	{"J34", `{"type":3,"invocationId":0}~`, `!message from the server: 'invocationId' is no string`},
	{"J35", `{"type":2,"invocationId":"1"}~`, `!message from the server: 'item' is missing`},
	{"J36", `{"type":2,"invocationId":"1","item":null}~`, `2 id=1 value=null`},
	{"J37", `{"type":"1"}~`, `!message from the server: 'type' is no integer`},
	{"J38", `{"type":99,"target":"x"}~`, `99 target=x args=`},
	{"J39", `{"type":6}`, `…`},
	{"J40", `~`, `!message from the server: no JSON object`},
	{"J41", `{"type":8}~`, `!message from the server: 'sequenceId' is missing`},
	{"any order, doubled, unknown, spaces", ` {"arguments" : [ 1 ,{"type":7}],"x":[{}],"target":"a","type":6,"type":1,"target":"b","\u0061rguments":[2]} ~`, `1 target=b args=(2)`},
	{"escapes", `{"type":3,"invocationId":"\u0030","error":"\ud83d\ude00\n"}~`, `3 id=0 error="😀\n"`},
	{"half of a surrogate", `{"type":3,"invocationId":"0","error":"\ud83d"}~`, `!message from the server: 'error': json: string has half of a surrogate pair at byte 1`},
	{"behind the object", `{"type":6}{"type":7}~`, `6`},
	{"an array", `[]~`, `!message from the server: no JSON object`},
	{"no type", `{}~`, `!message from the server: 'type' is missing`},
	{"a type beyond int32", `{"type":4294967302}~`, `!message from the server: 'type' is no message type`},
	{"a fraction", `{"type":6.0}~`, `!message from the server: 'type' is no integer`},
	{"no target", `{"type":1,"arguments":[]}~`, `!message from the server: 'target' is missing`},
	{"no arguments", `{"type":1,"target":"x"}~`, `!message from the server: 'arguments' is missing`},
	{"arguments of another kind", `{"type":1,"target":"x","arguments":{}}~`, `!message from the server: 'arguments' is no array`},
	{"no id", `{"type":3,"invocationId":""}~`, `!message from the server: 'invocationId' is missing`},
	{"allowReconnect", `{"type":7,"allowReconnect":1}~`, `!message from the server: 'allowReconnect' is no boolean`},
}

func TestJSONReads(t *testing.T) {
	for _, c := range jsonReads {
		got := client.Describe("json", []byte(strings.ReplaceAll(c.text, "~", "\x1e")))
		if got != c.want && !strings.HasPrefix(c.want, "!message from the server: 'error': json:") {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	for _, broken := range []string{`{"type":6`, `{"type":6,}`, `{"type":1,"target":"x","arguments":[1,]}`, `{"type":2,"invocationId":"1","item":}`, `{type:6}`, `{"x":` + strings.Repeat("[", 2000) + `}`} {
		if got := client.Describe("json", []byte(broken+"\x1e")); !strings.HasPrefix(got, "!message from the server: ") {
			t.Errorf("%s: got %s", broken, got)
		}
	}
}

// The rows of section 13.2 and 13.3 that a client reads, and the rules of
// section 5.
var msgpackReads = []struct{ name, hex, want string }{
	{"M21", "029106", "6"},
	{"M22", "10960180c0a453656e6491a47465737490", "1 target=Send args=(\xa4test)"},
	{"M23", "0f960180a27331a6526573756c749090", "1 id=s1 target=Result args="},
	{"M24", "09950380a13003a26869", "3 id=0 value=\xa2hi"},
	{"M25", "07950380a13003c0", "3 id=0 value=\xc0"},
	{"M26", "06940380a13002", "3 id=0"},
	{"M28", "07940280a131a161", "2 id=1 value=\xa1a"},
	{"M30", "0a950380a13101a3626164", `3 id=1 error="bad"`},
	{"M31", "049307c0c2", "7"},
	{"M32", "049307c0c3", "7 reconnect"},
	{"M33", "259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec3", `7 error="Connection closed with an error." reconnect`},
	{"M35", "03920801", "8 1"},
	{"M36", "03920901", "9 1"},
	{"M37", "029163", "99"},
	{"M40", "02910609950380a13003a26869", "6; 3 id=0 value=\xa2hi"},
	{"M41", "0391", "…"},
	{"M42", "ffffffff0f", "!msgpack: length prefix above 2 GB"},
	{"P12", "049208cc24", "8 36"},
	{"P14", "19960182a178a179a17aa17aa378797aa66d6574686f64912a90", "1 id=xyz target=method args=(*)"},
	{"five elements", "0d950180c0a6 6d6574686f64 912a", "1 target=method args=(*)"},
	{"nil headers", "0b9601c0c0a3616263 912a90", "1 target=abc args=(*)"},
	{"Close of two", "039207c0", "7"},
	{"nil as error", "07950380a13001c0", `3 id=0 error=""`},
	{"arguments that are none", "0a960180c0a361626307 90", "1 target=abc args= args: the arguments are no array of values"},
	{"empty", "00", "!message from the server: no MessagePack array"},
	{"a map", "0180", "!message from the server: no MessagePack array"},
	{"no type", "0190", "!message from the server: 'type' is no message type"},
	{"a text as type", "0391a136", "!message from the server: 'type' is no message type"},
	{"headers", "04930100c0", "!message from the server: 'headers' is no map"},
	{"no id", "06940380c00200", "!message from the server: 'invocationId' is missing"},
	{"no target", "069501 80c0a090", "!message from the server: 'target' is no name"},
	{"kind 9", "06940380a13109", "!message from the server: a result of no known kind"},
	{"no result", "06940380a13103", "!message from the server: 'result' is no value"},
	{"no item", "05930280a131", "!message from the server: 'item' is no value"},
	{"Close of one", "029107", "!message from the server: 'error' is no string"},
	{"Ack of nothing", "029108", "!message from the server: 'sequenceId' is no integer"},
}

func TestMessagePackReads(t *testing.T) {
	for _, c := range msgpackReads {
		if got := client.Describe("messagepack", unhex(c.hex)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What the client writes is what .NET's client writes (sections 4.2, 13.3).
func TestWrites(t *testing.T) {
	for name, want := range map[string]string{
		"call":        `{"type":1,"invocationId":"xyz","target":"method","arguments":[42]}`,
		"send":        `{"type":1,"target":"method","arguments":[42]}`,
		"none":        `{"type":1,"invocationId":"1","target":"m","arguments":[]}`,
		"stream":      `{"type":4,"invocationId":"xyz","target":"method","arguments":[42]}`,
		"uploads":     `{"type":1,"invocationId":"3","target":"m","arguments":["a",null],"streamIds":["1","2"]}`,
		"item":        `{"type":2,"invocationId":"xyz","item":42}`,
		"result":      `{"type":3,"invocationId":"xyz","result":42}`,
		"null":        `{"type":3,"invocationId":"xyz","result":null}`,
		"end":         `{"type":3,"invocationId":"xyz"}`,
		"failure":     `{"type":3,"invocationId":"xyz","error":"Error"}`,
		"cancel":      `{"type":5,"invocationId":"xyz"}`,
		"ping":        `{"type":6}`,
		"close":       `{"type":7}`,
		"ack 1":       `{"type":8,"sequenceId":1}`,
		"ack 300":     `{"type":8,"sequenceId":300}`,
		"sequence 19": `{"type":9,"sequenceId":19}`,
	} {
		if got := string(client.Written("json")[name]); got != want+"\x1e" {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"call":        "11960180a378797aa66d6574686f64912a90",
		"send":        "0e960180c0a66d6574686f64912a90",
		"none":        "09960180a131a16d9090",
		"stream":      "11960480a378797aa66d6574686f64912a90",
		"uploads":     "10960180a133a16d92a161c092a131a132",
		"item":        "08940280a378797a2a",
		"result":      "09950380a378797a032a",
		"null":        "09950380a378797a03c0",
		"end":         "08940380a378797a02",
		"failure":     "0e950380a378797a01a54572726f72",
		"cancel":      "07930580a378797a",
		"ping":        "029106",
		"close":       "049307c0c2",
		"ack 1":       "03920801",
		"ack 300":     "059208cd012c",
		"sequence 19": "03920913",
	} {
		if got := client.Written("messagepack")[name]; !bytes.Equal(got, unhex(want)) {
			t.Errorf("%s: %x, want %s", name, got, want)
		}
	}
}

// The vectors of section 13.5, and the rules of the HTML standard.
var eventStreams = []struct{ in, want string }{
	{":\r\n", ""},
	{"data: {}\x1e\r\n\r\n", "{}\x1e"},
	{"data: Hello\r\ndata: World\r\n\r\n", "Hello\nWorld"},
	{"data: a\r\ndata: \r\n\r\n", "a\n"},
	{"data:a\n\ndata: b\r\rdata:  c\r\n\r\n", "ab c"},
	{"data\ndata\n\n", ""}, // a field without a colon has no text; messages have
	{"event: x\nid: data: y\nretry: 1\n: data: z\ndatax: no\ndat: no\ndata: yes\n\n", "yes"},
	{"data: a:b: c\n\n", "a:b: c"},
	{"data:", ""},
}

func TestEventStream(t *testing.T) {
	for _, c := range eventStreams {
		for _, n := range []int{1, 2, 3, 100} {
			if got := string(client.Events([]byte(c.in), n)); got != c.want {
				t.Errorf("%q in steps of %d: %q, want %q", c.in, n, got, c.want)
			}
		}
	}
}

func FuzzMessages(f *testing.F) {
	for _, c := range jsonReads {
		f.Add([]byte(strings.ReplaceAll(c.text, "~", "\x1e")), false, false, uint16(7))
	}
	for _, c := range msgpackReads {
		f.Add(unhex(c.hex), true, true, uint16(3))
	}
	f.Add([]byte(`{"type":9,"sequenceId":1}~{"type":1,"target":"x","arguments":[]}~{"type":9,"sequenceId":1}~{"type":1,"target":"x","arguments":[]}~{"type":9,"sequenceId":9}~`), false, true, uint16(5))
	f.Fuzz(func(t *testing.T, b []byte, binary, stateful bool, n uint16) {
		protocol := "json"
		if binary {
			protocol = "messagepack"
		}
		client.Describe(protocol, b)
		// How the bytes are cut does not matter.
		whole := client.Feed(protocol, stateful, b, 1<<20)
		if parts := client.Feed(protocol, stateful, b, int(n)+1); parts != whole && len(b) < 1<<16 {
			t.Errorf("in one piece: %s\nin pieces of %d: %s", whole, n+1, parts)
		}
	})
}

func FuzzEvents(f *testing.F) {
	for _, c := range eventStreams {
		f.Add([]byte(c.in), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		got := client.Events(b, int(n)+1)
		if want := events(b); !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// events reads an event stream in another way: all of it, line by line.
func events(b []byte) (out []byte) {
	text := strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\r", "\n")
	data := false
	for _, line := range strings.Split(text, "\n") {
		if line == "" {
			data = false
		}
		value, ok := strings.CutPrefix(line, "data:")
		if !ok {
			continue
		}
		if data {
			out = append(out, '\n')
		}
		out, data = append(out, strings.TrimPrefix(value, " ")...), true
	}
	return out
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(defaultOffer))
	f.Add([]byte(`{"url":"http://x","accessToken":"t"}`))
	f.Add([]byte(`{"error":"x"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"type":6}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, token, err := client.Negotiation(b); err == nil && id == "" && token != "" {
			t.Error("a token without an id")
		}
		_ = client.Handshake(b)
	})
}
