package demo

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
)

// The board of every room, in cells, and the number of colours with 0, which
// is none.
const (
	width   = 42
	height  = 28
	colours = 9
)

// A room is a board, who is there, and the bots that draw on it. It is a group
// of the hub by its name.
//
// Its events are sent under its lock: what a page sees has one order, and a
// snapshot is ahead of all that comes after it. Send waits for no page, so the
// lock is never held for long.
type room struct {
	name string
	hub  *hubwire.Hub

	mu     sync.Mutex // guards the following
	board  [height][width]byte
	people []person        // in the order in which they came, bots first
	guests int             // people that are no bots
	slots  [slotCount]slot // what bots know about parts of the board
	bots   []*bot          // their state between steps
	orders []order         // what people asked for and no bot has begun
	dabs   int             // cells painted since the room was made
	rest   func()          // ends the crew; nil while it rests
	crew   func(r *room)   // starts it
	ids    func() int      // the id of the next person
}

func newRoom(hub *hubwire.Hub, name string, ids func() int, crew func(*room), bots ...botKind) *room {
	r := &room{name: name, hub: hub, ids: ids, crew: crew}
	for _, kind := range bots {
		b := &bot{kind: kind, id: ids(), x: float64(rand.IntN(width)), y: float64(rand.IntN(height))}
		r.bots = append(r.bots, b)
		r.people = append(r.people, person{ID: b.id, Name: kind.name, Colour: kind.colour, Bot: true})
	}
	return r
}

func (r *room) group() hubwire.Audience { return r.hub.Group(r.name) }

// enter makes c a person of the room. c learns all about the room before it
// hears anything of it. Where the answer has an ID, leave is due, error or not.
func (r *room) enter(ctx context.Context, c *hubwire.Conn, name string) (person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := c.Join(ctx, r.name); err != nil {
		return person{}, err
	}
	p := person{ID: r.ids(), Name: r.freeNameLocked(tidyName(name)), Colour: r.freeColourLocked()}
	r.people = append(r.people, p)
	r.guests++
	if r.guests == 1 {
		r.crew(r)
	}
	if err := entered.Send(ctx, r.hub.Conns(c.ID()), r.snapshotLocked(p.ID)); err != nil {
		return p, err
	}
	return p, came.Send(ctx, c.OthersIn(r.name), p)
}

// leave ends what enter began, and rests the bots when nobody is left.
func (r *room) leave(ctx context.Context, c *hubwire.Conn, id int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.indexLocked(id)
	if i < 0 {
		return nil
	}
	r.people = append(r.people[:i], r.people[i+1:]...)
	r.guests--
	if r.guests == 0 && r.rest != nil {
		r.rest()
		r.rest = nil
	}
	return errors.Join(c.Leave(ctx, r.name), left.Send(ctx, r.group(), id))
}

// rename gives somebody a new name, which must not be empty.
func (r *room) rename(ctx context.Context, id int, name string) (string, error) {
	name = tidyName(name)
	if name == "" {
		return "", hubwire.Errorf(hubwire.CodeInvalidArgument, "A name needs a character that one can see.")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.indexLocked(id)
	if i < 0 {
		return "", errNotHere
	}
	r.people[i].Name = name
	return name, renamed.Send(ctx, r.group(), nameTag{Who: id, Name: name})
}

// move tells the others where somebody's cursor is. Only the newest place is
// worth knowing: a page that is behind skips the rest.
func (r *room) move(ctx context.Context, c *hubwire.Conn, id int, x, y float64) error {
	key := cursorKey(id)
	return moved.Send(ctx, hubwire.Latest(c.OthersIn(r.name), key), step{Who: id, X: clamp(x, width), Y: clamp(y, height)})
}

// paint colours a cell for everybody, the painter included: all pages see the
// strokes of a room in one order.
func (r *room) paint(ctx context.Context, id, x, y, colour int) error {
	if x < 0 || x >= width || y < 0 || y >= height || colour < 0 || colour >= colours {
		return hubwire.Errorf(hubwire.CodeOutOfRange, "There is no cell %d, %d, or no colour %d.", x, y, colour)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.indexLocked(id) < 0 {
		return errNotHere
	}
	if i := slotAt(x, y); i >= 0 {
		r.slots[i].touched = time.Now()
	}
	return r.paintLocked(ctx, id, x, y, byte(colour))
}

func (r *room) paintLocked(ctx context.Context, id, x, y int, colour byte) error {
	r.board[y][x] = colour
	r.dabs++
	return painted.Send(ctx, r.group(), stroke{Who: id, X: x, Y: y, Colour: int(colour)})
}

func (r *room) snapshotLocked(you int) snapshot {
	s := snapshot{Room: r.name, You: you, People: append([]person(nil), r.people...)}
	for _, row := range r.board {
		for x := range row {
			row[x] += '0'
		}
		s.Board = append(s.Board, string(row[:]))
	}
	return s
}

// count is how many people are there, and how many cells were painted ever.
func (r *room) count() (guests, dabs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.guests, r.dabs
}

func (r *room) indexLocked(id int) int {
	for i := range r.people {
		if r.people[i].ID == id {
			return i
		}
	}
	return -1
}

// freeNameLocked is name, or a friendly one that nobody in the room has.
func (r *room) freeNameLocked(name string) string {
	for try := 0; name == "" && try < 20; try++ {
		name = friendlyName()
		for i := range r.people {
			if r.people[i].Name == name && try < 19 {
				name = ""
				break
			}
		}
	}
	return name
}

// freeColourLocked is the colour that the fewest have. Ink is nobody's.
func (r *room) freeColourLocked() int {
	var used [colours]int
	for i := range r.people {
		used[r.people[i].Colour]++
	}
	// Colours far apart come first.
	best := 7
	for _, c := range [...]int{7, 3, 5, 8, 2, 6, 4} {
		if used[c] < used[best] {
			best = c
		}
	}
	return best
}

func clamp(v float64, limit int) float64 {
	if !(v > 0) { // NaN too
		return 0
	}
	return min(v, float64(limit))
}
