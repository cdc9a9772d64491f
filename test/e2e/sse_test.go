package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubwire/hubwire/sse"
)

// TestSSEBrowser runs the scenarios of js/sse.mjs with Chromium's EventSource, from
// a page of the hub's origin and from one of another. The first goes through a
// proxy, which answers 502 while the server restarts: the end of an EventSource.
func TestSSEBrowser(t *testing.T) {
	browser := needBrowser(t)
	t.Run("same origin", func(t *testing.T) {
		h := startHarness(t, startServer(t))
		visit(t, browser, h.URL+"/js/sse.html?"+url.Values{"only": {"^sse\\.(?!restart)"}}.Encode(), h.reports)
	})
	t.Run("another origin", func(t *testing.T) {
		s := startServer(t)
		h := startHarness(t, s)
		visit(t, browser, h.URL+"/js/sse.html?"+url.Values{"hub": {s.url.String()}, "only": {"^sse\\.(?!resumes)"}}.Encode(), h.reports) // plain streams here are for no other page
	})
}

// TestSSENode runs them with npm's eventsource.
func TestSSENode(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	if _, err := os.Stat(filepath.Join("node_modules", "eventsource")); err != nil {
		t.Skip("the npm packages are not installed: run npm ci in test/e2e")
	}
	s := startServer(t)
	h := startHarness(t, s)
	cmd := exec.Command(node, "js/ssenode.mjs", "--hub", s.url.String(), "--harness", h.URL, "--only", only())
	c := &child{cmd: cmd, ended: make(chan struct{})}
	follow(t, c.reports(t), c.ended, c.why)
}

// TestSSECurl: what one types at a prompt.
func TestSSECurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	s := startServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, curl, append([]string{"-sS"}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	base := s.url.String() + "/conformance/sse"
	const isJSON = "Content-Type: application/json"
	const code = "%{http_code}"

	for _, version := range []string{"--http1.1", "--http2-prior-knowledge"} {
		if got, want := run("-N", version, "-g", base+"/Count?args=[2]"), "data: 0\n\ndata: 1\n\nevent: end\ndata: null\nid: hubwire:end\nretry: 300\n\n"; got != want {
			t.Errorf("%s: a stream: %q, want %q", version, got, want)
		}
		if got := run(version, "-w", code, "-H", isJSON, "-d", `["hi"]`, base+"/EchoString"); got != `"hi"200` {
			t.Errorf("%s: a call: %q", version, got)
		}
	}
	if got := run("-w", code, "-d", `["hi"]`, base+"/EchoString"); !strings.HasSuffix(got, "415") {
		t.Errorf("a form: %q", got)
	}
	if got := run("-w", code, "-X", "POST", "-H", isJSON, base+"/Nothing"); got != "204" {
		t.Errorf("no body: %q", got)
	}
	if got := run("-w", code, base+"?refuse=hub"); got != `{"code":"permission_denied","message":"refused"}403` {
		t.Errorf("refused: %q", got)
	}

	// A stream that stays: events come as they are sent.
	cmd := exec.CommandContext(ctx, curl, "-sSN", base+"?group=lobby")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}()
	lines := bufio.NewScanner(stdout)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
			t.Fatalf("line %q, %v; want %q", lines.Text(), lines.Err(), want)
		}
	}
	for _, want := range []string{"event: hubwire:open", `data: {"connection":"`, "retry: 300", ""} {
		next(want)
	}
	for i := range 3 {
		run("-H", isJSON, "-d", fmt.Sprintf(`["lobby","%d"]`, i), base+"/ToGroup")
		for _, want := range []string{"event: Receive", fmt.Sprintf(`data: ["%d"]`, i), ""} {
			next(want)
		}
	}
}

// needDotnet is the program that runs the .NET peers.
func needDotnet(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("HUBWIRE_PEERS_DIR")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "peers")
	}
	run := filepath.Join(dir, "run")
	if _, err := os.Stat(run); err != nil {
		t.Skipf("the .NET peers are not in %s (set HUBWIRE_PEERS_DIR)", dir)
	}
	return run
}

// TestSSEDotnetClient: HttpClient and SseParser read what this server sends as
// they read .NET's.
func TestSSEDotnetClient(t *testing.T) {
	run := needDotnet(t)
	s := startServer(t)
	read := func(path string) (events []string, end map[string]any) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, run, "sse-server", "--client", s.url.String()+path, "--max", "1000", "--seconds", "30")
		out, err := cmd.Output()
		if _, told := errors.AsType[*exec.ExitError](err); err != nil && (!told || len(out) == 0) {
			t.Fatalf("%s: %v", path, err) // a stream that broke is an exit status too
		}
		for line := range bytes.Lines(out) {
			var v map[string]any
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if typ, ok := v["type"]; ok {
				events = append(events, fmt.Sprint(typ, ":", v["id"], ":", v["data"]))
			}
			end = v
		}
		return events, end
	}
	if got, end := read("/pace/count/100"); len(got) != 100 || got[99] != "n:99:99" || end["end"] != "stream" {
		t.Errorf("%d events, %v", len(got), end)
	}
	if got, end := read("/case/item-all"); !slices.Equal(got, []string{"t:7:d1\nd2", "t:8:"}) || end["end"] != "stream" {
		t.Errorf("%q, %v", got, end)
	}
	if got, end := read("/conformance/sse/Count?args=%5B3%5D"); !slices.Equal(got, []string{"message:<nil>:0", "message:<nil>:1", "message:<nil>:2", "end:hubwire:end:null"}) || end["end"] != "stream" {
		t.Errorf("%q, %v", got, end)
	}
	if got, end := read("/fail/mid-sync"); len(got) != 2 || end["end"] == "stream" {
		t.Errorf("%q, %v", got, end)
	}
}

// TestSSEDotnetServer: this client reads TypedResults.ServerSentEvents, over
// HTTP/1.1 and HTTP/2.
func TestSSEDotnetServer(t *testing.T) {
	run := needDotnet(t)
	h1, h2 := freePort(t), freePort(t)
	peer := &child{cmd: exec.Command(run, "sse-server", "--h1", h1, "--h2c", h2, "--options", freePort(t), "--lifetime", "60"), ended: make(chan struct{})}
	stdout, err := peer.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	peer.cmd.Stderr = &peer.log
	peer.start(t)
	ready := make(chan bool, 1)
	go func() { // ends with the peer
		defer close(peer.ended)
		lines := bufio.NewScanner(stdout)
		ready <- lines.Scan() && strings.HasPrefix(lines.Text(), "ready")
		for lines.Scan() {
		}
		peer.err = peer.cmd.Wait()
	}()
	if !<-ready {
		t.Fatalf("the peer is not ready: %s", peer.why())
	}
	defer func() { _ = syscall.Kill(-peer.cmd.Process.Pid, syscall.SIGKILL) }()

	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	for name, c := range map[string]struct {
		port string
		http *http.Client
	}{"HTTP/1.1": {h1, &http.Client{Transport: &http.Transport{}}}, "HTTP/2": {h2, &http.Client{Transport: two}}} {
		t.Run(name, func(t *testing.T) {
			defer c.http.CloseIdleConnections()
			read := func(path string, how sse.Reconnect, n int) (got []string, err error) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				client := sse.NewClient("http://127.0.0.1:"+c.port+path, &sse.ClientOptions{HTTPClient: c.http, Reconnect: how})
				for ev, e := range client.Events(ctx) {
					if err = e; err != nil {
						break
					}
					if got = append(got, ev.Type+":"+ev.ID+":"+ev.Data); len(got) == n {
						break
					}
				}
				return got, err
			}
			if got, err := read("/pace/count/100", sse.Never, 0); err != nil || len(got) != 100 || got[99] != "n:99:99" {
				t.Errorf("%d events, %v", len(got), err)
			}
			if got, err := read("/case/string-mixed-breaks", sse.Never, 0); err != nil || len(got) != 4 || got[0] != "message::a\n\nb" {
				t.Errorf("%q, %v", got, err)
			}
			// Two events at a time: it comes back with the id of the last.
			if got, err := read("/pace/ticks/2/30", sse.EventSource, 7); err != nil || len(got) != 7 || got[6] != "tick:6:tick 6" {
				t.Errorf("%q, %v", got, err)
			}
			if got, err := read("/fail/mid-async", sse.Never, 0); err == nil || len(got) != 2 {
				t.Errorf("%q, %v", got, err)
			}
			if got, err := read("/http/no-content", sse.EventSource, 0); err != nil || len(got) != 0 {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := read("/fail/before-async", sse.EventSource, 0); err == nil || !strings.Contains(err.Error(), "500") {
				t.Errorf("%v", err)
			}
		})
	}
}
