// Package grpc holds the tests of gRPC that need other people's programs: the
// conformance suite, grpc-go's interop client, grpcurl and ghz, all as Go
// modules, and the .NET client where it is.
package grpc

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var (
	root    string // of the repository
	scratch string // removed when all tests have run
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	here, err := os.Getwd()
	if err == nil {
		root = filepath.Dir(filepath.Dir(filepath.Dir(here)))
		scratch, err = os.MkdirTemp("", "hubwire-grpc-")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}
