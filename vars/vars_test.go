package vars_test

import (
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/vars"
)

var _ hubwire.Metrics = (*vars.Vars)(nil)

func TestAdd(t *testing.T) {
	v := vars.New("hubwire_test")
	v.Add("connections", "signalr", 2)
	v.Add("connections", "signalr", -1)
	v.Add("queued_bytes", "", 7)
	if got, want := v.Map().String(), `{"connections.signalr": 1, "queued_bytes": 7}`; got != want {
		t.Errorf("the map is %s, want %s", got, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	v := vars.New("hubwire_bench")
	b.ReportAllocs()
	for b.Loop() {
		v.Add("calls", "signalr", 1)
	}
}
