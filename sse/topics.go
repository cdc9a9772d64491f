package sse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/journal"
	"github.com/hubwire/hubwire/wire"
)

// ErrSlow ends a subscriber that is so far behind that the log no longer has what
// it should get next.
var ErrSlow = errors.New("sse: the subscriber is too slow")

// Slow is what happens to a subscriber that the log has overtaken.
type Slow uint8

const (
	// Disconnect ends it. It comes back with its last event id, and is told what
	// is lost.
	Disconnect Slow = iota
	// DropOldest goes on with what the log still has.
	DropOldest
	// KeepLatest sends of each key that waits the latest event only, and keeps the
	// latest of each key beyond the log.
	KeepLatest
)

// TopicsOptions are the options of a Topics. Nil and the zero value of each field
// are the defaults.
type TopicsOptions struct {
	// Stream are the options of each subscriber's stream. DotNet has no effect.
	Stream Options
	// Events, Bytes and Age bound the log, which is at once what subscribers may
	// be behind and what one that comes back can get. They default to 1,024 events,
	// 16 MiB, compressed copies included, and any age.
	Events int
	Bytes  int
	Age    time.Duration
	// Slow is what happens to a subscriber that is further behind. Defaults to
	// Disconnect.
	Slow Slow
	// Keys is of how many keys the latest event is kept for KeepLatest. Defaults
	// to 4,096; those that were published longest ago go first.
	Keys int
	// MaxSubscribers is how many there may be at a time; more are refused with
	// 429. Defaults to no limit.
	MaxSubscribers int
	// MaxPerUser is how many subscribers one user may have at a time; more are
	// refused with 429. Requests without a user are not limited. Defaults to no
	// limit.
	MaxPerUser int
	// User names the user of a request for MaxPerUser, "" for none. Defaults to the
	// ID of hubwire.UserFrom.
	User func(r *http.Request) string
	// Store keeps the log outside of the process: what is published on one node
	// reaches the subscribers of all that have the same Store and Log, in one order,
	// and a client may come back to any of them. The log in memory, of the above
	// bounds, is then a part of it; who was away for longer is given the rest from
	// the store, whose own bounds say how long that may be. Publish waits for the
	// store, at most 5 s. Shutdown must be called in the end. Defaults to none: the
	// log is in memory alone.
	Store Store
	// Log is the log's name in Store. Defaults to "topics".
	Log string
	// Gap is the type of the event that tells a subscriber that came back that
	// something is lost. Its data is {"recovered":false,"reason":"…"}, where the
	// reason is "expired" (all that is kept follows) or "unknown" (another life of
	// the server: only what is new follows). Defaults to "gap".
	Gap string
	// Window, Retry and Bye are those of the [Drain] that Shutdown uses.
	Window time.Duration
	Retry  time.Duration
	Bye    *Event[string]
}

// A Topics sends what is published to its subscribers.
//
// Every event is encoded once, and compressed once for each encoding in use, and
// lies in one log that all share; a subscriber is a place in it. What waits for a
// subscriber is written at once, up to 64 KiB. A publisher waits for nobody, and a
// subscriber that does not read costs no memory and makes nobody else wait.
//
// A subscriber gets the events of all its topics in the order of their publishing,
// each once. All methods may be called at the same time. A Topics has as many
// goroutines as there are processors while it has something to write to detached
// streams, and one for each of these that is behind; and one for its Store.
type Topics struct {
	opts  TopicsOptions
	drain *Drain
	feed  *feed // nil without a Store

	// forget is called with what the log lets go; nil without a Store.
	forget func(offset uint64, e *entry)

	mu     sync.Mutex // guards the following; never held while something is written
	log    *journal.Log[*entry]
	groups map[string]*group
	exact  map[string][]*group // by topic
	wild   []*group
	count  int            // subscribers
	users  map[string]int // how many each has, if that is limited
	stats  TopicsStats
	closed bool
	latest latest

	queue   []*subscriber // detached ones with something to write, from head on
	head    int
	workers int
	seen    map[string]struct{}
}

// TopicsStats are counts since the start, but for the first two.
type TopicsStats struct {
	Subscribers int
	LogBytes    int
	Published   uint64
	Slow        uint64 // subscribers that were ended with ErrSlow
	Dropped     uint64 // events that DropOldest and KeepLatest left out
	Lost        uint64 // subscribers that came back and were told of a gap
}

// An entry is an event in the log.
type entry struct {
	topic, key string
	offset     uint64 // in the log in memory
	at         uint64 // in the store's; the same, if there is none
	plain      []byte

	once [encodings]sync.Once
	sent [encodings][]byte
	sum  check32
}

// bytes is the event as it is sent. first is whether it has been compressed for
// that only now.
func (e *entry) bytes(enc encoding) (b []byte, first bool) {
	if enc == plain {
		return e.plain, false
	}
	e.once[enc].Do(func() {
		e.sent[enc], first = enc.append(nil, e.plain), true
		if enc == gzipped {
			e.sum = checkOf(e.plain)
		}
	})
	return e.sent[enc], first
}

// A group is the subscribers with the same topics, and what was published for
// them.
type group struct {
	name     string
	patterns []string
	subs     []*subscriber
	index    []uint64 // offsets in the log
	base     uint64   // how many came before index[0]
	stamp    uint64   // the last offset that was added
}

// NewTopics makes a Topics.
func NewTopics(opts *TopicsOptions) *Topics {
	var o TopicsOptions
	if opts != nil {
		o = *opts
	}
	o.Stream = o.Stream.withDefaults()
	o.Stream.DotNet = false
	if o.Events == 0 {
		o.Events = 1 << 10
	}
	if o.Bytes == 0 {
		o.Bytes = 16 << 20
	}
	if o.Keys == 0 {
		o.Keys = 4 << 10
	}
	if o.Gap == "" || breaks(o.Gap) {
		o.Gap = "gap"
	}
	if o.User == nil {
		o.User = func(r *http.Request) string { return hubwire.UserFrom(r.Context()).ID }
	}
	if o.Log == "" {
		o.Log = "topics"
	}
	t := &Topics{
		opts:   o,
		drain:  &Drain{Window: o.Window, Retry: o.Retry, Bye: o.Bye},
		log:    journal.New[*entry](journal.NewEpoch(), journal.Bounds{Count: o.Events, Bytes: o.Bytes, Age: o.Age}),
		groups: map[string]*group{},
		exact:  map[string][]*group{},
		seen:   map[string]struct{}{},
		users:  map[string]int{},
	}
	t.latest.limit = o.Keys
	if o.Store != nil {
		t.forget = func(_ uint64, e *entry) { t.feed.base = e.at }
		t.feed = newFeed(t, o.Store, o.Log)
		go t.feed.run() // ends with Shutdown
	}
	return t
}

// Publish publishes an event and returns the id that it got: an event of a Topics
// has no other. Data of other types is brought to text by [Encode].
func (t *Topics) Publish(topic string, e Event[string]) (id string, err error) {
	return t.PublishLatest(topic, "", e)
}

// PublishLatest is Publish of an event that, with KeepLatest, takes the place of
// earlier ones with the same topic and key that wait.
func (t *Topics) PublishLatest(topic, key string, e Event[string]) (id string, err error) {
	if err := checkTopic(topic, false); err != nil {
		return "", err
	}
	if e.ID != "" || e.Set&IDField != 0 {
		return "", fmt.Errorf("sse: publish: the id %.40q is not the log's: %w", e.ID, ErrInvalid)
	}
	if e.Set&RetryField != 0 && e.Retry < time.Millisecond {
		return "", fmt.Errorf("sse: publish: retry %v is less than a millisecond: %w", e.Retry, ErrInvalid)
	}
	if t.feed != nil {
		t.mu.Lock()
		closed := t.closed
		t.mu.Unlock()
		if closed {
			return "", fmt.Errorf("sse: publish: %w", ErrClosed)
		}
		return t.feed.publish(topic, key, e)
	}
	n := &entry{topic: topic}
	if key != "" {
		n.key = topic + "\x00" + key
	}
	n.plain = make([]byte, 0, len(e.Type)+len(e.Data)+len(e.Data)/8+maxIDSize+48)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", fmt.Errorf("sse: publish: %w", ErrClosed)
	}
	n.at = t.log.Next()
	id = t.idLocked(n.at)
	if n.plain, err = appendEvent(n.plain, e.Type, e.Data, id, e.Retry, e.Set); err != nil {
		return "", err
	}
	t.insertLocked(n, time.Now())
	return id, nil
}

// insertLocked adds an event to the log and to the groups that it is for.
func (t *Topics) insertLocked(n *entry, at time.Time) {
	n.offset = t.log.Next()
	t.log.Append(n, len(n.plain), at, t.forget)
	if t.feed != nil {
		t.feed.newest = n.at
	}
	t.stats.Published++
	if n.key != "" && t.opts.Slow == KeepLatest {
		t.latest.put(n)
	}
	for _, g := range t.exact[n.topic] {
		t.addLocked(g, n)
	}
	for _, g := range t.wild {
		if g.stamp != n.offset && g.matches(n.topic) {
			t.addLocked(g, n)
		}
	}
}

// maxIDSize is the longest id of a Topics.
const maxIDSize = 40

// appendID appends the id of a position: short, and of characters that need no
// preflight.
func appendID(dst []byte, p wire.Position) []byte {
	dst = append(strconv.AppendUint(dst, p.Epoch, 36), '-')
	return strconv.AppendUint(dst, p.Offset, 10)
}

func formatID(p wire.Position) string {
	var b [maxIDSize]byte
	return string(appendID(b[:0], p))
}

// idLocked is the id of an offset.
func (t *Topics) idLocked(offset uint64) string {
	return formatID(wire.Position{Epoch: t.epochLocked(), Offset: offset})
}

func (t *Topics) epochLocked() uint64 {
	if t.feed != nil {
		return t.feed.epoch
	}
	return t.log.Epoch()
}

// headLocked is the position of the newest event, baseLocked that before the
// oldest.
func (t *Topics) headLocked() uint64 {
	if t.feed != nil {
		return t.feed.newest
	}
	return t.log.Next() - 1
}

func (t *Topics) baseLocked() uint64 {
	if t.feed != nil {
		return t.feed.base
	}
	return t.log.First() - 1
}

// parseID is the position that an id stands for.
func parseID(id string) (p wire.Position, ok bool) {
	epoch, offset, found := strings.Cut(id, "-")
	e, err1 := strconv.ParseUint(epoch, 36, 64)
	o, err2 := strconv.ParseUint(offset, 10, 64)
	return wire.Position{Epoch: e, Offset: o}, found && err1 == nil && err2 == nil
}

// addLocked adds an event to a group, and wakes who waits.
func (t *Topics) addLocked(g *group, e *entry) {
	g.stamp = e.offset
	g.trim(t.log.First())
	g.index = append(g.index, e.offset)
	for _, s := range g.subs {
		if !s.busy {
			t.wakeLocked(s)
		}
	}
}

// trim forgets what the log has.
func (g *group) trim(first uint64) {
	n := 0
	for n < len(g.index) && g.index[n] < first {
		n++
	}
	g.index = g.index[n:]
	g.base += uint64(n)
}

func (g *group) end() uint64 { return g.base + uint64(len(g.index)) }

func (g *group) matches(topic string) bool {
	for _, p := range g.patterns {
		if matches(p, topic) {
			return true
		}
	}
	return false
}

// groupLocked is the group of some patterns, with what the log has for it.
func (t *Topics) groupLocked(patterns []string) *group {
	patterns = slices.Clone(patterns)
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	name := strings.Join(patterns, "\x00")
	g := t.groups[name]
	if g != nil {
		return g
	}
	g = &group{name: name, patterns: patterns}
	t.groups[name] = g
	wild := false
	for _, p := range patterns {
		if strings.IndexByte(p, '*') >= 0 {
			wild = true
		} else {
			t.exact[p] = append(t.exact[p], g)
		}
	}
	if wild {
		t.wild = append(t.wild, g)
	}
	for o := t.log.First(); o < t.log.Next(); o++ {
		if e, _ := t.log.Get(o); e.topic != "" && g.matches(e.topic) {
			g.index = append(g.index, o)
		}
	}
	return g
}

// dropLocked forgets a group without subscribers.
func (t *Topics) dropLocked(g *group) {
	delete(t.groups, g.name)
	without := func(l []*group) []*group {
		return slices.DeleteFunc(l, func(o *group) bool { return o == g })
	}
	for _, p := range g.patterns {
		if l, ok := t.exact[p]; ok {
			if l = without(l); len(l) == 0 {
				delete(t.exact, p)
			} else {
				t.exact[p] = l
			}
		}
	}
	t.wild = without(t.wild)
}

// Epoch is the first part of every id of this Topics: a random one, so that ids of
// another life of the server are known for what they are. With a Store it is that
// of the store's log, and "0" until that has been read.
func (t *Topics) Epoch() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strconv.FormatUint(t.epochLocked(), 36)
}

// Stats are the counts.
func (t *Topics) Stats() TopicsStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Subscribers, s.LogBytes = t.count, t.log.Bytes()
	return s
}

// Shutdown takes leave of all subscribers as a [Drain] does and waits until they
// are gone, or for ctx; then it ends those who are left. Nothing can be published
// any more when it has returned.
func (t *Topics) Shutdown(ctx context.Context) error {
	t.drain.Start()
	err := t.drain.Wait(ctx)
	t.mu.Lock()
	t.closed = true
	var left []*Session
	for _, g := range t.groups {
		for _, sub := range g.subs {
			if sub.attached || sub.wake != nil { // else Serve will see that it is over
				left = append(left, sub.s)
			}
		}
	}
	t.mu.Unlock()
	for _, s := range left {
		s.cut(errDrained)
	}
	if t.feed != nil {
		t.feed.close()
	}
	return err
}

func (t *Topics) logger() *slog.Logger { return t.opts.Stream.Logger }

// maxWorkers is how many goroutines write to detached streams.
var maxWorkers = runtime.GOMAXPROCS(0)

// latest are the latest events of keys, the one published last at the end.
type latest struct {
	limit int
	byKey map[string]*entry
	order []*entry // may have entries that are no longer the latest
}

func (l *latest) put(e *entry) {
	if l.byKey == nil {
		l.byKey = map[string]*entry{}
	}
	l.byKey[e.key] = e
	l.order = append(l.order, e)
	if len(l.order) > 2*l.limit {
		l.order = slices.DeleteFunc(l.order, func(o *entry) bool { return l.byKey[o.key] != o })
	}
	for len(l.byKey) > l.limit {
		if o := l.order[0]; l.byKey[o.key] == o {
			delete(l.byKey, o.key)
		}
		l.order = l.order[1:]
	}
}
