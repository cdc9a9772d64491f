package hubtest_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
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
	for range 100 {
		buf := make([]byte, 1<<20)
		left = left[:0]
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(g, "testing.(*M).Run") && !strings.Contains(g, "TestMain") && !strings.Contains(g, "os/signal.") && !strings.Contains(g, "runtime.ensureSigM") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	return strings.Join(left, "\n\n")
}
