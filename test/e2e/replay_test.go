package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReplay plays the recordings of the real server against ours (test/replay)
// and compares what comes back. Where ours differs on purpose,
// test/replay/deviations.json says why.
func TestReplay(t *testing.T) {
	node := needNode(t)
	command, err := serverCommand("{port}")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "replay.mjs", "--json", "--jobs", "8", "--only", only(), "--start", strings.Join(command, " "))
	if os.Getenv("HUBWIRE_E2E_SERVER") != "" {
		cmd.Args = append(cmd.Args, "--exact")
	} else {
		cmd.Args = append(cmd.Args, "--transports", "WebSockets")
	}
	cmd.Dir = filepath.Join(root, "test", "replay")
	c := &child{cmd: cmd, ended: make(chan struct{})}
	follow(t, c.reports(t), c.ended, c.why)
}
