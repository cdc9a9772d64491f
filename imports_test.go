package hubwire_test

import (
	"go/build"
	"strings"
	"testing"
)

// The core and the waist import the standard library alone, so that whoever
// imports them gets nothing else.
func TestImports(t *testing.T) {
	ours := map[string]bool{"github.com/hubwire/hubwire/wire": true}
	for _, dir := range []string{".", "wire"} {
		p, err := build.ImportDir(dir, 0)
		check(t, err)
		if len(p.Imports) == 0 {
			t.Errorf("%s imports nothing: is this the right folder?", dir)
		}
		for _, path := range p.Imports {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !ours[path] {
				t.Errorf("%s imports %s", dir, path)
			}
		}
	}
}
