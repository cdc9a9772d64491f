package client_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

var seed = flag.Uint64("seed", 0, "seed of the cuts; 0 is a new one")

// statefulOnly runs a scenario against each server behind a proxy.
func statefulOnly(t *testing.T, run func(e *env, p *proxy)) {
	for _, peer := range peers {
		t.Run(peer.name, func(t *testing.T) {
			peer.at(t, "")
			for _, protocol := range []string{"json", "messagepack"} {
				t.Run(protocol, func(t *testing.T) {
					t.Parallel()
					e := newEnv(t, peer, way{client.WebSockets, protocol})
					run(e, newProxy(t, e.peer.at(t, "/stateful")))
				})
			}
		})
	}
}

// unnoticed are options of a connection whose losses nobody notices.
func unnoticed(e *env) *client.Options {
	return &client.Options{
		Stateful:       true,
		Reconnect:      client.Delays(0),
		OnReconnecting: func(_ *client.Conn, err error) { e.Errorf("reconnecting: %v", err) },
		OnClosed: func(_ *client.Conn, err error) {
			if err != nil {
				e.Errorf("closed: %v", err)
			}
		},
	}
}

func TestStatefulCut(t *testing.T) {
	statefulOnly(t, func(e *env, p *proxy) {
		var got box[string]
		opts := unnoticed(e)
		opts.Handlers = []hubwire.ClientHandler{got.on(receive)}
		c := e.dial(p.url, opts)
		id := c.ID()
		check(e, setItem.Call(e.ctx, c, itemArgs{Key: "k", Value: "v"}))
		answers := make(chan error, 1)
		go func() { // ends with the answer
			_, err := sleep.Call(e.ctx, c, 500)
			answers <- err
		}()
		time.Sleep(50 * time.Millisecond) // the call is under way
		p.cut()
		check(e, toCaller.Send(e.ctx, c, "while away"))
		check(e, <-answers)
		equal(e, got.next(e), "while away")
		equal(e, *result[*string](e)(getItem.Call(e.ctx, c, "k")), "v")
		equal(e, c.ID(), id)
		equal(e, c.State(), client.Connected)
		time.Sleep(300 * time.Millisecond) // the reference wants its cuts apart
		p.cut()
		echoes(e, c, echoInt, 1)
	})
}

// The network is away for a moment: the first attempts fail.
func TestStatefulAway(t *testing.T) {
	statefulOnly(t, func(e *env, p *proxy) {
		c := e.dial(p.url, unnoticed(e))
		p.door(false)
		p.cut()
		time.AfterFunc(time.Second, func() { p.door(true) })
		echoes(e, c, echoInt, 1)
	})
}

// A server that ends the connection is not asked to resume it.
func TestStatefulAbort(t *testing.T) {
	statefulOnly(t, func(e *env, p *proxy) {
		var happened course
		opts := happened.options()
		opts.Stateful, opts.Reconnect = true, client.Delays(0)
		c := e.dial(p.url, opts)
		_ = abort.Send(e.ctx, c, hubwire.None{})
		equal(e, happened.next(e), "closed: none")

		// What the server does not know any more is connected anew.
		happened = course{}
		opts = happened.options()
		opts.Stateful, opts.Reconnect, opts.MaxMessage = true, client.Delays(0), 700
		c = e.dial(p.url, opts)
		_, err := echoString.Call(e.ctx, c, strings.Repeat("x", 800))
		wantText(e, err, "more than 700 bytes")
		if m := happened.next(e); !strings.HasPrefix(m, "reconnecting: the server sent a message of more than 700 bytes") {
			e.Error(m)
		}
		equal(e, happened.next(e), "reconnected")
	})
}

// More is sent than the client's buffer takes.
func TestStatefulBuffer(t *testing.T) {
	statefulOnly(t, func(e *env, p *proxy) {
		opts := unnoticed(e)
		opts.StatefulBuffer = 500
		c := e.dial(p.url, opts)
		equal(e, result[int32](e)(sum.Call(e.ctx, c, upTo(40))), 39*20)
	})
}

// One upload over several cuts.
func TestStatefulUpload(t *testing.T) {
	statefulOnly(t, func(e *env, p *proxy) {
		c := e.dial(p.url, unnoticed(e))
		got, err := sum.Call(e.ctx, c, func(yield func(int32, error) bool) {
			for i := range int32(60) {
				if i%20 == 10 {
					time.Sleep(250 * time.Millisecond) // the reference wants its cuts apart
					p.cut()
				}
				if !yield(i, nil) {
					return
				}
			}
		})
		check(e, err)
		equal(e, got, 59*30)
	})
}

// Cuts at random bytes of what the server sends: nothing is lost, nothing comes
// twice, and the order is kept.
func TestStatefulSeededCuts(t *testing.T) {
	statefulOnly(t, func(e *env, p *proxy) {
		seed := *seed
		if seed == 0 {
			seed = rand.Uint64()
		}
		e.Logf("-seed %d", seed)
		var got box[string]
		opts := unnoticed(e)
		opts.Handlers = []hubwire.ClientHandler{got.on(receive), answer.With(func(_ context.Context, q string) (*string, error) { return &q, nil })}
		c := e.dial(p.url, opts)
		p.cutEvery(rand.New(rand.NewPCG(seed, seed)), 400)
		end := time.Now().Add(3 * time.Second)
		n := 0
		for ; time.Now().Before(end); n++ {
			text := strconv.Itoa(n)
			check(e, toCaller.Call(e.ctx, c, text))
			equal(e, got.next(e), text)
			equal(e, result[string](e)(echoString.Call(e.ctx, c, text)), text)
			equal(e, result[[]int32](e)(all(count.Open(e.ctx, c, 4))), []int32{0, 1, 2, 3})
			if e.peer.isOurs() {
				// The reference does not count an item that comes again when its
				// stream has ended, and takes what follows for doubled.
				equal(e, result[int32](e)(sum.Call(e.ctx, c, items[int32](1, 2, 3))), 6)
			}
			equal(e, *result[*string](e)(ask.Call(e.ctx, c, text)), text)
			if e.Failed() {
				break
			}
		}
		cuts := p.cutNoMore()
		echoes(e, c, echoInt, 1)
		e.Logf("%d rounds, %d cuts", n, cuts)
		if cuts < 3 {
			e.Errorf("%d cuts are too few", cuts)
		}
		equal(e, len(got.rest()), 0)
	})
}
