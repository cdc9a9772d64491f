package demo

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/hubwire/hubwire"
)

// Bots draw one motif after the other, each on a slot of the board, and keep
// away from where people have just painted. One goroutine a room, the crew,
// moves them while anybody is there; without guests a room costs nothing.

// A botKind says who a bot is and how it works.
type botKind struct {
	name   string
	colour int
	order  func(w, h int) []point // in which it fills a slot
	shy    bool                   // draws only what people ask for
}

// A bot is moved by the room's crew, under the room's lock.
type bot struct {
	kind botKind
	id   int
	x, y float64
	job  []dab // cells to paint; the bot travels to the first
	slot int   // where, while there is a job
	wait int   // steps to rest
}

const (
	// stepTime is the pace of the crew.
	stepTime = 80 * time.Millisecond
	// reach is how far a bot's cursor goes in a step, in cells. Pages draw the
	// way between.
	reach = 4.0
	// respect is how long bots leave a slot alone that somebody painted on.
	respect = 90 * time.Second
)

// Slots are the places for motifs: a grid with room around each.
const (
	slotColumns = 4
	slotRows    = 3
	slotCount   = slotColumns * slotRows
	slotWidth   = 10
	slotHeight  = 9
	slotLeft    = 1
)

type slot struct {
	busy    bool      // a bot has a job here
	motif   *motif    // what was drawn here last
	drawn   int       // the number of the job that was last here; the lowest is the oldest
	touched time.Time // when somebody last painted here
}

type point struct{ x, y int }

// slotAt is the slot that holds a cell, or -1.
func slotAt(x, y int) int {
	column, row := (x-slotLeft)/slotWidth, y/slotHeight
	if x < slotLeft || column >= slotColumns || row >= slotRows {
		return -1
	}
	return row*slotColumns + column
}

// work moves the room's bots until ctx ends.
func (r *room) work(ctx context.Context) {
	tick := time.NewTicker(stepTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		// A crew that was sent to rest takes no step beside its successor.
		for _, b := range r.bots {
			if ctx.Err() == nil {
				r.stepLocked(ctx, b)
			}
		}
		r.mu.Unlock()
	}
}

// stepLocked lets a bot do one thing. Its sends fail only while the hub shuts
// down, which ends the crew too.
func (r *room) stepLocked(ctx context.Context, b *bot) {
	switch {
	case b.wait > 0:
		b.wait--
	case len(b.job) == 0:
		if !r.planLocked(b) {
			b.wait = 5
			return
		}
	case r.board[b.job[0].Y][b.job[0].X] == byte(b.job[0].Colour):
		b.job = b.job[1:]
		if len(b.job) == 0 {
			r.doneLocked(b)
			return
		}
		r.stepLocked(ctx, b)
	case b.travel(float64(b.job[0].X)+0.5, float64(b.job[0].Y)+0.5):
		_ = moved.Send(ctx, hubwire.Latest(r.group(), cursorKey(b.id)), step{Who: b.id, X: round(b.x), Y: round(b.y)})
		b.wait = 1
	default:
		next := b.job[0]
		b.x, b.y = float64(next.X)+0.5, float64(next.Y)+0.5
		_ = r.paintLocked(ctx, b.id, next.X, next.Y, byte(next.Colour))
		b.job = b.job[1:]
		b.wait = 1
		if len(b.job) == 0 {
			r.doneLocked(b)
		}
	}
}

func (r *room) doneLocked(b *bot) {
	r.slots[b.slot].busy = false
	b.wait = 8 + rand.IntN(16)
}

// travel moves the bot towards a place and reports whether it had to: a stroke
// moves the cursor too, so that a step to a cell nearby needs no message.
func (b *bot) travel(x, y float64) bool {
	dx, dy := x-b.x, y-b.y
	d := math.Hypot(dx, dy)
	if d <= reach {
		return false
	}
	b.x += dx / d * reach
	b.y += dy / d * reach
	return true
}

// planLocked gives the bot its next job: what people asked for comes first.
func (r *room) planLocked(b *bot) bool {
	asked := slices.IndexFunc(r.orders, func(o order) bool { return o.Bot == b.kind.name })
	if asked < 0 && b.kind.shy {
		return false
	}
	slot := r.freeSlotLocked(asked >= 0)
	if slot < 0 {
		return false
	}
	m := r.unseenLocked()
	if asked >= 0 {
		m = motifNamed(r.orders[asked].Motif)
		r.orders = slices.Delete(r.orders, asked, asked+1)
	}
	r.drawLocked(b, slot, m)
	return true
}

// unseenLocked is a motif that is not on the board, if there is one.
func (r *room) unseenLocked() *motif {
	seen := map[*motif]bool{}
	for _, s := range r.slots {
		seen[s.motif] = true
	}
	m := &motifs[rand.IntN(len(motifs))]
	for try := 0; seen[m] && try < 20; try++ {
		m = &motifs[rand.IntN(len(motifs))]
	}
	return m
}

// drawLocked plans a motif on a slot: every cell that is not yet as it shall
// be, in the bot's own order.
func (r *room) drawLocked(b *bot, i int, m *motif) {
	left, top := slotLeft+i%slotColumns*slotWidth, i/slotColumns*slotHeight
	dx, dy := rand.IntN(slotWidth-motifSize+1), rand.IntN(slotHeight-motifSize+1)
	b.slot, b.job = i, b.job[:0]
	for _, p := range b.kind.order(slotWidth, slotHeight) {
		var colour byte
		if x, y := p.x-dx, p.y-dy; x >= 0 && x < motifSize && y >= 0 && y < motifSize {
			colour = m.at(x, y)
		}
		if r.board[top+p.y][left+p.x] != colour {
			b.job = append(b.job, dab{X: left + p.x, Y: top + p.y, Colour: int(colour)})
		}
	}
	r.slots[i].busy, r.slots[i].motif = true, m
	newest := 0
	for _, s := range r.slots {
		newest = max(newest, s.drawn)
	}
	r.slots[i].drawn = newest + 1
}

// freeSlotLocked is one of the slots that have been as they are the longest,
// or -1. Only what people asked for may go where they paint.
func (r *room) freeSlotLocked(asked bool) int {
	var free []int
	now := time.Now()
	for i, s := range r.slots {
		if !s.busy && (asked || now.Sub(s.touched) > respect) {
			free = append(free, i)
		}
	}
	if len(free) == 0 {
		return -1
	}
	slices.SortFunc(free, func(a, b int) int { return cmp.Compare(r.slots[a].drawn, r.slots[b].drawn) })
	return free[rand.IntN(min(len(free), 3))]
}

// furnish draws a few motifs at once, so that the first guest finds something.
func (r *room) furnish(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pen := bot{kind: botKind{order: byRows}}
	for range n {
		r.drawLocked(&pen, r.freeSlotLocked(false), r.unseenLocked())
		for _, d := range pen.job {
			r.board[d.Y][d.X] = byte(d.Colour)
		}
		r.slots[pen.slot].busy = false
	}
}

// ask takes an order for one of the room's bots.
func (r *room) ask(o order) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.orders) >= slotCount {
		return hubwire.Errorf(hubwire.CodeResourceExhausted, "The bots have their hands full. Ask again in a minute.")
	}
	r.orders = append(r.orders, o)
	return nil
}

// anyBot is the bot with the least to do, by name.
func (r *room) anyBot() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	best := r.bots[0]
	for _, b := range r.bots[1:] {
		if len(b.job) < len(best.job) {
			best = b
		}
	}
	return best.kind.name
}

// byRows goes to and fro, like a weaver.
func byRows(w, h int) []point {
	var order []point
	for y := range h {
		for i := range w {
			if x := i; y%2 == 0 {
				order = append(order, point{x, y})
			} else {
				order = append(order, point{w - 1 - x, y})
			}
		}
	}
	return order
}

// byColumns is byRows, turned.
func byColumns(w, h int) []point {
	order := byRows(h, w)
	for i, p := range order {
		order[i] = point{p.y, p.x}
	}
	return order
}

// fromCentre grows in rings.
func fromCentre(w, h int) []point {
	order := byRows(w, h)
	key := func(p point) (ring, angle float64) {
		x, y := float64(2*p.x-w+1), float64(2*p.y-h+1)
		return math.Floor(math.Hypot(x, y) / 2), math.Atan2(y, x)
	}
	slices.SortStableFunc(order, func(a, b point) int {
		ringA, angleA := key(a)
		ringB, angleB := key(b)
		return cmp.Or(cmp.Compare(ringA, ringB), cmp.Compare(angleA, angleB))
	})
	return order
}

func cursorKey(id int) string { return "cursor " + strconv.Itoa(id) }

// round keeps a tenth of a cell: finer is not seen, and longer on the wire.
func round(v float64) float64 { return math.Round(v*10) / 10 }
