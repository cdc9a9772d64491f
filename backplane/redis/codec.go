package redis

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// The envelopes of ASP.NET Core's backplane: one MessagePack value each
// (RedisProtocol.cs; recorded byte for byte). Readers want at least as many
// elements as they know; what comes behind, and bytes behind the value, are
// passed over.

// An invocation is what goes to all, a group, a user or a connection.
type invocation struct {
	except []string
	blobs  []hubwire.Blob
	id     string // set where an answer is wanted
	answer string // the channel that it goes to
	kick   *kick
}

// A kick is the third element of an invocation that closes connections: the
// blobs, which are Close messages, do that for connections of ASP.NET Core, which
// passes over the element.
type kick struct {
	reason    string
	reconnect bool
}

const kickMark = "hubwire kick"

func appendInvocation(dst []byte, v *invocation) []byte {
	n := 2
	switch {
	case v.kick != nil:
		n = 3
	case v.id != "":
		n = 4
	}
	dst = msgpack.AppendArrayHeader(dst, n)
	dst = msgpack.AppendArrayHeader(dst, len(v.except))
	for _, s := range v.except {
		dst = msgpack.AppendString(dst, s)
	}
	dst = msgpack.AppendMapHeader(dst, len(v.blobs))
	for _, b := range v.blobs {
		dst = msgpack.AppendBytes(msgpack.AppendString(dst, b.Protocol), b.Bytes)
	}
	switch {
	case v.kick != nil:
		dst = msgpack.AppendArrayHeader(dst, 3)
		dst = msgpack.AppendString(msgpack.AppendString(dst, kickMark), v.kick.reason)
		dst = msgpack.AppendBool(dst, v.kick.reconnect)
	case v.id != "":
		dst = msgpack.AppendString(msgpack.AppendString(dst, v.id), v.answer)
	}
	return dst
}

var errForm = errors.New("it has not the form of one")

// A reader reads envelopes.
type reader struct{ msgpack.Reader }

// text reads a string; nil is the empty one.
func (r *reader) text() (string, error) {
	if r.ReadNil() {
		return "", nil
	}
	b, err := r.ReadString()
	return string(b), err
}

func (r *reader) array(atLeast int) (int, error) {
	n, err := r.ReadArrayHeader()
	if err == nil && n < atLeast {
		err = errForm
	}
	return n, err
}

func (r *reader) blob() ([]byte, error) {
	if r.ReadNil() {
		return nil, nil
	}
	return r.ReadBytes()
}

// parseInvocation reads an invocation. questions says that the fourth form has a
// meaning: on a connection's channel. What it returns refers to src, and its blobs
// stand in room where they fit.
func parseInvocation(src []byte, questions bool, room []hubwire.Blob) (v invocation, err error) {
	var r reader
	r.Reset(src)
	items, err := r.array(2)
	if err != nil {
		return v, err
	}
	n, err := r.ReadArrayHeader()
	for ; n > 0 && err == nil; n-- {
		var s string
		s, err = r.text()
		v.except = append(v.except, s)
	}
	if err != nil {
		return v, err
	}
	n, err = r.ReadMapHeader()
	v.blobs = room
	for ; n > 0 && err == nil; n-- {
		var b hubwire.Blob
		if b.Protocol, err = r.protocol(); err != nil {
			break
		}
		if b.Bytes, err = r.blob(); err != nil {
			break
		}
		if !hasBlob(v.blobs, b.Protocol) { // of two of one name the first counts
			b.Bytes = b.Bytes[:len(b.Bytes):len(b.Bytes)]
			v.blobs = append(v.blobs, b)
		}
	}
	switch {
	case err != nil:
		return v, err
	case items == 3:
		v.kick = parseKick(&r)
	case items > 3:
		if v.id, err = r.text(); err == nil {
			v.answer, err = r.text()
		}
		if !questions {
			v.id, v.answer = "", ""
		}
	}
	return v, err
}

// protocol reads the name of one; that of a known one costs nothing.
func (r *reader) protocol() (string, error) {
	if r.ReadNil() {
		return "", nil
	}
	b, err := r.ReadString()
	switch string(b) {
	case "json":
		return "json", err
	case "messagepack":
		return "messagepack", err
	}
	return string(b), err
}

func parseKick(r *reader) *kick {
	if r.Kind() != msgpack.Array {
		return nil
	}
	if n, err := r.array(3); err != nil || n < 3 {
		return nil
	}
	mark, err := r.text()
	if err != nil || mark != kickMark {
		return nil
	}
	k := new(kick)
	if k.reason, err = r.text(); err != nil {
		return nil
	}
	if k.reconnect, err = r.ReadBool(); err != nil {
		return nil
	}
	return k
}

func hasBlob(bs []hubwire.Blob, protocol string) bool {
	for i := range bs {
		if bs[i].Protocol == protocol {
			return true
		}
	}
	return false
}

// A command changes the groups of a connection of some node.
type command struct {
	id     int32
	server string
	action uint8
	group  string
	conn   string
}

const (
	actionAdd    = 1
	actionRemove = 2
)

func appendCommand(dst []byte, c *command) []byte {
	dst = msgpack.AppendArrayHeader(dst, 5)
	dst = msgpack.AppendInt(dst, int64(c.id))
	dst = msgpack.AppendString(dst, c.server)
	dst = msgpack.AppendInt(dst, int64(c.action))
	return msgpack.AppendString(msgpack.AppendString(dst, c.group), c.conn)
}

func parseCommand(src []byte) (c *command, err error) {
	var r reader
	r.Reset(src)
	c = new(command)
	if _, err = r.array(5); err != nil {
		return nil, err
	}
	if c.id, err = r.ReadInt32(); err != nil {
		return nil, err
	}
	if c.server, err = r.text(); err != nil {
		return nil, err
	}
	action, err := r.ReadInt64()
	if err != nil || action < 0 || action > math.MaxUint8 {
		return nil, errors.Join(err, errForm)
	}
	c.action = uint8(action)
	if c.group, err = r.text(); err != nil {
		return nil, err
	}
	c.conn, err = r.text()
	return c, err
}

func appendAck(dst []byte, id int32) []byte {
	return msgpack.AppendInt(msgpack.AppendArrayHeader(dst, 1), int64(id))
}

func parseAck(src []byte) (int32, error) {
	var r reader
	r.Reset(src)
	if _, err := r.array(1); err != nil {
		return 0, err
	}
	return r.ReadInt32()
}

// A completion is the answer to a question, in the protocol of the connection
// that was asked.
type completion struct {
	id     string
	failed bool
	text   string // where failed
	has    bool
	value  []byte // raw, where has
}

// appendReturn appends what goes to the channel of answers.
func appendReturn(dst []byte, protocol string, c *completion) []byte {
	dst = msgpack.AppendString(msgpack.AppendArrayHeader(dst, 2), protocol)
	var b []byte
	switch protocol {
	case "json":
		b = jsonwire.AppendString(append(b, `{"type":3,"invocationId":`...), c.id)
		switch {
		case c.failed:
			b = jsonwire.AppendString(append(b, `,"error":`...), c.text)
		case c.has:
			b = append(append(b, `,"result":`...), c.value...)
		}
		b = append(b, '}', 0x1e)
	default: // messagepack; values of a wire that ASP.NET Core has not are bytes in it
		n, kind := 5, int64(3)
		switch {
		case c.failed:
			kind = 1
		case !c.has:
			n, kind = 4, 2
		}
		b = msgpack.AppendMapHeader(msgpack.AppendInt(msgpack.AppendArrayHeader(b, n), 3), 0)
		b = msgpack.AppendInt(msgpack.AppendString(b, c.id), kind)
		switch {
		case c.failed:
			b = msgpack.AppendString(b, c.text)
		case c.has && protocol == "messagepack":
			b = append(b, c.value...)
		case c.has:
			b = msgpack.AppendBytes(b, c.value)
		}
		b = msgpack.InsertLength(b, 0)
	}
	return msgpack.AppendBytes(dst, b)
}

// parseReturn reads what came on the channel of answers. It keeps no reference
// to src.
func parseReturn(src []byte) (protocol string, c *completion, err error) {
	var r reader
	r.Reset(src)
	if _, err = r.array(2); err != nil {
		return "", nil, err
	}
	if protocol, err = r.text(); err != nil {
		return "", nil, err
	}
	b, err := r.ReadBytes()
	if err != nil {
		return "", nil, err
	}
	switch protocol {
	case "json":
		c, err = jsonCompletion(b)
	case "messagepack":
		c, err = msgpackCompletion(b)
	default:
		if c, err = msgpackCompletion(b); err == nil && c.has {
			r.Reset(c.value)
			c.value, err = r.ReadBytes()
		}
	}
	return protocol, c, err
}

func jsonCompletion(b []byte) (*completion, error) {
	i := bytes.IndexByte(b, 0x1e)
	if i < 0 {
		return nil, errForm
	}
	var m struct {
		Type   int             `json:"type"`
		ID     *string         `json:"invocationId"`
		Error  *string         `json:"error"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(b[:i], &m); err != nil {
		return nil, err
	}
	if m.Type != 3 || m.ID == nil {
		return nil, errForm
	}
	c := &completion{id: *m.ID, has: m.Result != nil, value: m.Result}
	if m.Error != nil {
		c.failed, c.text = true, *m.Error
	}
	return c, nil
}

func msgpackCompletion(b []byte) (*completion, error) {
	n, size, err := msgpack.ReadLength(b)
	if err != nil {
		return nil, err
	}
	if size == 0 || n > len(b)-size {
		return nil, errForm
	}
	var r reader
	r.Reset(b[size : size+n])
	items, err := r.array(4)
	if err != nil {
		return nil, err
	}
	if t, err := r.ReadInt64(); err != nil || t != 3 {
		return nil, errForm
	}
	if err := r.Skip(); err != nil { // headers
		return nil, err
	}
	c := new(completion)
	if c.id, err = r.text(); err != nil {
		return nil, err
	}
	kind, err := r.ReadInt64()
	switch {
	case err != nil:
		return nil, err
	case kind == 2:
		return c, nil
	case items < 5:
		return nil, errForm
	case kind == 1:
		c.failed = true
		c.text, err = r.text()
		return c, err
	case kind == 3:
		c.has = true
		rest := r.Rest()
		if err := r.Skip(); err != nil {
			return nil, err
		}
		c.value = bytes.Clone(rest[:len(rest)-len(r.Rest())])
		return c, nil
	}
	return nil, errForm
}

// closing are the blobs that end a client's connection.
func closing(k *kick) []hubwire.Blob {
	j := []byte(`{"type":7`)
	if k.reason != "" {
		j = jsonwire.AppendString(append(j, `,"error":`...), k.reason)
	}
	if k.reconnect {
		j = append(j, `,"allowReconnect":true`...)
	}
	m := msgpack.AppendInt(msgpack.AppendArrayHeader(nil, 3), 7)
	if k.reason == "" {
		m = msgpack.AppendNil(m)
	} else {
		m = msgpack.AppendString(m, k.reason)
	}
	m = msgpack.InsertLength(msgpack.AppendBool(m, k.reconnect), 0)
	return []hubwire.Blob{{Protocol: "json", Bytes: append(j, '}', 0x1e)}, {Protocol: "messagepack", Bytes: m}}
}

func parseID(s string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int32(n), err
}
