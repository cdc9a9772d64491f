package wsconn_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a goroutine of a test is left behind.
func TestMain(m *testing.M) {
	if addr := os.Getenv("WSCONN_DIAL"); addr != "" {
		n, _ := strconv.Atoi(os.Getenv("WSCONN_CONNS"))
		if err := dialMany(addr, n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that run code of this module or of
// net/http, once they have had time to end.
func leaked() string {
	var left []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = left[:0]
		for _, g := range strings.Split(string(buf), "\n\n")[1:] {
			if strings.Contains(g, "hubwire") || strings.Contains(g, "net/http") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

// waits returns once a goroutine stands in the function and waits for the
// network.
func waits(t testing.TB, function string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, function) && strings.Contains(g, "[IO wait") {
				return
			}
		}
	}
	t.Fatalf("no goroutine waits in %s", function)
}
