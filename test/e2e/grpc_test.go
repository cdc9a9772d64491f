package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/hubwire/hubwire/grpchub/hubgrpc"
	"github.com/hubwire/hubwire/test/conformance/streamspb"
)

// needGRPCPackages skips the test where the packages for gRPC are missing.
func needGRPCPackages(t *testing.T) {
	t.Helper()
	for _, name := range []string{"@grpc", "@connectrpc", "grpc-web", "esbuild"} {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			t.Skipf("the npm package %s is not installed: run npm ci in test/e2e", name)
		}
	}
}

// descriptors are the services as clients without generated code read them.
func descriptors(t *testing.T) []byte {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(streamspb.File_streams_proto)
	add(hubgrpc.File_grpchub_hubgrpc_hub_service_proto)
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGRPCNode runs @grpc/grpc-js under Node, and a group of which clients of
// SignalR (JSON and MessagePack), gRPC and gRPC-Web are members.
func TestGRPCNode(t *testing.T) {
	node := needNode(t)
	needPackages(t)
	needGRPCPackages(t)
	s := startServer(t)
	d := descriptors(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(d) }))
	t.Cleanup(srv.Close)
	cmd := exec.Command(node, "js/grpc/node.mjs", "--addr", s.url.Host, "--root", root, "--descriptors", srv.URL)
	c := &child{cmd: cmd, ended: make(chan struct{})}
	follow(t, c.reports(t), c.ended, c.why)
}

// TestGRPCBrowser runs @connectrpc/connect-web and the official grpc-web in
// Chromium, in a page of another origin than the server's.
func TestGRPCBrowser(t *testing.T) {
	browser := needBrowser(t)
	needGRPCPackages(t)
	bundle := filepath.Join(scratch, "grpc-page.js")
	esbuild := filepath.Join("node_modules", ".bin", "esbuild")
	if out, err := exec.Command(esbuild, "js/grpc/page.mjs", "--bundle", "--format=esm", "--outfile="+bundle, "--log-level=warning").CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, out)
	}
	s := startServer(t)
	d := descriptors(t)
	reports := make(chan report, 16)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page.html", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><meta charset="utf-8"><title>hubwire: gRPC-Web</title><link rel="icon" href="data:,"><script type="module" src="page.js"></script>`))
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, bundle) })
	mux.HandleFunc("GET /descriptors", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(d) })
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var got report
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case reports <- got:
		case <-t.Context().Done():
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	visit(t, browser, srv.URL+"/page.html?"+url.Values{"addr": {s.url.Host}}.Encode(), reports)
}
