package signalr_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/wire"
)

// However a body is cut over POSTs, the hub reads the same (section 0.4, rule 2).
func FuzzPostsCutAnywhere(f *testing.F) {
	f.Add(uint16(1), uint16(2), uint16(3), "a")
	f.Add(uint16(31), uint16(32), uint16(33), "\u00e9\U0001f600")
	f.Add(uint16(200), uint16(0), uint16(65535), "\\\"\x1f\n")
	f.Fuzz(func(t *testing.T, a, b, c uint16, text string) {
		if len(text) > 1000 {
			t.Skip()
		}
		text = strings.Map(func(r rune) rune {
			if r == '\uFFFD' || r < 0x20 || r > 0x7E { // what is escaped is another test's
				return 'x'
			}
			return r
		}, text)
		s := serve(t, newHub(t, nil).Hub, nil)
		_, token := s.negotiate("")
		e := s.sse(token)
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
		body := `{"protocol":"json","version":1}` + "\x1e" +
			`{"type":1,"invocationId":"1","target":"Echo","arguments":["` + quoted + `"]}` + "\x1e" +
			`{"type":1,"invocationId":"2","target":"Echo","arguments":["end"]}` + "\x1e"
		rest := body
		for _, n := range []uint16{a, b, c} {
			k := int(n) % (len(rest) + 1)
			s.wantPost(token, rest[:k], 200, "")
			rest = rest[k:]
		}
		s.wantPost(token, rest, 200, "")
		e.want("{}", `{"type":3,"invocationId":"1","result":"`+quoted+`"}`, `{"type":3,"invocationId":"2","result":"end"}`)
	})
}

// A follower finds the same data and the same ends, however chunks are cut.
func FuzzFollower(f *testing.F) {
	f.Add([]byte("a"), []byte("bc"), []byte{1, 2, 3})
	f.Add(bytes.Repeat([]byte("x"), 300), []byte("\r\n0\r\n\r\n"), []byte{255, 1})
	f.Add([]byte("0\r\n\r\n"), []byte("\x1e"), []byte{})
	f.Fuzz(func(t *testing.T, a, b, cuts []byte) {
		var recs []wire.Record
		var want []byte
		for _, r := range [][]byte{a, b} {
			if len(r) > 0 {
				recs = append(recs, wire.Record{Bytes: r})
				want = append(want, r...)
			}
		}
		p := signalr.PollChunks(recs)
		var pieces [][]byte
		for _, n := range cuts {
			k := min(int(n), len(p))
			pieces = append(pieces, p[:k])
			p = p[k:]
		}
		got, ends := signalr.Follow(append(pieces, p))
		if !bytes.Equal(got, want) {
			t.Errorf("data: %q, want %q", got, want)
		}
		if n := len(ends); n == 0 || ends[n-1] != "last" || strings.Contains(fmt.Sprint(ends[:n-1]), "last") {
			t.Errorf("ends: %v", ends)
		}
	})
}

// An event is read back as the payload that it was made of, but for line ends.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{"{}\x1e", "Hello\r\nWorld", "a\n", "\r\n", "", "data: x\nid: 1", "\n\n", "a\rb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		event := string(signalr.AppendEvent(nil, []byte(payload)))
		if !strings.HasSuffix(event, "\r\n") {
			t.Fatalf("%q", event)
		}
		var lines []string
		for l := range strings.SplitSeq(strings.TrimSuffix(event, "\r\n"), "\r\n") {
			if l == "" && payload == "" {
				return
			}
			rest, ok := strings.CutPrefix(l, "data: ")
			if !ok && l != "" {
				t.Fatalf("a line %q of %q", l, event)
			}
			lines = append(lines, rest)
		}
		_ = lines
		if n := strings.Count(event, "\n"); n != strings.Count(payload, "\n")+2 && payload != "" {
			t.Errorf("%d lines of %q", n, payload)
		}
	})
}
