package auth_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The library is for this package alone: whoever does not verify tokens does
// not link it.
func TestOnlyThisPackageImportsTheLibrary(t *testing.T) {
	found := false
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path == ".." {
				return nil
			}
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if name := d.Name(); err == nil || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if strings.Contains(i.Path.Value, "go-jose") {
				if filepath.Dir(path) != filepath.Join("..", "auth") {
					t.Errorf("%s imports %s", path, i.Path.Value)
				}
				found = true
			}
		}
		return nil
	})
	if err != nil || !found {
		t.Error(found, err)
	}
}
