package grpchub

import (
	"context"
	"io"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
)

// An upload is a stream from the client, as its handler reads it. The first
// StreamBuffer of its items are free, while they are small; others count as
// waiting input, so that in the end the stream is not read. The reader never
// waits for a handler (D 15).
type upload struct {
	conn *conn
	id   string

	// guarded by conn.up
	items []uploadItem
	over  bool // nothing comes any more
	err   error
	wake  chan struct{} // closed when something comes; nil where nobody waits
}

type uploadItem struct {
	raw  []byte
	held bool // counts as waiting input
}

func (it *uploadItem) cost() int { return len(it.raw) + 64 }

// maxKept is how many bytes of a connection's items are free.
const maxKept = 64 << 10

// openUploads makes the uploads of a call. An id that is in use is taken over:
// the stream that had it gets nothing more.
func (c *conn) openUploads(ids []string) (list []wire.Source) {
	if len(ids) == 0 {
		return nil
	}
	c.up.Lock()
	defer c.up.Unlock()
	if c.uploads == nil {
		c.uploads = map[string]*upload{}
	}
	for _, id := range ids {
		if old := c.uploads[id]; old != nil {
			old.endLocked(hubwire.Errorf(hubwire.CodeAborted, "The id of the upload was taken over."))
		}
		u := &upload{conn: c, id: id}
		c.uploads[id] = u
		list = append(list, u)
	}
	return list
}

func (c *conn) findUpload(id string) *upload {
	c.up.Lock()
	defer c.up.Unlock()
	return c.uploads[id]
}

// endUploads fails all uploads: the connection has ended.
func (c *conn) endUploads() {
	c.up.Lock()
	defer c.up.Unlock()
	for _, u := range c.uploads {
		u.endLocked(hubwire.ErrClosed)
	}
	c.uploads = nil
}

// add takes an item, which is the upload's from now on.
func (u *upload) add(raw []byte) {
	c := u.conn
	it := uploadItem{raw: raw}
	c.up.Lock()
	if u.over {
		c.up.Unlock()
		return
	}
	if len(u.items) < c.hubOpts.StreamBuffer && c.kept+it.cost() <= maxKept {
		c.kept += it.cost()
	} else {
		it.held = true
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
	if u.conn.uploads[u.id] == u {
		delete(u.conn.uploads, u.id)
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
	u.conn.up.Lock()
	u.endLocked(io.EOF)
	held := u.dropLocked()
	u.conn.up.Unlock()
	if held > 0 {
		u.conn.port.Free(held)
	}
}

func (u *upload) dropLocked() (held int) {
	for len(u.items) > 0 {
		if it := u.popLocked(); it.held {
			held += it.cost()
		}
	}
	return held
}

func (u *upload) popLocked() uploadItem {
	it := u.items[0]
	u.items[0] = uploadItem{}
	if u.items = u.items[1:]; len(u.items) == 0 {
		u.items = nil
	}
	if !it.held {
		u.conn.kept -= it.cost()
	}
	return it
}

// Next decodes the next item. An item of another type ends the stream.
func (u *upload) Next(_ context.Context, into any) error {
	c := u.conn
	for {
		c.up.Lock()
		if len(u.items) > 0 {
			it := u.popLocked()
			c.up.Unlock()
			if it.held {
				c.port.Free(it.cost())
			}
			if err := c.proto.codec.Decode(it.raw, into); err != nil {
				return u.bad()
			}
			return nil
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
		<-wake // the end of the connection, or of the call, closes it at the latest
	}
}

// bad ends a stream one of whose items cannot be decoded.
func (u *upload) bad() error {
	failure := hubwire.Errorf(hubwire.CodeInvalidArgument, "An item of the upload cannot be decoded.")
	u.conn.up.Lock()
	u.endLocked(failure)
	u.err = failure
	held := u.dropLocked()
	u.conn.up.Unlock()
	if held > 0 {
		u.conn.port.Free(held)
	}
	return failure
}
