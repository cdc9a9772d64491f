// Package leak is for tests: it fails those of a package that leave goroutines
// behind.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Main runs the tests and ends the process, as a TestMain must. It fails if
// goroutines that run code of this module, or of the packages whose paths begin
// with one of also, are still there eight seconds after the last test.
func Main(m *testing.M, also ...string) {
	code := m.Run()
	if code == 0 {
		if left := leaked(append(also, "github.com/hubwire/hubwire")); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that run code of those packages, once
// they have had time to end.
func leaked(packages []string) string {
	var left []string
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = left[:0]
		for _, g := range strings.Split(string(buf), "\n\n")[1:] { // the first is this one
			for _, p := range packages {
				if strings.Contains(g, p) {
					left = append(left, g)
					break
				}
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}
