package e2e

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

// TestSuspended stops a server with one processor for longer than its client
// timeout, as a laptop's lid or a virtual machine's pause does. When it goes on,
// clients that were alive all the time are not taken for silent.
func TestSuspended(t *testing.T) {
	if os.Getenv("HUBWIRE_E2E_SERVER") != "" {
		t.Skip("another server is tested")
	}
	const echo hubwire.Method[string, string] = "EchoString"
	t.Setenv("GOMAXPROCS", "1")
	s := startServer(t)
	var conns []*client.Conn
	for _, transport := range []client.Transports{client.WebSockets, client.WebSockets, client.ServerSentEvents, client.LongPolling} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := client.Dial(ctx, s.url.String()+"/quick", &client.Options{
			Transports:    transport,
			KeepAlive:     200 * time.Millisecond, // arms the server's client timeout of two seconds
			ServerTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(transport, err)
		}
		defer c.Close()
		conns = append(conns, c)
		if _, err := echo.Call(ctx, c, "before"); err != nil {
			t.Fatal(transport, err)
		}
	}
	var process *exec.Cmd
	s.mu.Lock()
	process = s.cmd
	s.mu.Unlock()
	time.Sleep(500 * time.Millisecond) // pings are sent
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	if err := process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for i, c := range conns {
		id := c.ID()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 3 {
			got, err := echo.Call(ctx, c, "after")
			if err != nil || got != "after" || c.ID() != id {
				t.Errorf("connection %d: %q %v", i, got, err)
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
}
