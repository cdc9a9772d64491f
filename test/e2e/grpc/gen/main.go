// Command gen writes the generated code of the repository anew:
//
//	go -C test/e2e/grpc run ./gen
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hubwire/hubwire/test/e2e/grpc/protogen"
)

func main() {
	root := filepath.Join("..", "..", "..")
	for _, t := range protogen.Targets {
		dir := filepath.Join(root, t.Dir)
		made, err := protogen.Generate(context.Background(), ".", dir, t.Plugin, "paths=source_relative", t.Files...)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for name, text := range made {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(path)
		}
	}
}
