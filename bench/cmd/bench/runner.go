package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A runner runs scenarios and keeps the results in a report.
type runner struct {
	o   *options
	b   *builder
	rep *report
	rng *rand.Rand
}

// scenario runs all rounds of one scenario. The servers run side by side for
// all of it, idle but for their turn, unless the scenario wants fresh ones.
func (r *runner) scenario(ctx context.Context, s *scenario, cands []*candidate) error {
	cands, rounds := r.o.plan(s, cands)
	if len(cands) == 0 {
		return nil
	}
	procs := map[*server]*process{}
	defer func() {
		for _, p := range procs {
			p.stop()
		}
	}()
	if !s.fresh {
		for _, c := range cands {
			if procs[c.server] != nil {
				continue
			}
			p, err := r.b.start(ctx, c.server)
			if err != nil {
				return err
			}
			procs[c.server] = p
		}
	}
	first := 0 // the round that warms the servers up, and is dropped
	if s.fresh {
		first = 1
	}
	for round := first; round <= rounds; round++ {
		order := slices.Clone(cands)
		r.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		fmt.Fprintf(os.Stderr, "%s  %s round %d:", time.Now().Format("15:04:05"), s.name, round)
		for _, c := range order {
			if r.rep.gaveUp(s, c) {
				continue
			}
			fmt.Fprint(os.Stderr, " ", c.name)
			if err := r.turn(ctx, s, c, round, procs[c.server]); err != nil {
				fmt.Fprintln(os.Stderr)
				return err
			}
		}
		fmt.Fprintln(os.Stderr)
	}
	return nil
}

// turn is one candidate's turn in a round.
func (r *runner) turn(ctx context.Context, s *scenario, c *candidate, round int, p *process) error {
	if p == nil {
		var err error
		if p, err = r.b.start(ctx, c.server); err != nil {
			return err
		}
		defer p.stop()
		// Code that is paged in and compiled with the first connections is not
		// theirs.
		if _, err := r.loadgen(ctx, c, p, words("-scenario echo -conns 50 -settle 0s -warm 0s -duration", r.warm(c).String())); err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, c.name, err)
		}
	}
	warm, duration := r.o.warm, r.o.duration
	if round == 0 {
		warm, duration = warm+c.server.warm, warm
	}
	times := words("-warm", warm.String(), "-duration", duration.String())
	m := measurement{Scenario: s.name, Candidate: c.name, Round: round, Load: loadAverage()}
	if s.against != nil {
		res, err := r.loadgen(ctx, c, p, slices.Concat(times, s.against))
		m.keep(&m.Against, res, err)
	}
	if m.Error == "" {
		if r.o.profile && round == 1 && p.ctl != "" && s.kind == load {
			stop := r.cpuProfile(ctx, s, c, p, warm, duration)
			defer stop()
		}
		res, err := r.loadgen(ctx, c, p, slices.Concat(times, s.args)) // the scenario's own times win
		m.keep(&m.Result, res, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.rep.Measurements = append(r.rep.Measurements, m)
	if m.Error != "" {
		fmt.Fprintf(os.Stderr, " (%s)", m.Error)
	}
	return nil
}

func (m *measurement) keep(to **result, res *result, err error) {
	*to = res
	if err != nil {
		m.Error = err.Error()
	}
}

func (r *runner) warm(c *candidate) time.Duration { return time.Second + c.server.warm }

// loadgen runs the load generator against p.
func (r *runner) loadgen(ctx context.Context, c *candidate, p *process, args []string) (*result, error) {
	args = slices.Concat(words("-proto", c.proto, "-url", "ws://"+p.addr+c.path, "-pid", p.cmd.Process.Pid), args)
	if p.ctl != "" {
		args = append(args, "-gc-url", "http://"+p.ctl+"/gc", "-stats-url", "http://"+p.ctl+"/stats")
	}
	if !c.signal {
		args = slices.DeleteFunc(args, func(a string) bool { return a == "-negotiate" })
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.b.path("loadgen"), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	err := cmd.Run()
	var res *result
	if out.Len() > 0 {
		res = &result{}
		if jerr := json.Unmarshal(out.Bytes(), res); jerr != nil && err == nil {
			err = jerr
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(bad.String()))
		select {
		case <-p.ended:
			err = fmt.Errorf("%w; the server ended: %s", err, p.output)
		default:
		}
		return res, err
	}
	return res, nil
}

// cpuProfile fetches a profile of the measured time. stop waits for it.
func (r *runner) cpuProfile(ctx context.Context, s *scenario, c *candidate, p *process, warm, duration time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() { // ends with the profile
		defer close(done)
		select {
		case <-time.After(warm):
		case <-ctx.Done():
			return
		}
		name := filepath.Join(r.o.out, strings.ReplaceAll(s.name, "/", "-")+"-"+c.name+".pprof")
		if err := fetch(ctx, "http://"+p.ctl+"/debug/pprof/profile?seconds="+strconv.Itoa(max(1, int(duration.Seconds()))), name); err != nil {
			fmt.Fprintf(os.Stderr, " (profile: %v)", err)
		}
	}()
	return func() { <-done }
}

func fetch(ctx context.Context, url, name string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
