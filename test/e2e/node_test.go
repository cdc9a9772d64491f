package e2e

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"syscall"
	"testing"
)

// TestNode runs the scenarios of js/ with @microsoft/signalr under Node.
func TestNode(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	eachProtocol(t, func(t *testing.T, protocol string) {
		s := startServer(t)
		h := startHarness(t, s)
		cmd := exec.Command(node, "js/node.mjs", "--hub", s.url.String(), "--harness", h.URL, "--protocol", protocol, "--only", only())
		c := &child{cmd: cmd, ended: make(chan struct{})}
		cmd.Stderr = &c.log
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		start(t, c)
		go func() { // ends with the standard output of node
			defer close(c.ended)
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				var r report
				if json.Unmarshal(lines.Bytes(), &r) != nil {
					_, _ = c.log.Write(append(lines.Bytes(), '\n'))
					continue
				}
				select {
				case h.reports <- r:
				case <-t.Context().Done():
				}
			}
			c.err = cmd.Wait()
		}()
		follow(t, h.reports, c.ended, c.why)
	})
}

// start starts a child in a process group of its own, which is killed when the
// test ends.
func start(t *testing.T, c *child) {
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
