//go:build linux

package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain makes the test binary a server too, as start runs it.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		if err := runServer(os.Args[2]); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// Every scenario runs at every server, with a load that takes no time.
func TestScenarios(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	small := []scenario{
		{name: "push", run: push(1000, 1)}, {name: "push/64", run: push(6400, 64)}, {name: "fanout", prepare: subscribe, run: broadcast},
		{name: "unary", run: unary(100, 10)}, {name: "ping", run: ping(100, 10)}, {name: "upload", run: upload(1000)},
	}
	for _, name := range serverNames {
		t.Run(name, func(t *testing.T) {
			x, err := start(name)
			if err != nil {
				t.Fatal(err)
			}
			defer x.stop()
			for i := range small {
				if small[i].name == "fanout" && (testing.Short() || name == "grpchttp" || name == "connect") {
					continue // they take long
				}
				began := time.Now()
				r, err := x.turn(&small[i])
				if err != nil || r.rate <= 0 || r.cpu <= 0 {
					t.Errorf("%s: %+v, %v", small[i].name, r, err)
				}
				t.Logf("%s: %v", small[i].name, time.Since(began))
			}
		})
	}
}
