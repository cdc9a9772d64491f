package wire_test

import (
	"errors"
	"io"
	"testing"

	"github.com/hubwire/hubwire/wire"
)

func TestKinds(t *testing.T) {
	streams := map[wire.Kind]bool{wire.ServerStream: true, wire.BidiStream: true}
	seen := map[string]bool{}
	for k := wire.Command; k <= wire.Connect; k++ {
		if s := k.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("kind %d is %q", k, s)
		} else {
			seen[s] = true
		}
		if k.Streams() != streams[k] {
			t.Errorf("%v: Streams is %v", k, k.Streams())
		}
	}
	if s := wire.Kind(200).String(); s != "unknown" {
		t.Errorf("kind 200 is %q", s)
	}
	if wire.EOF != io.EOF {
		t.Error("EOF is not io.EOF")
	}
}

func TestFaults(t *testing.T) {
	seen := map[string]bool{}
	for k := wire.UnknownMethod; k <= wire.IDInUse; k++ {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("fault %d is %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if s := wire.FaultKind(200).String(); s != "failed" {
		t.Errorf("fault 200 is %q", s)
	}
	cause := errors.New("cause")
	f := &wire.Fault{Kind: wire.Failed, Name: "Do", Err: cause}
	if f.Error() != "Do: cause" || !errors.Is(f, cause) {
		t.Errorf("fault: %v", f)
	}
	f = &wire.Fault{Kind: wire.UnknownMethod, Name: "Do"}
	if f.Error() != "Do: unknown method" || f.Unwrap() != nil {
		t.Errorf("fault: %v", f)
	}
}

func TestConnError(t *testing.T) {
	for left, want := range map[bool]string{true: "hubwire: Connection 'x' disconnected.", false: "hubwire: Connection 'x' does not exist."} {
		if err := (&wire.ConnError{Conn: "x", Left: left}); err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}
