package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A server is a program that candidates are measured on.
type server struct {
	name string
	pkg  string // of this module; empty: not a Go server of ours
	// prepare says why the server cannot be run here; nil: always.
	prepare func(ctx context.Context, b *builder) (reason string)
	command func(b *builder, addr string) []string // where pkg is empty
	env     []string
	warm    time.Duration // extra load before the first round: a JIT compiler needs it
}

// A candidate is a server spoken to in one protocol: a row of the tables.
type candidate struct {
	name   string
	server *server
	proto  string // of loadgen
	path   string
	about  string
	signal bool // speaks SignalR, so it can be asked to negotiate
}

var (
	floorServer      = &server{name: "floor", pkg: "./servers/floor"}
	barewsServer     = &server{name: "barews", pkg: "./servers/barews"}
	hubwireServer    = &server{name: "hubwire", pkg: "./servers/hubwire"}
	gorillaServer    = &server{name: "gorilla", pkg: "./servers/gorilla"}
	centrifugeServer = &server{name: "centrifuge", pkg: "./servers/centrifuge"}
	philippServer    = &server{name: "philippseith", pkg: "./servers/philippseith"}
	aspnetServer     = &server{
		name:    "aspnet",
		prepare: func(context.Context, *builder) string { return lookForPeers() },
		command: func(_ *builder, addr string) []string {
			return []string{filepath.Join(peersDir(), "run"), "signalr-server", "--urls", "http://" + addr, "--quiet"}
		},
		env:  []string{"DOTNET_gcServer=0"}, // workstation GC: less memory, and the fairer one on few processors
		warm: 5 * time.Second,
	}
	socketioServer = &server{
		name:    "socketio",
		prepare: prepareSocketIO,
		command: func(b *builder, addr string) []string {
			return []string{"node", filepath.Join(b.dir, "socketio", "server.mjs"), addr}
		},
		warm: 2 * time.Second,
	}
)

// allCandidates are the rows, in the order of the tables.
var allCandidates = []*candidate{
	{name: "floor", server: floorServer, proto: "rawws", path: "/", about: "epoll, read(2), write(2), no lock, no protocol: what the kernel asks"},
	{name: "barews", server: barewsServer, proto: "rawws", path: "/", about: "our WebSocket codec with nothing on top"},
	{name: "hubwire", server: hubwireServer, proto: "signalr", path: "/bench", signal: true, about: "our hub with its defaults, JSON"},
	{name: "hubwire-msgpack", server: hubwireServer, proto: "signalr-msgpack", path: "/bench", signal: true, about: "the same server, MessagePack"},
	{name: "aspnet", server: aspnetServer, proto: "signalr", path: "/bench", signal: true, about: "ASP.NET Core SignalR, workstation GC, JSON"},
	{name: "aspnet-msgpack", server: aspnetServer, proto: "signalr-msgpack", path: "/bench", signal: true, about: "the same server, MessagePack"},
	{name: "centrifuge", server: centrifugeServer, proto: "centrifuge", path: "/bench", about: "centrifugal/centrifuge, tuned, JSON"},
	{name: "philippseith", server: philippServer, proto: "signalr", path: "/bench", signal: true, about: "philippseith/signalr, JSON"},
	{name: "gorilla", server: gorillaServer, proto: "rawws", path: "/", about: "gorilla/websocket with nothing on top, PreparedMessage"},
	{name: "socketio", server: socketioServer, proto: "socketio", path: "/bench/", about: "socket.io on Node"},
}

// peersDir is where the real .NET programs are.
func peersDir() string {
	if d := os.Getenv("HUBWIRE_PEERS_DIR"); d != "" {
		return d
	}
	return filepath.Join("..", "..", "shared", "peers") // ../shared/peers beside the repository
}

func lookForPeers() string {
	run := filepath.Join(peersDir(), "run")
	if _, err := os.Stat(run); err != nil {
		return "there is no " + run + " (HUBWIRE_PEERS_DIR names another folder)"
	}
	return ""
}

// prepareSocketIO installs the packages that package-lock.json names.
func prepareSocketIO(ctx context.Context, b *builder) string {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	dir := filepath.Join(b.dir, "socketio")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "socket.io")); err == nil {
		return ""
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("npm ci: %v: %s", err, lastLine(out))
	}
	return ""
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// A builder makes the binaries.
type builder struct{ dir, bin string }

func (b *builder) path(name string) string {
	p, err := filepath.Abs(filepath.Join(b.bin, name))
	if err != nil {
		return filepath.Join(b.bin, name)
	}
	return p
}

func (b *builder) build(ctx context.Context, name, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.path(name), pkg)
	cmd.Dir = b.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// pickCandidates builds those named in names, or all. left tells which are left
// out, and why.
func pickCandidates(ctx context.Context, b *builder, names string) (cands []*candidate, left []string, err error) {
	want := split(names)
	for _, n := range want {
		if !slices.ContainsFunc(allCandidates, func(c *candidate) bool { return c.name == n }) {
			return nil, nil, fmt.Errorf("no candidate %q", n)
		}
	}
	reasons := map[*server]string{}
	for _, c := range allCandidates {
		if len(want) > 0 && !slices.Contains(want, c.name) {
			continue
		}
		s := c.server
		if _, done := reasons[s]; !done {
			reasons[s] = ""
			if s.pkg != "" {
				if err := b.build(ctx, s.name, s.pkg); err != nil {
					return nil, nil, err
				}
			}
			if s.prepare != nil {
				reasons[s] = s.prepare(ctx, b)
			}
		}
		if reasons[s] != "" {
			left = append(left, c.name+": "+reasons[s])
			continue
		}
		cands = append(cands, c)
	}
	return cands, left, nil
}

func split(s string) (out []string) {
	for f := range strings.SplitSeq(s, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// A process is a server that runs.
type process struct {
	s      *server
	cmd    *exec.Cmd
	addr   string
	ctl    string // empty: it has none
	output *tail
	ended  chan struct{}
}

// start starts s and waits until it listens. Only the main goroutine calls it.
func (b *builder) start(ctx context.Context, s *server) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p := &process{s: s, addr: addr, output: &tail{}, ended: make(chan struct{})}
	var args []string
	if s.pkg != "" {
		if p.ctl, err = freeAddr(); err != nil {
			return nil, err
		}
		args = []string{b.path(s.name), "-addr", addr, "-ctl", p.ctl}
	} else {
		args = s.command(b, addr)
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	go func() { // ends with the process, which stop ends
		p.cmd.Wait()
		close(p.ended)
	}()
	for end := time.Now().Add(60 * time.Second); ; { // the peers unpack themselves once
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("start %s: it ended: %s", s.name, p.output)
		case <-ctx.Done():
			p.stop()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("start %s: it does not listen: %s", s.name, p.output)
		}
	}
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.ended
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
