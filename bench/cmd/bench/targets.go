package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A target is a bound that hubwire must keep: a figure of its own, or its ratio
// to another candidate in the same round. Ratios hold on other machines too.
type target struct {
	scenario string
	what     string
	row      string // hubwire or hubwire-msgpack
	to       string // the candidate it is divided by; empty: the figure itself
	f        metric
	max      float64
	exact    bool // a promise, not a speed: no headroom, and whole numbers
	absolute bool // a time of this machine: shown, but never the cause of a failure
}

var targets = makeTargets()

func makeTargets() []target {
	cpu := scaled(cpuPerM, 1)
	ts := []target{
		{scenario: "broadcast/1000/1", to: "floor", f: cpu, max: 1.15},
		{scenario: "broadcast/5000/1", to: "floor", f: cpu, max: 1.20},
		{scenario: "broadcast/1000/16", to: "floor", f: cpu, max: 0.16},
		{scenario: "broadcast/1000/64", to: "floor", f: cpu, max: 0.08},
	}
	for i := range ts {
		ts[i].what = "CPU"
	}
	for _, inflight := range []string{"1", "8"} {
		aspnet := 0.45
		if inflight == "8" {
			aspnet = 0.6
		}
		for _, x := range []target{{to: "barews", max: 1.15}, {to: "aspnet", max: aspnet}, {to: "centrifuge", max: 0.7}, {to: "philippseith", max: 0.2}} {
			x.scenario, x.what, x.f = "echo/100/"+inflight, "CPU", cpu
			ts = append(ts, x)
		}
	}
	for _, n := range []string{"5000", "15000"} {
		ts = append(ts,
			target{scenario: "memory/" + n, what: "bytes, idle, after GC", f: scaled(freshGC, 1), max: 5 << 10},
			target{scenario: "memory/" + n, what: "bytes, used, after GC", f: scaled(usedGC, 1), max: 7 << 10},
			target{scenario: "memory/" + n, what: "bytes, idle, fresh", to: "aspnet", f: scaled(fresh, 1), max: 0.25})
	}
	ts = append(ts,
		target{scenario: "broadcast/1000/1", what: "allocations a delivery", f: allocs, max: 0.05},
		target{scenario: "echo/100/1", what: "allocations an echo", f: allocs, max: 6},
		target{scenario: "stalled/100", what: "lost or out of order", f: lost, exact: true},
		target{scenario: "stalled/100", what: "p50 with stalled clients to without", f: slower(p50), max: 1.5},
		target{scenario: "stalled/100", what: "p99 with stalled clients to without", f: slower(p99), max: 3},
		target{scenario: "connect/3000", what: "us of CPU a connection, negotiate included", f: scaled(perConnect, 1e6), max: 300, absolute: true},
		target{scenario: "latency/broadcast", what: "p50 of an idle hub (a timer of 1 ms would be 40)", to: "floor", f: scaled(p50, 1), max: 5},
		target{scenario: "latency/echo", what: "p50 of an idle hub", to: "barews", f: scaled(p50, 1), max: 3})
	for _, row := range []string{"hubwire", "hubwire-msgpack"} {
		ts = append(ts,
			target{scenario: "gather/200/64", row: row, what: "bytes of the largest message of several records", f: joined, max: 64 << 10, exact: true},
			target{scenario: "gather/200/64", row: row, what: "lost or out of order", f: lost, exact: true})
	}
	for i := range ts {
		if ts[i].row == "" {
			ts[i].row = "hubwire"
		}
	}
	return ts
}

// outcome is what was measured for a target. met is by the median, or, for a
// promise, by the worst round.
func (rep *report) outcome(t target, headroom float64) (d dist, met bool) {
	if t.to != "" {
		d = rep.ratios(t.scenario, t.row, t.to, t.f)
	} else {
		d = rep.values(t.scenario, t.row, t.f)
	}
	if t.exact {
		return d, d.max <= t.max
	}
	return d, d.med <= t.max*headroom
}

// bound is max as it is printed.
func (t target) bound() string {
	if t.exact || t.max >= 1000 {
		return thousands(int(t.max))
	}
	return strconv.FormatFloat(t.max, 'f', -1, 64)
}

func (rep *report) printTargets(w io.Writer, headroom float64) {
	head := "\n### Targets\n\n| scenario | what | must reach | median (spread) | |\n| --- | --- | --- | --- | --- |\n"
	for _, t := range targets {
		d, met := rep.outcome(t, headroom)
		if d.n == 0 {
			continue
		}
		what, mark := t.what, "yes"
		if t.row != "hubwire" {
			what += ", " + strings.TrimPrefix(t.row, "hubwire-")
		}
		if t.to != "" {
			what += ", to " + t.to
		}
		if !met {
			mark = "**no**"
		}
		fmt.Fprintf(w, "%s| `%s` | %s | ≤ %s | %s | %s |\n", head, t.scenario, what, t.bound(), d.text(t.exact), mark)
		head = ""
	}
	if head == "" && headroom != 1 {
		fmt.Fprintf(w, "\nMissed is what is above %s times its target; promises (sizes, order, loss) have no headroom.\n", short(headroom))
	}
}

// verdict is an error where the run was to fail: a candidate of ours that did
// not work and, with -check, a target that was missed.
func (rep *report) verdict(o *options) error {
	var bad []string
	for _, m := range rep.Measurements {
		if m.Round == 0 {
			continue
		}
		switch m.Candidate {
		case "floor", "barews", "hubwire", "hubwire-msgpack":
			if m.Error != "" {
				bad = append(bad, fmt.Sprintf("%s: %s: %s", m.Scenario, m.Candidate, m.Error))
			} else if x, _ := lost(m); x != 0 {
				bad = append(bad, fmt.Sprintf("%s: %s: %d lost, %d out of order, %d ended by the server %s",
					m.Scenario, m.Candidate, m.Result.Lost, m.Result.Disorder, m.Result.Dead, m.Result.FirstErr))
			}
		}
	}
	if o.check {
		for _, t := range targets {
			if d, met := rep.outcome(t, o.headroom); d.n > 0 && !met && !t.absolute {
				bad = append(bad, fmt.Sprintf("%s: %s: %s %s: %s, must be at most %s", t.scenario, t.row, t.what, t.to, d.text(t.exact), t.bound()))
			}
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d things are wrong:\n  %s", len(bad), strings.Join(bad, "\n  "))
	}
	return nil
}
