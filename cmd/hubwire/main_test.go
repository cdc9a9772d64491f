package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// call runs the command and returns what it printed.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, 2, "", "Usage: hubwire <command>"},
		{[]string{"help"}, 0, "  demo ", ""},
		{[]string{"-h"}, 0, "  demo ", ""},
		{[]string{"serve"}, 2, "", `hubwire: there is no command "serve"`},
		{[]string{"Demo"}, 2, "", `hubwire: there is no command "Demo"`},
		{[]string{"demo", "-h"}, 0, "", "loopback address"},
		{[]string{"demo", "-port", "1"}, 2, "", "-port"},
		{[]string{"demo", "now"}, 2, "", `"now" is no flag`},
		{[]string{"demo", "-addr", "127.0.0.1"}, 1, "", "missing port"},
		{[]string{"demo", "-addr", "127.0.0.1:http:1"}, 1, "", "-addr"},
		{[]string{"demo", "-addr", "127.0.0.1:99999"}, 1, "", "99999"},
	} {
		code, stdout, stderr := call(t, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || (c.stdout == "") != (stdout == "") {
			t.Errorf("hubwire %q: exit %d, %q, %q; want %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}

func TestDemoListensOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "10.0.0.1:0", "192.168.1.2:80", "[fe80::1]:0", "example.com:80", "localhost.example.com:80", "2130706433:0", "[::ffff:10.0.0.1]:0"} {
		l, err := listenLoopback(addr)
		if !errors.Is(err, errNotLoopback) {
			t.Errorf("-addr %s: %v, want a refusal", addr, err)
		}
		if l != nil {
			l.Close()
		}
		if code, _, _ := call(t, "demo", "-addr", addr); code != 2 {
			t.Errorf("hubwire demo -addr %s: exit %d, want 2", addr, code)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.9.9.9:0"} {
		l, err := listenLoopback(addr)
		if err != nil {
			t.Errorf("-addr %s: %v", addr, err)
			continue
		}
		l.Close()
	}
}

func TestDemoFindsAFreePort(t *testing.T) {
	first, err := listenLoopback("")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := listenLoopback("") // the default is taken now, by the first or by somebody else
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.Addr().String() == second.Addr().String() {
		t.Errorf("both listen on %v", first.Addr())
	}
	if l, err := listenLoopback(first.Addr().String()); err == nil {
		l.Close()
		t.Error("an address that was asked for and is taken is no error")
	}
}

func TestDemoServesUntilItIsToldToStop(t *testing.T) {
	l, err := listenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, printed := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends with stop
		err := serveDemo(ctx, l, nil, printed, io.Discard)
		printed.Close()
		done <- err
	}()

	lines := bufio.NewScanner(out)
	lines.Scan()
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(lines.Text())
	if url == "" {
		t.Fatalf("the first line has no address: %q", lines.Text())
	}
	go io.Copy(io.Discard, out) // ends with printed.Close
	for path, want := range map[string]string{"": "<!doctype html>", "main.js": "HubClient"} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("/%s: %d %.80q", path, res.StatusCode, body)
		}
	}
	res, err := http.Post(url+"hub/negotiate?negotiateVersion=1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if !strings.Contains(string(body), `"connectionToken"`) {
		t.Errorf("negotiate: %s", body)
	}

	stop()
	if err := <-done; err != nil {
		t.Errorf("after stop: %v", err)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("the demo still answers")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestASecondSignalEndsTheWait(t *testing.T) {
	for range 20 {
		switch err := interruptTwice(t); {
		case errors.Is(err, errInterrupted):
			return
		case err != nil:
			t.Fatal(err)
		}
		// The server was quicker than the request that shall hold it up.
	}
	t.Error("the second signal never counted")
}

// interruptTwice sends two signals to a demo that a request holds up: its body
// does not come.
func interruptTwice(t *testing.T) error {
	l, err := listenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 2)
	done := make(chan error, 1)
	go func() { done <- serveDemo(t.Context(), l, signals, io.Discard, io.Discard) }() // ends with signals

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %[1]s\r\n\r\nPOST /hub/negotiate HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 5\r\n\r\n", l.Addr())
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	began := time.Now()
	signals <- os.Interrupt
	signals <- os.Interrupt
	err = <-done
	if took := time.Since(began); took > drainTime-time.Second {
		t.Errorf("it took %v", took)
	}
	return err
}
