package sse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire/internal/journal"
	"github.com/hubwire/hubwire/sse"
	"github.com/hubwire/hubwire/wire"
)

var errDown = errors.New("the store is down")

// A shakyStore is a store that can be slow, down, or begun anew.
type shakyStore struct {
	bounds journal.Bounds

	mu   sync.Mutex // guards the following
	s    *journal.Memory
	down bool
	cut  chan struct{} // closed to end all Follows
	why  error         // why they end
	hold chan struct{} // Follow hands on when it is closed; nil: at once
}

func newStore(b journal.Bounds) *shakyStore {
	return &shakyStore{bounds: b, s: journal.NewMemory(b), cut: make(chan struct{})}
}

func (s *shakyStore) state() (*journal.Memory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	return s.s, nil
}

// set changes the state, and ends all Follows for a reason, if there is one.
func (s *shakyStore) set(why error, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if why != nil {
		s.why = why
		close(s.cut)
		s.cut = make(chan struct{})
	}
}

func (s *shakyStore) Append(ctx context.Context, log string, data []byte) (wire.Position, error) {
	m, err := s.state()
	if err != nil {
		return wire.Position{}, err
	}
	return m.Append(ctx, log, data)
}

func (s *shakyStore) Head(ctx context.Context, log string) (wire.Position, error) {
	m, err := s.state()
	if err != nil {
		return wire.Position{}, err
	}
	return m.Head(ctx, log)
}

func (s *shakyStore) Tail(ctx context.Context, log string, max int) ([]journal.Record, error) {
	m, err := s.state()
	if err != nil {
		return nil, err
	}
	return m.Tail(ctx, log, max)
}

func (s *shakyStore) Read(ctx context.Context, log string, after wire.Position, max int) ([]journal.Record, error) {
	m, err := s.state()
	if err != nil {
		return nil, err
	}
	return m.Read(ctx, log, after, max)
}

func (s *shakyStore) Follow(ctx context.Context, log string, after wire.Position, f func([]journal.Record) error) error {
	m, err := s.state()
	if err != nil {
		return err
	}
	s.mu.Lock()
	cut, hold := s.cut, s.hold
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with ctx
		select {
		case <-cut:
			s.mu.Lock()
			defer s.mu.Unlock()
			cancel(s.why)
		case <-ctx.Done():
		}
	}()
	err = m.Follow(ctx, log, after, func(r []journal.Record) error {
		if hold != nil {
			select {
			case <-hold:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return f(r)
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// node makes a node of the store.
func node(t *testing.T, s journal.Store, o sse.TopicsOptions) (*sse.Topics, *server) {
	o.Store = s
	o.Stream.Logger = discard
	topics := sse.NewTopics(&o)
	srv := newServer(t, topics.Handler(byQuery))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := topics.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return topics, srv
}

func wants(t *testing.T, r *sse.Reader, want ...string) {
	t.Helper()
	for _, w := range want {
		if d := next(t, r); d != w {
			t.Errorf("got %s, want %s", d, w)
		}
	}
}

const (
	expired = `gap={"recovered":false,"reason":"expired"}`
	unknown = `gap={"recovered":false,"reason":"unknown"}`
)

// TestStoreFleet: what is published on one node reaches the subscribers of all, in
// one order, and a client comes back to any of them.
func TestStoreFleet(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		store := newStore(journal.Bounds{})
		o := sse.TopicsOptions{Stream: sse.Options{Detach: detach}}
		a, atA := node(t, store, o)
		b, atB := node(t, store, o)
		rA, _ := subscribe(t, atA, "t=x&t=y", "")
		rB, resp := subscribe(t, atB, "t=x", "")
		publish(t, a, "x", "1")
		publish(t, b, "y", "2")
		id3 := publish(t, b, "x", "3")
		wants(t, rA, "1", "2", "3")
		wants(t, rB, "1", "3")
		if rA.LastEventID() != id3 || rB.LastEventID() != id3 || a.Epoch() != b.Epoch() || !strings.HasPrefix(id3, a.Epoch()+"-") {
			t.Error(rA.LastEventID(), rB.LastEventID(), id3, a.Epoch())
		}
		resp.Body.Close()
		publish(t, a, "x", "4\nfour")
		publish(t, a, "y", "5")
		rB, _ = subscribe(t, atA, "t=x", id3)
		wants(t, rB, "4\nfour")
		c, atC := node(t, store, o) // a node that is new has what was before it
		rC, _ := subscribe(t, atC, "t=y&t=x", id3)
		wants(t, rC, "4\nfour", "5")
		if _, err := c.PublishLatest("x", "key", sse.Event[string]{Type: "typ", Data: "6", Retry: 7 * time.Second}); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*sse.Reader{rA, rB, rC} {
			for d := next(t, r); d != "typ=6"; d = next(t, r) {
			}
			if d, ok := r.Retry(); !ok || d != 7*time.Second {
				t.Error(d, ok)
			}
		}
		other, atOther := node(t, store, sse.TopicsOptions{Log: "other"})
		rO, _ := subscribe(t, atOther, "t=x", id3)
		publish(t, other, "x", "alone")
		wants(t, rO, unknown, "alone")
	})
}

// TestStoreBeyondMemory: who was away for longer than the log in memory goes back
// gets the rest from the store, once each, and what is published meanwhile.
func TestStoreBeyondMemory(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		for _, slow := range []sse.Slow{sse.Disconnect, sse.DropOldest, sse.KeepLatest} {
			store := newStore(journal.Bounds{Count: 2000})
			topics, s := node(t, store, sse.TopicsOptions{Events: 10, Slow: slow, Stream: sse.Options{Detach: detach}})
			r, _ := subscribe(t, s, "t=a/*", "")
			start := r.LastEventID()
			if start == "" {
				publish(t, topics, "a/a", "first")
				wants(t, r, "first")
				start = r.LastEventID()
			}
			var ids []string
			for i := range 1000 {
				topic := "a/a"
				if i%3 == 1 {
					topic = "b"
				}
				ids = append(ids, publish(t, topics, topic, fmt.Sprint(i)))
				if i%50 == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			for from, id := range map[int]string{0: start, 500: ids[499], 985: ids[984], 989: ids[988], 990: ids[989], 991: ids[990], 998: ids[997]} {
				r, resp := subscribe(t, s, "t=a/*", id)
				for i := from; i < 1000; i++ {
					if i%3 != 1 {
						wants(t, r, fmt.Sprint(i))
					}
				}
				synctest.Wait()
				publish(t, topics, "a/new", fmt.Sprint("new ", from))
				for d := next(t, r); d != fmt.Sprint("new ", from); d = next(t, r) {
				}
				resp.Body.Close()
			}
			if n := topics.Stats().Lost; n != 0 {
				t.Error(n, "were told of a gap")
			}
		}
	})
}

// TestStoreExpired: what the store has not is said to be lost, and what the node
// has follows.
func TestStoreExpired(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		store := newStore(journal.Bounds{Count: 5})
		topics, s := node(t, store, sse.TopicsOptions{Events: 3, Stream: sse.Options{Detach: detach}})
		var ids []string
		for i := range 7 {
			ids = append(ids, publish(t, topics, "a", fmt.Sprint(i)))
			synctest.Wait() // the node follows, or it would lose what the store has not
		}
		id, kept := ids[0], ids[1]
		r, _ := subscribe(t, s, "t=a", kept)
		wants(t, r, "2", "3", "4", "5", "6")
		r, _ = subscribe(t, s, "t=a", id)
		wants(t, r, expired, "4", "5", "6")
		publish(t, topics, "a", "7")
		wants(t, r, "7")
		if n := topics.Stats().Lost; n != 1 {
			t.Error(n)
		}
	})
}

// TestStoreAhead: a client brings an id from a node that is ahead of this one.
func TestStoreAhead(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		store := newStore(journal.Bounds{})
		o := sse.TopicsOptions{Stream: sse.Options{Detach: detach}}
		a, atA := node(t, store, o)
		r, _ := subscribe(t, atA, "t=x", "")
		hold := make(chan struct{})
		store.set(nil, func() { store.hold = hold })
		_, atB := node(t, store, o)
		subscribe(t, atB, "t=x", "")
		store.set(nil, func() { store.hold = nil })
		id2 := publish(t, a, "x", "1", "2")
		wants(t, r, "1", "2")
		publish(t, a, "x", "3")
		rB, _ := subscribe(t, atB, "t=x", id2)
		rB2, _ := subscribe(t, atB, "t=x", strings.Replace(id2, "-", "-9", 1)) // the future
		wants(t, rB2, unknown)
		close(hold)
		wants(t, rB, "3")
		wants(t, rB2, "1", "2", "3") // all that was new to this node
	})
}

// TestStoreDown: a store that is down fails Publish, lets subscribers be, and loses
// nothing.
func TestStoreDown(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		store := newStore(journal.Bounds{})
		store.down = true
		topics, s := node(t, store, sse.TopicsOptions{Stream: sse.Options{Detach: detach}})
		if r := get(t, s.client(t, 1), "/?t=a"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
			t.Error(r.Status, r.Header)
		}
		store.set(nil, func() { store.down = false })
		r, _ := subscribe(t, s, "t=a", "") // waits for the node to ask again
		id := publish(t, topics, "a", "1")
		wants(t, r, "1")
		store.set(errDown, func() { store.down = true })
		if _, err := topics.Publish("a", sse.Event[string]{Data: "no"}); !errors.Is(err, errDown) {
			t.Error(err)
		}
		time.Sleep(9 * time.Second)
		store.set(nil, func() { store.down = false })
		publish(t, topics, "a", "2")
		wants(t, r, "2")
		r, _ = subscribe(t, s, "t=a", id)
		wants(t, r, "2")
		if n := topics.Stats().Lost; n != 0 {
			t.Error(n)
		}
	})
}

// TestStoreAnew: a store that has begun anew, or gone on without a node, is no
// secret to subscribers.
func TestStoreAnew(t *testing.T) {
	for name, slow := range map[string]sse.Slow{"disconnect": sse.Disconnect, "latest": sse.KeepLatest} {
		t.Run(name, func(t *testing.T) {
			modes(t, func(t *testing.T, detach bool) {
				store := newStore(journal.Bounds{Count: 4})
				topics, s := node(t, store, sse.TopicsOptions{Slow: slow, Stream: sse.Options{Detach: detach}})
				idle, _ := subscribe(t, s, "t=a", "")
				r, _ := subscribe(t, s, "t=a&t=b", "")
				old := publish(t, topics, "a", "1", "2")
				wants(t, r, "1", "2")
				wants(t, idle, "1", "2")
				store.set(sse.ErrForeign, func() { store.s = journal.NewMemory(store.bounds) })
				time.Sleep(time.Second)
				id := publish(t, topics, "a", "3")
				wants(t, r, unknown, "3")
				wants(t, idle, unknown, "3")
				late, _ := subscribe(t, s, "t=a", old)
				wants(t, late, unknown)
				r, _ = subscribe(t, s, "t=a", id)

				// The node sleeps while others publish more than the store keeps.
				store.set(sse.ErrLost, func() {
					for i := range 8 {
						at, err := store.s.Append(t.Context(), "topics", []byte("\x01\x00\x01a\x00data: n"+fmt.Sprint(i)+"\n"))
						if err != nil {
							t.Error(at, err)
						}
					}
				})
				time.Sleep(time.Second)
				for _, r := range []*sse.Reader{r, idle, late} {
					for d := next(t, r); d != "n3" && d != expired; d = next(t, r) {
					}
				}
				publish(t, topics, "a", "end")
				for _, r := range []*sse.Reader{r, idle, late} {
					last := ""
					for d := next(t, r); d != "end"; d = next(t, r) {
						last = d
					}
					if last != "n7" {
						t.Error(last)
					}
				}
			})
		})
	}
}

// TestStoreForeignRecords: what others have written into the log breaks nothing.
func TestStoreForeignRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(journal.Bounds{})
		topics, s := node(t, store, sse.TopicsOptions{})
		r, _ := subscribe(t, s, "t=**", "")
		for _, bad := range storedSeeds[1:] {
			if _, err := store.Append(t.Context(), "topics", []byte(bad)); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, topics, "a", "good")
		wants(t, r, "good")
	})
}

// TestStoreCompressed: copies are shared, and are in the log's bounds.
func TestTopicsCompressedBound(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		const bound = 64 << 10
		topics := sse.NewTopics(&sse.TopicsOptions{Bytes: bound, Stream: sse.Options{Detach: detach, Compress: true}})
		s := newServer(t, topics.Handler(byQuery))
		var readers []*sse.Reader
		for _, enc := range []string{"gzip", "zstd", ""} {
			readers = append(readers, sse.NewReader(inflate(t, get(t, s.client(t, 1), "/?t=a", "Accept-Encoding", enc)), nil))
		}
		synctest.Wait()
		noise := newRand(1)
		plain := 0
		for range 20 {
			data := make([]byte, 2<<10) // which does not get shorter
			for i := range data {
				data[i] = ' ' + byte(noise.IntN(90))
			}
			publish(t, topics, "a", string(data))
			plain += len(data)
			for _, r := range readers {
				if b, err := r.Next(); err != nil || string(b.Data) != string(data) {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if n := topics.Stats().LogBytes; n > bound {
				t.Error(n, "bytes")
			}
		}
		if n := topics.Stats().LogBytes; n < bound*3/4 || plain > bound {
			t.Errorf("%d bytes with copies, of %d", n, plain)
		}
		if err := topics.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestMaxPerUser(t *testing.T) {
	modes(t, func(t *testing.T, detach bool) {
		topics := sse.NewTopics(&sse.TopicsOptions{
			MaxPerUser: 2, User: func(r *http.Request) string { return r.URL.Query().Get("u") }, Stream: sse.Options{Detach: detach},
		})
		s := newServer(t, topics.Handler(byQuery))
		c := s.client(t, 1)
		a1 := get(t, c, "/?t=a&u=ann")
		get(t, c, "/?t=b&u=ann")
		get(t, c, "/?t=b&u=bob")
		for range 5 {
			if r := get(t, c, "/?t=a"); r.StatusCode != 200 {
				t.Error("nobody:", r.Status)
			}
		}
		if r := get(t, c, "/?t=c&u=ann"); r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
			t.Error("ann's third:", r.Status)
		}
		a1.Body.Close()
		synctest.Wait()
		if r := get(t, c, "/?t=c&u=ann"); r.StatusCode != 200 {
			t.Error("after one has left:", r.Status)
		}
		if err := topics.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
