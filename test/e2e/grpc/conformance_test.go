package grpc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubwire/hubwire/test/e2e/grpc/protogen"
)

const suiteConfig = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsH2c: true
  supportsTls: true
  supportsTlsClientCerts: true
  supportsHalfDuplexBidiOverHttp1: true
`

// allCases is how many cases the suite has for suiteConfig.
const allCases = 2196

// slice is what runs unless HUBWIRE_GRPC_CONFORMANCE is "all": of every suite
// something, in every configuration of the server.
var slice = []string{"Basic/**", "Timeouts/**", "Duplicate Metadata/**", "Server Message Size/**", "gRPC Unexpected Requests/**", "gRPC-Web Unexpected Requests/**", "gRPC Proto Sub-Format Requests/**", "gRPC-Web Proto Sub-Format Requests/**", "Unexpected Requests/**", "Server Empty Requests/**", "TLS Client Certs/**"}

// TestConformance runs connectrpc.com/conformance in server mode.
func TestConformance(t *testing.T) {
	all := os.Getenv("HUBWIRE_GRPC_CONFORMANCE") == "all"
	sut := buildSUT(t, all)
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	if err := os.WriteFile(conf, []byte(suiteConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"tool", "connectconformance", "--conf", conf, "--mode", "server", "-p", "4", "--max-servers", "2"}
	if !all {
		for _, s := range slice {
			args = append(args, "--run", s)
		}
	}
	out, err := command(t, 8*time.Minute, "go", append(args, "--", sut)...)
	text := string(out)
	if len(text) > 8000 {
		text = text[len(text)-8000:]
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	m := regexp.MustCompile(`(\d+) passed, (\d+) failed`).FindStringSubmatch(text)
	if m == nil || m[2] != "0" || all && m[1] != fmt.Sprint(allCases) {
		t.Fatalf("want %d passed, 0 failed\n%s", allCases, text)
	}
	t.Logf("%s cases", m[1])
}

// command runs a program in this module's folder, in a group of its own.
func command(t *testing.T, limit time.Duration, name string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd.CombinedOutput()
}

// buildSUT builds the server under test. The code for the suite's messages is
// generated from the module's .proto files, and never leaves the scratch folder.
func buildSUT(t *testing.T, race bool) string {
	t.Helper()
	out, err := command(t, time.Minute, "go", "list", "-m", "-f", "{{.Dir}}", "connectrpc.com/conformance")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	protos := filepath.Join(strings.TrimSpace(string(out)), "proto")
	const pkg = "github.com/hubwire/hubwire/test/e2e/grpc/conformancepb"
	const path = "connectrpc/conformance/v1/"
	params := []string{"paths=source_relative"}
	var files []string
	for _, f := range []string{"config", "service", "server_compat"} {
		files = append(files, path+f+".proto")
		params = append(params, "M"+path+f+".proto="+pkg)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	here := filepath.Join(root, "test", "e2e", "grpc", "conformancepb")
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		made, err := protogen.Generate(t.Context(), ".", protos, plugin, strings.Join(params, ","), files...)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range made {
			file := filepath.Join(scratch, filepath.Base(name))
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			overlay.Replace[filepath.Join(here, filepath.Base(name))] = file
		}
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(list, b, 0o644); err != nil {
		t.Fatal(err)
	}
	sut := filepath.Join(scratch, "sut")
	args := []string{"build", "-overlay", list, "-tags", "conformance", "-o", sut}
	if race {
		args = append(args, "-race")
	}
	if out, err := command(t, 5*time.Minute, "go", append(args, "./sut")...); err != nil {
		t.Fatalf("build the server under test: %v\n%s", err, out)
	}
	return sut
}
