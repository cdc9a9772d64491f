package hubwire

import (
	"encoding/binary"
	"errors"
)

// A noteOp says what a note is.
type noteOp uint8

const (
	noteHello   noteOp = iota + 1 // a node has come, or is back: others say that they are here
	noteHere                      // the answer to that; names: the nodes that are known
	noteBeat                      // a node is still there
	noteBye                       // a node leaves
	noteAsk                       // every node is asked
	noteTell                      // the answer
	noteChanges                   // what has come and gone on a node
	noteWant                      // a node wants to know all that is there
	noteRoster                    // a part of the answer
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
	watches bool // hello, here, beat: the sender wants to know who comes and goes
	more    bool // tell, roster: there is more
	what    uint8
	kind    targetKind
	n       uint64
	seq     uint64   // of the sender's changes
	user    string   // ask
	after   string   // ask: members with higher ids
	names   []string // nodes, groups, members
}

const (
	flagSettled = 1 << iota
	flagWatches
	flagMore
)

func (n *note) append(dst []byte) []byte {
	var flags byte
	for flag, on := range map[byte]bool{flagSettled: n.settled, flagWatches: n.watches, flagMore: n.more} {
		if on {
			flags |= flag
		}
	}
	dst = append(dst, byte(n.op), flags, n.what, byte(n.kind))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, n.n), n.seq)
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
	n := &note{op: noteOp(src[0]), settled: src[1]&flagSettled != 0, watches: src[1]&flagWatches != 0, more: src[1]&flagMore != 0, what: src[2], kind: targetKind(src[3])}
	r := textReader{src: src[4:]}
	n.n, n.seq = r.number(), r.number()
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
