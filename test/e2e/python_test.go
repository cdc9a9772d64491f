package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPython runs the scenarios of python/ with the two Python clients that
// people use, over what they have: signalrcore all transports (MessagePack on
// WebSockets alone), pysignalr WebSockets.
func TestPython(t *testing.T) {
	python := filepath.Join("python", ".venv", "bin", "python")
	if err := exec.Command(python, "-c", "import signalrcore, pysignalr").Run(); err != nil {
		t.Skip("the Python clients are not installed: python3 -m venv test/e2e/python/.venv && test/e2e/python/.venv/bin/pip install -r test/e2e/python/requirements.txt")
	}
	for _, w := range []struct{ program, transport, protocol string }{
		{"signalrcore", "WebSockets", "json"},
		{"signalrcore", "WebSockets", "msgpack"},
		{"signalrcore", "ServerSentEvents", "json"},
		{"signalrcore", "LongPolling", "json"},
		{"pysignalr", "WebSockets", "json"},
		{"pysignalr", "WebSockets", "msgpack"},
	} {
		t.Run(w.program+"/"+w.transport+"/"+w.protocol, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			h := startHarness(t, s)
			cmd := exec.Command(python, filepath.Join("python", w.program+"_client.py"), s.url.String(), h.URL, w.transport, w.protocol, only())
			c := &child{cmd: cmd, ended: make(chan struct{})}
			follow(t, c.reports(t), c.ended, c.why)
		})
	}
}
