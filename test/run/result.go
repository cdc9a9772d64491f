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
	chance  map[string]bool   // passed, but not at once

	quiet bool // failures are not shown
}

func newResult() *result {
	return &result{passed: map[string]bool{}, failed: map[string]bool{}, skipped: map[string]string{}, chance: map[string]bool{}}
}

func (r *result) pass(name string) { r.passed[name] = true }

// fail counts a failure and shows what it said.
func (r *result) fail(name, output string) {
	r.failed[name] = true
	if r.quiet {
		return
	}
	fmt.Printf("   FAIL %s\n", name)
	if output = strings.TrimRight(output, "\n"); output != "" {
		fmt.Println("        " + strings.ReplaceAll(output, "\n", "\n        "))
	}
}

// passAgain is for a test that failed and then passed, run alone.
func (r *result) passAgain(name string) {
	delete(r.failed, name)
	r.passed[name] = true
	r.chance[name] = true
	fmt.Printf("   %s has passed when run again\n", name)
}

func (r *result) skip(name, reason string) { r.skipped[name] = strings.TrimSpace(reason) }

// add adds another step's result: a failure anywhere is a failure, and what was
// skipped in one step but passed in another has passed.
func (r *result) add(o *result) {
	maps.Copy(r.passed, o.passed)
	maps.Copy(r.failed, o.failed)
	maps.Copy(r.skipped, o.skipped)
	maps.Copy(r.chance, o.chance)
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
	s := fmt.Sprintf("%d passed, %d failed, %d skipped", len(r.passed), len(r.failed), len(r.skipped))
	if len(r.chance) > 0 {
		s += fmt.Sprintf("; %d of those passed only when run again", len(r.chance))
	}
	return s
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
