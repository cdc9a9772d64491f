package hubwire_test

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What must not compile does not: each file of testdata/compile is wrong where a
// comment `// want "…"` says how, as a regular expression, and nowhere else.
func TestMustNotCompile(t *testing.T) {
	files, err := filepath.Glob("testdata/compile/*.go")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no files")
	}
	lookup := exports(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".go"), func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
			check(t, err)
			want := wants(t, fset, f)
			conf := types.Config{
				Importer: importer.ForCompiler(fset, "gc", lookup),
				Error: func(err error) {
					e := err.(types.Error)
					line := fset.Position(e.Pos).Line
					if re := want[line]; re == nil || !re.MatchString(e.Msg) {
						t.Errorf("%v", err)
					}
					delete(want, line)
				},
			}
			_, _ = conf.Check("p", fset, []*ast.File{f}, nil)
			for line, re := range want {
				t.Errorf("%s:%d: it compiles; want an error that matches %q", file, line, re)
			}
		})
	}
}

var wantComment = regexp.MustCompile("^// want `(.*)`$")

func wants(t *testing.T, fset *token.FileSet, f *ast.File) map[int]*regexp.Regexp {
	want := map[int]*regexp.Regexp{}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if m := wantComment.FindStringSubmatch(c.Text); m != nil {
				want[fset.Position(c.Pos()).Line] = regexp.MustCompile(m[1])
			}
		}
	}
	if len(want) == 0 {
		t.Error("the file wants no error")
	}
	return want
}

// exports finds the compiled packages that the files may import.
func exports(t *testing.T) importer.Lookup {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", ".")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	paths := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		paths[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(paths[path]) }
}
