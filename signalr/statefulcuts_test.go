package signalr_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

var errCut = errors.New("cut")

// A cutter is a connection that ends after so many bytes in one of the
// directions, in the midst of whatever that is.
type cutter struct {
	net.Conn
	in, out int // bytes left
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.in <= 0 {
		c.Close()
		return 0, errCut
	}
	n, err := c.Conn.Read(p[:min(len(p), c.in)])
	c.in -= n
	return n, err
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= c.out {
		c.out -= len(p)
		return c.Conn.Write(p)
	}
	_, _ = c.Conn.Write(p[:c.out])
	c.out = 0
	c.Close()
	return 0, errCut
}

// A wanderer is a client whose connection is cut again and again: the sender
// and the receiver of sections 8.3 and 8.4, the client's side.
type wanderer struct {
	t     *testing.T
	s     *site
	token string
	rnd   *rand.Rand
	name  string

	mu     sync.Mutex // guards the following
	sent   []string   // what the server has not acknowledged
	first  int64      // the number of sent[0]
	count  int64      // the number of the server's next message
	latest int64      // the last that was taken
	bad    error

	calls                     int
	results, events, toldMany []string // what came of the calls, of them by event, and to all
}

// life is one socket from its upgrade to its end, which comes after so many
// bytes from the server and to it. It reports whether there was an upgrade.
func (w *wanderer) life(in, out, calls int, rest time.Duration) (returned bool) {
	nc, err := w.s.net.dial()
	if err != nil {
		w.fail(err)
		return false
	}
	c := &cutter{nc, in, out}
	defer c.Close()
	br := bufio.NewReader(c)
	r, err := exchange(c, br, http.MethodGet, "/hub?id="+w.token, upgrade)
	if err != nil {
		return false // cut
	}
	if r.status != http.StatusSwitchingProtocols {
		w.fail(fmt.Errorf("the return was answered %d %q", r.status, r.body))
		return false
	}
	p := &peer{t: w.t, c: c}
	ended := make(chan struct{})
	go func() { // ends with the connection
		defer close(ended)
		w.fail(w.receive(br))
		c.Close()
	}()
	defer func() { c.Close(); <-ended }()
	w.mu.Lock()
	again := []string{fmt.Sprintf(`{"type":9,"sequenceId":%d}`, w.first), fmt.Sprintf(`{"type":8,"sequenceId":%d}`, w.latest)}
	again = append(again, w.sent...)
	w.mu.Unlock()
	if w.send(p, again) != nil {
		return true
	}
	for range calls {
		call := fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Take","arguments":["%s-%d"]}`, w.calls, w.name, w.calls)
		w.calls++
		w.mu.Lock()
		w.sent = append(w.sent, call)
		latest := w.latest
		w.mu.Unlock()
		list := []string{call}
		if w.rnd.IntN(3) == 0 {
			list = append(list, fmt.Sprintf(`{"type":8,"sequenceId":%d}`, latest))
		}
		if w.send(p, list) != nil {
			return true
		}
	}
	if rest > 0 {
		time.Sleep(rest) // of the bubble
	}
	return true
}

// send sends messages, cut into frames at random.
func (w *wanderer) send(p *peer, list []string) error {
	b := []byte(strings.Join(list, "\x1e") + "\x1e")
	for len(b) > 0 {
		n := len(b)
		if w.rnd.IntN(2) == 0 {
			n = 1 + w.rnd.IntN(len(b))
		}
		if err := p.trySend(0x81, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (w *wanderer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bad == nil {
		w.bad = err
	}
}

func (w *wanderer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad
}

// settled reports whether all has come that is to come.
func (w *wanderer) settled(mu *sync.Mutex, told *int) bool {
	mu.Lock()
	n := *told
	mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent) == 0 && len(w.results) >= w.calls && len(w.events) >= w.calls && len(w.toldMany) >= n
}

// receive takes what comes. Its error is the server's fault.
func (w *wanderer) receive(br io.Reader) error {
	silent := true // until the Sequence
	for {
		op, payload, err := readFrame(br)
		if err != nil {
			return nil
		}
		if op == 8 {
			if code := binary.BigEndian.Uint16(payload); code != 1000 {
				return fmt.Errorf("closed with %d", code)
			}
			return nil
		}
		for rec := range strings.SplitSeq(strings.TrimSuffix(string(payload), "\x1e"), "\x1e") {
			var m struct {
				Type         int
				InvocationID string
				SequenceID   int64
				Result       string
				Error        string
				Arguments    []string
			}
			if err := json.Unmarshal([]byte(rec), &m); err != nil {
				return fmt.Errorf("%q: %w", rec, err)
			}
			w.mu.Lock()
			switch {
			case m.Type == 9 && m.SequenceID <= w.latest+1:
				w.count, silent = m.SequenceID, false
			case m.Type == 9:
				err = fmt.Errorf("Sequence %d, but %d is next", m.SequenceID, w.latest+1)
			case silent:
				err = fmt.Errorf("before the Sequence: %s", rec)
			case m.Type == 8:
				if n := m.SequenceID; n >= w.first+int64(len(w.sent)) {
					err = fmt.Errorf("Ack %d of a message that was not sent", n)
				} else if n >= w.first {
					w.sent, w.first = w.sent[n-w.first+1:], n+1
				}
			case m.Type == 6:
			case m.Type == 7 || m.Error != "":
				err = errors.New(rec)
			default:
				n := w.count
				w.count++
				if n <= w.latest {
					break
				}
				w.latest = n
				switch {
				case m.Type == 3:
					w.results = append(w.results, m.Result)
				case strings.HasPrefix(m.Arguments[0], "all-"):
					w.toldMany = append(w.toldMany, m.Arguments[0])
				default:
					w.events = append(w.events, m.Arguments[0])
				}
			}
			w.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
}

// TestRow79Cuts: 10,000 cuts at random bytes, both directions under load: nothing
// is lost, nothing comes twice, and the order is kept.
func TestRow79Cuts(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 1
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	start := time.Now()
	for i := range rounds {
		synctest.Test(t, func(t *testing.T) { cutRound(t, seed+uint64(i)) })
		if t.Failed() {
			t.Fatalf("in round %d, seed %d", i, seed+uint64(i))
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Logf("the machine is slow: %d cuts in %v", (i+1)*cutsARound, d)
			break
		}
	}
}

const (
	wanderers  = 4
	cutsARound = 500
)

func cutRound(t *testing.T, seed uint64) {
	var mu sync.Mutex             // guards took and told
	took := map[string][]string{} // by wanderer
	told := 0
	hub := newHub(t, nil)
	hub.Handle(hubwire.Method[string, string]("Take").With(func(ctx context.Context, c *hubwire.Conn, v string) (string, error) {
		name, _, _ := strings.Cut(v, "-")
		mu.Lock()
		took[name] = append(took[name], v)
		mu.Unlock()
		return v, receive.Send(ctx, c, v)
	}))
	tellAll := func() {
		mu.Lock()
		defer mu.Unlock()
		if err := receive.Send(context.Background(), hub.All(), fmt.Sprintf("all-%d", told)); err != nil {
			t.Error(err)
		}
		told++
	}
	s := lasting(t, hub.Hub, &signalr.Options{StatefulBuffer: 2000})
	var all []*wanderer
	for i := range wanderers {
		p, token := s.stateful("json")
		synctest.Wait() // it is open
		p.drop()
		all = append(all, &wanderer{t: t, s: s, token: token, rnd: rand.New(rand.NewPCG(seed, uint64(i))), name: fmt.Sprint(i), first: 1, count: 1})
	}
	var wg sync.WaitGroup
	var wandering atomic.Int32 // wanderers who are still cut
	wandering.Store(wanderers)
	var unsettled atomic.Int32 // wanderers for whom something is still to come
	unsettled.Store(wanderers)
	var broken atomic.Bool
	start := time.Now() // of the bubble
	for _, w := range all {
		wg.Go(func() { // ends with its cuts
			for range cutsARound / wanderers {
				if w.failed() != nil {
					broken.Store(true)
					return
				}
				in, out := w.rnd.IntN(3000), w.rnd.IntN(3000)
				if w.rnd.IntN(4) == 0 {
					in, out = w.rnd.IntN(400), w.rnd.IntN(400)
				}
				rest := time.Duration(0)
				if w.rnd.IntN(4) == 0 {
					rest = 1100 * time.Millisecond // for Acks
					in, out = in+3000, out+5000
				}
				if w.rnd.IntN(4) == 0 {
					tellAll()
				}
				// Who has not been back for 15 s is given up: one pause at a time.
				if w.life(in, out, w.rnd.IntN(6), rest) && w.rnd.IntN(50) == 0 {
					time.Sleep(time.Duration(w.rnd.IntN(10)) * time.Second)
				}
			}
			wandering.Add(-1)
			// At last lives that are not cut, until nothing more comes to anybody.
			settled := false
			for unsettled.Load() > 0 && !broken.Load() && time.Since(start) < 24*time.Hour {
				w.life(1<<30, 1<<30, 0, 3*time.Second)
				if w.failed() != nil {
					broken.Store(true)
				}
				if !settled && wandering.Load() == 0 && w.settled(&mu, &told) {
					settled = true
					unsettled.Add(-1)
				}
			}
		})
	}
	wg.Wait()
	for _, w := range all {
		if err := w.failed(); err != nil {
			t.Errorf("wanderer %s: %v", w.name, err)
		}
		var calls, many []string
		for i := range w.calls {
			calls = append(calls, fmt.Sprintf("%s-%d", w.name, i))
		}
		for i := range told {
			many = append(many, fmt.Sprintf("all-%d", i))
		}
		same(t, "what the hub took of "+w.name, took[w.name], calls)
		same(t, "the results of "+w.name, w.results, calls)
		same(t, "the events of "+w.name, w.events, calls)
		same(t, "what all were told, by "+w.name, w.toldMany, many)
	}
	for len(hub.gone) != 0 {
		t.Errorf("a connection ended: %v", <-hub.gone)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s: %d, want %d; they differ from %d on: %.5q, want %.5q", what, len(got), len(want), i, got[i:min(len(got), i+5)], want[i:min(len(want), i+5)])
}
