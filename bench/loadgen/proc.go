package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A procSample is what /proc says of one process.
type procSample struct {
	UserS, SysS float64 // CPU seconds so far
	RSS, Anon   int64   // bytes
}

func (s procSample) cpu() float64 { return s.UserS + s.SysS }

const clockTick = 100 // USER_HZ on every Linux port that Go supports

// sampleProc reads /proc; without a pid the sample is zero.
func sampleProc(pid int) (procSample, error) {
	var s procSample
	if pid <= 0 {
		return s, nil
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	// The command name may hold spaces: fields count from the last ')'.
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(f) < 13 {
		return s, fmt.Errorf("/proc/%d/stat: %q", pid, raw)
	}
	ut, _ := strconv.ParseFloat(f[11], 64)
	st, _ := strconv.ParseFloat(f[12], 64)
	s.UserS, s.SysS = ut/clockTick, st/clockTick
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(status)) {
		k, v, _ := strings.Cut(line, ":")
		kb := func() int64 {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return n << 10
		}
		switch k {
		case "VmRSS":
			s.RSS = kb()
		case "RssAnon":
			s.Anon = kb()
		}
	}
	return s, nil
}
