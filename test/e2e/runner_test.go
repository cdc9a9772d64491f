package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A report is what a runner says, one line of JSON each: the outcome of one
// scenario, a fault outside of them, or that it is done.
type report struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Ms    int    `json:"ms"`
	Error string `json:"error"`
	Skip  string `json:"skip"`
	Fault string `json:"fault"`
	Done  bool   `json:"done"`
}

// A child is a process that runs scenarios beside the test.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid once ended is closed
	log   tail
}

// start starts the child in a process group of its own, which is killed when
// the test ends.
func (c *child) start(t *testing.T) {
	t.Helper()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.ended
	})
}

// reports starts the child and gives what it reports on its standard output.
func (c *child) reports(t *testing.T) <-chan report {
	t.Helper()
	c.cmd.Stderr = &c.log
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.start(t)
	out := make(chan report)
	go func() { // ends with the child's standard output
		defer close(c.ended)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				_, _ = c.log.Write(append(lines.Bytes(), '\n'))
				continue
			}
			select {
			case out <- r:
			case <-t.Context().Done():
			}
		}
		c.err = c.cmd.Wait()
	}()
	return out
}

// why says how the child ended, and its last words.
func (c *child) why() string {
	how := "still runs"
	select {
	case <-c.ended:
		how = fmt.Sprint(c.err)
	default:
	}
	return fmt.Sprintf("%s: %s\n%s", filepath.Base(c.cmd.Path), how, c.log.String())
}

// follow turns reports into subtests until the runner is done. A runner that
// ends before, or is silent for two minutes, has failed; why says how.
func follow(t *testing.T, reports <-chan report, ended <-chan struct{}, why func() string) {
	t.Helper()
	for n := 0; ; {
		var r report
		select {
		case r = <-reports:
		case <-time.After(2 * time.Minute):
			t.Fatalf("no report for two minutes\n%s", why())
		case <-ended:
			select {
			case r = <-reports: // what it said before its end
			default:
				t.Fatalf("the runner ended early\n%s", why())
			}
		}
		switch {
		case r.Done && n == 0:
			t.Fatal("not one scenario ran")
		case r.Done:
			return
		case r.Fault != "":
			t.Errorf("outside of the scenarios: %s", r.Fault)
		default:
			n++
			t.Run(r.Name, func(t *testing.T) {
				if r.Skip != "" {
					t.Skip(r.Skip)
				}
				t.Logf("%d ms", r.Ms)
				if !r.OK {
					t.Error(r.Error)
				}
			})
		}
	}
}

// eachProtocol runs f for both protocols, side by side.
func eachProtocol(t *testing.T, f func(t *testing.T, protocol string)) {
	for _, p := range []string{"json", "msgpack"} {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			f(t, p)
		})
	}
}

// eachTransport runs f for each transport and the protocols that it can carry.
func eachTransport(t *testing.T, f func(t *testing.T, transport, protocol string)) {
	for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		t.Run(transport, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, protocol string) {
				if transport == "ServerSentEvents" && protocol == "msgpack" {
					t.Skip("an event stream is text")
				}
				f(t, transport, protocol)
			})
		})
	}
}

// only is the expression that chooses scenarios; empty for all.
func only() string { return os.Getenv("HUBWIRE_E2E_ONLY") }

// needNode skips the test where Node is missing.
func needNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	return node
}

// needPackages skips the test where the official packages are missing.
func needPackages(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("node_modules", "@microsoft", "signalr")); err != nil {
		t.Skip("the npm packages are not installed: run npm ci in test/e2e")
	}
}
