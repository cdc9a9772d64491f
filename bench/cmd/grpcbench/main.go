//go:build linux

// Command grpcbench compares gRPC servers: grpc-go on its own transport, the
// same by its ServeHTTP, connect-go, and hubwire's grpcwire with the very same
// generated service, all in one run.
//
//	go run ./cmd/grpcbench [-rounds 5] [-scenarios push,fanout,unary/64] [-check]
//
// Each server runs in a process of its own, on loopback without TLS; this
// process is the client of all, by grpc-go with a codec that does not decode. In
// every round each server has one turn for each scenario, the order rotates, and
// the round before the first warms up and is dropped. Figures are medians.
// Ratios are computed within a round, then the median is taken.
package main

import (
	"bufio"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hubwire/hubwire/test/conformance/streamspb"
)

func main() {
	serve := flag.String("serve", "", "be the server of that `name`")
	rounds := flag.Int("rounds", 5, "rounds that count")
	only := flag.String("scenarios", "", "names, or beginnings of names, with commas")
	check := flag.Bool("check", false, "fail where a target is missed by more than a quarter")
	flag.Parse()
	var err error
	if *serve != "" {
		err = runServer(*serve)
	} else {
		err = run(*rounds, *only, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A target is one server under load.
type target struct {
	name  string
	cmd   *exec.Cmd
	conns []*grpc.ClientConn
}

func start(name string) (*target, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, "-serve", name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("grpcbench: %s: %w", name, err)
	}
	t := &target{name: name, cmd: cmd}
	for range fanoutConns {
		cc, err := grpc.NewClient("passthrough:///"+strings.TrimSpace(line), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		t.conns = append(t.conns, cc)
	}
	return t, nil
}

func (t *target) stop() {
	for _, cc := range t.conns {
		_ = cc.Close()
	}
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait()
}

// stats are the server's CPU time in nanoseconds and its allocations.
func (t *target) stats(ctx context.Context) (cpu, mallocs int64, err error) {
	r, err := streamspb.NewStreamsClient(t.conns[0]).Unary(ctx, &streamspb.Request{Tag: "stats"})
	return r.GetReceived(), r.GetReceivedBytes(), err
}

// A result is one turn.
type result struct {
	rate, cpu, allocs float64 // per second; microseconds and allocations a message
}

func (t *target) turn(s *scenario) (r result, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	finish := func() {}
	if s.prepare != nil {
		if finish, err = s.prepare(ctx, t); err != nil {
			return r, err
		}
	}
	defer finish()
	cpu, mallocs, err := t.stats(ctx)
	if err != nil {
		return r, err
	}
	began := time.Now()
	n, err := s.run(ctx, t)
	took := time.Since(began)
	if err != nil {
		return r, err
	}
	cpu2, mallocs2, err := t.stats(ctx)
	if err != nil {
		return r, err
	}
	return result{float64(n) / took.Seconds(), float64(cpu2-cpu) / 1000 / float64(n), float64(mallocs2-mallocs) / float64(n)}, nil
}

func run(rounds int, only string, check bool) error {
	var chosen []*scenario
	for i := range scenarios {
		s := &scenarios[i]
		if only == "" || slices.ContainsFunc(strings.Split(only, ","), func(p string) bool { return strings.HasPrefix(s.name, p) }) {
			chosen = append(chosen, s)
		}
	}
	var targets []*target
	for _, name := range serverNames {
		t, err := start(name)
		if err != nil {
			return err
		}
		defer t.stop()
		targets = append(targets, t)
	}
	got := map[string][]result{} // by scenario and server, one for each round
	for round := range rounds + 1 {
		for _, s := range chosen {
			for i := range targets {
				t := targets[(i+round)%len(targets)]
				r, err := t.turn(s)
				if err != nil {
					return fmt.Errorf("grpcbench: %s at %s: %w", s.name, t.name, err)
				}
				if round > 0 {
					got[s.name+" "+t.name] = append(got[s.name+" "+t.name], r)
				}
			}
		}
	}
	missed := 0
	for _, s := range chosen {
		fmt.Printf("\n#### %s\n\n| | per second | CPU us a message | allocs a message | messages a CPU second, to grpc |\n| --- | --- | --- | --- | --- |\n", s.about)
		base := got[s.name+" grpc"]
		for _, name := range serverNames {
			rs := got[s.name+" "+name]
			ratio := make([]float64, len(rs))
			for i := range rs {
				ratio[i] = base[i].cpu / rs[i].cpu
			}
			fmt.Printf("| %s | %.4g | %.3g | %.3g | %.2f (%.2f–%.2f) |\n", name, median(rs, func(r result) float64 { return r.rate }), median(rs, func(r result) float64 { return r.cpu }),
				median(rs, func(r result) float64 { return r.allocs }), middle(ratio), slices.Min(ratio), slices.Max(ratio))
			for _, g := range s.goals {
				if g.server != name {
					continue
				}
				value, ok := middle(ratio), false
				if g.allocs > 0 {
					value = median(rs, func(r result) float64 { return r.allocs })
					ok = value <= g.allocs
				} else {
					ok = value >= g.ratio
				}
				if !ok && (g.allocs > 0 && value > 1.25*g.allocs || g.ratio > 0 && value < g.ratio/1.25) {
					missed++
				}
				s.verdict = append(s.verdict, fmt.Sprintf("%s: %s %s: %.2f", map[bool]string{true: "reached", false: "MISSED"}[ok], name, g.text(), value))
			}
		}
		for _, v := range s.verdict {
			fmt.Println("\n" + v)
		}
	}
	if only == "" || strings.Contains(only, "idle") {
		if err := idle(targets); err != nil {
			return err
		}
	}
	if check && missed > 0 {
		return fmt.Errorf("grpcbench: %d targets are missed by more than a quarter", missed)
	}
	return nil
}

// idle measures streams that do nothing.
func idle(targets []*target) error {
	const streams = 4000
	fmt.Printf("\n#### An idle bidirectional stream, of %d over %d connections\n\n| | goroutines | heap, KiB | stacks, KiB |\n| --- | --- | --- | --- |\n", streams, fanoutConns)
	for _, t := range targets {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		before, err := streamspb.NewStreamsClient(t.conns[0]).Unary(ctx, &streamspb.Request{Tag: "memory"})
		for i := 0; i < streams && err == nil; i++ {
			var s streamspb.Streams_BidiClient
			if s, err = streamspb.NewStreamsClient(t.conns[i%fanoutConns]).Bidi(ctx); err == nil {
				if err = s.Send(&streamspb.Request{}); err == nil {
					_, err = s.Recv()
				}
			}
		}
		var after *streamspb.Response
		if err == nil {
			after, err = streamspb.NewStreamsClient(t.conns[0]).Unary(ctx, &streamspb.Request{Tag: "memory"})
		}
		cancel()
		if err != nil {
			return fmt.Errorf("grpcbench: idle at %s: %w", t.name, err)
		}
		fmt.Printf("| %s | %.2f | %.1f | %.1f |\n", t.name, float64(after.Seq-before.Seq)/streams, float64(after.Received-before.Received)/streams/1024, float64(after.ReceivedBytes-before.ReceivedBytes)/streams/1024)
	}
	return nil
}

func median(rs []result, of func(result) float64) float64 {
	var all []float64
	for _, r := range rs {
		all = append(all, of(r))
	}
	return middle(all)
}

func middle(all []float64) float64 {
	all = slices.Clone(all)
	slices.SortFunc(all, cmp.Compare)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}
