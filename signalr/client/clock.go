package client

import (
	"sync/atomic"
	"time"
)

// times are what the clock of a session looks at, counted from its beginning.
type times struct {
	began time.Time
	heard atomic.Int64 // when something came from the server
	spoke atomic.Int64 // when something was sent
	held  atomic.Int32 // not 0: nothing is read, and the server may be silent

	// Stateful reconnect alone.
	latest  atomic.Int64  // sequence id of the last counted message
	unacked atomic.Int64  // bytes of counted messages since the last Ack
	ackDue  atomic.Bool   // an Ack is to be sent
	resumed atomic.Int64  // when the transport was replaced; 0 once an Ack has come
	tick    chan struct{} // makes the clock look again
}

func newTimes() times { return times{began: time.Now(), tick: make(chan struct{}, 1)} }

func (t *times) now() int64 { return int64(time.Since(t.began)) }
func (t *times) hear()      { t.heard.Store(t.now()) }
func (t *times) speak()     { t.spoke.Store(t.now()) }
func (t *times) hold()      { t.held.Add(1) }

func (t *times) release() {
	t.hear()
	t.held.Add(-1)
}

// owe notes that an Ack is to be sent, soon if there are many bytes.
func (t *times) owe(bytes int) {
	n := t.unacked.Add(int64(bytes))
	if !t.ackDue.Swap(true) || n >= ackBytes && n-int64(bytes) < ackBytes {
		t.look()
	}
}

func (t *times) look() {
	select {
	case t.tick <- struct{}{}:
	default:
	}
}

// An Ack follows a counted message within ackDelay, and sooner when ackBytes
// have come. (The official clients take a second, and hold back a server that
// has more to send than its buffer takes.)
const (
	ackDelay = 250 * time.Millisecond
	ackBytes = 16 << 10
)

// ackPatience is how long after a resume an Ack may take. ASP.NET Core sends
// one for new messages alone: where its last one was lost with the transport,
// and everything that was sent again is old, a full outbox would wait for ever.
// One message more makes the server speak again.
const ackPatience = 3 * time.Second

// clock sends pings (section 7.3) and Acks (section 8.4), and ends a session
// whose server is silent, until the session ends. Pings and silence do not
// count on long polling.
func (s *session) clock() {
	t, opts := &s.times, &s.conn.opts
	timer := time.NewTimer(0)
	defer timer.Stop()
	ackAt := int64(-1)
	for {
		select {
		case <-timer.C:
		case <-t.tick:
		case <-s.ctx.Done():
			return
		}
		now := t.now()
		next := now + int64(time.Hour)
		if t.ackDue.Load() {
			if ackAt < 0 {
				ackAt = now + int64(ackDelay)
			}
			if now >= ackAt || t.unacked.Load() >= ackBytes {
				t.ackDue.Store(false)
				t.unacked.Store(0)
				s.out.control(s.proto.appendAck(nil, t.latest.Load()))
				ackAt = -1
			} else {
				next = min(next, ackAt)
			}
		}
		if at := t.resumed.Load(); at > 0 {
			if at += int64(ackPatience); now >= at {
				t.resumed.Store(0)
				s.out.oneMore()
			} else {
				next = min(next, at)
			}
		}
		if Transports(s.via.Load()) != LongPolling {
			if every := int64(opts.KeepAlive); every > 0 {
				if now >= t.spoke.Load()+every {
					t.spoke.Store(now)
					s.out.control(s.proto.appendPing(nil))
				}
				next = min(next, t.spoke.Load()+every)
			}
			if limit := int64(opts.ServerTimeout); limit > 0 {
				switch at := t.heard.Load() + limit; {
				case t.held.Load() > 0:
					next = min(next, now+limit)
				case now >= at:
					s.cancel(errSilent(opts.ServerTimeout))
					return
				default:
					next = min(next, at)
				}
			}
		}
		timer.Reset(time.Duration(next - now))
	}
}
