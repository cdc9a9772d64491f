package sse

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Drain takes leave of streams before the server goes down: each is told a
// random time after which to come back and is ended in good order, at a moment
// of its own, so that the clients do not reach the next server all at once.
//
//	var drain sse.Drain
//	srv := &http.Server{Handler: drain.Handler(mux)}
//	srv.RegisterOnShutdown(drain.Start)
//
// A Drain knows the streams of the requests that came through its Handler, those
// of a [Mount] and of a [Topics] among them; a Topics can also be shut down by
// itself. The fields must be set before its first use. All
// methods may be called at the same time.
type Drain struct {
	// Window is the time over which the streams are ended. Defaults to none: all
	// at once.
	Window time.Duration
	// Retry is the longest time after which a client comes back: each is told a
	// random one between a tenth of it and all of it. Defaults to 10 s.
	Retry time.Duration
	// Bye is sent before the end. Defaults to nothing.
	Bye *Event[string]

	mu      sync.Mutex // guards the following
	streams map[leaver]context.CancelCauseFunc
	on      bool
	done    chan struct{} // closed when the last stream is gone after Start; made on demand
}

const defaultRetry = 10 * time.Second

// A leaver is a stream that can be taken leave of.
type leaver interface {
	// part ends the stream with the last words. It may wait for the client.
	part(words)
}

// drained is a request's link to the Drain above it.
type drained struct {
	d      *Drain
	cancel context.CancelCauseFunc // of the request's context
}

type drainKey struct{}

func drainOf(ctx context.Context) *drained {
	d, _ := ctx.Value(drainKey{}).(*drained)
	return d
}

// Handler is next, whose streams d drains: the context of their requests ends
// when their time has come. Once d has started, requests for streams are refused:
// browsers see a broken connection, as 503 would end an EventSource for good, and
// others 503 with Retry-After.
func (d *Drain) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.started() && strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			refuse(w, r, d.Retry)
			return
		}
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		ctx = context.WithValue(ctx, drainKey{}, &drained{d, cancel})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// refuse turns a request away that comes too late.
func refuse(w http.ResponseWriter, r *http.Request, retry time.Duration) {
	if r.Header.Get("Sec-Fetch-Mode") != "" {
		panic(http.ErrAbortHandler)
	}
	refuseStatus(w, http.StatusServiceUnavailable, retry)
}

func (d *Drain) started() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on
}

// Start starts to drain and returns at once. Starting again does nothing.
func (d *Drain) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on {
		return
	}
	d.on = true
	i, n := 0, len(d.streams)
	for s, cancel := range d.streams {
		at := time.Duration(int64(d.Window) / int64(n) * int64(i))
		i++
		// The timer's goroutine writes, for as long as the write timeout.
		time.AfterFunc(at, func() { s.part(words{spread(d.Retry), d.Bye, cancel}) })
	}
	d.settleLocked()
}

// Wait waits until all streams have ended after Start, or for ctx.
func (d *Drain) Wait(ctx context.Context) error {
	d.mu.Lock()
	if d.done == nil {
		d.done = make(chan struct{})
	}
	done := d.done
	d.settleLocked()
	d.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Drain) settleLocked() {
	if d.on && len(d.streams) == 0 && d.done != nil {
		select {
		case <-d.done:
		default:
			close(d.done)
		}
	}
}

// add is called when a stream begins. One that outlives its request is detached.
func (l *drained) add(s leaver, detached bool) {
	if l == nil {
		return
	}
	d := l.d
	d.mu.Lock()
	defer d.mu.Unlock()
	cancel := l.cancel
	if detached {
		cancel = nil // the request will be over
	}
	if d.on { // it slipped in: no wait
		time.AfterFunc(0, func() { s.part(words{spread(d.Retry), d.Bye, cancel}) })
	}
	if d.streams == nil {
		d.streams = map[leaver]context.CancelCauseFunc{}
	}
	d.streams[s] = cancel
}

// remove is called at a stream's end.
func (l *drained) remove(s leaver) {
	if l == nil {
		return
	}
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	delete(l.d.streams, s)
	l.d.settleLocked()
}

// spread is a random time from a tenth of longest to all of it.
func spread(longest time.Duration) time.Duration {
	if longest <= 0 {
		longest = defaultRetry
	}
	least := max(longest/10, time.Millisecond)
	return least + time.Duration(rand.Int64N(int64(max(longest-least, 0))+1))
}

// appendFarewell appends the last words of a stream.
func appendFarewell(dst []byte, retry time.Duration, bye *Event[string]) ([]byte, error) {
	dst, err := AppendRetry(dst, retry)
	if err != nil || bye == nil {
		return dst, err
	}
	return Append(dst, *bye)
}
