package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hubwire/hubwire"
)

// A channelKind says what comes on a channel.
type channelKind uint8

const (
	events   channelKind = iota + 1 // to all, a group, a user
	conn                            // to a connection: events and questions
	commands                        // changes of groups, for all nodes
	acks
	answers
	notes // what ASP.NET Core has not, where it does not listen
)

type channel struct {
	name string
	kind channelKind
}

// channels are the channels of an address, in the order in which ASP.NET Core
// subscribes to them.
func (b *Backplane) channels(a hubwire.Address) []channel {
	first := b.channel(a)
	switch a.Kind {
	case hubwire.AddressAll:
		return []channel{{first, events}, {b.prefix + a.Hub + ":internal:groups", commands}}
	case hubwire.AddressConn:
		return []channel{{first, conn}}
	case hubwire.AddressNode:
		return []channel{{first, acks}, {b.prefix + returnHead(a.Hub) + a.Name, answers}, {b.prefix + a.Hub + ":hubwire:node:" + a.Name, notes}}
	case hubwire.AddressNodes:
		return []channel{{first, notes}}
	case hubwire.AddressGroup, hubwire.AddressUser:
		return []channel{{first, events}}
	}
	return nil
}

// channel is the first of them.
func (b *Backplane) channel(a hubwire.Address) string {
	switch a.Kind {
	case hubwire.AddressAll:
		return b.prefix + a.Hub + ":all"
	case hubwire.AddressGroup:
		return b.prefix + a.Hub + ":group:" + a.Name
	case hubwire.AddressUser:
		return b.prefix + a.Hub + ":user:" + a.Name
	case hubwire.AddressConn:
		return b.prefix + a.Hub + ":connection:" + a.Name
	case hubwire.AddressNode:
		return b.prefix + a.Hub + ":internal:ack:" + a.Name
	case hubwire.AddressNodes:
		return b.prefix + a.Hub + ":hubwire:nodes"
	}
	return ""
}

// returnHead begins the channel of a node's answers. The name that stands in a
// question is without the prefix.
func returnHead(hub string) string { return hub + ":internal:return:" }

// gone is ASP.NET Core's error for a connection that left before it answered.
const goneText = "Connection disconnected."

// A question's Node, where it is not simply a node's name: the protocol in which
// errors are to be told, and the channel.
const (
	rawJSON = "\x00j"
	rawPack = "\x00m"
)

// encode says where a message goes, and in what form, in x. No channel: it has no
// form, and is not missed.
func (b *Backplane) encode(x *parcel, to hubwire.Address, m *hubwire.Message) error {
	own := b.channel(to)
	if own == "" {
		return errUnable
	}
	if nodes := to.Kind == hubwire.AddressNodes; nodes || m.Kind == hubwire.MessageNode {
		if m.Kind != hubwire.MessageNode || !nodes && to.Kind != hubwire.AddressNode {
			return errUnable
		}
		if x.channel = own; !nodes {
			x.channel = b.prefix + to.Hub + ":hubwire:node:" + to.Name
		}
		x.payload = m.Append(x.payload)
		return nil
	}
	node := to.Kind == hubwire.AddressNode
	switch m.Kind {
	case hubwire.MessageEvent:
		v := &invocation{except: m.Except, blobs: m.Blobs}
		if node || m.ID != "" && to.Kind != hubwire.AddressConn {
			return errUnable
		}
		if m.ID != "" {
			v.id, v.answer, x.known = m.ID, returnHead(to.Hub)+m.Node, own
		}
		n := 16
		for _, blob := range m.Blobs {
			n += len(blob.Protocol) + len(blob.Bytes) + 8
		}
		for _, id := range m.Except {
			n += len(id) + 3
		}
		x.channel, x.payload = own, appendInvocation(slices.Grow(x.payload, n), v)
		return nil
	case hubwire.MessageKick:
		if node {
			return errUnable
		}
		k := &kick{m.Error, m.Reconnect}
		x.channel, x.payload = own, appendInvocation(x.payload, &invocation{except: m.Except, blobs: closing(k), kick: k})
		return nil
	case hubwire.MessageAnswer:
		channel, protocol := b.prefix+returnHead(to.Hub)+to.Name, "json"
		if len(to.Name) >= len(rawJSON) && to.Name[0] == 0 {
			channel = b.prefix + to.Name[len(rawJSON):]
			if to.Name[1] == rawPack[1] {
				protocol = "messagepack"
			}
			if channel == b.prefix {
				b.log.Warn("redis: a question names no channel for its answer", "id", m.ID)
				return nil
			}
		} else if !node {
			return errUnable
		}
		c := &completion{id: m.ID, failed: m.Failed || m.Gone, text: m.Error}
		if m.Gone {
			c.text = goneText
		}
		if len(m.Blobs) > 0 && !c.failed {
			protocol, c.has, c.value = m.Blobs[0].Protocol, true, m.Blobs[0].Bytes
		}
		x.channel, x.payload = channel, appendReturn(x.payload, protocol, c)
		return nil
	case hubwire.MessageJoin, hubwire.MessageLeave:
		id, err := parseID(m.ID)
		if err != nil || to.Kind != hubwire.AddressConn {
			return errUnable
		}
		c := &command{id, m.Node, actionAdd, m.Group, m.Conn}
		if m.Kind == hubwire.MessageLeave {
			c.action = actionRemove
		}
		x.channel, x.payload, x.known = b.prefix+to.Hub+":internal:groups", appendCommand(x.payload, c), own
		return nil
	case hubwire.MessageAck:
		id, err := parseID(m.ID)
		if err != nil || !node {
			return errUnable
		}
		x.channel, x.payload = own, appendAck(x.payload, id)
		return nil
	case hubwire.MessageForget:
		return nil // the owner's patience has an end of its own
	}
	return errUnable
}

// An event is a message with room for its blobs.
type event struct {
	hubwire.Message
	blobs [2]hubwire.Blob
}

// decode makes a message of what came on a channel; none where it is not for
// this node. It keeps payload.
func (b *Backplane) decode(e entry, payload []byte) (hubwire.Address, *hubwire.Message, error) {
	from := e.addr
	switch e.kind {
	case events, conn:
		got := new(event)
		v, err := parseInvocation(payload, e.kind == conn, got.blobs[:0])
		switch {
		case err != nil:
			return from, nil, fmt.Errorf("invocation: %w", err)
		case v.kick != nil:
			return from, &hubwire.Message{Kind: hubwire.MessageKick, Except: v.except, Error: v.kick.reason, Reconnect: v.kick.reconnect}, nil
		}
		m := &got.Message
		m.Kind, m.Except, m.Blobs = hubwire.MessageEvent, v.except, complete(v.blobs)
		if from.Kind == hubwire.AddressUser || from.Kind == hubwire.AddressConn {
			m.Except = nil // as ASP.NET Core reads them
		}
		if v.id != "" || v.answer != "" {
			m.ID, m.Node = v.id, nodeOf(from.Hub, &v)
		}
		return from, m, nil
	case commands:
		c, err := parseCommand(payload)
		if err != nil {
			return from, nil, fmt.Errorf("group command: %w", err)
		}
		from = hubwire.Address{Hub: from.Hub, Kind: hubwire.AddressConn, Name: c.conn}
		if !b.holds(b.channel(from)) {
			return from, nil, nil
		}
		m := &hubwire.Message{Kind: hubwire.MessageJoin, ID: strconv.Itoa(int(c.id)), Node: c.server, Conn: c.conn, Group: c.group}
		switch c.action {
		case actionAdd:
		case actionRemove:
			m.Kind = hubwire.MessageLeave
		default:
			m.Kind, m.Conn = hubwire.MessageLeave, "" // nothing to do but to acknowledge it
		}
		return from, m, nil
	case acks:
		id, err := parseAck(payload)
		if err != nil {
			return from, nil, fmt.Errorf("acknowledgement: %w", err)
		}
		return from, &hubwire.Message{Kind: hubwire.MessageAck, ID: strconv.Itoa(int(id))}, nil
	case answers:
		protocol, c, err := parseReturn(payload)
		if err != nil {
			return from, nil, fmt.Errorf("answer: %w", err)
		}
		m := &hubwire.Message{Kind: hubwire.MessageAnswer, ID: c.id}
		switch {
		case c.failed && c.text == goneText:
			m.Gone = true
		case c.failed:
			m.Failed, m.Error = true, c.text
		case c.has:
			m.Blobs = []hubwire.Blob{{Protocol: protocol, Bytes: c.value}}
		}
		return from, m, nil
	case notes:
		m, err := hubwire.ParseMessage(payload)
		if err == nil && m.Kind != hubwire.MessageNode {
			err = errForm
		}
		if err != nil {
			return from, nil, fmt.Errorf("note: %w", err)
		}
		return from, m, nil
	}
	return from, nil, errForm
}

// nodeOf names the asker so that answers find it.
func nodeOf(hub string, v *invocation) string {
	raw := rawPack
	if hasBlob(v.blobs, "json") {
		raw = rawJSON
		if name, ok := strings.CutPrefix(v.answer, returnHead(hub)); ok && (name == "" || name[0] != 0) {
			return name
		}
	}
	return raw + v.answer
}
