package autobahn

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// address is where the echo server listens.
var address string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hubwire-autobahn-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "wsecho")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/hubwire/hubwire/internal/wsconn/wsecho").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build of the echo server: %v\n%s", err, out)
		return 1
	}
	server := exec.Command(binary)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Wait()
	defer server.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		fmt.Fprintln(os.Stderr, "the echo server says no address:", err)
		return 1
	}
	address = strings.TrimSpace(line)
	return m.Run()
}
