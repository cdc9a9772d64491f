package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A recorded exchange with TypedResults.ServerSentEvents of ASP.NET Core 10.0.12.
type recorded struct {
	Name, Request, ResponseHead string
	Chunks                      []recordedChunk
	End, Connection             string
}

type recordedChunk struct {
	text, sum string
	size      int
}

func (c *recordedChunk) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &c.text)
	}
	var v struct {
		Hex, SHA256 string
		Length      int
	}
	err := json.Unmarshal(b, &v)
	raw, bad := hex.DecodeString(v.Hex)
	if err == nil {
		err = bad
	}
	c.text, c.sum, c.size = string(raw), v.SHA256, v.Length
	return err
}

func (c recordedChunk) is(s string) bool {
	if c.sum == "" {
		return s == c.text
	}
	sum := sha256.Sum256([]byte(s))
	return len(s) == c.size && hex.EncodeToString(sum[:]) == c.sum
}

// TestRecordedEvents plays what was recorded: heads, chunks, ends, and what becomes
// of the connection.
func TestRecordedEvents(t *testing.T) {
	for _, file := range []string{"server-cases.json", "server-http1.json"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "sse", "testdata", "dotnet", file))
		if err != nil {
			t.Fatal(err)
		}
		var all struct{ Exchanges []recorded }
		if err := json.Unmarshal(b, &all); err != nil {
			t.Fatal(err)
		}
		if len(all.Exchanges) < 20 {
			t.Fatalf("%s: %d exchanges", file, len(all.Exchanges))
		}
		for _, x := range all.Exchanges {
			t.Run(x.Name, func(t *testing.T) { synctest.Test(t, x.play) })
		}
	}
}

// pipes is a listener in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (x recorded) play(t *testing.T) {
	mux := http.NewServeMux()
	mountEvents(mux)
	listener := make(pipes)
	srv := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() { // ends with the listener
		defer close(served)
		_ = srv.Serve(listener)
	}()
	ours, theirs := net.Pipe()
	listener <- theirs
	defer func() {
		ours.Close()
		close(listener)
		<-served
		time.Sleep(3 * time.Second) // for the deaf source
	}()

	request := make([]byte, 0, len(x.Request)) // the recording has the bytes as characters
	for _, r := range x.Request {
		request = append(request, byte(r))
	}
	go ours.Write(request) // ends when it is read
	br := bufio.NewReader(ours)
	head, chunks, end := x.read(t, br)
	x.compareHead(t, head)
	if len(chunks) != len(x.Chunks) || end != x.End {
		t.Fatalf("%d chunks %.300q, then %s; want %d and %s", len(chunks), chunks, end, len(x.Chunks), x.End)
	}
	for i, c := range x.Chunks {
		c.text = strings.Replace(c.text, "retry: 922337203685477\n", "retry: 9223372036854\n", 1) // a time.Duration ends earlier than a TimeSpan
		if !c.is(chunks[i]) {
			t.Errorf("chunk %d: %.200q, want %.200q", i, chunks[i], c.text)
		}
	}
	switch x.Connection {
	case "closes":
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("the connection stays open: %v", err)
		}
	case "stays open":
		_ = ours.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		if _, err := br.ReadByte(); err == io.EOF || err == nil {
			t.Errorf("the connection does not stay open: %v", err)
		}
	}
}

// read reads the answer as it stands on the wire.
func (x recorded) read(t *testing.T, br *bufio.Reader) (head string, chunks []string, end string) {
	line := func() string {
		s, err := br.ReadString('\n')
		if err != nil {
			return ""
		}
		return s
	}
	for !strings.HasSuffix(head, "\r\n\r\n") {
		s := line()
		if s == "" {
			t.Fatalf("the head ends with %q", head)
		}
		head += s
	}
	fields := header(head)
	switch {
	case strings.HasPrefix(x.Request, "HEAD "), strings.Contains(head, " 204 "), fields.Get("Content-Length") == "0":
		return head, nil, "complete"
	case fields.Get("Content-Length") != "":
		n, _ := strconv.Atoi(fields.Get("Content-Length"))
		b := make([]byte, n)
		if _, err := io.ReadFull(br, b); err != nil {
			t.Error(err)
		}
		return head, []string{string(b)}, "content-length"
	case fields.Get("Transfer-Encoding") != "chunked":
		b, err := io.ReadAll(br)
		if err != nil {
			t.Error(err)
		}
		return head, []string{string(b)}, "eof"
	}
	for {
		if x.End == "client-closed" && len(chunks) == len(x.Chunks) {
			return head, chunks, "client-closed"
		}
		s := line()
		if s == "" {
			return head, chunks, "eof"
		}
		n, err := strconv.ParseInt(strings.TrimSpace(s), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(br, b); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return head, chunks, "last-chunk"
		}
		chunks = append(chunks, string(b[:n]))
	}
}

func header(head string) http.Header {
	h := http.Header{}
	for _, l := range strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")[1:] {
		if k, v, _ := strings.Cut(l, ": "); k != "Date" && k != "Server" {
			h.Add(k, v)
		}
	}
	return h
}

func (x recorded) compareHead(t *testing.T, head string) {
	got, want := header(head), header(x.ResponseHead)
	status, _, _ := strings.Cut(x.ResponseHead, "\r\n")
	if strings.Contains(x.Request, "HTTP/1.0") {
		// Go answers in the version of the request, where the close goes without
		// saying.
		status = strings.Replace(status, "HTTP/1.1", "HTTP/1.0", 1)
		got.Del("Connection")
		want.Del("Connection")
	}
	if x.Name == "http-get-only-head" { // Kestrel gives the length of an empty body to all but HEAD
		got.Del("Content-Length")
	}
	if s, _, _ := strings.Cut(head, "\r\n"); s != status || !reflect.DeepEqual(got, want) {
		t.Errorf("head:\ngot  %s %v\nwant %s %v", s, got, status, want)
	}
}
