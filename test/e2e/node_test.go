package e2e

import (
	"os/exec"
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
		follow(t, c.reports(t), c.ended, c.why)
	})
}
