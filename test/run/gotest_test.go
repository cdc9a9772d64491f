//go:build unix

package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What go test -json says, and how it is counted.
func TestCounter(t *testing.T) {
	const said = `
{"Action":"start","Package":"github.com/hubwire/hubwire/a"}
{"Action":"run","Package":"github.com/hubwire/hubwire/a","Test":"TestGood"}
{"Action":"output","Package":"github.com/hubwire/hubwire/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"github.com/hubwire/hubwire/a","Test":"TestGood"}
{"Action":"run","Package":"github.com/hubwire/hubwire/a","Test":"TestTable"}
{"Action":"run","Package":"github.com/hubwire/hubwire/a","Test":"TestTable/one/with/slashes"}
{"Action":"run","Package":"github.com/hubwire/hubwire/a","Test":"TestTable/two"}
{"Action":"output","Package":"github.com/hubwire/hubwire/a","Test":"TestTable/two","Output":"    a_test.go:7: got 1, want 2\n"}
{"Action":"pass","Package":"github.com/hubwire/hubwire/a","Test":"TestTable/one/with/slashes"}
{"Action":"fail","Package":"github.com/hubwire/hubwire/a","Test":"TestTable/two"}
{"Action":"fail","Package":"github.com/hubwire/hubwire/a","Test":"TestTable"}
{"Action":"run","Package":"github.com/hubwire/hubwire/a","Test":"TestSkipped"}
{"Action":"output","Package":"github.com/hubwire/hubwire/a","Test":"TestSkipped","Output":"    a_test.go:9: java is not installed\n"}
{"Action":"skip","Package":"github.com/hubwire/hubwire/a","Test":"TestSkipped"}
{"Action":"fail","Package":"github.com/hubwire/hubwire/a"}
{"ImportPath":"github.com/hubwire/hubwire/b","Action":"build-output","Output":"b.go:1: no\n"}
{"ImportPath":"github.com/hubwire/hubwire/b","Action":"build-fail"}
{"Action":"fail","Package":"github.com/hubwire/hubwire/b","FailedBuild":"github.com/hubwire/hubwire/b"}
{"Action":"run","Package":"github.com/hubwire/hubwire/c","Test":"TestLeaky"}
{"Action":"pass","Package":"github.com/hubwire/hubwire/c","Test":"TestLeaky"}
{"Action":"output","Package":"github.com/hubwire/hubwire/c","Output":"a goroutine was left behind\n"}
{"Action":"fail","Package":"github.com/hubwire/hubwire/c"}
{"Action":"pass","Package":"github.com/hubwire/hubwire/d"}
`
	r := newResult()
	c := newCounter(r)
	c.read(strings.NewReader(strings.TrimSpace(said)))
	if len(c.failures) != 3 || c.failures[0] != (failure{"hubwire/a.TestTable/two", "github.com/hubwire/hubwire/a", "TestTable/two", "    a_test.go:7: got 1, want 2\n"}) {
		t.Errorf("failures %+v", c.failures)
	}
	if want := []string{"hubwire/a.TestGood", "hubwire/a.TestTable/one/with/slashes", "hubwire/c.TestLeaky"}; !slices.Equal(names(r.passed), want) {
		t.Errorf("passed %q, want %q", names(r.passed), want)
	}
	if want := []string{"github.com/hubwire/hubwire/b", "hubwire/a.TestTable/two", "hubwire/c"}; !slices.Equal(names(r.failed), want) {
		t.Errorf("failed %q, want %q", names(r.failed), want)
	}
	if want := map[string]string{"hubwire/a.TestSkipped": "java is not installed"}; !maps.Equal(r.skipped, want) {
		t.Errorf("skipped %v, want %v", r.skipped, want)
	}
	if got, want := r.counts(), "3 passed, 3 failed, 1 skipped"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A test counts once, however often it ran; a failure anywhere counts.
func TestResultsAddUp(t *testing.T) {
	total, unit, race := newResult(), newResult(), newResult()
	unit.pass("a")
	unit.pass("b")
	unit.pass("c")
	unit.skip("d", "no reason")
	race.pass("a")
	race.failed["b"] = true
	race.skip("c", "slow under the race detector")
	race.pass("d")
	total.add(unit)
	total.add(race)
	if got, want := total.counts(), "3 passed, 1 failed, 0 skipped"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestChoose(t *testing.T) {
	for args, want := range map[string]int{"": len(steps) - 1, "grpc-conformance": 1, "quick": 3, "e2e": 1, "unit race": 2} {
		if got, err := choose(strings.Fields(args)); err != nil || len(got) != want {
			t.Errorf("%q: %d steps, %v, want %d", args, len(got), err, want)
		}
	}
	if _, err := choose([]string{"help"}); err == nil || !strings.Contains(err.Error(), "* unit") {
		t.Errorf("help says %v", err)
	}
}
