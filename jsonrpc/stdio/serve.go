package stdio

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// Serve serves hub on the process's standard input and output, and returns when
// the connection has ended: with the input, once the calls that came before have
// been answered; with ctx; or because the hub or a handler ended it. An end in good
// order is nil. Its messages alone may be written to the output, so os.Stdout is
// os.Stderr from now on.
func Serve(ctx context.Context, hub *hubwire.Hub, opts *jsonrpc.Options) error {
	c := New(hub, opts)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends with the connection
	defer stop()
	<-c.Done()
	return c.Err()
}

// New is the connection over the process's standard input and output, for a
// process that calls its peer too. There may be one in a process. os.Stdout is
// os.Stderr from now on. The output is closed with the process.
func New(hub *hubwire.Hub, opts *jsonrpc.Options) *jsonrpc.Conn {
	out := os.Stdout
	os.Stdout = os.Stderr
	return jsonrpc.NewConn(newConsole(os.Stdin, out), hub, opts)
}

// A console is an input, which may be read without end, and an output.
type console struct {
	in  *io.PipeReader
	out io.Writer

	mu   sync.Mutex // guards the following
	over bool
}

// newConsole reads in by a goroutine of its own, so that Close can end a Read: a
// process cannot end a read of its standard input. The goroutine ends with the
// input, or with what comes after Close, or with the process.
func newConsole(in io.Reader, out io.Writer) *console {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err) // has no error
	}()
	return &console{in: r, out: out}
}

func (c *console) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	if over {
		return 0, os.ErrClosed
	}
	return c.out.Write(p)
}

func (c *console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c.in.Close()
}
