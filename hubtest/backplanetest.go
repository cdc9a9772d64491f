package hubtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
)

// TestBackplane runs the tests that every [hubwire.Backplane] must pass. join
// gives the ends of n nodes that are joined with each other and with nobody
// else; what they need ends with t.
//
//	func TestContract(t *testing.T) {
//		hubtest.TestBackplane(t, func(t testing.TB, n int) []hubwire.Backplane { … })
//	}
func TestBackplane(t *testing.T, join func(t testing.TB, n int) []hubwire.Backplane) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, join joinFunc)
	}{
		{"Everybody", testEverybody},
		{"Kinds", testKinds},
		{"Order", testOrder},
		{"SubscribeHolds", testSubscribeHolds},
		{"Unsubscribe", testUnsubscribe},
		{"Addresses", testAddresses},
		{"Hubs", testHubs},
		{"NotKept", testNotKept},
		{"Close", testClose},
		{"Targets", testTargets},
		{"HubOrder", testHubOrder},
		{"Groups", testGroups},
		{"Fleet", testFleet},
		{"Questions", testQuestions},
		{"LastLeaves", testLastLeaves},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, join) })
	}
}

type joinFunc = func(t testing.TB, n int) []hubwire.Backplane

// An inbox keeps what a backplane delivers.
type inbox struct {
	mu   sync.Mutex
	got  []delivered
	came chan struct{}
}

type delivered struct {
	from hubwire.Address
	m    *hubwire.Message
}

func (in *inbox) Message(from hubwire.Address, m *hubwire.Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = append(in.got, delivered{from, m})
	if in.came != nil {
		close(in.came)
		in.came = nil
	}
}

func (in *inbox) Gap(...hubwire.Address) {}

func (in *inbox) State(bool, error) {}

// take waits for n messages and returns them.
func (in *inbox) take(t testing.TB, n int) []delivered {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		in.mu.Lock()
		if len(in.got) >= n {
			got := in.got
			in.got = nil
			in.mu.Unlock()
			if len(got) > n {
				t.Fatalf("%d messages came, want %d", len(got), n)
			}
			return got
		}
		if in.came == nil {
			in.came = make(chan struct{})
		}
		came, have := in.came, len(in.got)
		in.mu.Unlock()
		select {
		case <-came:
		case <-timer.C:
			t.Fatalf("%d messages came, want %d", have, n)
		}
	}
}

const testHub = "hub"

func startAll(t testing.TB, nodes []hubwire.Backplane) (ins []*inbox) {
	t.Helper()
	for _, bp := range nodes {
		in := &inbox{}
		must(t, bp.Start(t.Context(), testHub, in))
		t.Cleanup(func() { _ = bp.Close(context.Background(), testHub) })
		ins = append(ins, in)
	}
	return ins
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func event(text string) *hubwire.Message {
	return &hubwire.Message{Kind: hubwire.MessageEvent, Blobs: []hubwire.Blob{{Protocol: "p", Bytes: []byte(text)}}}
}

func text(d delivered) string {
	if len(d.m.Blobs) == 0 {
		return ""
	}
	return string(d.m.Blobs[0].Bytes)
}

func publish(t testing.TB, bp hubwire.Backplane, to hubwire.Address, m *hubwire.Message) {
	t.Helper()
	if err := bp.Publish(t.Context(), to, m); err != nil && !errors.Is(err, hubwire.ErrNoReceiver) {
		t.Fatal(err)
	}
}

func groupAddress(name string) hubwire.Address {
	return hubwire.Address{Hub: testHub, Kind: hubwire.AddressGroup, Name: name}
}

// Whoever is subscribed gets a message, the sender included; others do not.
func testEverybody(t *testing.T, join joinFunc) {
	nodes := join(t, 3)
	ins := startAll(t, nodes)
	a := groupAddress("room")
	must(t, nodes[0].Subscribe(t.Context(), a))
	must(t, nodes[1].Subscribe(t.Context(), a))
	for i, bp := range nodes {
		publish(t, bp, a, event(fmt.Sprint(i)))
		for _, in := range ins[:2] {
			if d := in.take(t, 1)[0]; d.from != a || text(d) != fmt.Sprint(i) {
				t.Errorf("got %v: %q", d.from, text(d))
			}
		}
	}
	ins[2].take(t, 0)
	err := nodes[0].Publish(t.Context(), groupAddress("empty"), event("x"))
	if err != nil && !errors.Is(err, hubwire.ErrNoReceiver) {
		t.Errorf("nobody is subscribed: %v", err)
	}
}

// Messages of all kinds arrive as they were sent, whatever is in them, at the
// addresses that they are for.
func testKinds(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	ins := startAll(t, nodes)
	address := func(kind hubwire.AddressKind, name string) hubwire.Address {
		return hubwire.Address{Hub: testHub, Kind: kind, Name: name}
	}
	group, conn, node := groupAddress("g"), address(hubwire.AddressConn, "c"), address(hubwire.AddressNode, "n")
	fleet := address(hubwire.AddressNodes, "")
	must(t, nodes[1].Subscribe(t.Context(), group, conn, node, address(hubwire.AddressAll, ""), fleet))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, test := range []struct {
		to hubwire.Address
		m  *hubwire.Message
	}{
		{group, event("x")},
		{group, &hubwire.Message{Kind: hubwire.MessageEvent, Blobs: []hubwire.Blob{{Protocol: "p", Bytes: every}, {Protocol: "q", Bytes: bytes.Repeat([]byte{0}, 100<<10)}}, Except: []string{"a", "b"}}},
		{conn, &hubwire.Message{Kind: hubwire.MessageEvent, Blobs: []hubwire.Blob{{Protocol: "json", Bytes: []byte("?")}, {Protocol: "messagepack", Bytes: []byte("!")}}, ID: "1", Node: "n"}},
		{node, &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1", Blobs: []hubwire.Blob{{Protocol: "json", Bytes: []byte(`[1, "x"]`)}}}},
		{node, &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1", Blobs: []hubwire.Blob{{Protocol: "messagepack", Bytes: []byte{0x92, 1, 0xc0}}}}},
		{node, &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1"}},
		{node, &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1", Failed: true, Error: "no \u2014 \x00"}},
		{node, &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1", Failed: true}},
		{node, &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1", Gone: true}},
		{conn, &hubwire.Message{Kind: hubwire.MessageJoin, ID: "2", Node: "n", Conn: "c", Group: "g"}},
		{conn, &hubwire.Message{Kind: hubwire.MessageLeave, ID: "3", Node: "n", Conn: "c", Group: ""}},
		{node, &hubwire.Message{Kind: hubwire.MessageAck, ID: "3"}},
		{group, &hubwire.Message{Kind: hubwire.MessageKick, Error: "out", Reconnect: true, Except: []string{"a"}}},
		{node, &hubwire.Message{Kind: hubwire.MessageNode, ID: "4", Node: "m", Blobs: []hubwire.Blob{{Bytes: every}}}},
		{fleet, &hubwire.Message{Kind: hubwire.MessageNode, Node: "m", Except: []string{"a", "b"}, Blobs: []hubwire.Blob{{Bytes: every}}}},
	} {
		publish(t, nodes[0], test.to, test.m)
		got := ins[1].take(t, 1)[0]
		if !reflect.DeepEqual(got.m, test.m) || got.from != test.to {
			t.Errorf("got %+v from %v, want %+v", got.m, got.from, test.m)
		}
	}
}

// All who are subscribed see the messages of one address in one order, and those
// of one sender in the order of its sends.
func testOrder(t *testing.T, join joinFunc) {
	nodes := join(t, 3)
	ins := startAll(t, nodes)
	a := groupAddress("room")
	for _, bp := range nodes {
		must(t, bp.Subscribe(t.Context(), a))
	}
	const n = 200
	var wg sync.WaitGroup
	for i, bp := range nodes {
		wg.Go(func() {
			for k := range n {
				if err := bp.Publish(t.Context(), a, event(fmt.Sprintf("%d %d", i, k))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var first []string
	for i, in := range ins {
		var all []string
		next := make([]int, len(nodes))
		for _, d := range in.take(t, n*len(nodes)) {
			var from, k int
			if _, err := fmt.Sscan(text(d), &from, &k); err != nil || k != next[from] {
				t.Fatalf("node %d: %q, want %d of %d", i, text(d), next[from], from)
			}
			next[from]++
			all = append(all, text(d))
		}
		if first == nil {
			first = all
		} else if !slices.Equal(first, all) {
			t.Errorf("node %d sees another order than the first", i)
		}
	}
}

// What is published after Subscribe has returned is delivered.
func testSubscribeHolds(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	ins := startAll(t, nodes)
	for i := range 50 {
		a := groupAddress(fmt.Sprint(i))
		must(t, nodes[1].Subscribe(t.Context(), a))
		publish(t, nodes[0], a, event("x"))
		if d := ins[1].take(t, 1)[0]; d.from != a {
			t.Errorf("from %v, want %v", d.from, a)
		}
	}
}

// Who has unsubscribed hears nothing of what is published from then on;
// subscribing twice is subscribing once.
func testUnsubscribe(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	ins := startAll(t, nodes)
	a, b := groupAddress("a"), groupAddress("b")
	for i := range 20 {
		must(t, nodes[1].Subscribe(t.Context(), a, b))
		must(t, nodes[1].Subscribe(t.Context(), a))
		publish(t, nodes[0], a, event("one"))
		if got := text(ins[1].take(t, 1)[0]); got != "one" {
			t.Fatalf("round %d: got %q", i, got)
		}
		must(t, nodes[1].Unsubscribe(t.Context(), a))
		must(t, nodes[1].Unsubscribe(t.Context(), a)) // again is no error
		publish(t, nodes[0], a, event("lost"))
		publish(t, nodes[0], b, event("two"))
		if got := text(ins[1].take(t, 1)[0]); got != "two" {
			t.Fatalf("round %d: got %q", i, got)
		}
		must(t, nodes[1].Subscribe(t.Context(), a))
		publish(t, nodes[0], a, event("three"))
		if got := text(ins[1].take(t, 1)[0]); got != "three" {
			t.Fatalf("round %d: got %q", i, got)
		}
		must(t, nodes[1].Unsubscribe(t.Context(), a, b))
	}
}

// Names are taken as they are: none is a pattern, a path or another one.
func testAddresses(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	ins := startAll(t, nodes)
	names := []string{"", "a", "A", "a:b", "a/b", "a.b", "*", "a*", ">", "[ab]", "?", "a b", " ", "\x00", "ä", "a\u0308", "\\", "\n", "{a}", strings.Repeat("x", 300)}
	var all []hubwire.Address
	for _, kind := range []hubwire.AddressKind{hubwire.AddressGroup, hubwire.AddressUser, hubwire.AddressConn, hubwire.AddressNode} {
		for _, name := range names {
			all = append(all, hubwire.Address{Hub: testHub, Kind: kind, Name: name})
		}
	}
	for _, kind := range []hubwire.AddressKind{hubwire.AddressAll, hubwire.AddressNodes} {
		all = append(all, hubwire.Address{Hub: testHub, Kind: kind})
	}
	for _, a := range all {
		must(t, nodes[1].Subscribe(t.Context(), a))
	}
	for i, a := range all {
		m := event(fmt.Sprint(i))
		switch a.Kind {
		case hubwire.AddressNodes:
			m.Kind = hubwire.MessageNode
		case hubwire.AddressNode: // what a node gets is answers
			m = &hubwire.Message{Kind: hubwire.MessageAnswer, ID: "1", Blobs: []hubwire.Blob{{Protocol: "json", Bytes: []byte(fmt.Sprint(i))}}}
		}
		publish(t, nodes[0], a, m)
		if d := ins[1].take(t, 1)[0]; d.from != a || text(d) != fmt.Sprint(i) {
			t.Errorf("from %+v, want %+v", d.from, a)
		}
	}
}

// Hubs of different names share a backplane and hear nothing of each other.
func testHubs(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	var ins []*inbox
	names := []string{"a", "b", "a:b"}
	for _, bp := range nodes {
		for _, name := range names {
			in := &inbox{}
			must(t, bp.Start(t.Context(), name, in))
			t.Cleanup(func() { _ = bp.Close(context.Background(), name) })
			must(t, bp.Subscribe(t.Context(), hubwire.Address{Hub: name, Kind: hubwire.AddressAll}))
			ins = append(ins, in)
		}
	}
	for i, name := range names {
		publish(t, nodes[0], hubwire.Address{Hub: name, Kind: hubwire.AddressAll}, event(name))
		for _, in := range []*inbox{ins[i], ins[i+len(names)]} {
			if d := in.take(t, 1)[0]; d.from.Hub != name || text(d) != name {
				t.Errorf("%s: got %v %q", name, d.from, text(d))
			}
		}
	}
	for _, in := range ins {
		in.take(t, 0)
	}
}

// A message is not kept by Publish, and belongs to the inbox that gets it.
func testNotKept(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	ins := startAll(t, nodes)
	a := groupAddress("room")
	for _, bp := range nodes {
		must(t, bp.Subscribe(t.Context(), a))
	}
	m := event("one")
	publish(t, nodes[0], a, m)
	copy(m.Blobs[0].Bytes, "two")
	for _, in := range ins {
		d := in.take(t, 1)[0]
		if text(d) != "one" {
			t.Errorf("got %q", text(d))
		}
		copy(d.m.Blobs[0].Bytes, "xxx")
	}
}

// A node that has closed gets nothing more; others go on, and it may come back.
func testClose(t *testing.T, join joinFunc) {
	nodes := join(t, 2)
	ins := startAll(t, nodes)
	a := groupAddress("room")
	for _, bp := range nodes {
		must(t, bp.Subscribe(t.Context(), a))
	}
	must(t, nodes[1].Close(t.Context(), testHub))
	publish(t, nodes[0], a, event("one"))
	if got := text(ins[0].take(t, 1)[0]); got != "one" {
		t.Errorf("got %q", got)
	}
	ins[1].take(t, 0)
	must(t, nodes[1].Start(t.Context(), testHub, ins[1]))
	must(t, nodes[1].Subscribe(t.Context(), a))
	publish(t, nodes[0], a, event("two"))
	for _, in := range ins {
		if got := text(in.take(t, 1)[0]); got != "two" {
			t.Errorf("got %q", got)
		}
	}
}
