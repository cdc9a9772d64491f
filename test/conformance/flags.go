package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

type options struct {
	addr   string
	second string
	redis  string
	prefix string
	nats   string
	node   string
	peers  map[string]string
	level  slog.Level

	jsonrpc string
	stdio   bool
	handler string
}

// parse reads the flags of the contract. Those of parts that are not built yet
// are known, and refused.
func parse(args []string, output io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("conformance", flag.ContinueOnError)
	set.SetOutput(output)
	set.StringVar(&o.addr, "addr", "127.0.0.1:0", "serve everything over HTTP on `HOST:PORT`")
	set.StringVar(&o.second, "second", "", "serve the same on another `HOST:PORT` (load balancing)")
	set.TextVar(&o.level, "log", slog.LevelWarn, "log from this `level` on: debug, info, warn or error")
	set.StringVar(&o.redis, "redis", "", "join the hubs over the Redis at `HOST:PORT`")
	set.StringVar(&o.prefix, "redis-prefix", "", "begin Redis's channels with `P`")
	set.StringVar(&o.nats, "nats", "", "join the hubs over the NATS server at `URL`")
	set.StringVar(&o.node, "node", "", "call this server `NAME` in connection tokens")
	set.Func("peers", "pass requests on to the node of their connection; where nodes are: `NAME=URL,…`", func(list string) error {
		o.peers = map[string]string{}
		for p := range strings.SplitSeq(list, ",") {
			name, base, ok := strings.Cut(p, "=")
			if !ok {
				return fmt.Errorf("%q is not NAME=URL", p)
			}
			o.peers[name] = base
		}
		return nil
	})
	set.StringVar(&o.jsonrpc, "jsonrpc", "", "serve JSON-RPC over TCP on `HOST:PORT`")
	set.BoolVar(&o.stdio, "jsonrpc-stdio", false, "serve JSON-RPC on standard input and output alone, and end with the input")
	set.StringVar(&o.handler, "handler", "header", "frame JSON-RPC by `KIND`: header, newline or length")
	formatter := set.String("formatter", "json", "encode JSON-RPC as `KIND`: json")
	mux := set.Int("mux", 0, "serve JSON-RPC over a MultiplexingStream of `VERSION`: 0 is none")
	missing := map[string]string{}
	for name, part := range missing {
		refuse := func(string) error { return fmt.Errorf("%s is not built yet", part) }
		set.Func(name, "not built yet: "+part, refuse)
	}
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("conformance: unexpected argument %q", set.Arg(0))
	}
	if _, ok := rpcFramings[o.handler]; !ok {
		return o, fmt.Errorf("conformance: -handler is %q; it must be header, newline or length", o.handler)
	}
	if *formatter != "json" || *mux != 0 {
		return o, fmt.Errorf("conformance: -formatter %s -mux %d is not built yet", *formatter, *mux)
	}
	return o, nil
}
