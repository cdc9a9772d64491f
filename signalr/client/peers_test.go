package client_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire/signalr/client"
)

// The tests of this file and its neighbours run against two servers with the
// same contract: ours (test/conformance) and ASP.NET Core's (the peers, which
// are no part of the project).

// A peer is a server that runs for all tests.
type peer struct {
	name  string
	start func() (*exec.Cmd, error)

	once sync.Once
	cmd  *exec.Cmd
	url  string
	skip string
	err  error
	log  tail
	done chan struct{}
}

var (
	hubwirePeer = &peer{name: "hubwire"}
	dotnetPeer  = &peer{name: "aspnetcore"}
	peers       = []*peer{hubwirePeer, dotnetPeer}
)

const root = "../.."

func (p *peer) isOurs() bool { return p == hubwirePeer }

// at is the URL of an endpoint. The peer is started with its first use.
func (p *peer) at(t testing.TB, path string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a server of its own: not with -short")
	}
	p.once.Do(p.run)
	if p.skip != "" {
		t.Skip(p.skip)
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.url + path
}

func (p *peer) run() {
	port, err := freePort()
	if err != nil {
		p.err = err
		return
	}
	if p.isOurs() {
		dir, err := os.MkdirTemp("", "hubwire-client-")
		if err != nil {
			p.err = err
			return
		}
		binary := filepath.Join(dir, "conformance")
		build := exec.Command("go", "build", "-o", binary, "./test/conformance")
		build.Dir = root
		if text, err := build.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("build the conformance server: %v\n%s", err, text)
			return
		}
		p.cmd = exec.Command(binary, "-addr", "127.0.0.1:"+port)
	} else {
		dir := os.Getenv("HUBWIRE_PEERS_DIR")
		if dir == "" {
			dir = filepath.Join(root, "..", "shared", "peers")
		}
		run := filepath.Join(dir, "run")
		if _, err := os.Stat(run); err != nil {
			p.skip = fmt.Sprintf("the .NET peers are not in %s (set HUBWIRE_PEERS_DIR)", dir)
			return
		}
		p.cmd = exec.Command(run, "signalr-server", "--urls", "http://127.0.0.1:"+port, "--quiet")
	}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.err, p.cmd = err, nil
		return
	}
	p.url = "http://127.0.0.1:" + port
	ready := make(chan string, 1)
	p.done = make(chan struct{})
	go func() { // ends with the server
		defer close(p.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "READY") {
				ready <- lines.Text()
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait()
	}()
	select {
	case <-ready:
	case <-p.done:
		p.err = fmt.Errorf("%s ended: %s", p.name, p.log.String())
	case <-time.After(time.Minute):
		p.err = fmt.Errorf("%s is not ready after a minute: %s", p.name, p.log.String())
	}
}

func stopPeers() {
	for _, p := range peers {
		if p.cmd != nil {
			_ = p.cmd.Process.Kill()
			<-p.done
			if p.isOurs() {
				_ = os.RemoveAll(filepath.Dir(p.cmd.Path))
			}
		}
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
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

// A way is a transport and a protocol.
type way struct {
	transport client.Transports
	protocol  string
}

func (w way) String() string { return w.transport.String() + "-" + w.protocol }

var ways = []way{
	{client.WebSockets, "json"}, {client.WebSockets, "messagepack"},
	{client.ServerSentEvents, "json"},
	{client.LongPolling, "json"}, {client.LongPolling, "messagepack"},
}

// An env is where a scenario runs.
type env struct {
	*testing.T
	ctx  context.Context
	peer *peer
	way  way
}

// everywhere runs a scenario against each server, over each transport, in each
// protocol.
func everywhere(t *testing.T, run func(e *env)) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			p.at(t, "")
			for _, w := range ways {
				t.Run(w.String(), func(t *testing.T) {
					run(newEnv(t, p, w))
				})
			}
		})
	}
}

func newEnv(t *testing.T, p *peer, w way) *env {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return &env{T: t, ctx: ctx, peer: p, way: w}
}

// in is e for a subtest.
func (e *env) in(t *testing.T) *env { return newEnv(t, e.peer, e.way) }

// dial connects to an endpoint in e's way; the connection ends with the test.
func (e *env) dial(path string, opts *client.Options) *client.Conn {
	e.Helper()
	c, err := e.tryDial(path, opts)
	if err != nil {
		e.Fatal(err)
	}
	return c
}

func (e *env) tryDial(path string, opts *client.Options) (*client.Conn, error) {
	e.Helper()
	var o client.Options
	if opts != nil {
		o = *opts
	}
	if o.Transports == 0 {
		o.Transports = e.way.transport
	}
	o.Protocol = e.way.protocol
	if o.Logger == nil {
		o.Logger = quiet
	}
	url := path
	if strings.HasPrefix(path, "/") {
		url = e.peer.at(e, path)
	}
	c, err := client.Dial(e.ctx, url, &o)
	if err == nil {
		e.Cleanup(func() {
			if err := c.Close(); err != nil {
				e.Error(err)
			}
		})
	}
	return c, err
}
