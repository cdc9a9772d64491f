package stdio

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// watchTime is how often AwaitExit looks.
const watchTime = 3 * time.Second

// AwaitExit returns nil when no process has that id any more, which it finds out
// within 3 s, or the error of ctx when that ends before. A language server whose
// editor has died may hear of it in no other way: initialize tells processId.
func AwaitExit(ctx context.Context, pid int) error {
	if !await(ctx.Done(), pid, alive) {
		return ctx.Err()
	}
	return nil
}

// await reports whether the process has ended before done was closed.
func await(done <-chan struct{}, pid int, alive func(pid int) bool) bool {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-tick.C:
		case <-done:
			return false
		}
	}
	return true
}

// FromArgs makes the connection that the arguments of a language server ask for,
// as vscode-languageserver has them: --stdio; --pipe=NAME, a Unix socket that the
// editor listens on; --socket=PORT, likewise on 127.0.0.1. A value may stand in
// the next argument too. With --clientProcessId=PID the connection ends when that
// process has. Other arguments mean nothing here. ctx bounds the connecting.
func FromArgs(ctx context.Context, args []string, hub *hubwire.Hub, opts *jsonrpc.Options) (*jsonrpc.Conn, error) {
	var (
		connect func() (*jsonrpc.Conn, error)
		pid     int
	)
	for i := 0; i < len(args); i++ {
		name, value, ok := strings.Cut(args[i], "=")
		switch name {
		case "--pipe", "--socket", "--clientProcessId":
			if !ok && i+1 < len(args) {
				i++
				value = args[i]
			}
		}
		switch name {
		case "--stdio":
			connect = func() (*jsonrpc.Conn, error) { return New(hub, opts), nil }
		case "--pipe":
			connect = func() (*jsonrpc.Conn, error) { return jsonrpc.Dial(ctx, "unix", value, hub, opts) }
		case "--socket":
			connect = func() (*jsonrpc.Conn, error) {
				return jsonrpc.Dial(ctx, "tcp", net.JoinHostPort("127.0.0.1", value), hub, opts)
			}
		case "--node-ipc":
			return nil, fmt.Errorf("stdio: arguments: %s is for servers that run in Node", name)
		case "--clientProcessId":
			n, err := strconv.Atoi(value)
			if err != nil || n <= 0 {
				return nil, fmt.Errorf("stdio: arguments: --clientProcessId is %q", value)
			}
			pid = n
		}
	}
	if connect == nil {
		return nil, fmt.Errorf("stdio: arguments: there is none of --stdio, --pipe and --socket")
	}
	c, err := connect()
	if err != nil {
		return nil, err
	}
	if pid != 0 && pid != os.Getpid() {
		go func() { // ends with the process or the connection
			if await(c.Done(), pid, alive) {
				_ = c.Close()
			}
		}()
	}
	return c, nil
}
