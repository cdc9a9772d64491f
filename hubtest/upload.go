package hubtest

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/hubwire/hubwire"
)

// An upload is a stream from the client, as its handler reads it. The first
// Options.StreamBuffer items are free; others count as waiting input, so that in
// the end the client is not read.
type upload struct {
	conn *end
	id   string

	mu    sync.Mutex // guards the following
	items []uploadItem
	over  bool // nothing comes any more
	err   error
	wake  chan struct{} // closed when something comes; nil where nobody waits
}

type uploadItem struct {
	raw  []byte
	held bool // counts as waiting input
}

func (e *end) openUpload(id string) *upload {
	e.source.Lock()
	defer e.source.Unlock()
	if e.uploads == nil {
		e.uploads = map[string]*upload{}
	}
	u := &upload{conn: e, id: id}
	e.uploads[id] = u
	return u
}

func (e *end) upload(id string) *upload {
	e.source.Lock()
	defer e.source.Unlock()
	return e.uploads[id]
}

func (e *end) forgetUpload(id string) {
	e.source.Lock()
	defer e.source.Unlock()
	delete(e.uploads, id)
}

// endUploads fails what is still open: the connection has ended.
func (e *end) endUploads() {
	e.source.Lock()
	open := e.uploads
	e.uploads = nil
	e.source.Unlock()
	for _, u := range open {
		u.finish(hubwire.ErrClosed, false)
	}
}

func (u *upload) add(raw []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return
	}
	it := uploadItem{raw: bytes.Clone(raw), held: len(u.items) >= u.conn.opts.StreamBuffer}
	if it.held {
		u.conn.port.Hold(len(raw))
	}
	u.items = append(u.items, it)
	u.wakeLocked()
}

// finish is the end of the stream; a nil err is the proper one.
func (u *upload) finish(err error, drop bool) {
	u.conn.forgetUpload(u.id)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over {
		u.over, u.err = true, err
	}
	for drop && len(u.items) > 0 {
		u.popLocked()
	}
	u.wakeLocked()
}

// Close implements wire.Source.
func (u *upload) Close() {
	u.finish(io.EOF, true)
}

func (u *upload) wakeLocked() {
	if u.wake != nil {
		close(u.wake)
		u.wake = nil
	}
}

func (u *upload) popLocked() []byte {
	it := u.items[0]
	u.items = u.items[1:]
	if it.held {
		u.conn.port.Free(len(it.raw))
	}
	return it.raw
}

// Next implements wire.Source.
func (u *upload) Next(ctx context.Context, into any) error {
	for {
		u.mu.Lock()
		switch {
		case len(u.items) > 0:
			raw := u.popLocked()
			u.mu.Unlock()
			if err := u.conn.link.proto.codec.Decode(raw, into); err != nil {
				return &hubwire.Error{Code: hubwire.CodeInvalidArgument, Message: "item does not bind: " + err.Error()}
			}
			return nil
		case u.over:
			err := u.err
			u.mu.Unlock()
			if err == nil {
				err = io.EOF
			}
			return err
		}
		if u.wake == nil {
			u.wake = make(chan struct{})
		}
		wake := u.wake
		u.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
