package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHello runs the two halves of the README's first example against each
// other: examples/hello and js/hello.mjs, with nothing changed but the port.
func TestHello(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	readme := read(t, filepath.Join(root, "README.md"))
	client := read(t, filepath.Join("js", "hello.mjs"))
	_, shown, found := strings.Cut(client, "// README:\n")
	if !found || !strings.Contains(readme, "```js\n"+shown+"```\n") {
		t.Error("README.md shows another client than js/hello.mjs")
	}

	addr := "127.0.0.1:" + freePort(t)
	change := strings.NewReplacer("localhost:8080", addr).Replace
	dir := filepath.Join(root, "examples", "hello")
	overlay := filepath.Join(t.TempDir(), "main.go")
	write(t, overlay, change(read(t, filepath.Join(dir, "main.go"))))
	write(t, overlay+".json", `{"Replace": {"`+filepath.Join(dir, "main.go")+`": "`+overlay+`"}}`)
	program := filepath.Join(scratch, "hello")
	build := exec.Command("go", "build", "-overlay", overlay+".json", "-o", program, "./examples/hello")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	hub := &child{cmd: exec.Command(program), ended: make(chan struct{})}
	hub.cmd.Stderr = &hub.log
	hub.start(t)
	go func() { // ends when the program is killed
		defer close(hub.ended)
		hub.err = hub.cmd.Wait()
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the program does not listen: %v\n%s", err, hub.why())
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	page := exec.CommandContext(ctx, node, "--input-type=module", "--eval", change(client))
	page.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := page.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ann: hello\n") {
		t.Errorf("the client: %v\n%s", err, out)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
