package hubwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// A Backplane joins hubs of the same name on many nodes: it carries messages
// to whoever is subscribed to their address, the sender included, in one order
// for each address. One Backplane may serve many hubs. hubtest has one in
// memory, and the contract test that each must pass.
//
// All methods may be called at the same time.
type Backplane interface {
	// Start begins to deliver what the hub named hub is subscribed to into in.
	Start(ctx context.Context, hub string, in Inbox) error
	// Publish sends m. nil means that the backplane took it. ErrNoReceiver says
	// that nobody is subscribed, where a backplane can tell. m is not kept.
	Publish(ctx context.Context, to Address, m *Message) error
	// Subscribe returns once every message that is published from now on will
	// be delivered.
	Subscribe(ctx context.Context, addrs ...Address) error
	// Unsubscribe ends subscriptions; what is under way may still be delivered.
	Unsubscribe(ctx context.Context, addrs ...Address) error
	// Close ends what Start began for the hub named hub, and waits.
	Close(ctx context.Context, hub string) error
}

// A Pipeliner is a Backplane on which many messages can be under way without a
// goroutine that waits for each. A Hub uses it for events.
type Pipeliner interface {
	Backplane
	// Begin begins to publish m and does not wait: r is told what becomes of it.
	// m is not kept. Messages that are under way at the same time are in no
	// order; one that is begun after another has ended comes after it.
	Begin(to Address, m *Message, r Receipt)
}

// A Receipt is told what becomes of a message. Its methods do not block.
type Receipt interface {
	// Take is called before the message is written. false says that nobody wants
	// it any more: it is then not written, and Done is not called.
	Take() bool
	// Done is called once, with what Publish would have returned.
	Done(err error)
}

// A Translator is a Backplane that carries events of other programs, which have
// not every protocol that the connections here speak.
type Translator interface {
	Backplane
	// Translate reads an event from what it is in some protocol. It is asked at
	// most once for each blob of an event, where connections speak a protocol of
	// which there is no blob.
	Translate(b Blob) (name string, args []any, ok bool)
}

// An Inbox takes what a backplane delivers. Its methods do not block, so one
// goroutine may keep the order of all addresses; they are not called at the
// same time for one address.
type Inbox interface {
	// Message delivers m, which belongs to the inbox.
	Message(from Address, m *Message)
	// Gap says that messages to these addresses may have been lost (none: to
	// all).
	Gap(addrs ...Address)
	// State says that the backplane can, or cannot, be reached.
	State(up bool, err error)
}

// A BatchInbox is an Inbox that takes several messages at once, in their order,
// for less than what each would cost alone. The Inbox of a Hub is one.
type BatchInbox interface {
	Inbox
	// Messages delivers a batch, which is not kept; the messages in it belong to
	// the inbox.
	Messages(batch []Delivery)
}

// A Delivery is a message and the address that it came from.
type Delivery struct {
	From    Address
	Message *Message
}

// ErrNoReceiver is returned by Backplane.Publish when nobody is subscribed.
var ErrNoReceiver = errors.New("hubwire: nobody is subscribed to the address")

// An AddressKind says what an Address stands for.
type AddressKind uint8

// The kinds of addresses.
const (
	AddressAll   AddressKind = iota + 1 // every connection of the hub
	AddressGroup                        // the members of a group
	AddressUser                         // the connections of a user
	AddressConn                         // one connection
	AddressNode                         // one node, for answers and acknowledgements
	AddressNodes                        // every node of the hub
)

// An Address is what messages are published to.
type Address struct {
	Hub  string
	Kind AddressKind
	Name string // empty for AddressAll and AddressNodes
}

// A MessageKind says what a Message is.
type MessageKind uint8

// The kinds of messages.
const (
	MessageEvent  MessageKind = iota + 1 // an event; a question where ID is set
	MessageAnswer                        // the answer to the question ID
	MessageJoin                          // Conn joins Group; acknowledged to Node with ID
	MessageLeave                         // Conn leaves Group; likewise
	MessageAck                           // the acknowledgement of ID
	MessageForget                        // nobody waits for the answer to ID any more
	MessageKick                          // connections end, but for Except; Error says why
	// MessageNode is what hubs of this library say to each other, at AddressNode
	// and AddressNodes: one Blob, with ID and Node. A backplane looks into none of
	// it. One that speaks the format of others carries what
	// Append writes, where those do not listen.
	MessageNode
)

// A Blob is an encoded event, or an encoded answer, in one protocol.
type Blob struct {
	Protocol string
	Bytes    []byte
}

// A Message is what goes from node to node. Fields that a kind does not name
// are empty.
type Message struct {
	Kind   MessageKind
	Blobs  []Blob   // event: one for each protocol; answer: none or one
	Except []string // event: connections that do not get it
	ID     string   // question, answer, join, leave, ack, node
	Node   string   // question, join, leave: where the answer goes; node: who says it
	Conn   string   // join, leave
	Group  string   // join, leave
	Error  string   // answer: the client's error
	Failed bool     // answer: Error is set, though it may be empty
	Gone   bool     // answer: the connection ended before it answered
	// Reconnect, of a kick: the clients may come back.
	Reconnect bool
}

const messageVersion = 1

// Append appends the message in hubwire's own form, for backplanes that carry
// bytes.
func (m *Message) Append(dst []byte) []byte {
	var flags byte
	if m.Failed {
		flags |= 1
	}
	if m.Gone {
		flags |= 2
	}
	if m.Reconnect {
		flags |= 4
	}
	dst = append(dst, messageVersion, byte(m.Kind), flags)
	for _, s := range [...]string{m.ID, m.Node, m.Conn, m.Group, m.Error} {
		dst = appendText(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Except)))
	for _, s := range m.Except {
		dst = appendText(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Blobs)))
	for _, b := range m.Blobs {
		dst = appendText(dst, b.Protocol)
		dst = appendText(dst, string(b.Bytes))
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// ParseMessage reads what Append wrote. The message keeps no reference to src.
func ParseMessage(src []byte) (*Message, error) {
	if len(src) < 3 {
		return nil, errMessage
	}
	if src[0] != messageVersion {
		return nil, fmt.Errorf("hubwire: backplane message of version %d", src[0])
	}
	m := &Message{Kind: MessageKind(src[1]), Failed: src[2]&1 != 0, Gone: src[2]&2 != 0, Reconnect: src[2]&4 != 0}
	if m.Kind < MessageEvent || m.Kind > MessageNode {
		return nil, fmt.Errorf("hubwire: backplane message of kind %d", src[1])
	}
	r := textReader{src: src[3:]}
	for _, s := range [...]*string{&m.ID, &m.Node, &m.Conn, &m.Group, &m.Error} {
		*s = r.text()
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		m.Except = append(m.Except, r.text())
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		m.Blobs = append(m.Blobs, Blob{r.text(), []byte(r.text())})
	}
	if r.bad || len(r.src) > 0 {
		return nil, errMessage
	}
	return m, nil
}

var errMessage = errors.New("hubwire: backplane message is malformed")

type textReader struct {
	src []byte
	bad bool
}

// count reads a number of elements; each takes at least one byte, so that a
// false one is found before anything is allocated for it.
func (r *textReader) count() uint64 {
	n, k := binary.Uvarint(r.src)
	if k <= 0 || n > uint64(len(r.src)-k) {
		r.bad, r.src = true, nil
		return 0
	}
	r.src = r.src[k:]
	return n
}

func (r *textReader) text() string {
	n := r.count()
	if r.bad {
		return ""
	}
	s := string(r.src[:n])
	r.src = r.src[n:]
	return s
}
