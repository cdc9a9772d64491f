//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
)

// atMost is the number of failed tests of one go test that are worth a second
// look; where more fail, something is broken.
const atMost = 4

// A failure is a test that failed, and what it takes to run it alone.
type failure struct {
	name   string // as counted
	pkg    string // import path
	test   string // with its subtests
	output string
}

// again runs tests that failed once more, each alone. Among ten thousand tests
// with clients, browsers and servers of others on a busy machine, one may fail
// by chance, and the whole takes too long to be repeated for it. What passes now
// has passed, and is named in the end: it is a fault of the test, to be mended.
// A data race is no chance, nor is a package that panics, leaks or does not
// build: they are never run again.
func again(ctx context.Context, r *result, dir string, args []string, failed []failure) {
	if len(failed) > atMost {
		return
	}
	var flags []string // those of the first run, without its packages
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			continue
		}
		takes := args[i] == "-count" || args[i] == "-p" || args[i] == "-run"
		if args[i] != "-run" {
			flags = append(flags, args[i])
			if takes {
				flags = append(flags, args[i+1])
			}
		}
		if takes {
			i++
		}
	}
	for _, f := range failed {
		if f.test == "" || !r.failed[f.name] || strings.Contains(f.output, "DATA RACE") || ctx.Err() != nil {
			continue
		}
		second := newResult()
		second.quiet = true
		run(ctx, second, dir, append(flags, "-run", only(f.test), f.pkg))
		if len(second.failed) == 0 && len(second.passed) > 0 {
			r.passAgain(f.name)
		}
	}
}

// only is the pattern of -run that is one test with what is inside it.
func only(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// fuzzTarget fuzzes one target for some seconds. Go's fuzzer sometimes reports
// its own deadline as a failure (golang.org/issue/75804): without a finding,
// that is tried again.
func fuzzTarget(ctx context.Context, r *result, name, target, pkg string) {
	args := []string{"test", "-run", "^$", "-fuzz", "^" + target + "$", "-fuzztime", "3s", "-parallel", "2", pkg}
	for try := 1; ; try++ {
		out, err := command(ctx, ".", "go", args...).CombinedOutput()
		switch {
		case err == nil:
			r.pass(name)
		case try < 3 && ctx.Err() == nil && isDeadline(out):
			continue
		default:
			r.fail(name, fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, out))
		}
		return
	}
}

func isDeadline(out []byte) bool {
	return bytes.Contains(out, []byte("\n    context deadline exceeded\n")) && !bytes.Contains(out, []byte("Failing input"))
}
