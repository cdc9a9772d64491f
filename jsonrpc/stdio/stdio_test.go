package stdio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// start starts this test's binary as a child.
func start(t *testing.T, mode string, opts *ProcessOptions) (*Process, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STDIO_TEST_CHILD="+mode)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	p, err := Start(cmd, nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.Exited()
	})
	return p, stderr
}

// A child answers, asks back, prints without harm, and ends with its input.
func TestProcess(t *testing.T) {
	begun := make(chan struct{}, 1)
	p, stderr := start(t, "serve", &ProcessOptions{Grace: time.Minute, Conn: &jsonrpc.Options{Handlers: []hubwire.ClientHandler{
		answer.With(func(_ context.Context, q string) (string, error) { return q + "!", nil }),
		begins.With(func(context.Context, string) error { begun <- struct{}{}; return nil }),
	}}})
	if n, err := add.Call(t.Context(), p, addArgs{A: 1, B: 2}); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if s, err := relay.Call(t.Context(), p, "well"); s != "well!" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if n, err := prints.Call(t.Context(), p, "to the log"); n != 11 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := pid.Call(t.Context(), p, hubwire.None{}); n != p.cmd.Process.Pid || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	// What was asked before the input ends is answered.
	type outcome struct {
		s   string
		err error
	}
	got := make(chan outcome, 1)
	go func() { // ends with the call
		s, err := slow.Call(context.Background(), p, hubwire.None{})
		got <- outcome{s, err}
	}()
	<-begun
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if o := <-got; o.s != "done" || o.err != nil {
		t.Errorf("a call that ran when the input ended: %+v", o)
	}
	if !strings.Contains(stderr.String(), "to the log") {
		t.Errorf("stderr: %q", stderr)
	}
	if _, err := add.Call(t.Context(), p, addArgs{}); err == nil {
		t.Error("it answers when it has ended")
	}
	if err := p.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// A child that ends by itself ends the connection, and is told apart.
func TestProcessExits(t *testing.T) {
	p, _ := start(t, "serve", nil)
	_ = exit.Send(t.Context(), p, 7)
	<-p.Exited()
	<-p.Done()
	if e, ok := errors.AsType[*exec.ExitError](p.Err()); !ok || e.ExitCode() != 7 {
		t.Errorf("Err: %v", p.Err())
	}
	if err := p.Close(); err != p.Err() {
		t.Errorf("Close: %v", err)
	}
}

// A child that does not care for its input is terminated.
func TestProcessDeaf(t *testing.T) {
	p, _ := start(t, "deaf", &ProcessOptions{Grace: time.Millisecond})
	if err := p.Close(); err == nil {
		t.Error("it has ended in good order")
	}
	<-p.Done()
}

func TestStartFails(t *testing.T) {
	if _, err := Start(exec.Command(filepath.Join(t.TempDir(), "nothing")), nil, nil); err == nil || !strings.HasPrefix(err.Error(), "stdio: start: ") {
		t.Errorf("%v", err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Stdin = strings.NewReader("")
	if _, err := Start(cmd, nil, nil); err == nil || !strings.Contains(err.Error(), "Stdin and Stdout") {
		t.Errorf("%v", err)
	}
}

// All that came before the end of the input is answered; a Read that waits does
// not outlast Close.
func TestConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, w := io.Pipe()
		c := jsonrpc.NewConn(newConsole(strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`), w), newHub(), &jsonrpc.Options{Framing: jsonrpc.Newline})
		line := make([]byte, 100)
		n, err := out.Read(line)
		if got := string(line[:n]); err != nil || got != `{"jsonrpc":"2.0","id":1,"result":3}`+"\n" {
			t.Errorf("%q, %v", got, err)
		}
		<-c.Done()
		if err := c.Err(); err != nil {
			t.Error(err)
		}

		in, hold := io.Pipe()
		c = jsonrpc.NewConn(newConsole(in, io.Discard), newHub(), nil)
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-c.Done()
		hold.Close()
	})
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		began := time.Now()
		if !await(nil, 1, func(int) bool { looks++; return looks < 4 }) || time.Since(began) != 3*watchTime {
			t.Errorf("it took %v", time.Since(began))
		}
		done := make(chan struct{})
		close(done)
		if await(done, 1, func(int) bool { return true }) {
			t.Error("it has not ended")
		}
	})
	if !alive(os.Getpid()) || !alive(os.Getppid()) {
		t.Error("we are dead")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := AwaitExit(ctx, os.Getpid()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p, _ := start(t, "deaf", nil)
	_ = p.cmd.Process.Kill()
	<-p.Exited()
	if err := AwaitExit(t.Context(), p.cmd.Process.Pid); err != nil {
		t.Error(err)
	}
}

func TestFromArgs(t *testing.T) {
	for args, want := range map[string]string{
		"":                            "none of --stdio",
		"--node-ipc":                  "for servers that run in Node",
		"--stdio --clientProcessId=x": "--clientProcessId is \"x\"",
		"--stdio --clientProcessId":   "--clientProcessId is \"\"",
		"--pipe=/nowhere/at/all":      "dial unix",
		"--socket=0":                  "dial tcp",
	} {
		if _, err := FromArgs(t.Context(), strings.Fields(args), nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "s")
	pipe, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("there are no Unix sockets here: ", err)
	}
	defer pipe.Close()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, port, _ := net.SplitHostPort(socket.Addr().String())
	dead, _ := start(t, "deaf", nil)
	_ = dead.cmd.Process.Kill()
	<-dead.Exited()
	for _, r := range []struct {
		args []string
		l    net.Listener
		ends bool
	}{
		{[]string{"--log", "x", "--pipe=" + path}, pipe, false},
		{[]string{"--pipe", path}, pipe, false},
		{[]string{"--socket", port}, socket, false},
		{[]string{"--socket=" + port, "--clientProcessId", strconv.Itoa(os.Getppid())}, socket, false},
		{[]string{"--socket=" + port, "--clientProcessId=" + strconv.Itoa(dead.cmd.Process.Pid)}, socket, true},
	} {
		c, err := FromArgs(t.Context(), r.args, newHub(), nil)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := r.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		editor := jsonrpc.NewConn(nc, nil, nil)
		if !r.ends {
			if n, err := add.Call(t.Context(), editor, addArgs{A: 2, B: 3}); n != 5 || err != nil {
				t.Errorf("%q: %d, %v", r.args, n, err)
			}
			_ = editor.Close()
		}
		<-c.Done()
		<-editor.Done()
	}
}
