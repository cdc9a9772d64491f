//go:build unix

// Command run runs the tests of the repository, step by step, and closes with
// one line that counts them. It is started by ./test.sh, from the root of the
// repository.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A step is one part of the tests.
type step struct {
	name  string
	about string
	quick bool // part of ./test.sh quick
	alone bool // run only where it is named
	run   func(ctx context.Context, r *result)
}

var steps = []step{
	{"format", "gofmt finds nothing to change", true, false, gofmt},
	{"vet", "go vet, for Windows too", true, false, vet},
	{"unit", "unit tests and the seeds of the fuzz targets", true, false, unit},
	{"race", "the same under the race detector", false, false, race},
	{"fuzz", "some seconds of fuzzing for each target", false, false, fuzz},
	{"e2e", "recordings, official clients, browser, Autobahn", false, false, endToEnd},
	{"grpc-conformance", "all cases of the public conformance suite of gRPC; e2e runs some", false, true, grpcConformance},
	{"bench", "the benchmarks build, and their tests pass", false, false, bench},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := choose(os.Args[1:])
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	os.Exit(runAll(ctx, chosen))
}

func choose(args []string) ([]step, error) {
	switch {
	case len(args) == 0:
		return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.alone }), nil
	case slices.Equal(args, []string{"quick"}):
		return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !s.quick }), nil
	}
	var chosen []step
	for _, a := range args {
		i := slices.IndexFunc(steps, func(s step) bool { return s.name == a })
		if i < 0 {
			return nil, fmt.Errorf("%s", usage())
		}
		chosen = append(chosen, steps[i])
	}
	return chosen, nil
}

func usage() string {
	var b strings.Builder
	b.WriteString("./test.sh          all steps but those marked -\n./test.sh quick    those marked *\n./test.sh STEP …\n\n")
	for _, s := range steps {
		mark := " "
		switch {
		case s.quick:
			mark = "*"
		case s.alone:
			mark = "-"
		}
		fmt.Fprintf(&b, "  %s %-16s %s\n", mark, s.name, s.about)
	}
	return b.String()
}

// runAll runs the steps and gives the exit status.
func runAll(ctx context.Context, chosen []step) int {
	total := newResult()
	for _, s := range chosen {
		fmt.Printf("== %s: %s\n", s.name, s.about)
		began := time.Now()
		r := newResult()
		s.run(ctx, r)
		if ctx.Err() != nil {
			r.fail(s.name, "interrupted")
		}
		fmt.Printf("   %s (%.0f s)\n", r.counts(), time.Since(began).Seconds())
		total.add(r)
		if ctx.Err() != nil {
			break
		}
	}
	if len(total.skipped) > 0 {
		fmt.Printf("== skipped\n%s", total.reasons())
	}
	if len(total.chance) > 0 {
		fmt.Printf("== passed only when run again\n   %s\n", strings.Join(names(total.chance), "\n   "))
	}
	if len(total.failed) > 0 {
		fmt.Printf("== failed\n   %s\n", strings.Join(names(total.failed), "\n   "))
		fmt.Printf("FAILED: %s\n", total.counts())
		return 1
	}
	fmt.Printf("ok: %s\n", total.counts())
	return 0
}
