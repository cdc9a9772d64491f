package nats_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startNATS starts a server, which ends with t.
func startNATS(t testing.TB, change ...func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, StoreDir: t.TempDir()}
	for _, f := range change {
		f(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopNATS(s) })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// startCluster starts servers that are one cluster.
func startCluster(t testing.TB, n int) (all []*server.Server) {
	t.Helper()
	var routes string
	for i := range n {
		s := startNATS(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("s", i)
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: -1, PoolSize: -1}
			if routes != "" {
				o.Routes = server.RoutesFromStr(routes)
			}
		})
		if routes == "" {
			routes = fmt.Sprintf("nats-route://%s", s.ClusterAddr())
		}
		all = append(all, s)
	}
	deadline := time.Now().Add(20 * time.Second)
	for _, s := range all {
		for s.NumRoutes() < n-1 {
			if time.Now().After(deadline) {
				t.Fatal("the cluster does not form")
			}
			time.Sleep(time.Millisecond)
		}
	}
	return all
}

// A proxy stands between a node and NATS and does what networks do.
type proxy struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex // guards the following
	backend string
	down    bool
	stalled chan struct{} // closed when bytes may pass again; nil: they may
	conns   map[net.Conn]bool
}

func newProxy(t testing.TB, backend string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, backend: backend, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept) // ends when the listener is closed
	t.Cleanup(func() {
		l.Close()
		p.resume()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		backend, down := p.backend, p.down
		p.mu.Unlock()
		if down {
			c.Close()
			continue
		}
		d, err := net.Dial("tcp", backend)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c], p.conns[d] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pipe(c, d) }) // both end with either connection
		p.wg.Go(func() { p.pipe(d, c) })
	}
}

func (p *proxy) pipe(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		delete(p.conns, to)
		p.mu.Unlock()
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		stalled := p.stalled
		p.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// partition cuts, and lets nobody through until heal.
func (p *proxy) partition() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.cut()
}

func (p *proxy) heal() {
	p.mu.Lock()
	p.down = false
	p.mu.Unlock()
}

// stall holds all bytes back until resume.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// failOver sends new connections elsewhere.
func (p *proxy) failOver(backend string) {
	p.mu.Lock()
	p.backend = backend
	p.mu.Unlock()
	p.cut()
}
