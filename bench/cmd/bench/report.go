package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is all that was measured.
type report struct {
	Machine      machine       `json:"machine"`
	Command      string        `json:"command"`
	LeftOut      []string      `json:"left_out,omitempty"`
	Measurements []measurement `json:"measurements"`
}

// A measurement is one candidate's turn in one round; round 0 is dropped.
type measurement struct {
	Scenario  string  `json:"scenario"`
	Candidate string  `json:"candidate"`
	Round     int     `json:"round"`
	Load      string  `json:"load_average"`
	Error     string  `json:"error,omitempty"`
	Against   *result `json:"against,omitempty"`
	Result    *result `json:"result,omitempty"`
}

// A result is what loadgen prints; its fields are explained there.
type result struct {
	Conns      int     `json:"conns"`
	ConnectS   float64 `json:"connect_s"`
	ConnectCPU float64 `json:"connect_server_cpu_s"`

	Seconds    float64 `json:"seconds,omitempty"`
	Deliveries int64   `json:"deliveries,omitempty"`
	PerS       float64 `json:"per_s,omitempty"`
	P50us      float64 `json:"p50_us,omitempty"`
	P99us      float64 `json:"p99_us,omitempty"`
	MaxUs      float64 `json:"max_us,omitempty"`
	CPUPerM    float64 `json:"server_cpu_s_per_million,omitempty"`
	SysShare   float64 `json:"server_sys_share,omitempty"`
	CPUCores   float64 `json:"server_cores,omitempty"`
	GenCPUPerM float64 `json:"gen_cpu_s_per_million,omitempty"`
	Allocs     float64 `json:"allocs_per_delivery"`
	HasAllocs  bool    `json:"has_allocs,omitempty"`

	RecPerRead float64 `json:"records_per_read,omitempty"`
	RecPerMsg  float64 `json:"records_per_message,omitempty"`
	MaxMessage int64   `json:"max_message,omitempty"`
	MaxJoined  int64   `json:"max_joined,omitempty"`
	Disorder   int64   `json:"out_of_order"`

	Sent        int64  `json:"sent,omitempty"`
	Lost        int64  `json:"lost"`
	Dead        int64  `json:"dead"`
	Stalled     int    `json:"stalled,omitempty"`
	StalledOpen int    `json:"stalled_open,omitempty"`
	FirstErr    string `json:"first_error,omitempty"`

	BaseRSS      int64   `json:"base_rss,omitempty"`
	RSSPerConn   float64 `json:"rss_per_conn,omitempty"`
	RSSPerConnG  float64 `json:"rss_per_conn_gc,omitempty"`
	UsedPerConn  float64 `json:"used_rss_per_conn,omitempty"`
	UsedPerConnG float64 `json:"used_rss_per_conn_gc,omitempty"`
	GCInfo       any     `json:"gc_info,omitempty"`
	UsedGCInfo   any     `json:"used_gc_info,omitempty"`
}

// gaveUp reports whether c failed in the last two rounds of s: it is not tried
// again.
func (rep *report) gaveUp(s *scenario, c *candidate) bool {
	failed := 0
	for _, m := range slices.Backward(rep.Measurements) {
		if m.Scenario != s.name || m.Candidate != c.name {
			continue
		}
		if m.Error == "" {
			return false
		}
		if failed++; failed == 2 {
			return true
		}
	}
	return false
}

// rounds are the results of a candidate in a scenario, by round.
func (rep *report) rounds(scenario, candidate string) map[int]measurement {
	out := map[int]measurement{}
	for _, m := range rep.Measurements {
		if m.Scenario == scenario && m.Candidate == candidate && m.Round > 0 && m.Error == "" && m.Result != nil {
			out[m.Round] = m
		}
	}
	return out
}

func (rep *report) save(name string) error {
	b, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}

// load adds the measurements of a saved report. Rounds of the same scenario and
// candidate in two reports are all kept.
func (rep *report) load(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var more report
	if err := json.Unmarshal(b, &more); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	last := map[string]int{}
	for _, m := range rep.Measurements {
		last[m.Scenario] = max(last[m.Scenario], m.Round)
	}
	for _, m := range more.Measurements {
		if m.Round > 0 {
			m.Round += last[m.Scenario]
		}
		rep.Measurements = append(rep.Measurements, m)
	}
	if rep.Machine.CPU == "" {
		rep.Machine = more.Machine
	}
	for _, l := range more.LeftOut {
		if !slices.Contains(rep.LeftOut, l) {
			rep.LeftOut = append(rep.LeftOut, l)
		}
	}
	return nil
}

// A machine is what the figures depend on.
type machine struct {
	When     string `json:"when"`
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Revision string `json:"revision"`
}

func describeMachine() machine {
	m := machine{When: time.Now().UTC().Format("2006-01-02 15:04 UTC"), CPUs: runtime.NumCPU(), Go: runtime.Version()}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			m.CPU = strings.TrimSpace(v)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Revision = strings.TrimSpace(string(out))
	}
	return m
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	if len(f) == 0 {
		return ""
	}
	return f[0]
}
