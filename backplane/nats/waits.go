package nats

import (
	"sort"
	"sync"
	"time"
)

// A wait is one publish whose outcome is not known yet.
type wait struct {
	nonce uint64
	by    stamp // who was asked for a place; zero: NATS alone
	token string
	at    time.Time
	over  bool
	blind bool        // the event would not be seen here: it was unsubscribed meanwhile
	done  chan error  // has room for the outcome
	then  func(error) // instead of done; called under the end's lock
}

// outcomes are the channels of waits.
var outcomes = sync.Pool{New: func() any { return make(chan error, 1) }}

func (w *wait) resolve(err error) {
	w.over = true
	if w.then != nil {
		w.then(err)
		return
	}
	w.done <- err
}

// Waits are in the order of their nonces, which is that of their beginning.
type waits struct {
	list []wait
	from int // those before are over
}

func (q *waits) add(w wait) { q.list = append(q.list, w) }

func (q *waits) trim() {
	for q.from < len(q.list) && q.list[q.from].over {
		q.list[q.from] = wait{over: true}
		q.from++
	}
	if q.from == len(q.list) {
		q.list, q.from = q.list[:0], 0
		if cap(q.list) > 1<<12 {
			q.list = nil
		}
	} else if q.from > 64 && q.from > len(q.list)/2 {
		n := copy(q.list, q.list[q.from:])
		clear(q.list[n:])
		q.list, q.from = q.list[:n], 0
	}
}

// upTo ends all waits up to a nonce for which which is true, or all. What is
// begun meanwhile is not among them.
func (q *waits) upTo(nonce uint64, err error, which func(*wait) bool) {
	for i, n := q.from, len(q.list); i < n && q.list[i].nonce <= nonce; i++ {
		if w := &q.list[i]; !w.over && (which == nil || which(w)) {
			w.resolve(err)
		}
	}
	q.trim()
}

// one ends the wait with a nonce, if there is one.
func (q *waits) one(nonce uint64, err error) (by stamp, ok bool) {
	list := q.list[q.from:]
	i := sort.Search(len(list), func(i int) bool { return list[i].nonce >= nonce })
	if i == len(list) || list[i].nonce != nonce || list[i].over {
		return stamp{}, false
	}
	by = list[i].by
	list[i].resolve(err)
	q.trim()
	return by, true
}

// old ends those that have waited since before a time.
func (q *waits) old(before time.Time, err error) {
	for i, n := q.from, len(q.list); i < n && q.list[i].at.Before(before); i++ {
		if w := &q.list[i]; !w.over {
			w.resolve(err)
		}
	}
	q.trim()
}

// each calls f for each that is not over.
func (q *waits) each(f func(*wait)) {
	for i := range q.list[q.from:] {
		if w := &q.list[q.from+i]; !w.over {
			f(w)
		}
	}
}

func (q *waits) empty() bool { return q.from == len(q.list) }

// newest is the wait that began last; there must be one.
func (q *waits) newest() *wait { return &q.list[len(q.list)-1] }

// blind says of those for a token that their events will not be seen, and whether
// there are any.
func (q *waits) blind(token string) (any bool) {
	q.each(func(w *wait) {
		if w.token == token {
			w.blind, any = true, true
		}
	})
	return any
}
