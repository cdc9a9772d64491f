package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A poster is the way up of the transports that have none of their own: each
// write is a POST.
type poster struct {
	e      *endpoint
	ctx    context.Context // ends with the transport
	cancel context.CancelFunc
	act    string
	typ    string
}

func (t *poster) write(p []byte) error {
	ctx, cancel := context.WithTimeout(t.ctx, requestTimeout)
	defer cancel()
	resp, err := t.e.do(ctx, request{act: t.act, client: t.e.conn.short, method: http.MethodPost, url: t.e.address(), body: p, typ: t.typ})
	if err != nil {
		return err
	}
	drain(resp)
	return nil
}

// polling is the transport of section 2.4: a request is parked until the server
// has something to say, the client posts.
type polling struct {
	poster
	body   io.ReadCloser // of the poll that is being read
	asked  time.Time     // when that was made
	got    bool          // something came of it
	hasty  int           // polls in a row that were answered at once with nothing
	broken error         // an answer broke off
}

func (e *endpoint) openPolling(ctx, starting context.Context, p protocol) (transport, error) {
	ctx, started, cancel := lasting(ctx, starting)
	t := &polling{poster: poster{e: e, ctx: ctx, cancel: cancel, act: LongPolling.String(), typ: "text/plain;charset=UTF-8"}}
	if p.binary() {
		t.typ = "application/octet-stream"
	}
	// The server answers the first poll at once.
	resp, err := t.poll()
	if err == nil && !started() {
		_ = resp.Body.Close()
		err = context.Cause(starting)
	}
	if err != nil {
		cancel()
		return nil, startingError(starting, err)
	}
	t.body = resp.Body
	return t, nil
}

func (t *polling) kind() Transports { return LongPolling }

// poll makes one request. A poll that is not answered in time is made again.
func (t *polling) poll() (*http.Response, error) {
	for {
		ctx, cancel := context.WithCancelCause(t.ctx)
		late := time.AfterFunc(requestTimeout, func() { cancel(errLate) })
		resp, err := t.e.do(ctx, request{act: t.act, client: t.e.conn.long, method: http.MethodGet, url: t.e.address(), accept: "*/*"})
		stopped := late.Stop()
		switch {
		case err == nil && !stopped:
			// It came and was given up in the same moment.
			_ = resp.Body.Close()
			cancel(nil)
			return nil, fmt.Errorf("%s: %w", t.act, errLate)
		case err == nil && resp.StatusCode == http.StatusNoContent:
			drain(resp)
			cancel(nil)
			return nil, errEnded
		case err == nil:
			resp.Body = &pollBody{resp.Body, cancel}
			return resp, nil
		case context.Cause(ctx) == errLate:
			cancel(nil)
			continue
		}
		cancel(nil)
		return nil, err
	}
}

var errLate = errors.New("the poll was not answered in time")

// A pollBody lets go of the poll's context in the end.
type pollBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *pollBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// A server that answers polls at once with nothing, several times in a row, is
// asked no more often than once in pollPause.
const pollPause = 100 * time.Millisecond

func (t *polling) read(p []byte) (int, error) {
	for t.broken == nil {
		if t.body == nil {
			if t.hasty > 1 {
				if err := wait(t.ctx, pollPause); err != nil {
					return 0, err
				}
			}
			t.asked, t.got = time.Now(), false
			resp, err := t.poll()
			if err != nil {
				return 0, err
			}
			t.body = resp.Body
		}
		n, err := t.body.Read(p)
		t.got = t.got || n > 0
		if err != nil {
			_ = t.body.Close()
			t.body = nil
			if err != io.EOF {
				t.broken = fmt.Errorf("%s: the answer broke off: %w", t.act, err)
			} else if t.got || time.Since(t.asked) > pollPause {
				t.hasty = 0
			} else {
				t.hasty++
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, t.broken
}

func (t *polling) leave(ctx context.Context) {
	// The hub may have ended by itself: 404 is fine.
	if resp, err := t.e.do(ctx, request{act: t.act, client: t.e.conn.short, method: http.MethodDelete, url: t.e.address()}); err == nil {
		drain(resp)
	}
}

func (t *polling) kill() { t.cancel() }
