package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
)

// Phases of a load.
const (
	phaseWarm    = int32(iota) // load runs, latencies are not kept
	phaseMeasure               // load runs, latencies are kept
	phaseDrain                 // nothing new is sent
	phaseStop
)

// A worker owns all connections and one epoll set. Its loop runs on one
// goroutine at a time; the atomics are what others read meanwhile.
type worker struct {
	cfg   *config
	p     proto
	phase atomic.Int32
	recv  atomic.Int64 // records with a stamp, since the load began
	sent  atomic.Int64 // echo requests, or broadcasts, since the load began
	dead  atomic.Int64
	first atomic.Pointer[error] // the first connection's end

	// of the loop alone while it runs
	began      time.Time
	epfd       int
	conns      []*conn
	byFD       map[int32]*conn
	buf        []byte
	out        []byte // the frame being built
	answer     []byte // pongs that a protocol asks for
	payload    []byte
	lat        hist
	got        int64 // this turn's share of recv
	reads      int64 // read(2) calls that gave bytes
	msgs       int64 // WebSocket messages
	maxMessage int64
	maxJoined  int64
	disorder   int64
	pingAt     time.Time // when the next connections are due for a keep-alive
	pinged     int       // index of the connection that comes next
}

func newWorker(cfg *config, p proto) (*worker, error) {
	epfd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &worker{
		cfg: cfg, p: p, epfd: epfd, byFD: map[int32]*conn{},
		buf: make([]byte, 256<<10), payload: bytes.Repeat([]byte("x"), max(cfg.Size, stampSize)),
		pingAt: time.Now().Add(cfg.Ping),
	}, nil
}

func now() int64 { return time.Now().UnixNano() }

func (w *worker) add(c *conn) error {
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return err
	}
	w.conns = append(w.conns, c)
	w.byFD[int32(c.fd)] = c
	return syscall.EpollCtl(w.epfd, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)})
}

const stampSize = 21

// stamp fills the payload: a letter, "@", 19 digits of nanoseconds, and padding.
func (w *worker) stamp(ts int64) []byte {
	p := w.payload
	p[0], p[1] = 'E', '@'
	for i := 20; i >= 2; i-- {
		p[i] = byte('0' + ts%10)
		ts /= 10
	}
	return p
}

// stampOf is the stamp of a record, wherever it stands in it.
func stampOf(rec []byte) (int64, bool) {
next:
	for {
		// '@' may also be a length byte of a binary protocol.
		i := bytes.IndexByte(rec, '@')
		if i < 0 || len(rec) < i+20 {
			return 0, false
		}
		digits := rec[i+1 : i+20]
		rec = rec[i+1:]
		var ts int64
		for _, d := range digits {
			if d < '0' || d > '9' {
				continue next
			}
			ts = ts*10 + int64(d-'0')
		}
		return ts, true
	}
}

func (w *worker) end(c *conn, err error) {
	if c.dead {
		return
	}
	c.dead = true
	w.dead.Add(1)
	err = fmt.Errorf("connection %d: %w", c.id, err)
	w.first.CompareAndSwap(nil, &err)
	syscall.EpollCtl(w.epfd, syscall.EPOLL_CTL_DEL, c.fd, nil)
	syscall.Close(c.fd)
	delete(w.byFD, int32(c.fd))
}

func (w *worker) send(c *conn, b []byte) {
	if c.dead || len(b) == 0 {
		return
	}
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	for len(b) > 0 {
		n, err := syscall.Write(c.fd, b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			c.out = append(c.out, b...)
			w.watch(c, syscall.EPOLLIN|syscall.EPOLLOUT)
			return
		case err != nil:
			w.end(c, err)
			return
		}
		b = b[n:]
	}
}

func (w *worker) watch(c *conn, ev uint32) {
	syscall.EpollCtl(w.epfd, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: ev, Fd: int32(c.fd)})
}

func (w *worker) flush(c *conn) {
	b := c.out
	c.out = nil
	w.send(c, b)
	if !c.dead && len(c.out) == 0 {
		w.watch(c, syscall.EPOLLIN)
	}
}

func (w *worker) sendEcho(c *conn) {
	w.out = w.p.echo(c, w.out[:0], w.stamp(now()))
	w.sent.Add(1)
	w.send(c, w.out)
}

// loop runs until phaseStop.
func (w *worker) loop(scenario string) {
	echo, broadcast := scenario == "echo", scenario == "broadcast"
	if echo || scenario == "prime" {
		for i := 0; i < w.cfg.Inflight && (echo || i == 0); i++ {
			for _, c := range w.conns {
				w.sendEcho(c)
			}
		}
	}
	events := make([]syscall.EpollEvent, 512)
	for {
		phase := w.phase.Load()
		if phase == phaseStop {
			return
		}
		w.ping()
		wait := 20
		if broadcast && phase != phaseDrain {
			if w.cfg.Rate > 0 {
				wait = 1
			}
			w.publishDue()
		}
		n, err := syscall.EpollWait(w.epfd, events, wait)
		if err != nil && err != syscall.EINTR {
			panic(err)
		}
		w.got = 0
		for _, ev := range events[:max(n, 0)] {
			c := w.byFD[ev.Fd]
			if c == nil {
				continue
			}
			if ev.Events&syscall.EPOLLOUT != 0 {
				w.flush(c)
			}
			if ev.Events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 && !c.dead {
				w.readable(c, echo && phase < phaseDrain, phase == phaseMeasure)
			}
		}
		if w.got > 0 {
			w.recv.Add(w.got)
		}
	}
}

// ping sends keep-alives, to some connections at a time, so that each has its
// turn once in cfg.Ping.
func (w *worker) ping() {
	if w.cfg.Ping <= 0 || time.Now().Before(w.pingAt) {
		return
	}
	const parts = 64
	w.pingAt = time.Now().Add(w.cfg.Ping / parts)
	w.out = w.p.ping(w.out[:0])
	if len(w.out) == 0 {
		w.pingAt = time.Now().Add(time.Hour)
		return
	}
	for range (len(w.conns) + parts - 1) / parts {
		w.pinged = (w.pinged + 1) % len(w.conns)
		w.send(w.conns[w.pinged], w.out)
	}
}

// publishDue sends the broadcasts that are due: with a rate, those of its
// schedule (stamped with the time they were meant for); without one, as many as
// the window of unfinished broadcasts has room for.
func (w *worker) publishDue() {
	c, conns := w.conns[0], int64(w.cfg.Conns)
	for range w.cfg.Window {
		sent := w.sent.Load()
		ts := now()
		if w.cfg.Rate > 0 {
			due := w.began.Add(time.Duration(float64(sent) / w.cfg.Rate * 1e9)).UnixNano()
			if due > ts {
				return
			}
			ts = due
		} else if sent*conns-w.recv.Load() > int64(w.cfg.Window-1)*conns {
			return
		}
		w.out = w.p.publish(c, w.out[:0], w.stamp(ts))
		w.sent.Add(1)
		w.send(c, w.out)
	}
}

func (w *worker) readable(c *conn, again, keep bool) {
	n, err := syscall.Read(c.fd, w.buf)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return
	case err != nil:
		w.end(c, err)
		return
	case n == 0:
		w.end(c, errors.New("closed by the server"))
		return
	}
	w.reads++
	b := w.buf[:n]
	if len(c.part) > 0 {
		c.part = append(c.part, b...)
		b = c.part
	}
	b, err = w.feed(c, b, again, keep)
	if err != nil {
		w.end(c, err)
		return
	}
	c.part = append(c.part[:0], b...)
	if len(c.part) == 0 {
		c.part = nil
	}
}

// feed handles the whole frames in b and returns what is left of it.
func (w *worker) feed(c *conn, b []byte, again, keep bool) ([]byte, error) {
	for !c.dead {
		op, fin, payload, n, err := frame(b)
		if err != nil || n == 0 {
			return b, err
		}
		b = b[n:]
		switch op {
		case opPing:
			w.send(c, appendFrame(nil, opPong, payload))
			continue
		case opPong:
			continue
		case opClose:
			return b, fmt.Errorf("close frame %q", payload)
		}
		if !fin || op == opCont {
			c.frag = append(c.frag, payload...)
			if !fin {
				continue
			}
			payload = c.frag
		}
		if err := w.message(c, payload, again, keep); err != nil {
			return b, err
		}
		c.frag = c.frag[:0]
	}
	return b, nil
}

// message handles one whole message.
func (w *worker) message(c *conn, payload []byte, again, keep bool) error {
	var records int
	var err error
	w.answer, err = w.p.records(c, w.answer[:0], payload, func(rec []byte) {
		records++
		ts, ok := stampOf(rec)
		if !ok {
			return
		}
		w.got++
		if ts < c.last {
			w.disorder++
		}
		c.last = ts
		if keep {
			w.lat.add(now() - ts)
		}
		if again {
			w.sendEcho(c)
		}
	})
	if err != nil {
		return err
	}
	w.msgs++
	w.maxMessage = max(w.maxMessage, int64(len(payload)))
	if records > 1 {
		w.maxJoined = max(w.maxJoined, int64(len(payload)))
	}
	w.send(c, w.answer)
	return nil
}
