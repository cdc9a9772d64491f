package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// parse gives all events of pieces.
func parse(t testing.TB, p *sse.Parser, pieces iter.Seq[[]byte]) (events []sse.Event[string]) {
	t.Helper()
	for piece := range pieces {
		piece = bytes.Clone(piece)
		p.Feed(piece)
		for b, ok := p.Next(); ok; b, ok = p.Next() {
			events = append(events, b.Event())
		}
		if _, again := p.Next(); again {
			t.Fatal("an event after the last")
		}
		for i := range piece {
			piece[i] = 'X' // nothing may refer to it now
		}
	}
	return events
}

// whole, bytewise and random are ways to cut.
func whole(s string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { yield([]byte(s)) }
}

func bytewise(s string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range len(s) {
			if !yield([]byte(s[i : i+1])) {
				return
			}
		}
	}
}

func random(s string, seed uint64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		r := rand.New(rand.NewPCG(seed, 0))
		for len(s) > 0 {
			n := min(r.IntN(12), len(s))
			if !yield([]byte(s[:n])) {
				return
			}
			s = s[n:]
		}
	}
}

func ev(typ, data, last string, set sse.Fields) sse.Event[string] {
	e := sse.Event[string]{Type: typ, Data: data, LastEventID: last, Set: set}
	if set&sse.IDField != 0 {
		e.ID = last
	}
	return e
}

func TestParser(t *testing.T) {
	const m = "message"
	for name, c := range map[string]struct {
		in   string
		want []sse.Event[string]
	}{
		"one":            {"data: x\n\n", []sse.Event[string]{ev(m, "x", "", 0)}},
		"all fields":     {"event: t\ndata: d\nid: 1\nretry: 100\n\n", []sse.Event[string]{{Type: "t", Data: "d", ID: "1", LastEventID: "1", Retry: 100 * time.Millisecond, Set: 7}}},
		"ends":           {"data: a\rdata: b\r\ndata: c\n\rdata: d\r\r", []sse.Event[string]{ev(m, "a\nb\nc", "", 0), ev(m, "d", "", 0)}},
		"id stays":       {"id: 1\n\ndata: a\n\nid\ndata: b\n\n", []sse.Event[string]{ev(m, "a", "1", 0), ev(m, "b", "", sse.IDField)}},
		"type goes":      {"event: t\n\ndata: a\n\n", []sse.Event[string]{ev(m, "a", "", 0)}},
		"no type":        {"event\ndata\n\n", []sse.Event[string]{ev(m, "", "", sse.TypeField)}},
		"no end":         {"data: a\n\nid: 1\ndata: b\n", []sse.Event[string]{ev(m, "a", "", 0)}},
		"mark":           {"\xEF\xBB\xBFdata: a\n\n", []sse.Event[string]{ev(m, "a", "", 0)}},
		"half a mark":    {"\xEF\xBBdata: a\n\ndata: b\n\n", []sse.Event[string]{ev(m, "b", "", 0)}},
		"not characters": {"data: a\xe4\xb8\ndata: \xf8\x88b\xed\xa0\xf0\x9f\x98c\n\n", []sse.Event[string]{ev(m, "a\uFFFD\n\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFDc", "", 0)}},
		"retries":        {"retry: 5\n\ndata: x\nretry: 1x\nretry:\nretry: -1\n\n", []sse.Event[string]{ev(m, "x", "", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, cut := range []iter.Seq[[]byte]{whole(c.in), bytewise(c.in), random(c.in, 1), random(c.in, 2)} {
				p := sse.NewParser(nil)
				if got := parse(t, p, cut); !reflect.DeepEqual(got, c.want) {
					t.Errorf("cut %d:\ngot  %+v\nwant %+v", i, got, c.want)
				}
			}
		})
	}
}

func TestParserState(t *testing.T) {
	p := sse.NewParser(&sse.ParserOptions{LastEventID: "old"})
	if _, ok := p.Retry(); ok || p.LastEventID() != "old" {
		t.Error("before the first line:", p.LastEventID(), ok)
	}
	parse(t, p, bytewise("\xEF\xBB\xBFid: 1\n\nretry: 7\nid: 2\ndata: lost\n"))
	if d, ok := p.Retry(); !ok || d != 7*time.Millisecond || p.LastEventID() != "1" {
		t.Errorf("within a block: id %q, retry %v, %v", p.LastEventID(), d, ok)
	}
	p.Reset() // a new response
	got := parse(t, p, bytewise("\xEF\xBB\xBFdata: a\n\n"))
	if want := []sse.Event[string]{ev("message", "a", "1", 0)}; !reflect.DeepEqual(got, want) {
		t.Errorf("after Reset: %+v", got)
	}
	if d, _ := p.Retry(); d != 7*time.Millisecond {
		t.Error("retry after Reset:", d)
	}
	parse(t, p, whole("retry: 922337203685477\n"))
	if d, _ := p.Retry(); d != 1<<63-1 {
		t.Error("the longest retry:", d)
	}
	parse(t, p, whole("retry: 922337203685478\nretry: 3\n"))
	if d, _ := p.Retry(); d != 3*time.Millisecond {
		t.Error("retry:", d)
	}
}

func TestParserComments(t *testing.T) {
	var got []string
	p := sse.NewParser(&sse.ParserOptions{Comment: func(b []byte) { got = append(got, string(b)) }})
	parse(t, p, random(": a\n:b\r\ndata: x\n:\n: unfinished", 3))
	if want := []string{" a", "b", ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestParserBounds(t *testing.T) {
	for name, c := range map[string]struct {
		opts sse.ParserOptions
		in   string
		ok   bool
	}{
		"a line at the bound":    {sse.ParserOptions{MaxLine: 8}, "data: 12\n\n", true},
		"a line beyond it":       {sse.ParserOptions{MaxLine: 8}, "data: 123\n\n", false},
		"a comment beyond it":    {sse.ParserOptions{MaxLine: 8}, ": 1234567\n\n", false},
		"a line without an end":  {sse.ParserOptions{MaxLine: 8}, "123456789", false},
		"an event at the bound":  {sse.ParserOptions{MaxEvent: 5}, "data: 12\ndata: 34\n\n", true},
		"an event beyond it":     {sse.ParserOptions{MaxEvent: 5}, "data: 12\ndata: 345\n\n", false},
		"empty lines beyond it":  {sse.ParserOptions{MaxEvent: 5}, strings.Repeat("data\n", 7) + "\n", false},
		"many events":            {sse.ParserOptions{MaxEvent: 5, MaxLine: 11}, strings.Repeat("data: 12345\n\n", 100), true},
		"no bounds":              {sse.ParserOptions{MaxEvent: -1, MaxLine: -1}, "data: " + strings.Repeat("x", 17<<20) + "\n\n", true},
		"the line bound as such": {sse.ParserOptions{}, "data: " + strings.Repeat("x", 17<<20) + "\n\n", false},
		"the event bound":        {sse.ParserOptions{}, strings.Repeat("data: "+strings.Repeat("x", 9<<20)+"\n", 2) + "\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := sse.NewParser(&c.opts)
			cut := whole(c.in)
			if len(c.in) < 1000 {
				cut = bytewise(c.in)
			}
			parse(t, p, cut)
			if err := p.Err(); (err == nil) != c.ok || err != nil && !errors.Is(err, sse.ErrTooLong) {
				t.Fatal(err)
			}
			if !c.ok && len(parse(t, p, whole("\n\ndata: x\n\n"))) != 0 {
				t.Error("an event after the error")
			}
		})
	}
}

// TestParserBuffers: what a large event needed does not stay.
func TestParserBuffers(t *testing.T) {
	p := sse.NewParser(nil)
	line := "data: " + strings.Repeat("x", 1<<20) + "\n"
	in := strings.Repeat(line, 8) + "\ndata: y\n\nid: " + strings.Repeat("9", 100) + "\n\n"
	n := 0
	for len(in) > 0 {
		k := min(1000, len(in))
		p.Feed([]byte(in[:k]))
		in = in[k:]
		for _, ok := p.Next(); ok; _, ok = p.Next() {
			n++
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p.Reset()
	held := p
	p = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(held)
	if freed := int64(before.HeapAlloc) - int64(after.HeapAlloc); n != 2 || freed > 1<<20 {
		t.Errorf("%d events; %d bytes were kept", n, freed)
	}
}

func TestReader(t *testing.T) {
	in := "data: a\n\n" + strings.Repeat(": "+strings.Repeat("x", 1000)+"\n", 40) + "id: 1\ndata: b\n\ndata: c"
	for name, r := range map[string]io.Reader{
		"plain": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)), "halves": iotest.HalfReader(strings.NewReader(in)), "with the end": iotest.DataErrReader(strings.NewReader(in)),
	} {
		rd := sse.NewReader(r, nil)
		for _, want := range []string{"a", "b"} {
			b, err := rd.Next()
			if err != nil || string(b.Data) != want {
				t.Fatalf("%s: %q, %v", name, b.Data, err)
			}
		}
		for range 2 {
			if _, err := rd.Next(); err != io.EOF {
				t.Fatal(name, err)
			}
		}
		if rd.LastEventID() != "1" {
			t.Error(name, rd.LastEventID())
		}
	}
}

func TestRead(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader("data: a\n\ndata: b\n\nda"), iotest.ErrReader(broken))
	var got []string
	for e, err := range sse.Read(r, nil) {
		got = append(got, fmt.Sprint(e.Data, err))
	}
	if want := []string{"a<nil>", "b<nil>", "broken"}; fmt.Sprint(got) != fmt.Sprint([]string{"a<nil>", "b<nil>", "broken"}) {
		t.Errorf("%q, want %q", got, want)
	}
	got = nil
	for e, err := range sse.Read(strings.NewReader("data: a\n\ndata: b\n\n"), nil) {
		got = append(got, fmt.Sprint(e.Data, err))
		break
	}
	if len(got) != 1 {
		t.Error(got)
	}
	for range sse.Read(strings.NewReader("data: a\n"), nil) {
		t.Error("an event")
	}
	_, err := sse.NewReader(iotest.ErrReader(nil), nil).Next()
	if err != io.ErrNoProgress {
		t.Error("a reader that never gives anything:", err)
	}
}

func TestParserDoesNotAllocate(t *testing.T) {
	in := []byte(strings.Repeat("id: e-0000000001\nevent: tick\ndata: "+strings.Repeat("x", 90)+"\n\n", 100))
	p := sse.NewParser(nil)
	n := testing.AllocsPerRun(10, func() {
		for cut := range 3 {
			k := len(in) / 3
			p.Feed(in[cut*k : (cut+1)*k])
			for _, ok := p.Next(); ok; _, ok = p.Next() {
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParser(b *testing.B) {
	for _, c := range []struct{ name, event string }{
		{"131B", "id: 0123456789abcdef0\nevent: tick\ndata: " + strings.Repeat("x", 89) + "\n\n"},
		{"131B-CRLF", "id: 0123456789abcde\r\nevent: tick\r\ndata: " + strings.Repeat("x", 87) + "\r\n\r\n"},
		{"tiny-CR", "data\r\r"},
		{"64KiB", "data: " + strings.Repeat("x", 64<<10) + "\n\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			in := []byte(strings.Repeat(c.event, max(1<<20/len(c.event), 1)))
			b.SetBytes(int64(len(in)))
			p := sse.NewParser(nil)
			for b.Loop() {
				for rest := in; len(rest) > 0; {
					n := min(len(rest), 16<<10)
					p.Feed(rest[:n])
					rest = rest[n:]
					for _, ok := p.Next(); ok; _, ok = p.Next() {
					}
				}
			}
		})
	}
}
