package jsonrpc_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf16"

	"github.com/hubwire/hubwire/jsonrpc"
)

func utf16Text(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// Row 63, and the table of bad frames: what is sent as it stands, whether the
// connection lives, and what it answers.
func TestHeaders(t *testing.T) {
	body := asked("1")
	n := len(body)
	header := func(format string) string { return strings.ReplaceAll(format, "N", fmt.Sprint(n)) + body }
	le, be := utf16Text(body, binary.LittleEndian), utf16Text(body, binary.BigEndian)
	for _, c := range []struct {
		name, in string
		want     []string
		dies     string // with this in the error
	}{
		{name: "plain", in: header("Content-Length: N\r\n\r\n"), want: []string{pong("1")}},
		{name: "lower case", in: header("content-length: N\r\n\r\n"), want: []string{pong("1")}},
		{name: "no blank", in: header("Content-Length:N\r\n\r\n"), want: []string{pong("1")}},
		{name: "blanks all over", in: header("Content-Length \t:  N \t\r\n\r\n"), want: []string{pong("1")}},
		{name: "line feeds alone", in: header("Content-Length: N\n\n"), want: []string{pong("1")}},
		{name: "mixed ends", in: header("X: y\nContent-Length: N\r\n\n"), want: []string{pong("1")}},
		{name: "other headers", in: header("X-A: b\r\nContent-Length: N\r\nY:\r\n\r\n"), want: []string{pong("1")}},
		{name: "a line that is none", in: header("starting up\r\nContent-Length: N\r\n\r\n"), want: []string{pong("1")}},
		{name: "content type", in: header("Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: N\r\n\r\n"), want: []string{pong("1")}},
		{name: "utf8 misspelt", in: header("Content-Length: N\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\n"), want: []string{pong("1")}},
		{name: "charset quoted", in: header("Content-Length: N\r\nContent-Type: a/b; charset=\"UTF-8\"\r\n\r\n"), want: []string{pong("1")}},
		{name: "no charset", in: header("Content-Length: N\r\nContent-Type: a/b\r\n\r\n"), want: []string{pong("1")}},
		{name: "an empty content type", in: header("Content-Length: N\r\nContent-Type:\r\n\r\n"), want: []string{pong("1")}},
		{name: "an unknown charset", in: header("Content-Length: N\r\nContent-Type: a/b; charset=koi8-r\r\n\r\n"), want: []string{"-32700 null"}},
		{name: "UTF-16", in: fmt.Sprintf("Content-Length: %d\r\nContent-Type: a/b; charset=utf-16\r\n\r\n%s", len(le), le), want: []string{pong("1")}},
		{name: "UTF-16BE", in: fmt.Sprintf("Content-Length: %d\r\nContent-Type: a/b; charset=utf-16be\r\n\r\n%s", len(be), be), want: []string{pong("1")}},
		{name: "half of UTF-16", in: "Content-Length: 3\r\nContent-Type: a/b; charset=utf-16\r\n\r\n{\x00}", want: []string{"-32700 null"}},
		{name: "plus", in: header("Content-Length: +N\r\n\r\n"), want: []string{pong("1")}},
		{name: "leading zeros", in: header("Content-Length: 000N\r\n\r\n"), want: []string{pong("1")}},
		{name: "twice the same", in: header("Content-Length: N\r\nContent-Length: N\r\n\r\n"), want: []string{pong("1")}},
		{name: "blank lines before", in: header("\r\n\n\r\nContent-Length: N\r\n\r\n"), want: []string{pong("1")}},
		{name: "blanks behind the message", in: fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n+900, body+strings.Repeat(" ", 900)), want: []string{pong("1")}},
		{name: "length 0", in: "Content-Length: 0\r\n\r\n", want: []string{"-32700 null"}},
		{name: "two values", in: fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 2*n, body+body), want: []string{"-32700 null"}},
		{name: "too large", in: fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 1500, strings.Repeat("[", 1500)), want: []string{"-32600 null"}},
		{name: "at the bound", in: fmt.Sprintf("Content-Length: 1024\r\n\r\n%s", body+strings.Repeat(" ", 1024-n)), want: []string{pong("1")}},

		{name: "much too large", in: "Content-Length: 2050\r\n\r\n", dies: "2050 bytes"},
		{name: "a shorter length than the body", in: fmt.Sprintf("Content-Length: %d\r\n\r\n%s\r\n\r\n", n-1, body), want: []string{"-32700 null"}, dies: "no Content-Length"},
		{name: "no length", in: header("X-Length: N\r\n\r\n"), dies: "no Content-Length"},
		{name: "no number", in: header("Content-Length: abc\r\n\r\n"), dies: "abc"},
		{name: "a number with more", in: header("Content-Length: Nabc\r\n\r\n"), dies: "abc"},
		{name: "negative", in: header("Content-Length: -N\r\n\r\n"), dies: "negative"},
		{name: "empty", in: header("Content-Length:\r\n\r\n"), dies: "Content-Length"},
		{name: "a fraction", in: header("Content-Length: N.0\r\n\r\n"), dies: ".0"},
		{name: "2^63", in: header("Content-Length: 9223372036854775808\r\n\r\n"), dies: "9223372036854775808"},
		{name: "2^63-1", in: header("Content-Length: 9223372036854775807\r\n\r\n"), dies: "9223372036854775807"},
		{name: "two lengths", in: header("Content-Length: N\r\nContent-Length: 1\r\n\r\n"), dies: "twice"},
		{name: "a long line", in: "X: " + strings.Repeat("y", 5<<10) + "\r\n" + header("Content-Length: N\r\n\r\n"), dies: "too long"},
		{name: "a long header", in: strings.Repeat("X: y\r\n", 2<<10) + header("Content-Length: N\r\n\r\n"), dies: "too long"},
		{name: "no header at all", in: strings.Repeat("x", 9<<10), dies: "too long"},
		{name: "the body without a header", in: body + "\r\n\r\n", dies: "no Content-Length"},
	} {
		for _, pieces := range []int{1 << 20, 1, 7} {
			t.Run(fmt.Sprint(c.name, "/", pieces), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := serveRaw(t, newHub(nil), &jsonrpc.Options{MaxMessage: 1 << 10})
					for rest := c.in; rest != ""; {
						k := min(pieces, len(rest))
						r.bytes(rest[:k])
						rest = rest[k:]
					}
					same(t, "answers", r.settle(), c.want...)
					if c.dies != "" {
						r.dead(c.dies)
					} else {
						r.alive()
					}
				})
			})
		}
	}
}

func TestNewlines(t *testing.T) {
	body := asked("1")
	for _, c := range []struct {
		name, in string
		want     []string
		dies     string
	}{
		{name: "plain", in: body + "\n", want: []string{pong("1")}},
		{name: "CR LF", in: body + "\r\n", want: []string{pong("1")}},
		{name: "empty lines", in: "\n\r\n  \t \n" + body + "\n\n", want: []string{pong("1")}},
		{name: "two", in: body + "\n" + asked("2") + "\n", want: []string{pong("1"), pong("2")}},
		{name: "two on a line", in: body + asked("2") + "\n", want: []string{"-32700 null"}},
		{name: "broken", in: "{\n" + body + "\n", want: []string{"-32700 null", pong("1")}},
		{name: "a log line", in: "hello\n" + body + "\n", want: []string{"-32700 null", pong("1")}},
		{name: "over two lines", in: "{\n}\n", want: []string{"-32700 null", "-32700 null"}},
		{name: "a byte order mark", in: "\xEF\xBB\xBF" + body + "\n", want: []string{pong("1")}},
		{name: "too large", in: strings.Repeat("x", 1500) + "\n" + body + "\n", want: []string{"-32600 null", pong("1")}},
		{name: "endless", in: strings.Repeat("x", 40<<10), dies: "does not end"},
	} {
		for _, pieces := range []int{1 << 20, 1, 7} {
			t.Run(fmt.Sprint(c.name, "/", pieces), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := serveRaw(t, newHub(nil), &jsonrpc.Options{Framing: jsonrpc.Newline, MaxMessage: 1 << 10})
					for rest := c.in; rest != ""; {
						k := min(pieces, len(rest))
						r.bytes(rest[:k])
						rest = rest[k:]
					}
					same(t, "answers", r.settle(), c.want...)
					if c.dies != "" {
						r.dead(c.dies)
					} else {
						r.alive()
					}
				})
			})
		}
	}
}

func TestLengths(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		dies     string
	}{
		{name: "plain", in: frame(jsonrpc.Length, asked("1")), want: []string{pong("1")}},
		{name: "two", in: frame(jsonrpc.Length, asked("1")) + frame(jsonrpc.Length, asked("2")), want: []string{pong("1"), pong("2")}},
		{name: "nothing", in: "\x00\x00\x00\x00", want: []string{"-32700 null"}},
		{name: "broken", in: "\x00\x00\x00\x01{", want: []string{"-32700 null"}},
		{name: "too large", in: frame(jsonrpc.Length, strings.Repeat("x", 2048)), want: []string{"-32600 null"}},
		{name: "much too large", in: "\x00\x00\x08\x02", dies: "2050 bytes"},
		{name: "the most", in: "\x7f\xff\xff\xff", dies: "2147483647 bytes"},
		{name: "negative", in: "\xff\xff\xff\xff", dies: "negative"},
		{name: "text", in: "Content-Length: 5\r\n", dies: "bytes"},
	} {
		for _, pieces := range []int{1 << 20, 1} {
			t.Run(fmt.Sprint(c.name, "/", pieces), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := serveRaw(t, newHub(nil), &jsonrpc.Options{Framing: jsonrpc.Length, MaxMessage: 1 << 10})
					for rest := c.in; rest != ""; {
						k := min(pieces, len(rest))
						r.bytes(rest[:k])
						rest = rest[k:]
					}
					same(t, "answers", r.settle(), c.want...)
					if c.dies != "" {
						r.dead(c.dies)
					} else {
						r.alive()
					}
				})
			})
		}
	}
}

// Sniff takes each of the three framings, by the first byte.
func TestSniff(t *testing.T) {
	for _, f := range []jsonrpc.Framing{jsonrpc.Header, jsonrpc.Newline, jsonrpc.Length} {
		synctest.Test(t, func(t *testing.T) {
			r := serveRawIn(t, f, newHub(nil), &jsonrpc.Options{Framing: jsonrpc.Sniff})
			r.alive()
			r.alive()
		})
	}
	synctest.Test(t, func(t *testing.T) { // a peer that says nothing
		r := serveRaw(t, newHub(nil), &jsonrpc.Options{Framing: jsonrpc.Sniff})
		r.bytes("\r\n \n")
		synctest.Wait()
		_ = r.conn.Close()
		if err := r.conn.Err(); err != nil {
			t.Error(err)
		}
	})
}

// The end of the input: between messages it is in order, within one it is not; a
// last line needs no end.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		f    jsonrpc.Framing
		in   string
		want []string
		err  bool
	}{
		{jsonrpc.Header, "", nil, false},
		{jsonrpc.Header, "\r\n\r\n", nil, false},
		{jsonrpc.Header, frame(jsonrpc.Header, asked("1")), []string{pong("1")}, false},
		{jsonrpc.Header, "Content-", nil, true},
		{jsonrpc.Header, "Content-Length: 5\r\n\r\n", nil, true},
		{jsonrpc.Header, "Content-Length: 5\r\n\r\n{}", nil, true},
		{jsonrpc.Header, "Content-Length: 1500\r\n\r\n{}", nil, true},
		{jsonrpc.Newline, "\n \n", nil, false},
		{jsonrpc.Newline, asked("1"), []string{pong("1")}, false},
		{jsonrpc.Newline, asked("1") + "\n" + asked("2") + "\r", []string{pong("1"), pong("2")}, false},
		{jsonrpc.Newline, "{", []string{"-32700 null"}, false},
		{jsonrpc.Length, "", nil, false},
		{jsonrpc.Length, "\x00", nil, true},
		{jsonrpc.Length, "\x00\x00\x00\x05{}", nil, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := duplex()
			r := &raw{t: t, nc: b, conn: jsonrpc.NewConn(a, newHub(nil), &jsonrpc.Options{Framing: c.f, MaxMessage: 1 << 10}), framing: c.f, ended: make(chan struct{})}
			go r.read() // ends with the pipe
			r.bytes(c.in)
			b.closeWrite()
			same(t, c.in, r.settle(), c.want...)
			<-r.conn.Done()
			if err := r.conn.Err(); (err != nil) != c.err {
				t.Errorf("%s %q ends with %v", c.f, c.in, err)
			}
			r.close()
		})
	}
}

// A half is one end of a pipe that can be closed in one direction.
type half struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func (h *half) Read(p []byte) (int, error)  { return h.r.Read(p) }
func (h *half) Write(p []byte) (int, error) { return h.w.Write(p) }
func (h *half) bytes(s string)              { _, _ = io.WriteString(h.w, s) }
func (h *half) closeWrite()                 { _ = h.w.Close() }
func (h *half) Close() error {
	_ = h.r.Close()
	return h.w.Close()
}

func duplex() (a, b *half) {
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	return &half{ar, aw}, &half{br, bw}
}

// What a header declares is not allocated: 33 bytes that declare 2^63 more, the
// most that may come, and what is skipped.
func TestDeclaredLengthAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		f  jsonrpc.Framing
		in string
	}{
		{jsonrpc.Header, "Content-Length:9223372036854775808"[:33] + "\n\n"},
		{jsonrpc.Header, "Content-Length: 9223372036854775807\r\n\r\n"},
		{jsonrpc.Header, "Content-Length: 9223372036854775808\r\n\r\n"},
		{jsonrpc.Header, "Content-Length: 67108864\r\n\r\n{"},
		{jsonrpc.Header, "Content-Length: 134217728\r\n\r\n{"},
		{jsonrpc.Length, "\x04\x00\x00\x00{"},
		{jsonrpc.Length, "\x08\x00\x00\x00{"},
		{jsonrpc.Length, "\x7f\xff\xff\xff{"},
	} {
		a, b := net.Pipe()
		conn := jsonrpc.NewConn(a, nil, &jsonrpc.Options{Framing: c.f})
		drained := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, b); close(drained) }() // ends with the pipe
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = io.WriteString(b, c.in)
		_ = b.Close()
		<-conn.Done()
		runtime.ReadMemStats(&after)
		<-drained
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("%s %q: %d bytes allocated", c.f, c.in, n)
		}
	}
}

// A large message takes about as much memory as has come of it.
func TestLargeMessageGrowsWithWhatComes(t *testing.T) {
	a, b := net.Pipe()
	conn := jsonrpc.NewConn(a, nil, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = io.WriteString(b, "Content-Length: 60000000\r\n\r\n")
	piece := strings.Repeat(" ", 64<<10)
	for range 16 { // 1 MiB
		_, _ = io.WriteString(b, piece)
	}
	_ = b.Close()
	<-conn.Done()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d bytes allocated for 1 MiB of a message", n)
	}
	if conn.Err() == nil {
		t.Error("an end within a message is no error")
	}
}
