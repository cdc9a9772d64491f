package sse_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/hubwire/hubwire/sse"
)

// inflate reads what a client would.
func inflate(t *testing.T, r *http.Response) io.Reader {
	t.Helper()
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		g, err := gzip.NewReader(bufio.NewReader(r.Body))
		if err != nil {
			t.Fatal(err)
		}
		return g
	case "zstd":
		z, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	return r.Body
}

// TestCompression: each event can be read when it has been sent, and the end is
// one.
func TestCompression(t *testing.T) {
	long := strings.Repeat("a text that repeats itself. ", 100)
	for accept, want := range map[string]string{
		"gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "gzip;q=0.9, zstd;q=0.5": "gzip", "*": "zstd", "*;q=0.5, zstd;q=0": "gzip",
		"": "", "br": "", "gzip;q=0": "", "identity, gzip;q=0.5": "", "gzip;q=2": "", "gzip;q=x": "", "GZIP ; Q=1": "gzip", "identity;q=0, gzip;q=0.001": "gzip",
	} {
		t.Run(accept, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = sse.ServeWith(w, r, &sse.Options{Compress: true}, paced(r.Context(), 10*time.Second, long, "b"))
				})).client(t, 1)
				began := time.Now()
				r := get(t, c, "/", "Accept-Encoding", accept)
				if got := r.Header.Get("Content-Encoding"); got != want || r.Header.Get("Vary") != "Accept-Encoding" {
					t.Fatalf("%q, want %q", got, want)
				}
				l := linesOf(t, inflate(t, r))
				l.want("data: " + long + "\n\n")
				if d := time.Since(began); want != "zstd" && d != 10*time.Second { // that reader looks for the next frame first
					t.Error(d)
				}
				l.want("data: b\n\n")
				l.wantEnd(true)
			})
		})
	}
}
