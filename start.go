package hubwire

import "runtime"

// startLocked puts a call behind those that wait and starts what can start.
func (c *Conn) startLocked(call *Call) {
	t := &c.calls
	if t.tail == nil {
		t.head = call
	} else {
		t.tail.next = call
	}
	t.tail = call
	t.waiting.Add(1)
	if !t.turns || t.slot != nil {
		c.spawnLocked()
	}
}

// spawnLocked starts a worker where the call that waits in front may start. One
// at a time is on its way; it starts the next when its call may begin.
func (c *Conn) spawnLocked() {
	t := &c.calls
	if t.spawned || !c.startableLocked() {
		return
	}
	t.spawned = true
	go c.work() // ends with its call, and those that wait behind it
}

// startableLocked reports whether the call that waits in front may start.
func (c *Conn) startableLocked() bool {
	t := &c.calls
	if t.head == nil || t.ended {
		return false
	}
	return !t.head.ordinary() || t.free > 0 && (!c.flags.has(isOver) || t.drains)
}

// nextLocked takes the call that waits in front, if it may start.
func (c *Conn) nextLocked() *Call {
	t := &c.calls
	if !c.startableLocked() {
		return nil
	}
	call := t.head
	if call.ordinary() {
		t.free--
	} else {
		t.held += call.in.Size + callCost
	}
	t.freeLocked(call.in.Size)
	if t.head = call.next; t.head == nil {
		t.tail = nil
	}
	call.next = nil
	t.addLocked(call)
	if !call.in.Stream {
		t.unary++
	}
	t.waiting.Add(-1)
	call.number = t.taken
	t.taken++
	return call
}

// await waits until the call that came before has begun, that is, until its
// handler or its first filter is about to run. So handlers begin in the order in
// which the calls came, also where several run at a time. Mostly it has begun
// already, or will in no time.
func (c *Call) await() {
	t := &c.conn.calls
	for i := 0; t.begins.Load() != c.number; i++ {
		if i < 50 || t.soon.Load() == c.number {
			runtime.Gosched()
			continue
		}
		i = 0
		t.mu.Lock()
		if t.parks == nil {
			t.parks = map[uint32]chan struct{}{}
		}
		wake := make(chan struct{})
		t.parks[c.number] = wake
		t.parked.Add(1)
		t.mu.Unlock()
		if t.soon.Load() != c.number { // else nobody may have seen us
			<-wake // closed by begin of the call before
		}
		t.mu.Lock()
		delete(t.parks, c.number)
		t.parked.Add(-1)
		t.mu.Unlock()
	}
	if t.waiting.Load() > 0 {
		c.conn.pump()
	}
}

// begin lets the next call begin. Waking takes a while and may run the next on
// another processor, so it comes first: nothing must stand between the last
// store and the handler.
func (c *Call) begin() {
	if c.begun {
		return
	}
	c.begun = true
	t := &c.conn.calls
	next := c.number + 1
	t.soon.Store(next)
	if t.parked.Load() > 0 {
		t.mu.Lock()
		if wake := t.parks[next]; wake != nil {
			close(wake)
			delete(t.parks, next)
		}
		t.mu.Unlock()
	}
	t.begins.Store(next)
}

// pump starts what can start.
func (c *Conn) pump() {
	c.calls.mu.Lock()
	c.spawnLocked()
	c.calls.mu.Unlock()
}

// work takes a call, runs it, and then those that wait.
func (c *Conn) work() {
	t := &c.calls
	t.mu.Lock()
	c.workLocked()
	over := t.retires && t.retiredLocked()
	t.mu.Unlock()
	if over {
		c.close(ErrShutdown, true)
	}
}

// workLocked is work; the lock is not held while a call runs.
func (c *Conn) workLocked() {
	t := &c.calls
	t.spawned = false
	for {
		if t.slot != nil && t.head != nil && !t.head.ordinary() {
			c.spawnLocked() // a stream lasts, and is not for the reader
			break
		}
		call := c.nextLocked()
		if call == nil {
			break
		}
		t.mu.Unlock()
		c.run(call)
		t.mu.Lock()
		t.doneLocked(call)
		if call.in.Free != nil && call.forgotten() {
			call.in.Free()
		}
	}
}

// forgotten reports whether nobody can have an ordinary call any more that has
// ended. A filter can: one that bounds the time of a handler runs it on a goroutine
// of its own, and leaves it with the call in its hands.
func (c *Call) forgotten() bool { return c.ordinary() && (c.h == nil || !c.h.filtered) }

// exit does what is left to do when the goroutine of a call ends with
// runtime.Goexit, as that of a handler which gives up a test does.
func (c *Conn) exit(call *Call) {
	t := &c.calls
	t.mu.Lock()
	t.doneLocked(call)
	c.spawnLocked()
	over := t.retires && t.retiredLocked()
	t.mu.Unlock()
	if over {
		c.close(ErrShutdown, true)
	}
}

// retiredLocked reports whether all calls that came before retire have ended,
// streams aside: those end with the connection.
func (t *calls) retiredLocked() bool { return t.unary == 0 && t.head == nil }

// retire takes no new calls and closes the connection once those that it has
// are done.
func (c *Conn) retire() {
	t := &c.calls
	t.mu.Lock()
	t.retires = true
	over := t.retiredLocked()
	t.mu.Unlock()
	if over {
		c.close(ErrShutdown, true)
	}
}

// release gives the call's place back while it waits for its client. It does so
// once; the call goes on without one.
func (x *callCtx) release() {
	t := &x.conn.calls
	t.mu.Lock()
	c := x.call
	if c == nil || c.released || !c.ordinary() {
		t.mu.Unlock()
		return
	}
	c.released = true
	t.free++
	t.held += c.in.Size + callCost
	t.mu.Unlock()
	x.conn.pump()
}
