package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the conformance server, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	out := filepath.Join(scratch, "conformance")
	cmd := exec.Command("go", "build", "-o", out, "./test/conformance")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the conformance server: %v\n%s", err, text)
	}
	return out, nil
})

// serverCommand is the command that serves the conformance contract on a port.
func serverCommand(port string) ([]string, error) {
	if line := os.Getenv("HUBWIRE_E2E_SERVER"); line != "" {
		return strings.Fields(strings.ReplaceAll(line, "{port}", port)), nil
	}
	path, err := binary()
	return []string{path, "-addr", "127.0.0.1:" + port}, err
}

// A server is one running conformance server.
type server struct {
	t    *testing.T
	url  *url.URL
	args []string   // beside those that serverCommand gives
	mu   sync.Mutex // guards cmd
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	log  tail
}

// startServer starts a server on a free port, with more arguments. It ends with
// the test.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	return startServerAt(t, &url.URL{Scheme: "http", Host: "127.0.0.1:" + freePort(t)}, args...)
}

func startServerAt(t *testing.T, u *url.URL, args ...string) *server {
	t.Helper()
	s := &server{t: t, url: u, args: args}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the server's last log lines:\n%s", s.log.String())
		}
	})
	return s
}

func (s *server) start() error {
	args, err := serverCommand(s.url.Port())
	if err != nil {
		return err
	}
	cmd := exec.Command(args[0], append(args[1:], s.args...)...)
	cmd.Stderr = &s.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()

	ready := make(chan string, 1)
	go func() { // ends with the server's standard output
		defer close(done)
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			ready <- lines.Text()
		}
		close(ready)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	}()
	select {
	case line := <-ready:
		if !strings.HasPrefix(line, "READY "+s.url.String()) {
			s.stop(syscall.SIGKILL)
			return fmt.Errorf("the server's first line is %q, want READY %s\n%s", line, s.url, s.log.String())
		}
		return nil
	case <-time.After(60 * time.Second):
		s.stop(syscall.SIGKILL)
		return fmt.Errorf("the server is not ready after a minute\n%s", s.log.String())
	}
}

// stop sends a signal, waits, and says how long the server took to end. A
// server that does not end within ten seconds is killed.
func (s *server) stop(sig syscall.Signal) time.Duration {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	began := time.Now()
	_ = cmd.Process.Signal(sig)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		s.t.Errorf("the server goes on ten seconds after %v", sig)
		_ = cmd.Process.Kill()
		<-done
	}
	return time.Since(began)
}

// restart ends the server with SIGTERM and starts another one on the same port.
func (s *server) restart() error {
	s.stop(syscall.SIGTERM)
	return s.start()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A tail keeps the last 16 KiB that were written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if n := l.buf.Len() - 16<<10; n > 0 {
		l.buf.Next(n)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestServerEndsOnSIGTERM holds the server to its contract: it ends within a
// second, with status 0, also while clients are connected.
func TestServerEndsOnSIGTERM(t *testing.T) {
	if os.Getenv("HUBWIRE_E2E_SERVER") != "" {
		t.Skip("another server is tested")
	}
	s := startServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.url.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /conformance HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.url.Host)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatalf("upgrade: %q, %v", line, err)
	}
	if took := s.stop(syscall.SIGTERM); took > time.Second {
		t.Errorf("the server took %v to end", took)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d\n%s", code, s.log.String())
	}
}
