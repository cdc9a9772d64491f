package nats

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A world is a NATS server and nodes, in a time of its own: the server takes what
// each sends in order and puts it into everybody's line; lines and senders move
// in any order that chance gives.
type world struct {
	rnd   *rand.Rand
	now   time.Time
	nodes []*voter
}

type voter struct {
	world *world
	x     election
	up    bool
	out   []func() // what the server has not taken yet
	in    []func() // what it has put in line
	asked bool     // it answers questions
	bound stamp
}

func newWorld(seed uint64, n int) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), now: time.UnixMilli(1764066000000)}
	for i := range n {
		v := &voter{world: w}
		id := uint64(i + 1)
		v.x = election{
			me: id, far: func() bool { return false },
			send: func(what byte, s stamp, to uint64) {
				f := &frame{kind: frameElect, what: what, by: s, to: to}
				v.out = append(v.out, func() {
					for _, o := range w.nodes {
						if !o.up {
							continue
						}
						o.in = append(o.in, func() { o.x.hear(f, w.now) })
					}
				})
			},
			mark: func() {
				v.out = append(v.out, func() { v.in = append(v.in, func() { v.x.probed(w.now) }) })
			},
			ask: func() {
				v.out = append(v.out, func() {
					some := false
					for _, o := range w.nodes {
						if !o.asked || !o.up {
							continue
						}
						some = true
						o.in = append(o.in, func() {
							if what, by, ok := o.x.answer(); ok {
								f := &frame{kind: frameElect, what: what, by: by}
								o.out = append(o.out, func() { v.in = append(v.in, func() { v.x.hear(f, w.now) }) })
							}
						})
					}
					if !some {
						v.in = append(v.in, func() { v.x.nobody(w.now) })
					}
				})
			},
			stand: func(now bool) { v.out = append(v.out, func() { v.asked = now }) },
			leads: func(now bool) {
				if v.bound = (stamp{}); now {
					v.bound = v.x.mine
				}
			},
			lost: func(stamp, bool) {},
		}
		w.nodes = append(w.nodes, v)
	}
	return w
}

// step moves one thing, or time where there is nothing to move.
func (w *world) step() {
	var can []func()
	for _, v := range w.nodes {
		if len(v.out) > 0 {
			can = append(can, func() {
				f := v.out[0]
				v.out = v.out[1:]
				f()
			})
		}
		if len(v.in) > 0 {
			can = append(can, func() {
				f := v.in[0]
				v.in = v.in[1:]
				if v.up {
					f()
				}
			})
		}
	}
	if len(can) > 0 && w.rnd.IntN(200) > 0 {
		can[w.rnd.IntN(len(can))]()
		return
	}
	w.now = w.now.Add(tickEvery)
	for _, v := range w.nodes {
		if v.up {
			v.x.tick(w.now)
		}
	}
}

func (w *world) leaders() (all []stamp) {
	for _, v := range w.nodes {
		if v.up && v.bound != (stamp{}) {
			all = append(all, v.bound)
		}
	}
	return all
}

// settle runs until all that are up follow one leader, and fails if two lead at a
// time. clean is off where a leader has died without a word.
func (w *world) settle(t *testing.T, clean bool) {
	t.Helper()
	for range 200_000 {
		w.step()
		ls := w.leaders()
		if len(ls) > 1 && clean {
			t.Fatalf("%v lead at a time", ls)
		}
		if len(ls) == 1 {
			agreed := true
			for _, v := range w.nodes {
				if v.up && v.x.lead != ls[0] {
					agreed = false
				}
			}
			if agreed {
				return
			}
		}
	}
	t.Fatal("they do not agree")
}

// Whatever the order in which things happen, one node leads, and never two where
// nobody is cut off.
func TestElection(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(seed, 2+int(seed%5))
			for _, v := range w.nodes {
				v.up = true
				v.x.begin(w.now)
				for range w.rnd.IntN(20) {
					w.step()
				}
			}
			w.settle(t, true)
			// The one that leads takes its leave, and names another or nobody.
			for i, v := range w.nodes {
				if v.bound != (stamp{}) {
					v.x.resign(uint64(w.rnd.IntN(2)*(1+(i+1)%len(w.nodes))), w.now)
					break
				}
			}
			w.settle(t, true)
			// It dies.
			for _, v := range w.nodes {
				if len(w.leaders()) == 1 && v.bound != (stamp{}) && len(w.nodes) > 2 {
					v.up, v.asked, v.out = false, false, nil
					last := v.bound
					for _, o := range w.nodes {
						if o.up && w.rnd.IntN(2) == 0 {
							o.x.gone(last, w.now)
						}
					}
				}
			}
			w.settle(t, false)
			// It comes back from a long sleep and finds that others have gone on.
			for _, v := range w.nodes {
				if !v.up {
					v.up, v.in = true, nil
					v.x.begin(w.now)
					v.bound = stamp{}
				}
			}
			w.settle(t, true)
		})
	}
}

// A node whose clock is years behind is heard too.
func TestElectionSkew(t *testing.T) {
	w := newWorld(1, 3)
	for _, v := range w.nodes {
		v.up = true
		v.x.begin(w.now)
	}
	w.settle(t, true)
	high := w.leaders()[0]
	w.now = w.now.Add(-1000 * time.Hour)
	for _, v := range w.nodes {
		v.x.begin(w.now)
		v.bound, v.asked, v.in, v.out = stamp{}, false, nil, nil
		v.x.begin(w.now)
	}
	w.nodes[0].x.fence = stamp{} // it knows nothing of the terms before
	w.settle(t, true)
	if l := w.leaders()[0]; !high.less(l) {
		t.Errorf("%v leads after %v", l, high)
	}
}
