package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"
)

// run connects, reads the memory, makes the load and reads it again.
func run(cfg *config) (*result, error) {
	switch cfg.Scenario {
	case "echo", "broadcast", "idle":
	default:
		return nil, fmt.Errorf("no scenario %q", cfg.Scenario)
	}
	p, err := newProto(cfg)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "ws" {
		return nil, fmt.Errorf("bad URL %q (only ws:)", cfg.URL)
	}
	addr, err := net.ResolveTCPAddr("tcp4", u.Host)
	if err != nil {
		return nil, err
	}
	if !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is not on loopback", u.Host)
	}
	raiseFiles()
	r := &result{Tag: cfg.Tag, Proto: cfg.Proto, Scenario: cfg.Scenario, Conns: cfg.Conns}
	if cfg.GCURL != "" {
		askURL(cfg.GCURL)
	}
	base, err := sampleProc(cfg.PID)
	if err != nil {
		return nil, err
	}
	w, err := newWorker(cfg, p)
	if err != nil {
		return nil, err
	}

	t0 := time.Now()
	conns, err := connectAll(cfg, p, u, addr)
	defer closeAll(conns)
	if err != nil {
		return nil, err
	}
	r.ConnectS = time.Since(t0).Seconds()
	if s, err := sampleProc(cfg.PID); err == nil {
		r.ConnectCPU = s.cpu() - base.cpu()
	}
	stalled := *cfg
	stalled.Conns, stalled.RcvBuf = cfg.Stalled, cfg.StalledRcvBuf
	slow, err := connectAll(&stalled, p, u, addr)
	defer closeAll(slow)
	if err != nil {
		return nil, fmt.Errorf("stalled %w", err)
	}
	for _, c := range conns {
		if err := w.add(c); err != nil {
			return nil, err
		}
	}
	if cfg.Settle > 0 {
		if err := w.measureIdle(r, base); err != nil {
			return nil, err
		}
	}
	if cfg.Scenario != "idle" {
		err = w.measureLoad(r, base)
	}
	r.Stalled = len(slow)
	for _, c := range slow {
		if established(c.fd) {
			r.StalledOpen++
		}
	}
	r.Dead = w.dead.Load()
	if e := w.first.Load(); e != nil {
		r.FirstErr = (*e).Error()
	}
	r.RSS = mustSample(cfg.PID).RSS
	return r, err
}

// measureIdle reads the memory before any load, with the loop running (it
// answers pings).
func (w *worker) measureIdle(r *result, base procSample) error {
	stop := w.start("idle")
	defer stop()
	time.Sleep(w.cfg.Settle)
	s, err := sampleProc(w.cfg.PID)
	if err != nil {
		return err
	}
	n := float64(w.cfg.Conns)
	r.BaseRSS = base.RSS
	r.RSSPerConn = float64(s.RSS-base.RSS) / n
	r.AnonPerConn = float64(s.Anon-base.Anon) / n
	if w.cfg.GCURL == "" {
		return nil
	}
	askURL(w.cfg.GCURL)
	r.GCInfo = askURL(w.cfg.GCURL)
	if s, err = sampleProc(w.cfg.PID); err != nil {
		return err
	}
	r.RSSPerConnG = float64(s.RSS-base.RSS) / n
	return nil
}

// A reading is the state at one end of the measured time.
type reading struct {
	server, gen procSample
	at          time.Time
	recv        int64
	mallocs     float64
	hasMallocs  bool
}

func (w *worker) read() (x reading) {
	x.mallocs, x.hasMallocs = mallocs(w.cfg.StatsURL)
	x.server, x.gen = mustSample(w.cfg.PID), mustSample(os.Getpid())
	x.at, x.recv = time.Now(), w.recv.Load()
	return x
}

// measureLoad runs the load: a warm-up that counts for nothing, the measured
// time, and the wait for what is still under way.
func (w *worker) measureLoad(r *result, base procSample) error {
	cfg := w.cfg
	if cfg.Scenario == "broadcast" {
		if err := w.prime(); err != nil {
			return err
		}
	}
	w.recv.Store(0)
	w.sent.Store(0)
	w.reads, w.msgs = 0, 0
	stop := w.start(cfg.Scenario)
	time.Sleep(cfg.Warm)
	from := w.read()
	w.phase.Store(phaseMeasure)
	time.Sleep(cfg.Duration)
	to := w.read()
	w.phase.Store(phaseDrain)
	want := func() int64 {
		if cfg.Scenario == "broadcast" {
			return w.sent.Load() * int64(cfg.Conns)
		}
		return w.sent.Load()
	}
	for end := time.Now().Add(cfg.Drain); time.Now().Before(end) && w.recv.Load() < want(); {
		time.Sleep(10 * time.Millisecond)
	}
	if cfg.Hold > 0 {
		time.Sleep(cfg.Hold)
		n := float64(cfg.Conns)
		r.UsedPerConn = float64(mustSample(cfg.PID).RSS-base.RSS) / n
		if cfg.GCURL != "" {
			for range 4 { // a collection may halve each stack once
				r.UsedGCInfo = askURL(cfg.GCURL)
			}
			r.UsedPerConnG = float64(mustSample(cfg.PID).RSS-base.RSS) / n
		}
	}
	stop()

	r.Size = cfg.Size
	r.Sent = w.sent.Load()
	r.Lost = want() - w.recv.Load()
	r.Seconds = to.at.Sub(from.at).Seconds()
	r.Deliveries = to.recv - from.recv
	r.PerS = float64(r.Deliveries) / r.Seconds
	r.P50us, r.P99us, r.MaxUs = float64(w.lat.quantile(.5))/1e3, float64(w.lat.quantile(.99))/1e3, float64(w.lat.max)/1e3
	r.MaxMessage, r.MaxJoined, r.Disorder = w.maxMessage, w.maxJoined, w.disorder
	if w.reads > 0 && w.msgs > 0 {
		r.RecPerRead = float64(w.recv.Load()) / float64(w.reads)
		r.RecPerMsg = float64(w.recv.Load()) / float64(w.msgs)
	}
	if r.Deliveries == 0 {
		return errors.New("nothing came back in the measured time")
	}
	m := float64(r.Deliveries) / 1e6
	cpu := to.server.cpu() - from.server.cpu()
	r.CPUPerM = cpu / m
	if cpu > 0 {
		r.SysShare = (to.server.SysS - from.server.SysS) / cpu
	}
	r.CPUCores = cpu / r.Seconds
	r.GenCPUPerM = (to.gen.cpu() - from.gen.cpu()) / m
	if from.hasMallocs && to.hasMallocs {
		r.Allocs, r.HasAllocs = (to.mallocs-from.mallocs)/float64(r.Deliveries), true
	}
	return nil
}

// prime makes one echo on every connection. A server may answer the handshake
// before it makes the connection known to its broadcasts (ASP.NET Core does);
// once it answers calls, it has.
func (w *worker) prime() error {
	stop := w.start("prime")
	defer stop()
	for end := time.Now().Add(20 * time.Second); w.recv.Load() < int64(w.cfg.Conns); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d connections answer", w.recv.Load(), w.cfg.Conns)
		}
	}
	return nil
}

// askURL gets u and returns the JSON of the answer, or its text.
func askURL(u string) any {
	resp, err := http.Get(u)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err.Error()
	}
	var v any
	if json.Unmarshal(b, &v) != nil {
		return string(b)
	}
	return v
}

// mallocs asks a server how many objects it has allocated so far.
func mallocs(u string) (float64, bool) {
	if u == "" {
		return 0, false
	}
	m, _ := askURL(u).(map[string]any)
	n, ok := m["mallocs"].(float64)
	return n, ok
}

// established reports whether the peer has kept its end open, by the state that
// TCP_INFO begins with.
func established(fd int) bool {
	info, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	return err == nil && info&0xff == 1
}

func mustSample(pid int) procSample {
	s, _ := sampleProc(pid)
	return s
}

// raiseFiles takes as many file descriptors as the process may have.
func raiseFiles() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

// start runs the loop with the load of a scenario. stop ends it and waits.
func (w *worker) start(scenario string) (stop func()) {
	w.phase.Store(phaseWarm)
	w.began = time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { w.loop(scenario) }) // ends with phaseStop
	return func() {
		w.phase.Store(phaseStop)
		wg.Wait()
	}
}
