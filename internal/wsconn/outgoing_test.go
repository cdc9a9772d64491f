package wsconn_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// However writes are cut, the Conn knows when a close frame has left: not
// before, not by bytes of a payload that look like one, and nothing leaves
// behind it.
func TestWritesAreFollowed(t *testing.T) {
	looks := string(wsconn.AppendClose(nil, 1000, ""))
	sizes := []int{0, 1, 125, 126, 127, 300, 65535, 65536, 70_000}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		var all []byte
		for range r.IntN(6) {
			payload := strings.Repeat(looks, 20_000)[:sizes[r.IntN(len(sizes))]]
			all = wsconn.AppendFrame(all, r.IntN(2) == 0, []byte(payload))
			if r.IntN(3) == 0 {
				all = wsconn.AppendPong(all, []byte(looks))
			}
		}
		all = wsconn.AppendClose(all, 1000, looks)
		tp := &tape{}
		c := wsconn.New(tp, &wsconn.Config{})
		for p := all; len(p) > 0; {
			n := min(len(p), 1+r.IntN(1+r.IntN(1+r.IntN(len(all)))))
			if err := c.Write(p[:n]); err != nil {
				t.Fatalf("seed %d: %d bytes before the end of the close frame: %v", seed, len(p), err)
			}
			p = p[n:]
		}
		if err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("seed %d: a write behind the close frame: %v", seed, err)
		}
		if string(tp.wrote) != string(all) {
			t.Fatalf("seed %d: %d bytes left, want %d", seed, len(tp.wrote), len(all))
		}
	}
}
