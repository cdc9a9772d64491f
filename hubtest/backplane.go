package hubtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/hubwire/hubwire"
)

// A Backplane joins hubs of one process, in memory: give the same one to the
// Options of several hubs of one name, and each is a node. It delivers on the
// publisher's goroutine, so a test needs no waiting.
type Backplane struct {
	mu   sync.Mutex // held while a message is delivered: one order for all
	subs map[hubwire.Address]map[*node]bool
	down error
	all  map[*node]string // the hub's name
}

type node struct{ in hubwire.Inbox }

// NewBackplane makes a Backplane.
func NewBackplane() *Backplane {
	return &Backplane{subs: map[hubwire.Address]map[*node]bool{}, all: map[*node]string{}}
}

// Node is one node's end of the backplane: what a hub's Options take.
func (b *Backplane) Node() hubwire.Backplane { return &memoryNode{b: b} }

// Fail makes everything fail with err from now on; nil ends that.
func (b *Backplane) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
	for n := range b.all {
		n.in.State(err == nil, err)
	}
}

// A memoryNode is one node; it may serve several hubs.
type memoryNode struct {
	b    *Backplane
	mu   sync.Mutex
	hubs map[string]*node
}

func (m *memoryNode) node(hub string) (*node, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.hubs[hub]
	if n == nil {
		return nil, fmt.Errorf("hubtest: backplane: the hub %q was not started", hub)
	}
	return n, nil
}

func (m *memoryNode) Start(ctx context.Context, hub string, in hubwire.Inbox) error {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if m.b.down != nil {
		return m.b.down
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hubs[hub] != nil {
		return fmt.Errorf("hubtest: backplane: the hub %q was started twice", hub)
	}
	if m.hubs == nil {
		m.hubs = map[string]*node{}
	}
	n := &node{in}
	m.hubs[hub] = n
	m.b.all[n] = hub
	return nil
}

func (m *memoryNode) Publish(ctx context.Context, to hubwire.Address, msg *hubwire.Message) error {
	wire := msg.Append(nil)
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if m.b.down != nil {
		return m.b.down
	}
	if len(m.b.subs[to]) == 0 {
		return hubwire.ErrNoReceiver
	}
	for n := range m.b.subs[to] {
		own, err := hubwire.ParseMessage(wire)
		if err != nil {
			return err
		}
		n.in.Message(to, own)
	}
	return nil
}

func (m *memoryNode) Subscribe(ctx context.Context, addrs ...hubwire.Address) error {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if m.b.down != nil {
		return m.b.down
	}
	for _, a := range addrs {
		n, err := m.node(a.Hub)
		if err != nil {
			return err
		}
		if m.b.subs[a] == nil {
			m.b.subs[a] = map[*node]bool{}
		}
		m.b.subs[a][n] = true
	}
	return nil
}

func (m *memoryNode) Unsubscribe(ctx context.Context, addrs ...hubwire.Address) error {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	for _, a := range addrs {
		if n, err := m.node(a.Hub); err == nil {
			m.b.forget(a, n)
		}
	}
	return m.b.down
}

func (b *Backplane) forget(a hubwire.Address, n *node) {
	if delete(b.subs[a], n); len(b.subs[a]) == 0 {
		delete(b.subs, a)
	}
}

func (m *memoryNode) Close(ctx context.Context, hub string) error {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	n, err := m.node(hub)
	if err != nil {
		return nil
	}
	for a := range m.b.subs {
		m.b.forget(a, n)
	}
	delete(m.b.all, n)
	m.mu.Lock()
	delete(m.hubs, hub)
	m.mu.Unlock()
	return nil
}
