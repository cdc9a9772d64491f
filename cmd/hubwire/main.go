// Command hubwire is the tool box of the hubwire framework.
//
//	hubwire demo    a page in which one can see, touch and read a hub
package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// A command is one of the tool's words.
type command struct {
	name, short string
	// run returns the exit code: 0 done, 1 failed, 2 called wrongly.
	run func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

var commands = []command{
	{"demo", "open a shared drawing room in the browser, with every frame of the hub beside it", runDemo},
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return 0
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "hubwire: there is no command %q\n\n", args[0])
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: hubwire <command> [flags]\n\nCommands:\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, "\nhubwire <command> -h lists the flags of a command.\n")
}
