//go:build unix

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules are the folders with a go.mod, the root first.
func modules() []string {
	var dirs []string
	_ = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(path, d.Name()):
			return filepath.SkipDir
		case d.Name() == "go.mod":
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	return dirs
}

// skipped are folders without code of ours.
func skipped(path, name string) bool {
	return path != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata")
}

func gofmt(ctx context.Context, r *result) {
	var files []string
	_ = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(path, d.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	out, err := command(ctx, ".", "gofmt", append([]string{"-l"}, files...)...).CombinedOutput()
	switch {
	case err != nil:
		r.fail("gofmt", fmt.Sprintf("%v\n%s", err, out))
	case len(out) > 0:
		r.fail("gofmt", fmt.Sprintf("run gofmt -w on\n%s", out))
	default:
		r.pass("gofmt")
	}
}

func vet(ctx context.Context, r *result) {
	for _, dir := range modules() {
		try(ctx, r, "go vet in "+dir, dir, "go", "vet", "./...")
	}
	// The ordinary path of connections, without what only Unix has.
	cmd := command(ctx, ".", "go", "vet", "./...")
	cmd.Env = append(cmd.Env, "GOOS=windows")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.fail("go vet for Windows", string(out))
		return
	}
	r.pass("go vet for Windows")
}

func unit(ctx context.Context, r *result) { goTest(ctx, r, ".", "./...") }

func race(ctx context.Context, r *result) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		apt(ctx, []string{"redis-server"}) // the tests of backplane/redis start their own
	}
	goTest(ctx, r, ".", "-race", "./...")
}

// fuzz fuzzes each target for a few seconds. Its findings are written into
// testdata, where the next run of the unit tests meets them.
func fuzz(ctx context.Context, r *result) {
	out, err := command(ctx, ".", "go", "test", "-list", "^Fuzz", "./...").CombinedOutput()
	if err != nil {
		r.fail("list the fuzz targets", string(out))
		return
	}
	var targets []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			targets = append(targets, fields[0])
		case len(fields) > 1 && fields[0] == "ok":
			pkg := "." + strings.TrimPrefix(fields[1], "github.com/hubwire/hubwire")
			for _, t := range targets {
				name := strings.TrimPrefix(fields[1], "github.com/hubwire/") + "." + t + " (fuzzing)"
				fuzzTarget(ctx, r, name, t, pkg)
			}
			targets = nil
		}
	}
}

func endToEnd(ctx context.Context, r *result) {
	dir := filepath.Join("test", "e2e")
	install(ctx, r, dir)
	// The demo's page: its modules' own tests, and their types.
	try(ctx, r, "tests of web", "web", "node", "--test")
	try(ctx, r, "types of web", "web", filepath.Join("..", dir, "node_modules", ".bin", "tsc"), "-p", ".")
	goTest(ctx, r, dir, "-count", "1", "-p", "1", "./...")
	// What needs gRPC's own tools, with their dependencies.
	goTest(ctx, r, filepath.Join(dir, "grpc"), "-count", "1", "-p", "1", "./...")
}

// grpcConformance runs all cases of connectrpc.com/conformance against a build
// with the race detector; endToEnd runs a part of them.
func grpcConformance(ctx context.Context, r *result) {
	if err := os.Setenv("HUBWIRE_GRPC_CONFORMANCE", "all"); err != nil {
		r.fail("grpc-conformance", err.Error())
		return
	}
	goTest(ctx, r, filepath.Join("test", "e2e", "grpc"), "-count", "1", "-run", "^TestConformance$", ".")
}

func bench(ctx context.Context, r *result) {
	if _, err := os.Stat("bench/go.mod"); err != nil {
		r.skip("bench", "there are no benchmarks yet")
		return
	}
	try(ctx, r, "build of bench", "bench", "go", "build", "-o", os.DevNull, "./...")
	goTest(ctx, r, "bench", "./...")
}
