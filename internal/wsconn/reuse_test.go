package wsconn_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

// The descriptor is written to beside net.Conn, and the system gives it to the
// next connection once it is closed. So thousands of connections come and go,
// ended from either side in every way, while senders go on writing to all that
// ever were: no client may get what was meant for another.
func TestDescriptorReuse(t *testing.T) {
	rounds, width := 40, 50
	if testing.Short() {
		rounds = 10
	}
	var (
		number  atomic.Uint32
		mu      sync.Mutex
		all     []*numbered
		writes  atomic.Int64
		refused atomic.Int64
		work    = make(chan struct{}, 100) // the clients ask for writes
		senders sync.WaitGroup
	)
	s := serve(t, &server{})
	s.handler = func(c *wsconn.Conn) wsconn.Handler {
		n := &numbered{c: c, id: number.Add(1)}
		mu.Lock()
		all = append(all, n)
		mu.Unlock()
		n.send() // the first frame tells the client its number
		return n
	}
	for range 2 {
		senders.Go(func() { // ends when work is closed
			for range work {
				for range 20 {
					// Old ones are closed, new ones have their descriptors.
					mu.Lock()
					n := all[len(all)-1-rand.IntN(min(len(all), 4*width))]
					mu.Unlock()
					err := n.send()
					writes.Add(1)
					if errors.Is(err, net.ErrClosed) {
						refused.Add(1)
					}
				}
			}
		})
	}
	abort := func(id uint32) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range all[max(0, len(all)-4*width):] {
			if n.id == id {
				n.c.Abort()
			}
		}
	}
	s.Start()
	for range rounds {
		var clients sync.WaitGroup
		for range width {
			clients.Go(func() { client(t, s, work, abort) })
		}
		clients.Wait()
	}
	close(work)
	senders.Wait()
	for range rounds * width {
		s.end(t)
	}
	if refused.Load() == 0 || writes.Load() == refused.Load() {
		t.Errorf("%d writes, %d of them refused: the test tests nothing", writes.Load(), refused.Load())
	}
	t.Logf("%d connections, %d writes, %d to closed ones", rounds*width, writes.Load(), refused.Load())
}

// A numbered writes frames that carry its number.
type numbered struct {
	funcs
	c  *wsconn.Conn
	id uint32

	mu   sync.Mutex
	rest []byte // of a frame that the kernel did not take whole
}

func (n *numbered) send() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.rest
	if len(p) == 0 {
		p = wsconn.AppendFrame(nil, false, binary.BigEndian.AppendUint32(nil, n.id))
	}
	m, err := n.c.TryWrite(p)
	n.rest = p[m:]
	return err
}

func (n *numbered) Control(frame []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.rest) == 0 {
		n.c.TryWrite(frame)
	}
}

// client connects, reads some frames, and ends it in one of several ways.
func client(t *testing.T, s *server, work chan<- struct{}, abort func(id uint32)) {
	p := dial(t, s)
	defer p.Close()
	first := p.recv()
	if first.err != nil {
		t.Errorf("the first frame: %v", first.err)
		return
	}
	id := first.payload
	for range rand.IntN(4) {
		work <- struct{}{}
	}
	switch rand.IntN(5) {
	case 0:
		return
	case 1:
		p.Conn.(*net.TCPConn).SetLinger(0)
		return
	case 2:
		p.send(t, code(1000, ""))
	case 3:
		p.send(t, f(0x83, ""))
	case 4:
		abort(binary.BigEndian.Uint32([]byte(id)))
	}
	for {
		work <- struct{}{}
		f := p.recv()
		if f.err != nil {
			if f.err == io.ErrUnexpectedEOF {
				t.Error("a frame came in part")
			}
			return
		}
		if f.op == wsconn.OpBinary && f.payload != id {
			t.Errorf("client %x got what is %x's", id, f.payload)
		}
	}
}
