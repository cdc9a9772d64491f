package sse_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// A recording is one input and what came out of it, in Chromium's EventSource and
// in .NET's SseParser 10.0.12 and 11.0.0.
type recording struct {
	Name  string
	Input []struct {
		Text, Hex, Repeat string
		Times             int
	}
	Reads  []int // sizes of the reads; the rest in one
	Events []recordedEvent
	// EventCount is how many there were, where only the first and the last are
	// listed.
	EventCount           int
	LastEventID          *string
	ReconnectLastEventID *string
	ReconnectionInterval json.RawMessage
}

type recordedEvent struct {
	Type        string
	Data        recordedText
	LastEventID recordedText
	ID          *recordedText
	RetryMs     *json.Number
}

// A recordedText is a string, or the length and the hash of a long one.
type recordedText struct {
	text string
	size int
	hash string
}

func (r *recordedText) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &r.text)
	}
	var long struct {
		UTF8Length int
		SHA256     string
	}
	err := json.Unmarshal(b, &long)
	r.size, r.hash = long.UTF8Length, long.SHA256
	return err
}

func (r recordedText) is(s string) bool {
	if r.hash == "" {
		return r.text == s
	}
	sum := sha256.Sum256([]byte(s))
	return r.size == len(s) && r.hash == hex.EncodeToString(sum[:])
}

func (r *recording) bytes(t *testing.T) []byte {
	var b bytes.Buffer
	for _, part := range r.Input {
		b.WriteString(part.Text)
		raw, err := hex.DecodeString(part.Hex)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
		b.WriteString(strings.Repeat(part.Repeat, part.Times))
	}
	return b.Bytes()
}

func recordings(t *testing.T) (inputs []recording, chromium map[string]recording) {
	var dotnet struct{ Vectors []recording }
	var browser struct{ Results []recording }
	for name, into := range map[string]any{"dotnet.json": &dotnet, "chromium.json": &browser} {
		b, err := os.ReadFile(filepath.Join("testdata", "parse", name))
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	chromium = map[string]recording{}
	for _, r := range browser.Results {
		chromium[r.Name] = r
	}
	if len(dotnet.Vectors) != 105 || len(chromium) != 105 {
		t.Fatalf("%d inputs, %d results", len(dotnet.Vectors), len(chromium))
	}
	return dotnet.Vectors, chromium
}

// parseRecorded feeds b in pieces of the given sizes, the rest in one.
func parseRecorded(t *testing.T, b []byte, sizes []int, opts *sse.ParserOptions) (events []sse.Event[string], p *sse.Parser) {
	p = sse.NewParser(opts)
	for len(b) > 0 {
		n := len(b)
		if len(sizes) > 0 {
			n, sizes = min(n, sizes[0]), sizes[1:]
		}
		p.Feed(b[:n:n])
		for block, ok := p.Next(); ok; block, ok = p.Next() {
			events = append(events, block.Event())
		}
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	return events, p
}

// inPieces runs f with the recorded reads, in one piece, byte by byte (short
// inputs), and in pieces of seven.
func inPieces(t *testing.T, r recording, f func(t *testing.T, b []byte, sizes []int)) {
	b := r.bytes(t)
	f(t, b, r.Reads)
	f(t, b, nil)
	for _, n := range []int{1, 7} {
		if len(b) > 1<<20 {
			n *= 1000
		}
		sizes := make([]int, len(b)/n+1)
		for i := range sizes {
			sizes[i] = n
		}
		f(t, b, sizes)
	}
}

// Chromium is the reference for the standard.
func TestParseAsChromium(t *testing.T) {
	inputs, chromium := recordings(t)
	for _, in := range inputs {
		want := chromium[in.Name]
		t.Run(in.Name, func(t *testing.T) {
			inPieces(t, in, func(t *testing.T, b []byte, sizes []int) {
				events, p := parseRecorded(t, b, sizes, nil)
				same(t, events, want, func(got sse.Event[string], e recordedEvent) bool { return true })
				if id := want.ReconnectLastEventID; id != nil && strings.Trim(p.LastEventID(), " ") != *id {
					t.Errorf("it reconnects with %q, want %q", p.LastEventID(), *id)
				}
			})
		})
	}
}

// The preset gives what SseParser gives, its faults included.
func TestParseAsDotNet(t *testing.T) {
	inputs, _ := recordings(t)
	for _, in := range inputs {
		t.Run(in.Name, func(t *testing.T) {
			inPieces(t, in, func(t *testing.T, b []byte, sizes []int) {
				events, p := parseRecorded(t, b, sizes, &sse.ParserOptions{DotNet: true})
				same(t, events, in, func(got sse.Event[string], e recordedEvent) bool {
					if (e.ID != nil) != (got.Set&sse.IDField != 0) || e.ID != nil && !e.ID.is(got.ID) {
						t.Errorf("id %q (%v), want %v", got.ID, got.Set, e.ID)
						return false
					}
					if (e.RetryMs != nil) != (got.Set&sse.RetryField != 0) {
						t.Errorf("retry %v (%v), want %v", got.Retry, got.Set, e.RetryMs)
						return false
					}
					if e.RetryMs != nil {
						ms, err := e.RetryMs.Float64()
						if want := ms * float64(time.Millisecond); err != nil || want < 9e18 && got.Retry != time.Duration(want) {
							t.Errorf("retry %v, want %v ms", got.Retry, *e.RetryMs)
						}
					}
					return true
				})
				if in.LastEventID != nil && p.LastEventID() != *in.LastEventID {
					t.Errorf("last event id %q, want %q", p.LastEventID(), *in.LastEventID)
				}
				if _, named := p.Retry(); named == (string(in.ReconnectionInterval) == `"infinite"`) {
					t.Errorf("a reconnection time: %v, want %s", named, in.ReconnectionInterval)
				}
			})
		})
	}
}

// same compares events with those recorded.
func same(t *testing.T, got []sse.Event[string], want recording, more func(sse.Event[string], recordedEvent) bool) {
	t.Helper()
	if want.EventCount > 0 {
		if len(got) != want.EventCount {
			t.Fatalf("%d events, want %d", len(got), want.EventCount)
		}
		got = []sse.Event[string]{got[0], got[len(got)-1]}
	}
	if len(got) != len(want.Events) {
		t.Fatalf("%d events, want %d: %.500q", len(got), len(want.Events), got)
	}
	for i, e := range want.Events {
		if got[i].Type != e.Type || !e.Data.is(got[i].Data) || !e.LastEventID.is(got[i].LastEventID) {
			t.Errorf("event %d: type %q, last id %q, data %.80q; want %+v", i, got[i].Type, got[i].LastEventID, got[i].Data, e)
			return
		}
		if !more(got[i], e) {
			return
		}
	}
}

// The reader gives the same as the parser.
func TestReadRecorded(t *testing.T) {
	inputs, chromium := recordings(t)
	for _, in := range inputs {
		b := in.bytes(t)
		var events []sse.Event[string]
		for ev, err := range sse.Read(iotest.HalfReader(bytes.NewReader(b)), nil) {
			if err != nil {
				t.Fatalf("%s: %v", in.Name, err)
			}
			events = append(events, ev)
		}
		t.Run(in.Name, func(t *testing.T) {
			same(t, events, chromium[in.Name], func(sse.Event[string], recordedEvent) bool { return true })
		})
	}
}
