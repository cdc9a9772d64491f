package grpc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hubwire/hubwire/test/e2e/grpc/protogen"
)

// TestGenerated holds the committed code to its .proto files.
func TestGenerated(t *testing.T) {
	for _, target := range protogen.Targets {
		dir := filepath.Join(root, target.Dir)
		made, err := protogen.Generate(t.Context(), ".", dir, target.Plugin, "paths=source_relative", target.Files...)
		if err != nil {
			t.Fatal(err)
		}
		if len(made) == 0 {
			t.Errorf("%s makes nothing of %v", target.Plugin, target.Files)
		}
		for name, want := range made {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(got) != want {
				t.Errorf("%s is stale (%v): run go -C test/e2e/grpc run ./gen", filepath.Join(target.Dir, name), err)
			}
		}
	}
}
