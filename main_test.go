package hubwire_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
)

// TestMain fails where a goroutine is left behind.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	code := m.Run()
	if code == 0 {
		if left := leaks(); left != "" {
			fmt.Fprintln(os.Stderr, "goroutines left behind:\n\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks are the goroutines that are still there a moment after the tests.
func leaks() string {
	var left []string
	for range 200 {
		buf := make([]byte, 1<<20)
		left = left[:0]
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(g, "testing.(*M).Run") && !strings.Contains(g, "TestMain") && !strings.Contains(g, "os/signal.") { // fuzzing listens to signals
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
		time.Sleep(5 * time.Millisecond)
	}
	return strings.Join(left, "\n\n")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newHub is a hub with handlers that is silent.
func newHub(opts *hubwire.Options, handlers ...hubwire.Handler) *hubwire.Hub {
	hub := hubwire.New(opts)
	hub.Handle(handlers...)
	return hub
}

func upTo(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// wantPanic fails the test unless fn panics with all of these.
func wantPanic(t *testing.T, fn func(), texts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		text := fmt.Sprint(recover())
		for _, want := range texts {
			if !strings.Contains(text, want) {
				t.Errorf("panic %q does not say %q", text, want)
			}
		}
	}()
	fn()
}

// here is the caller's file and line, as panics at start-up give it, plus lines.
func here(lines int) string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", file, line+lines)
}

type key struct{}

// withValue is a context with a value under key.
func withValue(v string) context.Context { return context.WithValue(context.Background(), key{}, v) }
