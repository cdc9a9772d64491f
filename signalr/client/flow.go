package client

import (
	"context"
	"fmt"
	"sync"

	"github.com/hubwire/hubwire"
)

// A flow counts the bytes that wait for the application, and holds the reader
// back while they are too many; but never while somebody waits for what only
// the reader can bring.
type flow struct {
	limit int

	mu      sync.Mutex // guards the following
	held    int
	waiters int           // that wait for the reader
	resumed chan struct{} // closed when the reader may go on; nil while it reads
}

// overhead is what something that waits takes beside its bytes.
const overhead = 128

// add counts n more bytes. Only the reader calls it.
func (f *flow) add(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held > f.limit*overcommit {
		return fmt.Errorf("%d bytes of events and items wait for handlers and loops: %w", f.held, hubwire.ErrSlow)
	}
	f.held += n + overhead
	return nil
}

// free takes back what add counted, in messages of n bytes together.
func (f *flow) free(messages, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held -= n + messages*overhead
	if f.held <= f.limit/2 {
		f.resumeLocked()
	}
}

// begin says that somebody waits for the reader, end that it has come.
func (f *flow) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters++
	f.resumeLocked()
}

func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters--
}

func (f *flow) resumeLocked() {
	if f.resumed != nil {
		close(f.resumed)
		f.resumed = nil
	}
}

// full reports whether the reader has to wait.
func (f *flow) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fullLocked()
}

func (f *flow) fullLocked() bool { return f.held > f.limit && f.waiters == 0 }

// wait holds the reader back while it has to, or until ctx ends.
func (f *flow) wait(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		if !f.fullLocked() {
			f.mu.Unlock()
			return
		}
		if f.resumed == nil {
			f.resumed = make(chan struct{})
		}
		resumed := f.resumed
		f.mu.Unlock()
		select {
		case <-resumed:
		case <-ctx.Done():
		}
	}
}
