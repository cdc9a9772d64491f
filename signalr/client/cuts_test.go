package client_test

import (
	"context"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
)

// A shaky network is one in memory whose connections are cut, each after a
// random number of bytes in one of its directions. What is under way then is
// lost.
type shaky struct {
	accept chan net.Conn
	closed chan struct{}

	mu    sync.Mutex // guards the following
	rand  *rand.Rand
	calm  bool
	first func() // cuts the newest
	cuts  int
	pumps sync.WaitGroup
}

func (n *shaky) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *shaky) Close() error   { return nil }
func (n *shaky) Addr() net.Addr { return &net.UnixAddr{Name: "shaky"} }

func (n *shaky) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, a := net.Pipe()
	b, far := net.Pipe()
	select {
	case n.accept <- far:
	case <-n.closed:
		return nil, net.ErrClosed
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	up, down := -1, -1
	if !n.calm {
		up, down = n.rand.IntN(4000), n.rand.IntN(4000)
	}
	n.pump(b, a, up)
	n.pump(a, b, down)
	n.first = func() { _ = a.Close() }
	return near, nil
}

// pump carries bytes, budget of them, or all if that is negative.
func (n *shaky) pump(to, from net.Conn, budget int) {
	n.pumps.Go(func() { // ends with either connection
		defer func() { _, _ = to.Close(), from.Close() }()
		buf := make([]byte, 512)
		for {
			got, err := from.Read(buf)
			last := false
			if budget >= 0 {
				if last = got > budget; last {
					got = budget
				}
				budget -= got
			}
			if _, werr := to.Write(buf[:got]); err != nil || werr != nil {
				return
			}
			if last {
				n.mu.Lock()
				n.cuts++
				n.mu.Unlock()
				return
			}
		}
	})
}

func (n *shaky) cutSoFar() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts
}

type letter struct {
	hubwire.Args
	N    int
	Text string
}

const (
	postName   hubwire.Command[letter]              = "Post"
	posted     hubwire.Event[letter]                = "Posted"
	numbers    hubwire.ServerStream[int, int]       = "Numbers"
	total      hubwire.ClientStream[int, int]       = "Total"
	doubled    hubwire.BidiStream[int, int]         = "Doubled"
	same       hubwire.Method[string, string]       = "Same"
	guess      hubwire.ClientMethod[string, string] = "Guess"
	guessAgain hubwire.Method[string, string]       = "GuessAgain"
)

// letters is a hub that notes what it gets.
func letters(got *box[int]) []hubwire.Handler {
	return []hubwire.Handler{
		postName.With(func(ctx context.Context, c *hubwire.Conn, l letter) error {
			got.put(l.N)
			return posted.Send(ctx, c, l)
		}),
		same.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }),
		guessAgain.With(func(ctx context.Context, c *hubwire.Conn, s string) (string, error) { return guess.Call(ctx, c, s) }),
		numbers.With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
			}
		}),
		total.With(func(_ context.Context, _ *hubwire.Conn, in iter.Seq2[int, error]) (sum int, err error) {
			for v, err := range in {
				if err != nil {
					return 0, err
				}
				sum += v
			}
			return sum, nil
		}),
		doubled.With(func(_ context.Context, _ *hubwire.Conn, in iter.Seq2[int, error]) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for v, err := range in {
					if !yield(2*v, err) {
						return
					}
				}
			}
		}),
	}
}

// 10,000 cuts at random bytes, in both directions, in the upgrade and the
// resend too: nothing is lost, nothing comes twice, the order is kept, and
// nobody notices.
func TestTenThousandCuts(t *testing.T) {
	cuts := 10_000
	if testing.Short() || raceDetector {
		cuts /= 10
	}
	for _, protocol := range []string{"json", "messagepack"} {
		t.Run(protocol, func(t *testing.T) {
			seed := *seed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("-seed %d", seed)
			synctest.Test(t, func(t *testing.T) { shake(t, protocol, seed, cuts/2) })
		})
	}
}

func shake(t *testing.T, protocol string, seed uint64, cuts int) {
	n := &shaky{accept: make(chan net.Conn), closed: make(chan struct{}), rand: rand.New(rand.NewPCG(seed, 1)), calm: true}
	var arrived box[int]
	hub := hubwire.New(&hubwire.Options{Logger: quiet})
	hub.Handle(letters(&arrived)...)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub, &signalr.Options{StatefulReconnect: true, StatefulBuffer: 2000})
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(n) }() // ends with n.closed
	transport := &http.Transport{DialContext: n.dial}

	var back box[letter]
	fail := func(text string) func(*client.Conn, error) {
		return func(_ *client.Conn, err error) {
			if err != nil || text == "reconnecting" {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	c, err := client.Dial(t.Context(), "http://shaky/hub", &client.Options{
		HTTPClient: &http.Client{Transport: transport}, Protocol: protocol, Logger: quiet,
		Stateful: true, StatefulBuffer: 2000, Transports: client.WebSockets,
		OnReconnecting: fail("reconnecting"), OnClosed: fail("closed"),
		Handlers: []hubwire.ClientHandler{back.on(posted), guess.With(func(_ context.Context, s string) (string, error) { return s, nil })},
	})
	check(t, err)
	n.mu.Lock()
	n.calm = false
	n.first() // was dialled in a calm
	n.mu.Unlock()

	r := rand.New(rand.NewPCG(seed, 2))
	ctx := t.Context()
	sent := 0
	for n.cutSoFar() < cuts && !t.Failed() {
		var work sync.WaitGroup
		for range 1 + r.IntN(8) {
			l := letter{N: sent, Text: strconv.Itoa(r.IntN(1 << r.IntN(30)))}
			sent++
			check(t, postName.Send(ctx, c, l))
		}
		k := r.IntN(20)
		work.Go(func() {
			s, err := same.Call(ctx, c, "s"+strconv.Itoa(k))
			check(t, err)
			equal(t, s, "s"+strconv.Itoa(k))
		})
		work.Go(func() {
			got, err := all(numbers.Open(ctx, c, k))
			check(t, err)
			equal(t, len(got), k)
			for i, v := range got {
				equal(t, v, i)
			}
		})
		work.Go(func() {
			got, err := total.Call(ctx, c, func(yield func(int, error) bool) {
				for i := range k {
					if !yield(i, nil) {
						return
					}
				}
			})
			check(t, err)
			equal(t, got, k*(k-1)/2)
		})
		work.Go(func() {
			got, err := all(doubled.Open(ctx, c, items(1, 2, 3)))
			check(t, err)
			equal(t, got, []int{2, 4, 6})
		})
		work.Go(func() {
			s, err := guessAgain.Call(ctx, c, "g")
			check(t, err)
			equal(t, s, "g")
		})
		work.Wait()
	}
	n.mu.Lock()
	n.calm = true
	n.mu.Unlock()
	_, err = same.Call(ctx, c, "")
	check(t, err)
	for i, v := range arrived.take(t, sent) {
		if v != i {
			t.Fatalf("letter %d is number %d at the hub", v, i)
		}
	}
	for i, l := range back.take(t, sent) {
		if l.N != i {
			t.Fatalf("letter %d is number %d at the client", l.N, i)
		}
	}
	equal(t, len(arrived.rest())+len(back.rest()), 0)
	t.Logf("%d letters, %d cuts", sent, n.cutSoFar())
	check(t, c.Close())
	close(n.closed)
	check(t, hub.Shutdown(ctx))
	check(t, srv.Close())
	transport.CloseIdleConnections()
	n.pumps.Wait()
	synctest.Wait()
}
