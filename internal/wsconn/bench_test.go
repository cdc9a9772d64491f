package wsconn_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// A loop is a connection that brings the same bytes n times and takes all.
type loop struct {
	tape
	b []byte
	n int
}

func (l *loop) Read(p []byte) (int, error) {
	if l.n == 0 {
		return 0, io.EOF
	}
	l.n--
	return copy(p, l.b), nil
}

func (l *loop) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkRead is the reader without the network: frames of a read's 512 bytes.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{16, 64, 250} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			one := text(strings.Repeat("x", n))
			var in []byte
			k := 512 / len(one)
			for range k {
				in = append(in, one...)
			}
			c := wsconn.New(&loop{b: in, n: b.N/k + 1}, &wsconn.Config{})
			b.ReportAllocs()
			b.SetBytes(int64(n))
			c.Serve(&funcs{})
		})
	}
}

func BenchmarkUnmask(b *testing.B) {
	for _, n := range []int{16, 64, 1024, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				wsconn.Unmask(p, 0x12345678)
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	for _, s := range []string{strings.Repeat("x", 64), strings.Repeat("x", 4096), strings.Repeat("\u65e5\u672c ", 585)} {
		b.Run(fmt.Sprint(len(s), s[:1] != "x"), func(b *testing.B) {
			p := []byte(s)
			b.ReportAllocs()
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				var t wsconn.Text
				if !t.Add(p) || !t.Whole() {
					b.Fatal("no")
				}
			}
		})
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	dst := make([]byte, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		dst = wsconn.AppendHeader(dst[:0], wsconn.OpText, 100)
	}
}

func BenchmarkParseHeader(b *testing.B) {
	p := text(strings.Repeat("x", 200))
	b.ReportAllocs()
	for b.Loop() {
		wsconn.ParseHeader(p)
	}
}

// BenchmarkTryWrite is a delivery: a small frame to a client that reads, and
// beside it write(2) by net.Conn.
func BenchmarkTryWrite(b *testing.B) {
	out := wsconn.AppendFrame(nil, true, []byte(strings.Repeat("x", 100)))
	write := map[string]func(c *wsconn.Conn, nc net.Conn) error{
		"TryWrite": func(c *wsconn.Conn, _ net.Conn) error {
			for {
				n, err := c.TryWrite(out)
				if n > 0 || err != nil {
					return err
				}
				runtime.Gosched()
			}
		},
		"Write":    func(c *wsconn.Conn, _ net.Conn) error { return c.Write(out) },
		"net.Conn": func(_ *wsconn.Conn, nc net.Conn) error { _, err := nc.Write(out); return err },
	}
	for _, name := range []string{"TryWrite", "Write", "net.Conn"} {
		b.Run(name, func(b *testing.B) {
			client, nc := loopback(b)
			c := wsconn.New(nc, &wsconn.Config{})
			defer nc.Close()
			defer client.Close()
			go io.Copy(io.Discard, client) // ends with the connection
			b.ReportAllocs()
			b.SetBytes(int64(len(out)))
			for b.Loop() {
				if err := write[name](c, nc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEcho is one message there and back, client included.
func BenchmarkEcho(b *testing.B) {
	s := serve(b, &server{})
	p := dial(b, s)
	in := text(strings.Repeat("x", 64))
	out := make([]byte, 2+64)
	b.ReportAllocs()
	for b.Loop() {
		p.Write(in)
		if _, err := io.ReadFull(p.r, out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdle reports what an idle connection holds: B/conn is the growth of
// the process (RSS) after a collection, divided by the connections, which stay
// open; the clients are another process. It does not measure time.
//
//	go test -run xxx -bench Idle ./internal/wsconn
func BenchmarkIdle(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	const conns = 5000
	s := serve(b, &server{handler: func(*wsconn.Conn) wsconn.Handler { return idler{} }})
	s.conns = make(chan *wsconn.Conn, conns)
	s.Start()
	base := rss(b)
	// The test binary again, as the client.
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WSCONN_DIAL="+s.Listener.Addr().String(), "WSCONN_CONNS="+strconv.Itoa(conns))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "connected\n" {
		b.Fatalf("the client says %q, %v", line, err)
	}
	for range conns {
		<-s.conns
	}
	b.ReportMetric(float64(rss(b)-base)/conns, "B/conn")
	b.ReportMetric(0, "ns/op")
	in.Close()
	io.Copy(io.Discard, r)
	cmd.Wait()
	for range conns {
		<-s.ends
	}
}

type idler struct{}

func (idler) Data([]byte, bool, bool) error { return nil }
func (idler) Control([]byte)                {}
func (idler) Idle() error                   { return nil }

// rss is the resident memory of the process after a collection, in bytes.
func rss(b *testing.B) int {
	runtime.GC()
	debug.FreeOSMemory()
	stat, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(stat))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// dialMany is the client of BenchmarkIdle, in a process of its own (TestMain).
func dialMany(addr string, n int) error {
	conns := make([]net.Conn, n)
	answer := make([]byte, 4096)
	for i := range conns {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		conns[i] = nc
		if _, err := io.WriteString(nc, request); err != nil {
			return err
		}
		if n, err := nc.Read(answer); err != nil || !strings.HasSuffix(string(answer[:n]), "\r\n\r\n") {
			return fmt.Errorf("answer %q, %v", answer[:n], err)
		}
	}
	fmt.Println("connected")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
