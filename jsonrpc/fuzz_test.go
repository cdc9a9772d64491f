package jsonrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

var streams = []string{
	"Content-Length: 9223372036854775808\r\n\r\n{}", "Content-Length: 2\r\n\r\n{}Content-Length: 2\n\n[]", "\r\n\r\nContent-Length:+02\r\nX: y\r\n\r\n{}",
	"Content-Length: 4\r\nContent-Type: a; charset=utf-16\r\n\r\n{\x00}\x00", "Content-Length: 1500\r\n\r\n" + strings.Repeat("x", 1500) + "Content-Length: 2\r\n\r\n{}",
	"content-length : 0\n\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "Content-Length: -1\r\n\r\n", "x\r\n\r\n",
	"\x7f\xff\xff\xff{}", "\x00\x00\x00\x02{}\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x05\xdc" + strings.Repeat("y", 1500),
	"{}\n\n[1]\n", " {} \r\n\t\n{}", strings.Repeat("z", 1500) + "\n{}\n", "\xef\xbb\xbf{}\n",
}

// However broken a stream is: the decoder uses no more than is there, gives bodies
// no larger than it may, and gives the same for bytes that come in one piece or one
// by one. What our writers write it reads.
func FuzzFraming(f *testing.F) {
	for _, s := range streams {
		for i := range 4 {
			f.Add(byte(i), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, in []byte) {
		const limit = 1 << 10
		framing := [...]jsonrpc.Framing{jsonrpc.Header, jsonrpc.Newline, jsonrpc.Length, jsonrpc.Sniff}[which%4]
		decode := func(step int) (all []string) {
			d := jsonrpc.NewDecoder(framing, limit)
			var buf []byte
			for rest := in; ; {
				for {
					body, whole, used, err, lost := d.Next(buf)
					if used < 0 || used > len(buf) || len(body) > 2*limit {
						t.Fatalf("used %d of %d, a body of %d", used, len(buf), len(body))
					}
					buf = buf[used:]
					if lost {
						return append(all, "lost") // with which words depends on the pieces
					}
					if err != nil {
						all = append(all, "error "+err.Error())
					}
					if whole {
						all = append(all, "body "+string(body))
					}
					if used == 0 || len(buf) == 0 {
						break
					}
				}
				if len(rest) == 0 {
					return all
				}
				n := min(step, len(rest))
				buf = append(buf, rest[:n]...)
				rest = rest[n:]
			}
		}
		whole := decode(1 << 20)
		if pieces := decode(1); !slices.Equal(whole, pieces) {
			t.Fatalf("in one piece %.300q, byte by byte %.300q", whole, pieces)
		}
		if framing == jsonrpc.Sniff || framing == jsonrpc.Newline && bytes.ContainsAny(in, "\r\n") || len(in) > limit {
			return
		}
		d := jsonrpc.NewDecoder(framing, limit)
		frames := append(jsonrpc.Frame(framing, in), jsonrpc.Frame(framing, []byte("{}"))...)
		want := []string{string(in), "{}"}
		if framing == jsonrpc.Newline {
			if want[0] = string(bytes.TrimRight(in, " \t\r")); want[0] == "" {
				want = want[1:]
			}
		}
		for len(frames) > 0 {
			body, whole, used, err, _ := d.Next(frames)
			if err != nil || used == 0 {
				t.Fatalf("our own frame of %q: %v", in, err)
			}
			frames = frames[used:]
			if whole {
				if len(want) == 0 || string(body) != want[0] {
					t.Fatalf("%q comes back as %q", in, body)
				}
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("%q does not come back", want)
		}
	})
}

// depth is how deep a text that is JSON goes.
func depth(b []byte) (deepest int) {
	d := json.NewDecoder(bytes.NewReader(b))
	n := 0
	for {
		switch tok, err := d.Token(); {
		case err != nil:
			return deepest
		case tok == json.Delim('{'), tok == json.Delim('['):
			n++
			deepest = max(deepest, n)
		case tok == json.Delim('}'), tok == json.Delim(']'):
			n--
		}
	}
}

// The scanner of envelopes against encoding/json: the same is JSON, and of what is,
// it takes out the same members.
func FuzzEnvelope(f *testing.F) {
	for _, c := range append(examples, corners...) {
		if len(c.in) < 10_000 {
			f.Add([]byte(c.in))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, ok := jsonrpc.Scan(in, true)
		if valid := json.Valid(in); ok != valid {
			if !ok && (!utf8.Valid(in) || depth(in) > 1000) {
				return // stricter, on purpose
			}
			t.Fatalf("%q: scanned %v, encoding/json says %v", in, ok, valid)
		}
		if !ok {
			return
		}
		members, isObject := object(in)
		if !isObject {
			if got.Kind != "invalid" {
				t.Fatalf("%q is no object, and %s", in, got.Kind)
			}
			return
		}
		last := map[string]json.RawMessage{}
		for _, m := range members {
			last[m.key] = m.value
		}
		if method, ok := textOf(last["method"]); ok && (got.Kind == "request" || got.Kind == "notification") {
			if got.Method != method && utf8.Valid(last["method"]) && !bytes.Contains(last["method"], []byte(`\u`)) {
				t.Fatalf("%q: method %q, want %q", in, got.Method, method)
			}
			id, has := last["id"]
			if (got.Kind == "request") != has || got.ID != string(id) {
				t.Fatalf("%q: a %s with id %q, want %q", in, got.Kind, got.ID, id)
			}
			params := bytes.TrimSpace(last["params"])
			if string(params) == "null" {
				params = nil
			}
			if got.Params != string(params) {
				t.Fatalf("%q: params %q, want %q", in, got.Params, params)
			}
			checkParams(t, in, params, got)
			return
		}
		_, hasMethod := last["method"]
		_, hasResult := last["result"]
		failed := last["error"] != nil && string(last["error"]) != "null"
		if kind := got.Kind; !hasMethod && (kind == "failure" || kind == "broken") != failed || kind == "answer" && (!hasResult || failed) {
			t.Fatalf("%q is %s", in, kind)
		}
	})
}

func checkParams(t *testing.T, in, params []byte, got jsonrpc.Seen) {
	for i, v := range got.List {
		if end := got.Ends[i]; end > len(params) || string(params[end-len(v):end]) != v {
			t.Fatalf("%q: the argument %q does not end at %d", in, v, got.Ends[i])
		}
	}
	if members, ok := object(params); ok {
		if len(members) != len(got.List) {
			t.Fatalf("%q: %d named arguments, want %d", in, len(got.List), len(members))
		}
		for i, m := range members {
			if string(m.value) != got.List[i] || m.key != got.Keys[i] && !strings.ContainsRune(m.key, utf8.RuneError) {
				t.Fatalf("%q: argument %q: %s, want %q: %s", in, got.Keys[i], got.List[i], m.key, m.value)
			}
		}
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(params, &list) == nil {
		if len(list) != len(got.List) {
			t.Fatalf("%q: %d arguments, want %d", in, len(got.List), len(list))
		}
		for i, v := range list {
			if string(v) != got.List[i] {
				t.Fatalf("%q: argument %s, want %s", in, got.List[i], v)
			}
		}
	}
}

type field struct {
	key   string
	value json.RawMessage
}

// object is the members of an object in order, twice where they come twice.
func object(b []byte) (all []field, ok bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, false
		}
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return nil, false
		}
		all = append(all, field{key.(string), v})
	}
	return all, true
}

func textOf(raw json.RawMessage) (s string, ok bool) {
	return s, len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
}

// Batches, and any other body: each is answered as the specification wants. What
// comes back is JSON, has one answer for each request, and nothing else.
func FuzzBatch(f *testing.F) {
	for _, c := range append(examples, corners...) {
		if len(c.in) < 10_000 {
			f.Add([]byte(c.in))
			f.Add([]byte("[" + c.in + "," + asked("77") + "]"))
		}
	}
	f.Add([]byte(`[` + called("1", "echo", `[{"a":[1,2]}]`) + `,[` + asked("2") + `],{"jsonrpc":"2.0","method":"update","params":[1]},` + asked(`"x"`) + `]`))
	hub := newHub(nil)
	f.Fuzz(func(t *testing.T, in []byte) {
		a, b := duplex()
		conn := jsonrpc.NewConn(a, hub, &jsonrpc.Options{Framing: jsonrpc.Length, MaxBatch: 20})
		out := make(chan []byte, 1)
		go func() { // ends with the connection
			all, _ := io.ReadAll(b.r)
			out <- all
		}()
		b.bytes(frame(jsonrpc.Length, string(in)))
		b.closeWrite()
		<-conn.Done()
		all := <-out
		d := jsonrpc.NewDecoder(jsonrpc.Length, 64<<20)
		var bodies [][]byte
		for len(all) > 0 {
			body, whole, used, err, _ := d.Next(all)
			if err != nil || !whole {
				t.Fatalf("%q is answered with half a message, %v", in, err)
			}
			bodies = append(bodies, body)
			all = all[used:]
		}
		if len(bodies) > 1 {
			t.Fatalf("%q has %d answers: %q", in, len(bodies), bodies)
		}
		want := answersWanted(in)
		if len(bodies) == 0 {
			if want > 0 {
				t.Fatalf("%q has no answer", in)
			}
			return
		}
		reply := bodies[0]
		if !json.Valid(reply) || !utf8.Valid(reply) {
			t.Fatalf("%q is answered with %q", in, reply)
		}
		n := 1
		if reply[0] == '[' {
			n = len(members(t, string(reply)))
		}
		if want >= 0 && n != want {
			t.Fatalf("%q has %d answers, want %d: %s", in, n, want, reply)
		}
		for _, m := range append(elements(reply), reply) {
			if s, ok := jsonrpc.Scan(m, false); !ok || s.Kind != "answer" && s.Kind != "failure" && m[0] != '[' {
				t.Fatalf("%q is answered with %s, which is %s", in, m, s.Kind)
			}
		}
	})
}

func elements(b []byte) (all [][]byte) {
	var list []json.RawMessage
	if json.Unmarshal(b, &list) == nil {
		for _, m := range list {
			all = append(all, m)
		}
	}
	return all
}

// answersWanted is how many answers a body must have; -1: that is not known here.
func answersWanted(in []byte) int {
	in = bytes.TrimPrefix(in, []byte("\xEF\xBB\xBF"))
	if !json.Valid(in) {
		return 1
	}
	if !utf8.Valid(in) || depth(in) > 1000 {
		return -1
	}
	one := func(m []byte) int {
		s, ok := jsonrpc.Scan(m, false)
		switch {
		case !ok, s.Kind == "request", s.Kind == "invalid", s.Kind == "empty":
			return 1
		}
		return 0
	}
	if bytes.TrimLeft(in, " \t\r\n")[0] != '[' {
		return one(in)
	}
	list := elements(in)
	if len(list) == 0 || len(list) > 20 {
		return 1
	}
	n := 0
	for _, m := range list {
		n += one(m)
	}
	return n
}

// Whatever stands in place of a sequence, in a result or as its next values, is
// values or an error, and ends.
func FuzzSequence(f *testing.F) {
	for _, s := range []string{`{}`, `{"values":[1,2]}`, `{"token":1,"values":[1]}`, `{"token":null}`, `{"values":null,"finished":true}`, `{"values":[],"finished":false}`, `[1]`, `null`, `{"token":{"a":1}}`, `{"finished":true}`, `{"x":1}`} {
		f.Add([]byte(s), []byte(`{"values":[3],"finished":true}`))
		f.Add([]byte(`{"token":7}`), []byte(s))
	}
	const numbers hubwire.ServerStream[hubwire.None, int] = "numbers"
	f.Fuzz(func(t *testing.T, first, next []byte) {
		a, b := duplex()
		conn := jsonrpc.NewConn(a, nil, &jsonrpc.Options{Framing: jsonrpc.Newline})
		ended := make(chan struct{})
		go func() { // ends with the connection
			defer close(ended)
			buf := make([]byte, 0, 64<<10)
			for calls := 0; ; {
				n, err := b.Read(buf[len(buf):cap(buf)])
				if err != nil {
					return
				}
				buf = buf[:len(buf)+n]
				for {
					i := bytes.IndexByte(buf, '\n')
					if i < 0 {
						break
					}
					s, ok := jsonrpc.Scan(buf[:i], false)
					if !ok {
						t.Errorf("sent %q", buf[:i])
						return
					}
					if s.Kind == "request" {
						v := next
						if calls++; calls == 1 {
							v = first
						} else if calls > 50 { // they may have no end, so we are it
							v = []byte(`{"values":[],"finished":true}`)
						}
						if !json.Valid(v) || bytes.ContainsAny(v, "\r\n") || !utf8.Valid(v) || depth(v) > 900 {
							v = []byte(`5`)
						}
						b.bytes(`{"jsonrpc":"2.0","id":` + s.ID + `,"result":` + string(v) + "}\n")
					}
					buf = append(buf[:0], buf[i+1:]...)
				}
			}
		}()
		n := 0
		for _, err := range numbers.Open(context.Background(), conn, hubwire.None{}) {
			if err != nil {
				break
			}
			n++
		}
		_ = conn.Close()
		_ = b.Close()
		<-ended
	})
}
