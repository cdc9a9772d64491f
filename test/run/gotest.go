//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// An event is a line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
}

// goTest runs go test in a folder and counts. Tests with subtests are counted
// by these. A few that fail are run again.
func goTest(ctx context.Context, r *result, dir string, args ...string) {
	again(ctx, r, dir, args, run(ctx, r, dir, args))
}

// run is go test once; it returns the tests that failed.
func run(ctx context.Context, r *result, dir string, args []string) []failure {
	cmd := command(ctx, dir, "go", append([]string{"test", "-json", "-timeout", "15m"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.fail("go test "+strings.Join(args, " "), err.Error())
		return nil
	}
	before := len(r.failed)
	c := newCounter(r)
	c.read(out)
	if err := cmd.Wait(); err != nil && len(r.failed) == before {
		r.fail("go test "+strings.Join(args, " "), err.Error()+"\n"+stderr.String())
	}
	return c.failures
}

type counter struct {
	r       *result
	output  map[string]*strings.Builder // of tests that run
	parents map[string]bool             // names that have subtests; true: one of them failed

	failures []failure
}

func newCounter(r *result) *counter {
	return &counter{r: r, output: map[string]*strings.Builder{}, parents: map[string]bool{}}
}

func (c *counter) read(lines io.Reader) {
	scan := bufio.NewScanner(lines)
	scan.Buffer(nil, 64<<20)
	for scan.Scan() {
		var e event
		if json.Unmarshal(scan.Bytes(), &e) != nil {
			fmt.Println("  ", scan.Text())
			continue
		}
		c.event(e)
	}
}

func (c *counter) event(e event) {
	name := strings.TrimPrefix(e.Package, "github.com/hubwire/")
	if e.ImportPath != "" {
		name = e.ImportPath
	}
	if e.Test != "" {
		name += "." + e.Test
	}
	switch e.Action {
	case "run":
		c.output[name] = new(strings.Builder)
		for _, p := range parents(e, name) {
			if _, known := c.parents[p]; !known {
				c.parents[p] = false
			}
		}
	case "output", "build-output":
		if c.output[name] == nil {
			c.output[name] = new(strings.Builder)
		}
		if !isFrame(e.Output) {
			c.output[name].WriteString(e.Output)
		}
	case "pass", "fail", "skip", "build-fail":
		c.end(e, name)
	}
}

func (c *counter) end(e event, name string) {
	var said string
	if b := c.output[name]; b != nil {
		said = b.String()
		delete(c.output, name)
	}
	childFailed, isParent := c.parents[name]
	switch {
	case e.Action == "fail" || e.Action == "build-fail":
		for _, p := range parents(e, name) {
			c.parents[p] = true
		}
		// A package fails with its tests; on its own only when it does not
		// build, panics or leaves goroutines behind.
		if !childFailed && (e.Test != "" || e.Action == "build-fail" || !c.failedIn(name)) {
			c.r.fail(name, said)
			c.failures = append(c.failures, failure{name, e.Package, e.Test, said})
		}
	case e.Test == "" || isParent: // counted by what is inside
	case e.Action == "skip":
		c.r.skip(name, reason(said))
	default:
		c.r.pass(name)
	}
}

// parents are the names that a subtest may be below of. Its own name may have
// slashes, so some of them may be no test.
func parents(e event, name string) (all []string) {
	for i := len(name) - len(e.Test); i < len(name); i++ {
		if name[i] == '/' {
			all = append(all, name[:i])
		}
	}
	return all
}

// failedIn reports whether a test of the package has failed.
func (c *counter) failedIn(pkg string) bool {
	for name := range c.r.failed {
		if strings.HasPrefix(name, pkg+".") || strings.HasPrefix(name, "github.com/hubwire/"+pkg) {
			return true
		}
	}
	return false
}

// isFrame reports whether a line is go test's own.
func isFrame(line string) bool {
	for _, p := range []string{"=== ", "--- SKIP", "--- PASS"} {
		if strings.HasPrefix(strings.TrimLeft(line, " "), p) {
			return true
		}
	}
	return false
}

// reason is the text of a skip without the place where it was said.
func reason(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, l := range lines {
		if _, text, ok := strings.Cut(l, ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
	}
	return lines[0]
}

// command is a command in a process group of its own, which ends as a whole
// with ctx.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	if dir != "." {
		// What the root's go.mod requires may have moved since this module was tidied.
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -mod=mod"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// try runs a command that counts as one test: it passes with status 0.
func try(ctx context.Context, r *result, test, dir, name string, args ...string) bool {
	out, err := command(ctx, dir, name, args...).CombinedOutput()
	if err != nil {
		r.fail(test, fmt.Sprintf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out))
		return false
	}
	r.pass(test)
	return true
}
