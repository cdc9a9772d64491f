// Package demo is the hub behind hubwire demo: rooms with a shared board, bots
// that draw on it, and one call for each thing that a hub can do.
package demo

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire"
)

// A Demo is the hub and its rooms. Its only goroutines besides the hub's are
// the crews of rooms with guests; Shutdown ends them.
type Demo struct {
	hub    *hubwire.Hub
	rooms  []*room
	ctx    context.Context // of the crews
	cancel context.CancelFunc
	crews  sync.WaitGroup
	lastID atomic.Int64
	events atomic.Int64 // sends of the hub, ever
}

// seat is where a connection sits: set by Enter.
const seat hubwire.Key[place] = "seat"

type place struct {
	room *room
	id   int
}

var errNotHere = hubwire.Errorf(hubwire.CodeFailedPrecondition, "Enter a room first.")

// answerTime is how long a page may think about a bot's question.
const answerTime = 20 * time.Second

// New makes the hub and its rooms. logger gets the hub's log.
func New(logger *slog.Logger) *Demo {
	d := &Demo{}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.hub = hubwire.New(&hubwire.Options{
		Name:           "demo",
		MaxConnections: 256,
		Disconnect:     d.disconnect,
		Logger:         logger,
		Metrics:        d,
	})
	d.hub.Handle(
		enter.With(d.enter),
		rename.With(d.rename),
		move.With(d.move),
		paint.With(d.paint),
		listMotifs.With(func(context.Context, *hubwire.Conn, hubwire.None) ([]motif, error) { return motifs, nil }),
		echo.With(func(_ context.Context, _ *hubwire.Conn, n int) (int, error) { return n, nil }),
		pulse.With(d.pulse),
		stamp.With(d.stamp),
		commission.With(d.commission),
	)
	id := func() int { return int(d.lastID.Add(1)) }
	d.rooms = []*room{
		newRoom(d.hub, "Lobby", id, d.crew,
			botKind{name: "Ada", colour: 2, order: byRows},
			botKind{name: "Hedy", colour: 6, order: fromCentre},
			botKind{name: "Radia", colour: 8, order: byColumns}),
		newRoom(d.hub, "Studio", id, d.crew, botKind{name: "Grace", colour: 5, order: fromCentre}),
		newRoom(d.hub, "Attic", id, d.crew, botKind{name: "Mouse", colour: 4, order: byRows, shy: true}),
	}
	d.rooms[0].furnish(6)
	d.rooms[1].furnish(3)
	return d
}

// Hub is the hub, to be mounted.
func (d *Demo) Hub() *hubwire.Hub { return d.hub }

// Shutdown ends the bots, tells every page to come back later, and waits for
// what runs, as Hub.Shutdown.
func (d *Demo) Shutdown(ctx context.Context) error {
	d.cancel()
	err := d.hub.Shutdown(ctx)
	d.crews.Wait()
	return err
}

// Add makes the Demo the hub's Metrics: it counts the sends.
func (d *Demo) Add(name, _ string, n int64) {
	if name == "events" {
		d.events.Add(n)
	}
}

// crew sets the bots of a room to work. The room calls it under its lock when
// the first guest comes, and rest when the last has left.
func (d *Demo) crew(r *room) {
	ctx, cancel := context.WithCancel(d.ctx)
	r.rest = cancel
	d.crews.Go(func() { r.work(ctx) }) // ends with rest or Shutdown
}

func (d *Demo) enter(ctx context.Context, c *hubwire.Conn, in entry) (person, error) {
	i := slices.IndexFunc(d.rooms, func(r *room) bool { return r.name == in.Room })
	if i < 0 {
		return person{}, hubwire.Errorf(hubwire.CodeNotFound, "There is no room %q.", in.Room)
	}
	if at, ok := seat.Get(c); ok {
		seat.Delete(c)
		if err := at.room.leave(ctx, c, at.id); err != nil {
			return person{}, err
		}
	}
	p, err := d.rooms[i].enter(ctx, c, in.Name)
	if p.ID != 0 {
		seat.Set(c, place{d.rooms[i], p.ID})
	}
	return p, err
}

func (d *Demo) disconnect(ctx context.Context, c *hubwire.Conn, _ error) {
	if at, ok := seat.Get(c); ok {
		_ = at.room.leave(ctx, c, at.id) // fails only while the hub shuts down
	}
}

func (d *Demo) rename(ctx context.Context, c *hubwire.Conn, name string) (string, error) {
	at, ok := seat.Get(c)
	if !ok {
		return "", errNotHere
	}
	return at.room.rename(ctx, at.id, name)
}

func (d *Demo) move(ctx context.Context, c *hubwire.Conn, to spot) error {
	at, ok := seat.Get(c)
	if !ok {
		return errNotHere
	}
	return at.room.move(ctx, c, at.id, to.X, to.Y)
}

func (d *Demo) paint(ctx context.Context, c *hubwire.Conn, in dab) error {
	at, ok := seat.Get(c)
	if !ok {
		return errNotHere
	}
	return at.room.paint(ctx, at.id, in.X, in.Y, in.Colour)
}

// stamp paints what comes until the page has sent all of it, or has left.
func (d *Demo) stamp(ctx context.Context, c *hubwire.Conn, cells iter.Seq2[cell, error]) (int, error) {
	at, ok := seat.Get(c)
	if !ok {
		return 0, errNotHere
	}
	n := 0
	for v, err := range cells {
		if err != nil {
			return n, err
		}
		if n == width*height {
			return n, hubwire.Errorf(hubwire.CodeResourceExhausted, "A stamp is no larger than the board.")
		}
		if err := at.room.paint(ctx, at.id, v.X, v.Y, v.Colour); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (d *Demo) pulse(ctx context.Context, c *hubwire.Conn, ms int) iter.Seq2[beat, error] {
	return func(yield func(beat, error) bool) {
		tick := time.NewTicker(time.Duration(min(max(ms, 100), 10_000)) * time.Millisecond)
		defer tick.Stop()
		heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		events, dabs, room := d.events.Load(), 0, (*room)(nil)
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var b beat
			if at, ok := seat.Get(c); ok {
				people, now := at.room.count()
				if at.room == room {
					b.Cells = now - dabs
				}
				b.People, dabs, room = people, now, at.room
			}
			now := d.events.Load()
			b.Events, events = int(now-events), now
			metrics.Read(heap)
			b.Goroutines, b.HeapKB = runtime.NumGoroutine(), int(heap[0].Value.Uint64()>>10)
			if !yield(b, nil) {
				return
			}
		}
	}
}

// commission asks the page what to draw: the hub calls the one that is calling
// it, and answers with what came of it.
func (d *Demo) commission(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (order, error) {
	at, ok := seat.Get(c)
	if !ok {
		return order{}, errNotHere
	}
	q := question{Bot: at.room.anyBot(), Seconds: int(answerTime / time.Second)}
	for _, i := range rand.Perm(len(motifs))[:4] {
		q.Motifs = append(q.Motifs, motifs[i].Name)
	}
	wait, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)() // a shutdown waits for no answer
	choice, err := chooseMotif.Call(wait, c, q)
	switch {
	case d.ctx.Err() != nil:
		return order{}, hubwire.Errorf(hubwire.CodeUnavailable, "The demo is shutting down.")
	case errors.Is(wait.Err(), context.DeadlineExceeded):
		return order{}, hubwire.Errorf(hubwire.CodeDeadlineExceeded, "%s got no answer in %d seconds.", q.Bot, q.Seconds)
	case err != nil:
		return order{}, err
	case !slices.Contains(q.Motifs, choice):
		return order{}, hubwire.Errorf(hubwire.CodeInvalidArgument, "%s cannot draw %q.", q.Bot, choice)
	}
	o := order{Bot: q.Bot, Motif: choice}
	return o, at.room.ask(o)
}
