package signalr_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

const int32Text = "FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32."

// The rules of section 3.1: what a request asks for, or the fault.
var handshakes = []struct{ record, want string }{
	{`{"protocol":"json","version":1}`, "json 1"},         // J42
	{`{"version":2,"x":[1],"protocol":"JSON"}`, "JSON 2"}, // J43
	{`{"protocol":"json","version":0}`, "json 0"},
	{`{"protocol":"json","version":-1}`, "json -1"},
	{`{"x":{"protocol":"foo"},"protocol":"json","minorVersion":5,"version":1,"y":[1]}`, "json 1"},
	{`{"protocol":"foo","version":9,"protocol":"json","version":1}`, "json 1"},
	{" \r\n\t{ \"version\" : 1 , \"protocol\" : \"json\" } \n", "json 1"},
	{`{"proto\u0063ol":"\u006ason","version":1}`, "json 1"},
	{`{"protocol":"json","version":1}x`, "json 1"},
	{`{"protocol":"","version":1}`, " 1"},
	{`{"protocol":"json","version":1e0}`, int32Text},
	{`{"protocol":"json","version":1.5}`, int32Text},
	{`{"protocol":"json","version":1.0}`, int32Text},
	{`{"protocol":"json","version":2147483648}`, int32Text},
	{`{"protocol":"json","version":"1"}`, "InvalidDataException: Expected 'version' to be of type Number."},
	{`{"protocol":"json","version":null}`, "InvalidDataException: Expected 'version' to be of type Number."},
	{`{"protocol":null,"version":1}`, "InvalidDataException: Expected 'protocol' to be of type String."},
	{`{"protocol":1,"version":1}`, "InvalidDataException: Expected 'protocol' to be of type String."},
	{`{"version":1}`, `InvalidDataException: Missing required property 'protocol'. Message content: {"version":1}`},
	{`{"Protocol":"json","version":1}`, `InvalidDataException: Missing required property 'protocol'. Message content: {"Protocol":"json","version":1}`},
	{`{"protocol":"json"}`, `InvalidDataException: Missing required property 'version'. Message content: {"protocol":"json"}`},
	{`{"type":6}`, `InvalidDataException: Missing required property 'protocol'. Message content: {"type":6}`}, // J46
	{`[]`, "InvalidDataException: Unexpected JSON Token Type 'Array'. Expected a JSON Object."},
	{`null`, "InvalidDataException: Unexpected JSON Token Type 'Null'. Expected a JSON Object."},
	{``, "JsonReaderException: The input does not contain any JSON tokens. Expected the input to start with a valid JSON token, when isFinalBlock is true. LineNumber: 0 | BytePositionInLine: 0."},
	{`hello`, "JsonReaderException: 'h' is an invalid start of a value. LineNumber: 0 | BytePositionInLine: 0."},
	{"\xef\xbb\xbf{}", "JsonReaderException: '0xEF' is an invalid start of a value. LineNumber: 0 | BytePositionInLine: 0."},
	{`{/*c*/"protocol":"json","version":1}`, "JsonReaderException: '/' is invalid after a value. Expected either ',', '}', or ']'. LineNumber: 0 | BytePositionInLine: 1."},
	{`{"protocol":"json",`, "JsonReaderException: Expected depth to be zero at the end of the JSON payload. There is an open JSON object or array that should be closed. LineNumber: 0 | BytePositionInLine: 19."},
	{"{\"protocol\":\n\"json\" x", "JsonReaderException: 'x' is invalid where it stands. LineNumber: 1 | BytePositionInLine: 7."},
}

func TestHandshakeRequests(t *testing.T) {
	for _, r := range handshakes {
		if got := signalr.Handshake([]byte(r.record)); got != r.want {
			t.Errorf("%q\n got %s\nwant %s", r.record, got, r.want)
		}
	}
}

func FuzzHandshake(f *testing.F) {
	for _, r := range handshakes {
		f.Add([]byte(r.record))
	}
	f.Add([]byte(strings.Repeat("[", 100_000)))
	f.Add([]byte(`{"protocol":` + strings.Repeat(`{"a":`, 20_000)))
	f.Add([]byte("\x82\xa8protocol\xabmessagepack\xa7version\x01"))
	f.Fuzz(func(t *testing.T, record []byte) {
		if got := signalr.Handshake(record); got == "" {
			t.Error("no answer")
		}
	})
}

// What a client sees of bad handshakes (section 3.2).
func TestHandshakeAnswers(t *testing.T) {
	const odd = `{"error":"An unexpected error occurred during connection handshake.`
	for _, r := range []struct {
		name, record string
		detailed     bool
		want         string
	}{
		{"J44", `{"protocol":"json","version":9001}`, false, `{"error":"The server does not support version 9001 of the 'json' protocol."}`},
		{"case of the name", `{"protocol":"JSON","version":3}`, false, `{"error":"The server does not support version 3 of the 'json' protocol."}`},
		{"J45", `{"protocol":"foo","version":1}`, false, `{"error":"The protocol 'foo' is not supported."}`},
		{"escapes", `{"protocol":"a\"<é>\u0001","version":1}`, false, `{"error":"The protocol 'a\"<é>\u0001' is not supported."}`},
		{"J46", `{"type":6}`, false, odd + `"}`},
		{"J46 detailed", `{"type":6}`, true, odd + ` InvalidDataException: Missing required property 'protocol'. Message content: {\"type\":6}"}`},
		{"not UTF-8", "\xff\xfe", false, odd + `"}`},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := serve(t, newHub(t, &hubwire.Options{DetailedErrors: r.detailed}).Hub, nil)
			p := s.dial("/hub")
			p.bin([]byte(r.record + "\x1e")) // opcodes do not matter
			p.want(r.want)
			p.wantClose(1000)
		})
	}
}

func TestHandshakeInPieces(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.dial("/hub")
	for _, c := range []byte(`{"protocol":"json","version":1}`) {
		p.text(string(c))
	}
	p.send(0x01, nil)
	p.send(0x80, []byte("\x1e"))
	p.want("{}")
}

// Bytes behind the separator belong to the stream.
func TestHandshakeWithCalls(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.dial("/hub")
	p.text("{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":1,\"invocationId\":\"1\",\"target\":\"Echo\",\"arguments\":[\"a\"]}\x1e{\"type\"")
	p.want("{}", `{"type":3,"invocationId":"1","result":"a"}`)
	p.text(":7}\x1e")
	p.want(`{"type":7}`)

	q := s.dial("/hub")
	q.bin(append([]byte("{\"protocol\":\"messagepack\",\"version\":1}\x1e"), unhex("0e950180a130a44563686f91a26869")...))
	f := q.next()
	if f.op != 2 || string(f.payload) != "{}\x1e" {
		t.Fatalf("%d %q", f.op, f.payload)
	}
	q.binary = true
	q.want("09950380a13003a26869")
}

func TestProtocolsOfTheMount(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{Protocols: []string{"json"}})
	s.connect("json")
	p := s.dial("/hub")
	p.text("{\"protocol\":\"messagepack\",\"version\":1}\x1e")
	p.want(`{"error":"The protocol 'messagepack' is not supported."}`)
	p.wantClose(1000)
}

// The size of the handshake is that of a message.
func TestHandshakeSize(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, &signalr.Options{MaxMessage: 100})
	request := func(size int) string {
		return `{"protocol":"json","version":1,"x":"` + strings.Repeat("a", size-39) + "\"}\x1e"
	}
	if n := len(request(100)); n != 100 {
		t.Fatal(n)
	}
	p := s.dial("/hub")
	p.text(request(100))
	p.want("{}")
	for _, text := range []string{request(101), strings.Repeat(" ", 101)} {
		p = s.dial("/hub")
		p.text(text)
		p.want(`{"error":"Handshake was canceled."}`)
		p.wantClose(1000)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	for _, sent := range []string{"", `{"protocol":"json","ver`} {
		synctest.Test(t, func(t *testing.T) {
			hub := newHub(t, nil)
			s := serve(t, hub.Hub, nil)
			p := s.dial("/hub")
			start := time.Now()
			if sent != "" {
				p.text(sent)
			}
			p.want(`{"error":"Handshake was canceled."}`)
			if d := time.Since(start); d != 15*time.Second {
				t.Errorf("after %v", d)
			}
			p.text("{\"protocol\":\"json\",\"version\":1}\x1e") // too late: discarded
			p.wantClose(1000)
			if len(hub.gone) != 0 {
				t.Error("Disconnect was called")
			}
		})
	}
}

// A client that goes before it has shaken hands gets no word.
func TestGoesBeforeHandshake(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for _, sent := range []string{"", `{"protocol":"json","version":1}`} {
		p := s.dial("/hub")
		if sent != "" {
			p.text(sent)
		}
		p.send(0x88, []byte{3, 232})
		if f := p.next(); f.op != 8 || string(f.payload) != "\x03\xe8" {
			t.Errorf("%d %q", f.op, f.payload)
		}
		p.wantEnd()
	}
}

func TestPingBeforeHandshake(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.dial("/hub")
	p.send(0x89, []byte("hi"))
	if f := p.next(); f.op != 10 || string(f.payload) != "hi" {
		t.Errorf("%d %q", f.op, f.payload)
	}
	p.shake("json")
}

// A Connect that refuses: the Close message has no allowReconnect, calls in
// flight are not heard, and Disconnect is not called (section 6.8).
func TestRefusedByConnect(t *testing.T) {
	for _, r := range []struct {
		name     string
		err      error
		detailed bool
		want     string
	}{
		{"ordinary", &InvalidOperationException{"refused"}, false, `{"type":7,"error":"Connection closed with an error."}`},
		{"detailed", &InvalidOperationException{"refused"}, true, `{"type":7,"error":"Connection closed with an error. InvalidOperationException: refused"}`},
		{"public", &hubwire.Error{Message: "refused"}, false, `{"type":7,"error":"Connection closed with an error. HubException: refused"}`},
		{"errors.New", errors.New("refused"), true, `{"type":7,"error":"Connection closed with an error. Error: refused"}`},
	} {
		t.Run(r.name, func(t *testing.T) {
			hub := newHub(t, &hubwire.Options{DetailedErrors: r.detailed, Connect: func(contextT, *hubwire.Conn) error { return r.err }})
			s := serve(t, hub.Hub, nil)
			p := s.dial("/hub")
			p.text("{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":1,\"invocationId\":\"1\",\"target\":\"Echo\",\"arguments\":[\"a\"]}\x1e")
			p.want("{}", r.want)
			p.wantClose(1000)
			if len(hub.gone) != 0 {
				t.Error("Disconnect was called")
			}
		})
	}
	t.Run("messagepack", func(t *testing.T) {
		s := serve(t, newHub(t, &hubwire.Options{Connect: func(contextT, *hubwire.Conn) error { return errors.New("no") }}).Hub, nil)
		p := s.connect("messagepack")
		p.want("259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec2") // M34
		p.wantClose(1000)
	})
	t.Run("full", func(t *testing.T) {
		s := serve(t, newHub(t, &hubwire.Options{MaxConnections: 1}).Hub, nil)
		first := s.connect("json")
		first.call("1", "Echo", `"a"`)
		first.want(`{"type":3,"invocationId":"1","result":"a"}`) // the hub has it
		p := s.connect("json")
		p.want(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
		p.wantClose(1000)
	})
}

// Nothing leaves before the answer to the handshake, however many send (lesson
// 1), and what Connect sends comes behind it.
func TestAnswerComesFirst(t *testing.T) {
	hub := newHub(t, &hubwire.Options{Connect: func(ctx contextT, c *hubwire.Conn) error {
		if err := receive.Send(ctx, c, "connected"); err != nil {
			return err
		}
		return receive.Send(ctx, c.Hub().All(), "all")
	}})
	s := serve(t, hub.Hub, nil)
	for range 20 {
		p := s.dial("/hub")
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { // ends when stop is closed
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					_ = receive.Send(t.Context(), hub.All(), "noise")
				}
			}
		}()
		p.shake("json")
		for p.record() != `{"type":1,"target":"Receive","arguments":["connected"]}` {
		}
		close(stop)
		<-done
		p.c.Close()
	}
}

// Abort in Connect, and the end of the client during Connect, wait for it.
func TestEndsDuringConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Connect: func(_ contextT, c *hubwire.Conn) error {
			c.Abort()
			return nil
		}})
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		p.want(`{"type":7}`)
		p.wantClose(1000)
		hub.wantGone(t, "")
	})
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		hub := newHub(t, &hubwire.Options{Connect: func(contextT, *hubwire.Conn) error { <-hold; return nil }})
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		p.c.Close()
		time.Sleep(time.Hour)
		close(hold)
		hub.wantGone(t, "")
	})
}
