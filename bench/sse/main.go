//go:build linux

// Sse compares fan-out over Server-Sent Events: the same subscribers and events
// for hubwire and its peers, in one run, each server in a process of its own.
//
//	go run ./sse [-subscribers 2000] [-events 200] [-rounds 5]
//
// A figure is the median over the rounds, in each of which every server has one
// turn. What counts is the server's CPU time for a million deliveries.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

var (
	serverName  = flag.String("server", "", "be this server (for the program itself)")
	subscribers = flag.Int("subscribers", 2000, "how many streams are open")
	events      = flag.Int("events", 200, "how many events are published in a burst")
	rounds      = flag.Int("rounds", 5, "how many times")
	pace        = flag.Duration("pace", 0, "pause between two events; 0 is a burst")
	only        = flag.String("only", "", "servers to run, separated by commas; all, if empty")
)

func main() {
	flag.Parse()
	if *serverName != "" {
		log.Fatal(serve(*serverName))
	}
	names := slices.Clone(order)
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	all := map[string][]result{}
	for round := range *rounds + 1 { // the first warms up
		for _, name := range names {
			r, err := run(name)
			if err != nil {
				log.Fatalf("%s: %v", name, err)
			}
			if round > 0 {
				all[name] = append(all[name], r)
			}
		}
	}
	fmt.Printf("%d subscribers, %d events of 100 bytes, pause %v, %d rounds\n\n", *subscribers, *events, *pace, *rounds)
	fmt.Println("| server | CPU s/M | deliveries/s | allocations a delivery | bytes an idle stream |\n| --- | --- | --- | --- | --- |")
	for _, name := range names {
		rs := all[name]
		of := func(f func(result) float64) (m, lo, hi float64) {
			var v []float64
			for _, r := range rs {
				v = append(v, f(r))
			}
			slices.Sort(v)
			return v[len(v)/2], v[0], v[len(v)-1]
		}
		cpu, lo, hi := of(func(r result) float64 { return r.cpu })
		rate, _, _ := of(func(r result) float64 { return r.rate })
		allocs, _, _ := of(func(r result) float64 { return r.allocs })
		idle, _, _ := of(func(r result) float64 { return r.idle })
		fmt.Printf("| %s | %.2f (%.2f–%.2f) | %.0f k | %.3f | %.0f |\n", name, cpu, lo, hi, rate/1000, allocs, idle)
	}
}

type result struct{ cpu, rate, allocs, idle float64 }

// state is what a server says of itself.
type state struct {
	CPU     float64 // seconds so far
	Mallocs uint64
	RSS     int64 // after a collection
}

// run measures one server.
func run(name string) (r result, err error) {
	cmd := exec.Command(os.Args[0], "-server", name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return r, err
	}
	addr = strings.TrimSpace(addr)
	ask := func(path string) (s state, err error) {
		res, err := http.Post("http://"+addr+path, "", nil)
		if err != nil {
			return s, err
		}
		defer res.Body.Close()
		return s, json.NewDecoder(res.Body).Decode(&s)
	}
	if _, err := ask("/state"); err != nil {
		return r, err
	}
	before, err := ask("/state")
	if err != nil {
		return r, err
	}
	var got, open atomic.Int64
	all := make(chan struct{}, 1)
	want := int64(*subscribers * *events)
	for range *subscribers {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return r, err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /events?stream=a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
			return r, err
		}
		go func() { // ends when c is closed
			buf, first := make([]byte, 16<<10), true
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if first {
					first = false
					open.Add(1)
				}
				if k := int64(bytes.Count(buf[:n], []byte("~"))); k > 0 && got.Add(k) == want {
					all <- struct{}{}
				}
			}
		}()
	}
	for end := time.Now().Add(20 * time.Second); open.Load() < int64(*subscribers) && !flushesLate[name]; {
		if time.Now().After(end) {
			return r, fmt.Errorf("%d of %d streams opened", open.Load(), *subscribers)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if flushesLate[name] {
		time.Sleep(2 * time.Second) // it sends no head before the first event
	}
	idle, err := ask("/state")
	if err != nil {
		return r, err
	}
	began := time.Now()
	go ask(fmt.Sprintf("/publish?n=%d&pause=%s", *events, *pace))
	select {
	case <-all:
	case <-time.After(60 * time.Second):
		return r, fmt.Errorf("%d of %d events came", got.Load(), want)
	}
	took := time.Since(began)
	after, err := ask("/usage")
	if err != nil {
		return r, err
	}
	million := float64(want) / 1e6
	return result{
		cpu: (after.CPU - idle.CPU) / million, rate: float64(want) / took.Seconds(),
		allocs: float64(after.Mallocs-idle.Mallocs) / float64(want), idle: float64(idle.RSS-before.RSS) / float64(*subscribers),
	}, nil
}
