package stdio

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/leak"
	"github.com/hubwire/hubwire/jsonrpc"
)

// TestMain is a child process too, where the tests start one.
func TestMain(m *testing.M) {
	switch os.Getenv("STDIO_TEST_CHILD") {
	case "":
		leak.Main(m)
	case "serve":
		fmt.Println("a line that is no header means nothing to a reader of headers")
		child(context.Background())
	case "deaf": // does not end with its input
		<-time.After(time.Hour)
	}
	os.Exit(0)
}

const (
	add    hubwire.Method[addArgs, int]         = "Add"
	slow   hubwire.Method[hubwire.None, string] = "Slow"
	relay  hubwire.Method[string, string]       = "Relay"
	exit   hubwire.Command[int]                 = "Exit"
	begins hubwire.Event[string]                = "Begins"
	answer hubwire.ClientMethod[string, string] = "Answer"
	prints hubwire.Method[string, int]          = "Prints"
	pid    hubwire.Method[hubwire.None, int]    = "Pid"
)

type addArgs struct {
	hubwire.Args
	A, B int
}

func newHub() *hubwire.Hub {
	hub := hubwire.New(nil)
	hub.Handle(
		add.With(func(_ context.Context, _ *hubwire.Conn, a addArgs) (int, error) { return a.A + a.B, nil }),
		slow.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) {
			if err := begins.Send(ctx, c, "now"); err != nil {
				return "", err
			}
			time.Sleep(10 * time.Millisecond) // while the input ends
			return "done", ctx.Err()
		}),
		relay.With(func(ctx context.Context, c *hubwire.Conn, q string) (string, error) { return answer.Call(ctx, c, q) }),
		exit.With(func(_ context.Context, _ *hubwire.Conn, code int) error { os.Exit(code); return nil }),
		prints.With(func(_ context.Context, _ *hubwire.Conn, s string) (int, error) { return fmt.Println(s) }),
		pid.With(func(context.Context, *hubwire.Conn, hubwire.None) (int, error) { return os.Getpid(), nil }),
	)
	return hub
}

func child(ctx context.Context) {
	if err := Serve(ctx, newHub(), &jsonrpc.Options{Order: jsonrpc.Unordered}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}
