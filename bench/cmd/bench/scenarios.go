package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A kind says what of a scenario's results is shown.
type kind uint8

const (
	load    kind = iota // CPU for a million deliveries
	memory              // bytes for each connection
	connect             // CPU for each connection made
	stalled             // latency with clients that do not read, against without
	latency             // of an idle server
	gather              // sizes and order of what is gathered
)

// A scenario is one load, for every candidate.
type scenario struct {
	name  string
	title string
	kind  kind
	args  []string // of loadgen
	// against is a second load, measured right before args: the same without
	// what the scenario is about.
	against []string
	ref     string // the candidate that the others are divided by
	fresh   bool   // a new process for each measurement
	full    bool   // part of the full run
	only    []string

	// What -check runs: so many rounds (0: none) of these candidates.
	checkRounds int
	checkOnly   []string
}

// allScenarios are the tables, in order.
var allScenarios = inCheck(makeScenarios())

func makeScenarios() (all []*scenario) {
	for _, conns := range []int{1000, 5000} {
		for _, window := range []int{1, 4, 16, 64} {
			all = append(all, &scenario{
				name:  fmt.Sprintf("broadcast/%d/%d", conns, window),
				title: fmt.Sprintf("Broadcast of 100 bytes to %s connections, %d under way", thousands(conns), window),
				args:  words("-scenario broadcast -size 100 -settle 0s -drain 20s -conns", conns, "-window", window),
				ref:   "floor", full: true,
			})
		}
	}
	for _, inflight := range []int{1, 8} {
		all = append(all, &scenario{
			name:  fmt.Sprintf("echo/100/%d", inflight),
			title: fmt.Sprintf("Echo of 64 bytes, 100 connections, %d in flight on each", inflight),
			args:  words("-scenario echo -size 64 -conns 100 -settle 0s -inflight", inflight),
			ref:   "barews", full: true,
		})
	}
	all = append(all, &scenario{
		name:  "echo/5000/1",
		title: "Echo of 64 bytes, 5,000 connections, 1 in flight on each",
		args:  words("-scenario echo -size 64 -conns 5000 -settle 0s -inflight 1"),
		ref:   "barews", full: true,
	})
	for _, conns := range []int{5000, 15000} {
		all = append(all, &scenario{
			name:  fmt.Sprintf("memory/%d", conns),
			title: fmt.Sprintf("Memory of a connection, %s connected", thousands(conns)),
			kind:  memory,
			// Without keep-alives of the client: one message makes a used connection.
			args: words("-scenario echo -size 64 -ping 0s -settle 2s -warm 500ms -hold 2s -drain 5s -conns", conns),
			ref:  "hubwire", fresh: true, full: conns == 15000,
		})
	}
	all = append(all, &scenario{
		name: "connect/3000", kind: connect, fresh: true, full: true, ref: "barews",
		title: "Server CPU to make one of 3,000 connections (SignalR: negotiate on a connection of its own, upgrade, handshake)",
		args:  words("-scenario idle -settle 0s -conns 3000 -negotiate"),
	}, &scenario{
		name: "stalled/100", kind: stalled, full: true, ref: "hubwire",
		title: "300 broadcasts a second of 2,000 bytes to 100 connections, 5 more do not read",
		// Long enough for the kernel's buffers and the queues to fill, and for
		// the server to do what it does then.
		args:    words("-scenario broadcast -rate 300 -size 2000 -conns 100 -stalled 5 -settle 0s -warm 500ms -duration 4s"),
		against: words("-scenario broadcast -rate 300 -size 2000 -conns 100 -settle 0s -warm 500ms -duration 4s"),
		only:    []string{"hubwire", "hubwire-msgpack", "aspnet", "aspnet-msgpack", "centrifuge", "philippseith", "gorilla", "socketio"},
	}, &scenario{
		name: "latency/broadcast", kind: latency, full: true, ref: "floor",
		title: "Latency of an idle server: broadcast to the only connection, one after the other",
		args:  words("-scenario broadcast -size 100 -conns 1 -settle 0s"),
	}, &scenario{
		name: "latency/echo", kind: latency, full: true, ref: "barews",
		title: "Latency of an idle server: echo on the only connection, one after the other",
		args:  words("-scenario echo -size 64 -conns 1 -settle 0s"),
	}, &scenario{
		name: "gather/200/64", kind: gather, full: true, ref: "floor",
		title: "Gathering: 64 broadcasts of 3,000 bytes under way to 200 connections",
		args:  words("-scenario broadcast -size 3000 -conns 200 -window 64 -settle 0s -drain 20s"),
	})
	return all
}

// inCheck marks scenarios for -check: those that decide a target, with no more
// candidates than the target needs. Memory and sizes do not vary: one round.
func inCheck(all []*scenario) []*scenario {
	for _, c := range []struct {
		names, only string
		rounds      int
	}{
		{"broadcast/1000/1 broadcast/1000/16 broadcast/1000/64 broadcast/5000/1 latency/broadcast", "floor hubwire", 3},
		{"echo/100/1 echo/100/8", "barews hubwire aspnet", 3},
		{"memory/5000", "hubwire", 1},
		{"stalled/100", "hubwire", 3},
		{"gather/200/64", "hubwire hubwire-msgpack", 1},
	} {
		for _, s := range all {
			if slices.Contains(strings.Fields(c.names), s.name) {
				s.checkRounds, s.checkOnly = c.rounds, strings.Fields(c.only)
			}
		}
	}
	return all
}

// applyCheck sets what -check means, where the command line does not say
// otherwise.
func (o *options) applyCheck() {
	if o.scenarios == "" {
		var names []string
		for _, s := range allScenarios {
			if s.checkRounds > 0 {
				names = append(names, s.name)
			}
		}
		o.scenarios = strings.Join(names, ",")
	}
	if o.candidates == "" {
		o.candidates = "floor,barews,hubwire,hubwire-msgpack,aspnet"
	}
	if o.headroom == 0 {
		o.headroom = 1.25
	}
}

// plan is who takes part in a scenario, and for how many rounds.
func (o *options) plan(s *scenario, cands []*candidate) ([]*candidate, int) {
	only, rounds := s.only, o.rounds
	if o.check && s.checkRounds > 0 {
		only, rounds = s.checkOnly, s.checkRounds
	}
	if only == nil {
		return cands, rounds
	}
	return slices.DeleteFunc(slices.Clone(cands), func(c *candidate) bool { return !slices.Contains(only, c.name) }), rounds
}

// words makes arguments of words and numbers.
func words(parts ...any) (out []string) {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			out = append(out, strings.Fields(p)...)
		case int:
			out = append(out, strconv.Itoa(p))
		}
	}
	return out
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// pickScenarios are those whose names start with one of the prefixes, or the
// full run.
func pickScenarios(prefixes string) (out []*scenario, err error) {
	want := split(prefixes)
	for _, p := range want {
		if !slices.ContainsFunc(allScenarios, func(s *scenario) bool { return s.matches(p) }) {
			return nil, fmt.Errorf("no scenario %q", p)
		}
	}
	for _, s := range allScenarios {
		if len(want) == 0 && s.full || slices.ContainsFunc(want, s.matches) {
			out = append(out, s)
		}
	}
	return out, nil
}

// matches reports whether the name begins with the parts of prefix:
// "broadcast/1000/1" is not "broadcast/1000/16".
func (s *scenario) matches(prefix string) bool {
	return s.name == prefix || strings.HasPrefix(s.name, strings.TrimSuffix(prefix, "/")+"/")
}

func findScenario(name string) *scenario {
	for _, s := range allScenarios {
		if s.name == name {
			return s
		}
	}
	return nil
}
