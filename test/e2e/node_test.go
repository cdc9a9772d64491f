package e2e

import (
	"os/exec"
	"testing"
)

// TestNode runs the scenarios of js/ with @microsoft/signalr under Node.
func TestNode(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	eachTransport(t, func(t *testing.T, transport, protocol string) {
		s := startServer(t)
		h := startHarness(t, s)
		cmd := exec.Command(node, "js/node.mjs", "--hub", s.url.String(), "--harness", h.URL, "--protocol", protocol, "--transport", transport, "--only", only())
		c := &child{cmd: cmd, ended: make(chan struct{})}
		follow(t, c.reports(t), c.ended, c.why)
	})
}
