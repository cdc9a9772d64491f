// Bench compares hubwire with the floor and with its peers, side by side.
//
// It builds the candidates, starts each server in a process of its own on
// loopback, runs the load generator against one after the other, round by
// round in a new order, and prints Markdown tables: medians over the rounds,
// the spread beside them, and ratios that were computed within each round.
// ../../README.md says what is measured and how to read it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func init() {
	// Servers are told to die with the thread that started them (Pdeathsig):
	// the main goroutine stays on the main thread and starts them all.
	runtime.LockOSThread()
}

type options struct {
	rounds     int
	warm       time.Duration
	duration   time.Duration
	scenarios  string
	candidates string
	out        string
	from       string
	check      bool
	headroom   float64
	profile    bool
	list       bool
	seed       uint64
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "measured rounds; one more comes before them and is dropped")
	flag.DurationVar(&o.warm, "warm", time.Second, "load before each measurement")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "time of each measurement")
	flag.StringVar(&o.scenarios, "scenarios", "", "only those whose name starts so, with commas (see -list); empty: all of the full run")
	flag.StringVar(&o.candidates, "candidates", "", "only these, with commas; empty: all that can be built here")
	flag.StringVar(&o.out, "out", "out", "where the binaries and the raw results go")
	flag.StringVar(&o.from, "from", "", "measure nothing, print the tables of these raw results (with commas)")
	flag.BoolVar(&o.check, "check", false, "the short run for CI: few scenarios and candidates; fails where a ratio is out of its bounds")
	flag.Float64Var(&o.headroom, "headroom", 0, "what the targets are multiplied with before one counts as missed (0: 1, with -check 1.25)")
	flag.BoolVar(&o.profile, "profile", false, "keep a CPU profile of every Go server in each scenario, of the first round (it costs a little)")
	flag.BoolVar(&o.list, "list", false, "list the scenarios and candidates")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "for the order of the candidates")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if o.list {
		list()
		return nil
	}
	if o.check {
		o.applyCheck()
	}
	if o.headroom == 0 {
		o.headroom = 1
	}
	rep := &report{}
	var failed error
	if o.from != "" {
		for _, name := range strings.Split(o.from, ",") {
			if err := rep.load(name); err != nil {
				return err
			}
		}
	} else if failed = measure(ctx, o, rep); len(rep.Measurements) == 0 {
		return failed
	}
	rep.print(os.Stdout, o.headroom) // what there is, where the run was interrupted
	return errors.Join(failed, rep.verdict(o))
}

// measure builds, runs and saves.
func measure(ctx context.Context, o *options, rep *report) error {
	scenarios, err := pickScenarios(o.scenarios)
	if err != nil {
		return err
	}
	b := &builder{dir: ".", bin: filepath.Join(o.out, "bin")}
	if _, err := os.Stat("loadgen/main.go"); err != nil {
		return errors.New("run it in the folder bench (or use ./run)")
	}
	if err := b.build(ctx, "loadgen", "./loadgen"); err != nil {
		return err
	}
	cands, left, err := pickCandidates(ctx, b, o.candidates)
	if err != nil {
		return err
	}
	rep.Machine = describeMachine()
	rep.LeftOut = left
	rep.Command = strings.Join(os.Args[1:], " ")
	for _, l := range left {
		fmt.Fprintln(os.Stderr, "left out:", l)
	}
	r := &runner{o: o, b: b, rep: rep, rng: rand.New(rand.NewPCG(o.seed, 0))}
	name := filepath.Join(o.out, time.Now().Format("20060102-150405")+".json")
	for _, s := range scenarios {
		err := r.scenario(ctx, s, cands)
		if serr := rep.save(name); serr != nil {
			return serr
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "raw results:", name)
	return nil
}

func list() {
	fmt.Println("scenarios:")
	for _, s := range allScenarios {
		note := ""
		if !s.full {
			note = " (only where it is named, and by -check)"
		}
		fmt.Printf("  %-18s %s%s\n", s.name, s.title, note)
	}
	fmt.Println("candidates:")
	for _, c := range allCandidates {
		fmt.Printf("  %-18s %s\n", c.name, c.about)
	}
}
