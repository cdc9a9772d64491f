package stdio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// ProcessOptions are how Start speaks to a process. A nil *ProcessOptions and the
// zero value of each field mean the default.
type ProcessOptions struct {
	// Conn are the options of the connection.
	Conn *jsonrpc.Options
	// Grace is how long Close waits for the process to end by itself, and then as
	// long again, on Unix, once it was asked to terminate. Defaults to 5 s.
	Grace time.Duration
}

// A Process is a child process and the connection over its standard input and
// output.
//
// All methods may be called at the same time. A Process owns a goroutine that
// waits for the end of the child; it has ended when Exited is closed.
type Process struct {
	*jsonrpc.Conn
	cmd    *exec.Cmd
	grace  time.Duration
	exited chan struct{} // closed at the end
	err    error         // set before
}

// Start starts cmd and connects to it. cmd must not have been started, and its
// Stdin and Stdout are taken; its Stderr is the caller's, and is discarded by
// default. The hub answers what the process calls; nil is one of opts.Conn.Handlers
// alone.
func Start(cmd *exec.Cmd, hub *hubwire.Hub, opts *ProcessOptions) (*Process, error) {
	if opts == nil {
		opts = &ProcessOptions{}
	}
	if cmd.Stdin != nil || cmd.Stdout != nil {
		return nil, errors.New("stdio: start: Stdin and Stdout of the command are set")
	}
	p := &Process{cmd: cmd, grace: opts.Grace, exited: make(chan struct{})}
	if p.grace == 0 {
		p.grace = 5 * time.Second
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("stdio: start: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		_, _ = theirIn.Close(), in.Close()
		return nil, fmt.Errorf("stdio: start: %w", err)
	}
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	err = cmd.Start()
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, fmt.Errorf("stdio: start: %w", err)
	}
	p.Conn = jsonrpc.NewConn(&pipes{in: in, out: out}, hub, opts.Conn)
	go p.wait() // ends with the process
	return p, nil
}

// drainTime is how long what a process has written before its end may take to be
// read: the pipe has an end by itself, unless a child of the process keeps it.
const drainTime = time.Second

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		_ = p.Conn.Close()
	}
	close(p.exited)
}

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err is what exec.Cmd.Wait said of the end of the process. It is nil before.
func (p *Process) Err() error {
	select {
	case <-p.exited:
		return p.err
	default:
		return nil
	}
}

// Close ends the process as the Model Context Protocol has it: its input ends;
// then it has time to answer what it was asked and to leave; then it is asked to
// terminate; then it is killed. It returns Err.
func (p *Process) Close() error {
	_ = p.CloseWrite() // a process that has gone needs no end of its input
	if p.within() {
		return p.err
	}
	if p.cmd.Process.Signal(syscall.SIGTERM) == nil && p.within() {
		return p.err
	}
	_ = p.cmd.Process.Kill() // it may have ended just now
	<-p.exited
	return p.err
}

// within waits for the end of the process, for the time it has.
func (p *Process) within() bool {
	timer := time.NewTimer(p.grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// pipes are a process's input, to write, and output, to read.
type pipes struct{ in, out *os.File }

func (p *pipes) Read(b []byte) (int, error)        { return p.out.Read(b) }
func (p *pipes) Write(b []byte) (int, error)       { return p.in.Write(b) }
func (p *pipes) SetReadDeadline(t time.Time) error { return p.out.SetReadDeadline(t) }

// CloseWrite ends the process's input.
func (p *pipes) CloseWrite() error { return p.in.Close() }

func (p *pipes) Close() error {
	_ = p.in.Close() // it may be closed
	return p.out.Close()
}
