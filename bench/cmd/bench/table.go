package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A column of a table.
type column struct {
	head string
	f    metric
	// ratio divides by the scenario's reference; inverse divides hubwire by the
	// row. Both are computed in each round.
	ratio, inverse bool
	exact          bool // whole numbers, as they are
}

func (s *scenario) columns() []column {
	switch s.kind {
	case memory:
		return []column{
			{head: "fresh, B", f: scaled(fresh, 1)},
			{head: "fresh, after GC, B", f: scaled(freshGC, 1)},
			{head: "used, B", f: scaled(used, 1)},
			{head: "used, after GC, B", f: scaled(usedGC, 1)},
			{head: "hubwire to it, fresh", f: scaled(fresh, 1), inverse: true},
			{head: "process without connections, MB", f: scaled(baseRSS, 1e-6)},
		}
	case connect:
		return []column{
			{head: "server CPU, us", f: scaled(perConnect, 1e6)},
			{head: "to " + s.ref, f: scaled(perConnect, 1), ratio: true},
			{head: "hubwire to it", f: scaled(perConnect, 1), inverse: true},
		}
	case stalled:
		return []column{
			{head: "p50 without, ms", f: against(p50, 1e-3)},
			{head: "p50 with, ms", f: scaled(p50, 1e-3)},
			{head: "ratio", f: slower(p50)},
			{head: "p99 without, ms", f: against(p99, 1e-3)},
			{head: "p99 with, ms", f: scaled(p99, 1e-3)},
			{head: "ratio", f: slower(p99)},
			{head: "lost or out of order", f: lost, exact: true},
			{head: "stalled still open", f: stalledOpen},
		}
	case latency:
		return []column{
			{head: "p50, us", f: scaled(p50, 1)},
			{head: "to " + s.ref, f: scaled(p50, 1), ratio: true},
			{head: "p99, us", f: scaled(p99, 1)},
		}
	case gather:
		return []column{
			{head: "records a message", f: scaled(recPerMsg, 1)},
			{head: "largest message, B", f: largest, exact: true},
			{head: "largest of several records, B", f: joined, exact: true},
			{head: "out of order", f: disorder, exact: true},
			{head: "CPU s/M", f: scaled(cpuPerM, 1)},
			{head: "to " + s.ref, f: scaled(cpuPerM, 1), ratio: true},
		}
	}
	return []column{
		{head: "CPU s/M", f: scaled(cpuPerM, 1)},
		{head: "to " + s.ref, f: scaled(cpuPerM, 1), ratio: true},
		{head: "hubwire to it", f: scaled(cpuPerM, 1), inverse: true},
		{head: "per second", f: scaled(perS, 1)},
		{head: "p50, ms", f: scaled(p50, 1e-3)},
		{head: "p99, ms", f: scaled(p99, 1e-3)},
		{head: "records a message", f: scaled(recPerMsg, 1)},
		{head: "allocs", f: allocs},
	}
}

// print writes all tables, the targets last.
func (rep *report) print(w io.Writer, headroom float64) {
	m := rep.Machine
	fmt.Fprintf(w, "%s; %s, %d processors, Linux %s, %s; revision %s\n", m.When, m.CPU, m.CPUs, m.Kernel, m.Go, m.Revision)
	for _, l := range rep.LeftOut {
		fmt.Fprintf(w, "\nLeft out: %s\n", l)
	}
	for _, s := range allScenarios {
		rep.table(w, s)
	}
	rep.printTargets(w, headroom)
}

func (rep *report) table(w io.Writer, s *scenario) {
	var rows []*candidate
	for _, c := range allCandidates {
		if slices.ContainsFunc(rep.Measurements, func(m measurement) bool { return m.Scenario == s.name && m.Candidate == c.name }) {
			rows = append(rows, c)
		}
	}
	if len(rows) == 0 {
		return
	}
	cols := s.columns()
	fmt.Fprintf(w, "\n### %s (`%s`)\n\n| |", s.title, s.name)
	for _, c := range cols {
		fmt.Fprintf(w, " %s |", c.head)
	}
	fmt.Fprintf(w, "\n|%s\n", strings.Repeat(" --- |", len(cols)+1))
	var notes []string
	for _, c := range rows {
		fmt.Fprintf(w, "| %s |", c.name)
		for _, col := range cols {
			d := dist{}
			switch {
			case col.ratio:
				d = rep.ratios(s.name, c.name, s.ref, col.f)
			case col.inverse:
				d = rep.ratios(s.name, "hubwire", c.name, col.f)
			default:
				d = rep.values(s.name, c.name, col.f)
			}
			fmt.Fprintf(w, " %s |", d.text(col.exact))
		}
		fmt.Fprintln(w)
		notes = append(notes, rep.notes(s, c)...)
	}
	for _, n := range notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
}

// notes tell what went wrong with a row.
func (rep *report) notes(s *scenario, c *candidate) (out []string) {
	var bad *measurement
	failures, dead, missing, disordered := 0, int64(0), int64(0), int64(0)
	for i, m := range rep.Measurements {
		if m.Scenario != s.name || m.Candidate != c.name || m.Round == 0 {
			continue
		}
		if m.Error != "" {
			failures++
			bad = &rep.Measurements[i]
			continue
		}
		dead += m.Result.Dead
		missing += m.Result.Lost
		disordered += m.Result.Disorder
	}
	if failures > 0 {
		out = append(out, fmt.Sprintf("%s failed in %d rounds: %s", c.name, failures, bad.Error))
	}
	if dead != 0 || missing != 0 || disordered != 0 {
		out = append(out, fmt.Sprintf("%s, over all rounds: %d records lost, %d out of order, %d connections ended by the server.", c.name, missing, disordered, dead))
	}
	return out
}
