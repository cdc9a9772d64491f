package signalr_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/signalr"
)

// Clients that are not Microsoft's, by their bytes: what they send is not what
// the official ones send, and has to work all the same.

// Negotiation in version 0: no query, a body, headers in any order and case, and
// the one id for everything.
func TestHabitsOfOldNegotiation(t *testing.T) {
	for name, head := range map[string]string{
		"no version, JSON body":        "POST /hub/negotiate HTTP/1.1\r\ncontent-type: application/json\r\nACCEPT: */*\r\ncontent-length: 2\r\nhOST: example.com\r\nx-requested-with: XMLHttpRequest\r\n\r\n{}",
		"version 0, chunked, no agent": "POST /hub/negotiate?negotiateVersion=0 HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"slash, text body":             "POST /hub/negotiate/ HTTP/1.1\r\nContent-Length: 0\r\nAccept-Encoding: gzip\r\nContent-Type: text/plain;charset=UTF-8\r\nUser-Agent: Dart/3.2 (dart:io)\r\nHost: example.com\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, newHub(t, nil).Hub, nil)
			c, err := s.net.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, head); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			id := member(string(b), "connectionId")
			if res.StatusCode != 200 || id == "" || strings.Contains(string(b), "connectionToken") || !strings.Contains(string(b), `"negotiateVersion":0`) {
				t.Fatalf("%d %s", res.StatusCode, b)
			}
			p := s.dial("/hub?id=" + id)
			p.shake("json")
			p.call("1", "WhoAmI", "")
			p.want(answered("1", `"`+id+`"`))
		})
	}
}

// The upgrade's headers in another order and case, with lists, with extensions
// and subprotocols that nobody takes up.
func TestHabitsOfUpgrades(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	for name, head := range map[string]string{
		"lower case, other order": "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nupgrade: WebSocket\r\nconnection: upgrade\r\nhost: example.com\r\n",
		"a list":                  "Host: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCache-Control: no-cache\r\n",
		"extensions":              "Host: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin: http://example.com\r\n",
		"a subprotocol":           "Host: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: json, x\r\n",
	} {
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, c: c, br: bufio.NewReader(c), frames: make(chan frame, 100)}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, "GET /hub HTTP/1.1\r\n"+head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(p.br, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatalf("%s: %v %v", name, res, err)
		}
		for _, h := range []string{"Sec-Websocket-Extensions", "Sec-Websocket-Protocol"} {
			if res.Header.Get(h) != "" {
				t.Errorf("%s: the answer takes up %s", name, h)
			}
		}
		go p.read() // ends with the connection
		p.shake("json")
	}
}

// JSON with members in another order, white space, members that nobody knows,
// names in another case, text in binary frames.
func TestHabitsOfJSON(t *testing.T) {
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, nil)
	p := s.dial("/hub")
	p.send(0x82, []byte(" { \"version\" : 1 , \"protocol\" : \"JSON\" } \x1e")) // in a binary frame
	p.want("{}")
	for i, text := range []string{
		`{"arguments":["a"],"target":"Echo","invocationId":"%d","type":1}`,
		`{ "type": 1, "headers": {}, "invocationId": "%d", "nonblocking": false, "target": "echo", "arguments": [ "a" ], "streamIds": [] }`,
		`{"type":1,"invocationId":"%d","target":"Echo","arguments":["a"],"extra":{"type":7}}`,
		"{\"type\":1,\r\n\t\"invocationId\":\"%d\",\"target\":\"ECHO\",\"arguments\":[\"\\u0061\"]}\n",
	} {
		p.records(fmt.Sprintf(text, i) + "␞")
		p.want(answered(fmt.Sprint(i), `"a"`))
	}
	p.records(`{"type":1,"target":"ToMe","arguments":["no id"]}␞`)
	p.want(`{"type":1,"target":"Receive","arguments":["no id"]}`)
	p.records(`{"type":6}␞{ "type" : 6 , "x" : 1 }␞`)
	p.records(`{"type":7}␞`)
	hub.wantGone(t, "")
}

// MessagePack with optional elements left out, more than there should be, and
// integers and strings in any width.
func TestHabitsOfMessagePack(t *testing.T) {
	framed := func(body string) string {
		b, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%02x", len(b)) + hex.EncodeToString(b)
	}
	const echo, ok = "a4 4563686f", "95 03 80 a1 31 03 a1 61" // "Echo"; the answer to "1"
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("messagepack")
	for name, call := range map[string]string{
		"without streamIds":       "95 01 80 a1 31 " + echo + " 91 a1 61",
		"with empty streamIds":    "96 01 80 a1 31 " + echo + " 91 a1 61 90",
		"with one element more":   "97 01 80 a1 31 " + echo + " 91 a1 61 90 c0",
		"wide array, type and id": "dc 0005 cc 01 de 0000 d9 01 31 da 0004 4563686f dd 00000001 db 00000001 61",
		"type as int64":           "95 d3 0000000000000001 80 a1 31 " + echo + " 91 a1 61",
	} {
		p.records(framed(call))
		if got := p.record(); got != framed(ok) {
			t.Errorf("%s: %s", name, got)
		}
	}
	p.records(framed("95 01 80 c0 a4 546f4d65 91 a1 61")) // no answer wanted: nil
	p.records(framed("95 01 80 a0 a4 546f4d65 91 a1 61")) // or empty
	p.want(framed("96 01 80 c0 a7 52656365697665 91 a1 61 90"), framed("96 01 80 c0 a7 52656365697665 91 a1 61 90"))
	p.records("8100" + framed("91 06")[2:] + framed("92 06 c0")) // a ping with a longer prefix, a ping with an element more
	p.records(framed("92 07 c0"))                                // Close without allowReconnect
	for p.next().op != 8 {
	}
}

// Clients that send no pings of SignalR and answer none of WebSocket's are never
// ended for it; those that ping only with WebSocket's get their pongs.
func TestHabitsOfPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("json")
		for range 20 {
			p.want(`{"type":6}`)
		}
		p.send(0x89, []byte("are you there"))
		if f := p.next(); f.op != 10 || string(f.payload) != "are you there" {
			t.Errorf("%d %q", f.op, f.payload)
		}
		p.send(0x8A, []byte("a pong that nobody asked for"))
		time.Sleep(time.Hour)
		for range 200 {
			p.want(`{"type":6}`)
		}
		p.call("1", "Echo", `"a"`)
		for {
			if rec := p.record(); rec == answered("1", `"a"`) {
				break
			} else if rec != `{"type":6}` {
				t.Fatal(rec)
			}
		}
	})
}

// Polls as others make them: no Accept, "Accept: Text", a parameter against
// caches, an answer of 200 without a body taken for "again", no DELETE.
func TestHabitsOfPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{PollTimeout: 20 * time.Second})
		_, token := s.negotiate("")
		s.poll(token+"&_=1700000000000", 200, "", "Accept: Text")
		s.wantPost(token, "{\"protocol\":\"json\",\"version\":1}\x1e", 200, "", "Content-Type: application/octet-stream", "Expect: 100-continue")
		s.poll(token+"&_=1700000000001", 200, "{}␞", "Accept: application/json, text/plain, */*")
		s.poll(token+"&_=1700000000002", 200, "")
		s.post(token, `{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}␞`)
		s.poll(token, 200, answered("1", `"a"`)+"␞")
		hub.wantGone(t, "") // nobody comes any more
		s.polled.Delete(token + "&_=1700000000000")
	})
}
