package hubtest

import (
	"sync"
	"time"
)

// patience is how long a helper waits for what has to come, before it fails the
// test. In a synctest bubble that takes no time.
const patience = 10 * time.Second

// A crew counts the goroutines of a Server, so that its end can wait for them.
type crew struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when there are none; nil where nobody waits
}

// start runs fn on a goroutine.
func (c *crew) start(fn func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	go func() { // ends with fn; wait waits
		defer c.done()
		fn()
	}()
}

func (c *crew) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait waits until there are no goroutines, at most d.
func (c *crew) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if c.n == 0 {
			c.mu.Unlock()
			return true
		}
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		select {
		case <-idle:
		case <-timer.C:
			return false
		}
	}
}

// A mailbox does what is put into it, one after the other, on a goroutine that
// is there only while there is something to do.
type mailbox struct {
	crew *crew

	mu    sync.Mutex // guards the following
	queue []func()
	runs  bool
}

func (m *mailbox) put(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, do)
	if !m.runs {
		m.runs = true
		m.crew.start(m.run) // ends when nothing is left to do
	}
}

func (m *mailbox) run() {
	for {
		m.mu.Lock()
		todo := m.queue
		if m.queue = nil; len(todo) == 0 {
			m.runs = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		for _, do := range todo {
			do()
		}
	}
}
