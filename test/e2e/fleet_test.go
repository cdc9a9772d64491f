package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestFleet puts the official JavaScript client, in both protocols, on each of
// three nodes that one Redis joins: two of ours and, where it is to be had, one
// of ASP.NET Core. Every send crosses in every direction, changes of groups and
// client results too.
func TestFleet(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	redis := startRedis(t)
	hubs := []string{
		startServer(t, "-redis", redis, "-node", "a").url.String(),
		startServer(t, "-redis", redis, "-node", "b").url.String(),
	}
	t.Run("Go", func(t *testing.T) { fleet(t, node, hubs, "WebSockets", "ServerSentEvents", "LongPolling") })
	t.Run("mixed", func(t *testing.T) {
		mixed := append(hubs, startDotnetNode(t, dotnetPeers(t), redis))
		fleet(t, node, mixed, "WebSockets", "LongPolling")
		// The real .NET client too, on each node.
		for i, hub := range mixed {
			t.Run(fmt.Sprintf("the .NET client on node %d", i), func(t *testing.T) {
				u, _ := url.Parse(hub)
				scenarios := "send.all,send.all-except,send.others,send.caller,send.client,send.group,send.groups,send.group-except,send.user,send.users,result.ask-client,result.client-leaves"
				if i < len(hubs) {
					// On a backplane ASP.NET Core sends twice to who is named twice, fails
					// to add a connection that nobody has, and asks it for half a minute.
					scenarios += ",send.clients,send.add-other,result.ask-unknown-client"
				}
				passes(t, &server{t: t, url: u}, "ws", scenarios)
			})
		}
	})
}

func fleet(t *testing.T, node string, hubs []string, transports ...string) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			cmd := exec.Command(node, "js/fleet.mjs", "--hubs", strings.Join(hubs, ","), "--transport", transport)
			c := &child{cmd: cmd, ended: make(chan struct{})}
			follow(t, c.reports(t), c.ended, c.why)
		})
	}
}

// TestWithoutAffinity has a proxy send each request to the next of three nodes:
// the official clients work over every transport all the same.
func TestWithoutAffinity(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	redis := startRedis(t)
	var urls []*url.URL
	var peers []string
	for i := range 3 {
		u := &url.URL{Scheme: "http", Host: "127.0.0.1:" + freePort(t)}
		urls = append(urls, u)
		peers = append(peers, fmt.Sprintf("n%d=%s", i, u))
	}
	for i, u := range urls {
		startServerAt(t, u, "-redis", redis, "-node", fmt.Sprint("n", i), "-peers", strings.Join(peers, ","))
	}
	var turn atomic.Uint32
	balancer := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(urls[turn.Add(1)%uint32(len(urls))])
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(func() {
		balancer.CloseClientConnections()
		balancer.Close()
	})
	u, _ := url.Parse(balancer.URL)
	eachTransport(t, func(t *testing.T, transport, protocol string) {
		cmd := exec.Command(node, "js/node.mjs", "--hub", balancer.URL, "--protocol", protocol, "--transport", transport,
			"--only", `^(invoke|result)\.|^stream\.(count|channel|fails|many-beside-calls)|^upload\.(mirror|fails|two-in-one-call)|^send\.(three-thousand-in-order|handlers)$`)
		c := &child{cmd: cmd, ended: make(chan struct{})}
		follow(t, c.reports(t), c.ended, c.why)
	})
	for _, transport := range []string{"ws", "sse", "lp"} {
		t.Run(".NET/"+transport, func(t *testing.T) {
			dotnetPeers(t)
			passes(t, &server{t: t, url: u}, transport, "echo,stream.count,stream.1000,stream.cancel,upload.sum,upload.1000,result.ask,send.caller,send.order-of-1000,life.stop-and-start,life.abort")
		})
	}
	if turn.Load() < 100 {
		t.Errorf("the balancer saw %d requests", turn.Load())
	}
}

// passes runs scenarios of the .NET client: each passes.
func passes(t *testing.T, s *server, transport, scenarios string) {
	t.Helper()
	got := map[string]observation{}
	runDotnet(t, dotnetPeers(t), s, transport, "json", strings.Split(scenarios, ","), got)
	if len(got) == 0 {
		t.Error("the client ran nothing")
	}
	for name, o := range got {
		if !o.OK {
			t.Errorf("%s: %s", name, o.Error)
		}
	}
}

// startRedis starts a server of its own and gives its address; it skips the test
// where there is none to start.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed (Debian: apt-get install redis-server)")
	}
	port := freePort(t)
	var log tail
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	addr := "127.0.0.1:" + port
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not start\n%s", log.String())
		}
	}
}

// startDotnetNode starts ASP.NET Core's server of the contract on a Redis.
func startDotnetNode(t *testing.T, run, redis string) string {
	t.Helper()
	base := "http://127.0.0.1:" + freePort(t)
	cmd := exec.Command(run, "signalr-server", "--urls", base, "--quiet", "--redis", redis)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log tail
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, read := make(chan struct{}, 1), make(chan struct{})
	go func() { // ends with the process's output
		defer close(read)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "READY") {
				ready <- struct{}{}
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-read
		_ = cmd.Wait()
	})
	select {
	case <-ready:
	case <-read:
		t.Skipf("ASP.NET Core's server does not run here\n%s", log.String())
	case <-time.After(90 * time.Second):
		t.Fatalf("ASP.NET Core's server does not start\n%s", log.String())
	}
	if resp, err := http.Get(base + "/"); err == nil {
		_ = resp.Body.Close()
	}
	return base
}
