package main

import (
	"fmt"
	"math"
	"slices"
)

// A dist is the median and the spread over the rounds.
type dist struct {
	med, min, max float64
	n             int
}

func distOf(xs []float64) dist {
	if len(xs) == 0 {
		return dist{}
	}
	xs = slices.Clone(xs)
	slices.Sort(xs)
	n := len(xs)
	return dist{(xs[(n-1)/2] + xs[n/2]) / 2, xs[0], xs[n-1], n}
}

// A metric is one figure of a measurement; ok is false where it has none.
type metric func(m measurement) (x float64, ok bool)

// values are a metric's values over the rounds.
func (rep *report) values(scenario, candidate string, f metric) dist {
	var xs []float64
	for _, m := range rep.rounds(scenario, candidate) {
		if x, ok := f(m); ok {
			xs = append(xs, x)
		}
	}
	return distOf(xs)
}

// ratios are a metric of a divided by the same of b, round by round: what the
// rest of the machine did meanwhile falls on both.
func (rep *report) ratios(scenario, a, b string, f metric) dist {
	var xs []float64
	of := rep.rounds(scenario, b)
	for round, m := range rep.rounds(scenario, a) {
		n, ok := of[round]
		if !ok {
			continue
		}
		x, ok1 := f(m)
		y, ok2 := f(n)
		if ok1 && ok2 && y != 0 {
			xs = append(xs, x/y)
		}
	}
	return distOf(xs)
}

// text is "median (min-max)", with three digits that mean something, or with
// all of them.
func (d dist) text(exact bool) string {
	f := short
	if exact {
		f = func(x float64) string { return thousands(int(math.Round(x))) }
	}
	switch {
	case d.n == 0:
		return "–"
	case d.n == 1 || d.min == d.max:
		return f(d.med)
	}
	return fmt.Sprintf("%s (%s–%s)", f(d.med), f(d.min), f(d.max))
}

func short(x float64) string {
	switch a := math.Abs(x); {
	case a == 0:
		return "0"
	case a >= 9.995e5:
		return fmt.Sprintf("%.2f M", x/1e6)
	case a >= 99.95e3:
		return fmt.Sprintf("%.0f k", x/1e3)
	case a >= 9995:
		return fmt.Sprintf("%.1f k", x/1e3)
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 0.3:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// scaled is a metric multiplied by k.
func scaled(f func(r *result) float64, k float64) metric {
	return func(m measurement) (float64, bool) {
		x := f(m.Result)
		return x * k, x != 0
	}
}

func cpuPerM(r *result) float64   { return r.CPUPerM }
func perS(r *result) float64      { return r.PerS }
func p50(r *result) float64       { return r.P50us }
func p99(r *result) float64       { return r.P99us }
func recPerMsg(r *result) float64 { return r.RecPerMsg }
func fresh(r *result) float64     { return r.RSSPerConn }
func freshGC(r *result) float64   { return r.RSSPerConnG }
func used(r *result) float64      { return r.UsedPerConn }
func usedGC(r *result) float64    { return r.UsedPerConnG }
func baseRSS(r *result) float64   { return float64(r.BaseRSS) }
func perConnect(r *result) float64 {
	return r.ConnectCPU / float64(r.Conns)
}

func allocs(m measurement) (float64, bool) { return m.Result.Allocs, m.Result.HasAllocs }
func joined(m measurement) (float64, bool) { return float64(m.Result.MaxJoined), true }
func largest(m measurement) (float64, bool) {
	return float64(m.Result.MaxMessage), true
}

// lost counts what is not as it should be: records that did not come, came
// twice or out of order, and connections that the server ended.
func lost(m measurement) (float64, bool) {
	r := m.Result
	return math.Abs(float64(r.Lost)) + float64(r.Dead) + float64(r.Disorder), true
}

func disorder(m measurement) (float64, bool) { return float64(m.Result.Disorder), true }

func stalledOpen(m measurement) (float64, bool) { return float64(m.Result.StalledOpen), true }

// slower is a latency with stalled clients over the same without, in one round.
func slower(f func(r *result) float64) metric {
	return func(m measurement) (float64, bool) {
		if m.Against == nil || f(m.Against) == 0 {
			return 0, false
		}
		return f(m.Result) / f(m.Against), true
	}
}

func against(f func(r *result) float64, k float64) metric {
	return func(m measurement) (float64, bool) {
		if m.Against == nil {
			return 0, false
		}
		return f(m.Against) * k, true
	}
}
