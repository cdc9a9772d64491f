package ticker_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a Set's goroutine is left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		var all string
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); runtime.Gosched() {
			buf := make([]byte, 1<<16)
			all = string(buf[:runtime.Stack(buf, true)])
			if !strings.Contains(all, "ticker.(*Set).run") {
				os.Exit(0)
			}
		}
		fmt.Fprintf(os.Stderr, "a goroutine is left behind:\n%s\n", all)
		code = 1
	}
	os.Exit(code)
}
