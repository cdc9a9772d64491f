//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// A test that fails by chance passes the second time; what fails for good, and
// what races, stays failed.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module chance\n\ngo 1.26\n")
	write("chance_test.go", `package chance

import (
	"os"
	"testing"
)

func once(t *testing.T, name string) {
	if f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o666); err == nil {
		f.Close()
		t.Error("the first time")
	}
}

func TestChance(t *testing.T) { t.Run("a b", func(t *testing.T) { once(t, "a") }) }
func TestRace(t *testing.T)   { once(t, "b"); t.Log("WARNING: DATA RACE") }
func TestBad(t *testing.T)    { t.Error("always") }
func TestGood(t *testing.T)   {}
`)
	r := newResult()
	goTest(context.Background(), r, dir, "-count", "1", "./...")
	if got, want := r.counts(), "2 passed, 2 failed, 0 skipped; 1 of those passed only when run again"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !r.chance["chance.TestChance/a_b"] || !r.failed["chance.TestRace"] || !r.failed["chance.TestBad"] {
		t.Errorf("by chance %v, failed %v", r.chance, r.failed)
	}
}

// The fuzzer's own deadline is no finding.
func TestDeadline(t *testing.T) {
	const end = "fuzz: elapsed: 4s, execs: 16984 (0/sec), new interesting: 0 (total: 260)\n--- FAIL: FuzzText (4.04s)\n    context deadline exceeded\nFAIL\n"
	if !isDeadline([]byte(end)) {
		t.Error("the deadline was not seen")
	}
	if isDeadline([]byte(end + "Failing input written to testdata/fuzz/FuzzText/1\n")) {
		t.Error("a finding was taken for the deadline")
	}
}
