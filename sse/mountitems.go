package sse

import (
	"context"
	"net/http"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/wire"
)

// stream serves the GET that opens a server stream.
func (m *mount) stream(w http.ResponseWriter, r *http.Request, name string) {
	if r.Header.Get("Last-Event-ID") == endID {
		w.WriteHeader(http.StatusNoContent) // it has ended, and is not to begin again
		return
	}
	s, err := m.find(r)
	if err != nil {
		m.fail(w, err)
		return
	}
	if len(r.URL.RawQuery) > maxQuery {
		m.answer(w, http.StatusRequestURITooLong, hubwire.Errorf(hubwire.CodeInvalidArgument, "The query has more than %d bytes.", maxQuery))
		return
	}
	args := r.URL.Query()["args"]
	if len(args) > 1 {
		m.fail(w, errNotArray)
		return
	}
	in := &wire.Call{Name: name, Stream: true, Size: callSize}
	if len(args) == 1 {
		in.Size += len(args[0])
		if err := arguments(in, []byte(args[0])); err != nil {
			m.fail(w, err)
			return
		}
	}
	out := newSession(w, r, &Options{Heartbeat: m.opts.Heartbeat, Logger: m.hubOpts.Logger})
	defer out.abandon()
	if err := out.flushable(); err != nil {
		return
	}
	items := &hubItems{m: m, out: out, done: make(chan struct{})}
	in.Reply = items
	end, err := m.begin(r.WithContext(out.Context()), s, in, "ServerSentEvents")
	if err != nil {
		m.fail(w, err)
		return
	}
	// What fails at once has a status; what takes longer a head.
	head := time.AfterFunc(defaultHeadDelay, out.lateHead)
	defer head.Stop()
	items.close(end(items.done))
}

// hubItems are the items of a server stream on their way to a response.
type hubItems struct {
	m    *mount
	out  *Session
	done chan struct{} // closed when err is set
	err  error
}

// Item sends an item; a client that is slow makes the stream wait.
func (i *hubItems) Item(ctx context.Context, v any) error {
	b, err := jsonwire.Codec{}.Append(nil, v)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.out.Send(Event[string]{Data: text(b)})
}

// Done is the end of the stream.
func (i *hubItems) Done(_ any, err error) {
	i.err = err
	close(i.done)
}

// close says how the stream has ended.
func (i *hubItems) close(ended bool) {
	var err error
	select {
	case <-i.done:
		err = i.err
	default:
		if !ended {
			return // the client has left
		}
		err = errEnded
	}
	if err == nil {
		_ = i.out.Send(i.last("end", "null")) // to a client that may have gone
		_ = i.out.Close()
		return
	}
	status, e := i.m.failure(err)
	if i.out.instead(func(w http.ResponseWriter) {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "POST")
		}
		i.m.answer(w, status, e)
	}) {
		return
	}
	_ = i.out.Send(i.last("fail", text(appendError(nil, e))))
	_ = i.out.Close()
}

// last is the last event. A browser comes back once, to be told to stop.
func (i *hubItems) last(typ, data string) Event[string] {
	return Event[string]{Type: typ, Data: data, ID: endID, Retry: i.m.opts.Retry}
}

// instead answers in place of a stream that has not begun, and reports whether
// it had not.
func (s *Session) instead(answer func(http.ResponseWriter)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head || s.closed {
		return false
	}
	w := s.w
	s.closeLocked()
	answer(w)
	return true
}
