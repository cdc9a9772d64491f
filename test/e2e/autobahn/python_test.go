package autobahn

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hubwire/hubwire/internal/wsconn/cases"
)

// python is a Python that has autobahn.
func python(t *testing.T) string {
	for _, p := range []string{os.Getenv("PYTHON"), "/usr/bin/python3", "python3"} {
		if p != "" && exec.Command(p, "-c", "import autobahn.asyncio.websocket").Run() == nil {
			return p
		}
	}
	t.Skip("no python3 with autobahn (Debian: apt-get install python3-autobahn)")
	return ""
}

// TestPython lets python3-autobahn run all cases, whole and byte by byte, and
// some of its own.
func TestPython(t *testing.T) {
	py := python(t)
	path := filepath.Join(t.TempDir(), "cases.json")
	table, want := forPython()
	b, err := json.Marshal(table)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, py, "peer.py", "ws://"+address+"/", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for s := bufio.NewScanner(out); s.Scan(); n++ {
		var line struct {
			Name  string
			Fault *string
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("line %q: %v", s.Text(), err)
		}
		t.Run(line.Name, func(t *testing.T) {
			if line.Fault != nil {
				t.Error(*line.Fault)
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the client ends with %v", err)
	}
	if n < want {
		t.Errorf("%d cases ran, want at least %d", n, want)
	}
}

type (
	jsonCase struct {
		Name  string     `json:"name"`
		Code  int        `json:"code"`
		Steps []jsonStep `json:"steps"`
	}
	jsonStep struct {
		Send []jsonFrame `json:"send"`
		Raw  string      `json:"raw"`
		Want []jsonFrame `json:"want"`
	}
	jsonFrame [2]any // the first byte, the payload in hex
)

func forPython() (table []jsonCase, n int) {
	frames := func(fs []cases.Frame) []jsonFrame {
		out := []jsonFrame{}
		for _, f := range fs {
			out = append(out, jsonFrame{f.First, hex.EncodeToString([]byte(f.Payload))})
		}
		return out
	}
	for _, c := range append(cases.Autobahn(), cases.Hostile()...) {
		j := jsonCase{Name: c.Name, Code: c.Code}
		for _, s := range c.Steps {
			j.Steps = append(j.Steps, jsonStep{frames(s.Send), hex.EncodeToString(s.Raw), frames(s.Want)})
		}
		table = append(table, j)
	}
	return table, len(table)
}
