package redis

import (
	"fmt"
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
	head := b.prefix + a.Hub
	switch a.Kind {
	case hubwire.AddressAll:
		return []channel{{head + ":all", events}, {head + ":internal:groups", commands}}
	case hubwire.AddressGroup:
		return []channel{{head + ":group:" + a.Name, events}}
	case hubwire.AddressUser:
		return []channel{{head + ":user:" + a.Name, events}}
	case hubwire.AddressConn:
		return []channel{{head + ":connection:" + a.Name, conn}}
	case hubwire.AddressNode:
		return []channel{{head + ":internal:ack:" + a.Name, acks}, {b.prefix + returnHead(a.Hub) + a.Name, answers}, {head + ":hubwire:node:" + a.Name, notes}}
	case hubwire.AddressNodes:
		return []channel{{head + ":hubwire:nodes", notes}}
	case hubwire.AddressPresence:
		return []channel{{head + ":hubwire:presence", notes}}
	}
	return nil
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

// encode says where a message goes, and in what form. known is a channel that
// somebody must be subscribed to. An empty channel: it has no form, and is not
// missed.
func (b *Backplane) encode(to hubwire.Address, m *hubwire.Message) (channel string, payload []byte, known string, err error) {
	cs := b.channels(to)
	if len(cs) == 0 {
		return "", nil, "", errUnable
	}
	if last := cs[len(cs)-1]; m.Kind == hubwire.MessageNode || last.kind == notes && len(cs) == 1 {
		if m.Kind != hubwire.MessageNode || last.kind != notes {
			return "", nil, "", errUnable
		}
		return last.name, m.Append(nil), "", nil
	}
	node := to.Kind == hubwire.AddressNode
	switch m.Kind {
	case hubwire.MessageEvent:
		v := &invocation{except: m.Except, blobs: m.Blobs}
		if node || m.ID != "" && to.Kind != hubwire.AddressConn {
			return "", nil, "", errUnable
		}
		if m.ID != "" {
			v.id, v.answer, known = m.ID, returnHead(to.Hub)+m.Node, cs[0].name
		}
		n := 16
		for _, x := range m.Blobs {
			n += len(x.Protocol) + len(x.Bytes) + 8
		}
		for _, x := range m.Except {
			n += len(x) + 3
		}
		return cs[0].name, appendInvocation(make([]byte, 0, n), v), known, nil
	case hubwire.MessageKick:
		if node {
			return "", nil, "", errUnable
		}
		k := &kick{m.Error, m.Reconnect}
		return cs[0].name, appendInvocation(nil, &invocation{except: m.Except, blobs: closing(k), kick: k}), "", nil
	case hubwire.MessageAnswer:
		channel, protocol := b.prefix+returnHead(to.Hub)+to.Name, "json"
		if len(to.Name) >= len(rawJSON) && to.Name[0] == 0 {
			channel = b.prefix + to.Name[len(rawJSON):]
			if to.Name[1] == rawPack[1] {
				protocol = "messagepack"
			}
			if channel == b.prefix {
				b.log.Warn("redis: a question names no channel for its answer", "id", m.ID)
				return "", nil, "", nil
			}
		} else if !node {
			return "", nil, "", errUnable
		}
		c := &completion{id: m.ID, failed: m.Failed || m.Gone, text: m.Error}
		if m.Gone {
			c.text = goneText
		}
		if len(m.Blobs) > 0 && !c.failed {
			protocol, c.has, c.value = m.Blobs[0].Protocol, true, m.Blobs[0].Bytes
		}
		return channel, appendReturn(nil, protocol, c), "", nil
	case hubwire.MessageJoin, hubwire.MessageLeave:
		id, err := parseID(m.ID)
		if err != nil || to.Kind != hubwire.AddressConn {
			return "", nil, "", errUnable
		}
		c := &command{id, m.Node, actionAdd, m.Group, m.Conn}
		if m.Kind == hubwire.MessageLeave {
			c.action = actionRemove
		}
		return b.prefix + to.Hub + ":internal:groups", appendCommand(nil, c), cs[0].name, nil
	case hubwire.MessageAck:
		id, err := parseID(m.ID)
		if err != nil || !node {
			return "", nil, "", errUnable
		}
		return cs[0].name, appendAck(nil, id), "", nil
	case hubwire.MessageForget:
		return "", nil, "", nil // the owner's patience has an end of its own
	}
	return "", nil, "", errUnable
}

// decode makes a message of what came on a channel; none where it is not for
// this node.
func (b *Backplane) decode(e entry, payload []byte) (hubwire.Address, *hubwire.Message, error) {
	from := e.addr
	switch e.kind {
	case events, conn:
		v, err := parseInvocation(payload, e.kind == conn)
		switch {
		case err != nil:
			return from, nil, fmt.Errorf("invocation: %w", err)
		case v.kick != nil:
			return from, &hubwire.Message{Kind: hubwire.MessageKick, Except: v.except, Error: v.kick.reason, Reconnect: v.kick.reconnect}, nil
		}
		m := &hubwire.Message{Kind: hubwire.MessageEvent, Except: v.except, Blobs: complete(v.blobs)}
		if from.Kind == hubwire.AddressUser || from.Kind == hubwire.AddressConn {
			m.Except = nil // as ASP.NET Core reads them
		}
		if v.id != "" || v.answer != "" {
			m.ID, m.Node = v.id, nodeOf(from.Hub, v)
		}
		return from, m, nil
	case commands:
		c, err := parseCommand(payload)
		if err != nil {
			return from, nil, fmt.Errorf("group command: %w", err)
		}
		from = hubwire.Address{Hub: from.Hub, Kind: hubwire.AddressConn, Name: c.conn}
		if !b.holds(b.channels(from)[0].name) {
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
