package demo

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails where a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leaks(); code == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "goroutines left behind:\n\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leaks are the goroutines that do not end within a second.
func leaks() (left string) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(g, "TestMain") && !strings.Contains(g, "os/signal") && !strings.Contains(g, "runtime.ensureSigM") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
	}
	return left
}
