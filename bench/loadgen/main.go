// Loadgen drives a real-time server over WebSockets, on loopback, and prints
// what it saw as one JSON object.
//
// It brings its own WebSocket client, so that it costs little beside the server
// that it measures: one epoll loop, one read(2) for each readable socket, one
// write(2) for each request. It runs on Linux alone. README.md beside it tells
// the protocols, the scenarios and how to read the result.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// A config is the command line.
type config struct {
	Proto, URL, Scenario                string
	Conns, Size, Inflight, Window       int
	Rate                                float64
	Warm, Duration, Drain, Settle, Hold time.Duration
	PID, Parallel, SrcIPs, RcvBuf       int
	GCURL, StatsURL                     string
	EchoTarget, PubTarget, Channel, Tag string
	Negotiate                           bool
	Stalled, StalledRcvBuf              int
	Ping                                time.Duration
}

func main() {
	var cfg config
	flag.StringVar(&cfg.Proto, "proto", "rawws", "rawws, signalr, signalr-msgpack, centrifuge or socketio")
	flag.StringVar(&cfg.URL, "url", "ws://127.0.0.1:8080/", "the endpoint")
	flag.StringVar(&cfg.Scenario, "scenario", "echo", "echo, broadcast or idle")
	flag.IntVar(&cfg.Conns, "conns", 100, "connections")
	flag.IntVar(&cfg.Size, "size", 64, "payload bytes (21 or more)")
	flag.IntVar(&cfg.Inflight, "inflight", 1, "echo: requests under way on each connection")
	flag.IntVar(&cfg.Window, "window", 1, "broadcast: broadcasts under way, where there is no rate")
	flag.Float64Var(&cfg.Rate, "rate", 0, "broadcast: broadcasts a second (0: as the window allows)")
	flag.DurationVar(&cfg.Warm, "warm", time.Second, "load before the measured time")
	flag.DurationVar(&cfg.Duration, "duration", 4*time.Second, "the measured time")
	flag.DurationVar(&cfg.Drain, "drain", 3*time.Second, "longest wait for what is under way at the end")
	flag.DurationVar(&cfg.Settle, "settle", time.Second, "idle time between the last connection and the memory reading (0: no reading)")
	flag.DurationVar(&cfg.Hold, "hold", 0, "after the load, wait this long and read the memory again (0: no reading)")
	flag.IntVar(&cfg.PID, "pid", 0, "the server's process, for CPU and memory")
	flag.IntVar(&cfg.Parallel, "parallel", 16, "connections being made at once")
	flag.IntVar(&cfg.SrcIPs, "src-ips", 4, "loopback source addresses to spread over (0: leave it to the kernel)")
	flag.IntVar(&cfg.RcvBuf, "rcvbuf", 0, "SO_RCVBUF of each connection (0: the kernel's)")
	flag.StringVar(&cfg.GCURL, "gc-url", "", "GET before each memory reading: the server collects its garbage and may answer with JSON")
	flag.StringVar(&cfg.StatsURL, "stats-url", "", "GET at both ends of the measured time: JSON with the member mallocs")
	flag.StringVar(&cfg.EchoTarget, "echo-target", "Echo", "name of the hub method, RPC or event that answers with its argument")
	flag.StringVar(&cfg.PubTarget, "pub-target", "Broadcast", "name of the hub method or event that sends its argument to all")
	flag.StringVar(&cfg.Channel, "channel", "bench", "centrifuge: the channel")
	flag.IntVar(&cfg.Stalled, "stalled", 0, "further connections that finish their handshake and never read again")
	flag.IntVar(&cfg.StalledRcvBuf, "stalled-rcvbuf", 4096, "SO_RCVBUF of the stalled connections")
	flag.BoolVar(&cfg.Negotiate, "negotiate", false, "signalr: POST negotiate first, on a connection of its own, and connect with its token")
	flag.DurationVar(&cfg.Ping, "ping", 10*time.Second, "time between two of the client's own keep-alives, where the protocol has them")
	flag.StringVar(&cfg.Tag, "tag", "", "copied to the result")
	flag.Parse()
	r, err := run(&cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
	}
	if r != nil {
		json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		os.Exit(1)
	}
}
