package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestJava runs the scenarios of java/ with com.microsoft.signalr, which has
// WebSockets and long polling.
func TestJava(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("java is not installed")
	}
	if jars, _ := filepath.Glob("java/target/lib/signalr-*.jar"); len(jars) == 0 {
		t.Skip("the Java client is not there: run mvn -f test/e2e/java dependency:copy-dependencies")
	}
	classes := filepath.Join(scratch, "java")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	javac := exec.CommandContext(ctx, "javac", "-nowarn", "-proc:none", "-d", classes, "-cp", "java/target/lib/*", "java/Scenarios.java")
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("javac is not installed (Debian: default-jdk-headless)")
	}
	if out, err := javac.CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	s := startServer(t)
	for _, transport := range []string{"WebSockets", "LongPolling"} {
		t.Run(transport, func(t *testing.T) {
			cmd := exec.Command(java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classes+":java/target/lib/*", "Scenarios", s.url.String(), transport, only())
			c := &child{cmd: cmd, ended: make(chan struct{})}
			follow(t, c.reports(t), c.ended, c.why)
		})
	}
}
