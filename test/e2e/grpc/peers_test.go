package grpc

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/testdata"

	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/grpcwire/grpcadapter"
)

var binary = sync.OnceValues(func() (string, error) {
	out := filepath.Join(scratch, "conformance")
	cmd := exec.Command("go", "build", "-o", out, "./test/conformance")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the conformance server: %v\n%s", err, text)
	}
	return out, nil
})

// startServer starts the conformance server on two ports; it ends with the test.
func startServer(t *testing.T) (addr, second string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second = l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(path, "-addr", "127.0.0.1:0", "-second", second, "-log", "error")
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "READY http://")
	if err != nil || !ok {
		t.Fatalf("the server's first line is %q, %v", line, err)
	}
	return addr, second
}

// An observation is one line of what the .NET client reports.
type observation struct {
	Scenario string   `json:"scenario"`
	OK       bool     `json:"ok"`
	Failures []string `json:"failures"`
}

// TestDotnet runs all scenarios of the real Grpc.Net.Client, strictly: gRPC over
// HTTP/2, gRPC-Web as bytes and as text, over HTTP/1.1 and 2.
func TestDotnet(t *testing.T) {
	dir := os.Getenv("HUBWIRE_PEERS_DIR")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "peers")
	}
	run := filepath.Join(dir, "run")
	if _, err := os.Stat(run); err != nil {
		t.Skipf("the .NET peers are not in %s (set HUBWIRE_PEERS_DIR)", dir)
	}
	for _, mode := range []struct {
		web, http string
		scenarios int
	}{{"none", "2", 67}, {"grpc-web", "1.1", 37}, {"grpc-web-text", "1.1", 37}, {"grpc-web", "2", 37}, {"grpc-web-text", "2", 37}} {
		t.Run(mode.web+" over "+mode.http, func(t *testing.T) {
			addr, second := startServer(t)
			once := func(only []string) map[string]observation {
				out := filepath.Join(t.TempDir(), "out.jsonl")
				args := []string{"grpc-client", "--target", "http://" + addr, "--second", "http://" + second, "--web-target", "http://" + addr,
					"--web", mode.web, "--http", mode.http, "--strict", "--out", out}
				if len(only) > 0 {
					args = append(args, "--only", strings.Join(only, ","))
				}
				log, err := command(t, 4*time.Minute, run, args...)
				f, bad := os.Open(out)
				if bad != nil {
					t.Fatalf("%v\n%s", err, log)
				}
				defer f.Close()
				got := map[string]observation{}
				lines := bufio.NewScanner(f)
				lines.Buffer(nil, 16<<20)
				for lines.Scan() {
					var o observation
					if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
						t.Fatal(err)
					}
					got[o.Scenario] = o
				}
				return got
			}
			got := once(nil)
			if len(got) != mode.scenarios {
				t.Errorf("%d scenarios, want %d", len(got), mode.scenarios)
			}
			// Some measure time, which a busy machine stretches: what failed gets a
			// second chance, alone.
			var again []string
			for name, o := range got {
				if !o.OK {
					again = append(again, name)
				}
			}
			if len(again) > 0 {
				t.Logf("a second time, alone: %v", again)
				for name, o := range once(again) {
					got[name] = o
				}
			}
			for name, o := range got {
				t.Run(name, func(t *testing.T) {
					if !o.OK {
						t.Error(strings.Join(o.Failures, "\n"))
					}
				})
			}
		})
	}
}

// interopCases are those of grpc-go's interop client that need no special server.
var interopCases = []string{"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
	"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata", "unimplemented_method",
	"unimplemented_service", "rpc_soak", "channel_soak"}

// TestInterop runs grpc-go's interop client, plain and over TLS.
func TestInterop(t *testing.T) {
	client := filepath.Join(scratch, "interop")
	if out, err := command(t, 5*time.Minute, "go", "build", "-o", client, "google.golang.org/grpc/interop/client"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			rpc := grpcwire.New(&grpcwire.Options{Logger: slog.New(slog.DiscardHandler)})
			testpb.RegisterTestServiceServer(grpcadapter.New(rpc, nil), interop.NewTestServer())
			srv := &http.Server{Handler: grpcwire.Route(rpc, http.NotFoundHandler()), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
			grpcwire.Configure(srv)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if secure {
				cert, err := tls.LoadX509KeyPair(testdata.Path("server1.pem"), testdata.Path("server1.key"))
				if err != nil {
					t.Fatal(err)
				}
				srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
			}
			ended := make(chan struct{})
			go func() { // ends with srv.Close
				defer close(ended)
				if secure {
					_ = srv.ServeTLS(l, "", "")
				} else {
					_ = srv.Serve(l)
				}
			}()
			t.Cleanup(func() {
				_ = srv.Close()
				<-ended
			})
			for _, c := range interopCases {
				t.Run(c, func(t *testing.T) {
					args := []string{"--server_host=127.0.0.1", fmt.Sprintf("--server_port=%d", l.Addr().(*net.TCPAddr).Port), "--test_case=" + c,
						"--soak_iterations=20", "--soak_overall_timeout_seconds=60"}
					if secure {
						args = append(args, "--use_tls", "--use_test_ca", "--server_host_override=foo.test.google.fr")
					}
					if out, err := command(t, time.Minute, client, args...); err != nil {
						t.Errorf("%v\n%s", err, out)
					}
				})
			}
		})
	}
}

// TestGrpcurl asks the server with grpcurl, by its reflection.
func TestGrpcurl(t *testing.T) {
	addr, _ := startServer(t)
	url := func(args ...string) string {
		t.Helper()
		out, err := command(t, 3*time.Minute, "go", append([]string{"tool", "grpcurl", "-plaintext"}, args...)...)
		if err != nil && !strings.Contains(string(out), "Code:") {
			t.Fatalf("grpcurl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{`(?s)conformance.v1.Streams\n.*grpc.health.v1.Health\n.*hubwire.v1.Hub\n`, []string{addr, "list"}},
		{`rpc Bidi \( stream .conformance.v1.Request \) returns \( stream .conformance.v1.Response \);`, []string{addr, "describe", "conformance.v1.Streams"}},
		{`rpc Connect \( stream .hubwire.v1.ClientFrame \)`, []string{addr, "describe", "hubwire.v1.Hub"}},
		{`"tag": "x"`, []string{"-d", `{"tag":"x"}`, addr, "conformance.v1.Streams/Unary"}},
		{`(?s)"seq": 1.*"seq": 2`, []string{"-d", `{"count":3}`, addr, "conformance.v1.Streams/ServerStream"}},
		{`(?s)"tag": "a".*"tag": "b"`, []string{"-d", `{"tag":"a"}{"tag":"b"}`, addr, "conformance.v1.Streams/Bidi"}},
		{`"status": "SERVING"`, []string{addr, "grpc.health.v1.Health/Check"}},
		{`Code: DeadlineExceeded`, []string{"-max-time", "0.3", "-d", `{"wait_for_cancel":true}`, addr, "conformance.v1.Streams/Unary"}},
		{`(?s)Code: NotFound.*gone.*ErrorInfo`, []string{"-d", `{"fail":{"code":5,"message":"gone","rich":true,"reason":"WHY"}}`, addr, "conformance.v1.Streams/Unary"}},
		{`"result": "ImhpIg=="`, []string{"-d", `{"hub":"conformance","target":"EchoString","args":["ImhpIg=="]}`, addr, "hubwire.v1.Hub/Invoke"}},
	} {
		if out := url(c.args...); !regexp.MustCompile(c.want).MatchString(out) {
			t.Errorf("grpcurl %v: want %s\n%s", c.args, c.want, out)
		}
	}
}

// TestGhz puts load on the server with ghz, which is built by its own go.mod as it
// needs an old grpc-go: every call is OK.
func TestGhz(t *testing.T) {
	addr, _ := startServer(t)
	for _, c := range []struct{ call, data string }{{"conformance.v1.Streams.Unary", `{"tag":"x"}`}, {"conformance.v1.Streams.Bidi", `[{"tag":"x"},{"tag":"y"}]`}} {
		out, err := command(t, 5*time.Minute, "go", "run", "github.com/bojand/ghz/cmd/ghz@v0.93.0", "--insecure", "--call", c.call, "-d", c.data, "-n", "2000", "-c", "20", "-O", "json", addr)
		var report struct {
			Count        int            `json:"count"`
			Distribution map[string]int `json:"statusCodeDistribution"`
		}
		if i := strings.IndexByte(string(out), '{'); i >= 0 {
			out = out[i:]
		}
		if bad := json.NewDecoder(strings.NewReader(string(out))).Decode(&report); err != nil || bad != nil || report.Count != 2000 || report.Distribution["OK"] != 2000 {
			t.Errorf("%s: %v, %v, %v\n%.2000s", c.call, err, bad, report, out)
		}
	}
}
