//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A result is the outcome of tests by name. A test that runs twice (once plain
// and once under the race detector) counts once.
type result struct {
	passed  map[string]bool
	failed  map[string]bool
	skipped map[string]string // with the reason
}

func newResult() *result {
	return &result{map[string]bool{}, map[string]bool{}, map[string]string{}}
}

func (r *result) pass(name string) { r.passed[name] = true }

// fail counts a failure and shows what it said.
func (r *result) fail(name, output string) {
	r.failed[name] = true
	fmt.Printf("   FAIL %s\n", name)
	if output = strings.TrimRight(output, "\n"); output != "" {
		fmt.Println("        " + strings.ReplaceAll(output, "\n", "\n        "))
	}
}

func (r *result) skip(name, reason string) { r.skipped[name] = strings.TrimSpace(reason) }

// add adds another step's result: a failure anywhere is a failure, and what was
// skipped in one step but passed in another has passed.
func (r *result) add(o *result) {
	maps.Copy(r.passed, o.passed)
	maps.Copy(r.failed, o.failed)
	maps.Copy(r.skipped, o.skipped)
	for name := range r.failed {
		delete(r.passed, name)
	}
	for name := range r.skipped {
		if r.passed[name] || r.failed[name] {
			delete(r.skipped, name)
		}
	}
}

func (r *result) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", len(r.passed), len(r.failed), len(r.skipped))
}

// reasons lists why tests were skipped, those of one reason in one line.
func (r *result) reasons() string {
	by := map[string][]string{}
	for name, reason := range r.skipped {
		first, _, _ := strings.Cut(reason, "\n")
		by[first] = append(by[first], name)
	}
	var b strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		tests := by[reason]
		slices.Sort(tests)
		what := tests[0]
		if len(tests) > 1 {
			what = fmt.Sprintf("%s and %d more", what, len(tests)-1)
		}
		fmt.Fprintf(&b, "   %s: %s\n", what, reason)
	}
	return b.String()
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
