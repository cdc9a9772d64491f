package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-log", "error"}, in, t.Output()) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ready := strings.CutPrefix(strings.TrimSpace(line), "READY ")
	if err != nil || !ready || !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatalf("the first line is %q, %v", line, err)
	}
	res, err := http.Post(url+"/conformance/negotiate?negotiateVersion=1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), `"connectionToken"`) {
		t.Errorf("negotiate: %s, %v", body, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Second):
		t.Error("it goes on a second after it was told to end")
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-jsonrpc 127.0.0.1:nowhere": "conformance: listen tcp",
		"-handler sniff":             "-handler is \"sniff\"",
		"-second 127.0.0.1:nowhere":  "conformance: listen tcp",
		"-nothing":                   "flag provided but not defined",
		"more":                       "unexpected argument",
		"-addr 127.0.0.1:nowhere":    "conformance: listen tcp",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
