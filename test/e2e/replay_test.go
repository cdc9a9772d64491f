package e2e

import (
	"net/http"
	"net/http/httptest"
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
	}
	cmd.Dir = filepath.Join(root, "test", "replay")
	c := &child{cmd: cmd, ended: make(chan struct{})}
	follow(t, c.reports(t), c.ended, c.why)
}

// TestReplayNotices has the tool play against a server that is none: it must
// notice.
func TestReplayNotices(t *testing.T) {
	node := needNode(t)
	wrong := httptest.NewServer(http.NotFoundHandler())
	defer wrong.Close()
	cmd := exec.Command(node, "replay.mjs", "--url", wrong.URL, "--only", "^(json/echo-int|http/negotiate-v1|odd-json/type-zero)$")
	cmd.Dir = filepath.Join(root, "test", "replay")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "0 same, 0 deviate as written down, 3 failed") {
		t.Errorf("%v\n%s", err, out)
	}
}
