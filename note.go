package hubwire

import (
	"encoding/binary"
	"errors"
)

// A noteOp says what a note is.
type noteOp uint8

const (
	noteHello noteOp = iota + 1 // a node has come, or is back: others say that they are here
	noteHere                    // the answer to that; names: the nodes that are known
	noteBeat                    // a node is still there
	noteBye                     // a node leaves
	noteAsk                     // every node is asked
	noteTell                    // the answer
)

// A noteAsk's number says what is asked.
const (
	askJoinUser = iota + 1
	askLeaveUser
	askCount
	askMembers
)

// A note is what one hub says to others of this library: the blob of a
// MessageNode.
type note struct {
	op      noteOp
	settled bool // here: the sender knows all nodes
	more    bool // tell: there is more
	what    uint8
	kind    targetKind
	n       uint64
	user    string   // ask
	after   string   // ask: members with higher ids
	names   []string // nodes, groups, members
}

const (
	flagSettled = 1 << iota
	flagMore
)

func (n *note) append(dst []byte) []byte {
	var flags byte
	for flag, on := range map[byte]bool{flagSettled: n.settled, flagMore: n.more} {
		if on {
			flags |= flag
		}
	}
	dst = append(dst, byte(n.op), flags, n.what, byte(n.kind))
	dst = binary.AppendUvarint(dst, n.n)
	dst = appendText(appendText(dst, n.user), n.after)
	dst = binary.AppendUvarint(dst, uint64(len(n.names)))
	for _, s := range n.names {
		dst = appendText(dst, s)
	}
	return dst
}

var errNote = errors.New("hubwire: what another node says is malformed")

// parseNote reads what append wrote. What comes behind is of a later version.
func parseNote(src []byte) (*note, error) {
	if len(src) < 4 {
		return nil, errNote
	}
	n := &note{op: noteOp(src[0]), settled: src[1]&flagSettled != 0, more: src[1]&flagMore != 0, what: src[2], kind: targetKind(src[3])}
	r := textReader{src: src[4:]}
	n.n = r.number()
	n.user, n.after = r.text(), r.text()
	for k := r.count(); k > 0 && !r.bad; k-- {
		n.names = append(n.names, r.text())
	}
	if r.bad || n.kind > toConn {
		return nil, errNote
	}
	return n, nil
}

func (r *textReader) number() uint64 {
	n, k := binary.Uvarint(r.src)
	if k <= 0 {
		r.bad, r.src = true, nil
		return 0
	}
	r.src = r.src[k:]
	return n
}
