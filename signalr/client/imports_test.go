package client_test

import (
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The WebSocket library is for clients: SignalR's servers do not link it.
func TestOnlyClientsImportTheLibrary(t *testing.T) {
	found := false
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if name := d.Name(); path != root && (err == nil || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if strings.Contains(i.Path.Value, "coder/websocket") {
				if filepath.Dir(path) != filepath.Join(root, "signalr", "client") && path != filepath.Join(root, "jsonrpc", "dial.go") {
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
