package main

import (
	"os"
	"strings"
	"testing"
)

// The program that the README shows is this one, and it stays short.
func TestReadmeShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
		t.Error("README.md shows another program than examples/hello/main.go")
	}
	if n := strings.Count(string(program), "\n"); n > 26 {
		t.Errorf("the hello hub has %d lines, at most 26 are promised", n)
	}
}
