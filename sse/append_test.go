package sse_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// load reads a recording.
func load[T any](t testing.TB, name string) T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "dotnet", name))
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// A recordedInput is what a .NET encoder was given.
type recordedInput struct {
	Kind      string
	EventType *string
	Items     []recordedItem
}

type recordedItem struct {
	Data       *string
	Event, ID  *string
	RetryTicks *int64 // of 100 ns
}

// event is the item as our encoder takes it.
func (in recordedInput) event(i recordedItem) sse.Event[string] {
	var e sse.Event[string]
	if i.Data != nil {
		e.Data = *i.Data
	}
	if i.Event == nil {
		i.Event = in.EventType
	}
	if i.Event != nil {
		e.Type = *i.Event
		e.Set |= sse.TypeField
	}
	if i.ID != nil {
		e.ID = *i.ID
		e.Set |= sse.IDField
	}
	if i.RetryTicks != nil {
		e.Retry = time.Duration(min(*i.RetryTicks, 1<<63/100-1)) * 100
		e.Set |= sse.RetryField
	}
	return e
}

// TestRecordedFormatter: SseFormatter's bytes.
func TestRecordedFormatter(t *testing.T) {
	r := load[struct {
		Cases []struct {
			Name, Output, OutputHex string
			Input                   recordedInput
			ItemsHex                []string
		}
	}](t, "formatter-dotnet.json")
	for _, c := range r.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var got []byte
			var err error
			for _, i := range c.Input.Items {
				if got, err = sse.Append(got, c.Input.event(i)); err != nil {
					t.Fatal(err)
				}
			}
			want := c.Output
			if len(c.ItemsHex) > 0 { // bytes, under a type of the test's own
				want = unhex(t, c.OutputHex)
				for _, h := range c.ItemsHex {
					if got, err = sse.Append(got, sse.Event[[]byte]{Type: "raw", Data: []byte(unhex(t, h))}); err != nil {
						t.Fatal(err)
					}
				}
			}
			want = strings.ReplaceAll(want, longestDotNet, longest)
			if string(got) != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// A time.Duration is at most 292 years, a TimeSpan 29,000.
const (
	longestDotNet = "retry: 922337203685477\n"
	longest       = "retry: 9223372036854\n"
)

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRecordedItemChecks: what SseItem refuses is refused, and an id with a NUL,
// which clients ignore, besides.
func TestRecordedItemChecks(t *testing.T) {
	r := load[struct {
		Checks []struct {
			What, Value string
			OK          bool
		}
	}](t, "sseitem-checks.json")
	for _, c := range r.Checks {
		var e sse.Event[string]
		ok := c.OK
		switch c.What {
		case "eventType":
			e.Type = c.Value
		case "eventId":
			e.ID = c.Value
			ok = ok && !strings.Contains(c.Value, "\x00")
		case "reconnectionIntervalTicks":
			if c.Value == "Timeout.InfiniteTimeSpan" {
				c.Value = "-10000"
			}
			n, err := strconv.ParseInt(c.Value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			e.Retry = time.Duration(max(min(n, 1<<63/100-1), -1<<63/100)) * 100
			e.Set = sse.RetryField
		}
		dst := []byte("kept")
		got, err := sse.Append(dst, e)
		if (err == nil) != ok {
			t.Errorf("%s %q: %v, want ok %v", c.What, c.Value, err, ok)
		}
		if err != nil && (!errors.Is(err, sse.ErrInvalid) || string(got) != "kept") {
			t.Errorf("%s %q: %q, %v", c.What, c.Value, got, err)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		e    sse.Event[string]
		want string
	}{
		{sse.Event[string]{}, "data: \n\n"},
		{sse.Event[string]{Type: "a", Data: "b", ID: "c", Retry: time.Second}, "event: a\ndata: b\nid: c\nretry: 1000\n\n"},
		{sse.Event[string]{Data: "id: 9\nevent: x\r\n\rdata: y"}, "data: id: 9\ndata: event: x\ndata: \ndata: data: y\n\n"},
		{sse.Event[string]{Data: "\n\n\r\n\r\r\n"}, "data: \ndata: \ndata: \ndata: \ndata: \ndata: \n\n"},
		{sse.Event[string]{Data: strings.Repeat("ab\n", 9) + "\r" + strings.Repeat("c\r", 3)}, strings.Repeat("data: ab\n", 9) + "data: \n" + strings.Repeat("data: c\n", 3) + "data: \n\n"},
		{sse.Event[string]{Data: "a\x00b", Type: "t\x00"}, "event: t\x00\ndata: a\x00b\n\n"},
		{sse.Event[string]{Set: sse.IDField}, "data: \nid: \n\n"},
		{sse.Event[string]{Set: sse.RetryField}, "data: \nretry: 0\n\n"},
		{sse.Event[string]{Retry: 1999 * time.Microsecond}, "data: \nretry: 1\n\n"},
		{sse.Event[string]{LastEventID: "not sent"}, "data: \n\n"},
	} {
		got, err := sse.Append(nil, c.e)
		if err != nil || string(got) != c.want {
			t.Errorf("%+v:\ngot  %q, %v\nwant %q", c.e, got, err, c.want)
		}
		b, err := sse.Append(nil, sse.Event[[]byte]{Type: c.e.Type, Data: []byte(c.e.Data), ID: c.e.ID, Retry: c.e.Retry, Set: c.e.Set})
		if err != nil || string(b) != c.want {
			t.Errorf("%+v as bytes: %q, %v", c.e, b, err)
		}
	}
	for _, e := range []sse.Event[string]{
		{Type: "a\nb"}, {Type: "a\r"}, {Type: strings.Repeat("long", 10) + "\r\nx"}, {ID: "\n"}, {ID: "a\x00"},
		{ID: strings.Repeat("0", 100) + "\r"}, {Retry: -1}, {Retry: time.Microsecond},
	} {
		if got, err := sse.Append([]byte("x"), e); !errors.Is(err, sse.ErrInvalid) || string(got) != "x" {
			t.Errorf("%+v: %q, %v", e, got, err)
		}
	}
}

func TestAppendOthers(t *testing.T) {
	for text, want := range map[string]string{
		"": ":\n", "ping": ": ping\n", "a\nb\r\ndata: x\rc": ": a\n: b\n: data: x\n: c\n", "\n": ": \n: \n",
	} {
		if got := sse.AppendComment(nil, text); string(got) != want {
			t.Errorf("comment %q: %q, want %q", text, got, want)
		}
	}
	if got, err := sse.AppendID(nil, "7"); err != nil || string(got) != "id: 7\n\n" {
		t.Errorf("id: %q, %v", got, err)
	}
	if got, err := sse.AppendID(nil, ""); err != nil || string(got) != "id: \n\n" {
		t.Errorf("no id: %q, %v", got, err)
	}
	if _, err := sse.AppendID(nil, "7\n"); !errors.Is(err, sse.ErrInvalid) {
		t.Error("id with a break:", err)
	}
	if got, err := sse.AppendRetry(nil, time.Second); err != nil || string(got) != "retry: 1000\n\n" {
		t.Errorf("retry: %q, %v", got, err)
	}
	for _, d := range []time.Duration{0, -1, time.Millisecond - 1} {
		if _, err := sse.AppendRetry(nil, d); !errors.Is(err, sse.ErrInvalid) {
			t.Errorf("retry %v: %v", d, err)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	data := bytes.Repeat([]byte("x"), 100)
	n := testing.AllocsPerRun(100, func() {
		var err error
		if dst, err = sse.Append(dst[:0], sse.Event[[]byte]{Type: "tick", Data: data, ID: "e-17", Retry: time.Second}); err != nil {
			t.Fatal(err)
		}
		dst = sse.AppendComment(dst, "ping")
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ name, data string }{
		{"100B", strings.Repeat("x", 100)},
		{"20lines", strings.Repeat("a line of some text\n", 20)},
		{"64KiB", strings.Repeat("x", 64<<10)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			dst := make([]byte, 0, 70<<10)
			e := sse.Event[string]{Data: c.data}
			for b.Loop() {
				dst, _ = sse.Append(dst[:0], e)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
