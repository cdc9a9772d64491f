package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An observation is one line of what the .NET client reports.
type observation struct {
	Scenario string          `json:"scenario"`
	OK       bool            `json:"ok"`
	Observed json.RawMessage `json:"observed"`
	Error    string          `json:"error"`
}

// TestDotnet runs the scenarios of the .NET client, a real
// Microsoft.AspNetCore.SignalR.Client, over each transport, and free to choose.
// Each must pass, and what the client saw must be what it saw at the real server
// (testdata/dotnet-client).
func TestDotnet(t *testing.T) {
	run := dotnetPeers(t)
	for _, transport := range []string{"ws", "sse", "lp", "auto"} {
		t.Run(transport, func(t *testing.T) { testDotnet(t, run, transport) })
	}
}

func testDotnet(t *testing.T, run, transport string) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		want := readObservations(t, filepath.Join("testdata", "dotnet-client", transport+"-"+protocol+".jsonl"))
		var names []string
		for _, o := range want {
			names = append(names, o.Scenario)
		}
		s := startServer(t)
		got := map[string]observation{}
		exit := runDotnet(t, run, s, transport, protocol, names, got)
		// Some measure time, which a busy machine stretches, or see the client's
		// events, which it raises on tasks that overtake each other: those get
		// more chances, alone.
		var again []string
		for range 5 {
			var failed []string
			for _, w := range want {
				if g := got[w.Scenario]; timed(w.Scenario) && (!g.OK || differs(w.Scenario, g, w) != "") {
					failed = append(failed, w.Scenario)
				}
			}
			if len(failed) == 0 {
				break
			}
			t.Logf("once more, alone: %s", strings.Join(failed, ", "))
			runDotnet(t, run, s, transport, protocol, failed, got)
			again = failed
		}

		for _, w := range want {
			t.Run(w.Scenario, func(t *testing.T) {
				g, ran := got[w.Scenario]
				switch {
				case !ran:
					t.Fatal("the client did not run it")
				case !g.OK:
					t.Error(g.Error)
				}
				if d := differs(w.Scenario, g, w); d != "" {
					t.Error(d)
				}
			})
		}
		if exit != 0 && len(again) == 0 && !t.Failed() {
			t.Errorf("the client's exit status is %d", exit)
		}
	})
}

// timed reports whether what a scenario observes depends on how quick the
// machine is.
func timed(scenario string) bool {
	return strings.HasPrefix(scenario, "load.") || strings.HasPrefix(scenario, "timeout.") || scenario == "wire.cancels" || scenario == "wire.pings" || scenario == "wire.stateful" || scenario == "stream.slowly" || strings.HasPrefix(scenario, "reconnect.")
}

// runDotnet runs scenarios of the .NET client, adds what it saw to got, and
// gives its exit status.
func runDotnet(t *testing.T, run string, s *server, transport, protocol string, names []string, got map[string]observation) int {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, run, "signalr-client", "--url", s.url.String(), "--transport", transport,
		"--protocol", protocol, "--scenario", strings.Join(names, ","), "--out", out)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var log tail
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("the client ended early: %v\n%s", err, log.String())
	}
	for _, o := range readObservations(t, out) {
		got[o.Scenario] = o
	}
	return cmd.ProcessState.ExitCode()
}

// loose are messages that have no place among the others: Acks come when a clock
// ticks.
var loose = map[string]*regexp.Regexp{
	"wire.stateful": regexp.MustCompile(`^[CS] (\{"type":8,.*|9208.*)$`),
}

// chance are messages that may also be missing: the client pings when a second
// has gone, if its calls have not ended before.
var chance = map[string]*regexp.Regexp{
	"wire.calls": regexp.MustCompile(`^C (\{"type":6\}|9106)$`),
}

// differs is the difference between two observations of a scenario, but for the
// places of loose messages: these are compared in an order of their own, behind
// the others. One that is there by chance counts neither way; two do.
func differs(scenario string, got, want observation) string {
	if r := loose[scenario]; r != nil {
		got.Observed, want.Observed = apart(got.Observed, r, false), apart(want.Observed, r, false)
	}
	if r := chance[scenario]; r != nil {
		got.Observed, want.Observed = apart(got.Observed, r, true), apart(want.Observed, r, true)
	}
	return difference(got.Observed, want.Observed)
}

// apart puts the members of lists that match r behind the others. A single one is
// left out where that is chance.
func apart(observed json.RawMessage, r *regexp.Regexp, chance bool) json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(observed, &all) != nil {
		return observed
	}
	for k, v := range all {
		var list []string
		if json.Unmarshal(v, &list) != nil {
			continue
		}
		slices.SortStableFunc(list, func(a, b string) int {
			switch x, y := r.MatchString(a), r.MatchString(b); {
			case x && !y:
				return 1
			case y && !x:
				return -1
			}
			return 0
		})
		if n := len(list); chance && n > 0 && r.MatchString(list[n-1]) && (n == 1 || !r.MatchString(list[n-2])) {
			list = list[:n-1]
		}
		if b, err := json.Marshal(list); err == nil {
			all[k] = b
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		return observed
	}
	return b
}

// difference names the members of the two objects that differ.
func difference(got, want json.RawMessage) string {
	if string(got) == string(want) {
		return ""
	}
	var g, w map[string]json.RawMessage
	if json.Unmarshal(got, &g) != nil || json.Unmarshal(want, &w) != nil {
		return fmt.Sprintf("the client saw another thing\n  got  %s\n  want %s", got, want)
	}
	var text strings.Builder
	for k := range w {
		if string(g[k]) != string(w[k]) {
			fmt.Fprintf(&text, "\n%s\n  got  %s\n  want %s", k, g[k], w[k])
		}
	}
	for k := range g {
		if _, ok := w[k]; !ok {
			fmt.Fprintf(&text, "\n%s\n  got  %s\n  want nothing", k, g[k])
		}
	}
	if text.Len() == 0 {
		return fmt.Sprintf("the client saw the same in another order\n  got  %s\n  want %s", got, want)
	}
	return "the client saw another thing" + text.String()
}

func readObservations(t *testing.T, file string) []observation {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []observation
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var o observation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, o)
	}
	return all
}

// What may be elsewhere or missing may not come twice.
func TestDiffers(t *testing.T) {
	seen := func(text string) observation {
		return observation{Observed: json.RawMessage(`{"messages":` + text + `}`)}
	}
	want := seen(`["C a","C {\"type\":6}","C b"]`)
	for got, same := range map[string]bool{
		`["C a","C b","C {\"type\":6}"]`:                  true,
		`["C a","C {\"type\":6}","C b"]`:                  true,
		`["C b","C {\"type\":6}","C a"]`:                  false,
		`["C a","C b"]`:                                   true, // the client was quicker than its clock
		`["C a"]`:                                         false,
		`["C {\"type\":6}","C a","C {\"type\":6}","C b"]`: false,
	} {
		if d := differs("wire.calls", seen(got), want); (d == "") != same {
			t.Errorf("%s: %q", got, d)
		}
	}
	if differs("wire.other", seen(`["C a","C b","C {\"type\":6}"]`), want) == "" {
		t.Error("other scenarios have an order")
	}
}
