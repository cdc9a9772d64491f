package main

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestDist(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want dist
	}{
		{nil, dist{}},
		{[]float64{2}, dist{2, 2, 2, 1}},
		{[]float64{3, 1, 2}, dist{2, 1, 3, 3}},
		{[]float64{4, 1, 2, 3}, dist{2.5, 1, 4, 4}},
	} {
		if got := distOf(c.in); got != c.want {
			t.Errorf("distOf(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

// sample is a report of three rounds in which the machine gets slower and
// slower, after one that must not count.
func sample() *report {
	rep := &report{}
	for round, k := range []float64{100, 1, 2, 4} {
		rep.Measurements = append(rep.Measurements,
			measurement{Scenario: "broadcast/1000/16", Candidate: "floor", Round: round, Result: &result{CPUPerM: 5 * k}},
			measurement{Scenario: "broadcast/1000/16", Candidate: "hubwire", Round: round, Result: &result{CPUPerM: 0.75 * k, PerS: 1000}})
	}
	rep.Measurements = append(rep.Measurements, measurement{Scenario: "broadcast/1000/16", Candidate: "hubwire", Round: 4, Error: "it broke"})
	return rep
}

func TestRatiosAreOfOneRound(t *testing.T) {
	d := sample().ratios("broadcast/1000/16", "hubwire", "floor", scaled(cpuPerM, 1))
	if d.n != 3 || math.Abs(d.min-0.15) > 1e-9 || math.Abs(d.max-0.15) > 1e-9 {
		t.Errorf("ratios are %+v, want 0.15 three times", d)
	}
	if d := sample().values("broadcast/1000/16", "hubwire", scaled(cpuPerM, 1)); d != (dist{1.5, 0.75, 3, 3}) {
		t.Errorf("values are %+v", d)
	}
}

func TestTableAndTargets(t *testing.T) {
	var b bytes.Buffer
	sample().print(&b, 1)
	for _, want := range []string{
		"| hubwire | 1.50 (0.75–3.00) | 0.150 | 1.00 | 1000 |",
		"| `broadcast/1000/16` | CPU, to floor | ≤ 0.16 | 0.150 | yes |",
		"hubwire failed in 1 rounds: it broke",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestVerdict(t *testing.T) {
	ok := &report{Measurements: sample().Measurements[:8]}
	slow := &report{}
	for _, m := range ok.Measurements {
		r := *m.Result
		if m.Candidate == "hubwire" {
			r.CPUPerM *= 1.2
		}
		m.Result = &r
		slow.Measurements = append(slow.Measurements, m)
	}
	lossy := &report{Measurements: []measurement{{Scenario: "echo/100/1", Candidate: "hubwire", Round: 1, Result: &result{Lost: 1}}}}
	for _, c := range []struct {
		name string
		rep  *report
		o    options
		want string
	}{
		{"good", ok, options{check: true, headroom: 1}, ""},
		{"an error of ours", sample(), options{headroom: 1}, "it broke"},
		{"too slow", slow, options{check: true, headroom: 1}, "must be at most 0.16"},
		{"too slow, within the headroom", slow, options{check: true, headroom: 1.25}, ""},
		{"too slow, not checked", slow, options{headroom: 1}, ""},
		{"lost", lossy, options{headroom: 1}, "1 lost"},
	} {
		err := c.rep.verdict(&c.o)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestPickScenarios(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"broadcast/1000/1", "broadcast/1000/1"},
		{"echo/100", "echo/100/1 echo/100/8"},
		{"memory/5000,gather", "memory/5000 gather/200/64"},
		{"nothing", ""},
	} {
		got, err := pickScenarios(c.in)
		var names []string
		for _, s := range got {
			names = append(names, s.name)
		}
		if strings.Join(names, " ") != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q: %v, %v", c.in, names, err)
		}
	}
	o := &options{check: true}
	o.applyCheck()
	got, err := pickScenarios(o.scenarios)
	if err != nil || len(got) != 10 {
		t.Errorf("-check runs %d scenarios, %v", len(got), err)
	}
	for _, x := range targets {
		if findScenario(x.scenario) == nil {
			t.Errorf("a target is of scenario %q, which is not there", x.scenario)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.json")
	if err := sample().save(name); err != nil {
		t.Fatal(err)
	}
	rep := &report{}
	for range 2 {
		if err := rep.load(name); err != nil {
			t.Fatal(err)
		}
	}
	if d := rep.values("broadcast/1000/16", "floor", scaled(cpuPerM, 1)); d.n != 6 {
		t.Errorf("two reports of three rounds have %d", d.n)
	}
}
