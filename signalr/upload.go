package signalr

import (
	"bytes"
	"context"
	"io"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// An upload is a stream from the client (section 6.6), as its handler reads it.
// Items are kept undecoded. The first StreamBuffer of them are free, while they
// are small; others count as waiting input, so that in the end the socket is
// not read. The reader never waits for a handler (D 15).
type upload struct {
	conn *conn

	// guarded by conn.up
	key   uploadKey
	items []uploadItem
	head  int
	over  bool // nothing comes any more
	err   error
	wake  chan struct{} // closed when something comes; nil where nobody waits
}

// An uploadKey names an upload of a connection: by its id, or, once another has
// taken the id over, by a number too.
type uploadKey struct {
	id string
	n  int
}

type uploadItem struct {
	raw  []byte
	held bool // counts as waiting input
}

// cost is what an item takes: its bytes, and those around it.
func (it *uploadItem) cost() int { return len(it.raw) + 64 }

// uploads are those of a connection. The connection's up guards them.
type uploads struct {
	open      map[uploadKey]*upload
	displaced int // whose id was taken over
	kept      int // bytes of items that are not counted as waiting input
}

// maxKept is how many bytes of a connection's items are free.
const maxKept = 64 << 10

var errLinkClosed = &exception{"OperationCanceledException", "The underlying connection was closed."}

// openUploads makes the uploads of a call. An id that is in use is taken over:
// the stream that had it gets nothing more (section 6.6).
func (c *conn) openUploads(ids [][]byte) []wire.Source {
	list := make([]wire.Source, 0, len(ids))
	c.up.Lock()
	defer c.up.Unlock()
	if c.uploads == nil {
		c.uploads = &uploads{open: map[uploadKey]*upload{}}
	}
	ups := c.uploads
	var surplus *upload
	for i, id := range ids {
		if i >= maxUploads {
			if surplus == nil {
				surplus = &upload{conn: c, over: true}
			}
			list = append(list, surplus)
			continue
		}
		u := &upload{conn: c, key: uploadKey{id: string(id)}}
		if old := ups.open[u.key]; old != nil {
			ups.displaced++
			old.key.n = ups.displaced
			ups.open[old.key] = old
		}
		ups.open[u.key] = u
		list = append(list, u)
	}
	return list
}

// upload finds an open upload.
func (c *conn) upload(id []byte) *upload {
	c.up.Lock()
	defer c.up.Unlock()
	if c.uploads == nil {
		return nil
	}
	return c.uploads.open[uploadKey{id: string(id)}]
}

// endUploads fails all uploads: the connection has ended.
func (c *conn) endUploads() {
	c.up.Lock()
	defer c.up.Unlock()
	if c.uploads == nil {
		return
	}
	for _, u := range c.uploads.open {
		u.endLocked(errLinkClosed)
	}
}

// add takes an item. raw is copied.
func (u *upload) add(raw []byte) {
	c := u.conn
	it := uploadItem{raw: bytes.Clone(raw)}
	c.up.Lock()
	if u.over {
		c.up.Unlock()
		return
	}
	if len(u.items)-u.head < c.mount.hubOpts.StreamBuffer && c.uploads.kept+it.cost() <= maxKept {
		c.uploads.kept += it.cost()
	} else {
		it.held = true
	}
	if u.head > 0 && len(u.items) == cap(u.items) {
		n := copy(u.items, u.items[u.head:])
		clear(u.items[n:])
		u.items, u.head = u.items[:n], 0
	}
	u.items = append(u.items, it)
	u.wakeLocked()
	c.up.Unlock()
	if it.held {
		c.port.Hold(it.cost())
	}
}

// end notes that the client has ended the stream; a nil err is its proper end.
func (u *upload) end(err error) {
	u.conn.up.Lock()
	defer u.conn.up.Unlock()
	u.endLocked(err)
}

func (u *upload) endLocked(err error) {
	if u.over {
		return
	}
	u.over, u.err = true, err
	if ups := u.conn.uploads; ups.open[u.key] == u {
		delete(ups.open, u.key)
	}
	u.wakeLocked()
}

func (u *upload) wakeLocked() {
	if u.wake != nil {
		close(u.wake)
		u.wake = nil
	}
}

// Close drops what has come and what still comes.
func (u *upload) Close() {
	c := u.conn
	c.up.Lock()
	u.endLocked(io.EOF)
	held := u.dropLocked()
	c.up.Unlock()
	if held > 0 {
		c.port.Free(held)
	}
}

// dropLocked drops the items that nobody will read, and returns what of them
// counts as waiting input.
func (u *upload) dropLocked() (held int) {
	for u.head < len(u.items) {
		it := u.popLocked()
		if it.held {
			held += it.cost()
		}
	}
	u.items, u.head = nil, 0
	return held
}

func (u *upload) popLocked() uploadItem {
	it := u.items[u.head]
	u.items[u.head] = uploadItem{}
	if u.head++; u.head == len(u.items) {
		u.items, u.head = u.items[:0], 0
	}
	if !it.held {
		u.conn.uploads.kept -= it.cost()
	}
	return it
}

// Next decodes the next item. The client's error is an *hubwire.Error; an item
// of another type ends the stream.
//
// The cancel of a call does not end its uploads, in .NET neither (section 6.5):
// a handler that waits goes on with what comes. The end of the connection does.
func (u *upload) Next(_ context.Context, into any) error {
	c := u.conn
	for {
		c.up.Lock()
		if u.head < len(u.items) {
			it := u.popLocked()
			c.up.Unlock()
			if it.held {
				c.port.Free(it.cost())
			}
			return u.decode(it.raw, into)
		}
		if u.over {
			err := u.err
			c.up.Unlock()
			if err == nil {
				err = io.EOF
			}
			return err
		}
		if u.wake == nil {
			u.wake = make(chan struct{})
		}
		wake := u.wake
		c.up.Unlock()
		<-wake
	}
}

func (u *upload) decode(raw []byte, into any) error {
	err := u.conn.hub.Codec().Decode(raw, into)
	if err == nil {
		return nil
	}
	text := "Failed to bind Stream message."
	if u.conn.mount.hubOpts.DetailedErrors {
		text += detail(u.conn.hub.wrongValue(raw, into, "item"), true)
	}
	failure := &hubwire.Error{Code: hubwire.CodeInvalidArgument, Message: text}
	u.conn.up.Lock()
	u.endLocked(failure)
	u.err = failure // whatever else came of the stream
	held := u.dropLocked()
	u.conn.up.Unlock()
	if held > 0 {
		u.conn.port.Free(held)
	}
	return failure
}
