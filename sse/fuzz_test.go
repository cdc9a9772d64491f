package sse_test

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hubwire/hubwire/sse"
)

// reference parses a whole stream, slowly: the standard's text, section 9.2.6,
// sentence by sentence.
func reference(stream string) (events []sse.Event[string], last string, retry time.Duration) {
	s := strings.TrimPrefix(decodeUTF8(stream), "\uFEFF")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	lines := strings.Split(s, "\n")
	lines = lines[:len(lines)-1] // the last one has no end
	var data, typ, id string
	var own sse.Event[string]
	retry = -1
	for _, line := range lines {
		if line == "" {
			last = id
			if data != "" {
				own.Data = strings.TrimSuffix(data, "\n")
				own.Type = typ
				if typ == "" {
					own.Type = "message"
				}
				own.LastEventID = last
				events = append(events, own)
			}
			data, typ, own = "", "", sse.Event[string]{}
			continue
		}
		name, value, colon := strings.Cut(line, ":")
		if colon && name == "" {
			continue
		}
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			typ = value
			own.Set |= sse.TypeField
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				id, own.ID = value, value
				own.Set |= sse.IDField
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				if n, err := strconv.ParseInt(value, 10, 64); err == nil && n <= 922337203685477 {
					retry = time.Duration(1<<63 - 1)
					if n <= 9223372036854 {
						retry = time.Duration(n) * time.Millisecond
					}
					own.Retry = retry
					own.Set |= sse.RetryField
				}
			}
		}
	}
	return events, last, retry
}

// decodeUTF8 decodes as the Encoding standard says, one U+FFFD for each maximal
// part: it tries every prefix of every character.
func decodeUTF8(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if r, n := utf8.DecodeRuneInString(s); r != utf8.RuneError || n > 1 {
			b.WriteString(s[:n])
			s = s[n:]
			continue
		}
		n := 1
		for k := 2; k <= 3 && k <= len(s); k++ {
			if begins(s[:k]) {
				n = k
			}
		}
		b.WriteRune(utf8.RuneError)
		s = s[n:]
	}
	return b.String()
}

// begins reports whether some character begins with s.
func begins(s string) bool {
	for _, tail := range []string{"\x80", "\x80\x80", "\xBF", "\xBF\xBF", "\x90\x80", "\x9F\x80"} {
		if utf8.RuneCountInString(s+tail) == 1 && utf8.ValidString(s+tail) {
			return true
		}
	}
	return false
}

func FuzzParser(f *testing.F) {
	for _, s := range []string{
		"data: a\n\n", "event: t\r\nid: 1\r\ndata: ab\r\ndata: cd\r\nretry: 10\r\n\r\n", "\xEF\xBB\xBFdata\r\rdata:\n\rid\n\n",
		": c\ndata: x\n: d\ndata: y\n\n", "id: a\x00b\nid:1\n\nevent\ndata: \xe4\xb8\xf0\x9f\x98\xff\xed\xa0\x80\n\n",
		"retry: 99999999999999999999\nretry: 922337203685477\ndata: x\n\nretry: 0x1\n", "\xEF\xBBdata: a\n\ndata:  b \n\n\n\ndata: c", "data: a\r",
	} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, in string, seed uint64) {
		want, last, retry := reference(in)
		for name, cut := range map[string]func() *sse.Parser{
			"whole":    func() *sse.Parser { return sse.NewParser(nil) },
			"bytewise": func() *sse.Parser { return sse.NewParser(nil) },
			"random":   func() *sse.Parser { return sse.NewParser(nil) },
		} {
			p := cut()
			pieces := whole(in)
			switch name {
			case "bytewise":
				pieces = bytewise(in)
			case "random":
				pieces = random(in, seed)
			}
			got := parse(t, p, pieces)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s of %q:\ngot  %+v\nwant %+v", name, in, got, want)
			}
			d, ok := p.Retry()
			if p.LastEventID() != last || ok != (retry >= 0) || ok && d != retry {
				t.Fatalf("%s of %q: id %q, retry %v %v; want %q, %v", name, in, p.LastEventID(), d, ok, last, retry)
			}
		}
	})
}

// FuzzAppend: what is written is read again, and nothing else.
func FuzzAppend(f *testing.F) {
	f.Add("t", "a\nb", "1", int64(1000), uint8(0), "comment")
	f.Add("", "\r\n\r", "", int64(0), uint8(7), "a\r\ndata: x\n\n")
	f.Add("a\nb", "id: 2\n\ndata: y", "x\x00", int64(-1), uint8(2), "")
	f.Fuzz(func(t *testing.T, typ, data, id string, ms int64, set uint8, comment string) {
		e := sse.Event[string]{Type: typ, Data: data, ID: id, Retry: time.Duration(ms%9e12) * time.Millisecond, Set: sse.Fields(set) & 7}
		out, err := sse.Append([]byte("data: before\n\n"), e)
		bad := strings.ContainsAny(typ, "\r\n") || strings.ContainsAny(id, "\r\n\x00") || e.Retry < 0
		if (err != nil) != bad || err != nil && !errors.Is(err, sse.ErrInvalid) {
			t.Fatalf("%+v: %v", e, err)
		}
		want := []sse.Event[string]{{Type: "message", Data: "before"}}
		if err == nil {
			w := e
			w.Type, w.ID = decodeUTF8(w.Type), decodeUTF8(w.ID)
			if w.Type != "" {
				w.Set |= sse.TypeField
			} else {
				w.Type = "message"
			}
			if w.ID != "" {
				w.Set |= sse.IDField
			}
			if w.Retry != 0 {
				w.Set |= sse.RetryField
			}
			w.LastEventID = w.ID
			w.Data = decodeUTF8(strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n"))
			want = append(want, w)
		}
		out = sse.AppendComment(out, comment)
		out, _ = sse.Append(out, sse.Event[string]{Data: "after"})
		want = append(want, sse.Event[string]{Type: "message", Data: "after", LastEventID: want[len(want)-1].LastEventID})
		if got := parse(t, sse.NewParser(nil), whole(string(out))); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q:\ngot  %+v\nwant %+v", out, got, want)
		}
	})
}

// storedSeeds are records of a store; all but the first are not of ours.
var storedSeeds = []string{
	"\x01\x00\x01a\x01kevent: t\ndata: x\n",
	"", "\x00", "\x01", "\x01\x00", "\x01\x00\x01", "\x01\x00\x01a", "\x01\x00\x01a\x00", "\x01\x00\x00\x00data: x\n", "\x01\x00\x01a\x00\n", "\x01\x00\x01a\x00data: x",
	"\x01\x00\x01a\x00data: x\n\n", "\x01\x00\x01a\x00data: x\n\ndata: y\n", "\x01\x00\x01a\x00data: x\rdata: y\n", "\x01\x00\x01*\x00data: x\n", "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7fa",
	"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x00data: x\n", "\x01\x00\x01a\xff\xff\x03data: x\n", "\x02\x00\x01a\x00data: x\n", "\x01\x00\x01\xff\x00data: x\n",
}

// FuzzStored: a record of a store is refused, or is one event.
func FuzzStored(f *testing.F) {
	for _, s := range storedSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		topic, plain, err := sse.ParseStored(data)
		if err != nil {
			return
		}
		if topic == "" || len(plain) > len(data)+64 {
			t.Fatalf("topic %q, %d bytes of %d", topic, len(plain), len(data))
		}
		p := sse.NewParser(nil)
		p.Feed([]byte(plain))
		n := 0
		for {
			if _, ok := p.Next(); !ok {
				break
			}
			n++
		}
		if n > 1 || p.Err() != nil || p.LastEventID() != "7-9" {
			t.Fatalf("%q: %d events, id %q, %v", plain, n, p.LastEventID(), p.Err())
		}
	})
}
